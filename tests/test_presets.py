"""Presets, the recipe that a transfer chooses, a budget in minutes, and what a run says before it starts."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SMALL, TINY

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData
from gantl_zoo.networks.base import BlockDiscriminator
from gantl_zoo.registry.releases import release_folder
from gantl_zoo.runs import choice, estimate, prepare, prepared
from gantl_zoo.runs.choice import Open, choose_recipe
from gantl_zoo.runs.dry_run import dry_run
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.memory import Needed
from gantl_zoo.runs.settings import TrainSettings, TransferSettings, check_known
from gantl_zoo.runs.train import chosen_for, prepare_train
from gantl_zoo.runs.transfer import prepare_transfer
from gantl_zoo.storage.schema import read_config
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training.presets import Preset, load_preset, with_preset
from gantl_zoo.training.recipe import VERBS, Recipe

NAMES = gz.presets.names()
QUICK: dict[str, Any] = {k: v for k, v in TINY.items() if "config" not in k}
CHOSEN = ("steps", "batch", "loss", "aug", "r1", "lr")


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantl_zoo.strategy.auto.SAMPLES", 100)
    monkeypatch.setattr(choice, "COMPARED", 50)


def blank(count: int, side: int = 28, channels: int = 1) -> ImageData:
    return ImageData(torch.zeros(count, channels, side, side, dtype=torch.uint8), name="blank")


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_a_recipe_that_can_be_built(name: str) -> None:
    preset = load_preset(name)
    assert preset.description.endswith(".") and preset.measured
    for verb, kind in (("train", TrainSettings), ("transfer", TransferSettings)):
        settings = preset.for_verb(verb)
        own = {"generator", "strategy"} & set(settings)
        check_known({k: v for k, v in settings.items() if k not in own}, kind)
        Recipe.for_verb(verb, **{k: v for k, v in settings.items() if k in Recipe.__dataclass_fields__})
    settings = dict(preset.settings)
    if "strategy" in settings:
        build_strategy(settings["strategy"], settings.get("strategy_config", {}))
    for kind in ("generator", "discriminator"):
        registry = getattr(gz, f"{kind}s")
        registry.configure(settings.get(kind, "dcgan"), **settings.get(f"{kind}_config", {}))
    rows = preset.describe()
    shown = {key: formula.text for key, formula in preset.formulas.items()}
    assert [row[:2] for row in rows] == list((settings | shown).items()) and all(row[2] for row in rows)


@pytest.mark.parametrize("name", [n for n in NAMES if n in gz.models])
def test_the_preset_of_a_released_model_is_its_recipe(name: str) -> None:
    config = read_config(release_folder(name))
    verb = "transfer" if "strategy" in config["lineage"] else "train"
    settings = load_preset(name).for_verb(verb)
    for key, value in settings.items():
        if key == "strategy":
            assert config["lineage"]["strategy"] == value
        elif key.endswith("_config"):
            assert value.items() <= config[key.removesuffix("_config")]["config"].items()
        elif key in ("generator", "discriminator"):
            assert config[key]["name"] == value
        elif key == "image_size":
            assert config["image"]["height"] == value
        elif key == "conditional":
            assert bool(config["num_classes"]) == value
        else:
            assert config["training"][key] == value, key
    usual = vars(Recipe.for_verb(verb, **{k: v for k, v in settings.items() if k in config["training"]}))
    for key in ("loss", "aug", "r1", "lr", "beta1", "beta2", "decay", "ema_images", "steps", "batch"):
        assert config["training"][key] == usual[key], f"{key} is not in the preset"


def test_presets_are_listed_and_shown_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys\nfrom gantl_zoo.cli.app import main\n"
        "for words in (['list', '--kind', 'presets'], ['info', 'few-shot']):\n"
        "    try: main(words)\n    except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(name in said for name in ("article", "few-shot", "stacked-mnist", "dcgan-mnist"))
    shown = said.partition("few-shot: preset")[2]
    assert "lr=0.0008" in shown and "benchmarks/transfer-short.md" in shown.partition("Measured")[2]
    with pytest.raises(SystemExit):
        main(["info", "dcgan-mnist"])
    both = capsys.readouterr().out
    assert "dcgan-mnist: preset" in both and "Lineage" in both, "the model is not hidden by its preset"


def test_given_settings_win_and_parts_of_another_network_are_left_out() -> None:
    assert with_preset("few-shot", "transfer", {"lr": 1e-3, "r1": None})["lr"] == 1e-3
    assert with_preset("few-shot", "transfer", {"r1": None})["r1"] == 0.5
    assert with_preset(None, "train", {"lr": None, "steps": 3}) == {"steps": 3}
    merged = with_preset("dcgan-mnist", "train", {"discriminator_config": {"width": 8}})
    assert merged["discriminator_config"] == {"width": 8, "flat": 1} and merged["generator"] == "dcgan"
    assert load_preset("dcgan-mnist").settings["discriminator_config"] == {"width": 32, "flat": 1}
    other = with_preset("quality", "train", {"generator": "resnet"})
    assert "discriminator_config" not in other and other["lr"] == 8e-4
    assert "discriminator_config" not in with_preset("quality", "train", {"discriminator": "resnet"})
    assert "strategy" not in with_preset("dcgan-fashion-mnist", "train", {})
    assert "generator_config" not in with_preset("dcgan-mnist", "transfer", {})


def test_a_run_keeps_its_preset_and_resumes_with_its_settings(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    settings = QUICK | {"preset": "few-shot", "out": tmp_path}
    model = gz.transfer(gan, data=images, **settings)
    (run,) = tmp_path.iterdir()
    config = json.loads((run / "config.json").read_text())
    recipe = config["recipe"]
    assert config["preset"] == model.about["training"]["preset"] == "few-shot"
    assert (recipe["aug"], recipe["lr"], recipe["steps"]) == ("diffaugment", 8e-4, 6)
    assert "--lr 0.0008" in model.about["training"]["command"], "the card's command needs no preset"
    again = gz.transfer(gan, data=images, resume=run, preset="few-shot")
    assert torch.equal(again.generate(2), model.generate(2))
    with pytest.raises(gz.UsageError, match="began with preset few-shot, not fast"):
        gz.transfer(gan, data=images, resume=run, preset="fast")
    del config["preset"], config["minutes"]  # as an earlier version wrote it
    assert (Job.from_config(config, run).preset, Job.from_config(config, run).minutes) == (None, None)


def test_wrong_presets_are_refused_before_anything_is_written(images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.UnknownNameError, match="unknown preset 'few-shots'; did you mean few-shot"):
        gz.train("dcgan", data=images, preset="few-shots", out=tmp_path)
    with pytest.raises(gz.UsageError, match="preset must be a string, not 3"):
        gz.train("dcgan", data=images, preset=3, out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(gz.UsageError, match="unknown setting 'learning_rate'"):
        Preset(description="x", settings={"learning_rate": 1}, measured="")
    assert not list(tmp_path.iterdir())


def test_a_formula_may_give_any_setting_but_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gz.presets, "_own", dict(gz.presets._own))

    def preset(**settings: Any) -> Preset:
        return Preset(description="", settings=settings, measured="")

    formulas = {
        "aug": gz.Formula("ada from 32 pixels on", lambda side, batch: "ada" if side >= 32 else "none"),
        "final": gz.Formula("half the rate", lambda side, batch: {"lr": batch / 2}),
        "lr": gz.Formula("1 / side", lambda side, batch: 1 / side),
        "steps": gz.Formula("a million per pixel", lambda side, batch: 1_000_000 * side),
    }
    gz.presets.register("computed", preset(**formulas))
    choosing = Open(settings=frozenset(formulas), preset="computed")
    recipe, text = choice.computed(Recipe(), choosing, blank(4, 64))
    assert (recipe.aug, recipe.final, recipe.lr) == ("ada", {"lr": Recipe.batch / 2}, 1 / 64)
    assert text.splitlines()[0].startswith("aug ada, for 64 pixels") and "lr 0.015625, " in text
    assert "steps 64000000, " in text
    for key in ("batch", "generator", "strategy"):
        with pytest.raises(gz.UsageError, match=f"{key} can't be a Formula"):
            preset(**{key: gz.Formula("", lambda side, batch: 1)})


def test_presets_of_scripts_may_be_objects_or_functions(
    images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gz.presets, "_own", dict(gz.presets._own))
    mine = Preset(description="Mine.", settings={"lr": 1e-3, "beta2": 0.9}, measured="nowhere")
    gz.presets.register("mine", mine)

    @gz.presets.register("made")
    def made() -> Preset:
        return replace(mine, settings={"lr": 2e-3})

    gz.presets.register("wrong", {"lr": 1})
    for name, rate in (("mine", 1e-3), ("made", 2e-3)):
        settings: Any = {"generator_config": SMALL, "preset": name}
        assert prepare_train(None, images, settings).job.recipe.lr == rate
    with pytest.raises(gz.PluginError, match=r"preset 'wrong' is a dict, not a gz\.Preset"):
        load_preset("wrong")
    with pytest.raises(gz.NameTakenError):
        gz.presets.register("few-shot", mine)


def test_a_preset_names_the_generator_on_the_command_line(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(photos), "--preset", "dcgan-faces", "--steps", "3", "--dry-run"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--generator-arg", "width=4"])
    said = " ".join(capsys.readouterr().out.split())
    assert not stop.value.code and "64×64 in colour" in said
    assert "3 steps of 32 images" in said and "relativistic loss" in said and "R1 1" in said
    with pytest.raises(SystemExit) as stop:
        main(["transfer", "--data", str(photos), "--preset", "transfer", "--dry-run"])
    assert stop.value.code == 2 and "name a GAN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "side", "preset", "steps"),
    [
        (1, 28, "few-shot", 1_500),
        (60, 32, "few-shot", 1_500),
        (61, 28, "transfer", 4_500),
        (60_000, 28, "transfer", 4_500),
        (10, 64, "transfer-64", 600),
        (300, 33, "transfer-64", 600),
        (301, 64, "transfer-64", 2_000),
    ],
)
def test_the_recipe_follows_number_and_size_of_the_images(
    count: int, side: int, preset: str, steps: int
) -> None:
    data = ImageData(torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 1, side, side), name="blank")
    recipe, why = choose_recipe(Recipe(), frozenset(CHOSEN), data)
    expected = load_preset(preset).settings
    assert recipe == replace(Recipe(), **expected | {"steps": steps})
    assert f"recipe {preset}, for {count:,} images of {side}×{side}: steps {steps}" in why
    assert f"gantl-zoo info {preset}" in why and "--minutes N" in why
    assert choose_recipe(Recipe(), frozenset(), data) == (Recipe(), "")
    only = choose_recipe(Recipe(lr=1e-5), frozenset(["aug"]), data)[0]
    assert only == Recipe(lr=1e-5, aug="diffaugment")


def test_a_choice_fits_what_was_given() -> None:
    recipe, why = choose_recipe(Recipe(batch=60, accumulate=3), frozenset(CHOSEN), blank(10))
    assert recipe.batch == 33 and "batch 33" in why
    compiled = Recipe(engine_config={"compile": True})
    assert choose_recipe(compiled, frozenset(CHOSEN), blank(10))[0].r1 == 0


class Rough(BlockDiscriminator):
    """A discriminator without second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.image_shape = (1, 28, 28)
        self.blocks = torch.nn.ModuleList(
            [
                torch.nn.Sequential(torch.nn.Conv2d(1, 2, 5, 4), OnceOnly(), torch.nn.Flatten()),
                torch.nn.Linear(72, 1),
            ]
        )

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.blocks[1](self.blocks[0](images)).squeeze(1)  # type: ignore[no-any-return]


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: torch.Tensor) -> torch.Tensor:
        return features * 2

    @staticmethod
    def backward(context: Any, slope: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        if slope.requires_grad:
            raise RuntimeError("derivative for Once is not implemented")
        return slope * 2


class OnceOnly(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return Once.apply(features)  # type: ignore[no-any-return,no-untyped-call]


def test_r1_is_not_chosen_for_a_network_without_second_derivatives(gan: gz.GAN, images: ImageData) -> None:
    smooth = prepare_transfer(gan, images, "full", {"steps": 3})
    assert smooth.job.recipe.r1 == 0.5
    rough = replace(smooth, setup=replace(smooth.setup, discriminator=Rough()))
    settled = prepared.without_r1(rough, Open(settings=frozenset(["r1"])))
    assert settled.job.recipe.r1 == 0 and "R1 needs second derivatives" in settled.why
    assert prepared.without_r1(rough, Open()).job.recipe.r1 == 0.5, "what was given is not replaced"


def test_a_bare_transfer_chooses_strategy_and_recipe_and_says_so(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    settings = {k: v for k, v in QUICK.items() if k not in CHOSEN} | {"steps": 2}
    model = gz.transfer(gan, data=images.few(20), out=tmp_path, **settings)
    (run,) = tmp_path.iterdir()
    log = (run / "log.txt").read_text()
    kept = {key: model.about["training"][key] for key in CHOSEN}
    assert kept == dict(load_preset("few-shot").settings) | {"steps": 2}
    assert "strategy auto: 20 images, " in log and "recipe few-shot, for 20 images" in log
    assert log.index("to change them: --strategy") < log.index("transfer 2/2")
    assert "3.2 passes over 20 images" in log and "MiB of memory" in log


def test_scratch_has_the_recipe_that_the_transfer_chose(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    settings = {"steps": 2, "metrics": "kd", "samples": 20, "image_size": 28, "channels": 1}
    gz.transfer(gan, data=photos, compare_scratch=True, out=tmp_path, **settings)  # type: ignore[arg-type]
    recipes = [json.loads(p.read_text())["recipe"] for p in tmp_path.rglob("0*/config.json")]
    assert len(recipes) == 2 and recipes[0] == recipes[1] and recipes[0]["aug"] == "diffaugment"


def test_a_far_target_is_told_which_release_is_nearer(images: ImageData) -> None:
    clothes = gz.load_model("dcgan-fashion-mnist")
    digits = gz.load_model("dcgan-mnist")
    assert isinstance(clothes, gz.GAN) and isinstance(digits, gz.GAN)
    own = ImageData(((clothes.generate(60, seed=0) + 1) * 127.5).byte())
    said = choice.nearness(digits, own, 1.2)
    assert (
        said.startswith("dcgan-fashion-mnist is near (0.")
        and "gantl-zoo transfer dcgan-fashion-mnist" in said
    )
    assert choice.nearness(digits, own, 0.5) == ""
    noise = ImageData(torch.randint(0, 256, (60, 1, 28, 28), dtype=torch.uint8))
    far = choice.nearness(digits, noise, 5.0)
    assert far.startswith("no released model is near these images (") and "--compare-scratch" in far


def test_the_advice_is_a_reason_of_the_run(
    gan: gz.GAN, images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "nearness", lambda source, images, far: f"another source, {far > 0}")
    assert "another source, True" in prepare_transfer(gan, images, None, {"steps": 2}).why.splitlines()
    assert "another source" not in prepare_transfer(gan, images, "full", {"steps": 2}).why


def test_training_on_few_images_without_augmentation_is_advised(images: ImageData) -> None:
    settings: Any = {"generator_config": SMALL, "discriminator_config": {"width": 4}, "steps": 3}
    assert "40 images are few" in prepare_train("dcgan", images, settings).why
    assert prepare_train("dcgan", images, settings | {"aug": "ada"}).why == ""
    assert prepare_train("dcgan", images, settings | {"preset": "article"}).why == ""
    assert choice.few_images_advice(Recipe(), blank(1_000, 1), None) == ""


@pytest.fixture
def fixed_speed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def speed(*arguments: Any) -> float:
        asked.append(arguments)
        return 320.0

    monkeypatch.setattr(prepared, "images_per_second", speed)
    return asked


def test_minutes_become_steps_and_are_kept(
    images: ImageData, gan: gz.GAN, tmp_path: Path, fixed_speed: list[Any]
) -> None:
    run = prepare_transfer(gan, images, "full", {"minutes": 2})
    assert run.job.recipe.steps == 1_200 and run.job.minutes == 2
    assert run.monitor.evaluator is None and "steps 1,200, which take about 2 minutes" in run.why
    assert run.estimate().seconds == 120 and len(fixed_speed) == 1, "the speed is measured once"
    settings: Any = QUICK | {"minutes": 0.004, "out": tmp_path}
    del settings["steps"]
    model = gz.train("dcgan", data=images, generator_config=SMALL, **settings)
    assert model.about["training"]["steps"] == 9 and "--steps 9" in model.about["training"]["command"]
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "config.json").read_text())["minutes"] == 0.004
    with pytest.raises(gz.UsageError, match=r"began with minutes 0.004, not 5"):
        gz.train("dcgan", resume=folder, minutes=5)
    preset: Any = {"minutes": 2, "preset": "few-shot"}
    assert prepare_transfer(gan, images, "full", preset).job.recipe.steps == 1_200, "not the preset's"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"minutes": 3, "steps": 9}, "steps and minutes are both given"),
        ({"minutes": 0}, "minutes must be above 0, not 0"),
        ({"minutes": -1.5}, "minutes must be above 0"),
        ({"minutes": float("inf")}, "minutes must be a number, not inf"),
        ({"minutes": float("nan")}, "minutes must be a number, not nan"),
        ({"minutes": "3"}, "minutes must be a number, not '3'"),
    ],
)
def test_impossible_minutes_are_refused(
    images: ImageData, gan: gz.GAN, tmp_path: Path, settings: Any, said: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: gz.train("dcgan", data=images, out=tmp_path, **settings),
        lambda: gz.transfer(gan, data=images, out=tmp_path, **settings),
    ]
    for call in calls:
        with pytest.raises(gz.UsageError, match=said):
            call()
    assert not list(tmp_path.iterdir())


