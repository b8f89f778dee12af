"""Modes of images with known factors: the table, the classifiers, the counts, the report."""

from __future__ import annotations

import importlib.util
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.bench import modes as bench
from gantl_zoo.bench.modes import counted, mode_counter
from gantl_zoo.data.factors import Factors
from gantl_zoo.metrics.classification import modes
from gantl_zoo.metrics.extractors import ClassifierFeatures, Joint, joint

COLOURS, PLACES = ((220, 40, 40), (40, 200, 60), (50, 60, 230)), ("top", "bottom")
FAST = {"backbone_config": {"widths": [8, 16]}, "epochs": 12, "batch": 16, "lr": 1e-2, "shift": 0}


def picture(colour: int, place: int, number: int) -> Image.Image:
    """A grey image whose upper or lower half has a colour; `number` changes a pixel."""
    image = Image.new("RGB", (16, 16), (90, 90, 90))
    image.paste(COLOURS[colour], (0, 8 * place, 16, 8 * place + 8))
    image.putpixel((number % 16, 7), (number, number, number))
    return image


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A folder of images with two factors, without one of the six combinations; beside it `shapes.tsv`."""
    rows = ["file\t0#colour\t1#place"]
    for number in range(100):
        colour, place = number % 3, number // 3 % 2
        if (colour, place) == (2, 1):
            continue
        split = "test" if number // 6 % 4 == 0 else "train"
        (tmp_path / "shapes" / split).mkdir(parents=True, exist_ok=True)
        picture(colour, place, number).save(tmp_path / "shapes" / split / f"{number}.png")
        rows.append(f"{number}.png\t{10 * colour}\t{PLACES[place]}")
    (tmp_path / "shapes.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "shapes"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CLASSIFIER", FAST)


class Known:
    """A stand-in for a GAN, which returns known images in turn."""

    image_shape, num_classes, name = (3, 16, 16), 0, "known"

    def __init__(self, *pictures: Image.Image) -> None:
        self.images = data.as_image_data(list(pictures)).images.float() / 127.5 - 1

    def generate(self, count: int, *, seed: int, labels: Any) -> torch.Tensor:
        return self.images[(torch.arange(count) + seed) % len(self.images)]


def test_a_class_is_a_combination_in_the_order_of_the_joint_predictions(shapes: Path) -> None:
    images = data.load(shapes)
    table = Factors.read(shapes.parent / "shapes.tsv")
    pairs = table.labelled(images, shapes, ["colour", "1#place"])
    one, two = (table.labelled(images, shapes, [name]) for name in ("colour", "place"))
    assert pairs.classes == ("0,bottom", "0,top", "10,bottom", "10,top", "20,bottom", "20,top")
    assert one.labels is not None and two.labels is not None and pairs.labels is not None
    each = [torch.eye(len(part.classes))[part.labels] * 9 for part in (one, two)]  # type: ignore[index]
    assert torch.equal(joint(each).argmax(1), pairs.labels)
    torch.testing.assert_close(joint(each).exp().sum(1), torch.ones(len(images)))
    for image, label in zip(images.images, pairs.labels.tolist(), strict=True):
        colour, place = pairs.classes[label].split(",")
        shown = image[:, 8 * PLACES.index(place) + 3, 3]
        assert tuple(shown.tolist()) == COLOURS[int(colour) // 10]


def test_the_joint_extractor_is_one_classifier_after_another() -> None:
    inner = [
        ClassifierFeatures(str(n), gz.backbones.build("cnn", channels=3, num_classes=n, widths=[4]))
        for n in (3, 2)
    ]
    extractor = Joint("3,2", inner)
    features, logits = extractor(torch.randint(0, 255, (5, 3, 8, 8), dtype=torch.uint8))
    assert features.shape == (5, 8) and logits is not None and logits.shape == (5, 6)
    assert extractor.sha256 != Joint("2,3", inner[::-1]).sha256


def test_images_of_known_combinations_cover_exactly_these(shapes: Path, tmp_path: Path, small: None) -> None:
    counter = mode_counter(shapes, tmp_path / "shapes.tsv", ["colour", "place"], out=tmp_path / "out")
    assert counter.accuracy == {"colour": 1, "place": 1, "combination": 1}
    facts = counter.facts()
    assert facts["modes"] == 5 and facts["floor"]["modes"] == 5 and facts["floor"]["confident"] == 1

    three: Any = Known(picture(0, 0, 1), picture(1, 0, 2), picture(2, 0, 3))
    counts = counter(three, 90)
    assert counts["few"]["images"] == len(counter.held_out) and counts["many"]["images"] == 90
    assert counts["few"]["modes"] == counts["many"]["modes"] == 3
    real = [counter.shares[counter.held_out.classes.index(f"{10 * c},top")] for c in range(3)]
    wanted = sum(math.log(1 / 3 / float(share)) / 3 for share in real)
    assert counts["many"]["mode_kl"] == pytest.approx(wanted)

    repeated: Any = Known(picture(1, 1, 4))
    counts = counter(repeated, 90)
    assert counts["many"]["modes"] == 1 and counts["many"]["mode_kl"] > 3 * wanted > 0

    other: Any = Known(picture(1, 1, 4).resize((8, 8)))
    other.image_shape = (3, 8, 8)
    with pytest.raises(gz.DataError, match=r"known makes images \(3, 8, 8\) .* are \(3, 16, 16\)"):
        counter(other, 90)


def test_classifiers_are_trained_once(
    shapes: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: Any = {"out": tmp_path / "out"}
    first = mode_counter(shapes, tmp_path / "shapes.tsv", ["place"], **settings)
    with monkeypatch.context() as context:
        context.setattr(bench, "classify_train", lambda *a, **k: pytest.fail("trained again"))
        again = mode_counter(shapes, tmp_path / "shapes.tsv", ["place"], **settings)
        assert again.facts() == first.facts()
        with pytest.raises(pytest.fail.Exception, match="trained again"):  # the images are others
            mode_counter(shapes, tmp_path / "shapes.tsv", ["place"], image_size=12, **settings)
    calls: list[str] = []
    monkeypatch.setattr(bench, "classify_transfer", lambda source, **k: calls.append(source) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mode_counter(shapes, tmp_path / "shapes.tsv", ["place"], source="cnn-mnist", **settings)
    assert calls == ["cnn-mnist"]


def test_unclear_and_rare_predictions_are_not_counted() -> None:
    shares = torch.tensor([0.4, 0.4, 0.2, 0.0])
    clear = torch.eye(4)[[0] * 50 + [1] * 49 + [2]] * 9
    assert counted(clear, shares)["modes"] == 2, "one image in a hundred is less than a tenth of 0.2"
    vague = torch.tensor([[0.4, 0.3, 0.3, 0.0]]).log()
    found = counted(torch.cat([clear, vague.expand(100, -1)]), shares)
    assert found | {"images": 100, "confident": 1.0} == counted(clear, shares) and found["confident"] == 0.5
    nothing = counted(vague, shares)
    assert nothing == {"images": 1, "modes": 0, "mode_kl": None, "confident": 0}
    json.dumps(nothing, allow_nan=False)
    impossible = counted(torch.eye(4)[[3]] * 9, shares)
    assert impossible == nothing | {"confident": 1}, "no training image shows it, so it is not a mode"


def test_real_shares_are_the_reference_of_the_divergence() -> None:
    logits, shares = torch.eye(3), torch.tensor([0.5, 0.25, 0.25])
    uneven = logits[[0, 0, 1, 2]]
    assert modes(uneven, shares) == {"modes": 3, "mode_kl": pytest.approx(0, abs=1e-9)}
    assert modes(uneven)["mode_kl"] > 0.05
    assert modes(logits, torch.tensor([0.5, 0.5, 0.0])) == {"modes": 2, "mode_kl": pytest.approx(0, abs=1e-9)}
    assert modes(logits[:0]) == {"modes": 0, "mode_kl": math.inf}


def test_the_command_writes_a_report(
    shapes: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    config: dict[str, Any] = {"image_size": 16, "channels": 3, "width": 4}
    gan = gz.build_gan("dcgan", generator_config=config, discriminator_config={"width": 4}, name="small")
    gan.save(tmp_path / "gan")
    words = ["bench", "modes", tmp_path / "gan", "--data", shapes, "--table", tmp_path / "shapes.tsv"]
    words += [
        "--factor",
        "colour",
        "--factor",
        "place",
        "--samples",
        "30",
        "--out",
        tmp_path / "out",
        "--quiet",
    ]
    code, out, err = run(capsys, *words)
    report = tmp_path / "out" / "report.md"
    assert code == 0, err
    assert out.rstrip().endswith(f"\n{report}")
    text = report.read_text()
    assert "The modes are the 5 combinations of colour, place" in text
    assert "| held-out images | 5 |" in text and f"| {tmp_path / 'gan'} | " in text
    assert "colour 100.0 %, place 100.0 %, combination 100.0 %." in text
    assert "often wrong" not in text
    code, _, err = run(capsys, *words, "--samples", "0")
    assert code == 2 and "samples must be at least 1, not 0" in err


def test_the_script_trains_and_measures_each_cell_once(
    shapes: Path,
    tmp_path: Path,
    small: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = Path(__file__).parent.parent / "benchmarks" / "modes_cats.py"
    found = importlib.util.spec_from_file_location("modes_cats", place)
    assert found is not None and found.loader is not None
    found.loader.exec_module(script := importlib.util.module_from_spec(found))
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as new:
        for path in sorted(shapes.rglob("*.png")):
            new.write(path, path.name)
        new.write(path, "copy.png")  # left out, so it needs no row
    shapes.parent.joinpath("shapes.tsv").rename(tmp_path / "shapes.factors.tsv")
    tiny = {"generator_config": {"width": 4}, "discriminator_config": {"width": 4}}
    for name, value in {
        "SET": "shapes", "FACTORS": ("colour", "place"), "HELD_OUT": 24, "SAMPLES": 40,
        "OUT": tmp_path / "out", "RESULTS": tmp_path / "cells.jsonl", "REPORT": tmp_path / "report.md",
        "FAMILIES": {"dcgan": tiny, "resnet": tiny},
        "SHARED": {"image_size": 16, "batch": 8, "metrics": (), "precision": "fp32"},
    }.items():  # fmt: skip
        monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(
        "sys.argv", ["modes_cats.py", str(tmp_path), "dcgan", "--steps", "2", "--seeds", "0,1"]
    )
    script.main()
    with zipfile.ZipFile(tmp_path / "out" / "shapes.zip") as written:
        assert (
            len(written.namelist()) == len(list(shapes.rglob("*.png")))
            and "test/copy.png" not in written.namelist()
        )
    rows = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [0, 1] and rows[0]["counts"]["few"]["images"] == 24
    text = (tmp_path / "report.md").read_text()
    assert "| `dcgan` | 0.0" in text and "| 2 of 8 images | 2 |" in text and "held-out images" in text
    monkeypatch.setattr(gz, "train", lambda *a, **k: pytest.fail("trained again"))
    script.main()
    assert (tmp_path / "report.md").read_text() == text
    monkeypatch.undo()
    changed = [row | {"changes": {"lr": 1e-3}} for row in rows[:1]]
    other = [row | {"facts": row["facts"] | {"sha256": "earlier"}} for row in rows[:1]]
    lines = script.table([*other, *rows, *changed]).splitlines()
    assert sum(line.startswith("| `dcgan` |") for line in lines) == 1 and "| 2 of 8 images | 2 |" in lines[-4]
    assert lines[-3].startswith('| `dcgan` {"lr": 0.001} | ') and "| 2 of 8 images | 1 |" in lines[-3]
    monkeypatch.setattr("sys.argv", ["modes_cats.py", str(tmp_path), "dog"])
    with pytest.raises(SystemExit):
        script.main()
    assert "unknown family dog; there are: dcgan, fast, r3" in capsys.readouterr().err


def test_a_report_on_weak_classifiers_says_so() -> None:
    count = {"images": 9, "modes": 3, "mode_kl": None, "confident": 0.5}
    facts = {"data": "cats", "factors": ["fur"], "modes": 10, "sha256": "abc", "floor": count}
    rows = [({"model": "a"}, [{"few": count, "many": count}, {"few": count, "many": count | {"modes": 5}}])]
    text = bench.report(rows, facts | {"accuracy": {"fur": 0.89, "combination": 0.89}})
    assert "fur 89.0 %, combination 89.0 %. They are often wrong, so the counts mean little." in text
    assert "| held-out images | 3 |  |  |  | 50 % |" in text
    assert "| a | 3 ± 0 |  | 4 ± 1 |  | 50 % ± 0 % |" in text
    assert "often" not in bench.report(rows, facts | {"accuracy": {"fur": 1, "combination": 0.9}})


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("", "is not a valid table of factors"),
        ("file\tcolour\n", "is not a valid table of factors"),
        ("file\tcolour\tcolour\na.png\t1\t2\n", "is not a valid table of factors"),
        ("file,colour\na.png,1\n", "is not a valid table of factors"),
        ("file\tcolour\na.png\t1\nb.png\n", "line 3 doesn't have 2 values"),
        ("file\tcolour\na.png\t\n", "line 2 doesn't have 2 values"),
        ("file\tcolour\na.png\t1\na.png\t2\n", "line 3 repeats a file"),
    ],
)
def test_a_table_that_is_not_valid(tmp_path: Path, rows: str, text: str) -> None:
    (tmp_path / "table.tsv").write_text(rows)
    with pytest.raises(gz.DataError, match=text):
        Factors.read(tmp_path / "table.tsv")


def test_a_table_that_can_t_be_read(tmp_path: Path) -> None:
    with pytest.raises(gz.DataError, match=r"nothing\.tsv can't be read \(No such file"):
        Factors.read(tmp_path / "nothing.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(gz.DataError, match=r"binary\.tsv can't be read \(it is not UTF-8\)"):
        Factors.read(tmp_path / "binary.tsv")


def labelled(shapes: Path, lines: list[str], *factors: str) -> gz.ImageData:
    (shapes.parent / "other.tsv").write_text("\n".join(lines))
    return Factors.read(shapes.parent / "other.tsv").labelled(data.load(shapes), shapes, factors)


def test_rows_and_images_must_agree(shapes: Path) -> None:
    lines = (shapes.parent / "shapes.tsv").read_text().splitlines()
    with pytest.raises(gz.DataError, match=r"has no row for 2 images of .*, such as test/98\.png"):
        labelled(shapes, lines[:-2], "place")
    with pytest.raises(gz.UnknownNameError, match=r"unknown factor 'color'.*; did you mean 0#colour"):
        labelled(shapes, lines, "color")
    with pytest.raises(gz.DataError, match="the factor same has one value only"):
        labelled(shapes, ["file\tsame", *(line.split("\t")[0] + "\tx" for line in lines[1:])], "same")
    (shapes / "train" / "copy.png").write_bytes((shapes / "train" / "7.png").read_bytes())
    with pytest.raises(gz.DataError, match=r"no row for 1 images of .*, such as train/copy\.png"):
        labelled(shapes, lines, "place")
    labelled(shapes, [*lines, "train/copy.png\t10\ttop"], "place")
    with pytest.raises(gz.DataError, match="are copies, but their factors differ"):
        labelled(shapes, [*lines, "train/copy.png\t10\tbottom"], "place")


def test_a_name_that_two_images_have_needs_the_path(shapes: Path) -> None:
    lines = (shapes.parent / "shapes.tsv").read_text().splitlines()
    picture(0, 1, 7).save(shapes / "train" / "1.png")
    with pytest.raises(gz.DataError, match="no row for 2 images"):
        labelled(shapes, lines, "place")
    images = labelled(shapes, [*lines, "train/1.png\t0\tbottom", "test/1.png\t10\ttop"], "place")
    assert images.labels is not None and images.classes == ("bottom", "top")


def test_factors_need_files(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(gz.DataError, match="must be a folder or a zip, not the data set digits"):
        mode_counter("digits", tmp_path / "shapes.tsv", ["place"], out=tmp_path)
    for factors in ([], ["place", "1#place"]):
        with pytest.raises(gz.UsageError, match="name at least one factor, and each only once"):
            mode_counter(shapes, tmp_path / "shapes.tsv", factors, out=tmp_path)
