"""Transfer of a pretrained classifier: what is chosen, stored features, the kept model, the report."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.data import ImageData, sizes, split as splitting
from gantl_zoo.metrics.confusion import ROWS, Predictions, table
from gantl_zoo.networks.base import blocks
from gantl_zoo.runs import classify_choice
from gantl_zoo.runs.classify_report import ClassifierReport, classifier_report, notes_on_classes
from gantl_zoo.runs.classify_resume import resume_classifier
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.schema import read_config
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.classifier import ClassifierTrainer, weights_of
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.frozen_features import FrozenFeatures
from gantl_zoo.training.observer import Observer
from gantl_zoo.viz.confusion import LARGEST, captioned, draw_confusion
from tests.helpers import moved, run, state

QUICK: dict[str, Any] = {"epochs": 3, "batch": 16, "precision": "fp32"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A network of timm for colour images, as a model folder."""
    torch.manual_seed(0)
    config = {"pretrained": False, "num_classes": 4, "resize": 32}
    return gz.build_classifier("timm:test_resnet", config).save(tmp_path / "source")


def pictures(
    folder: Path, counts: dict[str, int], size: tuple[int, int] = (16, 16), grey: bool = False
) -> Path:
    """A folder with `counts` images of each class; a class has its own brightness."""
    random = np.random.RandomState(0)
    shape = (size[1], size[0]) if grey else (size[1], size[0], 3)
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = random.randint(0, 100, shape) + 150 * number // max(1, len(counts) - 1)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def log_of(model: gz.Classifier) -> str:
    assert model.folder is not None
    return (model.folder.parent / "log.txt").read_text()


def trainer_of(
    images: ImageData, strategy: str, recipe: ClassifierRecipe, **config: Any
) -> ClassifierTrainer:
    model = gz.build_classifier("cnn", {"channels": 1, "num_classes": 2, "widths": [4, 8], "dropout": 0.0})
    return ClassifierTrainer(
        model, build_strategy(strategy, config), images, recipe, engine.choose("cpu", "fp32")
    )


# the split


def test_each_class_of_five_or_more_images_has_one_that_is_held_out(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "set", {"a": 5, "b": 9, "c": 30, "rare": 4})
    test = data.load(folder, split="test", split_by="class")
    assert test.labels is not None
    counts = dict(zip(test.classes, torch.bincount(test.labels, minlength=4).tolist(), strict=True))
    assert counts["a"] == counts["b"] == 1 and counts["rare"] == 0 and 1 <= counts["c"] <= 6
    train = data.load(folder, split_by="class")
    assert len(train) + len(test) == 48


def test_in_large_classes_the_split_by_class_is_that_by_content() -> None:
    paths = {f"{label}/{i}": f"{label}/{i}" for label in "ab" for i in range(400)}
    labels = {name: name[0] for name in paths}
    random = np.random.RandomState(0)
    hashed = {name: random.bytes(32) for name in paths}
    assert splitting.held_out_per_class(labels, paths, hashed) == splitting.held_out(paths, hashed)


def test_a_model_of_an_earlier_version_is_measured_on_the_images_that_it_held_out(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "set", {"a": 5, "b": 9, "c": 30})
    by_class, by_content = (
        data.load(folder, split="test", split_by=how).fingerprint for how in ("class", "content")
    )
    assert by_class != by_content
    settings: Any = QUICK | {"data": folder, "out": tmp_path / "runs"}
    model = gz.classify_train("cnn", backbone_config={"widths": [4]}, **settings)
    assert gz.classify_evaluate(model, data=folder).result("accuracy")["data_fingerprint"] == by_class
    assert model.folder is not None
    config = read_config(model.folder)
    del config["lineage"]["data"]["split_by"]  # as an earlier version
    (model.folder / "config.json").write_text(json.dumps(config))
    report = gz.classify_evaluate(model.folder, data=folder)
    assert report.result("accuracy")["data_fingerprint"] == by_content
    second = gz.classify_transfer(model.folder, **settings)  # from a source that was trained on these images
    assert second.metrics[0]["data_fingerprint"] == by_content


# stored features


