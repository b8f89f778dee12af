"""The report: one page about a run or a model, which loads nothing."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import TINY, run as command
from pages import browser, opened
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.runs.report import page as pages
from gantl_zoo.runs.report.contents import comparison_of, duration, seconds_of
from gantl_zoo.runs.report.pictures import encoded, spread
from gantl_zoo.runs.report.words import MEANINGS, meanings

HOSTILE = "<script>alert(1)</script>"
TINY_RUN: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("_config")} | {"strategy": "full"}
PARTS = (
    "mine &amp; yours", "The same seeds before and after", "Samples during the run", "Metrics", "Curves",
    "Against training from scratch", "nearest training images", "How it was made", "too few steps",
)  # fmt: skip


@pytest.fixture
def run(full_runs: None, photos: Path, gan: gz.GAN, tmp_path: Path) -> Path:
    """A short transfer that was compared with training from scratch."""
    settings = {"steps": 4, "metrics": "kd", "compare_scratch": True, "image_size": 28, "channels": 1}
    out = tmp_path / "runs"
    kept = gz.transfer(gan, data=photos, **TINY_RUN | settings, title="mine & yours", out=out, quiet=True)
    return kept.folder.parent  # type: ignore[union-attr,no-any-return]


def test_a_run_writes_its_report(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    for part in PARTS:
        assert part in text, part
    assert "report: " in (run / "log.txt").read_text()
    loaded = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', text)
    assert text.count("<style") == 1  # that of an SVG would be the whole page's
    assert not loaded and "@import" not in text and "url(http" not in text
    scratch = next(run.glob("00000-*")) / "report.html"
    assert "Samples during the run" in scratch.read_text(encoding="utf-8")
    assert comparison_of(run)[0].split()[0].startswith("kd_")


def test_no_report_is_written_if_none_is_wanted(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    kept: Any = gz.transfer(gan, data=images, **TINY_RUN, out=tmp_path, quiet=True, report=False)
    assert not (kept.folder.parent / "report.html").exists()
    gz.resume(kept.folder.parent, data=images, source=gan, quiet=True)
    assert (kept.folder.parent / "report.html").is_file()


def test_names_of_strangers_are_text(run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "model/config.json").read_text())
    config["name"] = HOSTILE
    config["license"] = HOSTILE
    config["training"]["command"] = HOSTILE
    config["lineage"]["data"]["name"] = HOSTILE
    config["metrics"][0]["name"] = f"kd_{HOSTILE}"
    (run / "model/config.json").write_text(json.dumps(config))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4, f"kd_{HOSTILE}": 1.0}) + "\n")
    text = gz.write_report(run, to=tmp_path / "page.html").read_text(encoding="utf-8")
    assert "alert(1)" in text and HOSTILE not in text and text.count("<script>") == 1
    words = gz.write_report(run, to=tmp_path / "page.md").read_text(encoding="utf-8")
    assert "alert(1)" in words and "<script>" not in words.replace(f"\n{HOSTILE}\n", "")  # in a code block


def test_a_released_model_and_a_run_are_compared(run: Path, tmp_path: Path) -> None:
    path = gz.write_report("dcgan-mnist", run, to=tmp_path / "both.html")
    text = path.read_text(encoding="utf-8")
    assert (
        "2 models compared" in text and text.count("<article") == 2 and "Samples of the first seeds" in text
    )
    assert len(text) < 3_000_000
    assert gz.write_report("dcgan-mnist", to=tmp_path / "one.html").stat().st_size < 3_000_000


def test_the_scores_of_each_class_are_folded(tmp_path: Path) -> None:
    text = gz.write_report("dcgan-mnist-conditional", to=tmp_path / "page.html").read_text(encoding="utf-8")
    whole, folded = text.split("<details>")
    assert "fd_cnn-mnist" in whole and "fd[3 - three]" not in whole and "fd[3 - three]_cnn-mnist" in folded
    assert whole.index("Samples of the first seeds") < whole.index("Metrics")


def test_two_runs_share_a_curve(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "again")
    text = gz.write_report(run, tmp_path / "again", to=tmp_path / "two.html").read_text(encoding="utf-8")
    assert 'class="curves one"' in text and "mine &amp; yours (2)" in text


def test_what_cant_be_reported_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for error, sources, to in (
        (gz.UsageError, (), None),
        (gz.UsageError, (run,), "page.pdf"),
        (gz.UsageError, (run,), "file/page.html"),
        (gz.UnknownNameError, ("nothing-like-this",), None),
    ):
        with pytest.raises(error):
            gz.write_report(*sources, to=to)
    assert not list(tmp_path.glob("*.html"))
    code, out, _ = command(capsys, "report", "dcgan-mnist", "--to", "page.md")
    assert (
        code == 0
        and out.strip() == "page.md"
        and "gz.load_model('dcgan-mnist')" in Path("page.md").read_text()
    )


def test_damaged_and_missing_pictures_are_left_out(run: Path) -> None:
    (run / "nearest.png").write_bytes(b"\x89PNG broken")
    (run / "reals.png").unlink()
    text = gz.write_report(run).read_text(encoding="utf-8")
    assert "nearest training images" not in text and "Training images" not in text


def test_pictures_stay_within_their_bytes() -> None:
    noise = Image.effect_noise((400, 400), 90).convert("RGB")
    few = encoded([("a", noise)] * 4, 200_000)
    assert len(few) == 4 and sum(len(one.uri) for one in few) <= 200_000
    data = base64.b64decode(few[0].uri.partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (few[0].width, few[0].height)
    assert encoded([("a", noise)], 100) == []
    assert [step for step, _ in spread([(i, Path()) for i in range(100)], 3)] == [0, 50, 99]


def test_times_and_meanings() -> None:
    rows = [{"step": 0, "images": 0}, {"step": 1, "images": 100, "images_per_second": 50.0},
            {"step": 2, "images": 300, "images_per_second": 100.0}]  # fmt: skip
    assert seconds_of(rows) == 4.0
    assert [duration(seconds) for seconds in (0, 5, 600, 9000)] == ["", "5 s", "10 min", "2.5 h"]
    kinds = [
        kind
        for kind, _ in meanings(["fd_a-pca64", "precision_a", "complement_precision_a", "fd[cat]_a", "other"])
    ]
    assert kinds == ["fd", "complement_precision", "precision"]
    assert all(text.endswith(".") for text in MEANINGS.values())


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_works_in_a_browser(run: Path, width: int, tmp_path: Path) -> None:
    both = gz.write_report(run, next(run.glob("00000-*")), to=tmp_path / "both.html")
    with browser() as chromium:
        for path in (run / "report.html", both):
            shown = opened(chromium, path, width, "dark" if width < 500 else "light")
            page = shown.page
            assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            slider = page.locator(".frames input").first
            slider.evaluate("(input) => { input.value = 0; input.dispatchEvent(new Event('input')); }")
            assert page.locator(".frames .caption").first.inner_text() == "step 0"
            assert page.locator(".frames").first.locator("img:visible").count() == 1
            assert not shown.errors
            assert all(address.startswith(("data:", "file:")) for address in shown.requests)


def test_the_template_is_in_the_package() -> None:
    files = {path.name for path in pages.HERE.glob("page.*")}
    assert files >= {"page.html.j2", "page.css", "page.js"}
