"""Regularizers against their formulas in float64, in a run, and those of plug-ins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import SMALL, new_trainer, sized
from test_losses import Quadratic, pair
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.runs import estimate
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training import engine
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.combined import build_regularizer
from gantl_zoo.training.setup import check_engine

IDENTITY = nn.Identity()


def batch_of(real: Tensor, fake: Tensor, step: int = 0) -> gz.Batch:
    return gz.Batch(step, real, torch.zeros(len(real), 2), fake, IDENTITY, IDENTITY)


def slopes(network: Quadratic, images: Tensor) -> Tensor:
    """The gradient of `Quadratic` with respect to its images, by hand: (N, F)."""
    return network.first + 2 * images.flatten(1) * network.second


@pytest.mark.parametrize("together", [True, False])
def test_r1_and_r2_are_half_gamma_times_the_squared_slope(together: bool) -> None:
    (real, fake), network = pair(), Quadratic(4)
    config = {"r1.gamma": 0.5, "r2.gamma": 3.0, "r1.every": 4, "r2.every": 2}
    both = build_regularizer("r1+r2", config)
    at_real = 0.5 / 2 * slopes(network, real).square().sum(1).mean() * 4
    at_fake = 3.0 / 2 * slopes(network, fake).square().sum(1).mean() * 2
    terms = both.discriminator(Critic(network, together), batch_of(real, fake, step=4))
    assert terms.keys() == {"r1", "r2"} and terms["r1"].dtype == torch.float64
    assert terms["r1"].item() == pytest.approx(at_real.item(), abs=1e-12)
    assert terms["r2"].item() == pytest.approx(at_fake.item(), abs=1e-12)
    assert both.discriminator(Critic(network), batch_of(real, fake, step=2)).keys() == {"r2"}
    assert both.discriminator(Critic(network), batch_of(real, fake, step=3)) == {}


def test_penalties_of_one_step_share_a_call_of_the_critic() -> None:
    (real, fake), network, calls = pair(), Quadratic(4), []

    def look(images: Tensor) -> Tensor:
        calls.append(len(images))
        result: Tensor = network(images)
        return result

    both = build_regularizer("r1+r2")
    both.discriminator(Critic(look), batch_of(real, fake))
    assert calls == [len(real) + len(fake)]
    both.discriminator(Critic(look), batch_of(real, fake, step=1))
    both.parts["r1"].gamma = both.parts["r2"].gamma = 0.0  # type: ignore[assignment]  # as a schedule does
    assert both.discriminator(Critic(look), batch_of(real, fake)) == {} and len(calls) == 1


def test_r1_is_the_short_form_of_a_regularizer() -> None:
    assert build_regularizer(r1=0.5).parts["r1"].gamma == 0.5
    both = build_regularizer("r2+r1", {"r2.gamma": 2.0, "r1.every": 1}, r1=0.5)
    assert list(both.parts) == ["r2", "r1"] and both.parts["r1"].every == 1
    assert (both.parts["r1"].gamma, both.parts["r2"].gamma) == (0.5, 2.0)
    assert build_regularizer(r1=0.5, config={"every": 1}).parts["r1"].every == 1
    assert list(build_regularizer().parts) == ["none"]


def test_an_argument_without_a_part_belongs_to_the_named_regularizers() -> None:
    both = build_regularizer("r2", {"gamma": 0.5}, r1=0.3).parts
    assert {name: part.gamma for name, part in both.items()} == {"r1": 0.3, "r2": 0.5}
    lazy = build_regularizer("gradient-penalty", {"every": 4, "r1.every": 2}, r1=0.3).parts
    assert {name: part.every for name, part in lazy.items()} == {"r1": 2, "gradient-penalty": 4}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"regularizer": "r3"}, "unknown regularizer 'r3'"),
        ({"regularizer": "r1+"}, "unknown regularizer ''"),
        ({"regularizer": "r1+r1"}, "regularizer 'r1\\+r1' names a part twice"),
        ({"regularizer": "r2", "regularizer_config": {"gama": 1}}, "takes no argument 'gama'; did you mean"),
        ({"regularizer": "r1+r2", "regularizer_config": {"gamma": 1}}, "r1 and r2 take it; write r1.gamma="),
        ({"regularizer": "r1+r2", "regularizer_config": {"size": 1}}, "argument 'size': no part takes it"),
        ({"regularizer": "r2", "regularizer_config": {"r1.gamma": 1}}, "regularizer 'r2' has no part 'r1'"),
        ({"regularizer": "r2", "regularizer_config": {"r2.gamma": 1, "gamma": 2}}, "r2.gamma is given twice"),
        ({"regularizer_config": {"gamma": 1}}, "regularizer 'none' takes no argument 'gamma'"),
        ({"regularizer": "r2", "regularizer_config": {"gamma": -1.0}}, "r2: gamma must be 0 or more"),
        ({"regularizer": "r2", "regularizer_config": {"every": 0}}, "r2: every must be at least 1, not 0"),
        ({"r1": 0.5, "regularizer_config": {"r1.gamma": 1}}, "are both given: give one of them"),
        ({"regularizer": 3}, "regularizer must be str, not 3"),
    ],
)  # fmt: skip
def test_wrong_regularizers_are_explained(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.Recipe(**settings)


def trainer_of(gan: gz.GAN, images: ImageData, **settings: Any) -> Any:
    recipe = gz.Recipe(steps=3, batch=4, precision="fp32", **settings)
    return new_trainer(gan, gz.TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))


def test_without_a_regularizer_no_image_is_passed_again(gan: gz.GAN, images: ImageData) -> None:
    trainer, seen = trainer_of(gan, images), []
    gan.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    losses = trainer.step(0, torch.arange(4))
    assert sum(seen) == 3 * 4 and set(losses) == {"discriminator", "generator"}


class Small(gz.Regularizer):
    """Keeps logits small."""

    def __init__(self, *, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = weight

    def discriminator(self, critic: Critic, batch: gz.Batch) -> dict[str, Tensor]:
        real, fake = critic.latest(batch.real, batch.fake)
        return {"small": self.weight * (real.square().mean() + fake.square().mean())}

    def generator(self, critic: Critic, batch: gz.Batch) -> dict[str, Tensor]:
        return {"dark": batch.fake.square().mean()}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gz.regularizers, "_own", dict(gz.regularizers._own))


@pytest.mark.usefixtures("registered")
def test_a_regularizer_of_a_script_trains(gan: gz.GAN, images: ImageData) -> None:
    gz.regularizers.register("small")(Small)
    config = {"small.weight": 50.0}
    trainer = trainer_of(gan, images, regularizer="small+r2", regularizer_config=config, lr=0.01)
    first, *_, last = (trainer.step(step, torch.arange(4)) for step in range(9))
    assert set(first) == {"discriminator", "generator", "small", "dark", "r2"}
    assert last["small"] < first["small"] and last["dark"] < first["dark"]


@pytest.mark.usefixtures("registered")
def test_a_lost_loss_term_and_another_object_are_explained(gan: gz.GAN, images: ImageData) -> None:
    gz.regularizers.register("small")(Small)
    gz.regularizers.register("smaller")(type("Smaller", (Small,), {}))
    with pytest.raises(gz.UsageError, match="two loss terms are called 'small'"):
        trainer_of(gan, images, regularizer="small+smaller").step(0, torch.arange(4))
    gz.regularizers.register("dictionary", lambda: {"r1": 1})
    with pytest.raises(gz.PluginError, match="regularizer 'dictionary' is a dict, not a gz"):
        gz.Recipe(regularizer="dictionary")


def test_the_gradient_penalty_is_that_between_a_real_and_a_fake_image() -> None:
    (real, fake), network = pair(), Quadratic(4)
    torch.manual_seed(3)
    share = torch.rand(len(real), 1, dtype=torch.float64)
    between = share * real.flatten(1) + (1 - share) * fake.flatten(1)
    norms = slopes(network, between).square().sum(1).sqrt()
    for center in (1.0, 0.0):
        config = {"weight": 2.0, "center": center, "every": 3}
        penalty = build_regularizer("gradient-penalty", config)
        torch.manual_seed(3)
        terms = penalty.discriminator(Critic(network), batch_of(real, fake, step=6))
        expected = 2.0 * 3 * (norms - center).square().mean()
        assert terms["gradient-penalty"].item() == pytest.approx(expected.item(), abs=1e-9)
        assert penalty.discriminator(Critic(network), batch_of(real, fake, step=5)) == {}


def test_the_gradient_penalty_of_a_constant_has_a_gradient() -> None:
    weight = torch.zeros(1, requires_grad=True)
    critic = Critic(lambda images: (images * weight).flatten(1).sum(1))
    terms = build_regularizer("gradient-penalty").discriminator(
        critic, batch_of(*2 * [torch.ones(2, 1, 2, 2)])
    )
    (slope,) = torch.autograd.grad(terms["gradient-penalty"], weight)
    assert slope.isfinite().all()


def test_lecam_is_the_distance_to_the_averages_of_the_other_images() -> None:
    (real, fake), network = pair(), Quadratic(4)
    lecam = build_regularizer("lecam", {"weight": 0.5, "decay": 0.6}).double()
    a, b = 0.0, 0.0  # averages of the logits of real and fake images
    for count in (1, 2, 3, 4):
        r, f = network(real * count), network(fake - count)
        speed = max(1 / count, 1 - 0.6)
        a, b = a + speed * (r.mean().item() - a), b + speed * (f.mean().item() - b)
        expected = 0.5 * ((r - b).square().mean() + (f - a).square().mean())
        critic = Critic(network)
        terms = lecam.discriminator(critic, batch_of(real * count, fake - count))
        assert terms["lecam"].item() == pytest.approx(expected.item(), abs=1e-9)
    assert {name: float(tensor) for name, tensor in lecam.parts["lecam"].named_buffers()} == {
        "real": pytest.approx(a), "fake": pytest.approx(b), "updates": 4
    }  # fmt: skip


def test_lecam_uses_the_logits_of_the_loss() -> None:
    (real, fake), calls = pair(), []
    network = Quadratic(4)
    critic = Critic(lambda images: (calls.append(len(images)), network(images))[1])
    gz.losses.build("hinge").discriminator(critic, real, fake)
    build_regularizer("lecam").discriminator(critic, batch_of(real, fake))
    assert calls == [len(real) + len(fake)]


def fixed(values: dict[str, Any], name: str) -> Any:
    """`gradcheck`'s function of the weights of `Quadratic`: the sum of the terms for the discriminator."""
    (real, fake), network = pair(), Quadratic(4)

    def value(first: Tensor, second: Tensor) -> Tensor:
        torch.manual_seed(0)  # the same random numbers in each call
        weights = {"first": first, "second": second}
        critic = Critic(lambda it: torch.func.functional_call(network, weights, (it,)))
        regularizer = build_regularizer(name, values).double()
        batch = batch_of(real, fake)
        batch.generator = nn.Linear(2, 4, bias=False).double()
        batch.generator = nn.Sequential(batch.generator, nn.Unflatten(1, (1, 2, 2)))
        batch.noise = torch.randn(len(real), 2, dtype=torch.float64)
        return torch.stack(list(regularizer.discriminator(critic, batch).values())).sum()

    return value


