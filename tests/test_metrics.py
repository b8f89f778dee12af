"""Extractors, the evaluator, its reports and its cache."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TINY
from PIL import Image
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo import data as data_room
from gantl_zoo.data import ImageData, to_float
from gantl_zoo.metrics.catalogue import named
from gantl_zoo.metrics.evaluator import Evaluator
from gantl_zoo.metrics.extract import Images, extract
from gantl_zoo.metrics.extractors import ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.networks import pretrained
from gantl_zoo.runs.evaluate import ModelEvaluator, samples_of
from gantl_zoo.runs.extractor import choose_extractor
from gantl_zoo.storage.cache import features_folder


def extractor(trained_on: str = "mnist") -> ClassifierFeatures:
    found = choose_extractor("cnn-mnist", ImageData(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)))
    assert isinstance(found, ClassifierFeatures) and found.trained_on == "mnist"
    return ClassifierFeatures(found.name, found.network, trained_on)


def many(count: int, name: str = "halves", seed: int = 0) -> ImageData:
    """Labelled images in two classes, as the fixture's, but more."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 60, (count, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 2
    pixels[labels == 0, :, :14] += 150
    pixels[labels == 1, :, 14:] += 150
    return ImageData(pixels, labels, ("above", "below"), name, "test" if seed else "train")


def test_noise_and_missing_modes_raise_the_distances() -> None:
    data = many(300)
    judge = Evaluator(PixelFeatures.fit(data, 8), data, data, metrics=("fd", "kd"), samples=300)
    real = to_float(data.images)
    same = judge(Images.of(real))
    noisy = judge(Images.of((real + 0.5 * torch.randn_like(real)).clamp(-1, 1)))
    half = judge(Images.of(real[data.labels == 0]))
    for name in ("fd", "kd"):
        assert same[name] < 1e-3 < noisy[name] and same[name] < half[name]


def test_the_extractor_is_in_eval_mode_whatever_the_caller_did(images: ImageData) -> None:
    features = extractor()
    before, opinion = features(images.images)
    features.network.train()
    assert torch.equal(features(images.images)[0], before)
    assert not features.network.training
    assert opinion is not None and torch.allclose(
        opinion, features.network(to_float(images.images)), atol=1e-5
    )


def test_the_extractor_refuses_other_channels_and_broken_samples(images: ImageData) -> None:
    with pytest.raises(gz.DataError, match="extractor cnn-mnist takes 1 channels, but these images have 3"):
        extractor()(images.fit(None, 3).images)
    with pytest.raises(gz.DataError, match="NaN or infinite values, so the model can't be measured"):
        extractor()(torch.full((2, 1, 28, 28), torch.nan))


def test_pixels_work_for_any_images(photos: Path) -> None:
    from gantl_zoo import data

    colour = data.load(photos, image_size=32)
    features = PixelFeatures.fit(colour, dimensions=5)
    assert features.name == "pixels-pca5" and features(colour.images)[0].shape == (len(colour), 5)


def test_timm_is_an_extractor_and_says_so_when_its_weights_cant_be_had(images: ImageData) -> None:
    with pytest.raises(gz.WeightsError, match=r"pretrained weights of timm:resnet10t can't be loaded"):
        choose_extractor("timm:resnet10t", images)
    network = gz.backbones.build("timm:resnet10t", channels=1, pretrained=False)
    features = ClassifierFeatures("timm:resnet10t", network, opinion=False)
    seen, logits = features(images.images[:3])
    assert seen.shape == (3, network.embedding_dim) and logits is None


def test_a_report_tells_everything_about_its_making(gan: gz.GAN) -> None:
    data = many(120)
    report = gz.evaluate(gan, data=data, samples=150, metrics=("kd", "pr"), extractor="cnn-mnist")
    kernel, precision = report.results[:2]
    assert kernel["name"] == "kd_cnn-mnist" and kernel["low"] < kernel["value"] < kernel["high"]
    assert kernel["on"] == "150 samples against 120 train images of halves"
    assert kernel["samples"] == 150 and kernel["real"] == 120 and kernel["split"] == "train"
    assert kernel["data_fingerprint"] == data.fingerprint and kernel["seed"] == 1_000_000
    assert len(kernel["extractor_sha256"]) == 16 and "at their own size" in kernel["convention"]
    assert (kernel["better"], precision["better"]) == ("lower", "higher")
    assert precision["metric"] == "precision" and precision["floor"] is None, "nobody knows what it learned"
    assert report["kd"] == report["kd_cnn-mnist"] == kernel["value"]
    assert kernel["extractor_sha256"] in str(report) and "no training images are known" in str(report)
    json.dumps(report.results, allow_nan=False)
    with pytest.raises(KeyError):
        report["fd"]


