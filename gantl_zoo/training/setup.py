"""`set_up`: prepare the networks, the plan and the labels of a run, and check that they fit together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks, evaluating, num_classes_of
from gantl_zoo.networks.mapping import MappedGenerator, StagedGenerator
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.base import Group, Plan, TransferStrategy
from gantl_zoo.surgery.matching import COLOURED
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.losses import is_adversarial
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.regularizers.base import Regularizer
from gantl_zoo.training.regularizers.combined import Combined, build_regularizer
from gantl_zoo.training.regularizers.consistency import LatentConsistency

LATENT_SPACE = "methods map, truncate and synthesize"
REMEDY = "train without classes (--unconditional)"


@dataclass
class Setup:
    """A GAN that is ready for training: its networks, the strategy's plan, the labels."""

    gan: GAN
    strategy: TransferStrategy
    plan: Plan
    discriminator: nn.Module  # the plan's, else the model's
    labels: Tensor | None  # (N,) of the training images, for class-conditional networks
    unfrozen: int  # number of tensors that are trained although the strategy freezes them

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Generator and discriminator, by role."""
        return {"generator": self.gan.generator, "discriminator": self.discriminator}


@training_modes()
def set_up(gan: GAN, strategy: TransferStrategy, data: ImageData, seed: int, loss: Any = None) -> Setup:
    """Let the strategy prepare `gan` for `data`, and check that they fit together.

    The strategy may replace weights of `gan`. `seed` initialises the layers that it adds. With a `loss` that
    is not adversarial the discriminator is not trained. Raises `DataError` if needed labels are missing,
    `UsageError` for a plan that can't work.
    """
    gan = trainable(gan)
    labels = labels_of(data, gan.generator, gan.name)  # first, because strategies may need them
    with seeded(seed):
        plan = strategy.prepare(copy.deepcopy(gan), gan, data)
    if not is_adversarial(loss):
        drop_discriminator(plan, gan)
    unfrozen = unfreeze_fresh(plan, gan)
    discriminator = discriminator_of(gan, plan)
    check_players(plan, {"generator": gan.generator, "discriminator": discriminator})
    return Setup(gan, strategy, plan, discriminator, labels, unfrozen)


def trainable(gan: GAN) -> GAN:
    """Return the GAN, or a float32 copy if it was built in inference mode or another dtype."""
    networks = [network for network in gan.networks().values() if network is not None]
    parameters = [p for network in networks for p in network.parameters()]
    if all(p.dtype == torch.float32 and not p.is_inference() for p in parameters):
        return gan
    copied = copy.deepcopy(gan)
    for network in copied.networks().values():
        if network is not None:
            network.float()
    return copied


def labels_of(data: ImageData, network: Any, name: str) -> Tensor | None:
    """The labels (N,) of `data` for a class-conditional generator, else None. Raises `DataError`."""
    if not num_classes_of(network):
        return None
    if data.labels is None:
        raise DataError(
            f"{name} has {num_classes_of(network)} classes, but {data.name} has no labels: sort its images "
            f"into one folder per class, or {REMEDY}"
        )
    if len(data.classes) != num_classes_of(network):
        raise DataError(
            f"{name} has {num_classes_of(network)} classes, but {data.name} has {len(data.classes)}; "
            "--conditional takes the number from the data"
        )
    return data.labels


def check_players(plan: Plan, networks: Mapping[str, Any]) -> None:
    """Check that both networks of a class-conditional GAN can learn the classes. Raises `UsageError`."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    trained = bool(plan.groups.get("discriminator"))
    if not num_classes_of(generator):
        return
    if trained and num_classes_of(discriminator) != num_classes_of(generator):
        raise UsageError(
            f"the generator has {num_classes_of(generator)} classes, but its discriminator "
            f"{type(discriminator).__name__} has {num_classes_of(discriminator)}, so the classes can't "
            "be learned: use one that takes num_classes (dcgan, fast, projected, r3, resnet, stylegan2), or "
            f"{REMEDY}"
        )
    inputs = {"generator": torch.zeros(1, generator.latent_dim)}
    if trained:
        inputs["discriminator"] = torch.zeros(1, *generator.image_shape)
    for role, zeros in inputs.items():
        if not distinguishes_classes(networks[role], zeros + 0.5, plan, role):
            raise UsageError(
                f"the {role} treats all classes alike, and this strategy trains no parameter that could "
                f"change that: use another strategy, or {REMEDY}"
            )


def distinguishes_classes(network: Any, inputs: Tensor, plan: Plan, role: str) -> bool:
    """Whether the network's output, or the gradient of a trainable parameter, differs between two classes."""
    if num_classes_of(network) < 2:
        return True
    trainable = [p for group in plan.groups.get(role, []) for p in group.parameters if p.requires_grad]
    if not trainable:  # frozen on purpose
        return True
    inputs = inputs.to(trainable[0].device)
    gradients, outputs = [], []
    network = evaluating(network)
    with torch.enable_grad():
        for label in (0, 1):
            output = network(inputs, torch.tensor([label], device=inputs.device))
            outputs.append(output.detach())
            gradients.append(torch.autograd.grad(output.sum(), trainable, allow_unused=True))
    if not torch.equal(*outputs):
        return True
    equal = [
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(*gradients, strict=True)
    ]
    return not all(equal)