@pytest.mark.parametrize("name", ["r1", "r2", "gradient-penalty", "consistency", "latent-consistency"])
def test_gradients_of_terms_are_those_of_finite_differences(name: str) -> None:
    weights = [p.detach().clone().requires_grad_() for p in Quadratic(4).parameters()]
    assert torch.autograd.gradcheck(fixed({}, name), weights)


def test_gradients_of_lecam_are_those_of_finite_differences() -> None:
    """The moving averages are constants of the term, so its gradient is that at fixed averages."""
    (real, fake), network = pair(), Quadratic(4)
    lecam: Any = build_regularizer("lecam").double().parts["lecam"]
    lecam.follow = lambda *_: None
    lecam.real.fill_(0.7), lecam.fake.fill_(-0.4)

    def value(first: Tensor) -> Tensor:
        critic = Critic(lambda it: torch.func.functional_call(network, {"first": first}, (it,)))
        result: Tensor = lecam.discriminator(critic, batch_of(real, fake))["lecam"]
        return result

    assert torch.autograd.gradcheck(value, network.first.detach().clone().requires_grad_())


@pytest.mark.parametrize("flip", [False, True])
def test_consistency_is_the_squared_difference_to_a_shifted_copy(flip: bool) -> None:
    (real, fake), network = pair(), Quadratic(4)
    config = {"real": 2.0, "fake": 3.0, "shift": 0.5, "flip": flip, "every": 2}
    combined = build_regularizer("consistency", config)
    part: Any = combined.parts["consistency"]
    torch.manual_seed(4)
    copies = part.move(real), part.move(fake)
    assert not torch.equal(copies[0], real) and copies[0].shape == real.shape
    torch.manual_seed(4)
    terms = combined.discriminator(Critic(network), batch_of(real, fake))
    expected = 2.0 * 2 * (network(real) - network(copies[0])).square().mean()
    expected = expected + 3.0 * 2 * (network(fake) - network(copies[1])).square().mean()
    assert terms["consistency"].item() == pytest.approx(expected.item(), abs=1e-9)
    assert combined.discriminator(Critic(network), batch_of(real, fake, step=1)) == {}
    still = build_regularizer("consistency", {"shift": 0.0})
    assert still.discriminator(Critic(network), batch_of(real, fake))["consistency"] == 0


