"""The format `dcgan-examples`: `netG.pth` and `netD.pth` of the DCGAN in PyTorch's examples."""

from __future__ import annotations

from typing import Any

from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.located import located
from gantl_zoo.convert.states import DISCRIMINATORS, GENERATORS, State, discriminator_in, pick, states
from gantl_zoo.errors import WeightsError
from gantl_zoo.networks.dcgan_examples import KERNEL

NAME = "dcgan-examples"


class DCGANExamples:
    """State dicts of the DCGAN in PyTorch's examples, netG.pth and netD.pth.

    All sizes are read off the tensors. A file may hold one network, or both as `{"netG": …, "netD": …}`, with
    or without `module.` before the names.

    `discriminator_file`: a second file, with the discriminator.
    `key`: place of the generator's state dict in the file, if it has several.
    """

    def __init__(self, *, discriminator_file: str | None = None, key: str | None = None) -> None:
        self.discriminator_file, self.key = discriminator_file, key

    def read(self, tree: Any) -> ImportedNetworks:
        """The networks. Raises `WeightsError`."""
        parts = states(tree)
        weights = pick(parts, GENERATORS, "generator", self.key)
        sizes = generator_sizes(weights)
        critic = self.critic(parts)
        part = None if critic is None else {"name": NAME, "config": discriminator_sizes(critic)}
        generator = {"name": NAME, "config": sizes}
        return ImportedNetworks(generator, weights, part, critic or {}, latent_dim=sizes["latent_dim"])

    def critic(self, parts: dict[str, State]) -> State | None:
        """The weights of the discriminator: of the second file, or beside the generator's."""
        if self.discriminator_file is not None:
            with located(self.discriminator_file):
                state = discriminator_in(self.discriminator_file)
                discriminator_sizes(state)  # names the second file in an error
                return state
        if len(parts) < 2:
            return None
        try:
            return pick(parts, DISCRIMINATORS, "discriminator")
        except WeightsError:
            return None


def generator_sizes(weights: State) -> dict[str, Any]:
    """The generator's arguments, from the shapes of its kernels. Raises `WeightsError`."""
    numbers = kernels(weights)
    if not numbers or numbers != list(range(0, 3 * len(numbers), 3)):
        other = numbers[:2] == [0, 2]
        hint = "; these are its discriminator's: give netG first" if other else ""
        raise WeightsError(f"the example's generator has {expected(3)}, but the file {names(numbers)}{hint}")
    first, last = (weights[f"main.{n}.weight"] for n in (numbers[0], numbers[-1]))
    side = KERNEL << (len(numbers) - 1)
    return {
        "image_size": side,
        "channels": last.shape[1],
        "width": last.shape[0],
        "latent_dim": first.shape[0],
    }


def discriminator_sizes(weights: State) -> dict[str, Any]:
    """The discriminator's arguments, from the shapes of its kernels. Raises `WeightsError`."""
    numbers = kernels(weights)
    if len(numbers) < 2 or numbers != [0, *range(2, 3 * len(numbers) - 3, 3)]:
        raise WeightsError(f"the example's discriminator has {expected(2)}, but the file {names(numbers)}")
    first = weights["main.0.weight"]
    return {"image_size": KERNEL << (len(numbers) - 1), "channels": first.shape[1], "width": first.shape[0]}


def kernels(weights: State) -> list[int]:
    """The numbers of the layers `main.N` that have kernels."""
    numbers = []
    for name, tensor in weights.items():
        head, _, tail = name.partition(".")
        number = tail.removesuffix(".weight")
        if head == "main" and tensor.ndim == 4 and number.isdecimal() and len(number) < 4:
            numbers.append(int(number))
    return sorted(numbers)


def expected(second: int) -> str:
    """The first names of kernels, in words."""
    return f"main.0.weight, main.{second}.weight, main.{second + 3}.weight, …"


def names(numbers: list[int]) -> str:
    """The names of the kernels that were found, in words."""
    return "has " + (", ".join(f"main.{n}.weight" for n in numbers[:8]) or "no main.N.weight of 4 dimensions")
