"""What the command line shows and accepts: help, tables, JSON, completion, options of dataclasses."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from helpers import run

import gantl_zoo as gz
from gantl_zoo.cli import app, env, shared
from gantl_zoo.cli.command import with_value
from gantl_zoo.cli.options import arguments, sentence, spellings
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.field_help import field_help
from gantl_zoo.registry.summary import first, summary
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training import processor
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.recipe import Recipe

SETTINGS = [Recipe, ClassifierRecipe, DataSpec, Measuring]
KINDS = list(REGISTRIES)


@dataclass
class Example:
    """Settings.

    `one`: the first,
    which goes on with `one`.
    `two`, `three`: two more.

    Something else.
    """

    one: int = 1
    two: int = 2
    three: int = 3


def test_the_help_of_a_field_is_its_paragraph() -> None:
    found = field_help(Example)
    assert found == {"one": "the first, which goes on with one.", "two": "two more.", "three": "two more."}
    assert field_help(int) == {}


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_field_is_documented(kind: type) -> None:
    texts = field_help(kind)
    assert set(texts) == {field.name for field in fields(kind)}  # type: ignore[arg-type]
    assert all(len(text) > 10 and text.endswith(".") for text in texts.values())


def test_names_of_losses_and_augmentations_are_in_the_help() -> None:
    texts = field_help(Recipe)
    kinds = {"loss": "losses", "aug": "augmentations"}
    for field, kind in kinds.items():
        built_in = [
            name for name in REGISTRIES[kind].names() if REGISTRIES[kind].info(name).owner == "gantl_zoo"
        ]
        assert built_in and all(name in texts[field] for name in built_in)


@pytest.mark.parametrize(
    ("kind", "group", "hidden"),
    [
        (Recipe, shared.ADVERSARIAL | shared.RUN, set()),
        (ClassifierRecipe, shared.CLASSIFIER, set()),
        (DataSpec, shared.DATA | shared.SIZE, set(shared.KEPT)),
        (Measuring, shared.RUN, set()),
    ],
)
def test_each_field_is_an_option_with_its_help(kind: type, group: dict[str, Any], hidden: set[str]) -> None:
    texts = field_help(kind)
    for field in fields(kind):  # type: ignore[arg-type]
        name = shared.SPOKEN.get(field.name, field.name)
        if field.name in hidden:
            assert name not in group
        else:
            info = get_args(group[name][0])[1]
            assert info.help == sentence(texts[field.name])
            assert str(info.default).startswith("--"), "typer keeps the first name there"


def test_plain_help_shows_the_ten_most_used_options(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("train", "transfer", "classify train", "classify transfer"):
        _, out, _ = run(capsys, *verb.split(), "--help")
        shown = [line for line in out.splitlines() if line.startswith("  --")]
        assert len(shown) == 12 and shown[-1].split()[0] == "--help-all" and "beta1" not in out
        _, every, _ = run(capsys, *verb.split(), "--help-all")
        assert "Training:" in every and "Data:" in every
        assert all(line.split()[0] in every for line in shown[:-1])
    assert "<" not in every


def test_long_options_have_the_keywords_of_python(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dry(verb: str, name: str, settings: dict[str, Any]) -> str:
        return str((settings["generator_config"], settings["engine_config"]))

    monkeypatch.setattr("gantl_zoo.cli.train.dry", dry)
    for words in (
        ["--generator-arg", "width=4", "--engine-arg", "threads=1"],
        ["--generator-config", '{"width": 4}', "--engine-config", '{"threads": 1}'],
        ["--generator-config", "width=4", "--engine-config=threads=1"],
    ):
        code, out, _ = run(capsys, "train", "dcgan", "--data", "mnist", "--dry-run", *words)
        assert code == 0 and out == "({'width': 4}, {'threads': 1})\n"
    assert arguments(["a=1", '{"b": "x"}'], "--x") == {"a": 1, "b": "x"} and arguments(None, "--x") == {}


def test_every_keyword_of_train_is_an_option() -> None:
    from gantl_zoo.cli.train import train, transfer
    from gantl_zoo.runs.settings import TrainSettings, TransferSettings

    for verb, settings in ((train, TrainSettings), (transfer, TransferSettings)):
        assert set(settings.__annotations__) <= set(inspect.signature(verb).parameters)


def test_help_all_is_offered_where_it_shows_more(capsys: pytest.CaptureFixture[str]) -> None:
    for verb, more in (("train", True), ("data", False), ("push", False)):
        assert ("--help-all" in run(capsys, verb, "--help")[1]) is more


def test_addresses_of_papers_are_not_listed() -> None:
    assert first("A set (https://a.org/x). More.") == "A set."
    assert (
        first("A net (Li 2020, https://a.org/x, § 4) of\n`width`.\n\nMore.")
        == "A net (Li 2020, § 4) of `width`."
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"gantl-zoo {gz.__version__}\n", "")


def test_the_module_needs_no_torch_for_help() -> None:
    code = (
        "import sys\nfrom gantl_zoo.cli.app import main\n"
        "try: main(['transfer', '--help-all'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'timm', 'matplotlib', 'huggingface_hub', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_list_imports_the_module_of_its_verb_only() -> None:
    code = (
        "import sys\nfrom gantl_zoo.cli.app import main\n"
        "try: main(['list', '--kind', 'strategies'])\nexcept SystemExit: pass\n"
        "wrong = {'gantl_zoo.cli.train', 'gantl_zoo.cli.bench', 'pydantic', 'rich', 'gantl_zoo_fewshot'}\n"
        "assert not wrong & set(sys.modules), wrong & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_each_kind(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    code, out, _ = run(capsys, "list", "--kind", kind)
    lines = out.splitlines()
    assert code == 0 and lines[0] == kind.capitalize()
    assert [line.split()[0] for line in lines[1:]] == REGISTRIES[kind].names()
    _, out, _ = run(capsys, "list", "--kind", kind, "--json")
    assert [row["name"] for row in json.loads(out)] == REGISTRIES[kind].names()


def test_list_shows_shapes_and_sizes_of_models(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "list", "--kind", "models")
    (line,) = [line for line in out.splitlines() if line.split()[0] == "dcgan-mnist"]
    assert line.split()[1:4] == ["1×28×28", "3.6", "MB"] and line.endswith(", trained on mnist")
    (line,) = [line for line in out.splitlines() if "resize-digits" in line]
    assert line.split()[1:] == ["(gantl-zoo-example", "0.1.0)"], "a plug-in is not imported"


def test_built_in_names_are_described_without_importing_them() -> None:
    for kind in ("generators", "discriminators", "backbones", "strategies"):
        for name in REGISTRIES[kind].names():
            (entry,) = REGISTRIES[kind].lookup(name)
            if entry.owner == "gantl_zoo":
                text = " ".join((inspect.getdoc(entry.load()) or "").split())
                assert summary(entry) and text.startswith(summary(entry).split(" (")[0]), name


def test_info_of_a_model_is_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", "dcgan-fashion-mnist")
    words = " ".join(out.split())
    assert code == 0 and all(len(line) <= 80 for line in out.splitlines())
    assert "dcgan-mnist (mnist, 60,000 images) → dcgan-fashion-mnist (strategy full;" in words
    assert "4,000 steps, 128 images per step, non-saturating loss, learning rate 0.0008" in words
    assert "value real images" in words and "latent 100" in words and "licence mit" in words
    assert "{" not in out and "|" not in out, "neither JSON nor Markdown"
    (gan,) = [gz.load_model("dcgan-fashion-mnist")]
    count = sum(p.numel() for p in gan.generator.parameters())
    assert f"{count:,} parameters" in words


def test_info_shows_arguments_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "info", "freeze-d")
    assert "freeze-d: strategy" in out and "first=None" in out
    assert "gantl-zoo transfer dcgan-mnist --data glyphs --strategy freeze-d" in out
    _, out, _ = run(capsys, "info", "dcgan")
    assert "dcgan: generator" in out and "dcgan: discriminator" in out and "width=64" in out


def test_info_shows_values_of_any_type(
    gan: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = gan.save(tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    config["training"] = {"steps": "{0.x}", "lr": ["a"], "batch": 3.5, "command": "x 'y"}
    config["lineage"] = {"data": {"name": None, "images": {}, "shape": ["a", 1, 2]}, "base_model": 3}
    config["metrics"] = [{"name": "fd", "value": 1, "floor": None, "on": ["x"]}]
    (folder / "config.json").write_text(json.dumps(config))
    code, out, err = run(capsys, "info", folder)
    assert code == 0, err
    shown = " ".join(out.split())
    assert "{0.x} steps" in shown and "learning rate ['a']" in shown and "3 → " in shown


@pytest.mark.parametrize("words", [["--json"], ["--json", "-"]])
@pytest.mark.parametrize("verb", ["info dcgan-mnist", "info freeze-d", "list", "plugins", "env"])
def test_json_on_standard_output(capsys: pytest.CaptureFixture[str], verb: str, words: list[str]) -> None:
    code, out, _ = run(capsys, *verb.split(), *words)
    assert code == 0 and json.loads(out)


def test_json_in_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "list", "--json", tmp_path / "names.json", "dc*")
    rows = json.loads((tmp_path / "names.json").read_text())
    assert code == 0 and out == "" and {row["name"] for row in rows} >= {"dcgan", "dcgan-mnist"}
    code, _, err = run(capsys, "list", "--json", tmp_path / "missing" / "names.json")
    assert code == 1 and err.startswith("error: can't write ")


@pytest.mark.parametrize(
    ("words", "any_word", "expected"),
    [
        (["--json"], True, ["--json", "-"]),
        (["--json", "--quiet"], True, ["--json", "-", "--quiet"]),
        (["--json", "-", "x"], True, ["--json", "-", "x"]),
        (["--json", "scores"], True, ["--json", "scores"]),
        (["--json", "dc*"], False, ["--json", "-", "dc*"]),
        (["--json", "a.json"], False, ["--json", "a.json"]),
        (["--json=x", "y"], False, ["--json=x", "y"]),
        (["--", "--json"], False, ["--", "--json"]),
    ],
)
def test_the_file_of_json_may_be_left_out(words: list[str], any_word: bool, expected: list[str]) -> None:
    assert with_value(words, any_word) == expected


TINY = ["--steps", 2, "--batch", 4, "--metrics", "kd", "--extractor", "pixels", "--samples", 16, "--quiet"]


def test_json_of_runs_and_scores(
    capsys: pytest.CaptureFixture[str], photos: Path, model: Path, tmp_path: Path
) -> None:
    base = ["transfer", model, "--data", photos, "--channels", 1, "--out", tmp_path / "runs", *TINY]
    code, out, _ = run(capsys, *base, "--json", "-")
    found = json.loads(out)
    assert code == 0 and Path(found["model"], "config.json").is_file() and found["seconds"] > 0
    assert found["metrics"][0]["metric"] == "kd" and found["kept_step"] in range(3)
    code, out, _ = run(capsys, "resume", found["run"], "--quiet", "--json", tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert code == 0 and out.splitlines()[-1] == found["run"] == again["run"]
    scoring = ["evaluate", model, "--data", photos, "--channels", 1, "--samples", 16, "--metrics", "kd"]
    code, out, err = run(capsys, *scoring, "--extractor", "pixels", "--device", "cpu", "--json")
    assert code == 0 and json.loads(out)[0]["metric"] == "kd" and "kd_pixels" in err
    code, out, err = run(capsys, *scoring, "--extractor", "pixels", "--quiet", "--json", "-")
    assert code == 0 and json.loads(out) and err == ""


def test_json_of_classifiers(capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path) -> None:
    common = ["--data", photos, "--image-size", 16]
    small = ["--backbone-arg", "widths=[4,8]", "--epochs", 1, "--batch", 8, "--out", tmp_path, "--quiet"]
    code, out, _ = run(capsys, "classify", "train", "cnn", *common, *small, "--json")
    found = json.loads(out)
    assert code == 0 and found["metrics"][0]["metric"] == "accuracy" and found["kept_step"] == 4
    code, out, _ = run(capsys, "classify", "evaluate", found["run"], *common, "--json", "-")
    assert code == 0 and json.loads(out)[0]["metric"] == "accuracy"


def test_env_holds_what_a_bug_report_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_SOMETHING_TOKEN", "also_secret")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:passphrase@hub.example")
    monkeypatch.setenv("GANTL_ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x").write_bytes(bytes(2_500_000))
    code, out, _ = run(capsys, "env")
    assert code == 0 and all(len(line) <= 80 or str(tmp_path) in line for line in out.splitlines())
    assert not any(secret in out for secret in ("hf_secret", "also_secret", "passphrase"))
    assert "hub.example" in out and "2.5 MB" in out
    _, out, _ = run(capsys, "env", "--json")
    found = json.loads(out)
    assert found["versions"]["gantl_zoo"] == gz.__version__ and "torch" in found["versions"]
    assert found["variables"]["HF_TOKEN"] == "set" and found["devices"]["chosen"]
    assert set(found["plug-ins"]) >= {"gantl-zoo-example"}


def test_processor_features_are_read_from_linux() -> None:
    text = "model name\t: A Processor\nflags\t\t: fpu avx2 amx_bf16\n\nmodel name\t: Another\n"
    assert processor.processor_name(text) == "A Processor" and {"avx2", "amx_bf16"} <= env.features(text)
    assert processor.processor_name("") and isinstance(env.features(""), set)


def complete(*words: str) -> list[str]:
    """The completions that bash gets for these words, of which the last is incomplete."""
    environment = os.environ | {"COMP_WORDS": " ".join(("gantl-zoo", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-m", "gantl_zoo"],
        env=environment | {app.COMPLETE: "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_shells_complete_verbs_options_and_names() -> None:
    assert complete("tr") == ["train", "transfer"]
    assert complete("info", "dcgan-m") == ["dcgan-mnist", "dcgan-mnist-conditional"]
    assert complete("transfer", "dcgan-mnist", "--strategy", "free") == ["freeze", "freeze-d", "freeze-g"]
    assert "--steps" in complete("train", "--st") and complete("list", "--kind", "strat") == ["strategies"]


def test_the_script_for_a_shell_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    completion = app.completions()
    monkeypatch.setattr(completion, "_get_shell_name", lambda: "bash")
    code, out, _ = run(capsys, "--show-completion")
    assert code == 0 and app.COMPLETE in out and "complete" in out


def test_a_type_that_we_do_not_convert_is_left_to_typer() -> None:
    from gantl_zoo.cli.values import Converter, simplify

    class Other:
        type_descriptor = type("Descriptor", (), {"annotation": tuple[int, str]})
        _runtime_param = None

    (left,) = simplify([Other()])
    assert left._runtime_param is None
    assert Converter(list[int]).coerce(["1", "2"], None, None) == [1, 2]
    with pytest.raises(typer.BadParameter, match="--steps must be a number, not 'x'"):
        Converter(float).coerce("x", type("P", (), {"opts": ["--steps"]}), None)


def test_features_are_computed_on_the_device_of_the_extractor(tmp_path: Path) -> None:
    """The device "meta" computes shapes alone; cached features of one device are not another's."""
    import torch

    from gantl_zoo.metrics.extractors import Channelwise, ClassifierFeatures

    network = gz.backbones.build("cnn", channels=1, num_classes=3, widths=[4, 8])
    extractor = ClassifierFeatures("small", network)
    stacked = Channelwise(extractor, 2)
    assert extractor.forward(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))[0].device.type == "cpu"
    stacked.to(torch.device("meta"))
    features, logits = stacked.forward(torch.zeros(2, 2, 8, 8, dtype=torch.uint8))
    assert stacked.device == extractor.device == features.device == torch.device("meta")
    assert features.shape == (2, 16) and logits is not None and logits.shape == (2, 9)


def test_a_copy_is_moved_to_be_measured(gan: gz.GAN, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[gz.GAN, str]] = []
    monkeypatch.setattr(gz.GAN, "to", lambda self, device: moved.append((self, str(device))) or self)
    settings: Any = {"data": photos, "channels": 1, "samples": 8, "metrics": "kd", "extractor": "pixels"}
    gz.evaluate(gan, **settings)
    assert not moved
    gz.evaluate(gan, device="cpu", **settings)
    ((copied, place),) = moved
    assert place == "cpu" and copied is not gan and copied.generator is not gan.generator


def test_no_option_has_the_same_spelling_twice() -> None:
    for annotation in ("dict[str, float]", "dict[str, Any]", "bool", "int"):
        for name in ("final", "engine_config"):
            words = spellings(name, annotation)
            assert len(set(words)) == len(words), words
    assert spellings("engine_config", "dict[str, Any]") == ["--engine-arg", "--engine-config"]