def test_latent_consistency_compares_images_of_near_latents() -> None:
    (real, _), network = pair(), Quadratic(4)
    generator = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2))).double()
    noise = torch.randn(len(real), 2, dtype=torch.float64)
    batch = gz.Batch(0, real, noise, generator(noise), generator, network)
    config = {"weight": 2.0, "diversity": 0.3, "deviation": 0.1, "every": 4}
    regularizer = build_regularizer("latent-consistency", config)
    torch.manual_seed(5)
    near = generator(noise + 0.1 * torch.randn(len(real), 2, dtype=torch.float64))
    for role, expected in (
        ("discriminator", 2.0 * 4 * (network(batch.fake) - network(near)).square().mean()),
        ("generator", -0.3 * 4 * (batch.fake - near).square().mean()),
    ):
        torch.manual_seed(5)
        (term,) = getattr(regularizer, role)(Critic(network), batch).values()
        assert term.item() == pytest.approx(expected.item(), abs=1e-9)
        batch.step = 3
        assert getattr(regularizer, role)(Critic(network), batch) == {}
        batch.step = 0


def staged(*sides: int) -> list[Tensor]:
    torch.manual_seed(3)
    return [torch.randn(3, 2, side, side, dtype=torch.float64) for side in sides]


def test_stage_consistency_is_the_squared_difference_to_the_averaged_final_images() -> None:
    small, middle, final = staged(2, 4, 8)
    batch = batch_of(final, final)
    batch.stages = [small, middle, final]
    averages = [final.unfold(2, k, k).unfold(3, k, k).mean((4, 5)) for k in (4, 2)]
    squares = [(own - mean).square().mean() for own, mean in zip((small, middle), averages, strict=True)]
    regularizer = build_regularizer("stage-consistency", {"weight": 3.0})
    (term,) = regularizer.generator(Critic(Quadratic(4)), batch).values()
    assert term.item() == pytest.approx(3.0 * sum(squares).item() / 2, abs=1e-12)  # type: ignore[union-attr]
    batch.stages = [final]
    assert regularizer.generator(Critic(Quadratic(4)), batch) == {}