@pytest.mark.parametrize("flip", [False, True])
def test_stored_features_train_the_same_head(
    images: ImageData, flip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ClassifierRecipe(epochs=3, batch=16, shift=0, flip=flip, lr=0.01)
    torch.manual_seed(0)
    stored = trainer_of(images, "freeze", recipe)
    assert stored.features is not None
    before = state(stored.backbone)
    calls = []
    hook = blocks(stored.backbone)[0].register_forward_hook(lambda *it: calls.append(it))
    stored.run(Observer())
    hook.remove()
    assert not calls, "the body is not called after the first pass over the images"
    assert moved(before, stored.backbone) == {"blocks.2.1.weight", "blocks.2.1.bias"}
    monkeypatch.setattr(ClassifierTrainer, "frozen", lambda self, data: None)
    torch.manual_seed(0)
    plain = trainer_of(images, "freeze", recipe)
    plain.run(Observer())
    for one, other in zip(stored.backbone.parameters(), plain.backbone.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stored.logits(images), plain.logits(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("strategy", "config", "recipe"),
    [
        ("partial", {"last": 2}, {"shift": 0}),
        ("full", {}, {"shift": 0}),
        ("freeze", {}, {"shift": 1}),
        ("freeze+l2-sp", {}, {"shift": 0}),
    ],
)
def test_features_are_stored_only_if_they_cannot_change(
    images: ImageData, strategy: str, config: dict[str, Any], recipe: dict[str, Any]
) -> None:
    assert trainer_of(images, strategy, ClassifierRecipe(epochs=1, **recipe), **config).features is None


def test_features_that_would_fill_the_memory_are_not_stored(
    images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantl_zoo.training.frozen_features.free_memory", lambda: 1000)
    assert trainer_of(images, "freeze", ClassifierRecipe(epochs=1, shift=0)).features is None


def test_a_network_that_changes_the_output_of_its_last_block_stores_no_features(images: ImageData) -> None:
    class Scaled(nn.Module):
        channels, num_classes = 1, 2

        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Flatten(), nn.Linear(28 * 28, 2)])

        def forward(self, images: Tensor) -> Tensor:
            features: Tensor = self.blocks[1](self.blocks[0](images)) * 2
            return features

    recipe = ClassifierRecipe(epochs=1, shift=0)
    strategy = build_strategy("freeze", {})
    trainer = ClassifierTrainer(
        gz.Classifier(Scaled(), {}), strategy, images, recipe, engine.choose("cpu", "fp32")
    )
    assert trainer.features is None


# resume, the kept model, patience


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_resumed_probe_is_the_unbroken_one(source: Path, photos: Path, tmp_path: Path, step: int) -> None:
    class Stops(gz.Callback):
        def on_step(self, run: gz.RunView) -> None:
            if run.step == step:
                raise KeyError("enough")

    def probe(out: str, *callbacks: gz.Callback) -> gz.Classifier:
        more: Any = {"class_weights": "balanced", "patience": 2, "callbacks": callbacks, "image_size": 16}
        return gz.classify_transfer(source, data=photos, out=tmp_path / out, **QUICK, **more)

    whole = probe("whole")
    with pytest.raises(gz.TrainingError, match="enough"):
        probe("broken", Stops())
    (folder,) = (tmp_path / "broken").iterdir()
    again = resume_classifier(folder, quiet=True)
    assert whole.folder is not None and again.folder is not None
    assert sha256(again.folder / "model.safetensors") == sha256(whole.folder / "model.safetensors")
    assert again.about["training"] == whole.about["training"] and again.metrics == whole.metrics


@pytest.fixture
def good_until(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function after which held-out accuracy is 1 up to an epoch of two steps, and 0 after it."""

    def begin(epoch: int) -> None:
        def logits(self: ClassifierTrainer, images: ImageData) -> Tensor:
            assert images.labels is not None
            right = nn.functional.one_hot(images.labels, 2).float()
            return (
                right
                if float(self.player.optimizer.state_dict()["state"][0]["step"]) <= 2 * epoch
                else -right
            )  # type: ignore[union-attr]

        monkeypatch.setattr(ClassifierTrainer, "logits", logits)

    return begin


def test_the_model_of_an_earlier_epoch_is_kept_if_later_ones_are_worse(
    photos: Path, tmp_path: Path, good_until: Any
) -> None:
    good_until(2)
    settings: Any = QUICK | {"epochs": 5, "image_size": 16, "backbone_config": {"widths": [4, 8]}}
    model = gz.classify_train("cnn", data=photos, out=tmp_path / "runs", **settings)
    assert model.about["training"]["best_step"] == 4 and model.folder is not None
    kept = load_file(model.folder.parent / "checkpoints" / "00000004" / "state.safetensors")
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, kept[f"backbone.{name}"])
    assert "kept the model of epoch 2, the newest one within the interval" in log_of(model)
    last = load_file(model.folder.parent / "checkpoints" / "00000010" / "state.safetensors")
    assert not torch.equal(last["backbone.blocks.0.0.weight"], kept["backbone.blocks.0.0.weight"])


def test_of_equally_good_epochs_the_newest_is_kept(photos: Path, tmp_path: Path, good_until: Any) -> None:
    good_until(9)
    model = gz.classify_train("cnn", data=photos, image_size=16, out=tmp_path / "runs", **QUICK)
    assert model.about["training"]["best_step"] == 6
    assert "kept the model of epoch 3, the newest one within the interval of the best" in log_of(model)


def test_a_run_stops_when_its_patience_ends(photos: Path, tmp_path: Path, good_until: Any) -> None:
    good_until(1)
    settings: Any = QUICK | {"epochs": 8, "patience": 2, "image_size": 16}
    model = gz.classify_train("cnn", data=photos, out=tmp_path / "runs", **settings)
    assert model.folder is not None
    rows = (model.folder.parent / "stats.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3]
    assert "stopped after epoch 3: 2 epochs without a higher accuracy" in log_of(model)
    weights = sha256(model.folder / "model.safetensors")
    again = resume_classifier(model.folder.parent, quiet=True)  # it has ended, so no step follows
    assert sha256(again.folder / "model.safetensors") == weights  # type: ignore[operator]
    assert len((model.folder.parent / "stats.jsonl").read_text().splitlines()) == 3


def test_a_run_of_an_earlier_version_goes_on(photos: Path, tmp_path: Path) -> None:
    """Its config has no new settings, and its checkpoints don't say which model is kept."""

    class Stops(gz.Callback):
        def on_step(self, run: gz.RunView) -> None:
            if run.step == 4:
                raise KeyError("enough")

    with pytest.raises(gz.TrainingError):
        gz.classify_train("cnn", data=photos, image_size=16, out=tmp_path, callbacks=[Stops()], **QUICK)
    (folder,) = tmp_path.glob("0*")
    config = json.loads((folder / "config.json").read_text())
    for key in ("class_weights", "patience"):
        del config["recipe"][key]
    (folder / "config.json").write_text(json.dumps(config))
    for path in folder.glob("checkpoints/*/state.json"):
        kept = json.loads(path.read_text()) | {"observer": {}}
        path.write_text(json.dumps(kept))
    model = resume_classifier(folder, quiet=True)
    assert model.about["training"]["best_step"] == 6


# class weights


def test_weights_give_each_class_the_same_share_of_the_loss(images: ImageData) -> None:
    labels = torch.tensor([0] * 30 + [1] * 10)
    some = ImageData(images.images, labels, ("a", "b", "none"), "some")
    weights = weights_of(some)
    assert weights[:2].tolist() == pytest.approx([40 / (2 * 30), 40 / (2 * 10)])
    assert float(weights[labels].mean()) == pytest.approx(1)
    two = ImageData(images.images, labels, ("a", "b"), "two")
    recipe = ClassifierRecipe(epochs=1, class_weights="balanced")
    assert trainer_of(two, "full", ClassifierRecipe(epochs=1)).weights is None
    trainer = trainer_of(two, "full", recipe)
    trainer.backbone.requires_grad_(False)
    shown = data.to_float(images.images)
    each = nn.functional.cross_entropy(trainer.backbone(shown), labels, reduction="none")
    equal = (each[:30].mean() + each[30:].mean()) / 2
    torch.testing.assert_close(trainer.terms((shown, labels))["backbone"], equal)


def test_what_no_class_weights_are(images: ImageData) -> None:
    with pytest.raises(gz.UnknownNameError, match="unknown class-weights 'balance'; did you mean balanced"):
        ClassifierRecipe(class_weights="balance")
    with pytest.raises(gz.UsageError, match="patience must be 0 or more, not -1"):
        ClassifierRecipe(patience=-1)


# what is chosen


def test_a_pretrained_network_is_probed_and_the_log_says_so(
    source: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: Any = {"out": tmp_path / "runs", "precision": "fp32", "image_size": 16}
    model = gz.classify_transfer(source, data=photos, **settings)
    text = log_of(model)
    chosen = "strategy freeze, epochs 10, batch 32, lr 0.003, flip True, shift 0; --no-flip if left and right"
    assert f"chosen for a pretrained network and 27 images: {chosen}" in text.replace(
        "26 images", "27 images"
    )
    assert "the features of all images are computed once" in text
    assert model.lineage["strategy"] == "freeze" and model.about["training"]["lr"] == 0.003
    given = gz.classify_transfer(
        source, data=photos, strategy="full", lr=1e-3, flip=False, epochs=1, batch=8, **settings
    )
    training = given.about["training"]
    assert (training["lr"], training["flip"], training["epochs"], training["shift"]) == (1e-3, False, 1, 2)
    command = shlex.split(training["command"])
    assert "--no-flip" in command and command[command.index("--lr") + 1] == "0.001"
    code, out, err = run(capsys, *command[1:], "--out", tmp_path / "again")
    assert code == 0, err
    again = Path(out.splitlines()[-1]) / "model" / "model.safetensors"
    assert given.folder is not None and sha256(again) == sha256(given.folder / "model.safetensors")


def test_other_sources_keep_the_usual_recipe(photos: Path, tmp_path: Path) -> None:
    base = gz.build_classifier("cnn", {"channels": 3, "widths": [4]}).save(tmp_path / "cnn")
    model = gz.classify_transfer(base, data=photos, image_size=16, epochs=1, out=tmp_path / "runs")
    usual = ClassifierRecipe()
    kept = {key: model.about["training"][key] for key in ("batch", "lr", "shift", "flip")}
    assert kept == {key: getattr(usual, key) for key in kept} and model.lineage["strategy"] == "full"
    assert "chosen" not in log_of(model)


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(300, 400), (500, 260)], 224),
        ([(100, 120), (110, 90)], 64),  # the median of 90 and 100 is 95
        ([(20, 30), (30, 20)], 32),
        ([(512, 512)] * 2, 224),
        ([(64, 64)] * 2, None),
        ([(60, 40)] * 2, 32),
    ],
)
def test_the_size_of_photos(tmp_path: Path, shapes: list[tuple[int, int]], size: int | None) -> None:
    for number, shape in enumerate(shapes):
        Image.new("RGB", shape).save(tmp_path / f"{number}.png")
    assert sizes.common_size(tmp_path, classify_choice.LARGEST) == size


