"""The step, losses, averaging, data order, checkpoints and the run folder."""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SMALL, TINY, new_trainer, order_of
from torch import nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.registry.arguments import plain
from gantl_zoo.seeding import seed_step, seeded
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import ema, engine
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import check_engine


def test_real_and_fake_have_batch_statistics_of_their_own(gan: gz.GAN, images: ImageData) -> None:
    """In one batch they would be normalised together, and training collapses."""
    judged = {"width": 4, "norm": "batch"}
    for config, together in ((judged, False), ({"width": 4}, True)):
        made = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config=config)
        recipe = Recipe(steps=1, batch=4, precision="fp32")
        trainer = new_trainer(made, gz.TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))
        trainer.step(0, torch.arange(4))
        batch = gz.Batch(
            0, torch.zeros(1), torch.zeros(1), torch.zeros(1), made.generator, made.discriminator
        )
        assert trainer.game.critic(batch).together is together


def test_the_average_follows_with_its_half_life() -> None:
    network, average = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.num_batches_tracked.fill_(7)  # type: ignore[union-attr,operator]
    ema.update(average, network, batch=10, images=10**9, half_life=10)
    assert average.weight.tolist() == [2.0, 2.0] and int(average.num_batches_tracked) == 7  # type: ignore[arg-type]


def test_each_epoch_is_a_shuffle_and_joins_the_next() -> None:
    recipe = Recipe(steps=9, batch=4, seed=5)
    indices = torch.cat(list(order_of(12, recipe, 0)))
    epochs = indices.view(3, 12)
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(torch.cat(list(order_of(12, recipe, 5))), indices[20:])
    assert len(next(order_of(3, Recipe(steps=1, batch=10), 0))) == 10