def test_a_distance_is_shown_with_its_multiple_of_the_floor(gan: gz.GAN) -> None:
    train, held_out = many(400), many(300, seed=1)
    evaluator = Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("fd",), samples=200)
    report = evaluator(Images.of(gan.generate(200)))
    (found,) = report.results
    assert found["real"] == 200 and found["floor"] > 0
    assert f"{found['value'] / found['floor']:,.1f} × real images" in str(report)
    assert found["floor_on"] == "200 train images against the same"


def test_a_distance_on_components_names_them(gan: gz.GAN) -> None:
    class Wide(PixelFeatures):
        """Pixels, with more features than images."""

        def __init__(self, mean: Tensor, components: Tensor) -> None:
            super().__init__(mean, torch.eye(len(mean), 600, dtype=torch.double)[:, :600])
            self.name = "wide"

    train, held_out = many(100), many(80, seed=1)
    fitted = PixelFeatures.fit(train.fit(None, 3), 4)
    wide = Wide(fitted.mean, fitted.components)
    colour = Images.of(many(90, seed=2).fit(None, 3).images)
    report = Evaluator(wide, train.fit(None, 3), held_out.fit(None, 3), ("fd", "kd"), 90)(colour)
    assert [r["name"] for r in report.results] == ["fd_wide-pca64", "kd_wide"]
    found = report.result("fd")
    assert found["better"] == "lower" and found["extractor"] == "wide-pca64" and found["floor"] is not None
    assert found["convention"].endswith("; first 64 principal components of the real images")
    assert "components" not in report.result("kd")["convention"]
    with pytest.raises(gz.DataError, match="over 64 features needs more than 64 images per set, not 60"):
        Evaluator(wide, None, held_out.fit(None, 3).few(60), ("fd",), 90)


def test_auto_takes_what_can_be_measured(gan: gz.GAN) -> None:
    train, held_out = many(400), many(300, seed=1)
    names = set(Evaluator(extractor("halves"), train, held_out, samples=200).chosen)
    assert names == {"fd", "kd", "cpr", "memory", "classes"}
    few = Evaluator(extractor(), train, held_out.few(20), samples=200)
    assert set(few.chosen) == {"kd", "memory"}
    pixels = Evaluator(PixelFeatures.fit(train), train, held_out.few(3), samples=200, quick=True)
    assert set(pixels.chosen) == {"kd"}
    shots = Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("diversity",), 200, train.few(10))
    assert shots(Images.of(gan.generate(200)))["diversity"] >= 0


def test_what_too_few_samples_leave_undefined_is_left_out() -> None:
    train, held_out = many(400), many(300, seed=1)
    found = []
    for count in (2, 40):
        judge = Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("diversity",), count, train.few(40))
        found.append(judge(Images.of(to_float(many(count, seed=2).images))).results)
    assert found[0] == [] and len(found[1]) == 1, "no two of two samples have the same nearest image"
    assert json.dumps(found, allow_nan=False)


def test_training_images_are_seen_once() -> None:
    train, held_out = many(60), many(30, seed=1)
    fitted = PixelFeatures.fit(train, 4)
    counting = Counting(fitted.mean, fitted.components)
    before = Counting.seen
    judge = Evaluator(counting, train, held_out, ("kd", "memory"), 20)
    judge(Images.of(many(20, seed=2).images))
    assert Counting.seen - before == 20 + 20 + 60 and len(judge.stand_in) == 20
    assert torch.equal(judge.stand_in.features, counting(Images.part(train, 20).take(0, 20))[0])


def test_a_run_with_one_held_out_image_compares_all_images(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / "few").mkdir(exist_ok=True)
        Image.new("L", (28, 28), 10 * i).save(tmp_path / "few" / f"{i}.png")
    held_out = len(data_room.load(tmp_path / "few", split="test"))
    assert held_out == 1
    settings = TINY | {"metrics": ("auto",), "extractor": "pixels", "batch": 4}
    gan = gz.train("dcgan", data=tmp_path / "few", out=tmp_path, **settings)
    log = (tmp_path / "00000-dcgan-few" / "log.txt").read_text()
    assert "note: only 1 image of few is held out, so kd compares samples with all images" in log
    (result,) = gan.about["metrics"]
    assert result["metric"] == "kd" and result["real"] == 12
    assert (
        result["on"]
        == f"1,000 samples against all 12 images of few, {12 - held_out} of which are training images"
    )


