"""`bench transfer`: cells are done once, go on where they stopped, and become a table that says the truth."""

from __future__ import annotations

import io
import json
import runpy
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.bench import transfer as bench
from gantl_zoo.bench.transfer_cells import Cell, method_of
from gantl_zoo.bench.transfer_draw import count_images, drawn
from gantl_zoo.bench.transfer_report import overtakes, short_names, table
from gantl_zoo.cli.app import main
from gantl_zoo.runs.transfer import prepare_transfer

PAIR = bench.Pair("halves", "digits:5-9", learn="digits:0-4", note="near")
BUDGET = bench.Budget(steps=4, batch=8, looks=2, samples=150, source_steps=2)


def run(out: Path, **settings: Any) -> Path:
    return bench.transfer_table((PAIR,), ("full",), (10, 0), trials=1, budget=BUDGET, out=out, **settings)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / bench.RESULTS).read_text().splitlines()]


def test_cells_are_done_once_and_shared_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, part=(2, 2))
    assert {(row["strategy"], row["shots"]) for row in rows(tmp_path)} == {("full", 10), ("full", 0)}
    path = run(tmp_path, part=(1, 2))
    assert len(rows(tmp_path)) == 4 and len({row["key"] for row in rows(tmp_path)}) == 4
    for name in ("train", "transfer"):
        monkeypatch.setattr(bench, name, lambda *a, **k: pytest.fail("trained again"))
    before = path.read_text()
    assert run(tmp_path).read_text() == before
    with pytest.raises(pytest.fail.Exception, match="trained again"):  # another budget is another cell
        bench.transfer_table(
            (PAIR,), ("full",), (10,), trials=1, budget=replace(BUDGET, steps=5), out=tmp_path
        )
    assert (tmp_path / "halves.png").stat().st_size > 1000
    for text in (
        "## halves (near)",
        "### 10 images",
        "### all images (",
        "| `scratch` | 1 |",
        "| `full` | 1 |",
    ):
        assert text in before


def test_a_pair_of_ones_own_may_be_small_and_in_colour(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match="photos has 3 held-out images, but a table needs at least 10"):
        bench.choose_pairs((), "dcgan-mnist", str(photos))
    for i, file in enumerate(sorted(photos.rglob("*.png"))):
        place = photos / ("train" if i % 2 else "test")
        place.mkdir(exist_ok=True)
        file.rename(place / file.name)
    (pair,) = bench.choose_pairs((), "dcgan-mnist", str(photos))
    assert pair.metric == "kd" and pair.note.endswith("held out")
    budget = replace(BUDGET, steps=2, looks=1, samples=20)
    path = bench.transfer_table((pair,), ("full",), (0,), trials=1, budget=budget, out=tmp_path / "table")
    assert "| `scratch` | 1 |" in path.read_text() and "| `full` | 1 |" in path.read_text()
    shapes = [
        gz.load_model(run.parent).image_shape  # type: ignore[union-attr]
        for run in (tmp_path / "table").glob("*/0*/model/config.json")
    ]
    assert shapes == [(3, 28, 28)] * 2, "scratch has what the transfer has"
    with pytest.raises(gz.DataError, match=r"--shots 500: photos has \d+ train images"):
        bench.transfer_table((pair,), ("full",), (10, 500), trials=1, budget=budget, out=tmp_path / "no")
    assert not (tmp_path / "no").exists()
    frozen = gz.build_gan("dcgan", "backbone", generator_config={"width": 4}).save(tmp_path / "frozen")
    with pytest.raises(gz.UsageError, match="has a frozen backbone, which would have random weights"):
        bench.choose_pairs((), str(frozen), str(photos))
    next((photos / "train").iterdir()).unlink()
    assert bench.choose_pairs((), "dcgan-mnist", str(photos))[0].name != pair.name, "other images"