def drop_discriminator(plan: Plan, gan: GAN) -> None:
    """Remove the discriminator's groups from the plan.

    Raises `UsageError` for a class-conditional generator, because only discriminators get the labels, and for
    a plan with a discriminator of its own, or with modules that are trained with the discriminator.
    """
    if gan.num_classes:
        raise UsageError(f"this loss trains no discriminator, so the classes can't be learned: {REMEDY}")
    own = {id(p) for module in plan.modules.values() for p in module.parameters()}
    trained = {id(p) for group in plan.groups.pop("discriminator", []) for p in group.parameters}
    if plan.discriminator is not None or own & trained:
        raise UsageError(
            "this strategy brings a discriminator, or modules for it, which this loss does not train: use "
            "another strategy, such as full, or an adversarial loss"
        )


def discriminator_of(gan: GAN, plan: Plan) -> nn.Module:
    """The discriminator of a run: the plan's, else the model's own. Raises `UsageError`."""
    network: nn.Module | None = gan.discriminator if plan.discriminator is None else plan.discriminator
    if network is None:
        raise UsageError("the source has no discriminator; a run needs one, even if it is frozen")
    return network


def check_engine(recipe: Recipe, engine: Engine) -> None:
    """Raise `UsageError` for a recipe that this engine can't run."""
    if recipe.batch % (engine.processes.count * recipe.accumulate):
        raise UsageError(
            f"batch {recipe.batch} can't be shared equally by {engine.processes.count} processes in "
            f"{recipe.accumulate} round(s)"
        )
    regularizer = build_regularizer(recipe.regularizer, recipe.regularizer_config, recipe.r1)
    twice = " and ".join(name for name, part in regularizer.parts.items() if part.second_derivatives)
    verb = "need" if " and " in twice else "needs"
    if twice and engine.compile:
        raise UsageError(
            f"compiled networks have no second derivatives, which {twice} {verb}: compile or {twice}, not "
            "both"
        )
    check_parts(regularizer, engine)


def check_parts(regularizer: Combined, engine: Engine) -> None:
    """Raise `UsageError` for a regularizer of intermediate latents or stages, with what it does not fit."""
    inner = " and ".join(n for n, part in regularizer.parts.items() if part.latent_space or part.stages)
    if inner and engine.compile:
        raise UsageError(
            f"with {inner} the generator is called in other ways, which are not compiled: compile or "
            f"{inner}, not both"
        )
    near = [name for name, part in regularizer.parts.items() if isinstance(part, LatentConsistency)]
    mixing = [
        n for n, p in regularizer.parts.items() if type(p).mapped_latents is not Regularizer.mapped_latents
    ]
    if near and mixing:
        raise UsageError(
            f"{near[0]} compares each fake image with one of nearby noise, but with {mixing[0]} a fake image "
            "comes from the noise of several: use one of them"
        )


def check_needs(recipe: Recipe, generator: nn.Module) -> None:
    """Raise `UsageError` if a regularizer needs an intermediate latent space, or an image for each stage.

    That is, if this generator has none.
    """
    regularizer = build_regularizer(recipe.regularizer, recipe.regularizer_config, recipe.r1)
    needing = [name for name, part in regularizer.parts.items() if part.latent_space]
    if needing and not isinstance(generator, MappedGenerator):
        raise UsageError(
            f"{' and '.join(needing)}: the generator {type(generator).__name__} has no intermediate latent "
            f"space ({LATENT_SPACE}): train one that has, such as stylegan2, or use another regularizer"
        )
    needing = [name for name, part in regularizer.parts.items() if part.stages]
    if needing and not isinstance(generator, StagedGenerator):
        raise UsageError(
            f"{' and '.join(needing)}: the generator {type(generator).__name__} has no image for each stage "
            "(method stage_images): train one that has, such as stylegan2, or use another regularizer"
        )


ANYWAY = "{} tensors without weights of the source are trained, even if the strategy freezes them"


def unfreeze_fresh(plan: Plan, gan: GAN) -> int:
    """Unfreeze tensors without useful weights from the source: fresh ones, and grey kernels copied to RGB.

    Tensors that the strategy unfreezes later keep their schedule. Returns the number of tensors added to the
    plan.
    """
    count = 0
    for role, report in gan.about.get("fitted", {}).items():
        if role not in plan.groups or (role == "discriminator" and plan.discriminator is not None):
            continue
        colours = {name for name, note in report["adapted"].items() if COLOURED in note}
        listed = {id(p) for group in plan.groups[role] for p in group.parameters}
        network = getattr(gan, role)
        own = {id(p) for block in blocks(network) for p in block.parameters()}  # without a frozen backbone
        fresh = [p for n, p in network.named_parameters() if n in colours | set(report["fresh"])]
        added = [p for p in fresh if id(p) in own - listed]
        if added:
            plan.groups[role].append(Group(added))
        count += len(added)
    return count
