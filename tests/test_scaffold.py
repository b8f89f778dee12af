"""`plugin new`: the package is complete, passes its own tests when installed, and overwrites nothing."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import run

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.registry import plugins
from gantl_zoo.scaffold import versions
from gantl_zoo.scaffold.kinds import KINDS
from gantl_zoo.scaffold.package import LICENCES, new_package

ALL = [f"--{kind}" for kind in KINDS]


def python(*words: str, site: Path | None = None, at: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder `at`, with the packages in `site` before all others."""
    path = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{path}" if site else path}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *words], cwd=at, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of all kinds."""
    place = tmp_path_factory.mktemp("scaffold")
    done = python("-m", "gantl_zoo", "plugin", "new", "gantl-zoo-discs", *ALL, "--license", "mit", at=place)
    assert done.returncode == 0 and done.stdout == "gantl-zoo-discs\n", done.stderr
    return place / "gantl-zoo-discs"


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pip has installed the package, without network."""
    place = tmp_path_factory.mktemp("site")
    words = ["-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-deps", "--quiet"]
    done = python(*words, "--target", str(place), str(package), at=package)
    assert done.returncode == 0, done.stderr
    return place


def test_the_package_is_complete_and_well_formed(package: Path) -> None:
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    own = {f"gantl_zoo_discs/{kind}.py" for kind in KINDS if kind != "model"}
    wanted = {"pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/tests.yml"}
    wanted |= {"tests/test_conformance.py", "gantl_zoo_discs/__init__.py"} | own
    wanted |= {"gantl_zoo_discs/released/discs/config.json"}
    assert wanted <= files
    for path in package.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    for name in files:
        path = package / name
        if path.suffix != ".safetensors" and "released" not in name:
            left = re.findall(r"\$\w+", path.read_text())
            assert not left, (name, left)
    assert "${{ matrix.python }}" in (package / ".github/workflows/tests.yml").read_text()
    assert "MIT License" in (package / "LICENSE").read_text()
    assert versions.version_in(package) == versions.SCAFFOLD
    for words in (["check"], ["format", "--check"]):
        done = python("-m", "ruff", *words, "--isolated", "--no-cache", ".", at=package)
        assert done.returncode == 0, done.stdout


def test_the_package_passes_its_own_tests(package: Path, site: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", "."]
    done = python(*words, site=site, at=package)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d+ passed", done.stdout)


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The package is importable, and the current folder is an empty one."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    plugins.rescan()
    yield
    monkeypatch.undo()
    plugins.rescan()


@pytest.mark.usefixtures("installed")
def test_its_names_are_used_like_built_in_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = "train discs --discriminator discs --data discs --image-size 32 --loss discs --steps 2 --batch 4"
    words += (
        " --metrics discs --extractor pixels --samples 50 --precision fp32 --generator-arg width=4 --quiet"
    )
    code, out, err = run(capsys, *words.split())
    assert code == 0, err
    made = out.strip().splitlines()[-1]
    config = json.loads((tmp_path / made / "model" / "config.json").read_text())
    assert config["requires"] == {"gantl-zoo-discs": "0.1.0"} and "discs_pixels" in str(config["metrics"])
    words = f"transfer {made} --data discs --strategy discs --steps 1 --batch 4 --metrics none --quiet"
    assert run(capsys, *words.split())[0] == 0
    assert run(capsys, "sample", "discs", "--out", "grid.png")[0] == 0 and (tmp_path / "grid.png").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_may_have_one_kind(kind: str, tmp_path: Path) -> None:
    folder = new_package("gantl-zoo-single", [kind], tmp_path / "one", licence="apache-2.0", author="Ada")
    text = (folder / "pyproject.toml").read_text()
    assert text.count("[project.entry-points") == 1 and 'license = "Apache-2.0"' in text
    assert "Ada" in (folder / "LICENSE").read_text()
    modules = {path.stem for path in (folder / "gantl_zoo_single").glob("*.py")} - {"__init__"}
    assert modules == ({kind} if kind != "model" else set())
    assert ("package-data" in text) == (kind == "model")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Gantl-Zoo", "use lower-case letters, digits and single '-'"),
        ("my_gans", "use lower-case letters"),
        ("my--gans", "use lower-case letters"),
        ("-gans", "use lower-case letters"),
        ("9gans", "use lower-case letters"),
        ("gans-", "use lower-case letters"),
        ("../gans", "use lower-case letters"),
        ("gans\n", "use lower-case letters"),
        ("", "use lower-case letters"),
        ("class", "Python has a module or a keyword 'class'"),
        ("json", "Python has a module or a keyword 'json'"),
        ("numpy", "is installed already"),
        ("gantl-zoo-example", "gantl-zoo-example 0.1.0 is installed already"),
        ("gantl-zoo-dcgan", "generator 'dcgan' is taken by gantl_zoo"),
        ("gantl-zoo-resize-conv", "generator 'resize-conv' is taken by gantl-zoo-example"),
    ],
)
def test_names_that_cant_be_used_are_refused(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match=re.escape(text)):
        new_package(name, ["generator"], tmp_path / "new", licence="mit")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for place in ("full", "file", "file/below"):
        with pytest.raises(gz.UsageError, match=r"exists already|can't write"):
            new_package("my-gans", ["loss"], tmp_path / place, licence="mit")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (new_package("my-gans", ["loss"], tmp_path / "empty", licence="mit") / "LICENSE").is_file()
    with pytest.raises(gz.UsageError, match="exists already; choose another folder with --to"):
        new_package("my-gans", ["loss"], tmp_path / "empty", licence="mit")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["my-gans", "--license", "mit"], "choose what the package brings: --generator, --discriminator"),
        (["my-gans", "--loss"], "--license is missing; there are: mit, bsd-3-clause"),
        (["my-gans", "--loss", "--license", "mti"], "unknown licence 'mti'; did you mean mit"),
        (["My-Gans", "--loss", "--license", "mit"], "use lower-case letters"),
        (["my-gans", "--losses"], "did you mean --loss"),
    ],
)
def test_wrong_words_are_explained(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = run(capsys, "plugin", "new", *words)
    assert code == 2 and not out and text in err and not list(tmp_path.iterdir())


def test_all_licences_are_in_small_letters() -> None:
    assert all(one == one.lower() for one in LICENCES)


@pytest.fixture
def editable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the scaffold that is installed in editable mode."""
    folder = new_package("my-metric", ["metric"], tmp_path / "my metric", licence="mit")
    info = tmp_path / "my_metric-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-metric\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[gantl_zoo.metrics]\nmy-metric = my_metric.metric:Metric\n")
    direct = {"dir_info": {"editable": True}, "url": folder.as_uri()}
    (info / "direct_url.json").write_text(json.dumps(direct))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(folder))
    plugins.rescan()
    yield folder
    monkeypatch.undo()
    plugins.rescan()