def test_an_interrupted_cell_goes_on_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(bench, "evaluate", lambda *a, **k: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            run(tmp_path)
    assert not (tmp_path / bench.RESULTS).exists()
    run(tmp_path)
    assert len(list(tmp_path.glob("halves-10-scratch-0-*/0*"))) == 1
    (scratch, *_) = rows(tmp_path)
    assert list(scratch["curve"]) == ["0", "2", "4"] and scratch["images"] == 10
    assert scratch["base_sha256"] == "" and rows(tmp_path)[1]["base_sha256"]


def test_a_strategy_may_have_settings(tmp_path: Path) -> None:
    strategy = "freeze-d first=1"
    path = bench.transfer_table((PAIR,), (strategy,), (10,), trials=1, budget=BUDGET, out=tmp_path)
    assert "| `freeze-d first=1` | 1 |" in path.read_text()
    (config,) = tmp_path.glob("halves-10-freeze-d-first-1-0-*/0*/config.json")
    kept = json.loads(config.read_text())
    assert (kept["strategy"], kept["strategy_config"]) == ("freeze-d", {"first": 1})


def test_scratch_and_strategies_share_the_augmentation(tmp_path: Path) -> None:
    budget = replace(BUDGET, aug="ada")
    path = bench.transfer_table((PAIR,), ("full",), (10,), trials=1, budget=budget, out=tmp_path)
    assert "8 images, lr 0.0008, r1 0.5, augmentation ada, also from scratch" in path.read_text()
    configs = [json.loads(file.read_text()) for file in tmp_path.glob("halves-10-*/0*/config.json")]
    assert {(kept["verb"], kept["recipe"]["aug"]) for kept in configs} == {
        ("train", "ada"),
        ("transfer", "ada"),
    }


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A zip of 40 images 16×16 in colour, all different."""
    path = tmp_path / "colours.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(40):
            file = io.BytesIO()
            Image.new("RGB", (16, 16), (6 * number, 250 - 6 * number, 5)).save(file, "png")
            archive.writestr(f"{number:02}.png", file.getvalue())
    return path


def test_a_pool_holds_out_all_other_images(colours: Path, tmp_path: Path) -> None:
    def ids(shots: int, seed: int, split: str) -> set[int]:
        settings: dict[str, Any] = {"shots": shots, "pool": 12, "seed": seed, "most": 20}
        path = tmp_path / f"{shots}-{seed}.zip"
        drawn(path, str(colours), image_size=16, data_root=None, **settings)
        found = gz.load_data(path, split=split).ids
        assert found is not None
        return set(found.tolist())

    few, all_drawn, held_out = ids(4, 0, "train"), ids(0, 0, "train"), ids(4, 0, "test")
    assert (len(few), len(all_drawn), len(held_out)) == (4, 12, 20)
    assert few < all_drawn and not held_out & all_drawn
    assert held_out == ids(0, 0, "test") and ids(4, 1, "train") != few
    every = gz.load_data(colours, split="train").ids, gz.load_data(colours, split="test").ids
    assert all_drawn | held_out < {one for part in every if part is not None for one in part.tolist()}


def test_copies_of_an_image_are_never_on_both_sides(colours: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(colours, "a") as archive:
        for number in range(30):
            archive.writestr(f"copy-{number:02}.png", archive.read(f"{number:02}.png"))
    assert count_images(str(colours), 16, None) == 40
    for seed in range(3):
        path = tmp_path / f"{seed}.zip"
        settings: dict[str, Any] = {"shots": 0, "pool": 20, "seed": seed, "most": 40}
        drawn(path, str(colours), image_size=16, data_root=None, **settings)
        train, test = (gz.load_data(path, split=split).ids for split in ("train", "test"))
        assert train is not None and test is not None
        both = [*train.tolist(), *test.tolist()]
        assert len(train) == len(test) == 20 and len(set(both)) == 40


def test_a_pool_of_a_named_data_set_keeps_its_classes(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"shots": 0, "pool": 200, "seed": 0, "most": 50}
    path = drawn(tmp_path / "a.zip", "digits:3,8", image_size=8, data_root=None, **settings)
    images = gz.load_data(path, split="train")
    assert len(images) == 200 and images.classes == ("3", "8") and images.shape == (1, 8, 8)


def test_a_colour_pair_has_its_own_recipe_networks_and_samples(colours: Path, tmp_path: Path) -> None:
    config = {"image_size": 16, "channels": 3, "width": 4}
    source = gz.build_gan("dcgan", "dcgan", generator_config=config, discriminator_config={"width": 4})
    own: dict[str, Any] = {"pool": 12, "image_size": 32, "metric": "kd", "preset": "transfer-64"}
    own["extractor"] = "pixels"
    pair = bench.Pair("colours", str(colours), str(source.save(tmp_path / "source")), **own)
    budget = bench.Budget(steps=2, batch=4, looks=1, samples=20)
    wide = "scratch generator=dcgan generator.width=3 discriminator=dcgan discriminator.width=2 lr=1e-3"
    path = bench.transfer_table(
        (pair,), ("full loss=hinge", wide), (4,), trials=1, budget=budget, out=tmp_path / "out"
    )
    text = path.read_text()
    assert "loss relativistic, lr 0.0004, r1 1.0, augmentation diffaugment" in text
    assert f"- `scratch …`: `{wide}`" in text and "| `scratch …` | 1 |" in text
    assert "| strategy | KID after 0 | KID after 2 |" in text and "![samples](colours-samples.png)" in text
    assert "Each seed draws 12 images of the set" in text
    configs = {
        kept["recipe"]["loss"]: kept
        for file in (tmp_path / "out").glob("colours-4-*/0*/config.json")
        if "wide" not in (kept := json.loads(file.read_text())) and kept["recipe"]["lr"] == 4e-4
    }
    assert configs["hinge"]["verb"] == "transfer" and configs["relativistic"]["verb"] == "train"
    names = {
        (part["generator"]["name"], part["image"]["height"])
        for file in (tmp_path / "out").glob("*/0*/model/config.json")
        if (part := json.loads(file.read_text()))
    }
    assert names == {("grown", 32), ("dcgan", 32)}
    with Image.open(tmp_path / "out" / "colours-samples.png") as sheet:
        assert sheet.width > 4 * 3 * 32 and len(sheet.convert("RGB").getcolors(1 << 20) or ()) > 20
    assert {row["images"] for row in rows(tmp_path / "out")} == {4}


def test_a_check_has_the_images_of_the_pool(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The split of 40 images holds out fewer than 28, which a pool of 12 leaves."""
    config = {"image_size": 16, "channels": 3, "width": 4}
    source = gz.build_gan("dcgan", generator_config=config).save(tmp_path / "source")
    own: dict[str, Any] = {"extractor": "pixels", "metric": "kd", "preset": "transfer-64"}
    pair = bench.Pair("colours", str(colours), str(source), **own, pool=12)
    runs: list[Any] = []

    def prepare(*arguments: Any) -> Any:
        run: Any = prepare_transfer(*arguments)
        runs.append((len(run.data.train), len(run.data.held_out)))
        return run

    monkeypatch.setattr(bench, "prepare_transfer", prepare)
    bench.check((pair,), ("full",), (4, 0), bench.Budget(steps=1, samples=30), None)
    assert runs == [(4, 28), (12, 28)]


def test_a_word_belongs_to_the_strategy_or_to_the_recipe() -> None:
    method = method_of("l2-sp+freeze-d first=2 lr=1e-3 loss=hinge")
    assert (method.name, method.config) == ("l2-sp+freeze-d", {"first": 2})
    assert method.recipe == {"lr": 1e-3, "loss": "hinge"}
    scratch = method_of("scratch discriminator=projected discriminator.width=8 r1=0")
    assert scratch.networks == {"discriminator": "projected", "discriminator_config": {"width": 8}}
    assert scratch.recipe == {"r1": 0} and not scratch.config


BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize("name", ["transfer", "transfer-emoji", "transfer-colour"])
def test_keys_of_finished_cells_stay_valid(name: str) -> None:
    for line in (BENCHMARKS / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        own = Cell(bench.Pair(**row["pair"]), row["shots"], row["strategy"], row["seed"])
        assert own.key(bench.Budget(**row["budget"])) == row["key"]


def test_finished_colour_cells_are_those_of_the_script() -> None:
    script: Any = runpy.run_path(str(BENCHMARKS / "transfer_colour.py"))
    keys = {
        Cell(script["pair"](target), count, strategy, seed).key(script["BUDGET"])
        for shots, trials, targets, strategies in script["PHASES"]
        for count in shots
        for target in targets
        for strategy in ("scratch", *strategies)
        for seed in range(trials)
    }
    lines = (BENCHMARKS / "transfer-colour.jsonl").read_text().splitlines()
    assert len(lines) > 30 and {json.loads(line)["key"] for line in lines} <= keys


def test_defaults_of_pairs_above_32_pixels() -> None:
    grey, colour = bench.PAIRS[:1], bench.PAIRS[-1:]
    assert bench.budget_for(grey) == bench.Budget() == bench.budget_for((*grey, *colour))
    budget = bench.budget_for(colour, batch=8, steps=None)
    assert (budget.steps, budget.batch, budget.looks, budget.samples) == (600, 8, 4, 500)
    assert bench.choose_pairs((), "", "") == bench.GREY_PAIRS == bench.PAIRS[:3]
    pair = bench.choose_pairs((), "dcgan-faces", "portraits", pool=20)[0]
    assert (pair.preset, pair.pool, pair.note) == ("transfer-64", 20, "20 images to draw from, 80 held out")
    assert bench.shots_of((pair,)) == (0,) and bench.shots_of(grey) == bench.SHOTS


def cell(strategy: str, curve: dict[str, float], fd: float, seed: int = 0) -> dict[str, Any]:
    scores = {"fd": fd, "kd": 1.0, "precision": 0.5, "recall": 0.5, "nn_distance": 1.0}
    floors = scores | {"fd": 1.0, "nn_distance": None}
    return {
        "pair": {"metric": "fd"},
        "strategy": strategy,
        "seed": seed,
        "curve": curve,
        "scores": scores,
        "floors": floors,
        "best_step": 2,
        "seconds": 3.0,
    }


def test_long_names_are_shown_by_their_first_words() -> None:
    tail = "discriminator=dcgan discriminator.width=32"
    names = ["scratch", f"scratch generator=dcgan {tail}", f"scratch generator=fast {tail}", f"full {tail}"]
    shown = ["scratch", "scratch generator=dcgan …", "scratch generator=fast …", "full …"]
    assert list(short_names(names).values()) == shown


def test_the_table_compares_with_the_mean_curve_of_scratch() -> None:
    scratch = [cell("scratch", {"0": 1.0, "5": 9.0, "9": last}, last) for last in (4.0, 6.0)]
    fast, slow = (
        cell("fast", {"0": 8.0, "5": 5.0, "9": 2.0}, 2.0),
        cell("slow", {"0": 9, "5": 8, "9": 7}, 7.0),
    )
    assert overtakes([fast], scratch) == "5", "scratch's best is 5, the look before its first step aside"
    assert overtakes([fast, slow], scratch) == "5 (1 of 2)" and overtakes([slow], scratch) == "never"
    lines = table([slow, *scratch, fast]).splitlines()[2:]
    assert [line.split("`")[1] for line in lines[:3]] == ["scratch", "fast", "slow"]
    assert lines[0].startswith("| `scratch` | 2 | 5 ± 1.41 | 1.00 |") and "| 2 | 0.40 |" in lines[1]


def test_a_strategy_of_one_seed_is_compared_with_that_seed() -> None:
    scratch = [cell("scratch", {"0": 9.0, "5": fd}, fd, seed) for seed, fd in ((0, 4.0), (1, 8.0))]
    all_seeds = [cell("both", {"0": 9.0, "5": fd}, fd, seed) for seed, fd in ((0, 2.0), (1, 4.0))]
    lines = table([*scratch, cell("one", {"0": 9.0, "5": 3.0}, 3.0), *all_seeds]).splitlines()[3:]
    assert lines[0].startswith("| `both` | 2 | 3 ± 1.41 | 0.50 |"), "the same mean, and a harder start"
    assert lines[1].startswith("| `one` | 1 | 3 | 0.75 |")


def test_a_pair_measured_by_kernels_needs_no_frechet_distance() -> None:
    rows = [cell("scratch", {"0": 9.0, "5": 4.0}, 0.0), cell("full", {"0": 9.0, "5": 2.0}, 0.0)]
    for row, value in zip(rows, (4.0, 2.0), strict=True):
        row["pair"] = {"metric": "kd"}
        row["scores"] = {"kd": value, "precision": 0.5, "recall": 0.5}
    head, rule, *lines = table(rows).splitlines()
    assert head.startswith("| strategy | seeds | KID | of scratch | precision | recall | best at step")
    assert {line.count("|") for line in (head, rule, *lines)} == {head.count("|")}
    assert lines[1].startswith("| `full` | 1 | 2 | 0.50 |")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--pair", "x"), "unknown pair x; there are: mnist-fashion, mnist-glyphs, digits"),
        (("--source", "dcgan-mnist"), "needs both --source and --data"),
        (("--part", "3/2"), "part '3/2' is not a valid I/N"),
        (("--trials", "0"), "trials must be at least 1"),
        (("--steps", "0"), "steps must be at least 1, not 0"),
        (("--aug", "x"), "unknown augmentation 'x'; there are: ada, diffaugment, none"),
        (("--strategy", "freezed"), "unknown strategy 'freezed'; did you mean"),
        (("--strategy", "freeze-d first"), "strategy freeze-d: 'first': write KEY=VALUE"),
        (("--strategy", "freeze-d last=1"), "strategy 'freeze-d' takes no argument 'last'"),
        (("--strategy", ""), "unknown strategy ''"),
        (("--source", "cnn-mnist", "--data", "digits"), "cnn-mnist is a backbone, not a GAN"),
        (
            ("--pair", "digits", "--pool", "9"),
            "--pool: only a pair of your own (--source, --data) takes this",
        ),
        (
            ("--source", "dcgan-faces", "--data", "portraits", "--pool", "95"),
            "a pool of 95 leaves 5 held-out",
        ),
        (("--source", "dcgan-faces", "--data", "portraits", "--pool", "-1"), "--pool must be at least 1"),
        (("--pair", "faces-portraits", "--shots", "-3"), "--shots must be at least 1, or 0 for all, not -3"),
        (("--pair", "faces-portraits", "--shots", "60"), "--shots 60: the images of faces-portraits are"),
        (("--strategy", "full loss=hing"), "unknown loss 'hing'; did you mean hinge?"),
        (("--strategy", "full r1=-1"), "r1 must be 0 or more, not -1"),
        (("--strategy", "scratch first=1"), "scratch: first is not a setting of the recipe; networks are"),
        (
            ("--strategy", "scratch generator.width=4"),
            "arguments of a generator need its name, generator=NAME",
        ),
        (("--strategy", "scratch generator=dcgam"), "unknown generator 'dcgam'"),
    ],
)
def test_wrong_input_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "transfer", "--out", str(tmp_path), *words])
    assert stop.value.code == 2 and text in capsys.readouterr().err


