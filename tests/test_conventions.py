"""What is agreed is tested, not remembered: rooms, exports, sizes, text files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gantl_zoo as gz

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gantl_zoo"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Each room and the rooms below it that it may import; what those may import, it may, too.
MAY_IMPORT = {
    "errors": set(),
    "console": set(),
    "version": set(),
    "seeding": set(),
    "pixels": set(),
    "released": set(),
    "registry": {"errors", "console", "version"},
    "storage": {"errors", "console"},
    "data": {"storage", "registry", "pixels"},
    "networks": {"registry", "storage", "seeding"},
    "metrics": {"data", "networks"},
    "viz": {"storage", "pixels"},
    "model": {"networks", "viz"},
    "surgery": {"model"},
    "strategy": {"model", "data"},
    "hub": {"model"},
    "convert": {"model"},
    "latent": {"model", "metrics"},
    "export": {"model"},
    "serve": {"export"},
    "zoo": {"hub"},
    "training": {"strategy", "surgery", "data"},
    "runs": {"training", "metrics", "zoo"},
    "testing": {"training", "metrics", "zoo"},
    "scaffold": {"model"},
    "bench": {"runs", "latent"},
    "studio": {"runs", "latent"},
    "__init__": {"runs", "zoo", "convert", "latent", "testing", "export"},
    "cli": {"bench", "convert", "testing", "scaffold", "studio", "serve"},
    "__main__": {"cli"},
}
FLOORS = 9


def allowed(room: str) -> set[str]:
    rooms = {room}
    for other in MAY_IMPORT[room]:
        rooms |= allowed(other)
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gantl_zoo":
            parts = (node.module or "").split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("gantl_zoo.")}
    return rooms


def imported_files(path: Path, files: dict[str, Path]) -> set[str]:
    """The files that `path` imports from, also within functions, but not for type checkers alone."""
    tree = ast.parse(path.read_text())
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            imported |= {name for name in names if name in files}
    return imported


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{path} is in no known room"
    wrong = imported_rooms(path) - allowed(room)
    assert not wrong, f"{path} imports {wrong}"


def floor_of(room: str) -> int:
    """A room stands above all that it may import; the ground floor is 1. A circle is a `RecursionError`."""
    return 1 + max(map(floor_of, MAY_IMPORT[room]), default=0)


def test_the_house_has_nine_floors_and_no_circle() -> None:
    assert (
        max(floor_of(room) for room in MAY_IMPORT if room != "__main__") <= FLOORS
    )  # a door to the command line
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert {room_of(PACKAGE / name) for name in entries} == {*MAY_IMPORT, "py.typed"}


def test_no_two_files_import_each_other() -> None:
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    imports = {
        name: imported_files(path, files) for name, path in files.items() if path.name != "__init__.py"
    }
    left = dict(imports)
    while done := [name for name, needs in left.items() if not needs & set(left)]:
        for name in done:
            del left[name]
    assert not left, f"in a circle: {sorted(left)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.end_lineno - node.body[0].lineno + 1  # type: ignore[operator]
            assert body <= 40, f"{node.name} has {body} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_text_is_utf8_on_every_system(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        called = node.func if isinstance(node, ast.Call) else None
        says = {keyword.arg for keyword in node.keywords} if isinstance(node, ast.Call) else set()
        if isinstance(called, ast.Attribute) and called.attr in ("read_text", "write_text"):
            assert "encoding" in says or ast.unparse(called) == "distribution.read_text", ast.unparse(node)
        if isinstance(called, ast.Name) and called.id == "open":
            assert "encoding" in says or "b'" in ast.unparse(node), ast.unparse(node)


# Participles say what happened to a thing, not what it is.
NOT_NAMES = {"found", "made", "said", "told", "wanted"}
NAMED = [PACKAGE, *(ROOT / folder for folder in ("benchmarks", "docs", "plugins"))]


def given_names(node: ast.AST) -> list[str]:
    """The names that a node gives to values, arguments, functions, classes and attributes."""
    match node:
        case (
            ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name)
        ):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)) | ast.MatchAs(name=str(name)):
            return [name]
    return []


@pytest.mark.parametrize("folder", NAMED, ids=lambda p: p.name)
def test_names_say_what_a_thing_is(folder: Path) -> None:
    wrong = {
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"  # type: ignore[attr-defined]
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in given_names(node)
        if name.strip("_").lower() in NOT_NAMES
    }
    assert not wrong, f"name these by what they are: {sorted(wrong)}"


def test_the_version_is_the_projects() -> None:
    assert f'version = "{gz.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert gz.generators.info("dcgan").version == gz.__version__


def test_exports_are_sorted_complete_and_there() -> None:
    assert gz.__all__ == sorted(gz.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    for name in gz.__all__:
        assert getattr(gz, name) is not None
    typed = set(re.findall(r"\b(?:import|as|,) (\w+)", (PACKAGE / "__init__.py").read_text()))
    assert set(gz._LAZY) <= typed & set(gz.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gz.nothing


OLD_PUBLIC = [
    "GAN", "Batch", "Classifier", "DataError", "Group", "HubError", "ImageData", "NameTakenError",
    "Plan", "PluginError", "TrainingError", "TransferStrategy", "UnknownNameError", "UsageError",
    "WeightsError", "ZooError", "backbones", "build_classifier", "build_gan", "classify_evaluate",
    "classify_train", "classify_transfer", "discriminators", "evaluate", "generators", "hub_models",
    "list_models", "load_model", "models", "pull", "push", "strategies", "train", "transfer",
]  # fmt: skip


@pytest.mark.parametrize("name", OLD_PUBLIC)
def test_public_names_of_earlier_versions_are_still_there(name: str) -> None:
    assert name in gz.__all__ and getattr(gz, name) is not None


def test_importing_a_room_never_hides_a_public_name() -> None:
    rooms = (
        "gantl_zoo.strategy.partial, gantl_zoo.networks.backbones, gantl_zoo.runs.train, gantl_zoo.hub.push"
    )
    check = "assert all(callable(f) for f in (gz.train, gz.transfer, gz.push)); gz.backbones.build('cnn')"
    code = f"import gantl_zoo as gz, {rooms}\n{check}\nfrom gantl_zoo.runs import transfer, train\n{check}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_name_of_a_machine_or_a_registry_host() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() if listed.returncode == 0 else []
    for name in names:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".json"} and path.is_file() and path != Path(__file__):
            text = path.read_text()
            assert not re.search(r"(?<![\w.])/(work|root|home|tmp)/", text), name
            assert "pypi.org" not in text and "pythonhosted" not in text, name


# Files whose references, "package.module:object", may lead up: the tables of names, and two doors.
REFERRING = {
    "registry/builtins.py",
    "registry/registry.py",  # `models.info`
    "model/remote.py",  # `from_pretrained` and `push_to_hub`
}


def test_references_to_other_floors_are_few_and_lead_somewhere() -> None:
    from gantl_zoo.registry.imports import resolve

    references = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.fullmatch(r"gantl_zoo(\.\w+)+:\w+", text):
                references[text] = str(path.relative_to(PACKAGE))
    assert set(references.values()) == REFERRING
    assert all(resolve(reference) is not None for reference in references)