def test_few_held_out_images_join_the_training_images_for_distances() -> None:
    train, held_out = many(90), many(10, seed=1)
    images = Images.of(to_float(many(100, seed=2).images))
    report = Evaluator(PixelFeatures.fit(train), train, held_out, samples=100)(images)
    kernel, copied = report.result("kd"), report.result("copies")
    assert {result["metric"] for result in report} == {"kd", "nn_distance", "copies"}
    assert kernel["on"] == "100 samples against all 100 images of halves, 90 of which are training images"
    assert kernel["floor_on"] == "a random half of these against the other half" and kernel["split"] == "all"
    assert kernel["floor"] is not None and abs(kernel["floor"]) < 0.1 * abs(kernel_of_noise(train, held_out))
    assert copied["on"] == "100 samples against 90 training images of halves, beside 10 test images"
    assert copied["floor_on"] == "these test images against the same" and copied["better"] == ""
    assert "about 0.01 for new images" in str(report)
    (note,) = report.notes
    assert note == (
        "note: only 10 images of halves are held out, so kd compares samples with all images of the data, "
        "and precision and recall are not measured, because they need 50"
    )
    shots = Evaluator(PixelFeatures.fit(train), train, held_out, ("kd",), 100, train.few(7))(images)
    assert "all 100 images of halves, 7 of which are training images" in shots.results[0]["on"]
    with pytest.raises(gz.DataError, match="need at least 50 held-out images and 6 samples, not 10 and 100"):
        Evaluator(PixelFeatures.fit(train), train, held_out, ("cpr",), 100)
    alone = Evaluator(PixelFeatures.fit(train), None, held_out, samples=100)(images)
    assert "against 10 test images of halves" in alone.results[0]["on"], "the training images are not known"
    assert "kd" not in alone.notes[0] and "not measured, because they need 50" in alone.notes[0]


def kernel_of_noise(train: ImageData, held_out: ImageData) -> float:
    noise = torch.rand(100, 1, 28, 28) * 2 - 1
    return Evaluator(PixelFeatures.fit(train), train, held_out, ("kd",), 100)(Images.of(noise))["kd"]


def test_all_images_give_a_kernel_distance_with_less_noise() -> None:
    values: dict[bool, list[float]] = {True: [], False: []}
    everything = many(100)
    features = PixelFeatures.fit(everything, 4)
    images = Images.of(to_float(many(200, seed=5).images) * 0.9)
    for seed in range(12):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
        held_out, train = everything.select(order[:10]), everything.select(order[10:])
        for whole in values:
            judge = Evaluator(features, train if whole else None, held_out, ("kd",), 200)
            values[whole].append(judge(images)["kd"])
    spread = {whole: float(torch.tensor(found).std()) for whole, found in values.items()}
    assert spread[True] < 0.3 * spread[False]


def test_floors_have_as_many_images_as_the_samples() -> None:
    train, held_out = many(80), many(100, seed=1)
    judge = Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("fd", "cpr", "kd"), 300)
    report = judge(Images.of(to_float(many(300, seed=2).images)))
    assert [r["samples"] for r in report] == [80, 80, 80, 300]
    assert report.results[0]["on"] == "80 samples against 100 test images of halves"


def test_what_cant_be_measured_is_refused_before_anything_is(photos: Path, gan: gz.GAN) -> None:
    def refused(match: str, **settings: object) -> None:
        with pytest.raises((gz.UsageError, gz.DataError, gz.WeightsError), match=match):
            gz.evaluate(gan, **{"data": photos, "channels": 1} | settings)  # type: ignore[arg-type]

    refused("unknown metric fid; did you mean fd or mifid", metrics=("fid",))
    refused("extractor dcgan-mnist is a GAN", extractor="dcgan-mnist")
    refused("extractor cnn is an architecture without weights", extractor="cnn")
    refused("photos has 3; convert the data with --channels 1", channels=None, extractor="pixels")
    refused("use 129 or more, or the metric kd", metrics=("fd",), extractor="cnn-mnist")
    refused("the metric is needs a classifier", metrics=("is",), extractor="pixels")
    refused("needs a classifier of photos as extractor; cnn-mnist was trained on mnist", metrics=("classes",))
    refused("at least 5 held-out images", metrics=("memory",))
    refused("is for 2 to 1,000 training images", data="digits", metrics=("diversity",), extractor="pixels")


