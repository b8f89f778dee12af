"""Look inside a GAN: interpolation, directions, projection, truncation, blocks."""

from gantl_zoo.latent.interpolation import (
    interpolate,
    interpolation_grid,
    lerp,
    slerp,
    variance_preserving_lerp,
)
from gantl_zoo.viz.animation import save_animation

__all__ = [
    "interpolate",
    "interpolation_grid",
    "lerp",
    "save_animation",
    "slerp",
    "variance_preserving_lerp",
]
