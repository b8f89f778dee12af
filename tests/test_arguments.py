"""The help of names: every built-in name is described in a sentence, and every argument has its help."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys

import pytest
from test_docs import parse

from gantl_zoo.cli.app import main
from gantl_zoo.cli.info_builder import facts, prose, shell_lines
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import Entry
from gantl_zoo.registry.summary import first, source, summary

BUILT = ("generators", "discriminators", "backbones", "strategies")
OWNERS = ("gantl_zoo", "gantl-zoo-example", "gantl-zoo-fewshot")
NAMES = [
    (kind, name)
    for kind in (*BUILT, "datasets")
    for name in REGISTRIES[kind].names()
    if REGISTRIES[kind].lookup(name)[0].owner in OWNERS
]
EXAMPLES = [*NAMES, *(("presets", name) for name in REGISTRIES["presets"].names())]
LONGEST = 90  # characters of a first sentence


@pytest.mark.parametrize(("kind", "name"), [*NAMES, ("backbones", "timm:resnet18")])
def test_every_argument_has_its_help(kind: str, name: str) -> None:
    found = facts(kind, name)["arguments"]
    builder = REGISTRIES[kind].load(name)
    if kind != "datasets":
        taken = [p for p in inspect.signature(builder).parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert set(found) == {p.name for p in taken} - {"name"}
    for key, one in found.items():
        text = one["help"]
        assert 10 < len(text) < 300 and text.endswith(".") and "`" not in text, f"{key}: {text}"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_the_first_sentence_fits_a_list(capsys: pytest.CaptureFixture[str], kind: str, name: str) -> None:
    sentence = summary(REGISTRIES[kind].entry(name))
    assert 10 < len(sentence) <= LONGEST and sentence.endswith(".") and "`" not in sentence, sentence
    assert sentence == first(inspect.getdoc(REGISTRIES[kind].load(name)) or "")
    with pytest.raises(SystemExit):
        main(["list", "--kind", kind, name])
    assert sentence in capsys.readouterr().out


def test_a_plug_in_is_described_without_importing_it() -> None:
    code = (
        "import sys\nfrom gantl_zoo.registry.builtins import REGISTRIES\n"
        "from gantl_zoo.registry.summary import summary\n"
        "assert summary(REGISTRIES['strategies'].entry('lora')).startswith('LoRA: ')\n"
        "assert not {'torch', 'gantl_zoo_fewshot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_source_that_cannot_be_read_has_no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("not_there_at_all", "not_there_at_all.x", "gantl_zoo.not_there", "sys", "", "a..b"):
        assert source(module) == ""
    monkeypatch.setitem(sys.modules, "half_imported", type(sys)("half_imported"))  # without a spec
    assert source("half_imported") == ""
    assert summary(Entry("strategies", "x", "gantl_zoo.errors:not_there")) == ""
    assert "def find_spec" in source("importlib.util")


def test_the_text_before_the_arguments_is_the_documentation() -> None:
    assert prose("One\nline.\n\nTwo.\n\n`a`: an argument.\n\nThree.") == "One line.\n\nTwo."
    assert prose("") == "" and prose("Only this.") == "Only this."


@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
def test_examples_can_be_called(kind: str, name: str) -> None:
    (example,) = facts(kind, name)["examples"]
    lines = shell_lines(example)
    assert all(len(line) <= 78 for line in lines)
    assert not any(line.split()[-2].startswith("--") for line in lines[:-1]), "an option and its value"
    words = shlex.split("\n".join(lines).replace("\\\n", " "))
    assert words == shlex.split(example)
    assert name in words or (kind, name) == ("backbones", "discriminator")
    parse(example)  # raises for a verb or an option that does not exist
