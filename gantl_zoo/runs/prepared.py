"""`Prepared`: a run that is ready to start, and adjustments of its recipe."""

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
    """A run that is ready to start."""

    job: Job
    data: RunData
    setup: Setup
    engine: Engine
    monitor: Monitor
    source: GAN | None = None  # of a transfer: fitted to the images, not prepared by the strategy
    why: str = ""  # what was chosen for the images, and the reasons
    rate: float = 0.0  # images per second; 0 if not measured yet

    def speed(self) -> float:
        """Images per second on this machine: the stored rate, or a measurement."""
        start = self.source or self.setup.gan
        return self.rate or images_per_second(self.job, start, self.data.train, self.engine)

    def estimate(self) -> Estimate:
        """Estimate time and memory of the run. The speed of a short run is not measured."""
        recipe, images = self.job.recipe, self.data.train
        rate = self.speed() if recipe.steps >= WORTH_TIMING else self.rate
        need = needed(self.setup.networks, images, recipe)
        if self.engine.precision != "fp32":
            need = need._replace(activations=need.activations // 2)
        return Estimate(recipe, len(images), need, rate, self.monitor.evaluator is not None)


def within_budget(run: Prepared, minutes: float | None) -> Prepared:
    """The run with as many steps as this machine takes in `minutes`; unchanged without minutes."""
    if minutes is None:
        return run
    job, run = run.job, replace(run, rate=run.speed())
    steps = steps_within(minutes, run.rate, job.recipe.batch, run.monitor.evaluator is not None)
    why = added(run.why, f"steps {steps:,}, which take about {minutes:g} minutes on this machine")
    return replace(run, job=replace(job, recipe=replace(job.recipe, steps=steps)), why=why)


def without_r1(run: Prepared, choosing: Open) -> Prepared:
    """The run without R1 if the verb chose R1 and the discriminator has no second derivatives."""
    recipe = run.job.recipe
    if "r1" not in choosing.settings or not recipe.r1 or twice_differentiable(run.setup):
        return run
    why = added(run.why, "r1 0, because R1 needs second derivatives, which this discriminator does not have")
    return replace(run, job=replace(run.job, recipe=replace(recipe, r1=0.0)), why=why)


def twice_differentiable(setup: Setup) -> bool:
    """Whether the discriminator's input gradient can be differentiated again, as R1 needs."""
    network = evaluating(setup.discriminator)
    trained = [p for p in network.parameters() if p.requires_grad]
    if not trained:
        return True
    device = trained[0].device
    images = torch.zeros(1, *setup.gan.image_shape, device=device, requires_grad=True)  # (1, C, H, W)
    with torch.enable_grad():
        logits = call(network, images, torch.zeros(1, dtype=torch.long, device=device))
        try:
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            torch.autograd.grad(gradient.square().sum(), trained, allow_unused=True)
        except RuntimeError as error:
            return not str(error).startswith("derivative for")
    return True


def added(text: str, line: str) -> str:
    """Append a line to a text."""
    return "\n".join(filter(None, [text, line]))
