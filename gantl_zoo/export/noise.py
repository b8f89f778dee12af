"""The latents of seeds in NumPy: the bits that torch's CPU generator gives, without torch.

The uniform numbers are those of torch's Mersenne Twister. Rows of 16 numbers and more are transformed (Box
and Muller) as torch does it on processors with AVX2 or AVX-512: in float32, with the polynomials of the
Cephes library (https://www.netlib.org/cephes) for the logarithm, sine and cosine, and with fused
multiply-adds. On other processors torch's own numbers differ from these by up to 2e-6.

N seeds, Z latent size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gantl_zoo.pixels import Array

BLOCK = 16  # numbers that torch transforms at once
F32 = np.float32
Number = np.float32 | float
# minimax polynomials, highest power first
LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
LN2 = (-2.12194440e-4, 0.693359375)  # the logarithm of 2, in two parts
QUARTER_PI = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # negative, in three parts


def normal(seeds: Sequence[int], latent_dim: int) -> Array:
    """Standard normal noise (N, Z), float32; row i depends on seed i only. See `model.sampling.latents`."""
    if not len(seeds):
        return np.empty((0, latent_dim), F32)
    return short(seeds, latent_dim) if latent_dim < BLOCK else blocks(seeds, latent_dim)


def integers(seeds: Sequence[int], count: int) -> Array:
    """The first `count` random integers of 32 bits for each seed, as uint64 (N, count)."""
    twister = np.random.MT19937()
    seeder = np.random.RandomState(twister)  # seeds it as torch does
    rows = np.empty((len(seeds), count), np.uint64)
    for row, seed in zip(rows, seeds, strict=True):
        seeder.seed(int(seed))
        row[:] = twister.random_raw(count)
    return rows


def short(seeds: Sequence[int], latent_dim: int) -> Array:
    """Rows of fewer than 16 numbers: torch computes them one by one, in float64."""
    halves = integers(seeds, 4 * ((latent_dim + 1) // 2))
    bits = (halves[:, 0::2] << np.uint64(32)) | halves[:, 1::2]
    uniform = (bits & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, 1::2]))
    angle = 2.0 * np.pi * uniform[:, 0::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2)  # (N, P, 2)
    return pairs.reshape(len(halves), -1)[:, :latent_dim].astype(F32)


def blocks(seeds: Sequence[int], latent_dim: int) -> Array:
    """Rows of 16 numbers or more. If the last block is not full, the last 16 numbers are drawn again."""
    whole, rest = latent_dim // BLOCK * BLOCK, latent_dim % BLOCK
    drawn = integers(seeds, latent_dim + (BLOCK if rest else 0))
    uniform = (drawn & np.uint64((1 << 24) - 1)).astype(F32) * F32(2.0**-24)
    rows = np.empty((len(drawn), latent_dim), F32)
    rows[:, :whole] = box_muller(uniform[:, :whole])
    if rest:
        rows[:, -BLOCK:] = box_muller(uniform[:, latent_dim:])
    return rows


def box_muller(uniform: Array) -> Array:
    """Normal numbers (N, 16·B) of uniform ones. The halves of each block are the radii and the angles."""
    halves = uniform.reshape(len(uniform), -1, 2, BLOCK // 2)  # (N, B, 2, 8)
    radius = np.sqrt(F32(-2) * log(F32(1) - halves[:, :, 0]))
    sine, cosine = sine_cosine(F32(2 * np.pi) * halves[:, :, 1])
    return np.stack([radius * cosine, radius * sine], 2).reshape(uniform.shape)


def fused(a: Array, b: Array | Number, c: Array | Number) -> Array:
    """`a * b + c` of float32 values, rounded once: the product of two of them is exact in float64."""
    exact = a.astype(np.float64) * np.asarray(b, np.float64) + np.asarray(c, np.float64)
    return exact.astype(F32)


def polynomial(x: Array, terms: Sequence[float]) -> Array:
    """A polynomial in float32, highest power first (Horner)."""
    value = np.full_like(x, F32(terms[0]))
    for term in terms[1:]:
        value = fused(value, x, F32(term))
    return value


def log(x: Array) -> Array:
    """The natural logarithm of positive float32 values."""
    mantissa, power = np.frexp(x)  # the mantissa is in [0.5, 1)
    small = mantissa < F32(0.5**0.5)
    exponent = power.astype(F32) - small.astype(F32)
    near = (mantissa - F32(1)) + np.where(small, mantissa, F32(0))  # about 0
    square = near * near
    value = polynomial(near, LOG) * near
    value = fused(value, square, exponent * F32(LN2[0]))
    value = fused(square, F32(-0.5), value)
    return fused(exponent, F32(LN2[1]), near + value)


def sine_cosine(x: Array) -> tuple[Array, Array]:
    """The sine and the cosine of float32 angles of at least 0."""
    octant = ((x * F32(4 / np.pi)).astype(np.int32) + 1) & ~1
    for part in QUARTER_PI:
        x = fused(octant.astype(F32), F32(part), x)
    square = x * x
    cosine = polynomial(square, COS) * square
    cosine = fused(cosine, square, square * F32(-0.5)) + F32(1)
    sine = fused(polynomial(square, SIN) * square, x, x)
    swapped = (octant & 2) != 0
    first, second = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    negative = (octant & 4) != 0, ((octant - 2) & 4) == 0
    return np.where(negative[0], -first, first), np.where(negative[1], -second, second)
