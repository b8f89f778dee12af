"""The article's Keras loop: `predict`, two `train_on_batch` for the discriminator, one for both networks.

    python benchmarks/opponents/article.py BATCH

Needs an environment with tensorflow-cpu. Networks as in the article's 28×28 DCGAN, with its bugs fixed:
7×7×256 → 7×7×128 → 14×14×64 → 28×28×1 with 5×5 kernels; the discriminator has 64 and 128 channels.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras import layers

sys.path.insert(0, str(Path(__file__).parents[1]))
from serve import memory, serve

LATENT, IMAGES = 100, 2_048


def make_generator() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((LATENT,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Reshape((7, 7, 256)),
            layers.Conv2DTranspose(128, 5, strides=1, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(64, 5, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh"),
        ]
    )


def make_discriminator() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(64, 5, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Conv2D(128, 5, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def check(discriminator: keras.Model, combined: keras.Model, real: np.ndarray, ones: np.ndarray) -> None:
    """Check that each step changes the discriminator exactly if the algorithm trains it there."""
    for model, inputs, moves in (
        (discriminator, real, True),
        (combined, np.random.normal(size=(len(real), LATENT)), False),
    ):
        before = [weight.copy() for weight in discriminator.get_weights()]
        model.train_on_batch(inputs, ones)
        same = all(np.array_equal(a, b) for a, b in zip(before, discriminator.get_weights(), strict=True))
        assert same is not moves


def main(batch: int) -> None:
    images = np.random.uniform(-1, 1, (IMAGES, 28, 28, 1)).astype("float32")
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    generator, discriminator = make_generator(), make_discriminator()
    discriminator.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), loss)
    ones, zeros = np.ones((batch, 1)), np.zeros((batch, 1))
    noise, loaded = keras.Input((LATENT,)), memory("VmRSS")
    combined = keras.Model(noise, discriminator(generator(noise)))
    combined.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), loss)
    # Keras 3 reads `trainable` in the first step of a model, and ignores later changes
    discriminator.trainable = False
    combined.train_on_batch(np.random.normal(size=(batch, LATENT)), ones)
    discriminator.trainable = True
    discriminator.train_on_batch(images[:batch], ones)
    check(discriminator, combined, images[:batch], ones)

    def run(count: int) -> None:
        for _ in range(count):
            real = images[np.random.randint(0, IMAGES, batch)]
            fake = generator.predict(np.random.normal(size=(batch, LATENT)), verbose=0)
            discriminator.train_on_batch(real, ones)
            discriminator.train_on_batch(fake, zeros)
            combined.train_on_batch(np.random.normal(size=(batch, LATENT)), ones)

    run(2)
    serve(run, {"keras": keras.__version__}, loaded)


if __name__ == "__main__":
    main(int(sys.argv[1]))
