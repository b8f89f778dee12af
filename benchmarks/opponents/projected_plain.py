"""The usual loop of Projected GAN: float32, timm's feature extractor with BatchNorm in eval mode.

    python benchmarks/opponents/projected_plain.py WORKLOAD BATCH

The generator, the mixing and the heads are those of the workload. timm's own network computes the features:
of real and of fake images for the discriminator's update, and of the fake ones again for the generator's.
Images are enlarged with `interpolate`. Both updates augment all images (DiffAugment).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, relu
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parents[1]))
import workloads
from plain import Images, endless
from serve import memory, serve

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def augment(images: Tensor) -> Tensor:
    """DiffAugment: brightness, saturation, contrast, translation and a cut-out."""
    count, _, height, width = images.shape
    images = images + torch.rand(count, 1, 1, 1) - 0.5
    mean = images.mean(dim=1, keepdim=True)
    images = (images - mean) * (torch.rand(count, 1, 1, 1) * 2) + mean
    mean = images.mean(dim=[1, 2, 3], keepdim=True)
    images = (images - mean) * (torch.rand(count, 1, 1, 1) + 0.5) + mean
    most = height // 8
    down, across = torch.randint(-most, most + 1, (2, count, 1, 1))
    index, y, x = torch.meshgrid(
        torch.arange(count), torch.arange(height), torch.arange(width), indexing="ij"
    )
    y, x = (y + down + 1).clamp(0, height + 1), (x + across + 1).clamp(0, width + 1)
    images = pad(images, [1, 1, 1, 1]).permute(0, 2, 3, 1)[index, y, x].permute(0, 3, 1, 2)
    top, left = torch.randint(0, height + 1, (2, count, 1, 1))
    index, y, x = torch.meshgrid(
        torch.arange(count), torch.arange(height // 2), torch.arange(width // 2), indexing="ij"
    )
    y, x = (y + top - height // 4).clamp(0, height - 1), (x + left - width // 4).clamp(0, width - 1)
    mask = torch.ones(count, height, width)
    mask[index, y, x] = 0
    return images * mask.unsqueeze(1)


class Features(nn.Module):
    """The maps of a timm network for images (N, 3, H, W) in [-1, 1], enlarged to `side`."""

    def __init__(self, name: str, weights: Any, side: int) -> None:
        super().__init__()
        self.network = timm.create_model(name, features_only=True, pretrained=False, out_indices=(1, 2, 3, 4))
        self.network.load_state_dict(weights, strict=False)
        self.side = side
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        images = interpolate(images, self.side, mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        maps: list[Tensor] = self.network(((images + 1) / 2 - mean) / std)
        return maps


def main(workload: str, batch: int) -> None:
    gan = workloads.build(workload)
    generator, heads = gan.generator.train(), gan.discriminator.train()
    config = workloads.DISCRIMINATORS[workload]["discriminator_config"]
    weights = heads.backbone.network.state_dict()
    features = Features(config["backbone"].partition(":")[2], weights, config["resize"])
    batches = endless(DataLoader(Images(workload), batch_size=batch, shuffle=True, drop_last=True))
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.0, 0.99))
    trained = [parameter for parameter in heads.parameters() if parameter.requires_grad]
    discriminator_optimizer = torch.optim.Adam(trained, lr=2e-4, betas=(0.0, 0.99))
    history, loaded = [], memory("VmRSS")

    def discriminate(images: Tensor) -> Tensor:
        logits: Tensor = heads.logits(heads.mixing(features(augment(images))))
        return logits

    def run(count: int) -> None:
        for _ in range(count):
            real = next(batches)
            fake = generator(torch.randn(batch, generator.latent_dim))
            discriminator_optimizer.zero_grad()
            real_loss = relu(1 - discriminate(real)).mean()
            fake_loss = relu(1 + discriminate(fake.detach())).mean()
            (real_loss + fake_loss).backward()
            discriminator_optimizer.step()
            generator_optimizer.zero_grad()
            generator_loss = -discriminate(fake).mean()
            generator_loss.backward()
            generator_optimizer.step()
            history.append((real_loss.item() + fake_loss.item(), generator_loss.item()))

    run(1)
    serve(run, {"torch": torch.__version__, "threads": torch.get_num_threads()}, loaded)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