def test_a_replaying_generator_is_caught() -> None:
    train, held_out = many(200), many(200, seed=1)
    judge = Evaluator(PixelFeatures.fit(train), train, held_out, ("memory", "mifid"), 200)
    honest = judge(Images.of(many(200, seed=2).images))
    replay = judge(Images.of(train.images))
    assert honest["copies"] < 0.05 and honest["nn_distance"] > 0.9
    assert replay["copies"] == 1 and replay["nn_distance"] < 0.01
    assert replay["mifid"] > 100 * honest["mifid"]


class TwoClasses(torch.nn.Module):
    """A generator that knows the classes of `many`: the label decides which half is bright."""

    num_classes, latent_dim, image_shape = 2, 4, (1, 28, 28)

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong, self.level = wrong, torch.nn.Parameter(torch.zeros(1))

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        images = torch.full((len(noise), 1, 28, 28), -0.75) + 0.1 * noise[:, :1, None, None]
        above = (labels == 0) ^ self.wrong
        images[above, :, :14] += 1.2
        images[~above, :, 14:] += 1.2
        return images


def test_conditional_models_are_measured_by_class_too() -> None:
    train, held_out = many(100), many(100, seed=1)
    scores = []
    for wrong in (False, True):
        gan = gz.GAN(TwoClasses(wrong), None, {}, name="two")
        evaluator = Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("kd",), 100)
        report = ModelEvaluator(evaluator)(gan)
        assert [r["metric"] for r in report.results] == ["kd", "kd[above]", "kd[below]"]
        assert report.results[1]["floor"] is not None
        scores.append(report)
    assert scores[0]["kd"] == pytest.approx(scores[1]["kd"], rel=0.3)  # together they look alike
    assert scores[1]["kd[above]"] > 10 * abs(scores[0]["kd[above]"])
    one = held_out.select(held_out.labels == 0)  # type: ignore[arg-type]
    with pytest.raises(gz.DataError, match="class below has no held-out images"):
        ModelEvaluator(Evaluator(PixelFeatures.fit(train, 4), train, one, ("kd",), 100))(
            gz.GAN(TwoClasses(False), None, {}, name="two")
        )
    told = ModelEvaluator(Evaluator(PixelFeatures.fit(train, 4), train, one, ("auto",), 100))
    kinds = {r["metric"] for r in told(gz.GAN(TwoClasses(False), None, {}, name="two")).results}
    assert "kd[above]" in kinds and "kd[below]" not in kinds, "auto takes what can be measured"
    unknown = ImageData(held_out.images, None, (), "bare")
    with pytest.raises(gz.DataError, match="two has 2 classes, but bare has 0"):
        samples_of(gz.GAN(TwoClasses(False), None, {}, name="two"), 4, unknown)


def test_fewer_held_out_images_are_a_random_part_of_them(images: ImageData) -> None:
    """Sorted by kind, the first ones would stand for one kind only."""
    sorted_images = images.select(images.labels.argsort(stable=True))  # type: ignore[union-attr]
    judge = Evaluator(PixelFeatures.fit(images), images, sorted_images, metrics=("kd",), samples=20)
    kinds = {tuple(row.tolist()) for row in judge.real.features.sign()[:, :1]}
    assert len(judge.real) == 20 and len(kinds) == 2


class Counting(PixelFeatures):
    """Counts how many images it has looked at."""

    seen = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        Counting.seen += len(images)
        return super().forward(images)


def test_the_cache_goes_by_content_and_survives_damage(images: ImageData) -> None:
    Counting.seen = 0
    fitted = PixelFeatures.fit(images, 4)
    counting: Extractor = Counting(fitted.mean, fitted.components)
    first = extract(counting, Images.part(images, 40))
    renamed = ImageData(images.images, images.labels, images.classes, "another name")
    again = extract(counting, Images.part(renamed, 40))
    assert Counting.seen == 40 and torch.equal(first.features, again.features)
    changed = images.images.clone()
    changed[0, 0, 0, 0] += 1
    extract(counting, Images.part(ImageData(changed, images.labels, images.classes, images.name), 40))
    assert Counting.seen == 80
    extract(Counting(fitted.mean + 1, fitted.components), Images.part(images, 40))
    assert Counting.seen == 120
    place = features_folder()
    assert place is not None
    for file in place.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(extract(counting, Images.part(images, 40)).features, first.features)
    assert Counting.seen == 160
    extract(counting, Images.part(images, 40))
    assert Counting.seen == 160


