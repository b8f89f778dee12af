"""The command line as people type it, wrong input included."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers import run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.cli import classify, evaluate, train
from gantl_zoo.cli.app import explain, main
from gantl_zoo.cli.options import seeds
from gantl_zoo.registry.arguments import from_words, to_word
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.strategy.auto import AUTO
from gantl_zoo.training.classifier_recipe import CHOSEN, ClassifierRecipe
from gantl_zoo.training.recipe import VERBS as OF_VERBS, Recipe

VERBS = ["list", "info", "sample", "train", "transfer", "resume", "doctor", "report", "evaluate", "plugins",
         "push", "pull", "env", "classify train", "classify transfer", "classify evaluate",
         "bench stacked-mnist", "bench transfer", "bench classifiers", "studio"]  # fmt: skip


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_80_columns_and_ends_with_examples(
    capsys: pytest.CaptureFixture[str], verb: str, flag: str
) -> None:
    code, out, _ = run(capsys, *verb.split(), flag)
    assert code == 0 and "Example" in out
    assert all(len(line) <= 80 for line in out.splitlines()), "a line is too long"
    examples = [line.strip() for line in out.split("Example")[1].splitlines()[1:] if line.strip()]
    assert examples and all(line.startswith("gantl-zoo ") for line in examples), "an example was wrapped"


@pytest.mark.parametrize("words", [(), ("classify",), ("bench",)])
def test_a_group_alone_shows_its_help_and_nothing_else(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *words)
    assert code == 2 and "Example" in err and not out and "error: " not in err


def test_list_filters_and_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    assert code == 0 and all(name in out for name in ("dcgan-mnist", "backbone", "partial", "resize-conv"))
    _, out, _ = run(capsys, "list", "dcgan*", "--kind", "models", "--json")
    names = [
        "dcgan-cats",
        "dcgan-emoji",
        "dcgan-faces",
        "dcgan-fashion-mnist",
        "dcgan-mnist",
        "dcgan-mnist-conditional",
    ]
    names += ["dcgan-peeps", "dcgan-portraits"]
    assert [row["name"] for row in json.loads(out)] == names


@pytest.mark.parametrize(
    "name", ["dcgan-mnist", "cnn-mnist", "dcgan", "freeze", "resize-conv", "timm:resnet18"]
)
def test_info_says_what_a_name_is(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, "info", name)
    assert code == 0 and name in out


def test_a_seed_is_one_image_whatever_the_batch(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    code, out, _ = run(capsys, "sample", model, "--seeds", "0-4,7", "--out", tmp_path / "g.png",
                       "--separate", tmp_path / "each")  # fmt: skip
    assert code == 0 and str(tmp_path / "g.png") in out
    assert sorted(p.name for p in (tmp_path / "each").iterdir())[-1] == "seed0007.png"
    run(capsys, "sample", model, "--seeds", "7", "--separate", tmp_path / "alone")
    pictures = [(tmp_path / folder / "seed0007.png").read_bytes() for folder in ("each", "alone")]
    assert pictures[0] == pictures[1]
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.size == (3 * 56, 2 * 56)


def test_train_transfer_evaluate_end_to_end(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    common = ["--data", photos, "--channels", 1, "--steps", 4, "--batch", 4, "--out", tmp_path / "runs",
              "--metrics", "kd", "--extractor", "pixels", "--samples", 16, "--metrics-every", 2]  # fmt: skip
    code, out, err = run(capsys, "train", "dcgan", "--image-size", 28, "--generator-arg", "width=4",
                         "--discriminator-arg", "width=4", *common)  # fmt: skip
    first = Path(out.splitlines()[-1])
    assert code == 0 and (first / "model" / "config.json").is_file() and "engine: " in err
    code, out, err = run(capsys, "transfer", first, *common, "--compare-scratch",
                         "--strategy", "partial", "--strategy-arg", "last=1")  # fmt: skip
    second = Path(out.splitlines()[-1])
    assert code == 0 and (second / "comparison.png").is_file()
    assert all(
        title in err for title in ("before transfer", "after transfer", "from scratch", "transfer is ")
    )
    scores = tmp_path / "scores.json"
    code, out, _ = run(capsys, "evaluate", second, "--data", photos, "--channels", 1, "--samples", 16,
                       "--extractor", "pixels", "--json", scores)  # fmt: skip
    assert code == 0 and "kd_pixels" in out and json.loads(scores.read_text())[0]["metric"] == "kd"
    code, out, _ = run(capsys, "train", "--resume", first)
    assert code == 0 and out.splitlines()[-1] == str(first)


def test_classify_end_to_end(capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path) -> None:
    common = ["--data", photos, "--image-size", 16, "--epochs", 1, "--batch", 8, "--out", tmp_path / "runs"]
    code, out, _ = run(capsys, "classify", "train", "cnn", "--backbone-arg", "widths=[4,8]", *common)
    first = Path(out.splitlines()[-1])
    assert code == 0 and out.startswith("accuracy ")
    code, out, _ = run(capsys, "classify", "transfer", first, "--strategy", "freeze", *common)
    second = Path(out.splitlines()[-1])
    assert code == 0
    code, out, _ = run(capsys, "classify", "evaluate", second, "--data", photos, "--image-size", 16)
    assert code == 0 and out.startswith("accuracy ")
    config = json.loads((second / "model" / "config.json").read_text())
    assert config["lineage"]["strategy"] == "freeze" and config["training"]["classes"] == ["cats", "dogs"]


def test_dry_run_builds_nothing_on_disk(
    capsys: pytest.CaptureFixture[str], photos: Path, model: Path, tmp_path: Path
) -> None:
    out_folder = tmp_path / "runs"
    code, out, _ = run(capsys, "transfer", model, "--data", photos, "--channels", 1, "--strategy", "freeze",
                       "--dry-run", "--out", out_folder)  # fmt: skip
    assert code == 0 and "frozen" in out and "trained" in out and "MiB" in out and not out_folder.exists()
    code, out, _ = run(capsys, "transfer", model, "--data", photos, "--channels", 1, "--strategy", "gradual",
                       "--dry-run")  # fmt: skip
    assert code == 0 and "trained later" in out and "frozen" not in out
    code, out, _ = run(capsys, "train", "dcgan", "--data", photos, "--image-size", 32, "--dry-run")
    assert code == 0 and "generator      dcgan, " in out and "new networks" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--generator-arg", "image_size=64"], "makes images (3, 64, 64)"),
        (["--metrics", "bogus"], "bogus"),
        (["--title", "a/b"], "title"),
        (["--image-size", "0"], "image_size must be at least 1, not 0"),
        (["--samples", "0"], "samples must be at least 2 and at most 10,000,000, not 0"),
        (["--batch", "7", "--accumulate", "2"], "can't be split into 2 equal rounds"),
        (["--r1", "1", "--engine-arg", "compile=true"], "second derivatives"),
    ],
)
def test_a_dry_run_refuses_what_a_run_refuses(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    base = ["train", "dcgan", "--data", photos, "--image-size", 32, "--out", tmp_path / "runs", *words]
    told = []
    for more in (["--dry-run"], []):
        code, _, err = run(capsys, *base, "--quiet", *more)
        assert code == 2 and said in err
        told.append(err)
    assert told[0] == told[1] and not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["sample", "dcgan-mnits", "--out", "x.png"], 2, "did you mean dcgan-mnist"),
        (["sample", "dcgan-mnist", "--seeds", "3-1", "--out", "x.png"], 2, "runs backwards; write 1-3"),
        (["sample", "dcgan-mnist", "--seeds", "a", "--out", "x.png"], 2, "'a' is not a valid seed"),
        (["sample", "dcgan-mnist", "--seeds", "0-999999999", "--out", "x.png"], 2, "at most 100,000 at once"),
        (
            ["sample", "dcgan-mnist", "--seeds", "0-60000,0-60000", "--out", "x.png"],
            2,
            "at most 100,000 at once",
        ),
        (["sample", "dcgan-mnist", "--seeds", "9" * 30, "--out", "x.png"], 2, "each below 2³²"),
        (
            ["sample", "dcgan-mnist", "--trunc", "nan", "--out", "x.png"],
            2,
            "truncation must be a finite number > 0",
        ),
        (
            ["train", "dcgan", "--data", "{photos}", "--image-size", "28", "--generator-arg", "width=0"],
            2,
            "at least 1",
        ),
        (["bench", "classifiers", "--trials", "0"], 2, "trials must be at least 1"),
        (
            ["sample", "dcgan-mnist", "--class", "3", "--out", "x.png"],
            2,
            "is unconditional, so it takes no labels",
        ),
        (["sample", "cnn-mnist", "--out", "x.png"], 2, "cnn-mnist is a classifier, not a GAN"),
        (["sample", "dcgan-mnist"], 2, "name a place for the images"),
        (["sample", "dcgan-mnist", "--out", "{tmp}/file/x.png"], 1, "can't write the picture"),
        (["sample", "dcgan-mnist", "--out", "{tmp}/x.qqq"], 1, "can't write the picture"),
        (["sample", "me/my-gan", "--out", "x.png"], 1, "HF_HUB_OFFLINE is set"),
        (["sample", "{tmp}", "--out", "x.png"], 2, "not a model or run folder"),
        (["train", "dcgan", "--data", "{tmp}/empty"], 1, "contains no images"),
        (["train", "dcgan", "--data", "nowhere"], 1, "unknown data set 'nowhere'"),
        (["train", "dcgan"], 2, "--data is missing"),
        (["train"], 2, "--data is missing"),
        (["train", "dcgan", "--data", "{photos}", "--image-size", "30"], 2, "7 or 4 times a power of two"),
        (["train", "dcgan", "--data", "{photos}", "--image-size", "28", "--loss", "wgan"], 2, "unknown loss"),
        (
            ["train", "dcgan", "--data", "{photos}", "--image-size", "28", "--generator-arg", "w"],
            2,
            "KEY=VALUE",
        ),
        (
            ["train", "dcgan", "--data", "{photos}", "--image-size", "28", "--out", "{tmp}/file"],
            1,
            "can't write",
        ),
        (["train", "dcgan", "--data", "mnist"], 1, "mnist is not in"),
        (["evaluate", "dcgan-mnist", "--data", "{photos}"], 1, "with 1 channel(s), but photos has 3"),
        (
            ["transfer", "dcgan-mnist", "--data", "{photos}", "--channels", "1", "--shots", "99"],
            1,
            "--shots 99",
        ),
        (
            ["transfer", "dcgan-mnist", "--data", "{photos}", "--channels", "1", "--strategy", "x"],
            2,
            "there are",
        ),
        (["evaluate", "cnn-mnist", "--data", "{photos}"], 2, "a backbone, not a GAN"),
        (
            ["evaluate", "dcgan-mnist", "--data", "{photos}", "--channels", "1", "--samples", "1"],
            2,
            "at least 2",
        ),
        (["classify", "train", "cnn", "--data", "{tmp}/flat"], 1, "has no labels"),
        (["classify", "transfer", "dcgan-mnist", "--data", "{photos}"], 1, "dcgan-mnist takes 1 channel"),
        (["classify", "evaluate", "dcgan-mnist", "--data", "{photos}"], 2, "a GAN, not a classifier"),
        (["list", "--kind", "things"], 2, "unknown --kind 'things'; there are: models, generators"),
        (["list", "zzz*"], 2, "no name matches"),
        (["info", "zzz"], 2, "unknown name 'zzz'"),
        (["dance"], 2, "dance"),
        (["train", "dcgan", "--steps", "many"], 2, "--steps must be a whole number, not 'many'"),
        (["train", "dcgan", "--stpes", "3"], 2, "unknown option '--stpes'; did you mean --steps"),
        (["evaluate"], 2, "NAME is missing (gantl-zoo evaluate --help"),
        (["transfr"], 2, "unknown verb 'transfr'; did you mean transfer"),
        (["classify", "trian"], 2, "unknown classify verb 'trian'; did you mean train"),
        (["info", "freeze-D"], 2, "unknown name 'freeze-D'; did you mean freeze-d or"),
        (["info", "dcgan-mnits"], 2, "did you mean dcgan-mnist"),
        (["info", "resnte"], 2, "did you mean resnet"),
        (
            ["train", "dcgan", "--data", "{photos}", "--generator-config", "{{width"],
            2,
            "is not a valid JSON object",
        ),
        (["evaluate", "dcgan-mnist", "--data", "{photos}", "--device", "cuda:99"], 2, "can't be used here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "flat" / "a.png")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("gantl_zoo.data.builtin.torchvision_set", offline)
    result, _, err = run(capsys, *(word.format(tmp=tmp_path, photos=photos) for word in words))
    assert result == code, err
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]
    assert not (tmp_path / "runs").exists() and not (tmp_path / "x.png").exists()


def offline(name: str, split: str, root: Path) -> None:
    raise gz.DataError(f"{name} is not in {root} and can't be downloaded")


def test_a_traceback_only_with_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(gz.UnknownNameError):
        main(["--debug", "info", "zzz"])
    with pytest.raises(gz.UnknownNameError):
        main(["info", "zzz", "--debug"])


def test_list_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom gantl_zoo.cli.app import main\n"
        "try: main(['list'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'torchvision', 'timm', 'matplotlib', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_default_of_the_command_line_is_that_of_python() -> None:
    data, measuring = defaults(DataSpec, data_root="root"), defaults(Measuring) | {"metrics": "auto"}
    ours = defaults(Recipe) | data | defaults(Job) | measuring | {"preset": None}  # a run keeps "" of it
    evaluating = data | measuring | {"samples": inspect.signature(gz.evaluate).parameters["samples"].default}
    classifier = defaults(ClassifierRecipe) | data | defaults(ClassifierJob)
    for verb, usual in (
        (train.train, ours | OF_VERBS["train"]),
        (train.transfer, ours | OF_VERBS["transfer"] | {"strategy": AUTO}),
        (classify.train, classifier),
        (classify.transfer, classifier | CHOSEN | {"strategy": AUTO}),
        (classify.evaluate, data),
        (evaluate.evaluate, evaluating),
    ):
        options = {p.name: p.default for p in inspect.signature(verb).parameters.values()}
        shared = {name: value for name, value in options.items() if name in usual}
        assert shared == {name: usual[name] for name in shared} and len(shared) >= 3
    fields = {f.name for f in dataclasses.fields(Recipe)}
    assert fields <= inspect.signature(train.train).parameters.keys()
    fields = {f.name for f in dataclasses.fields(ClassifierRecipe)}
    assert fields <= inspect.signature(classify.train).parameters.keys()


def defaults(kind: Any, **renamed: str) -> dict[str, Any]:
    """What the fields of a dataclass are if nobody sets them, by the names of the options."""
    found = {f.name: f.default for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
    return found | {name: found[field] for name, field in renamed.items()}


def test_a_bundled_model_needs_no_client_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # an import of it fails
    for words in (["info", "dcgan-mnist"], ["sample", "dcgan-mnist", "--out", str(tmp_path / "x.png")]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert not stop.value.code


def test_seeds_are_numbers_and_ranges() -> None:
    assert seeds("0-3,7, 9-9") == [0, 1, 2, 3, 7, 9]
    for wrong in ("", "1-", "-1", "1,,2", "2-1"):
        with pytest.raises(gz.UsageError):
            seeds(wrong)


def test_every_setting_of_a_recipe_is_an_option_with_its_default() -> None:
    """Else a card's command could not be typed."""
    from gantl_zoo.cli.shared import ADVERSARIAL, RUN
    from gantl_zoo.training.recipe import Recipe

    recipe, options = Recipe(), ADVERSARIAL | RUN
    for name in Recipe.__dataclass_fields__:
        if not isinstance(getattr(recipe, name), dict):  # typed as KEY=VALUE words
            assert options[name][1] == getattr(recipe, name), name


@pytest.mark.parametrize("value", ["batch", "3", "None", "", "two words", 3, 0.5, True, None, [1], {"a": 1}])
def test_a_builders_argument_is_read_back_as_it_was_written(value: object) -> None:
    assert from_words([to_word("key", value)], "--arg") == {"key": value}


def test_errors_are_told_whatever_a_launcher_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    assert explain(gz.UsageError("wrong")) == 2 and capsys.readouterr().err == "error: wrong\n"
    monkeypatch.setenv("RANK", "1")
    assert explain(gz.UsageError("wrong")) == 2 and "error in process 1: wrong" in capsys.readouterr().err
    assert explain(typer.Abort()) == 130 and "interrupted" in capsys.readouterr().err