def test_minutes_beside_steps_are_refused_on_the_command_line(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(
            ["train", "dcgan", "--data", str(photos), "--image-size", "32", "--minutes", "1", "--steps", "5"]
        )
    assert stop.value.code == 2 and "steps and minutes are both given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("minutes", "measuring", "steps"), [(1, False, 600), (1, True, 540), (0.01, False, 6), (0.0001, True, 1)]
)
def test_steps_within_minutes(minutes: float, measuring: bool, steps: int) -> None:
    assert estimate.steps_within(minutes, 320, 32, measuring) == steps


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 second"),
        (40, "40 seconds"),
        (89, "89 seconds"),
        (150, "2.5 minutes"),
        (1_800, "30 minutes"),
        (12_600, "3.5 hours"),
        (400_000, "4.6 days"),
    ],
)
def test_a_duration_in_words(seconds: float, said: str) -> None:
    assert estimate.duration(seconds) == said


def test_an_estimate_says_time_memory_and_passes() -> None:
    need = Needed(2 << 20, 1 << 20, 3 << 20)
    cost = estimate.Estimate(Recipe(steps=900, batch=32), 100, need, 160.0, measuring=True)
    assert cost.seconds == pytest.approx(200) and cost.epochs == 288
    assert str(cost) == (
        "about 3.3 minutes on this machine (160 images/s), 6 MiB of memory besides the libraries, 288 passes "
        "over 100 images"
    )
    assert str(replace(cost, rate=0.0)).startswith("about 6 MiB")