def test_a_newer_scaffold_says_what_it_adds(
    editable: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "scaffold" not in run(capsys, "plugins", "my-metric", "--check")[1]
    monkeypatch.setattr(versions, "SCAFFOLD", 2)
    monkeypatch.setattr(versions, "ADDED", {1: "the first", 2: "a file CITATION.cff"})
    code, out, _ = run(capsys, "plugins", "my-metric", "--check")
    assert code == 0 and "version 1 of the scaffold; version 2 adds:\n  a file CITATION.cff\n" in out
    assert "the first" not in out
    (editable / "pyproject.toml").write_text("[project]\nname = 'my-metric'\n")
    assert (
        versions.newer("my-metric")
        == []
        == versions.newer("gantl-zoo-example")
        == versions.newer("not-there")
    )


FAILING = """
import gantl_zoo as gz

GANTL_ZOO_EXPECTED_FAILURES = {{"odd-values": "it is for another extractor", "odd-other": "unknown here"}}

class Odd(gz.Metric):
    def measure(self, fake, real, train):
        return {{"odd": {value}}}
"""


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [("float('nan')", "xfailed", 0), ("0.0", "xpassed", 1), ("1 / 0", "xfailed", 0)],
)
def test_expected_failures_are_declared_in_the_package(
    install: object, capsys: pytest.CaptureFixture[str], value: str, status: str, code: int
) -> None:
    install("odd", FAILING.format(value=value), metrics={"odd": "odd:Odd"})  # type: ignore[operator]
    found, out, err = run(capsys, "plugins", "odd", "--check", "--json")
    assert "GANTL_ZOO_EXPECTED_FAILURES of odd: unknown check 'odd-other'" in err
    rows = {row["check"]: row["status"] for row in json.loads(out)}
    assert found == code and rows["values"] == status
    printed = run(capsys, "plugins", "odd", "--check")[1]
    assert ("which was expected to fail" in " ".join(printed.split())) == (code == 1)


def test_a_failure_is_printed_with_its_reason(install: object, capsys: pytest.CaptureFixture[str]) -> None:
    install("flat", "class Flat:\n    pass\n", losses={"flat": "flat:Flat"})  # type: ignore[operator]
    code, out, err = run(capsys, "plugins", "flat", "--check")
    assert code == 1 and not err and "loss flat, from flat 0.3" in out
    assert re.search(r"methods +failed", out) and re.search(
        r"scalar +skipped .*it needs the check methods", out
    )
    assert "plug-in flat 0.3: loss 'flat' fails the check methods" in " ".join(out.split())
    assert out.endswith("8 checks, 1 failure\n")


def test_a_single_name_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plugins", "hinge", "--check")
    assert code == 0 and "loss hinge, from gantl_zoo" in out and "8 checks, 0 failures" in out
    code, _, err = run(capsys, "plugins", "hinje", "--check")
    assert code == 2 and "unknown plug-in or name 'hinje'; did you mean hinge" in err
    code, _, err = run(capsys, "plugins", "hinge")
    assert code == 2 and "unknown plug-in 'hinge'" in err


def test_every_kind_of_the_scaffold_is_a_registry() -> None:
    assert {kind.registry for kind in KINDS.values()} <= set(registry.REGISTRIES)