def test_photos_of_many_sizes_need_no_size(source: Path, tmp_path: Path) -> None:
    for size in ((70, 80), (90, 66)):
        pictures(tmp_path / "set" / str(size[0]), {"a": 8, "b": 8}, size)
    for name in "ab":
        (tmp_path / "sorted" / name).mkdir(parents=True)
        for path in (tmp_path / "set").rglob(f"{name}/*.png"):
            path.rename(tmp_path / "sorted" / name / f"{path.parts[-3]}-{path.name}")
    model = gz.classify_transfer(source, data=tmp_path / "sorted", out=tmp_path / "runs", **QUICK)
    assert "image size 64, chosen for images of different or large sizes" in log_of(model)
    assert model.lineage["data"]["shape"] == [3, 64, 64]
    assert gz.classify_evaluate(model, data=tmp_path / "sorted")["accuracy"] == model.metrics[0]["value"]


def test_grey_images_become_colour_images_for_a_colour_network(source: Path, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "grey", {"a": 12, "b": 12}, grey=True)
    model = gz.classify_transfer(source, data=folder, out=tmp_path / "runs", **QUICK)
    assert "grey images are converted to 3 equal channels" in log_of(model)
    assert model.folder is not None and "--channels 3" in model.about["training"]["command"]
    assert gz.classify_evaluate(model, data=folder)["accuracy"] == model.metrics[0]["value"]
    assert resume_classifier(model.folder.parent, quiet=True).metrics == model.metrics
    with pytest.raises(gz.DataError, match=r"takes 3 channel\(s\), but grey has 1; convert the data with"):
        gz.classify_transfer(source, data=folder, channels=1, out=tmp_path / "none", **QUICK)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"cat": 12}, "set has no labels: sort its images into two or more class folders"),
        ({"cat": 3, "dog": 3}, "set has 6 images; a test split needs a class of at least 5"),
    ],
)
def test_folders_that_no_classifier_can_learn_from(
    source: Path, tmp_path: Path, counts: dict[str, int], text: str
) -> None:
    with pytest.raises(gz.DataError, match=text):
        gz.classify_transfer(source, data=pictures(tmp_path / "set", counts), out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# the report


def predictions() -> Predictions:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 1, 1, 0, 0])
    sure = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 4.0])
    logits = nn.functional.one_hot(predicted, 4) * sure[:, None]
    return Predictions(logits, labels, ("cat", "dog", "hen", "cow"))