def test_no_cache_when_it_is_off_or_cant_be_written(
    images: ImageData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    features = PixelFeatures.fit(images, 4)
    monkeypatch.setenv("GANTL_ZOO_CACHE", "off")
    whole = extract(features, Images.part(images, 40)).features
    assert features_folder() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANTL_ZOO_CACHE", str(tmp_path / "file" / "below"))
    assert torch.equal(extract(features, Images.part(images, 40)).features, whole)


def test_nearest_training_images_stand_beside_samples(gan: gz.GAN) -> None:
    train, held_out = many(50), many(30, seed=1)
    found = ModelEvaluator(Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("kd",), 30)).nearest_grid(
        gan
    )
    assert found.shape == (8 * 6, 1, 28, 28) and found.dtype == torch.uint8
    few = ModelEvaluator(Evaluator(PixelFeatures.fit(train, 4), train, held_out, ("kd",), 30, train.few(3)))
    assert few.nearest_grid(gan).shape == (8 * 4, 1, 28, 28)
    rows = found.view(8, 6, -1)
    known = {bytes(image.flatten().tolist()) for image in train.images}
    assert all(bytes(image.tolist()) in known for image in rows[:, 1:].flatten(0, 1))


def test_metrics_have_names_in_a_text_or_in_a_sequence() -> None:
    assert named("fd,kd") == named(" fd, kd,") == named(("fd", "kd")) == named(["fd", "kd"]) == ("fd", "kd")
    assert named("auto") == named(("auto",)) == ("auto",)
    assert named("none") == named(("none",)) == named(()) == named("") == ()
    wrong = {
        "fdkd": "unknown metric fdkd; did you mean",
        "none,fd": "unknown metric none.* none alone",
    }
    wrong |= {("fd", "f,d"): "unknown metric f,d", ("fd", 5): "must be names", 5: "must be names, such as"}
    for wish, text in wrong.items():
        with pytest.raises(gz.UsageError, match=text):
            named(wish)  # type: ignore[arg-type]


@pytest.mark.parametrize("metrics", ["kd,diversity", ("kd", "diversity")], ids=str)
def test_a_run_measures_what_it_was_told_in_words(photos: Path, tmp_path: Path, metrics: object) -> None:
    settings = TINY | {"metrics": metrics, "extractor": "pixels", "samples": 20, "data": photos}
    gan = gz.train("dcgan", image_size=28, out=tmp_path, **settings)
    assert [result["metric"] for result in gan.about["metrics"]] == ["kd", "diversity"]
    report = gz.evaluate(gan, data=photos, metrics=metrics, samples=20, extractor="pixels")  # type: ignore[arg-type]
    assert [result["metric"] for result in report.results] == ["kd", "diversity"]


def test_images_in_memory_are_not_measured_and_the_log_says_why(images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.UnknownNameError, match="unknown metric best"):
        gz.train("dcgan", data=images, out=tmp_path / "runs", **TINY | {"metrics": ("fd", "best")})
    assert not (tmp_path / "runs").exists()
    gz.train("dcgan", data=images, out=tmp_path, **TINY | {"metrics": "auto"})
    log = (tmp_path / "00000-dcgan-halves" / "log.txt").read_text()
    assert "no metrics: halves was given in memory, so no images are held out; give a folder" in log


@pytest.mark.parametrize(
    ("wish", "error", "text"),
    [
        ({"metrics": ("classes",)}, gz.UsageError, "needs a classifier of photos"),
        ({"metrics": ("fd",)}, gz.DataError, "images"),
        ({"metrics": ("auto",), "extractor": "cnn"}, gz.UsageError, "an architecture without weights"),
        ({"metrics": ("auto", "best")}, gz.UsageError, "unknown metric best"),
    ],
)
def test_a_wish_that_cant_be_granted_ends_a_run_before_it_begins(
    photos: Path, tmp_path: Path, wish: dict[str, object], error: type[Exception], text: str
) -> None:
    settings = TINY | {"channels": 1, "image_size": 28} | wish
    with pytest.raises(error, match=text):
        gz.train("dcgan", data=photos, out=tmp_path / "runs", **settings)
    assert not (tmp_path / "runs").exists()