@pytest.mark.parametrize("strategy", ["full", "freeze-d", "l2-sp", "scale-shift", "ewc+freeze-d"])
def test_timing_changes_neither_the_run_nor_chance(gan: gz.GAN, images: ImageData, strategy: str) -> None:
    run = prepare_transfer(gan, images, strategy, {"steps": 200, "batch": 4, "precision": "fp32"})
    assert run.source is not None
    networks = [*run.setup.networks.values(), run.source.generator, gan.generator, gan.discriminator]
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in networks]
    modes = [[m.training for m in network.modules()] for network in networks]
    chance = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    assert run.speed() > 0
    assert torch.equal(chance[0], torch.random.get_rng_state())
    assert chance[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]
    for network, state, mode in zip(networks, before, modes, strict=True):
        assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
        assert mode == [m.training for m in network.modules()]


def test_a_timed_run_is_the_run_that_was_not_timed(
    gan: gz.GAN, images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for worth in (1, 10**9):
        monkeypatch.setattr(prepared, "WORTH_TIMING", worth)
        model = gz.transfer(gan, data=images, strategy="l2-sp", out=tmp_path / str(worth), **QUICK)
        made.append(model.generate(3))
    assert torch.equal(*made)
    logs = ["images/s), " in p.read_text() for p in sorted(tmp_path.rglob("log.txt"))]
    assert logs == [True, False]


def test_a_strategy_object_is_timed_without_being_prepared_again(gan: gz.GAN, images: ImageData) -> None:
    class Counting(gz.TransferStrategy):
        prepared = 0

        def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
            self.prepared += 1
            return super().prepare(source, target, data)

    strategy = Counting()
    run = prepare_transfer(gan, images, strategy, {"steps": 200, "batch": 4})
    assert run.speed() > 0 and strategy.prepared == 1


def test_a_dry_run_is_short_and_says_what_was_chosen(gan: gz.GAN, images: ImageData) -> None:
    run = prepare_transfer(gan, images, None, {"steps": 5})
    text = dry_run(run)
    assert len(text.splitlines()) <= 24 and "Recipe(" not in text
    assert max(map(len, text.splitlines())) <= 80
    text = " ".join(text.split())
    for words in (
        "40 images of 28×28 in grey of halves",
        "5 steps of 32 images, learning rate 0.0008, non-saturating loss, augmentation diffaugment, R1 0.5",
        "strategy auto: 40 images",
        "MiB of memory",
        "MiB of disk",
        "4 passes over 40 images",
    ):
        assert words in text, words
    held: Any = {"steps": 5, "strategy_config": {"first": 2}}
    text = " ".join(dry_run(prepare_transfer(gan, images, "freeze-d", held)).split())
    assert "blocks 0 to 1 are frozen, block 2 is trained" in text and "all blocks are trained" in text
    coloured = replace(images, images=images.images.expand(-1, 3, -1, -1).contiguous())
    text = " ".join(dry_run(prepare_transfer(gan, coloured, "freeze-d", held)).split())
    assert "block 0 is trained, block 1 is frozen, block 2 is trained" in text, "its kernels are grey"
    assert "fitted generator, tensors: " in text and "adapted (grey to RGB)" in text


def test_defaults_that_are_chosen_have_no_value_on_the_command_line() -> None:
    assert {key for key, value in VERBS["transfer"].items() if value is None} == set(CHOSEN)
    for line in choice.GUIDE:
        assert set(CHOSEN) <= set(load_preset(line.preset).settings), "the guide has a value for each"


def test_the_bare_command_is_within_the_bar_of_every_table() -> None:
    """At most 1.05 times the best row of each table; the table in benchmarks/README.md is the current one."""
    place = Path(__file__).parent.parent / "benchmarks" / "auto.py"
    spec = importlib.util.spec_from_file_location("auto_bench", place)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    tables = script.tables()
    assert len(tables) == 18
    for (pair, shots, _), rows in tables.items():
        for plugged in (True, False):
            choice = script.chosen(pair, shots, plugged)
            others = [v for s, v in rows.items() if plugged or s.split()[0] not in script.PLUGGED]
            assert choice not in rows or rows[choice] <= script.BAR * min(others), (pair, shots, choice)
    assert script.table() in (place.parent / "README.md").read_text(encoding="utf-8")


def drawn(side: int, count: int = 4) -> ImageData:
    """Colour images in memory."""
    return ImageData(torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8), name="drawn")


