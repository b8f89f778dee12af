"""`Images`: a sequence of pictures that save, show and draw themselves."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageShow

import gantl_zoo as gz
from gantl_zoo.pixels import to_float, to_uint8, to_uint8_array
from gantl_zoo.viz.grid import grid
from gantl_zoo.viz.png import png


@pytest.fixture
def images() -> gz.Images:
    """Five images of 6×8 RGB pixels."""
    return gz.Images(torch.rand(5, 3, 6, 8) * 2 - 1, seeds=range(3, 8), labels=[0, 1, 0, 1, 2])


def pixels(picture: Image.Image) -> torch.Tensor:
    """(H, W) or (H, W, C), uint8."""
    return torch.from_numpy(np.array(picture))


def test_images_are_a_sequence_of_pictures(images: gz.Images) -> None:
    assert len(images) == 5 and images.tensor.shape == (5, 3, 6, 8)
    assert [picture.size for picture in images] == [(8, 6)] * 5 and images[-1].mode == "RGB"
    assert torch.equal(pixels(images[1]).permute(2, 0, 1), to_uint8(images.tensor[1]))
    assert torch.equal(pixels(images[-1]), pixels(images[np.int64(4)]))
    with pytest.raises(IndexError):
        images[5]
    assert gz.Images(torch.zeros(1, 1, 4, 4))[0].mode == "L"
    assert repr(images) == "Images(5 of 3×6×8, seeds 3–7, classes 0–2)"


def test_a_slice_and_a_sum_are_images(images: gz.Images) -> None:
    part = images[::-2]
    assert isinstance(part, gz.Images) and (part.seeds, part.labels) == ((7, 5, 3), (2, 0, 0))
    assert torch.equal(part.tensor, images.tensor[[4, 2, 0]])
    both = part + images
    assert len(both) == 8 and both.seeds == (7, 5, 3, 3, 4, 5, 6, 7)
    assert (part + gz.Images(torch.zeros(1, 3, 6, 8))).seeds is None
    with pytest.raises(gz.UsageError, match="can't be joined: 3×6×8 and 1×6×8"):
        part + gz.Images(torch.zeros(1, 1, 6, 8))
    with pytest.raises(TypeError):
        _ = part.__add__([1]) + part  # type: ignore[operator]


def test_a_grid_is_one_picture(images: gz.Images, tmp_path: Path) -> None:
    assert torch.equal(pixels(images.grid()), pixels(grid(images.tensor)))
    assert images.grid(2, scale=1).size == (16, 18)
    wide = pixels(images.grid(3, gap=2, scale=2))
    assert wide.shape == (12 * 2 + 2, 16 * 3 + 4, 3)
    assert torch.equal(wide[::2, ::2][:6, :8].permute(2, 0, 1), to_uint8(images.tensor[0]))
    assert (wide[12:14] == 255).all() and (wide[:, 16:18] == 255).all(), "gaps are white"
    path = images.save(tmp_path / "new" / "grid.png", columns=5, scale=1)
    assert path == tmp_path / "new" / "grid.png"
    with Image.open(path) as saved:
        assert saved.size == (40, 6)


def test_small_images_are_enlarged_exactly() -> None:
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    picture = gz.Images(image).grid()
    assert picture.size == (56, 56)
    expected = Image.fromarray(image[0, 0].numpy()).resize((56, 56), Image.Resampling.NEAREST)
    assert torch.equal(pixels(picture), pixels(expected))


def test_each_image_is_a_file_named_by_its_seed(images: gz.Images, tmp_path: Path) -> None:
    paths = images.save_each(tmp_path / "each")
    assert [path.name for path in paths] == [f"seed{seed:04d}.png" for seed in range(3, 8)]
    with Image.open(paths[2]) as saved:
        assert torch.equal(pixels(saved), pixels(images[2]))
    twice = gz.Images(images.tensor[:2], seeds=[9, 9], labels=[0, 1]).save_each(tmp_path / "twice")
    assert [path.name for path in twice] == ["seed0009-class0.png", "seed0009-class1.png"]
    for same in (gz.Images(images.tensor[:2], seeds=[9, 9]), gz.Images(images.tensor[:2])):
        assert [path.name for path in same.save_each(tmp_path)] == ["image0000.png", "image0001.png"]
    with pytest.raises(gz.DataError, match="can't write the picture"):
        images.save_each(paths[0])


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(3, 4, 4), r"not a tensor \(3, 4, 4\)"),
        (torch.zeros(1, 2, 4, 4), "1, 3 or 4 channels"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.int64), "floats in .* or uint8, not torch.int64"),
        ([1], "not a list"),
    ],
)
def test_other_tensors_are_refused(tensor: Any, said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.Images(tensor)


def test_wrong_settings_are_refused(images: gz.Images, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match="5 images need as many seeds, not 2"):
        gz.Images(images.tensor, seeds=[1, 2])
    for settings in ({"columns": 0}, {"columns": 1.5}, {"columns": True}, {"gap": -1}, {"scale": 0}):
        name = next(iter(settings))
        with pytest.raises(gz.UsageError, match=f"{name} must be a whole number of at least"):
            images.grid(**settings)  # type: ignore[arg-type]
    with pytest.raises(gz.UsageError, match="there are no images to draw"):
        images[:0].save(tmp_path / "none.png")
    with pytest.raises(gz.DataError, match="can't write the picture"):
        images.save(tmp_path / "grid.unknown")
    assert not list(tmp_path.iterdir())


def test_tensors_of_other_kinds_become_floats_on_the_cpu() -> None:
    whole = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = gz.Images(whole)
    assert images.tensor.dtype == torch.float32 and torch.equal(images.tensor, to_float(whole))
    assert torch.equal(pixels(images[0]), whole[0, 0])
    half = gz.Images(torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16, requires_grad=True))
    assert half.tensor.dtype == torch.float32 and not half.tensor.requires_grad


def preview_size(count: int, *shape: int) -> tuple[int, int]:
    png = gz.Images(torch.zeros(count, *shape))._repr_png_()
    assert png is not None
    with Image.open(io.BytesIO(png)) as picture:
        return picture.size


def test_a_notebook_shows_a_picture_that_a_person_can_look_at() -> None:
    assert preview_size(1, 1, 28, 28) == (224, 224)
    assert preview_size(16, 1, 28, 28) == (4 * 112 + 6,) * 2
    assert preview_size(5000, 1, 8, 8) == (8 * 64 + 14,) * 2, "64 of them"
    assert preview_size(1, 3, 256, 256) == (256, 256)
    assert max(preview_size(64, 3, 600, 300)) <= 1024
    assert gz.Images(torch.zeros(0, 1, 8, 8))._repr_png_() is None


def test_show_opens_a_viewer_or_says_that_there_is_none(
    images: gz.Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(ImageShow, "show", lambda picture, title: shown.append(picture.size) or True)
    images.show()
    assert shown == [images.grid().size]
    monkeypatch.setattr(ImageShow, "show", lambda picture, title: False)
    with pytest.raises(gz.UsageError, match=r"no image viewer; write a file with save\(path\)"):
        images.show()
    display = SimpleNamespace(display=shown.append)
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display))
    images.show()
    assert shown[-1] is images, "a notebook draws it itself"


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 5, 3), (7, 1, 3), (28, 28, 1), (6, 8, 2), (6, 8, 4), (300, 70, 3)]
)
def test_a_png_has_these_pixels(shape: tuple[int, int, int]) -> None:
    array = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png(array))) as picture:
        picture.verify()
    with Image.open(io.BytesIO(png(array))) as picture:
        assert (np.array(picture).reshape(shape) == array).all()
    with Image.open(io.BytesIO(png(array.transpose(1, 0, 2)))) as picture:
        assert (np.array(picture).reshape(shape[1], shape[0], shape[2]) == array.transpose(1, 0, 2)).all()


def test_arrays_and_tensors_become_the_same_bytes() -> None:
    edges = [-1, -1 + 1 / 255, 0, 1 / 255, 0.5, 1, -1.1, 7, 1e30, -1e30, float("inf"), float("-inf")]
    tensor = torch.cat([torch.tensor(edges), torch.linspace(-1.2, 1.2, 10_001)])
    assert (to_uint8_array(tensor.numpy()) == to_uint8(tensor).numpy()).all()
    assert to_uint8_array(np.array([np.nan])) == 0
    assert (to_uint8_array(tensor.double().numpy()[12:]) == to_uint8(tensor).numpy()[12:]).all()
