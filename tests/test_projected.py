"""Networks that were trained to see: `projected`, `vision-aided`, `mirror`."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, moved, new_trainer, state, trained
from safetensors.torch import load_file, save_file
from torch import nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData, to_float
from gantl_zoo.networks.base import digest
from gantl_zoo.networks.pretrained import pretrained_config
from gantl_zoo.networks.projected import Mixing, head
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.strategy.mirror import mirrored
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.recipe import Recipe


def heads_of(names: Iterable[str]) -> set[str]:
    """The names of tensors that training changes: those of the heads, but for signs of single outputs."""
    return {name for name in names if name.startswith("heads.") and not name.endswith("weight.0._u")}


def test_a_projected_discriminator_is_frozen_features_mixed_and_heads(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    gan.discriminator = None  # not needed
    trainer = new_trainer(
        gan, build_strategy("projected", {"width": 8}), images,
        Recipe(steps=2, batch=4, precision="fp32", lr=1e-2, loss="hinge"), engine.choose("cpu", "fp32"),
    )  # fmt: skip
    discriminator: Any = trainer.networks["discriminator"]
    before, backbone = state(discriminator), state(discriminator.backbone)
    for step in range(2):
        trainer.step(step, torch.arange(4))
    changed = {name for name in moved(before, discriminator) if not name.endswith("weight.0._u")}
    assert changed == heads_of(before)
    assert not moved(backbone, discriminator.backbone)

    folder = trainer.snapshot().save(tmp_path / "model")
    again = gz.load_model(folder)
    assert again.parts["discriminator"]["name"] == "projected"  # type: ignore[union-attr]
    shown = images.images[:3].float() / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(again.discriminator(shown), discriminator.eval()(shown))  # type: ignore[union-attr]


def test_a_released_backbone_is_stored_by_name_and_hash(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    trainer, *_ = trained(gan, images, "projected", backbone="cnn-mnist", width=4)
    saved = load_file(trainer.snapshot().save(tmp_path / "model") / "discriminator.safetensors")
    assert not [name for name in saved if "backbone" in name]
    released = gz.load_model("cnn-mnist").backbone  # type: ignore[union-attr]
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    stated = config["discriminator"]["config"]
    assert (stated["backbone"], stated["sha256"]) == ("cnn-mnist", digest(released.state_dict()))
    again: Any = gz.load_model(tmp_path / "model")
    assert not moved(state(released), again.discriminator.backbone)

    stated["sha256"] = "0123456789abcdef"
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(gz.WeightsError, match="trained with those of 0123456789abcdef"):
        gz.load_model(tmp_path / "model")
    assert gz.load_model(tmp_path / "model", discriminator=False).generate(1).shape == (1, 1, 28, 28)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["projected", "vision-aided"])
def test_a_checkpoint_has_the_hash_of_the_backbone(
    name: str, gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    trainer, *_ = trained(gan, images, name, backbone="cnn-mnist", width=4)
    saved = checkpoint.save(tmp_path, trainer.contents, {"step": 2})
    assert not [tensor for tensor in load_file(saved / "state.safetensors") if "backbone" in tensor]
    checkpoint.restore(tmp_path, trainer.contents)

    state = json.loads((saved / "state.json").read_text())
    ((place, sha256),) = state["frozen"].items()
    released = gz.load_model("cnn-mnist").backbone.state_dict()  # type: ignore[union-attr]
    assert place.endswith(".backbone") and sha256 == digest(released)
    (saved / "state.json").write_text(json.dumps(state | {"frozen": {place: "0123456789abcdef"}}))
    with pytest.raises(gz.TrainingError, match="other weights of"):
        checkpoint.restore(tmp_path, trainer.contents)

    tensors = load_file(saved / "state.safetensors")  # earlier versions saved the backbone, too
    save_file(tensors | {f"{place}.{n}": t for n, t in released.items()}, saved / "state.safetensors")
    (saved / "state.json").write_text(json.dumps({k: v for k, v in state.items() if k != "frozen"}))
    checkpoint.restore(tmp_path, trainer.contents)


def test_a_backbone_of_your_own_travels_with_the_model(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    gz.load_model("cnn-mnist").save(tmp_path / "eye")
    trainer, *_ = trained(gan, images, "projected", backbone=str(tmp_path / "eye"), width=4)
    trainer.snapshot().save(tmp_path / "model")
    shutil.rmtree(tmp_path / "eye")
    again: Any = gz.load_model(tmp_path / "model")
    released = gz.load_model("cnn-mnist").backbone  # type: ignore[union-attr]
    assert not moved(state(released), again.discriminator.backbone)


def test_a_model_with_a_projected_discriminator_is_a_source(gan: gz.GAN, images: ImageData) -> None:
    trainer, *_ = trained(gan, images, "projected", width=4)
    adapted = trainer.snapshot()
    _, changed, _ = trained(adapted, images, "full")
    assert any(name.startswith("heads.") for name in changed["discriminator"])
    with pytest.raises(gz.UsageError, match="has one block, which can't be frozen"):
        trained(adapted, images, "freeze-d")


def test_the_published_widths_and_numbers_of_logits() -> None:
    """Projected GAN with EfficientNet-Lite0 at 224 pixels: 16 logits of each of four heads."""
    mixing = Mixing([24, 40, 112, 320], 64)
    assert mixing.widths == [64, 64, 128, 256]
    assert [conv.out_channels for conv in mixing.across_channels] == [64, 128, 256, 512]
    maps = mixing([torch.randn(2, k, s, s) for k, s in ((24, 56), (40, 28), (112, 14), (320, 7))])
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14)]
    widths = []
    for features in maps:
        network = head(features.shape[1], features.shape[-1], 64)
        assert network(features).shape == (2, 1, 4, 4)
        widths.append([m.out_channels for m in network if isinstance(m, nn.Conv2d)])
    assert widths == [[64, 128, 256, 512, 1], [128, 256, 512, 1], [256, 512, 1], [512, 1]]


def test_the_classes_of_a_projected_discriminator_add_a_projection_of_each_heads_last_map() -> None:
    both = [
        gz.discriminators.build("projected", backbone="cnn-mnist", width=4, num_classes=count)
        for count in (0, 3)
    ]
    plain, conditional = (network.eval() for network in both)
    conditional.load_state_dict(plain.state_dict(), strict=False)
    images, labels = torch.rand(5, 1, 28, 28) * 2 - 1, torch.tensor([0, 1, 2, 2, 0])
    with torch.no_grad():
        before = plain(images)
        torch.testing.assert_close(conditional(images, labels), before)  # its classes begin with zeros
        table = nn.init.normal_(conditional.classes[1].weight, std=0.1)
        table[2] *= 100  # longer than 1, so its length counts as 1
        hidden = conditional.heads[1][:-1](conditional.extract(images)[1]).mean((2, 3))
        rows = table / table.norm(dim=1, keepdim=True).clamp_min(1)
        added = conditional(images, labels) - before
    features = plain.extract(images)
    places = [head(one).flatten(1).shape[1] for head, one in zip(plain.heads, features, strict=True)]
    expected = torch.zeros_like(added)
    expected[:, places[0] : sum(places[:2])] = (hidden * rows[labels]).sum(1)[:, None]
    torch.testing.assert_close(added, expected, atol=1e-6, rtol=1e-4)
    with pytest.raises(gz.UsageError, match="pass a label from 0 to 2"):
        conditional(images)


def test_a_projected_transfer_learns_the_classes(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    gan, _ = adapt(gan, gan.image_shape, num_classes=2)
    trainer, *_ = trained(gan, images, "projected", backbone="cnn-mnist", width=4)
    learned: Any = trainer.networks["discriminator"]
    assert all(bool(term.weight.any()) for term in learned.classes)
    again: Any = gz.load_model(trainer.snapshot().save(tmp_path / "model"))
    assert not moved(state(learned.classes), again.discriminator.classes)


def test_mixing_spreads_one_channel_over_all() -> None:
    mixing = Mixing([32, 64, 128], 8)
    maps = [torch.zeros(1, k, s, s) for k, s in ((32, 14), (64, 7), (128, 4))]
    still = mixing(maps)
    maps[2][0, 5, 2, 2] = 1.0  # one channel at one place of the coarsest map
    mixed = mixing(maps)
    assert [tuple(m.shape[-2:]) for m in mixed] == [(28, 28), (14, 14), (8, 8)]
    for features, before in zip(mixed, still, strict=True):
        assert ((features - before).abs().amax(dim=(0, 2, 3)) > 0).all(), "each channel depends on it"
    assert not any(p.requires_grad for p in mixing.parameters())


def test_the_second_discriminator_joins_after_the_warmup_and_stays_behind(
    gan: gz.GAN, images: ImageData
) -> None:
    recipe = Recipe(steps=4, batch=4, precision="fp32", lr=1e-2)
    strategy = build_strategy("vision-aided", {"warmup": 2, "width": 8, "weight": 0.5})
    trainer = new_trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))
    second = trainer.plan.modules["vision"]
    before = state(second)
    for step in range(2):
        assert set(trainer.step(step, torch.arange(4))) == {"generator", "discriminator"}
    assert not moved(before, second)
    for step in (2, 3):
        losses = trainer.step(step, torch.arange(4))
        assert set(losses) > {"vision generator", "vision discriminator"}
    assert moved(before, second) == {name for name in before if name.startswith("heads.")}
    assert trainer.snapshot().parts == gan.parts


class Mean(nn.Module):
    """Stands in for the second discriminator: an image's logit is its mean."""

    def extract(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    def logits(self, features: list[torch.Tensor]) -> torch.Tensor:
        return features[0].mean(dim=(1, 2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits(self.extract(images))


def test_the_second_discriminators_loss_in_closed_form(gan: gz.GAN, images: ImageData) -> None:
    strategy: Any = build_strategy("vision-aided", {"warmup": 0, "weight": 2.0, "smoothing": 0.1})
    strategy.prepare(gan, gan, images)
    strategy.second = Mean()
    real, fake = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), -1.0)
    batch = gz.Batch(0, real, torch.zeros(2, 8), fake, gan.generator, gan.discriminator)
    found = strategy.discriminator_loss(torch.tensor(0.0), batch)["vision discriminator"]
    log = torch.nn.functional.logsigmoid
    r, f = torch.tensor(0.5), torch.tensor(-1.0)
    torch.testing.assert_close(found, 2 * (-0.9 * log(r) - 0.1 * log(-r) - log(-f)))
    expected = strategy.generator_loss(torch.tensor(0.0), batch)["vision generator"]
    torch.testing.assert_close(expected, 2 * -log(f))


def test_the_second_discriminator_gets_augmented_images(gan: gz.GAN, images: ImageData) -> None:
    """Unaugmented, its heads would memorise a hundred real images."""
    shown: list[torch.Tensor] = []
    trainer = new_trainer(
        gan,
        build_strategy("vision-aided", {"warmup": 0, "width": 8}),
        images,
        Recipe(steps=1, batch=4, precision="fp32", aug="diffaugment"),
        engine.choose("cpu", "fp32"),
    )
    second: Any = trainer.plan.modules["vision"]
    extract = second.extract
    second.extract = lambda images: (shown.append(images), extract(images))[1]
    trainer.step(0, torch.arange(4))
    real, _ = shown  # the features of the fake images are computed once for both updates
    plain = to_float(images.images[:4])
    assert not any(torch.equal(one, other) for one in real for other in plain)


def test_both_updates_use_the_same_features_of_the_fake_images(gan: gz.GAN, images: ImageData) -> None:
    """They are computed once, and the generator's gradient is that of the usual computation."""
    recipe = Recipe(steps=1, batch=4, precision="fp32", loss="hinge")
    trainer = new_trainer(
        gan, build_strategy("projected", {"width": 4}), images, recipe, engine.choose("cpu", "fp32")
    )
    network: Any = trainer.networks["discriminator"]
    shown: list[torch.Tensor] = []
    extract = network.extract
    network.extract = lambda images: (shown.append(images), extract(images))[1]
    trainer.step(0, torch.arange(4))
    assert [images.requires_grad for images in shown] == [False, True], "real and fake, once each"

    network.eval()
    fake = torch.rand(4, 1, 28, 28).requires_grad_()
    batch = gz.Batch(0, fake, torch.zeros(4, 8), fake, gan.generator, network)
    critic = trainer.game.critic(batch)
    logits = critic(fake.detach())  # for the discriminator's update: only its heads get a gradient
    assert logits.requires_grad and not torch.autograd.grad(logits.sum(), fake, allow_unused=True)[0]
    (shared,), (plain,) = (torch.autograd.grad(y.sum(), fake) for y in (critic(fake), network(fake)))
    torch.testing.assert_close(shared, plain)


@pytest.mark.parametrize("name", ["projected", "vision-aided", "mirror"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": "cnn"}, "an architecture without weights"),
        ({"backbone": "dcgan-mnist"}, "dcgan-mnist is a GAN; a classifier is needed"),
        ({"backbone": "timm:resnet10t"}, "weights of timm:resnet10t can't be loaded"),
    ],
)
def test_a_backbone_that_cant_see_is_explained(
    gan: gz.GAN, images: ImageData, name: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((gz.UsageError, gz.WeightsError), match=said):
        trained(gan, images, name, **settings)


def test_mirror_writes_with_the_kernels_that_read(gan: gz.GAN, images: ImageData) -> None:
    released = gz.load_model("cnn-mnist").backbone  # type: ignore[union-attr]
    first = released.blocks[0][0].weight  # (32, 1, 3, 3)
    last = gan.generator.blocks[-1].conv  # from 4 channels to 1, 5×5, transposed
    spread = last.weight.std().item()
    before = state(gan.generator)
    build_strategy("mirror", {}).prepare(copy.deepcopy(gan), gan, images)
    changed = {name for name, t in gan.generator.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == {f"blocks.{i}.conv.weight" for i in (1, 2, 3)}
    written = last.weight.detach()
    assert written.std().item() == pytest.approx(spread, rel=1e-4) and not written[:, :, 0].any()
    scale = written[0, 0, 1, 1] / first[0, 0, 0, 0].detach()
    torch.testing.assert_close(written[:, :, 1:4, 1:4], first[:4].detach() * scale)


def test_mirror_takes_no_kernel_that_sees_one_place() -> None:
    """A MobileNet's 1×1 kernels, padded with zeros, would write one pixel in four."""
    size = {"image_size": 32, "channels": 3}
    gan = gz.build_gan("dcgan", generator_config=SMALL | size, discriminator_config={"width": 4} | size)
    pictures = ImageData(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), None, (), "black")
    before = state(gan.generator)
    build_strategy("mirror", {}).prepare(copy.deepcopy(gan), gan, pictures)
    (name,) = moved(before, gan.generator)
    kernel = gan.generator.state_dict()[name]
    assert kernel.shape[1] == 3 and kernel[..., 2, 2].square().sum() < 0.5 * kernel.square().sum()


def test_a_mirrored_kernel_undoes_the_direction() -> None:
    """A transposed convolution with a kernel is a convolution with the mirrored one."""
    kernel = torch.randn(6, 2, 3, 3)  # from 2 to 6 channels
    up = nn.ConvTranspose2d(6, 2, 3, padding=1, bias=False)
    flat = nn.Conv2d(6, 2, 3, padding=1, bias=False)
    for conv in (up, flat):
        conv.weight.data = mirrored(kernel, conv).detach()
        conv.weight.data *= kernel.std() / conv.weight.std()
    features = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(up(features), flat(features))
    assert mirrored(torch.randn(3, 1, 7, 7), nn.ConvTranspose2d(5, 4, 4)).shape == (5, 4, 4, 4)


def test_a_folder_here_is_not_taken_for_the_usual_eye(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cnn-mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert pretrained_config("projected", "auto", (1, 28, 28))["backbone"] == "cnn"
    with pytest.raises(gz.UnknownNameError, match="is a folder, but not a model"):
        pretrained_config("projected", "./cnn-mnist", (1, 28, 28))
    assert pretrained_config("projected", "cnn-mnist", (1, 28, 28))["backbone"] == "cnn"


def test_a_grey_backbone_refuses_colours(images: ImageData) -> None:
    gan = gz.build_gan(
        "dcgan", generator_config={"width": 4, "channels": 3}, discriminator_config={"width": 4}
    )
    with pytest.raises(gz.UsageError, match="projected: cnn-mnist takes 1 channel"):
        trained(gan, images.fit(None, 3), "projected", backbone="cnn-mnist")


def test_a_colour_backbone_gets_grey_images_in_three_channels(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    config = {"backbone": "timm-mobilenetv3-cifar10", "width": 4}
    trainer, *_ = trained(gan, images, "projected", **config)
    trainer.snapshot().save(tmp_path / "adapted")
    adapted = gz.load_model(tmp_path / "adapted")
    assert isinstance(adapted, gz.GAN) and adapted.image_shape == (1, 28, 28)
    discriminator: Any = adapted.discriminator
    grey = torch.rand(2, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        maps = discriminator.mixing(discriminator.backbone.pyramid(grey.repeat(1, 3, 1, 1))[-4:])
        torch.testing.assert_close(discriminator(grey), discriminator.logits(maps), rtol=1e-4, atol=1e-4)


def test_metrics_on_the_discriminators_backbone_warn(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    """Its scores fall because the generator is trained on the same features."""
    settings: dict[str, Any] = {"data": photos, "channels": 1, "metrics": ("kd",), "samples": 20, "steps": 1}
    said = "the model was trained with the features of cnn-mnist, which the metrics also use"
    for strategy in ("vision-aided", "projected"):
        for backbone in ("cnn-mnist", "cnn-fashion-mnist"):
            out = tmp_path / f"{strategy}-{backbone}"
            gz.transfer(gan, strategy=strategy, strategy_config={"backbone": backbone}, out=out, **settings)
            assert (said in next(out.glob("*/log.txt")).read_text()) == (backbone == "cnn-mnist")


def test_a_backbone_of_two_channels_is_refused_for_three() -> None:
    with pytest.raises(gz.UsageError, match="of 2 channels can't take images of 3"):
        gz.discriminators.build("backbone", channels=3, sees=2)


def test_r1_goes_through_any_bundled_eye(images: ImageData) -> None:
    colours = ImageData(images.images.expand(-1, 3, -1, -1).contiguous(), name="colours")
    made = gz.build_gan("dcgan", generator_config=SMALL | {"channels": 3}, discriminator_config={"width": 4})
    recipe = Recipe(steps=1, batch=4, precision="fp32", r1=0.5)
    cpu = engine.choose("cpu", "fp32")
    trainer = new_trainer(made, build_strategy("projected", {}), colours, recipe, cpu)
    losses = trainer.step(0, torch.arange(4))
    assert all(loss.isfinite() for loss in losses.values()) and "r1" in losses


def test_an_eye_without_second_derivatives_is_explained(gan: gz.GAN, images: ImageData) -> None:
    gan.discriminator.blocks[0].relu = nn.Hardsigmoid()
    recipe = Recipe(steps=1, batch=4, precision="fp32", r1=0.5)
    trainer = new_trainer(gan, TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))
    with pytest.raises(
        gz.UsageError, match="gradient penalty needs second derivatives, which the discriminator DCGAN"
    ):
        trainer.step(0, torch.arange(4))