def test_stage_consistency_moves_the_stages_and_not_their_target() -> None:
    regularizer = build_regularizer("stage-consistency")

    def value(small: Tensor, middle: Tensor, final: Tensor) -> Tensor:
        batch = batch_of(final, final)
        batch.stages = [small, middle, final]
        return regularizer.generator(Critic(Quadratic(4)), batch)["stage-consistency"]

    images = [one.requires_grad_() for one in staged(2, 4, 8)]
    final = images[2].detach()
    assert torch.autograd.gradcheck(lambda small, middle: value(small, middle, final), images[:2])
    slopes = torch.autograd.grad(value(*images), images, allow_unused=True)
    assert slopes[2] is None and all(one is not None and one.any() for one in slopes[:2])


@pytest.mark.parametrize("grown", [False, True])
def test_stages_of_a_step_end_with_its_fake_images(
    grown: bool, images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also together with style mixing, which replaces the intermediate latents of all stages."""
    config = sized("generators", "stylegan2", **SMALL, image_size=16, channels=1)
    gan = gz.build_gan("stylegan2", "dcgan", generator_config=config, discriminator_config={"width": 4})
    if grown:
        gan = adapt(gan, (1, 32, 32))[0]
    name = "stage-consistency+style-mixing"
    trainer = trainer_of(gan, images.fit(gan.image_shape[1], 1), regularizer=name)
    part, batches = trainer.game.regularizer.parts["stage-consistency"], []
    own = part.generator
    monkeypatch.setattr(part, "generator", lambda critic, it: (batches.append(it), own(critic, it))[1])
    assert "stage-consistency" in trainer.step(0, torch.arange(4))
    sides = [one.shape[-1] for one in batches[0].stages]
    assert sides == [4, 8, 16, 32][: 4 if grown else 3]
    assert torch.equal(batches[0].stages[-1], batches[0].fake)


def test_stage_consistency_needs_stages(gan: gz.GAN, images: ImageData) -> None:
    with pytest.raises(
        gz.UsageError, match="stage-consistency: the generator DCGANGenerator has no image for"
    ):
        trainer_of(gan, images, regularizer="stage-consistency")
    machine = engine.choose("cpu", "fp32", {"compile": True})
    with pytest.raises(gz.UsageError, match="compile or stage-consistency, not both"):
        check_engine(gz.Recipe(regularizer="stage-consistency"), machine)


def test_apa_replaces_real_images_by_fake_ones() -> None:
    real, fake = torch.zeros(400, 1, 2, 2), torch.arange(1.0, 401).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    apa = build_regularizer("apa", {"p": 0.3})
    replaced = apa.batch(batch_of(real, fake))
    changed = replaced.real[:, 0, 0, 0] > 0
    assert 0.2 < changed.float().mean() < 0.4 and torch.equal(replaced.fake, fake)
    assert not (replaced.real == fake).flatten(1).all(1).any(), "no image is compared with itself"
    labelled = batch_of(real, fake)
    labelled.labels = torch.zeros(400, dtype=torch.long)
    kept = apa.batch(labelled).real[:, 0, 0, 0]
    assert torch.equal(kept[kept > 0], fake[kept > 0][:, 0, 0, 0]), "an image keeps its class"
    assert not apa.batch(batch_of(real, fake.clone().requires_grad_())).real.requires_grad


@pytest.mark.parametrize(("logit", "p"), [(1.0, 4 * 100 / 500_000), (-1.0, 0.0)])
def test_the_probability_of_apa_follows_the_discriminator(logit: float, p: float) -> None:
    apa: Any = build_regularizer("apa").parts["apa"]
    images = torch.full((100, 1, 1, 1), logit)
    for _ in range(4):
        critic = Critic(lambda it: it.flatten(1).sum(1))
        gz.losses.build("hinge").discriminator(critic, images, -images)
        assert apa.discriminator(critic, batch_of(images, -images)) == {}
    assert apa.p.item() == pytest.approx(p)


@pytest.mark.parametrize("loss", ["hinge", "relativistic", "least-squares"])
@pytest.mark.parametrize("together", [True, False])
def test_top_k_has_the_gradient_of_the_best_images(loss: str, together: bool) -> None:
    (real, fake), network = pair(), Quadratic(4)
    top = build_regularizer("top-k", {"fraction": 0.5, "steps": 10})
    (images,) = [fake.clone().requires_grad_()]
    critic = Critic(network, together, fake=images, adjust=lambda logits: top.generator_logits(logits, 10))
    value = gz.losses.build(loss).generator(critic, real, images)
    (slope,) = torch.autograd.grad(value, images)
    best = network(fake).topk(3).indices
    alone = fake[best].clone().requires_grad_()
    expected = gz.losses.build(loss).generator(Critic(network), real[best], alone)
    (own,) = torch.autograd.grad(expected, alone)
    assert torch.allclose(slope[best], own, atol=1e-12)
    assert slope.flatten(1).any(1).sum() == 3


def test_top_k_keeps_fewer_images_over_time() -> None:
    part: Any = build_regularizer("top-k", {"fraction": 0.25, "steps": 100}).parts["top-k"]
    assert [part.kept(64, step) for step in (0, 50, 100, 1_000)] == [64, 32, 16, 16] and part.kept(
        1, 200
    ) == 1
    logits = torch.randn(8, 1, 5, 5, requires_grad=True)
    assert part.generator_logits(logits, 0) is logits
    assert torch.equal(part.generator_logits(logits, 100), logits)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("gradient-penalty", {"weight": -1}, "gradient-penalty: weight must be 0 or more, not -1"),
        ("lecam", {"weight": -0.3}, r"lecam: weight must be 0 or more, not -0\.3"),
        ("lecam", {"decay": 1}, "lecam: decay must be from 0 to below 1, not 1"),
        ("consistency", {"fake": -2}, "consistency: fake must be 0 or more, not -2"),
        ("consistency", {"shift": 0.7}, r"consistency: shift must be from 0 to 0\.5"),
        ("latent-consistency", {"deviation": -1}, "latent-consistency: deviation must be 0 or more"),
        ("apa", {"p": 1.5}, r"apa: p must be from 0 to 1, not 1\.5"),
        ("apa", {"p": 0.5, "target": 0.6}, "apa: p fixes the probability, and target adapts it"),
        ("stage-consistency", {"weight": -1}, "stage-consistency: weight must be 0 or more, not -1"),
        ("top-k", {"fraction": 0}, "top-k: fraction must be above 0, and at most 1, not 0"),
        ("top-k", {"steps": 0}, "top-k: steps must be at least 1, not 0"),
    ],
)
def test_wrong_arguments_are_explained(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        build_regularizer(name, config)


OWN = [name for name in gz.regularizers.names() if gz.regularizers.info(name).owner == "gantl_zoo"]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_every_regularizer_trains(name: str, norm: str, images: ImageData) -> None:
    family, networks = "dcgan", {"generator_config": dict(SMALL)}
    loaded = gz.regularizers.load(name)
    if loaded.latent_space or loaded.stages:
        family, images = "stylegan2", images.fit(32, 1)
        networks["generator_config"] = sized("generators", family, **SMALL, image_size=32, channels=1)
    networks["discriminator_config"] = {"width": 4, "norm": norm}
    gan = gz.build_gan(family, "dcgan", **networks)
    trainer = trainer_of(gan, images, regularizer=name, aug="diffaugment")
    for step in range(3):
        losses = trainer.step(step, torch.arange(4))
        assert all(loss.isfinite() for loss in losses.values())
    expected = {"apa": {"apa_p"}}.get(name, set())
    sizes = {f"{role}_{size}" for role in ("generator", "discriminator") for size in ("gradient", "update")}
    assert set(trainer.health()) == expected | sizes


def test_the_estimated_time_of_a_step_has_its_share_of_each_lazy_regularizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plain step takes 1 second, r1 another 8 in every fourth step, r2 another 2 in every second one."""
    clock = [0.0]

    def learn(step: int, *_: Any) -> dict[str, Tensor]:
        clock[0] += 1 + 8 * (step % 4 == 0) + 2 * (step % 2 == 0)
        return {}

    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    both = build_regularizer("r1+r2+lecam", {"r1.every": 4, "r2.every": 2})
    trainer: Any = SimpleNamespace(
        game=SimpleNamespace(regularizer=both), recipe=gz.Recipe(steps=100), learn=learn
    )
    assert estimate.mean_step(trainer, torch.zeros(1), None) == pytest.approx(1 + 8 / 4 + 2 / 2)
    trainer.game.regularizer, clock[0] = build_regularizer(), 0.0
    trainer.learn = lambda *_: clock.__setitem__(0, clock[0] + 1) or {}
    assert estimate.mean_step(trainer, torch.zeros(1), None) == 1
