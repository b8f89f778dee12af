"""A source for images of another shape: what is taken over, how, and that nothing is skipped in silence."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, check_report, sized, trained
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData
from gantl_zoo.surgery.fit import adapt, fitted
from gantl_zoo.surgery.matching import as_lineage, summary
from gantl_zoo.training.setup import unfreeze_fresh

SHAPES = [(channels, side, side) for side, channels in product((28, 32, 64), (1, 3))]
PAIRS = [(name, "dcgan") for name in registry.generators.names()]  # the two players are fitted apart
PAIRS += [("dcgan", name) for name in registry.discriminators.names() if name != "dcgan"]


def source(generator: str, discriminator: str, shape: tuple[int, int, int]) -> gz.GAN | None:
    """A small GAN for images of that shape, or None if the generator has no such size."""
    channels, side, _ = shape
    made = sized("generators", generator, latent_dim=6, image_size=side, channels=channels)
    judged = sized("discriminators", discriminator)
    try:
        gan = gz.build_gan(generator, discriminator, generator_config=made, discriminator_config=judged)
    except gz.UsageError:
        return None
    for tensor in [*gan.generator.state_dict().values(), *gan.discriminator.state_dict().values()]:
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 0.4)  # so that no weight or statistic is what a fresh one is
    return gan


@pytest.mark.parametrize(("generator", "discriminator"), PAIRS)
def test_every_pair_of_shapes_goes_there_and_back(generator: str, discriminator: str) -> None:
    for i, (old_shape, new_shape) in enumerate(combinations(SHAPES, 2)):
        if i % 2:  # the way back starts from what the way there has made
            old_shape, new_shape = new_shape, old_shape
        gan = source(generator, discriminator, old_shape)
        if gan is None or source(generator, discriminator, new_shape) is None:
            continue
        made, report = adapt(gan, new_shape)
        check_report(gan, made, report)
        images = made.generate(2)
        assert images.shape == (2, *new_shape) and images.isfinite().all()
        assert made.discriminator(images).isfinite().all()
        back, returned = adapt(made, old_shape)
        check_report(made, back, returned)
        assert back.image_shape == old_shape and back.discriminator(back.generate(2)).isfinite().all()
        for role in ("generator", "discriminator"):
            if gan.parts[role]["name"] == "grown":  # becomes its inner network where it has no added block
                continue
            shapes = [{n: t.shape for n, t in getattr(g, role).state_dict().items()} for g in (gan, back)]
            assert shapes[0] == shapes[1], (role, old_shape, new_shape)
        assert sum(match.how == "reused" for match in report) > len(report) / 4


@pytest.mark.parametrize("generator", registry.generators.names())
def test_grey_to_rgb_gives_the_sources_image_in_three_channels(generator: str) -> None:
    gan = source(generator, "dcgan", (1, 32, 32))
    assert gan is not None
    made, report = adapt(gan, (3, 32, 32))
    assert {match.how for match in report} == {"reused", "adapted"}
    torch.testing.assert_close(made.generate(3), gan.generate(3).expand(-1, 3, -1, -1))
    images = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(made.discriminator(images.expand(-1, 3, -1, -1)), gan.discriminator(images))
    again, _ = adapt(made, (1, 32, 32))
    torch.testing.assert_close(again.generate(3), gan.generate(3))
    torch.testing.assert_close(again.discriminator(images), gan.discriminator(images))


def test_another_latent_says_nothing_at_first() -> None:
    gan = source("dcgan", "dcgan", (1, 28, 28))
    assert gan is not None
    made, report = adapt(gan, (1, 28, 28), 10)
    noise = torch.randn(3, 10)
    torch.testing.assert_close(made.decode(noise), gan.decode(noise[:, :6]))
    assert [m.note for m in report if m.how == "adapted"] == ["latent 6 to 10"] and made.latent_dim == 10
    smaller, report = adapt(gan, (1, 28, 28), 4)
    first = [g.generator.blocks[0].linear.weight for g in (smaller, gan)]
    assert smaller.latent_dim == 4 and torch.equal(first[0], first[1][:, :4])
    assert {m.note for m in report if m.how != "reused"} == {"latent 6 to 4", "recomputed"}


def test_fresh_weights_depend_on_the_seed_alone() -> None:
    gan = source("dcgan", "dcgan", (1, 28, 28))
    assert gan is not None
    first, report = adapt(gan, (3, 64, 64), seed=3)
    torch.manual_seed(99)
    second, _ = adapt(gan, (3, 64, 64), seed=3)
    other, _ = adapt(gan, (3, 64, 64), seed=4)
    fresh = [m.tensor for m in report if m.how == "fresh" and m.tensor.endswith("conv1.weight")]
    assert fresh
    for role in ("generator", "discriminator"):
        states = [getattr(g, role).state_dict() for g in (first, second, other)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(first.generator.state_dict()[n], other.generator.state_dict()[n])
               for n in fresh if n in first.generator.state_dict())  # fmt: skip


def test_what_nothing_explains_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(nn.Module):
        """A generator whose last layer makes all colours of all pixels."""

        num_classes = 0

        def __init__(self, image_size: int, channels: int, latent_dim: int) -> None:
            super().__init__()
            self.latent_dim, self.image_shape = latent_dim, (channels, image_size, image_size)
            last = nn.Linear(image_size, channels * image_size**2)
            self.blocks = nn.ModuleList([nn.Linear(latent_dim, image_size), last])

        def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
            for block in self.blocks:
                noise = block(noise)
            return noise.view(-1, *self.image_shape)

    def odd(*, image_size: int = 28, channels: int = 1, latent_dim: int = 6) -> Odd:
        return Odd(image_size, channels, latent_dim)

    def stiff(*, width: int = 4) -> nn.Module:
        return Odd(28, 1, 6)

    own = dict(registry.generators._own)
    monkeypatch.setattr(registry.generators, "_own", own)
    gz.generators.register("odd", odd)
    gz.generators.register("stiff", stiff)
    gan = gz.build_gan("odd", "dcgan", discriminator_config={"width": 4})
    with pytest.raises(
        gz.UsageError, match=r"tensor blocks.1.weight is \(784, 28\) in the source and \(2352, 28\)"
    ):
        adapt(gan, (3, 28, 28))
    stiff_gan = gz.build_gan("stiff", "dcgan", discriminator_config={"width": 4})
    with pytest.raises(gz.UsageError, match="generator 'stiff' takes no channels"):
        adapt(stiff_gan, (3, 28, 28))
    for one in (gan, stiff_gan):  # another size needs no argument
        assert adapt(one, (1, 32, 32))[0].generate(1).shape == (1, 1, 32, 32)


def test_the_report_is_for_people_and_for_lineage() -> None:
    gan = source("dcgan", "dcgan", (1, 28, 28))
    assert gan is not None
    assert fitted(gan, (1, 28, 28), 0) is gan and "fitted" not in gan.about
    kept = fitted(gan, (3, 28, 28), 0).about["fitted"]
    _, report = adapt(gan, (3, 28, 28))
    assert kept == as_lineage(report)
    text = summary(kept)
    assert "fitted generator: tensors:" in text and "2 adapted, 0 fresh, 0 dropped" in text
    assert "blocks.3.conv.weight: adapted (grey to RGB)" in text


def test_a_transfer_fits_its_source_and_is_resumed(
    gan: gz.GAN, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("_config")}
    settings |= {"data": photos, "image_size": 32}
    folder = gan.save(tmp_path / "small")
    made = gz.transfer(folder, out=tmp_path / "runs", compare_scratch=True, **settings)
    assert made.image_shape == (3, 32, 32)
    found = made.lineage["fitted"]
    assert found["generator"]["adapted"]["inner.blocks.3.conv.weight"] == "grey to RGB"
    size = "images are upsampled from 28×28 to 32×32; one block was added"
    assert found["generator"]["size"] == size
    (run,) = (tmp_path / "runs").glob("0*")
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "inner.blocks.3.conv.weight: adapted (grey to RGB)" in log and f"\n  {size}\n" in log
    assert "added.0.conv1.weight: fresh (in an added block)" in log
    assert (run / "comparison.png").is_file()
    assert "--image-size 32" in made.about["training"]["command"]
    newest = sorted((run / "checkpoints").iterdir())[-1]
    newest.rename(tmp_path / "aside")
    again = gz.transfer(folder, data=photos, resume=run)
    assert torch.equal(again.generate(2), made.generate(2))

    with pytest.raises(SystemExit) as stop:
        main(["transfer", str(folder), "--data", str(photos), "--image-size", "64", "--dry-run"])
    said = capsys.readouterr().out
    assert not stop.value.code and "fitted         discriminator, tensors: " in said
    words = " ".join(said.split())
    assert "generator: images are upsampled from 28×28 to 64×64; one block was added" in words
    assert "discriminator: images are downsampled from 64×64 to 28×28; one block was added" in words
    with pytest.raises(SystemExit):
        main(["info", str(run)])
    assert size in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        words = ["--image-size", "64", "--strategy", "freeze-d", "--dry-run"]
        main(["transfer", str(folder), "--data", str(photos), *words])
    assert " tensors without weights of the source are trained, even if" in capsys.readouterr().out


@pytest.mark.parametrize("side", [32, 56])
def test_a_model_with_a_projected_discriminator_is_fitted_too(
    gan: gz.GAN, images: ImageData, side: int
) -> None:
    strategy = registry.strategies.build("projected")
    plan = strategy.prepare(gan, gan, images)
    gan.discriminator = plan.discriminator
    made, report = adapt(strategy.export(gan), (1, side, side))
    assert made.image_shape == (1, side, side) and made.discriminator(made.generate(2)).shape[0] == 2
    assert any(match.role == "discriminator" and match.how == "reused" for match in report)


RED = ImageData(torch.tensor([255, 0, 0]).view(1, 3, 1, 1).expand(8, 3, 28, 28).to(torch.uint8), name="red")


@pytest.mark.parametrize("strategy", ["freeze-d", "freeze", "partial", "scale-shift", "gradual", "full"])
def test_tensors_without_weights_of_the_source_are_always_trained(strategy: str) -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    made = fitted(gan, (3, 64, 64), 0)
    fresh = {
        role: {n for n, p in getattr(made, role).named_parameters()} & set(found["fresh"])
        for role, found in made.about["fitted"].items()
    }
    assert all(fresh.values())
    red = ImageData(RED.images.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :64, :64][:4])
    red = red.fit(64, None)
    _, changed, _ = trained(made, red, strategy)
    for role, names in fresh.items():
        waits = strategy == "gradual" and names - changed[role]
        assert names <= changed[role] or waits, (role, names - changed[role])

    torch.manual_seed(0)
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    coloured = fitted(gan, (3, 28, 28), 0)
    trained(coloured, RED, strategy, count=4)
    shades = coloured.generate(4)
    assert strategy == "gradual" or (shades[:, 0] - shades[:, 1]).abs().mean() > 1e-3, "colour is learned"


def test_wishes_that_no_network_can_meet_are_refused() -> None:
    gan = source("dcgan", "dcgan", (1, 28, 28))
    assert gan is not None
    for shape, settings, text in (
        ((1, 28, 64), {}, "square images, so they can't be fitted to 28×64"),
        ((4, 28, 28), {}, r"1 channel\(s\), which can't be fitted to 4: only grey"),
        ((1, 28, 28), {"latent_dim": 0}, "latent_dim must be at least 1, not 0"),
        ((1, 28, 28), {"num_classes": 2, "classes": ("dog",)}, "2 classes need 2 names, not 1: dog"),
    ):
        with pytest.raises(gz.UsageError, match=text):
            adapt(gan, shape, **settings)  # type: ignore[arg-type]
    named, _ = adapt(gan, (1, 28, 28), classes=("dog", "cat"))
    assert named.num_classes == 2 and named.classes == ["dog", "cat"]
    swapped, _ = adapt(named, (1, 28, 28), classes=("cat", "dog"))
    assert swapped.classes == ["cat", "dog"], "names go with the rows"


def test_a_fitted_model_claims_nothing_that_was_measured_of_its_source(tmp_path: Path) -> None:
    gan = gz.load_model("dcgan-mnist")
    assert gan.about["metrics"] and "command" in gan.about["training"]
    made, _ = adapt(gan, (3, 32, 32))
    loaded = gz.load_model(made.save(tmp_path / "fitted"))
    assert "metrics" not in made.about and not loaded.about["metrics"] and not loaded.about["training"]
    assert loaded.lineage == gan.lineage and made.about["fitted"]["generator"]["adapted"]


def test_spectral_norms_are_told_of_in_the_report() -> None:
    gan = gz.build_gan("dcgan", generator_config={"width": 4}, discriminator_config={"norm": "spectral"})
    notes = {match.note for match in adapt(gan, (3, 28, 28))[1]}
    assert "grey to RGB, spectral norm recomputed" in notes


def test_a_transfer_may_take_another_latent_size(tmp_path: Path, photos: Path) -> None:
    gan = source("dcgan", "dcgan", (1, 28, 28))
    assert gan is not None
    folder = gan.save(tmp_path / "grey")
    settings: Any = {k: v for k, v in TINY.items() if "config" not in k}
    settings |= {"data": photos, "channels": 1, "latent_dim": 10}
    made = gz.transfer(folder, out=tmp_path / "runs", **settings)
    assert made.latent_dim == 10 and "--latent-dim 10" in made.about["training"]["command"]
    (run,) = (tmp_path / "runs").iterdir()
    next(iter(sorted((run / "checkpoints").iterdir(), reverse=True))).rename(tmp_path / "aside")
    assert torch.equal(gz.transfer(resume=run).generate(2), made.generate(2))


def test_a_run_trains_fresh_tensors(gan: gz.GAN, tmp_path: Path) -> None:
    """Not only in the plan of a dry run: red images train a block that `freeze-d` freezes."""
    settings: Any = {k: v for k, v in TINY.items() if "config" not in k} | {"data": RED, "lr": 1e-2}
    made = gz.transfer(gan, strategy="freeze-d", out=tmp_path, **settings)
    (run,) = tmp_path.glob("0*")
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "1 tensors without weights of the source are trained" in log
    shades, kernels = made.generate(4), made.discriminator.blocks[0].conv.weight
    assert (shades[:, 0] - shades[:, 1]).abs().mean() > 1e-3
    assert not torch.equal(kernels[:, 0], kernels[:, 1])


def test_a_frozen_backbone_stays_frozen_when_it_is_fitted(images: ImageData) -> None:
    config = {"backbone": "cnn", "weights": "cnn-mnist", "mix": True}
    gan = gz.build_gan("dcgan", "backbone", generator_config=SMALL, discriminator_config=config)
    made, _ = adapt(gan, (3, 28, 28))
    assert any("grey to RGB" in note for note in made.about["fitted"]["discriminator"]["adapted"].values())
    plan = gz.TransferStrategy().prepare(made, made, images)
    unfreeze_fresh(plan, made)
    listed = {id(p) for group in plan.groups["discriminator"] for p in group.parameters}
    assert not {id(p) for p in made.discriminator.backbone.parameters()} & listed


def test_a_fitted_model_of_the_hub_knows_its_commit() -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    gan.about["hub"] = {"repo": "me/x", "revision": "a" * 40}
    assert adapt(gan, (3, 28, 28))[0].about["hub"] == gan.about["hub"]