@pytest.mark.usefixtures("full_runs")
def test_a_run_folder_holds_what_people_look_for(photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"metrics": ("kd",), "extractor": "pixels", "samples": 20}
    gan = gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **settings)
    run = tmp_path / "00000-dcgan-photos"
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "log.txt", "stats.jsonl", "metrics.jsonl", "reals.png", "fakes000000.png",
            "fakes000006.png", "checkpoints", "model", "curves.png", "nearest.png"} <= names  # fmt: skip
    steps = {int(path.name) for path in (run / "checkpoints").iterdir()}
    assert steps == {3, 6} | {gan.about["training"]["best_step"]}
    assert gan.lineage["data"]["fingerprint"] and gan.about["training"]["command"].startswith(
        "gantl-zoo train dcgan"
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    name = next(key for key in rows[0] if key.startswith("kd_pixels-pca"))
    best = next(row for row in rows if row["step"] == gan.about["training"]["best_step"])
    assert gan.about["metrics"][0]["value"] == pytest.approx(best[name])
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    assert (tmp_path / "00001-dcgan-photos").is_dir()


def test_training_leaves_the_callers_chance_alone(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    assert torch.equal(torch.rand(3), expected)


def test_transfer_writes_lineage_back_to_scratch(photos: Path, tmp_path: Path) -> None:
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")}
    first = gz.train("dcgan", data=photos, image_size=28, channels=1, out=tmp_path, **TINY)
    first.save(tmp_path / "first")
    second = gz.transfer(tmp_path / "first", data=photos, channels=1, strategy="partial",
                         strategy_config={"last": 1}, out=tmp_path, **settings)  # fmt: skip
    lineage = second.lineage
    assert lineage["strategy"] == "partial" and lineage["strategy_config"] == {"last": 1}
    assert lineage["base_model"] == str(tmp_path / "first") and len(lineage["base_sha256"]) == 64
    assert lineage["base_lineage"]["data"]["name"] == "photos"
    assert not torch.equal(first.generate(1), second.generate(1))
    gz.transfer(tmp_path / "00000-dcgan-photos", data=photos, channels=1, out=tmp_path, **settings)
    assert (tmp_path / "00002-dcgan-photos-photos-full").is_dir(), "a run has one number, its own"


def test_transfer_in_memory_and_with_a_comparison(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")}
    before = gan.generate(2)
    made = gz.transfer(
        gan, data=images, strategy=gz.TransferStrategy(), out=tmp_path, compare_scratch=True, **settings
    )
    assert not torch.equal(made.generate(2), before)
    assert torch.equal(gan.generate(2), before), "the source stays as it is"
    assert (next(tmp_path.iterdir()) / "comparison.png").is_file()


def test_a_comparison_needs_a_discriminator_to_train_with(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    alone = gz.GAN(gan.generator, None, {"generator": gan.parts["generator"]}, {}, "alone")
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")}
    with pytest.raises(gz.UsageError, match="alone has no discriminator, which training from scratch needs"):
        gz.transfer(alone, data=images, strategy="projected", compare_scratch=True, out=tmp_path, **settings)
    frozen = gz.build_gan("dcgan", "backbone", generator_config=SMALL)
    with pytest.raises(gz.UsageError, match="has a frozen backbone, which would have random weights"):
        gz.transfer(frozen, data=images, compare_scratch=True, out=tmp_path, **settings)
    with pytest.raises(gz.UsageError, match="strategy_config is for a strategy's name"):
        gz.transfer(
            gan, data=images, strategy=gz.TransferStrategy(), strategy_config={"last": 1}, out=tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_wrong_settings_are_explained(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match="unknown setting 'stepz'; did you mean steps"):
        gz.train("dcgan", data=photos, image_size=28, stepz=4, out=tmp_path / "runs")
    with pytest.raises(
        gz.UsageError, match=r"dcgan makes images \(3, 32, 32\) .*, but those of photos are \(3, 28, 28\)"
    ):
        gz.train(
            "dcgan", data=photos, image_size=28, generator_config={"image_size": 32}, out=tmp_path / "runs"
        )
    assert not (tmp_path / "runs").exists()


def test_learning_rates_fall_to_zero_over_the_last_share() -> None:
    recipe = Recipe(steps=100, decay=0.5)
    assert [recipe.lr_factor(step) for step in (0, 50, 75, 100)] == [1, 1, 0.5, 0]
    assert Recipe(steps=100).lr_factor(99) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"decay": 2.0}, {"steps": 0}, {"batch": 0}, {"lr": -1.0}, {"precision": "int8"}, {"seed": -1},
        {"beta1": 2}, {"beta2": -1}, {"beta2": 1.0}, {"discriminator_lr": -1}, {"lr": float("nan")},
        {"lr": 10**400}, {"ema_images": -5}, {"r1": -1}, {"rollback_limit": -1}, {"metrics_every": -1},
        {"steps": 2.5}, {"seed": True}, {"device": 5}, {"loss": ["hinge"]}, {"engine_config": ["threads"]},
        {"log": "print"}, {"on_collapse": "pray"}, {"watch_every": 0}, {"skip_limit": 0}, {"accumulate": 0},
    ],
    ids=lambda wrong: str(wrong)[:30],
)  # fmt: skip
def test_impossible_recipes_are_refused(images: ImageData, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(gz.UsageError, match=next(iter(wrong)).replace("_", ".")):
        gz.train("dcgan", data=images, out=tmp_path / "runs", **TINY | wrong)
    assert not (tmp_path / "runs").exists()


def test_what_is_at_the_limit_is_possible() -> None:
    assert Recipe(beta1=0, beta2=0.999, ema_images=0, decay=1, r1=0, discriminator_lr=1e-5, rollback_limit=0)


def test_numbers_of_numpy_are_numbers(images: ImageData, tmp_path: Path) -> None:
    settings = TINY | {"steps": np.int64(2), "lr": np.float32(0.5), "samples": np.int32(9)}
    gan = gz.train("dcgan", data=images, out=tmp_path, **settings)
    assert gan.about["training"]["steps"] == 2 and gan.about["training"]["lr"] == 0.5


def test_engine_settings_are_chosen_told_and_overridden(images: ImageData, gan: gz.GAN) -> None:
    text = str(engine.choose("cpu", "auto"))
    assert "channels-last" in text and "fused Adam" in text and "thread" in text
    settings = {"memory_format": "contiguous", "optimizer": "plain", "allocator": "default"}
    machine = engine.choose("cpu", "fp32", settings)
    assert "contiguous, plain Adam, the C library's allocator" in str(machine)
    trainer = new_trainer(gan, gz.TransferStrategy(), images, Recipe(batch=4, steps=2), machine)
    assert all(p.is_contiguous() for p in gan.generator.parameters())
    trainer.step(0, torch.arange(4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"treads": 2}, "unknown engine setting treads; did you mean threads"),
        (
            {"memory_format": "channel_last"},
            "unknown memory_format 'channel_last'; did you mean channels-last",
        ),
        ({"compile": "maybe"}, "unknown compile 'maybe'; there are: False, True"),
        ({"threads": "many"}, "threads must be a whole number from 0 to 1024, not 'many'"),
        ({"threads": 10**12}, "must be a whole number from 0 to 1024"),
    ],
)
def test_wrong_engine_settings_are_explained(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(gz.UsageError, match=message):
        Recipe(engine_config=settings)


@pytest.mark.parametrize("wrong", [{"loss": "hinje"}, {"aug": "adda"}])
def test_a_loss_or_an_augmentation_that_is_none_is_an_unknown_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(gz.UnknownNameError, match="did you mean"):
        Recipe(**wrong)


def test_compiled_networks_have_no_second_derivatives(images: ImageData, gan: gz.GAN) -> None:
    recipe, machine = Recipe(steps=1, batch=4, r1=0.1), engine.choose("cpu", "fp32", {"compile": True})
    with pytest.raises(gz.UsageError, match="second derivatives, which r1 needs: compile or r1, not both"):
        new_trainer(gan, build_strategy("full", {}), images, recipe, machine)


def test_regularizers_that_replace_latents_with_what_they_do_not_fit() -> None:
    machine = engine.choose("cpu", "fp32", {"compile": True})
    with pytest.raises(gz.UsageError, match="not compiled: compile or style-mixing, not both"):
        check_engine(Recipe(regularizer="style-mixing"), machine)
    machine = engine.choose("cpu", "fp32")
    check_engine(Recipe(regularizer="style-mixing"), machine)
    check_engine(Recipe(regularizer="latent-consistency+path-length"), machine)
    with pytest.raises(gz.UsageError, match=r"latent-consistency compares .* with style-mixing"):
        check_engine(Recipe(regularizer="latent-consistency+style-mixing"), machine)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_networks_train(images: ImageData, gan: gz.GAN, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backend that needs no C++ compiler; what is compiled must be what is trained and saved."""
    compile_it = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_it(self, backend="eager"))
    names = list(gan.generator.state_dict())
    machine = engine.choose("cpu", "fp32", {"compile": True})
    trainer = new_trainer(gan, gz.TransferStrategy(), images, Recipe(batch=4, steps=2), machine)
    before = gan.generator.blocks[0].linear.weight.clone()
    trainer.step(0, torch.arange(4))
    assert not torch.equal(before, gan.generator.blocks[0].linear.weight)
    assert list(trainer.snapshot().generator.state_dict()) == names and "compiled" in str(machine)


def test_tensorboard_gets_every_row(photos: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = TINY | {"log": "tensorboard", "log_every": 2}
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **settings)
    events = EventAccumulator(str(tmp_path / "00000-dcgan-photos" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("stats/generator")] == [2, 4, 6]


def test_chance_of_every_kind_is_the_callers_again(photos: Path, tmp_path: Path) -> None:
    """A strategy may draw from any generator; each is seeded by the step, and given back."""
    drawn: list[tuple[float, float, float]] = []

    class Draws(gz.TransferStrategy):
        def on_gradients(self, phase: str) -> None:
            drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))

    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).rand()
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")}
    for out in ("a", "b"):
        source = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
        gz.transfer(source, data=photos, channels=1, strategy=Draws(), out=tmp_path / out, **settings)
    assert drawn[: len(drawn) // 2] == drawn[len(drawn) // 2 :]
    assert (random.random(), np.random.rand()) == expected


def test_the_engine_refuses_what_is_not_there() -> None:
    assert str(engine.choose("cpu", "fp32")).startswith("cpu in fp32")
    with pytest.raises(gz.UsageError, match="fp16 needs a GPU"):
        engine.choose("cpu", "fp16")
    for wrong, text in (("warp", "there are: auto, cpu"), ("CDUA", "mean cuda"), ("cuda:x", "mean cuda:1")):
        with pytest.raises(gz.UsageError, match=f"^unknown device '{wrong}'; .*{text}") as raised:
            engine.choose(wrong)
        assert len(str(raised.value)) < 80
    with pytest.raises(gz.UsageError, match="unknown precision 'fp61'; did you mean fp16"):
        engine.choose("cpu", "fp61")
    with pytest.raises(gz.UsageError, match="device must be str, not 0"):
        engine.choose(0)  # type: ignore[arg-type]


def test_another_seed_is_other_data_and_other_noise() -> None:
    orders = {
        seed: torch.cat(list(order_of(40, Recipe(steps=20, batch=8, seed=seed), 0)))
        for seed in (0, 1, 1 << 20)
    }
    assert len({tuple(found.tolist()) for found in orders.values()}) == 3
    drawn = set()
    with seeded(0):
        for seed, step, rank in product((0, 1, 5), (0, 1, 700), (0, 1)):
            seed_step(seed, step, rank)
            drawn |= {(float(torch.rand(())), random.random(), float(np.random.rand()))}
    assert [len(set(kind)) for kind in zip(*drawn, strict=True)] == [18] * 3


class Drawing(Augment):
    """Draws as many random numbers as a step's latents have, and keeps the first ones."""

    drawn: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(8, 100)
        self.drawn = drawn if self.drawn is None else self.drawn
        return images


def test_augmentations_draw_other_numbers_than_the_latents(
    images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = gz.build_gan(
        "dcgan", generator_config=SMALL | {"latent_dim": 100}, discriminator_config={"width": 4}
    )
    recipe = Recipe(steps=1, batch=8, precision="fp32", aug="none")
    trainer = new_trainer(gan, build_strategy("full", {}), images, recipe, engine.choose("cpu", "fp32"))
    trainer.game.augment = drawing = Drawing()
    noise: list[torch.Tensor] = []
    monkeypatch.setattr(trainer.strategy, "latents", lambda latents, step: noise.append(latents) or latents)
    trainer.step(0, torch.arange(8))
    assert drawing.drawn is not None and noise[0].shape == drawing.drawn.shape
    assert not torch.equal(noise[0], drawing.drawn)


def test_numbers_of_numpy_are_kept_as_plain_ones(images: ImageData, tmp_path: Path) -> None:
    config = {"width": np.int64(4), "latent_dim": np.int64(8)}
    settings = TINY | {"generator_config": config, "seed": np.int64(3), "lr": np.float32(0.5)}
    assert plain({"a": (np.int64(3), [np.True_])}) == {"a": (3, [True])}
    gz.train("dcgan", data=images, out=tmp_path, **settings)
    (run,) = tmp_path.iterdir()
    kept = json.loads((run / "config.json").read_text())
    assert kept["networks"]["generator_config"]["width"] == 4 and kept["recipe"]["seed"] == 3


def test_the_command_that_repeats_a_run_names_its_metrics(photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"data": photos, "image_size": 28, "samples": 20}
    for metrics, said in (("kd", "--metrics kd"), ("none", "--metrics none"), ("auto", "")):
        made = gz.train("dcgan", out=tmp_path / metrics, **settings | {"metrics": metrics})
        command = made.about["training"]["command"]
        assert said in command and ("--metrics " in command) == bool(said)


def test_what_only_a_resumed_run_may_leave_out_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match="data must be given, unless resume=RUN"):
        gz.train("dcgan", out=tmp_path)
    with pytest.raises(gz.UsageError, match="source must be given"):
        gz.transfer(data="glyphs", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_discriminator_of_frozen_random_features_is_refused(photos: Path, tmp_path: Path) -> None:
    settings = {k: v for k, v in TINY.items() if k != "discriminator_config"} | {"data": photos}
    settings |= {"channels": 1, "image_size": 28, "discriminator": "backbone", "out": tmp_path / "runs"}
    with pytest.raises(gz.UsageError, match=r"frozen backbone of random weights: .*weights=cnn-mnist"):
        gz.train("dcgan", **settings)
    assert not (tmp_path / "runs").exists()
    for config in ({"weights": "cnn-mnist"}, {"freeze": False}):
        made = gz.train("dcgan", discriminator_config=config, **settings)
        assert made.discriminator.freeze is config.get("freeze", True)


def test_a_comparison_that_nothing_could_decide_is_refused(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": photos, "channels": 1, "steps": 1, "out": tmp_path / "runs"}
    for file in sorted(photos.rglob("*.png"))[3:]:
        file.unlink()
    with pytest.raises(gz.DataError, match="a test split needs at least 10"):
        gz.transfer(gan, compare_scratch=True, **settings)
    assert not (tmp_path / "runs").exists()
