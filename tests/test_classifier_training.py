"""The classifier's loop: data order, schedule, skipped steps, checkpoints, resume, callbacks, the head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.cli.app import app
from gantl_zoo.data import ImageData
from gantl_zoo.errors import Stopped
from gantl_zoo.networks.base import blocks
from gantl_zoo.runs.classifier_recorder import ClassifierRecorder
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.classify_resume import resume_classifier
from gantl_zoo.runs.classify_run import check_settings, start_of
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.schema import read_config
from gantl_zoo.surgery.head import fitted_head, shared
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.batches import epochs
from gantl_zoo.training.classifier import ClassifierRecipe, ClassifierTrainer
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.optimizers import one_cycle

QUICK: dict[str, Any] = {"epochs": 3, "batch": 16, "precision": "fp32", "image_size": 16}
SMALL = {"widths": [4, 8]}


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_schedule_is_torchs_one_cycle(steps: int) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3.0, steps)
    for step in range(steps):
        factor, beta1 = one_cycle(step, steps)
        group = optimizer.param_groups[0]
        assert (3 * factor, beta1) == pytest.approx((group["lr"], group["betas"][0]))
        optimizer.step()
        if step < steps - 1:
            schedule.step()


def test_every_epoch_is_a_shuffle_in_parts_of_nearly_equal_size() -> None:
    parts = list(epochs(17, batch=8, seed=3, start=0, steps=6))
    assert [len(part) for part in parts] == [6, 6, 5] * 2
    first, second = torch.cat(parts[:3]), torch.cat(parts[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(17))
    assert not torch.equal(first, second)
    for start in range(6):
        rest = list(epochs(17, batch=8, seed=3, start=start, steps=6))
        assert len(rest) == 6 - start and all(map(torch.equal, rest, parts[start:]))


def stops_at(step: int) -> gz.Callback:
    class Stops(gz.Callback):
        def on_step(self, run: gz.RunView) -> None:
            if run.step == step:
                raise KeyError("enough")

    return Stops()


@pytest.mark.parametrize("step", [1, 2, 4, 5])
@pytest.mark.parametrize("verb", ["train", "transfer"])
def test_a_resumed_run_is_the_unbroken_one(photos: Path, tmp_path: Path, verb: str, step: int) -> None:
    """27 training images in batches of 16: two steps an epoch."""

    def run(out: str, *callbacks: gz.Callback) -> gz.Classifier:
        settings = QUICK | {"data": photos, "out": tmp_path / out, "callbacks": callbacks}
        if verb == "train":
            return gz.classify_train("cnn", backbone_config=SMALL, smoothing=0.1, flip=True, **settings)
        return gz.classify_transfer("cnn-mnist", channels=1, strategy="l2-sp", **settings)

    whole = run("whole")
    with pytest.raises(
        gz.TrainingError, match=rf"at step {step}: the callback Stops.on_step raised KeyError"
    ):
        run("broken", stops_at(step))
    (folder,) = (tmp_path / "broken").iterdir()
    assert int(checkpoint.saved(folder)[-1].name) == step
    again = resume_classifier(folder, quiet=True)
    assert whole.folder is not None and again.folder is not None
    assert sha256(again.folder / "model.safetensors") == sha256(whole.folder / "model.safetensors")
    one, other = (
        load_file(path.parent / "checkpoints/00000006/state.safetensors")
        for path in (whole.folder, again.folder)
    )
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    rows = [
        [json.loads(line) for line in (path.parent / "stats.jsonl").read_text().splitlines()]
        for path in (whole.folder, again.folder)
    ]
    for row in rows[0] + rows[1]:
        del row["images_per_second"]
    assert rows[0] == rows[1] and [row["step"] for row in rows[0]] == [1, 2, 3]
    assert again.lineage == whole.lineage and again.about["training"] == whole.about["training"]


def test_a_callback_that_fails_at_the_end_costs_no_model(photos: Path, tmp_path: Path) -> None:
    class Fails(gz.Callback):
        def on_end(self, run: gz.RunView) -> None:
            raise SystemExit

    settings: Any = QUICK | {"data": photos, "out": tmp_path / "runs", "callbacks": [Fails()]}
    with pytest.raises(gz.TrainingError, match=r"6 steps are done, but the callback Fails\.on_end raised"):
        gz.classify_train("cnn", backbone_config=SMALL, **settings)
    (run,) = (tmp_path / "runs").iterdir()
    assert read_config(run / "model")["metrics"][0]["name"] == "accuracy"


def test_a_source_may_be_respelt_when_a_run_is_resumed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = gz.classify_train("cnn", data=photos, backbone_config=SMALL, out="base", **QUICK)
    assert source.folder is not None
    source.save(tmp_path / "a")
    settings: Any = QUICK | {"data": photos, "out": "runs"}
    with pytest.raises(gz.TrainingError):
        gz.classify_transfer("./a", callbacks=[stops_at(3)], **settings)
    (run,) = (tmp_path / "runs").iterdir()
    with pytest.raises(
        gz.UsageError, match=r"began with source \./a, not base, and --resume keeps the settings"
    ):
        gz.classify_transfer("base", resume=run)
    for name in ("a", tmp_path / "a"):
        model = gz.classify_transfer(name, resume=run, strategy="full", strategy_config={}, quiet=True)
        assert model.lineage["base_model"] == "./a"


def test_a_source_on_the_hub_may_be_named_when_a_run_is_resumed() -> None:
    commit = "0123456789" * 4
    spec, recipe = DataSpec(source="digits"), ClassifierRecipe()
    job = ClassifierJob(verb="transfer", name=f"me/cnn@{commit}", data=spec, recipe=recipe, gan="me/gan")
    for name in ("me/cnn", "hf-hub:me/cnn", f"me/cnn@{commit}", "me/cnn@main"):
        check_settings(job, "RUN", {"name": name, "gan": "hf-hub:me/gan", "epochs": 10, "title": ""})
    for wish in ({"name": "me/other"}, {"name": f"me/cnn@{'f' * 40}"}, {"gan": "me/other"}):
        with pytest.raises(gz.UsageError, match=r"RUN began with (source|gan) me/.*, not me/"):
            check_settings(job, "RUN", wish)
    with pytest.raises(gz.UsageError, match="RUN began with gan None, not dcgan-mnist"):
        check_settings(
            ClassifierJob(verb="train", name="cnn", data=spec, recipe=recipe), "RUN", {"gan": "dcgan-mnist"}
        )


def test_an_accuracy_says_if_it_was_measured_on_training_images(images: ImageData, tmp_path: Path) -> None:
    settings: Any = QUICK | {"backbone_config": SMALL, "out": tmp_path}
    model = gz.classify_train("cnn", data=images, **settings)
    (score,) = model.about["metrics"]
    assert score["on"] == f"{len(images)} training images (in memory, none held out) of {images.name}"
    given = gz.classify_evaluate(model, data=images)
    assert given["accuracy"] == score["value"]
    assert given.result("accuracy")["on"] == f"{len(images)} train images of {images.name}"
    assert set(score) == {"name", "metric", "value", "on", "data_fingerprint"}  # as folders have kept it


def test_config_keeps_all_that_a_resumed_run_needs(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(gz.TrainingError):
        gz.classify_train(
            "cnn", data=photos, backbone_config=SMALL, out=tmp_path, callbacks=[stops_at(3)], **QUICK
        )
    (run,) = tmp_path.glob("0*")
    config = json.loads((run / "config.json").read_text())
    kept = {"format": 1, "kind": "classifier-run", "verb": "train", "name": "cnn", "backbone_config": SMALL}
    assert config.items() >= kept.items() and config["data"]["fingerprint"]
    for wish, text in (({"epochs": 4}, "epochs 3, not 4"), ({"data_seed": 2}, "data-seed 0, not 2")):
        with pytest.raises(gz.UsageError, match=rf"began with {text}, and --resume keeps the settings"):
            gz.classify_train(resume=run, **wish)
    with pytest.raises(gz.UsageError, match="unknown setting 'epoch'; did you mean epochs"):
        gz.classify_train(resume=run, epoch=3)
    words = ["classify", "train", "--resume", str(run), "--epochs", "3", "--quiet"]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0 and outcome.output.endswith(f"{run}\n"), outcome.output
    photos.rename(tmp_path / "moved")
    with pytest.raises(gz.TrainingError, match="give their new place with --data"):
        resume_classifier(run)
    assert resume_classifier(run, data=tmp_path / "moved", quiet=True).num_classes == 2
    next((tmp_path / "moved").rglob("*.png")).unlink()
    with pytest.raises(gz.UsageError, match="has other images than those"):
        resume_classifier(run, data=tmp_path / "moved")


def test_a_helped_run_goes_on_in_its_first_and_in_its_second_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"data": "digits", "image_size": 28, "shots": 40, "epochs": 4, "batch": 20}
    settings |= {"gan": "dcgan-mnist", "gan_samples": 40, "gan_confidence": 0.0, "precision": "fp32"}
    settings["backbone_config"] = SMALL
    whole = gz.classify_train("cnn", out=tmp_path / "whole", **settings)
    on_step = Observer.on_step

    def interrupt(name: str) -> Any:
        def stop(self: Any, step: int) -> None:
            if step == 3 and self.folder.path.name.endswith(name):
                raise Stopped("stopped at step 3")

        return stop

    for name in ("teacher", "digits"):
        monkeypatch.setattr(ClassifierRecorder, "on_step", interrupt(name))
        with pytest.raises(Stopped, match="stopped"):
            if name == "teacher":
                gz.classify_train("cnn", out=tmp_path / "broken", **settings)
            else:
                gz.classify_train(resume=next((tmp_path / "broken").iterdir()))
    monkeypatch.setattr(ClassifierRecorder, "on_step", on_step)
    (run,) = (tmp_path / "broken").iterdir()
    again = gz.classify_train(resume=run)
    assert len(list(run.glob("*-teacher"))) == 1
    assert torch.equal(again.backbone.blocks[0][0].weight, whole.backbone.blocks[0][0].weight)


class Explodes(gz.TransferStrategy):
    def __init__(self, *steps: int) -> None:
        self.steps, self.step = steps, 0

    def on_step(self, step: int, plan: Any) -> None:
        self.step = step

    def backbone_loss(self, loss: Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        return {"backbone": loss * (float("nan") if self.step in self.steps else 1.0)}


def test_a_step_that_is_not_finite_is_skipped(images: ImageData) -> None:
    model = gz.build_classifier("cnn", {"channels": 1, "num_classes": 2} | SMALL)
    recipe = ClassifierRecipe(epochs=1, batch=10)
    trainer = ClassifierTrainer(model, Explodes(1), images, recipe, engine.choose("cpu", "fp32"))
    trainer.run(Observer())
    assert int(trainer.guard.skipped) == 1 and trainer.non_finite() == ""
    with pytest.raises(gz.TrainingError, match=r"in the last 4 steps, after 0 .*--precision fp32$"):
        ClassifierTrainer(model, Explodes(*range(4)), images, recipe, trainer.engine).run(Observer())


def test_callbacks_look_on_and_change_nothing(photos: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    class Looks(gz.Callback):
        def on_metrics(self, run: gz.RunView) -> None:
            torch.manual_seed(1)
            seen.append((run.step, run.losses["loss"], run.results[0]["value"]))
            with torch.no_grad():
                run.snapshot().backbone.blocks[0][0].weight.zero_()
            with pytest.raises(gz.UsageError, match="can't generate samples"):
                run.sample()

    settings = QUICK | {"backbone_config": SMALL, "data": photos}
    made = [gz.classify_train("cnn", out=tmp_path, callbacks=[Looks()] * i, **settings) for i in (0, 1)]
    assert torch.equal(made[0].backbone.blocks[0][0].weight, made[1].backbone.blocks[0][0].weight)
    rows = [json.loads(line) for line in (made[1].folder.parent / "stats.jsonl").read_text().splitlines()]  # type: ignore[union-attr]
    assert seen == [(2 * row["step"], row["loss"], row["accuracy"]) for row in rows]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_trains_under_the_callers_modes(photos: Path, tmp_path: Path, mode: Any) -> None:
    settings = QUICK | {"backbone_config": SMALL, "data": photos, "epochs": 1}
    plain = gz.classify_train("cnn", out=tmp_path, **settings)
    with mode():
        made = gz.classify_train("cnn", out=tmp_path, **settings)
    assert torch.equal(plain.backbone.blocks[0][0].weight, made.backbone.blocks[0][0].weight)


def head_of(model: gz.Classifier) -> Tensor:
    return blocks(model.backbone)[-1][1].weight.detach()


def test_a_class_keeps_its_row_if_its_name_is_shared() -> None:
    base = gz.build_classifier("cnn", {"channels": 1, "num_classes": 3} | SMALL)
    base.about["training"] = {"classes": ["cat", "dog", "7"]}
    old = head_of(base)
    for classes, kept in (
        (("dog", "cow", "7"), {0: 1}),  # as many, others
        (("cow", "cat", "hen", "dog"), {1: 0, 3: 1}),  # more
        (("cat", "dog", "7"), {0: 0, 1: 1, 2: 2}),  # the same
        (("a", "b", "c"), {}),
        (("7", "8"), {}),
    ):
        model, names = fitted_head(base, classes, seed=0)
        new = head_of(model)
        assert len(new) == len(classes) and names == [classes[row] for row in kept]
        for row in range(len(new)):
            same = [i for i in range(3) if torch.equal(new[row], old[i])]
            assert same == ([kept[row]] if row in kept else [])
        assert torch.equal(blocks(model.backbone)[0][0].weight, blocks(base.backbone)[0][0].weight)
    unnamed = gz.build_classifier("cnn", {"channels": 1, "num_classes": 2} | SMALL)
    assert fitted_head(unnamed, ("0", "1"), seed=0)[1] == [], "classes without a name are nobody's"


def test_numbers_are_names_only_where_all_are_the_same() -> None:
    digits = [str(i) for i in range(10)]
    assert shared(digits, digits) == digits and shared(digits, digits[:5]) == []
    assert shared(["0 - zero", "1 - one"], ["1 - one", "0 - zero"]) == ["1 - one", "0 - zero"]


def test_a_fresh_head_is_not_the_one_that_the_source_began_with() -> None:
    """The same seed would draw the numbers from which the source's own head was trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = gz.build_classifier("cnn", {"channels": 1, "num_classes": 2} | SMALL)
    assert not torch.equal(head_of(base), head_of(fitted_head(base, ("a", "b"), seed=0)[0]))


def test_fresh_rows_are_zero_where_the_body_is_frozen(photos: Path, tmp_path: Path) -> None:
    source = gz.build_classifier("cnn", {"channels": 3, "widths": [4], "num_classes": 5})
    source.save(tmp_path / "source")
    images = data.load(photos, image_size=16)
    for strategy, zero in (("freeze", True), ("full", False), ("gradual", False)):
        spec = DataSpec(source=photos, image_size=16)
        recipe = ClassifierRecipe()
        name = str(tmp_path / "source")
        job = ClassifierJob(verb="transfer", name=name, data=spec, recipe=recipe, strategy=strategy)
        head = start_of(job, images).model.backbone.blocks[-1]
        assert all(bool((p == 0).all()) == zero for p in head.parameters())