def test_predictions_class_by_class() -> None:
    found = predictions()
    assert found.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.accuracy == pytest.approx(0.5)
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found.mistakes(2).tolist() == [5, 2], "the most confident first"
    cat, _, _, cow = found.per_class()
    assert (cat["images"], cat["correct"], cat["mistaken_for"], cat["mistaken"]) == (3, 2, "dog", 1)
    assert cat["low"] < cat["accuracy"] < cat["high"]
    assert cow["accuracy"] is None and cow["mistaken_for"] is None
    json.dumps(found.to_dict())


def test_the_table_of_classes() -> None:
    lines = table(predictions().per_class(), {"cat": 1200, "dog": 5, "hen": 0, "cow": 2})
    assert lines[0].split() == [
        "class",
        "training",
        "held",
        "out",
        "accuracy",
        "most",
        "often",
        "mistaken",
        "for",
    ]
    assert lines[1].split() == ["cat", "1,200", "3", "66.7%", "dog", "(1)"] and len(lines) == 5
    many = [
        {"class": f"{i}", "images": 1, "accuracy": i / 99, "mistaken_for": None, "mistaken": 0}
        for i in range(99)
    ]
    lines = table(many)
    assert len(lines) == ROWS + 2 and lines[-1] == f"and {99 - ROWS} classes with a higher accuracy"
    assert lines[1].startswith("0 ")
    long = [{"class": "x" * 90, "images": 1, "accuracy": 1.0, "mistaken_for": None, "mistaken": 0}]
    assert max(map(len, table(long))) < 100


