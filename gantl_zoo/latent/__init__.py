"""Look inside a GAN: interpolation, directions, projection, truncation, blocks."""

from gantl_zoo.latent.ablation import ablate_blocks, block_movement
from gantl_zoo.latent.compare import nearest_training, realness, side_by_side, source_of
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
from gantl_zoo.latent.project import Projection, project
from gantl_zoo.latent.truncation import standing_statistics, truncation_sweep
from gantl_zoo.viz.animation import save_animation

__all__ = [
    "Directions",
    "Latents",
    "Projection",
    "ablate_blocks",
    "block_movement",
    "effects",
    "find_directions",
    "interpolate",
    "interpolation_grid",
    "lerp",
    "nearest_training",
    "project",
    "realness",
    "save_animation",
    "side_by_side",
    "slerp",
    "source_of",
    "standing_statistics",
    "strip",
    "truncation_sweep",
    "variance_preserving_lerp",
]
