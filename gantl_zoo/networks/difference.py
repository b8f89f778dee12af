"""The difference of two tensors in its smallest form: dense, low-rank factors, or shifts of singular values.

A weight is a matrix (K, J) whose rows are its first or its second axis. The number in the name of a form is
that axis. `diff` is the difference itself; `a0` (K, R) and `b0` (R, J) are factors of it (Hu et al. 2021,
https://arxiv.org/abs/2106.09685, section 4.1); `s0` (min(K, J),) are shifts of the singular values of the
base's matrix (Robb et al. 2020, https://arxiv.org/abs/2010.11943, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

Forms = dict[str, Tensor]
FORMS = ({"diff"}, {"a0", "b0"}, {"a1", "b1"}, {"s0"}, {"s1"})  # each describes one difference
TOLERANCE = 1e-6  # relative to the norm of the fine-tuned tensor: about 16 roundings of float32


def compact(
    base: Tensor, tuned: Tensor, *, rank: int | None = None, tolerance: float = TOLERANCE
) -> tuple[Forms, float]:
    """The smallest form of `tuned - base`, in float32, and its error relative to the norm of `tuned`.

    {} stands for tensors that differ by no more than `tolerance`. The error is at most `tolerance`, unless
    `rank` is given and only a dense form would be as exact: then it is that of the best factors of this rank.
    """
    if torch.equal(base, tuned):
        return {}, 0.0
    if not base.is_floating_point():
        return {"diff": tuned.long() - base.long()}, 0.0
    base, difference = base.double(), tuned.double() - base.double()
    scale = float(tuned.double().norm()) or float(base.norm())
    dense = {"diff": difference.float()}
    if not difference.isfinite().all():
        return dense, 0.0  # writing the file reports it
    if float(difference.norm()) <= tolerance * scale:
        return {}, float(difference.norm()) / scale
    choices = [
        (forms, float((expand(forms, base) - difference).norm()) / scale)
        for forms in smaller(base, difference, tolerance * scale, rank)
        if count(forms) < count(dense)
    ]
    exact = [(forms, error) for forms, error in choices if error <= tolerance]
    factors = [(forms, error) for forms, error in choices if rank is not None and len(forms) == 2]
    if exact:
        return min(exact, key=lambda one: count(one[0]))
    if factors:
        return min(factors, key=lambda one: one[1])
    return dense, float((expand(dense, base) - difference).norm()) / scale


def smaller(base: Tensor, difference: Tensor, limit: float, rank: int | None) -> Iterator[Forms]:
    """The forms of a weight's difference that may be smaller than a dense one.

    Factors leave out a part of at most the norm `limit`, or of any norm if more than `rank` would be needed.
    """
    for axis in range(min(2, base.ndim) if base.ndim > 1 else 0):
        matrix = rows(difference, axis)
        left, _, right = torch.linalg.svd(rows(base, axis), full_matrices=False)
        yield {f"s{axis}": torch.einsum("kr,kj,rj->r", left, matrix, right).float()}
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        lost = values.square().flip(0).cumsum(0).sqrt().flip(0)  # lost[r]: the norm without r values
        needed = int((lost > limit).sum())
        kept = needed if rank is None else min(rank, needed)
        root = values[:kept].sqrt()
        factors = {f"a{axis}": left[:, :kept] * root, f"b{axis}": root[:, None] * right[:kept]}
        yield {name: factor.float().contiguous() for name, factor in factors.items()}


def expand(forms: Mapping[str, Tensor], base: Tensor) -> Tensor:
    """The difference in float64, of the shape of `base`. The forms must have passed `misfit`."""
    if "diff" in forms:
        return forms["diff"].double()
    axis = 1 if any(name.endswith("1") for name in forms) else 0
    if (shifts := forms.get(f"s{axis}")) is None:
        matrix = forms[f"a{axis}"].double() @ forms[f"b{axis}"].double()
    else:
        left, _, right = torch.linalg.svd(rows(base.double(), axis), full_matrices=False)
        matrix = (left * shifts.double()) @ right
    first, *others = (base.shape[axis], *(n for i, n in enumerate(base.shape) if i != axis))
    return matrix.reshape(first, *others).movedim(0, axis)


def misfit(forms: Mapping[str, Tensor], base: Tensor) -> str:
    """Why the forms don't describe a difference from `base`; "" if they do. Computes nothing."""
    if set(forms) not in FORMS:
        return f"has the forms {', '.join(sorted(forms))[:80]!r}"
    whole = base.dtype if base.is_floating_point() else torch.int64
    kinds = {tensor.dtype for tensor in forms.values()}
    if kinds != {torch.float32 if whole.is_floating_point else torch.int64}:
        return f"is stored as {', '.join(sorted(str(kind)[6:] for kind in kinds))}"
    shapes = {name: tuple(tensor.shape) for name, tensor in forms.items()}
    if "diff" in forms:
        return "" if shapes["diff"] == tuple(base.shape) else f"has the shape {shapes['diff']}"
    axis = 1 if any(name.endswith("1") for name in forms) else 0
    if base.ndim < 2 or not whole.is_floating_point:
        return f"has the form {min(forms)}, which is for matrices"
    height, width = base.shape[axis], base.numel() // max(base.shape[axis], 1)
    if f"s{axis}" in forms:
        fits = shapes[f"s{axis}"] == (min(height, width),)
    else:
        first, second = shapes[f"a{axis}"], shapes[f"b{axis}"]
        fits = first == (height, first[-1] if first else 0) and second == (first[-1], width)
        fits = fits and first[-1] <= min(height, width)  # no difference needs more
    return "" if fits else f"has the shapes {', '.join(map(str, shapes.values()))}"


def rows(tensor: Tensor, axis: int) -> Tensor:
    """A weight as a matrix (K, J) whose rows are `axis`."""
    return tensor.movedim(axis, 0).flatten(1)


def count(forms: Mapping[str, Tensor]) -> int:
    """The number of stored numbers."""
    return sum(tensor.numel() for tensor in forms.values())
