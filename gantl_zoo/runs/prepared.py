"""`Prepared`: a run that can begin, and the steps that its budget allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import call, evaluating
from gantl_zoo.runs.choice import Open
from gantl_zoo.runs.estimate import WORTH_TIMING, Estimate, images_per_second, steps_within
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.memory import needed
from gantl_zoo.runs.monitor import Monitor
from gantl_zoo.runs.spec import RunData
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.setup import Setup


@dataclass(frozen=True)
class Prepared:
    """A run that can begin."""

    job: Job
    data: RunData
    setup: Setup
    engine: Engine
    monitor: Monitor
    source: GAN | None = None  # of a transfer, fitted to the images: no strategy has changed it
    why: str = ""  # what was chosen for the images, in words
    rate: float = 0.0  # images a second, where that was measured already

    def speed(self) -> float:
        """Images a second on this machine, measured once."""
        start = self.source or self.setup.gan
        return self.rate or images_per_second(self.job, start, self.data.train, self.engine)

    def estimate(self) -> Estimate:
        """What the run costs. The speed is left out if the run is too short to be worth timing."""
        recipe, images = self.job.recipe, self.data.train
        rate = self.speed() if recipe.steps >= WORTH_TIMING else self.rate
        need = needed(self.setup.networks, images, recipe)
        if self.engine.precision != "fp32":
            need = need._replace(activations=need.activations // 2)
        return Estimate(recipe, len(images), need, rate, self.monitor.evaluator is not None)


def within_budget(run: Prepared, minutes: float | None) -> Prepared:
    """The run with as many steps as take the minutes on this machine; without minutes as it is."""
    if minutes is None:
        return run
    job, run = run.job, replace(run, rate=run.speed())
    steps = steps_within(minutes, run.rate, job.recipe.batch, run.monitor.evaluator is not None)
    why = added(run.why, f"{steps:,} steps, as many as take about {minutes:g} minutes on this machine")
    return replace(run, job=replace(job, recipe=replace(job.recipe, steps=steps)), why=why)


def without_r1(run: Prepared, choosing: Open) -> Prepared:
    """The run without R1, if that was chosen and the discriminator has no second derivatives."""
    recipe = run.job.recipe
    if "r1" not in choosing.settings or not recipe.r1 or twice_differentiable(run.setup):
        return run
    why = added(run.why, "r1 0: the discriminator has no second derivatives, which R1 needs")
    return replace(run, job=replace(run.job, recipe=replace(recipe, r1=0.0)), why=why)


def twice_differentiable(setup: Setup) -> bool:
    """Whether a penalty on the discriminator's gradient can be trained. Changes nothing."""
    network = evaluating(setup.discriminator)
    learning = [p for p in network.parameters() if p.requires_grad]
    if not learning:
        return True
    device = learning[0].device
    images = torch.zeros(1, *setup.gan.image_shape, device=device, requires_grad=True)  # (1, C, H, W)
    with torch.enable_grad():
        logits = call(network, images, torch.zeros(1, dtype=torch.long, device=device))
        try:
            (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            torch.autograd.grad(slope.square().sum(), learning, allow_unused=True)
        except RuntimeError as error:
            return not str(error).startswith("derivative for")
    return True


def added(text: str, line: str) -> str:
    """Two parts of a text on lines of their own."""
    return "\n".join(filter(None, [text, line]))