def test_a_line_that_is_no_cell_is_named(tmp_path: Path) -> None:
    (tmp_path / bench.RESULTS).write_text('{"key": "a"}\nhalf a li')
    with pytest.raises(gz.UsageError, match=r"cells.jsonl, line 2 is not a valid cell .*; remove the line"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("strategies", "shots", "budget", "said"),
    [
        (("full", "freeze-d first=9"), (10,), {}, "freeze-d"),
        (("full",), (10, 1_000_000), {}, "--shots 1000000"),
        (("full",), (10, -5), {}, "--shots -5"),
        (("full",), (10,), {"samples": 1}, "samples must be at least 2"),
    ],
)
def test_what_a_late_cell_would_stop_at_is_told_at_once(
    tmp_path: Path, strategies: tuple[str, ...], shots: tuple[int, ...], budget: dict[str, int], said: str
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(gz.ZooError, match=said):
        bench.transfer_table(
            (PAIR,), strategies, shots, trials=1, budget=replace(BUDGET, **budget), out=tmp_path / "table"
        )
    assert not (tmp_path / "table").exists() and torch.equal(torch.get_rng_state(), before)


def test_a_strategy_for_few_images_is_checked_with_few(tmp_path: Path) -> None:
    """`scale-shift` with latents takes up to 10,000 images; the whole data set has more."""
    bench.check((bench.PAIRS[1],), ("scale-shift latents=true",), (10,), BUDGET, None)
