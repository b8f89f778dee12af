"""The public API as a user's program uses it. mypy checks this file; nothing runs it.

Each `type: ignore` is a check, too: mypy reports one that is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import assert_type

import gantl_zoo as gz


def load_and_generate() -> Tensor:
    names = gz.list_models("dcgan-*")
    assert_type(names, list[str])
    gan = gz.load_model(names[0])
    if not isinstance(gan, gz.GAN):
        raise TypeError
    assert_type(gan.image_shape, tuple[int, int, int])
    images = gan.generate(16, seed=0, truncation=0.7)
    gan.generate(16, sed=0)  # type: ignore[call-arg]
    gan.generate("16")  # type: ignore[arg-type]
    return images


def pictures() -> None:
    gan = gz.GAN.from_pretrained("dcgan-mnist")
    assert_type(gan, gz.GAN)
    samples = gan.sample(16, seed=3)
    assert_type(samples, gz.Images)
    samples.save("grid.png")
    gan.sample(16, sead=3)  # type: ignore[call-arg]


def train_and_transfer(photos: Path, images: gz.ImageData) -> gz.GAN:
    scratch = gz.train("dcgan", data=photos, image_size=64, steps=1_000, lr=4e-4, aug="diffaugment", r1=1.0)
    gz.train("dcgan", data=photos, regularizer="r2+lecam", regularizer_config={"lecam.weight": 0.3})
    assert_type(scratch, gz.GAN)
    gz.train("dcgan", data=photos, stepz=10)  # type: ignore[call-arg]
    gz.train("dcgan", data=photos, steps="10")  # type: ignore[arg-type]
    gz.train("dcgan", photos)  # type: ignore[call-arg]
    mine = gz.transfer(
        scratch,
        data=images,
        strategy="freeze-d",
        strategy_config={"first": 2},
        shots=100,
        metrics=["fd", "kd"],
        samples=1_000,
        callbacks=[Printer()],
        progress=False,
    )
    gz.transfer("dcgan-mnist", data=images, strategy=Halves(), out="runs", batch=None)
    gz.transfer("dcgan-mnist", data=images, generator_config={})  # type: ignore[call-arg]
    gz.transfer("dcgan-mnist", data=images, callbacks=[print])  # type: ignore[list-item]
    assert_type(gz.resume("runs/00000-mine", progress=True), gz.GAN | gz.Classifier)
    gz.resume("runs/00000-mine", steps=10)  # type: ignore[call-arg]
    return mine


def classify(photos: Path) -> float:
    first = gz.classify_train("cnn", data=photos, epochs=3, shift=1, flip=True, device="cpu")
    gz.classify_train("cnn", data=photos, steps=3)  # type: ignore[call-arg]
    assert_type(first, gz.Classifier)
    second = gz.classify_transfer("cnn-mnist", data=photos, strategy="freeze", lr=1e-3)
    report = gz.classify_evaluate(second, data=photos, image_size=28)
    assert_type(report, gz.ClassifierReport)
    gz.classify_evaluate(second, data=photos, samples=10)  # type: ignore[call-arg]
    return report["accuracy"]


def evaluate(gan: gz.GAN) -> None:
    report = gz.evaluate(gan, data="mnist", metrics="fd,kd", samples=1_000, extractor="pixels", shots=10)
    gz.evaluate(gan, data="mnist", image_size=28)  # type: ignore[call-arg]
    gz.evaluate(gan, data="mnist", progress="no")  # type: ignore[arg-type]
    assert_type(report["fd"], float)
    assert_type(report.result("fd"), gz.Result)
    for result in report:
        assert_type(result["value"], float)
        assert_type(result.get("floor"), float | None)
        _ = result["valu"]  # type: ignore[typeddict-item]
    again = gz.Report.from_dict(report.to_dict())
    assert_type(again.to_markdown(), str)
    again.plot("report.png").savefig("report.pdf")


class Printer(gz.Callback):
    """A callback, which is given a view of the run."""

    def on_metrics(self, run: gz.RunView) -> None:
        assert_type(run.step, int)
        print(run.step, [result["value"] for result in run.results])
        run.step = 7  # type: ignore[misc]


class Halves(gz.TransferStrategy):
    """A strategy whose generator is trained in every other step."""

    def on_step(self, step: int, plan: gz.Plan) -> None:
        for group in plan.groups["generator"]:
            group.active = step % 2 == 0

    def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
        return {"generator": adversarial}


class Linear(nn.Module):
    """A generator that derives from no class of gantl_zoo."""

    num_classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim, self.image_shape = 8, (1, 4, 4)
        self.blocks = nn.ModuleList([nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4))])

    def forward(self, noise: Tensor) -> Tensor:
        for block in self.blocks:
            noise = block(noise)
        return noise


class Pixels(nn.Module):
    """A discriminator that derives from no class of gantl_zoo."""

    num_classes = 0
    image_shape = (1, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Flatten(), nn.Linear(16, 1)])

    def forward(self, images: Tensor) -> Tensor:
        for block in self.blocks:
            images = block(images)
        return images.flatten()


class Unfinished(nn.Module):
    """A network without the attributes of a generator."""

    def forward(self, noise: Tensor) -> Tensor:
        return noise


@gz.generators.register("linear")
def linear() -> Linear:
    return Linear()


def networks() -> Iterator[gz.Generator | gz.Discriminator]:
    generator: gz.Generator = Linear()
    discriminator: gz.Discriminator = Pixels()
    yield from (generator, discriminator)
    _: gz.Generator = Unfinished()  # type: ignore[assignment]
    wrong: gz.Generator = Pixels()  # type: ignore[assignment]
    yield wrong
    assert_type(generator(torch.zeros(1, generator.latent_dim)), Tensor)


def settings() -> tuple[gz.Recipe, gz.ClassifierRecipe, gz.DataSpec]:
    recipe = gz.Recipe(steps=100, batch=16, decay=0.5)
    gz.Recipe(step=100)  # type: ignore[call-arg]
    data = gz.load_data("mnist", split="test", image_size=28, channels=1)
    assert_type(data, gz.ImageData)
    gz.build_strategy("freeze-d", {"first": 2})
    return recipe, gz.ClassifierRecipe(epochs=3), gz.DataSpec(source="mnist", shots=100)


def share(folder: Path) -> None:
    gz.push(folder, "me/my-gan", private=True)
    gz.pull("me/my-gan", to=folder)
    gz.push(folder, "me/my-gan", privat=True)  # type: ignore[call-arg]


def errors() -> str:
    try:
        gz.load_model("dcgan-mnits")
    except gz.UnknownNameError as error:
        return str(error)
    return ""
