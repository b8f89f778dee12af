"""`new_package`: write a plug-in package from the templates. Writes over nothing."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.imports import API_VERSION
from gantl_zoo.registry.plugins import normalise, singular
from gantl_zoo.scaffold.kinds import KINDS
from gantl_zoo.scaffold.model import save_model
from gantl_zoo.scaffold.versions import SCAFFOLD
from gantl_zoo.storage.atomic import replace_folder

NOTHING = {"imports": "", "body": ""}  # of a package without a released model
LICENCES = {
    one.lower(): one
    for one in ("MIT", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "GPL-3.0-only", "GPL-3.0-or-later")
}


def new_package(
    name: str, kinds: Sequence[str], folder: str | Path | None = None, *, licence: str, author: str = ""
) -> Path:
    """Write the package `name` with one name of each of `kinds` into a new `folder`, by default ./NAME.

    Kinds are generator, discriminator, backbone, strategy, loss, metric, dataset and model. `licence` is an
    SPDX id such as mit. Raises `UsageError` for a name that is taken or not valid, and for a folder that is
    not empty; nothing is written then.
    """
    module, base = check_package(name), short(name)
    check_kinds(kinds)
    check_base(base, kinds)
    if licence.lower() not in LICENCES:
        raise UsageError(unknown("licence", licence, LICENCES))
    place = Path(folder or name)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place} exists already; choose another folder with --to, or remove it")
    facts = {
        "name": name,
        "module": module,
        "base": base,
        "spdx": LICENCES[licence.lower()],
        "author": author or f"the authors of {name}",
        "year": str(date.today().year),
        "api": str(API_VERSION),
        "scaffold": str(SCAFFOLD),
        "summary": joined([KINDS[kind].summary for kind in kinds]),
    }
    try:
        with replace_folder(place) as new:
            for path, text in rendered(facts, kinds).items():
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).write_text(text, encoding="utf-8")
            if "model" in kinds:
                save_model(new / module / "released" / base, base, licence.lower())
    except OSError as error:
        raise UsageError(f"can't write {place}: {error.strerror or error}") from error
    return place


def check_package(name: str) -> str:
    """The module of a package. Raises `UsageError` for a name that is not valid, or that is installed."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) or name != normalise(name):
        raise UsageError(
            f"package name {name[:80]!r}: use lower-case letters, digits and single '-', with a letter first"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise UsageError(f"package name {name!r}: Python has a module or a keyword {module!r}")
    try:
        installed = f"{name} {distribution(name).version}"
    except PackageNotFoundError:
        installed = f"a module {module!r}" if find_spec(module) else ""
    if installed:
        raise UsageError(f"package name {name!r}: {installed} is installed already; choose another name")
    return module


def short(name: str) -> str:
    """The registered name of what a package brings: its own, without "gantl-zoo-" before it."""
    return name.removeprefix("gantl-zoo-") or name


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise `UsageError` for kinds that don't exist, and if there are none."""
    if not kinds:
        raise UsageError(f"choose what the package brings: {', '.join(f'--{kind}' for kind in KINDS)}")
    if wrong := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(unknown("kind", wrong, KINDS))


def check_base(base: str, kinds: Sequence[str]) -> None:
    """Raise `UsageError` if one of the kinds has the name already."""
    for kind in kinds:
        source = REGISTRIES[KINDS[kind].registry]
        if base in source:
            owner = source.lookup(base)[0].owner
            raise UsageError(f"{singular(source.kind)} {base!r} is taken by {owner}; choose another name")


def rendered(facts: dict[str, str], kinds: Sequence[str]) -> dict[str, str]:
    """The text of each file, by its path in the package."""
    base, module = facts["base"], facts["module"]
    has_model = "model" in kinds
    entries = "".join(
        f'[project.entry-points."gantl_zoo.{KINDS[kind].registry}"]\n'
        f'{base} = "{module}{"" if kind == "model" else f".{kind}"}:{KINDS[kind].object}"\n\n'
        for kind in kinds
    ).rstrip("\n")
    data = f'\n[tool.setuptools.package-data]\n{module} = ["released/*/*"]\n' if has_model else ""
    place = {kind: f"{kind}.py" for kind in kinds} | {"model": f"released/{base}/"}
    table = "\n".join(f"| `{base}` | {kind} | `{module}/{place[kind]}` |" for kind in kinds)
    usage = "\n".join(Template(KINDS[kind].usage).substitute(facts) for kind in kinds)
    path = "\n# the folder of the released model; replace it by that of a run: RUN/model\n"
    path += f'model = Path(__file__).parent / "released" / "{base}"\n'
    more = {"entries": entries, "package_data": data, "table": table, "usage": usage}
    more |= {"imports": "\nfrom pathlib import Path\n", "body": path} if has_model else NOTHING
    own = licence_template(facts["spdx"])
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "readme.md",
        "LICENSE": own,
        ".gitignore": "gitignore",
        ".github/workflows/tests.yml": "tests.yml",
        f"{module}/__init__.py": "init.py",
        "tests/test_conformance.py": "test_conformance.py",
        **{f"{module}/{kind}.py": f"{kind}.py" for kind in kinds if kind != "model"},
    }
    return {path: render(template, facts | more) for path, template in templates.items()}


def licence_template(spdx: str) -> str:
    """The name of the template of a licence's text."""
    return spdx.lower() if spdx in ("MIT", "BSD-3-Clause") else "other"


def render(template: str, facts: dict[str, str]) -> str:
    """The text of a template, which ends with one line break."""
    text = files("gantl_zoo.scaffold").joinpath("templates", f"{template}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(facts).rstrip("\n") + "\n"


def joined(words: Sequence[str]) -> str:
    """Words as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
