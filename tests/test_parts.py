"""Steps whose parts are replayed are the steps that are computed at once, bit for bit."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import EARLY, SMALL, sized
from replayed import PARTS, Recorded, assert_same, run_steps as run
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.strategy.base import Batch
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.batches import uploaded
from gantl_zoo.training.loop import Loop
from gantl_zoo.training.losses import build_loss
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.parts import MOST, WARM_UP, Graphs, Parts
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.regularizers.combined import build_regularizer
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer, game_of
from gantl_zoo.training.watched_step import Questions


def trainer_of(
    gan: gz.GAN, images: ImageData, strategy: gz.TransferStrategy | None = None, **settings: Any
) -> Trainer:
    recipe = Recipe(**{"steps": 8, "batch": 4, "precision": "fp32", "lr": 1e-3} | settings)
    loss = build_loss(recipe.loss, recipe.loss_config)
    setup = set_up(copy.deepcopy(gan), strategy or gz.TransferStrategy(), images, recipe.seed, loss)
    return Trainer(setup, images, recipe, engine.choose("cpu", recipe.precision))


def replayed(trainer: Trainer, before: int = 2) -> Recorded:
    """Make a trainer replay its steps, after so many steps of a kind."""
    backend = Recorded()
    trainer.parts = Graphs(backend, before)
    return backend


def twins(gan: gz.GAN, images: ImageData, name: str = "full", **settings: Any) -> Recorded:
    """Train one GAN at once and the same one by replays, and compare them. Returns the backend."""
    config = EARLY.get(name, {})
    one, other = (trainer_of(gan, images, build_strategy(name, config), **settings) for _ in range(2))
    backend = replayed(other)
    assert run(one, stop=5) == run(other, stop=5)
    assert_same(one, other)
    assert other.health() == one.health()
    return backend


def test_only_the_first_steps_run_python(gan: gz.GAN, images: ImageData) -> None:
    one, other = (trainer_of(gan, images) for _ in range(2))
    backend = replayed(other, WARM_UP)
    assert run(one, stop=6) == run(other, stop=6)
    assert_same(one, other)
    assert backend.captures == PARTS and backend.replays == PARTS * (6 - WARM_UP)


@pytest.mark.parametrize("name", registry.generators.names())
def test_every_family_is_replayed(name: str, images: ImageData) -> None:
    config = sized("generators", name, image_size=32, channels=1, latent_dim=8)
    gan = gz.build_gan(name, generator_config=config)
    config = sized("discriminators", gan.parts["discriminator"]["name"], image_size=32, channels=1)
    gan = gz.build_gan(name, generator_config=gan.parts["generator"]["config"], discriminator_config=config)
    assert twins(gan, images.fit(32, 1)).captures


@pytest.mark.parametrize("name", registry.discriminators.names())
def test_every_discriminator_is_replayed(name: str, images: ImageData) -> None:
    config = sized("discriminators", name, image_size=32, channels=1)
    gan = gz.build_gan(
        "dcgan", name, generator_config=SMALL | {"image_size": 32}, discriminator_config=config
    )
    assert twins(gan, images.fit(32, 1), loss="hinge", loss_config={"margin": 0.8}).captures


@pytest.mark.parametrize("name", gz.losses.names())
def test_every_loss_is_replayed(name: str, gan: gz.GAN, images: ImageData) -> None:
    backend = twins(gan, images, loss=name)
    assert backend.captures, backend.waited


@pytest.mark.parametrize("name", gz.augmentations.names())
def test_every_augmentation_is_replayed(name: str, images: ImageData) -> None:
    config = SMALL | {"image_size": 28, "channels": 3}
    gan = gz.build_gan("dcgan", generator_config=config, discriminator_config={"width": 4, "dropout": 0.1})
    assert twins(gan, images.fit(28, 3), aug=name).captures


@pytest.mark.parametrize("name", [name for name in gz.regularizers.names() if name != "top-k"])
def test_every_regularizer_is_replayed(name: str, images: ImageData) -> None:
    loaded, config = gz.regularizers.load(name), dict(SMALL)
    family = "stylegan2" if loaded.latent_space or loaded.stages else "dcgan"
    config = sized("generators", family, **config, image_size=32, channels=1)
    gan = gz.build_gan(family, "dcgan", generator_config=config, discriminator_config={"width": 4})
    lazy = "every" in gz.regularizers.configure(name)
    settings: dict[str, Any] = {"regularizer_config": {"every": 1}} if lazy else {}
    assert twins(gan, images.fit(32, 1), regularizer=name, aug="ada", **settings).captures


@pytest.mark.parametrize("name", [*registry.strategies.names(), "freeze-d+l2-sp", "scale-shift latents"])
def test_every_strategy_is_replayed(name: str, gan: gz.GAN, images: ImageData) -> None:
    name, *switches = name.split()
    one, other = (
        trainer_of(gan, images, build_strategy(name, EARLY.get(name, {}) | dict.fromkeys(switches, True)))
        for _ in range(2)
    )
    backend = replayed(other)
    assert run(one, stop=8) == run(other, stop=8)
    assert_same(one, other)
    assert backend.captures


def test_a_lazy_penalty_is_a_second_kind_of_step(gan: gz.GAN, images: ImageData) -> None:
    one, other = (trainer_of(gan, images, r1=1.0, regularizer_config={"r1.every": 2}) for _ in range(2))
    backend = replayed(other)
    rows = run(other)
    assert rows == run(one)
    assert ["r1" in row for row in rows] == [True, False] * 4
    assert_same(one, other)
    assert backend.captures == 2 * PARTS


def test_all_that_moves_moves(gan: gz.GAN, images: ImageData) -> None:
    """The learning rate, a beta of Adam, the weight of R1, the half-life of the average and p of ADA."""
    settings: dict[str, Any] = {"r1": 1.0, "regularizer": "r2", "aug": "ada", "aug_config": {"p": 0.1}}
    settings |= {"final": {"lr": 1e-4, "beta2": 0.5, "r1": 0.1, "ema_images": 10, "aug_p": 0.9}, "decay": 0.5}
    settings["regularizer_config"] = {"r1.every": 1, "r2.every": 1}
    backend = twins(gan, images, **settings)
    assert backend.captures == PARTS, "steps whose numbers move are of one kind"


@pytest.mark.parametrize(
    "settings", [{"accumulate": 2}, {"precision": "bf16"}, {"engine_config": {"optimizer": "plain"}}], ids=str
)
def test_settings_of_the_computation_are_replayed(
    settings: dict[str, Any], gan: gz.GAN, images: ImageData
) -> None:
    assert twins(gan, images, r1=1.0, regularizer_config={"r1.every": 1}, **settings).captures


def test_scaled_losses_of_half_precision_are_replayed(gan: gz.GAN, images: ImageData) -> None:
    one, other = (trainer_of(gan, images) for _ in range(2))
    for trainer in (one, other):
        machine = engine.Engine(torch.device("cpu"), "fp16")  # choose() refuses a CPU, which is slow at it
        trainer.game = game_of(trainer.setup, trainer.recipe, machine)
        players = (trainer.game.generator, trainer.game.discriminator)
        trainer.contents.players = trainer.guard.players = players
        scaler = players[0].scaler
        scaler.load_state_dict(scaler.state_dict() | {"scale": 2.0**40})  # the first steps are skipped
    backend = replayed(other)
    run(one), run(other)
    assert_same(one, other)
    scales = [trainer.game.generator.scaler.get_scale() for trainer in (one, other)]
    assert backend.captures and scales[0] == scales[1] < 2.0**40


def test_classes_are_replayed(images: ImageData) -> None:
    config = SMALL | {"num_classes": 2}
    gan = gz.build_gan("dcgan", generator_config=config, discriminator_config={"width": 4, "num_classes": 2})
    assert twins(gan, images).captures


class Broken(gz.TransferStrategy):
    """Full fine-tuning that makes the latents of some steps infinite, on the device."""

    def __init__(self) -> None:
        self.factor = torch.ones(())

    def on_step(self, step: int, plan: Any) -> None:
        self.factor.fill_(float("inf") if step in (1, 5) else 1.0)

    def latents(self, noise: Tensor, step: int) -> Tensor:
        return noise * self.factor


def test_a_step_that_is_not_finite_is_skipped_in_a_replay(gan: gz.GAN, images: ImageData) -> None:
    one, other = (trainer_of(gan, images, Broken(), aug="ada") for _ in range(2))
    replayed(other)
    run(one), run(other)
    assert_same(one, other)
    assert int(other.guard.skipped) == 2 and int(other.guard.in_a_row) == 0
    assert other.guard.updates is None, "no step is to be taken back"


def test_a_resumed_run_that_is_replayed_is_the_unbroken_one(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"aug": "ada", "r1": 1.0, "regularizer_config": {"r1.every": 2}, "steps": 10}
    whole, first, second = (trainer_of(gan, images, **settings) for _ in range(3))
    run(whole, stop=10)
    replayed(first, 1)
    run(first, stop=6)
    checkpoint.save(tmp_path, first.contents, {"step": 6})
    backend = replayed(second, 1)
    run(second, stop=4)  # graphs of other weights, as before a roll-back
    checkpoint.restore(tmp_path, second.contents)
    second.restore({})
    backend.captures = 0
    run(second, start=6, stop=10)
    assert backend.captures == 2 * PARTS
    for name, tensor in checkpoint.gather(whole.contents).items():
        assert torch.equal(tensor, checkpoint.gather(second.contents)[name]), name


def notice_of(trainer: Trainer, stop: int = 8) -> str:
    run(trainer, stop=stop)
    return trainer.notice()


class Waits(gz.TransferStrategy):
    """Full fine-tuning that looks at a loss."""

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"generator": adversarial * (2.0 if float(adversarial.detach()) > 1e9 else 1.0)}


def test_what_cant_be_captured_is_computed_at_once_and_said(gan: gz.GAN, images: ImageData) -> None:
    waiting = trainer_of(gan, images, Waits())
    backend = replayed(waiting, WARM_UP)
    assert notice_of(waiting) == "no CUDA graphs: the part generator waits for the device"
    assert waiting.notice() == "" and backend.captures == 0
    counting = trainer_of(gan, images, regularizer="top-k", regularizer_config={"steps": 8})
    backend = replayed(counting)
    assert notice_of(counting) == "no CUDA graphs: the number of the step is part of the computation"
    assert backend.captures == 0
    plain = trainer_of(gan, images, regularizer="top-k", regularizer_config={"steps": 8})
    run(plain)
    assert_same(plain, counting)


def test_a_run_without_graphs_says_why(gan: gz.GAN, images: ImageData) -> None:
    class Notes(Observer):
        lines: list[str] = []  # noqa: RUF012

        def say(self, text: str) -> None:
            self.lines.append(text)

    recipe = Recipe(steps=3, batch=4, engine_config={"graphs": True})
    machine = engine.choose("cpu", "fp32", recipe.engine_config)
    assert "CUDA graphs" in str(machine)
    trainer = Trainer(set_up(gan, gz.TransferStrategy(), images, 0), images, recipe, machine)
    observer = Notes()
    Loop(trainer, observer, None).run()
    assert observer.lines == ["no CUDA graphs: the device is cpu"]
    assert Parts().take_notice() == ""


def test_few_kinds_of_steps_are_kept(gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images)
    replayed(trainer)
    graphs: Any = trainer.parts
    with training_modes():
        for number in range(MOST + 3):
            with graphs.step(number, ("plan", number), (torch.zeros(2), None)):
                graphs.run("part", lambda: torch.zeros(1))
    assert len(graphs.kinds) == MOST and all(kind.before == 1 for kind in graphs.kinds.values())


def test_a_step_that_raised_leaves_no_half_of_a_kind() -> None:
    backend = Recorded()
    graphs, inputs = Graphs(backend), (torch.zeros(2),)

    def fails() -> Tensor:
        raise ValueError("in the second part")

    for number in range(WARM_UP):
        with graphs.step(number, "plan", inputs):
            graphs.run("first", lambda: torch.zeros(1))
    with pytest.raises(ValueError, match="second part"), graphs.step(WARM_UP, "plan", inputs):
        graphs.run("first", lambda: torch.zeros(1))
        graphs.run("second", fails)
    with graphs.step(WARM_UP + 1, "plan", inputs) as (_, (place,)):
        one = graphs.run("first", lambda: place + 1)
    with graphs.step(WARM_UP + 2, "plan", (torch.ones(2),)):
        assert graphs.run("first", fails) is one
    assert one.tolist() == [2, 2] and backend.captures == 3


def test_questions_about_a_step_are_answered_for_others() -> None:
    questions = Questions()
    step = questions.watch(32)
    assert step % 16 == 0 and not step % 4 and step >= 10 and step // 10 == 3 and str(step) == "32"
    assert [number for number in (32, 200) if number > step] == [200]
    assert questions.answers(32) == (True, False, True, True, False, True)
    assert questions.answers(33) == (False, True, True, True, False, True)
    assert questions.answers(208) == (True, False, True, False, False, False)
    assert len(questions) == 6 and not questions.unanswerable


@pytest.mark.parametrize(
    "use",
    [
        lambda step: step / 7, lambda step: 1 - step, lambda step: torch.ones(2) * step, range, float, hash,
        lambda step: step % 2.5, lambda step: step in {3, 5}, lambda step: step < torch.ones(1), round,
        lambda step: 2 % step, lambda step: -step,
    ],
)  # fmt: skip
def test_other_uses_of_a_step_have_no_answer(use: Any) -> None:
    questions = Questions()
    use(questions.watch(3))
    assert questions.unanswerable
    plain = use(3)
    result = use(Questions().watch(3))
    assert result == plain if not isinstance(plain, Tensor) else torch.equal(result, plain)


def test_the_weight_of_a_penalty_that_moves_is_the_same_number() -> None:
    """As a tensor, which a replay reads, it multiplies as the number does."""
    for scale in (0.37, 1 / 3, 1e-5):
        fixed, moving = (build_regularizer("r1", {"gamma": 0.7, "every": 3}).parts["r1"] for _ in range(2))
        fixed.scale = scale  # type: ignore[assignment]
        moving.move(scale, torch.device("cpu"))  # type: ignore[operator]
        value = torch.rand(1000)
        assert torch.equal(value * fixed.weight_of_step, value * moving.weight_of_step)  # type: ignore[operator]


def test_a_streamed_batch_is_copied_while_the_one_before_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Stream:
        def __init__(self, name: Any) -> None:
            self.name = name

        def wait_stream(self, other: Any) -> None:
            calls.append(f"{self.name} waits")

    def images() -> Iterator[Tensor]:
        for number in range(3):
            calls.append(f"copy {number}")
            yield torch.full((2,), number)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main"))
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: calls.append(f"{stream.name} reads"))
    for number, batch in enumerate(uploaded(images(), engine.choose("cpu", "fp32"))):
        calls.append(f"use {number}")
        assert batch.tolist() == [number] * 2
    waited = ["main waits", "main reads"]
    first, second, third = ([f"copy {number}"] for number in range(3))
    assert calls == [*first, *waited, *second, "use 0", *waited, *third, "use 1", *waited, "use 2"]


def test_cudnn_searches_for_algorithms_only_if_a_run_need_not_repeat_exactly() -> None:
    before, gpu = torch.backends.cudnn.benchmark, torch.device("cuda")
    with engine.Engine(gpu, "bf16").applied():
        assert torch.backends.cudnn.benchmark and not torch.backends.cudnn.deterministic
        with engine.Engine(gpu, "fp32").applied():
            assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
