"""The usual PyTorch loop of tutorials: float32, a DataLoader with PIL transforms, two backward passes for the
discriminator, `.item()` in each step.

    python benchmarks/opponents/plain.py WORKLOAD BATCH
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).parents[1]))
import workloads
from serve import memory, serve


class Images(Dataset[Tensor]):
    """Arrays that are converted to PIL images, then to tensors, one at a time."""

    def __init__(self, name: str) -> None:
        self.arrays = workloads.images(name).permute(0, 2, 3, 1).squeeze(-1).numpy()
        channels = int(workloads.WORKLOADS[name]["channels"])
        half = (0.5,) * channels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.transform(Image.fromarray(self.arrays[index]))
        return image


def endless(loader: DataLoader[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from loader


def main(workload: str, batch: int) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gan = workloads.build(workload)
    generator, discriminator = gan.generator.to(device).train(), gan.discriminator.to(device).train()
    batches = endless(DataLoader(Images(workload), batch_size=batch, shuffle=True, drop_last=True))
    criterion = nn.BCEWithLogitsLoss()
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)
    history, loaded = [], memory("VmRSS")

    def run(count: int) -> None:
        for _ in range(count):
            real = next(batches).to(device)
            discriminator.zero_grad()
            real_loss = criterion(discriminator(real), ones)
            real_loss.backward()
            fake = generator(torch.randn(batch, generator.latent_dim, device=device))
            fake_loss = criterion(discriminator(fake.detach()), zeros)
            fake_loss.backward()
            discriminator_optimizer.step()
            generator.zero_grad()
            generator_loss = criterion(discriminator(fake), ones)
            generator_loss.backward()
            generator_optimizer.step()
            history.append((real_loss.item() + fake_loss.item(), generator_loss.item()))

    run(1)
    serve(run, {"torch": torch.__version__, "threads": torch.get_num_threads()}, loaded)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
