"""Look inside a GAN: interpolation, directions, projection, truncation, blocks."""

from gantl_zoo.latent.directions import Directions, find_directions
from gantl_zoo.latent.effects import effects, strip
from gantl_zoo.latent.interpolation import (
    interpolate,
    interpolation_grid,
    lerp,
    slerp,
    variance_preserving_lerp,
)
from gantl_zoo.latent.latents import Latents
from gantl_zoo.viz.animation import save_animation

__all__ = [
    "Directions",
    "Latents",
    "effects",
    "find_directions",
    "interpolate",
    "interpolation_grid",
    "lerp",
    "save_animation",
    "slerp",
    "strip",
    "variance_preserving_lerp",
]