@pytest.mark.parametrize("side", [64, 128])
def test_large_images_are_trained_without_transposed_convolutions(side: int) -> None:
    run = prepare_train(None, drawn(side), {"steps": 2, "metrics": "none"})
    expected = load_preset("scratch-64").for_verb("train")
    assert run.job.name == "fast" and run.job.preset == "scratch-64" and "preset scratch-64" in run.why
    assert run.job.recipe.loss == expected["loss"] and run.job.recipe.steps == 2
    assert not any(isinstance(m, torch.nn.ConvTranspose2d) for m in run.setup.gan.generator.modules())


@pytest.mark.parametrize(
    ("side", "settings"),
    [
        (32, {}),
        (28, {}),
        (56, {}),
        (64, {"discriminator": "dcgan"}),
        (64, {"generator_config": {"width": 4}}),
    ],
)
def test_other_images_and_given_networks_keep_dcgan(side: int, settings: Any) -> None:
    run = prepare_train(None, drawn(side), {"steps": 2, "metrics": "none", **settings})
    assert run.job.name == "dcgan" and run.job.preset is None and not run.why.startswith("preset")


def test_a_named_generator_or_preset_is_used_for_large_images() -> None:
    assert prepare_train("dcgan", drawn(64), {"steps": 2, "metrics": "none"}).job.name == "dcgan"
    named = prepare_train(None, drawn(64), {"steps": 2, "metrics": "none", "preset": "dcgan-faces"})
    assert named.job.name == "dcgan" and named.job.preset == "dcgan-faces"


def test_networks_that_the_user_did_not_name_fit_the_engine_and_the_size() -> None:
    compiled = {"steps": 2, "metrics": "none", "engine_config": {"compile": True}}
    assert chosen_for(drawn(64), compiled)[0]["r1"] == 0  # type: ignore[arg-type]
    assert choice.preset_from_scratch(drawn(2048, 1)) == (None, "")
    with pytest.raises(gz.UnknownNameError, match="unknown loss"):
        prepare_train(None, "nowhere", {"loss": "hinj"})
