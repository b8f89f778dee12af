"""Class-conditional models: images by class, fitting to other classes, training, what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, check_report, sized

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.surgery.class_tables import effective_table
from gantl_zoo.surgery.fit import adapt, fitted
from gantl_zoo.surgery.matching import as_lineage

FAMILIES = [
    name for name in registry.generators.names() if "num_classes" in registry.generators.configure(name)
]
POWERS = ("fast", "stylegan2")  # whose image sizes are powers of two
NORMS = [("dcgan", "none"), ("dcgan", "spectral"), ("resnet", "none"), ("resnet", "spectral")]


def knowing(name: str, classes: int, shape: tuple[int, int, int] = (1, 28, 28), **judged: Any) -> gz.GAN:
    """A small GAN with classes that differ, and with statistics of its own."""
    config: Any = {**SMALL, "image_size": shape[1], "channels": shape[0], "num_classes": classes}
    made, judged = sized("generators", name, **config), sized("discriminators", name) | judged
    gan = gz.build_gan(name, generator_config=made, discriminator_config=judged, name="small")
    for network in (gan.generator, gan.discriminator):
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point() and "parametrizations" not in key:
                tensor.add_((torch.rand_like(tensor) - 0.5) * 0.2)
    return gan


def logits(gan: gz.GAN, images: torch.Tensor, label: int) -> torch.Tensor:
    """What the discriminator says of images of one class."""
    found: torch.Tensor = gan.discriminator(images, torch.full((len(images),), label))
    return found.detach()


@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_depends_on_its_seed_and_class_alone(name: str, tmp_path: Path) -> None:
    gan = knowing(name, 3, (1, 32, 32) if name in POWERS else (1, 28, 28))
    many = gan.generate(20, seed=5)
    assert torch.equal(many[9:11], gan.generate(2, seed=14))
    assert torch.equal(many[[3, 10]], gan.generate(seeds=[8, 15]))
    classes = [[c for c in range(3) if torch.equal(gan.generate(1, seed=5 + i, labels=[c])[0], many[i])]
               for i in range(20)]  # fmt: skip
    assert all(len(found) == 1 for found in classes) and len({found[0] for found in classes}) == 3
    assert torch.equal(gz.load_model(str(gan.save(tmp_path / "it"))).generate(20, seed=5), many)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 3], "has the 3 classes 0, 1, 2; there is no class 3"),
        ([-1, 0], "there is no class -1"),
        ([1], r"2 image\(s\) need as many labels, not labels of shape \(1,\)"),
        ([0.5, 1.0], "a label must be a whole number"),
    ],
)
def test_wrong_labels_are_explained(labels: list[int], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        knowing("dcgan", 3).generate(2, labels=labels)


def test_missing_labels_are_explained(gan: gz.GAN) -> None:
    known = knowing("dcgan", 3)
    with pytest.raises(gz.UsageError, match="need as many labels, not none"):
        known.decode(torch.randn(2, 8))
    for network, shape in ((known.generator, (2, 8)), (known.discriminator, (2, 1, 28, 28))):
        with pytest.raises(gz.UsageError, match="on 3 classes: pass a label from 0 to 2 for each"):
            network(torch.zeros(shape))
    with pytest.raises(gz.UsageError, match="small is unconditional, so it takes no labels"):
        gan.decode(torch.randn(2, 8), torch.tensor([0, 1]))
    for kind, count in product((registry.generators, registry.discriminators), (-1,)):
        for name in FAMILIES:
            with pytest.raises(gz.UsageError, match=f"{name}: num_classes must be at least 0"):
                kind.build(name, image_size=28, num_classes=count)
    with pytest.raises(gz.UsageError, match="has 2 classes, generator 'dcgan' has 3"):
        knowing("dcgan", 3, num_classes=2)


@pytest.mark.parametrize(("name", "norm"), NORMS)
def test_a_source_without_classes_is_itself_in_each_class(name: str, norm: str) -> None:
    gan = knowing(name, 0, norm=norm)
    made, report = adapt(gan, gan.image_shape, num_classes=3)
    check_report(gan, made, report)
    images = gan.generate(4)
    for label in range(3):
        torch.testing.assert_close(made.generate(4, labels=[label] * 4), images)
        torch.testing.assert_close(logits(made, images, label), gan.discriminator(images).detach())
    assert {m.note for m in report if m.how != "reused"} == {
        "the same for each of 3 classes",
        "zero for each of 3 classes",
    }
    back, _ = adapt(made, gan.image_shape, num_classes=0)
    torch.testing.assert_close(back.generate(4), images)
    torch.testing.assert_close(back.discriminator(images), gan.discriminator(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "norm"), NORMS)
def test_without_classes_the_discriminator_is_the_mean_of_them(name: str, norm: str) -> None:
    gan = knowing(name, 3, norm=norm)
    made, report = adapt(gan, gan.image_shape, num_classes=0)
    check_report(gan, made, report)
    images = gan.generate(4)
    mean = torch.stack([logits(gan, images, label) for label in range(3)]).mean(0)
    notes = {match.tensor: match.note for match in report if "linear" in match.tensor and match.note}
    if norm == "none":
        torch.testing.assert_close(made.discriminator(images).detach(), mean)
        assert list(notes.values()) == ["mean of 3 classes added"]
    else:  # the norm scales the sum, and the report says so
        assert "mean of 3 classes added, spectral norm recomputed" in notes.values()
        bias = made.discriminator.blocks[-1].linear.bias
        ratio = (made.discriminator(images) - bias) / (mean - bias)
        torch.testing.assert_close(ratio, ratio[:1].expand(4), rtol=1e-3, atol=1e-3)
    assert [m.tensor.split(".")[-2:] for m in report if m.how == "dropped"] == [["classes", "weight"]]
    assert made.num_classes == made.discriminator.num_classes == 0
    scale = next(n for n in gan.generator.state_dict() if n.endswith((".norm.weight", ".norm1.weight")))
    torch.testing.assert_close(made.generator.state_dict()[scale], gan.generator.state_dict()[scale].mean(0))


@pytest.mark.parametrize(("name", "norm"), NORMS)
def test_another_count_of_classes_starts_at_their_mean(name: str, norm: str) -> None:
    gan = knowing(name, 10, norm=norm)
    made, report = adapt(gan, gan.image_shape, num_classes=5)
    check_report(gan, made, report)
    assert {m.note for m in report if m.how == "adapted"} == {"mean of 10 classes for each of 5"}
    images = made.generate(2, labels=[0, 4])
    assert torch.equal(images, made.generate(2, labels=[3, 1])) and not images.isnan().any()
    if norm == "none":
        mean = torch.stack([logits(gan, images, label) for label in range(10)]).mean(0)
        torch.testing.assert_close(logits(made, images, 4), mean, rtol=1e-4, atol=1e-5)
    assert (made.config()["num_classes"], made.num_classes, made.classes) == (5, 5, list("01234"))


@pytest.mark.parametrize(("name", "norm"), NORMS)
@pytest.mark.parametrize("wanted", [("dog", "fox", "cat"), ("dog", "cat"), ("dog", "cat", "cow", "fox")])
def test_a_class_starts_from_the_sources_class_of_its_name(
    name: str, norm: str, wanted: tuple[str, ...]
) -> None:
    gan = knowing(name, 3, norm=norm)
    gan.about["training"] = {"classes": ["cat", "cow", "dog"]}
    made, report = adapt(gan, (3, 32, 32), num_classes=len(wanted), classes=wanted)
    check_report(gan, made, report)
    made = fitted(gan, gan.image_shape, 0, wanted)
    for role in ("generator", "discriminator"):
        rows, known = (getattr(g, role).state_dict() for g in (made, gan))
        for table in made.about["fitted"][role]["adapted"] if "fox" in wanted else ():
            used = effective_table(table, known[table], getattr(gan, role))  # rows that are bounded, maybe
            torch.testing.assert_close(rows[table][wanted.index("fox")], used.mean(0))
    noise = torch.randn(2, 8)
    for label, animal in enumerate(wanted):
        if animal == "fox":  # unknown, so the mean of all, and no other class
            images = decode(made, noise, label)
            assert not any(torch.equal(images, decode(gan, noise, i)) for i in range(3))
            continue
        place = gan.about["training"]["classes"].index(animal)
        images = decode(gan, noise, place)
        torch.testing.assert_close(decode(made, noise, label), images)
        torch.testing.assert_close(logits(made, images, label), logits(gan, images, place))
    notes = {m.note.partition(", grid")[0] for m in report if "classes" in m.note}
    count = len(set(wanted) - {"fox"})
    assert notes == {
        f"{count} of {len(wanted)} classes by name" + ", mean of all classes for 1" * ("fox" in wanted)
    }
    assert made.classes == list(wanted) and fitted(made, made.image_shape, 0, wanted) is made


def test_names_that_dont_fit_the_classes_are_no_names() -> None:
    gan = knowing("dcgan", 3)
    gan.about["training"] = {"classes": ["cat", "cow", "dog", "fox"]}
    assert fitted(gan, gan.image_shape, 0, ("fox", "cow", "cat")) is gan


def decode(gan: gz.GAN, noise: torch.Tensor, label: int) -> torch.Tensor:
    """Images of one class."""
    return gan.decode(noise, torch.full((len(noise),), label))


@pytest.mark.parametrize("name", FAMILIES)
def test_classes_and_shapes_change_together(name: str) -> None:
    for (old, before), (new, after) in product(
        [((1, 28, 28), 0), ((3, 32, 32), 4), ((1, 64, 64), 2)],
        [((3, 32, 32), 3), ((1, 28, 28), 4), ((3, 28, 28), 0)],
    ):
        if name in POWERS:
            old, new = ((channels, max(32, side), max(32, side)) for channels, side, _ in (old, new))
        gan = knowing(name, before, old)
        made, report = adapt(gan, new, num_classes=after)
        check_report(gan, made, report)
        assert made.image_shape == new and made.num_classes == made.discriminator.num_classes == after
        labels = torch.arange(2) % after if after else None
        images = made.generate(2, labels=None if labels is None else labels.tolist())
        assert images.isfinite().all()
        heard = made.discriminator(images) if labels is None else made.discriminator(images, labels)
        assert heard.isfinite().all()
        back, _ = adapt(made, old, num_classes=before)
        for role in ("generator", "discriminator") if name != "grown" else ():
            shapes = [{n: t.shape for n, t in getattr(g, role).state_dict().items()} for g in (gan, back)]
            assert shapes[0] == shapes[1]


def test_grey_to_rgb_with_classes_gives_the_sources_images() -> None:
    gan = knowing("dcgan", 0)
    made, _ = adapt(gan, (3, 28, 28), 10, 4)
    noise = torch.randn(3, 10)
    images = gan.decode(noise[:, :8]).expand(-1, 3, -1, -1)
    torch.testing.assert_close(made.decode(noise, torch.tensor([0, 3, 1])), images)


def test_what_is_fitted_says_so_and_what_cant_be_is_explained() -> None:
    gan = knowing("dcgan", 3)
    assert fitted(gan, (1, 28, 28), 0, "xyz") is gan and fitted(gan, (1, 28, 28), 0) is gan
    made = fitted(gan, (1, 28, 28), 0, "wxyz")
    assert made.about["fitted"] == as_lineage(adapt(gan, (1, 28, 28), num_classes=4)[1])
    seeing = gz.build_gan("dcgan", "backbone", generator_config=SMALL, discriminator_config={"width": 4})
    made, _ = adapt(seeing, (1, 28, 28), num_classes=2)
    assert (made.num_classes, made.discriminator.num_classes) == (2, 0)


def test_a_generator_that_takes_no_classes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stiff(*, image_size: int = 28, channels: int = 1, width: int = 4, latent_dim: int = 8) -> Any:
        return registry.generators.build("dcgan", width=width, latent_dim=latent_dim)

    monkeypatch.setattr(registry.generators, "_own", dict(registry.generators._own))
    gz.generators.register("stiff", stiff)
    gan = gz.build_gan("stiff", "dcgan", discriminator_config={"width": 4})
    with pytest.raises(gz.UsageError, match="generator 'stiff' takes no num_classes"):
        adapt(gan, (1, 28, 28), num_classes=2)


def test_a_spectral_norm_is_measured_anew_where_its_weight_changed() -> None:
    gan = knowing("dcgan", 0, norm="spectral")
    made, report = adapt(gan, (3, 32, 32))
    fresh = {m.tensor for m in report if m.note == "recomputed"}
    assert fresh
    for block in made.discriminator.blocks:
        for layer in block.modules():
            if hasattr(layer, "parametrizations"):
                norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
                assert float(norm) == pytest.approx(1, rel=0.05)
