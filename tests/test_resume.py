"""A run that ends too early goes on as if it hadn't."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import children
import pytest
import torch
from helpers import EARLY, TINY, new_trainer
from safetensors.torch import load_file

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData
from gantl_zoo.errors import Stopped
from gantl_zoo.runs.agreement import same
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.training import checkpoint

HERE = Path(__file__).parent
PHOTOS = {"image_size": 28, "channels": 1}


def states(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path / "state.safetensors") for path in checkpoint.saved(run)}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def dies_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run ends when it has done `step` steps, without a word."""

    def on_step(self: RunRecorder, done: int) -> None:
        if done == step:
            raise OSError("the machine is gone")

    monkeypatch.setattr(RunRecorder, "on_step", on_step)


@pytest.mark.parametrize(  # augmentation and strategy don't know each other; "ada" is the one with a state
    ("strategy", "aug"),
    [
        *(("full", aug) for aug in registry.augmentations.names()),
        *((name, "ada") for name in registry.strategies.names() if name != "full"),
        ("scale-shift latents", "ada"),
    ],
)
def test_a_resumed_transfer_is_the_unbroken_one(
    gan: gz.GAN, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, aug: str
) -> None:
    strategy, *switches = strategy.split()
    source = gan.save(tmp_path / "source")
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")}
    settings |= {"data": photos, "channels": 1, "strategy": strategy, "aug": aug, "r1": 0.1}
    settings["strategy_config"] = dict.fromkeys(switches, True) | EARLY.get(strategy, {})
    whole = gz.transfer(source, out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        dies_at(5, patch)
        gz.transfer(source, out=tmp_path / "broken", **settings)
    (run,) = (tmp_path / "broken").iterdir()
    assert [path.name for path in checkpoint.saved(run)] == ["00000000", "00000003"]
    resumed = gz.transfer("", data="", resume=run)
    assert torch.equal(whole.generate(4), resumed.generate(4))
    assert whole.folder is not None
    assert_same(states(whole.folder.parent)["00000006"], states(run)["00000006"])


def test_a_resumed_training_with_all_that_has_a_state(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TINY | PHOTOS | {"data": photos, "aug": "ada", "loss": "relativistic", "r1": 0.5, "decay": 0.5}
    settings |= {"accumulate": 2, "discriminator_config": {"width": 4, "norm": "spectral", "dropout": 0.1}}
    whole = gz.train("dcgan", out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        dies_at(5, patch)
        gz.train("dcgan", out=tmp_path / "broken", **settings)
    run = tmp_path / "broken" / "00000-dcgan-photos"
    (run / "stats.jsonl").write_text('{"step": 3}\n{"step": 5, "written": "after the checkpoint"}\n{"ste')
    gz.train(data="", resume=run)
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    assert whole.folder is not None
    assert_same(states(whole.folder.parent)["00000006"], states(run)["00000006"])
    assert states(run)["00000003"]["augment.calls"] == 2, "in the middle of an interval"


def test_a_resumed_training_with_regularizers_that_have_a_state(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TINY | PHOTOS | {"data": photos, "regularizer": "lecam+apa+r2", "loss": "wasserstein"}
    settings |= {"aug": "ada", "aug_config": {"target": 0.1}, "loss_config": {}}
    settings["regularizer_config"] = {"lecam.weight": 0.1, "apa.target": 0.0, "every": 2}
    whole = gz.train("dcgan", out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        dies_at(5, patch)
        gz.train("dcgan", out=tmp_path / "broken", **settings)
    run = tmp_path / "broken" / "00000-dcgan-photos"
    gz.train(data="", resume=run)
    assert whole.folder is not None
    assert_same(states(whole.folder.parent)["00000006"], states(run)["00000006"])
    last = states(run)["00000003"]
    saved = {name for name, tensor in last.items() if name.startswith("regularizer.") and tensor != 0}
    assert {name.rpartition(".")[2] for name in saved} >= {"real", "fake", "updates", "seen", "calls"}
    with pytest.raises(gz.UsageError, match=r"began with regularizer lecam\+apa\+r2, not lecam"):
        gz.train(data="", resume=run, regularizer="lecam")
    command = whole.about["training"]["command"]
    assert "--regularizer lecam+apa+r2" in command and "--aug-arg target=0.1" in command
    assert "--regularizer-arg lecam.weight=0.1" in command


def test_kills_at_random_moments_lose_no_more_than_an_interval(photos: Path, tmp_path: Path) -> None:
    """SIGKILL, also while a checkpoint is being written; at the end the run is the unbroken run."""
    every = 4
    settings: dict[str, Any] = TINY | PHOTOS | {"generator": "dcgan", "data": str(photos), "steps": 100_000}
    settings |= {
        "checkpoint_every": every,
        "metrics_every": 100_000,
        "log_every": 1_000,
        "out": tmp_path / "killed",
    }
    settings |= {"watch_every": 100_000}
    run, writing = tmp_path / "killed" / "00000-dcgan-photos", 0
    before = 0
    for number, moment in enumerate(children.moments(20, seed=3)):
        done = children.CONTEXT.Value("l", 0, lock=False)  # a killed process would keep the lock
        process = children.start(children.train, done, settings)
        passed = before + every + (every - 1) * (number % 2)  # every second kill begins at a checkpoint
        while done.value <= passed and process.is_alive():  # it gets somewhere on a slow machine, too
            time.sleep(0.001)
        assert process.is_alive(), "the run ended by itself"
        time.sleep(moment)
        process.kill()
        process.join()
        reached = done.value
        writing += any((run / "checkpoints").glob(".*"))
        _, state, _ = checkpoint.read(run)
        assert state["step"] >= max(before, reached - every)
        before = state["step"]
        settings = settings | {"resume": run, "data": ""}
    assert writing, "no kill hit a checkpoint that was being written"
    reference = TINY | PHOTOS | {"generator": "dcgan", "data": str(photos), "steps": before}
    reference |= {"checkpoint_every": before, "metrics_every": before, "out": tmp_path / "whole"}
    children.start(children.train, done, reference).join()
    whole = tmp_path / "whole" / "00000-dcgan-photos"
    assert_same(states(whole)[f"{before:08d}"], states(run)[f"{before:08d}"])


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    log, words = (
        tmp_path / "log",
        ["train", "dcgan", "--data", str(photos), "--image-size", "28", "--metrics", "none"],
    )
    words += ["--generator-arg", "width=4", "--precision", "fp32", "--log-every", "1", "--batch", "8"]
    process = children.start(children.command, log, *words, "--out", str(tmp_path / "runs"))
    run = tmp_path / "runs" / "00000-dcgan-photos"
    stats = run / "stats.jsonl"
    while not stats.is_file() or '"step": 1,' not in stats.read_text():
        assert process.is_alive(), log.read_text()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)  # type: ignore[arg-type]
    process.join(30)
    assert process.exitcode == 130
    assert log.read_text().strip().endswith(f"continue with gantl-zoo resume {run}")
    newest = checkpoint.saved(run)[-1]
    assert int(newest.name) > 0 and f"stopped at step {int(newest.name)}" in log.read_text()


def test_a_second_ctrl_c_leaves_at_once() -> None:
    from gantl_zoo.training import interrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupt.Interrupt() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.asked
        signal.raise_signal(signal.SIGINT)  # a launcher passes on what the terminal has sent already
        time.sleep(interrupt.TWICE)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_resume_explains_what_it_cant_do(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    model = gan.save(tmp_path / "model")
    with pytest.raises(gz.TrainingError, match=r"is a model, not a run.*gantl-zoo transfer"):
        gz.train(data="", resume=model)
    with pytest.raises(gz.TrainingError, match="is not a run folder"):
        gz.train(data="", resume=tmp_path)
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path / "runs", **TINY)
    next(photos.rglob("*.png")).unlink()
    with pytest.raises(gz.TrainingError, match="has changed since"):
        gz.train(data="", resume=tmp_path / "runs" / "00000-dcgan-photos")


def test_resume_never_means_transfer(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path / "runs", **TINY)
    run = tmp_path / "runs" / "00000-dcgan-photos"
    gz.train("dcgan", data=photos, resume=run)
    with pytest.raises(gz.UsageError, match=r"--resume continues a run; .*gantl-zoo transfer .*00000"):
        gz.train("dcgan", data="glyphs", resume=run)
    with pytest.raises(gz.UsageError, match="--resume continues a run; to start from its model"):
        gz.transfer("dcgan-mnist", data=photos, resume=run)


def test_what_is_said_beside_resume_is_the_runs_own(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TINY | PHOTOS | {"data": photos, "metrics": "none"}
    settings["discriminator_config"] = {"width": 4, "backbone": "cnn", "widths": (4, 8), "freeze": False}
    settings["discriminator"] = "backbone"
    gz.train("dcgan", out=tmp_path, **settings)
    run = tmp_path / "00000-dcgan-photos"
    gz.train("dcgan", resume=run, **settings)  # the whole call again
    gz.train(data="", resume=run)
    for other in (
        {"steps": 7},
        {"generator_config": {"width": 8}},
        {"metrics": "fd"},
        {"conditional": False},
    ):
        (name,) = other
        with pytest.raises(
            gz.UsageError, match=rf"began with {name.replace('_config', '-arg')} .*: leave .* out, or"
        ):
            gz.train(data="", resume=run, **other)
    with pytest.raises(gz.UsageError, match="not of resnet: --resume continues a run"):
        gz.train("resnet", data="", resume=run)
    with monkeypatch.context() as patch:  # the same images by another path
        patch.chdir(tmp_path)
        gz.train("dcgan", data=Path("..") / tmp_path.name / photos.name, resume=run)
    with pytest.raises(gz.UsageError, match="unknown setting 'stepps'; did you mean steps"):
        gz.train(data="", resume=run, stepps=7)
    for words in (
        ["--steps", "6"],
        ["--seed", "1"],
        ["--generator-arg", "width=4"],
        ["--strategy", "freeze"],
    ):
        verb = "transfer" if words[0] == "--strategy" else "train"
        with pytest.raises(SystemExit) as exit:
            main([verb, "--resume", str(run), *words])
        told = capsys.readouterr().err
        assert (exit.value.code == 0) == (words[0] in ("--steps", "--generator-arg")), told
        assert exit.value.code == 0 or f"began with {words[0][2:]} " in told


def test_what_a_run_was_given_in_memory_it_needs_again(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    class Mine(gz.TransferStrategy):
        pass

    settings = {k: v for k, v in TINY.items() if not k.endswith("config")} | {"data": photos, "channels": 1}
    made = gz.transfer(gan, strategy=Mine(), out=tmp_path, **settings)
    (run,) = tmp_path.glob("0*")
    with pytest.raises(gz.UnknownNameError, match=r"again if that was given as an object"):
        gz.transfer("", data="", resume=run)
    shutil.rmtree(run / "checkpoints" / "00000006")
    again = gz.transfer(gan, data="", strategy=Mine(), resume=run)
    assert torch.equal(made.generate(2), again.generate(2))


@pytest.mark.parametrize(
    ("wish", "own", "agrees"),
    [
        ("", "me/gan@" + "a" * 40, True),
        ("hf-hub:me/gan", "me/gan@" + "a" * 40, True),
        ("me/gan@main", "me/gan@" + "a" * 40, True),
        ("me/gan@" + "a" * 40, "me/gan@" + "a" * 40, True),
        ("me/gan@" + "b" * 40, "me/gan@" + "a" * 40, False),
        ("you/gan", "me/gan@" + "a" * 40, False),
        (f"{HERE}/../{HERE.name}/", str(HERE), True),
        ("", str(HERE), True),
        (str(HERE.parent), str(HERE), False),
    ],
)
def test_which_names_mean_the_same_source(wish: str, own: str, agrees: bool) -> None:
    assert same(wish, own) == agrees


def test_a_comparison_that_was_killed_goes_on(
    gan: gz.GAN, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = gan.save(tmp_path / "source")
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")}
    settings |= {"data": photos, "channels": 1, "compare_scratch": True, "metrics": "kd", "samples": 20}

    def on_step(self: RunRecorder, done: int) -> None:
        if done == 5 and self.folder.path.name == "00000-scratch":
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match=r"resume .*photos-full$"):
        patch.setattr(RunRecorder, "on_step", on_step)
        gz.transfer(source, out=tmp_path / "broken", **settings)
    (run,) = (tmp_path / "broken").iterdir()
    assert "00000005" in states(run / "00000-scratch")
    assert not (run / "comparison.png").exists()
    gz.transfer("", data="", resume=run)
    whole = gz.transfer(source, out=tmp_path / "whole", **settings)
    assert whole.folder is not None and (run / "comparison.png").is_file()
    verdicts = [
        path.read_text().splitlines()[-2:] for path in (run / "log.txt", whole.folder.parent / "log.txt")
    ]
    assert "scratch" in verdicts[0][0] and verdicts[0][0] == verdicts[1][0]
    assert_same(
        states(whole.folder.parent / "00000-scratch")["00000006"], states(run / "00000-scratch")["00000006"]
    )


def test_another_architecture_in_the_folder_is_named(photos: Path, tmp_path: Path) -> None:
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    run = tmp_path / "00000-dcgan-photos"
    config = json.loads((run / "config.json").read_text())
    config["networks"]["generator_config"]["width"] = 8
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(gz.TrainingError, match=r"to another architecture or strategy: average\.blocks"):
        gz.train(data="", resume=run)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    run = tmp_path / "00000-dcgan-photos"
    newest = sorted((run / "checkpoints").iterdir())[-1] / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    again = gz.train(data="", resume=run)
    assert "is damaged" in capsys.readouterr().err
    assert torch.equal(whole.generate(2), again.generate(2))


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """A limit on the size of files stands for the disk: writing fails in the middle either way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_nothing_is_lost(photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"generator_config": {"width": 32}}  # the model is larger than any picture
    with (
        full_disk(1 << 20),
        pytest.raises(gz.TrainingError, match=r"can't write a checkpoint .*continue with --resume"),
    ):
        gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **settings)
    run = tmp_path / "00000-dcgan-photos"
    assert not list((run / "checkpoints").iterdir())
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **settings)
    run = tmp_path / "00001-dcgan-photos"
    shutil.rmtree(run / "checkpoints" / "00000006")
    before = states(run)
    model = (run / "model" / "generator.safetensors").read_bytes()
    with full_disk(1 << 20), pytest.raises(gz.WeightsError, match="can't write the model folder"):
        gz.train(data="", resume=run)
    assert states(run).keys() == before.keys()
    assert (run / "model" / "generator.safetensors").read_bytes() == model
    assert not list(run.glob(".*")) and not list((run / "checkpoints").glob(".*"))
    gz.train(data="", resume=run)
    assert "00000006" in states(run)


def test_a_folder_that_cant_be_written_is_told(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, where a folder should be")
    with pytest.raises(gz.TrainingError, match="can't write a run folder into"):
        gz.train("dcgan", data=photos, image_size=28, out=tmp_path / "runs", **TINY)
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path / "more", **TINY | {"steps": 3})
    run = tmp_path / "more" / "00000-dcgan-photos"
    (run / "checkpoints").rename(run / "kept")
    (run / "checkpoints").write_text("")
    with pytest.raises(gz.TrainingError, match="no complete checkpoint to resume from"):
        gz.train(data="", resume=run)


def test_the_best_checkpoint_is_kept(gan: gz.GAN, tmp_path: Path) -> None:
    from gantl_zoo.data import ImageData
    from gantl_zoo.training import engine
    from gantl_zoo.training.recipe import Recipe

    data = ImageData(torch.zeros(4, 1, 28, 28, dtype=torch.uint8))
    trainer = new_trainer(gan, gz.TransferStrategy(), data, Recipe(batch=2), engine.choose("cpu", "fp32"))
    for step in (10, 20, 30, 40):
        checkpoint.save(tmp_path, trainer.contents, {"step": step}, {10})
    assert [int(path.name) for path in checkpoint.saved(tmp_path)] == [10, 30, 40]


def test_a_runs_config_of_another_version_is_one_error(photos: Path, tmp_path: Path) -> None:
    gz.train("dcgan", out=tmp_path, **TINY | PHOTOS | {"data": photos})
    config = tmp_path / "00000-dcgan-photos" / "config.json"
    whole = json.loads(config.read_text())
    for change in ({"later": 1}, {"metrics": None}):
        config.write_text(json.dumps({k: v for k, v in (whole | change).items() if v is not None}))
        with pytest.raises(gz.TrainingError, match="written by another version of gantl_zoo, or its config"):
            gz.train(resume=config.parent)


def test_a_run_follows_its_images_to_another_place(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another directory by the absolute path, else where `data` says, if these are the same images."""
    monkeypatch.chdir(tmp_path)
    gz.train("dcgan", data="photos", image_size=28, out="runs", **TINY)
    run = tmp_path / "runs" / "00000-dcgan-photos"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    gz.resume(run)
    moved = photos.rename(tmp_path / "elsewhere" / "pictures")
    with pytest.raises(
        gz.TrainingError, match=rf"data photos \({photos}\) of .*give their new place with --data"
    ):
        gz.resume(run)
    gz.resume(run, data=moved)
    gz.train(resume=run, data="pictures")
    next(moved.rglob("*.png")).unlink()
    with pytest.raises(
        gz.UsageError, match=r"other images .*fingerprint [0-9a-f]{16}, at first [0-9a-f]{16}"
    ):
        gz.resume(run, data=moved)


def test_a_finished_run_says_that_it_had_finished(photos: Path, tmp_path: Path) -> None:
    gan = gz.train("dcgan", data=photos, out=tmp_path, **(TINY | PHOTOS))
    assert gan.folder is not None
    run = gan.folder.parent
    before = (run / "model" / "generator.safetensors").read_bytes()
    gz.resume(run, quiet=True)
    assert "this run had finished its" in (run / "log.txt").read_text()
    assert (run / "model" / "generator.safetensors").read_bytes() == before


def test_the_verb_resume(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    run = tmp_path / "00000-dcgan-photos"
    whole = load_file(run / "checkpoints" / "00000006" / "state.safetensors")
    shutil.rmtree(run / "checkpoints" / "00000006")
    photos.rename(tmp_path / "moved")
    for words, code in (([], 1), (["--data", str(tmp_path / "moved")], 0)):
        with pytest.raises(SystemExit) as exit:
            main(["resume", str(run), *words])
        assert exit.value.code == code
    assert capsys.readouterr().out.splitlines()[-1] == str(run)
    again = load_file(run / "checkpoints" / "00000006" / "state.safetensors")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_right_one_of_two_places_is_resumed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other images under the same relative name do not hide those of the run."""
    monkeypatch.chdir(tmp_path)
    gz.train("dcgan", data="photos", image_size=28, out="runs", **TINY)
    (tmp_path / "other" / "photos").mkdir(parents=True)
    for path in list(photos.rglob("*.png"))[:20]:
        shutil.copy(path, tmp_path / "other" / "photos")
    monkeypatch.chdir(tmp_path / "other")
    gz.resume(tmp_path / "runs" / "00000-dcgan-photos")


def test_a_data_name_is_never_taken_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    for data in ("digits", "digits:0-4"):
        made = gz.train("dcgan", data=data, image_size=28, out="runs", **TINY | {"steps": 1})
        assert made.folder is not None
        config = json.loads((made.folder.parent / "config.json").read_text())
        assert config["data"]["place"] is None and config["data"]["source"] == data
        monkeypatch.chdir(tmp_path / "digits")
        gz.resume(tmp_path / made.folder.parent)
        monkeypatch.chdir(tmp_path)


def test_images_in_memory_are_needed_again_and_are_the_same(images: ImageData, tmp_path: Path) -> None:
    gz.train("dcgan", data=images, out=tmp_path, **TINY)
    (run,) = tmp_path.glob("0*")
    with pytest.raises(gz.TrainingError, match="was given its images in memory: give them again as data"):
        gz.resume(run)
    with pytest.raises(gz.UsageError, match="has other images"):
        gz.resume(run, data=images.few(30))
    gz.resume(run, data=images)


def test_a_source_that_is_an_object_is_found_again_in_its_own_folder(
    gan: gz.GAN, images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from elsewhere, and also if it is called like a release."""
    monkeypatch.chdir(tmp_path)
    gan.name = "dcgan-mnist"
    gan.save("mine")
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")} | {"out": "runs", "data": images}
    for source in (gz.load_model("mine"), "mine", gan):
        made = gz.transfer(source, **settings)
        assert made.folder is not None
        run = (tmp_path / made.folder).parent
        monkeypatch.chdir(tmp_path / "runs")
        if source is gan:
            with pytest.raises(gz.UnknownNameError, match="again if that was given as an object"):
                gz.resume(run, data=images)
            gz.resume(run, data=images, source=gan)
        else:
            assert gz.resume(run, data=images).lineage["base_model"] == "mine"
        monkeypatch.chdir(tmp_path)
