"""`Report`: as data, as a table, as Markdown and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.metrics import picture
from gantl_zoo.metrics.classification import wilson

HOW: dict[str, Any] = {
    "on": "100 samples against 40 test images of cats | dogs", "floor_on": "40 train images against the same",
    "samples": 100, "real": 40, "split": "test", "data_fingerprint": "abc", "extractor": "pixels",
    "extractor_sha256": "none", "convention": "as floats", "seed": 1_000_000,
}  # fmt: skip


def result(metric: str, value: float, **more: Any) -> Any:
    return HOW | {"name": f"{metric}_pixels", "metric": metric, "value": value, "better": "lower"} | more


@pytest.fixture
def report() -> gz.Report:
    results = [
        result("fd", 30.0, floor=2.0),
        result("kd", 0.5, low=0.25, high=0.75, floor=-0.01),
        result("precision", 0.875, floor=0.9, better="higher"),
        *(result(f"fd[{i} of $x$]", 10.0 - i, floor=1.0) for i in range(25)),
    ]
    return gz.Report(results, ["warning: <few> images"], "mine")


def test_a_report_is_a_container_of_its_results(report: gz.Report) -> None:
    assert report["fd"] == report["fd_pixels"] == 30.0 and report.result("kd")["low"] == 0.25
    assert "precision" in report and "precision_pixels" in report and "recall" not in report
    assert len(report) == 28 and [one["metric"] for one in report][:3] == ["fd", "kd", "precision"]
    for error in (KeyError, gz.UnknownNameError):
        with pytest.raises(error, match=r"^unknown metric 'precison'; did you mean precision"):
            report["precison"]


def test_the_table_is_aligned_and_says_how_it_was_measured(report: gz.Report) -> None:
    title, head, first, second, *_ = lines = str(report).splitlines()
    assert title == "mine"
    column = head.index("value") + len("value")
    assert first[:column].endswith(" 30") and second[:column].endswith(" 0.5")
    assert "0.25 to 0.75" in second and second.index("-0.01") > second.index("0.25")
    assert "lower is better (15.0 × real images)" in first and "×" not in second
    assert lines[-4] == f"measured on {HOW['on']} (fingerprint abc)"
    assert lines[-2].startswith("extractor pixels") and lines[-1] == "warning: <few> images"
    assert str(gz.Report()) == "nothing was measured"
    assert repr(report).startswith("<Report mine: fd_pixels 30, kd_pixels 0.5, precision_pixels 0.875, ")
    assert repr(gz.Report()) == "<Report: nothing was measured>"


def test_markdown_shows_every_text_as_it_is(report: gz.Report) -> None:
    text = report.to_markdown()
    assert text == report._repr_markdown_()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 30 and all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert r"fd\[3 of \$x\$\]\_pixels" in text and r"cats \| dogs" in text
    assert r"> warning: \<few\> images" in text


def test_a_report_survives_json(report: gz.Report) -> None:
    kept = json.loads(json.dumps(report.to_dict()))
    assert gz.Report.from_dict(kept) == report
    report.to_dict()["results"][0]["value"] = 0.0
    assert report["fd"] == 30.0


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ([], "no list of results"),
        ({"results": {}}, "no list of results"),
        ({"results": [7]}, "7 is not a result"),
        ({"results": [{"name": "fd", "metric": "fd"}]}, "a result without on"),
        ({"results": [result("fd", float("nan"))]}, "not a number"),
        ({"results": [result("fd", 1.0, low="x")]}, "not a number"),
        ({"results": [], "notes": "x"}, "must be texts"),
        ({"results": [], "model": 3}, "must be texts"),
    ],
)
def test_what_is_not_a_report_is_refused(kept: Any, text: str) -> None:
    with pytest.raises(gz.UsageError, match=f"not a valid report: .*{text}"):
        gz.Report.from_dict(kept)


def test_the_picture_has_a_panel_for_each_metric(report: gz.Report, tmp_path: Path) -> None:
    figure = report.plot(tmp_path / "report.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 4 and "Fréchet distance (fd)" in titles[0] and "higher is better" in titles[2]
    assert "the 20 worst of 25" in titles[3] and len(figure.axes[3].get_yticklabels()) == picture.MOST
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["model", "real images"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [30.0, 2.0]
    with Image.open(tmp_path / "report.png") as saved:
        assert saved.size[0] > 1000
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_picture_that_cant_be_drawn_or_saved_is_an_error(report: gz.Report, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match="nothing was measured"):
        gz.Report().plot()
    with pytest.raises(gz.UsageError, match=r"must end in \.png or"):
        report.plot(tmp_path / "report.exe")
    with pytest.raises(gz.UsageError, match=r"can't write .*No such file"):
        report.plot(tmp_path / "none" / "report.png")


def test_a_classifiers_report_has_an_interval(images: ImageData) -> None:
    report = gz.classify_evaluate("cnn-mnist", data=ten_classes(images))
    found = report.result("accuracy")
    low, high = found.get("low"), found.get("high")
    assert report.model == "cnn-mnist" and low is not None and high is not None
    assert 0 <= low <= report["accuracy"] <= high <= 1 and "accuracy" in str(report)
    assert report.plot().axes[0].get_title().startswith("accuracy")


def ten_classes(images: ImageData) -> ImageData:
    """The images with the names of ten classes."""
    return ImageData(images.images[:], images.labels, tuple("0123456789"), "halves")


@pytest.mark.parametrize(
    ("share", "count", "interval"),
    [(0.5, 100, (0.4038, 0.5962)), (0.0, 10, (0.0, 0.2775)), (1.0, 1, (0.2065, 1.0))],
)
def test_wilsons_interval(share: float, count: int, interval: tuple[float, float]) -> None:
    assert wilson(share, count) == pytest.approx(interval, abs=1e-4)


def test_metrics_that_a_model_folder_keeps_make_a_report() -> None:
    for name in gz.models.names():
        kept = gz.models.info(name).metrics
        if not kept and gz.models.entry(name).owner != "gantl_zoo":
            continue  # a plug-in's
        assert all(f"{one['value']:.4g}" in str(gz.Report(kept)) for one in kept)
        assert gz.Report(kept).plot().axes
