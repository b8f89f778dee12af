"""What the studio shows of models: pictures, comparisons, cards."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from studio_fixtures import OWN, png

import gantl_zoo as gz

pytest.importorskip("starlette", reason="the extra studio is not installed")

from gantl_zoo.errors import UsageError
from gantl_zoo.studio.cards import html_of
from gantl_zoo.studio.models import resolved
from gantl_zoo.studio.newest import Newest, Stale
from gantl_zoo.studio.paths import searched
from gantl_zoo.studio.pictures import View
from gantl_zoo.studio.points import noise_of, parsed, points_of
from gantl_zoo.studio.settings import Settings


@pytest.mark.parametrize("text", ["dcgan-mnist", "small", "./small", "me/my-gan", "hf-hub:me/my-gan@v1"])
def test_names_of_models(settings: Settings, text: str) -> None:
    expected = {"small": "./small", "me/my-gan": "hf-hub:me/my-gan"}.get(text, text)
    assert resolved(settings, text) == expected


def test_a_folder_in_the_root_hides_a_release(settings: Settings, gan: gz.GAN) -> None:
    assert resolved(settings, "dcgan-mnist") == "dcgan-mnist"
    gan.save(settings.root / "dcgan-mnist")
    assert resolved(settings, "dcgan-mnist") == "./dcgan-mnist"


@pytest.mark.parametrize("text", ["", "nothing", "a/b/c", "./nothing", "small/"])
def test_models_that_do_not_exist(settings: Settings, text: str) -> None:
    if text == "small/":
        assert resolved(settings, text) == "./small"
        return
    with pytest.raises(UsageError):
        resolved(settings, text)


def test_folders_are_found(settings: Settings) -> None:
    for name in ("photos/cats", "photos/dogs", ".hidden", "deep/deep/deep/deep/deep"):
        (settings.root / name).mkdir(parents=True)
        (settings.root / name / "a.png").write_bytes(png())
    (settings.root / "more.zip").write_bytes(b"")
    models, images = searched(settings)
    assert models == ["./small"]
    assert {"./more.zip", "./photos", "./photos/cats"} <= set(images) and not any(
        "deep/deep/deep/deep" in one for one in images
    )


def test_texts_of_pictures() -> None:
    assert parsed("0-2,7, 12~3,1_2_35") == ["0", "1", "2", "7", "12~3", "1_2_35"]
    for wrong in (
        "",
        "x",
        "-1",
        "3-1",
        "0-200",
        "1_2",
        "1_2_101",
        "1~x",
        str(1 << 32),
        "1~1~1~1~1~1~1~1",
        "٣",
    ):
        with pytest.raises(UsageError):
            parsed(wrong)


def test_points_are_seeds_variations_and_what_lies_between(gan: gz.GAN) -> None:
    points = points_of(gan, ["5", "5~1", "5~1", "5_6_0", "5_6_100", "6", "5_6_50"]).latents
    assert torch.equal(points[0], torch.randn(8, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(points[1], points[2]) and not torch.equal(points[0], points[1])
    assert torch.allclose(points[3], points[0], atol=1e-5) and torch.allclose(points[4], points[5], atol=1e-5)
    assert torch.allclose(points[6], gz.latent.slerp(points[0], points[5], 0.5), atol=1e-5)
    many = torch.stack([noise_of(f"5~{i}", 4096) for i in range(8)])
    assert 0.9 < many.std() < 1.1, "variations stay normal"
    near = torch.nn.functional.cosine_similarity(many, noise_of("5", 4096)[None])
    assert (near > 0.8).all() and (near < 0.98).all()


def test_pictures_are_those_of_generate(visitor: Any, gan: gz.GAN) -> None:
    answer = visitor.get("/explore/save/wall?model=small&seeds=3-8&truncation=0.7")
    assert "attachment" in answer.headers["content-disposition"]
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    expected = gan.sample(6, seed=3, truncation=0.7).grid(6, scale=1)
    assert np.array_equal(shown, np.asarray(expected))
    sheet = visitor.get("/explore/sheet.png?model=small&seeds=3-8&truncation=0.7")
    assert sheet.headers["x-columns"] == "6"
    assert np.abs(np.asarray(Image.open(io.BytesIO(sheet.content))).astype(int) - shown).max() <= 1


def test_directions_move_pictures(visitor: Any, gan: gz.GAN) -> None:
    directions = gz.latent.find_directions(gan, count=8)
    answer = visitor.get("/explore/save/wall?model=small&seeds=1&move=0:1.5,2:-2")
    images = gan.generate(seeds=[1], direction=1.5 * directions[0] - 2 * directions[2])
    expected = gz.Images(images).grid(1, scale=1)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), np.asarray(expected))
    assert visitor.get("/explore/directions?model=small").text.count('type="range"') == 8
    for move in ("0:x", "0:99", "99:1", "x:1", "0:nan"):
        assert visitor.get("/explore/sheet.png", params={"model": "small", "move": move}).status_code == 400


def test_latents_and_zip_hold_what_is_shown(visitor: Any, gan: gz.GAN, tmp_path: Path) -> None:
    query = "model=small&seeds=1,1~2,1_4_30&truncation=0.8&move=1:2"
    wall = np.asarray(Image.open(io.BytesIO(visitor.get(f"/explore/save/wall?{query}").content)))
    path = tmp_path / "latents.safetensors"
    path.write_bytes(visitor.get(f"/explore/save/latents?{query}").content)
    again = np.asarray(gz.Images(gz.latent.Latents.load(path).images(gan)).grid(3, scale=1))
    assert np.abs(again.astype(int) - wall).max() <= 1
    with zipfile.ZipFile(io.BytesIO(visitor.get(f"/explore/save/zip?{query}").content)) as packed:
        names = ["seed1.png", "seed1~2.png", "seed1_4_30.png", "latents.safetensors", "settings.json"]
        assert packed.namelist() == names
        assert json.loads(packed.read("settings.json"))["strengths"] == {"1": 2.0}
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(packed.read("seed1.png")))), wall[:28, :28])


def test_classes_of_a_conditional_model(visitor: Any) -> None:
    text = visitor.get("/explore/model?model=dcgan-mnist-conditional").text
    assert text.count("<option") == 11
    gan = gz.load_model("dcgan-mnist-conditional")
    assert isinstance(gan, gz.GAN)
    query = "model=dcgan-mnist-conditional&seeds=0-3"
    shown = visitor.get(f"/explore/save/wall?{query}&label=3").content
    expected = gan.sample(4, seed=0, labels=3).grid(4, scale=1)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), np.asarray(expected))
    own = gan.sample(4, seed=0).grid(4, scale=1)
    shown = visitor.get(f"/explore/save/wall?{query}").content
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), np.asarray(own))
    assert visitor.get(f"/explore/sheet.png?{query}&label=11").status_code == 400
    assert visitor.get("/explore/sheet.png?model=dcgan-mnist-conditional&seeds=0_1_40").status_code == 200
    assert "has the 10 classes" in visitor.get(f"/explore/sheet.png?{query}&label=11").json()["error"]


def test_a_model_that_was_trained_again_is_loaded_again(
    visitor: Any, gan: gz.GAN, settings: Settings
) -> None:
    before = visitor.get("/explore/sheet.png?model=small").content
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.mul_(-1)
    time.sleep(0.02)
    gan.save(settings.root / "small")
    assert visitor.get("/explore/sheet.png?model=small").content != before


def test_stale_requests_are_dropped() -> None:
    """Of the requests that wait only the newest of each view is computed."""
    begun, go, done = threading.Event(), threading.Event(), []

    def slow() -> str:
        begun.set()
        assert go.wait(5)
        return "first"

    async def all_of_them() -> list[Any]:
        newest = Newest()

        async def one(view: str, turn: int) -> Any:
            try:
                return await newest.run(view, turn, lambda: done.append((view, turn)) or (view, turn))  # type: ignore[func-returns-value]
            except Stale:
                return "stale"

        first = asyncio.ensure_future(newest.run("a", 1, slow))
        await asyncio.to_thread(begun.wait, 5)
        others = [asyncio.ensure_future(one(*each)) for each in (("a", 2), ("a", 4), ("b", 3), ("a", 3))]
        await asyncio.sleep(0)
        go.set()
        return [await first, *[await other for other in others]]

    assert asyncio.run(all_of_them()) == ["first", "stale", ("a", 4), ("b", 3), "stale"]
    assert done == [("a", 4), ("b", 3)]


def test_a_stale_picture_has_no_content(visitor: Any) -> None:
    assert visitor.get("/explore/sheet.png?model=small&view=x&turn=5").status_code == 200
    assert visitor.get("/explore/sheet.png?model=small&view=x&turn=4").status_code == 204
    assert visitor.get("/explore/sheet.png?model=small&view=y&turn=4").status_code == 200


def test_a_view_reads_its_address() -> None:
    view = View.of(
        {"model": "m", "seeds": "3", "truncation": "0.5", "label": "2", "move": "1:2", "method": "ganspace"}
    )
    assert (view.texts, view.truncation, view.label, view.strengths) == (["3"], 0.5, 2, {1: 2.0})
    for wrong in (
        {"truncation": "x"},
        {"truncation": "inf"},
        {"label": "-1"},
        {"method": "x"},
        {"seeds": "x"},
    ):
        with pytest.raises(UsageError):
            View.of(wrong)


def test_two_models_side_by_side(visitor: Any) -> None:
    text = visitor.get("/compare/both?a=dcgan-fashion-mnist").text
    assert "A: dcgan-fashion-mnist" in text and "B: dcgan-mnist" in text and "different images" in text
    same = visitor.get("/compare/both?a=dcgan-mnist&b=dcgan-mnist").text
    assert "the same images" in same and "fd_cnn-mnist" in same
    assert "nothing in common" in visitor.get("/compare/both?a=dcgan-mnist&b=small").text
    report = visitor.get("/compare/report?a=dcgan-fashion-mnist")
    assert (
        "dcgan-mnist" in report.text and "sandbox allow-scripts" in report.headers["content-security-policy"]
    )
    assert visitor.get("/compare/report?a=../small").status_code == 400
    assert "has no source" in visitor.get("/compare/both?a=small").text
    assert "alert" in visitor.get("/compare/both?a=small&seeds=x").text


def test_the_card_is_shown_without_what_a_browser_would_run() -> None:
    card = (
        "---\nlicense: mit\n---\n# T\n<script>alert(1)</script> <img src=x onerror=alert(1)>\n\n"
        "[a](javascript:alert(1)) [b](https://x.example)\n\n"
        "![own](samples.png) ![far](https://x.example/a.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    text = html_of(card, {"samples.png": "data:image/png;base64,AAAA"})
    assert "<script" not in text and "<img src=x" not in text and 'href="javascript' not in text
    assert 'rel="noreferrer noopener"' in text and "<table>" in text and "license" not in text
    assert re.findall(r'<img[^>]*src="([^"]*)"', text) == ["data:image/png;base64,AAAA"]


def test_the_preview_and_the_push(visitor: Any, hub: Any, settings: Settings) -> None:
    preview = visitor.get("/share/card?model=small&repo=me/new&license=mit&private=1").text
    assert (
        "gantl-zoo push ./small me/new --license mit --private" in preview
        and "generator.safetensors" in preview
    )
    assert "does not state a licence" in visitor.get("/share/card?model=small").text
    assert "alert" in visitor.get("/share/card?model=small&repo=nonsense").text
    assert not hub.repos
    form = {"model": "small", "repo": "me/new"}
    assert "does not state a licence" in visitor.post("/share/push", data=form, headers=OWN).text
    done = visitor.post("/share/push", data=form | {"license": "mit"}, headers=OWN).text
    assert "Pushed" in done and "me/new@" in done and "me/new" in hub.repos
    assert "hf_goodToken" not in done
    again = visitor.post("/share/push", data=form | {"license": "mit"}, headers=OWN).text
    assert "Nothing has changed" in again