def test_fewer_training_than_held_out_images_leave_the_floor_open(gan: gz.GAN, tmp_path: Path) -> None:
    for split, count in (("train", 40), ("test", 140)):
        (tmp_path / "some" / split).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng([i, count]).integers(0, 255, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "some" / split / f"{i}.png")
    report = gz.evaluate(gan, data=tmp_path / "some", samples=140)
    floors = {result["metric"]: result["floor"] for result in report.results}
    assert floors["fd"] is None and floors["kd"] is not None
    assert "fd_" in str(report)


def test_a_split_takes_size_and_channels_from_the_images_that_are_trained_on(tmp_path: Path) -> None:
    for i in range(40):  # one in colour, which makes the training images RGB
        pixels = np.full((16, 16, 3) if i == 0 else (16, 16), 6 * i, dtype=np.uint8)
        split, side = ("train", 16) if i < 25 else ("test", 20)
        (tmp_path / "some" / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((side, side)).save(tmp_path / "some" / split / f"{i}.png")
    made = gz.train(
        "dcgan",
        data=tmp_path / "some",
        out=tmp_path / "runs",
        **TINY | {"metrics": "kd", "extractor": "pixels", "watch_every": 2},
    )
    assert made.about["metrics"][0]["metric"] == "kd"


def test_images_in_memory_have_no_floor_and_were_not_trained_on(gan: gz.GAN, images: ImageData) -> None:
    report = gz.evaluate(gan, data=images, samples=40)
    names = {result["metric"] for result in report.results}
    assert "kd" in names and "copies" not in names
    assert all(result["floor"] is None for result in report.results)
    assert "no training images are known" in str(report)
    with pytest.raises(gz.DataError, match="the metric memory compares samples with the training images"):
        gz.evaluate(gan, data=images, samples=40, metrics="memory")


def test_classes_are_compared_by_their_names(images: ImageData) -> None:
    swapped = replace(images, labels=1 - images.labels, classes=("below", "above"))  # type: ignore[operator]
    gan = gz.GAN(TwoClasses(False), None, {}, name="two")
    gan.about["training"] = {"classes": ["above", "below"]}
    ours, theirs = (
        gz.evaluate(gan, data=d, metrics="kd", samples=40, extractor="cnn-mnist") for d in (images, swapped)
    )
    for name in ("above", "below"):
        assert ours[f"kd[{name}]"] == pytest.approx(theirs[f"kd[{name}]"], rel=1e-3)


def test_what_was_learned_is_told_by_its_seed_too(gan: gz.GAN, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters are drawn anew for each seed, so without shots the seed still says what was trained on."""

    asked: list[Any] = []

    def judge(spec: Any, *rest: Any, **more: Any) -> None:
        asked.append(spec)
        raise gz.DataError("enough")

    monkeypatch.setattr(sys.modules["gantl_zoo.runs.evaluate"], "evaluator_for", judge)
    for few in ({}, {"shots": 9}):
        with pytest.raises(gz.DataError, match="enough"):
            gz.evaluate(gan, data="glyphs", data_seed=3, **few)
    assert [spec.data_seed for spec in asked] == [3, 3] and [spec.shots for spec in asked] == [None, 9]


def test_a_report_is_shown_even_if_its_file_cant_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gantl_zoo.cli.app import main

    words = ["--data", "digits", "--metrics", "kd", "--samples", "60", "--extractor", "pixels"]
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "dcgan-mnist", *words, "--json", str(tmp_path / "no" / "x.json")])
    said = capsys.readouterr()
    assert stop.value.code and "can't write" in said.err and "kd_pixels" in said.out


def test_an_extractor_is_found_as_any_trained_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    find = pretrained.find
    monkeypatch.setattr(pretrained, "find", lambda name, *a, **k: asked.append(name) or find(name, *a, **k))
    images = ImageData(torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    names = ["auto", "cnn-mnist", "channelwise:cnn-mnist", "timm:nothing"]
    for name in names:
        with contextlib.suppress(gz.UnknownNameError):
            choose_extractor(name, images)
    assert asked == ["gantl_zoo:cnn-mnist", "cnn-mnist", "cnn-mnist", "timm:nothing"]