def test_the_notes_on_classes(images: ImageData) -> None:
    def of(*counts: int) -> ImageData:
        labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
        return ImageData(images.images[: len(labels)], labels, tuple("abcd"[: len(counts)]), "some")

    lines = notes_on_classes(of(20, 4, 0), of(2, 0, 0), in_memory=False, weighted=False)
    assert lines[0] == "3 classes, training images (+ held out): a 20 (+2), b 4 (+0), c 0 (+0)"
    assert any("no training images of c" in line for line in lines)
    assert any("fewer than 5 training images of b (4)" in line for line in lines)
    assert any("no image of b, c is held out" in line for line in lines)
    assert any("5 times as many" in line and "--class-weights balanced" in line for line in lines)
    (only,) = notes_on_classes(of(20, 20), of(2, 2), in_memory=True, weighted=False)
    assert only == "2 classes, training images: a 20, b 20"
    assert len(notes_on_classes(of(30, 6), of(2, 2), in_memory=False, weighted=True)) == 1


def test_the_run_writes_what_evaluate_finds(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: Any = QUICK | {"image_size": 16, "out": tmp_path / "runs"}
    model = gz.classify_train("cnn", data=photos, backbone_config={"widths": [4]}, **settings)
    assert model.folder is not None
    kept = json.loads((model.folder.parent / "evaluation.json").read_text())
    accuracy = kept["results"][0]
    assert accuracy["value"] == model.metrics[0]["value"] and accuracy["classes"] == ["cats", "dogs"]
    assert sum(map(sum, accuracy["confusion"])) == len(
        data.load(photos, split="test", split_by="class", image_size=16)
    )
    assert sum(kept["training_images"].values()) == model.lineage["data"]["images"]
    with Image.open(model.folder.parent / "confusion.png") as picture:
        assert picture.width > 100
    report = gz.classify_evaluate(model, data=photos)
    assert (
        isinstance(report, ClassifierReport)
        and report.result("accuracy")["confusion"] == accuracy["confusion"]
    )  # type: ignore[typeddict-item]
    assert "| cats |" in report.to_markdown() and "most often mistaken for" in str(report)
    words = ["classify", "evaluate", model.folder, "--data", photos]
    code, out, _ = run(capsys, *words, "--out", tmp_path / "pictures")
    assert code == 0 and out.startswith("accuracy ") and out.splitlines()[1].startswith("class ")
    assert (tmp_path / "pictures" / "confusion.png").is_file()
    code, out, _ = run(capsys, *words, "--json", "-")
    assert json.loads(out)[0]["confusion"] == accuracy["confusion"]
    plain = gz.Report.from_dict(report.to_dict())
    assert plain["accuracy"] == report["accuracy"]
    with pytest.raises(gz.UsageError, match="this report has no predictions"):
        ClassifierReport.from_dict(report.to_dict()).save_pictures(tmp_path)  # type: ignore[attr-defined]


def test_the_picture_of_mistakes_shows_the_most_confident_ones(images: ImageData, tmp_path: Path) -> None:
    found = predictions()
    shown = ImageData(images.images[:6], found.labels, found.classes, "some")
    report = classifier_report(found, shown, "model")
    index = found.mistakes(9).tolist()
    captions = report.captions(index)
    assert captions[0][0] == "hen" and captions[0][1].startswith("→ cat 9")
    assert report.title(3) == "Mistakes of model, all 3: true class, then prediction"
    names = [path.name for path in report.save_pictures(tmp_path)]
    assert names == ["confusion.png", "mistakes.png"]
    right = Predictions(nn.functional.one_hot(found.labels, 4).float(), found.labels, found.classes)
    (only,) = classifier_report(right, shown, "model").save_pictures(tmp_path / "right")
    assert only.name == "confusion.png"


def test_pictures_of_many_classes_and_long_names() -> None:
    many = torch.eye(LARGEST, dtype=torch.long)
    names = [f"class {i} with quite a long name" for i in range(LARGEST)]
    assert draw_confusion(many, names, "many").width < 3000
    with pytest.raises(gz.UsageError, match=f"a confusion matrix of {LARGEST + 1} classes can't be drawn"):
        draw_confusion(torch.eye(LARGEST + 1, dtype=torch.long), [*names, "more"], "too many")
    picture = captioned(torch.zeros(2, 3, 8, 8), [["x" * 90, "→ " + "y" * 90 + " 99%"]] * 2, "two")
    assert picture.width < 400


def test_features_of_a_released_network_are_those_of_its_last_block(source: Path, photos: Path) -> None:
    images = data.load(photos, image_size=16)
    backbone = gz.load_model(source).backbone
    features = FrozenFeatures(backbone, engine.choose("cpu", "fp32")).views(images, flip=True)
    shown = data.to_float(images.images)
    with torch.no_grad():
        torch.testing.assert_close(features[:, 0], backbone.embed(shown), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(features[:, 1], backbone.embed(shown.flip(3)), rtol=1e-4, atol=1e-5)


def test_a_finished_model_folder_says_which_step_it_is_of(photos: Path, tmp_path: Path) -> None:
    model = gz.classify_train("cnn", data=photos, image_size=16, out=tmp_path, **QUICK)
    assert model.folder is not None
    assert 0 < read_config(model.folder)["training"]["best_step"] <= 6
