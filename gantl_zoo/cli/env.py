"""`env`: what a bug report needs. Tokens and other secrets are never shown."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from gantl_zoo.cli.options import Json
from gantl_zoo.cli.printing import facts, print_page, section, write_json
from gantl_zoo.data.cores import available_cores
from gantl_zoo.training.processor import processor_name, processor_text
from gantl_zoo.version import VERSION

EPILOG = """Examples:

  gantl-zoo env

  gantl-zoo env --json"""
PACKAGES = (
    "torch", "torchvision", "timm", "accelerate", "huggingface_hub", "safetensors", "torchmetrics", "numpy",
    "pillow", "psutil", "matplotlib", "rich", "typer", "torch-fidelity", "tensorboard", "simplejpeg",
)  # fmt: skip
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve", "bf16")
# what torch's names and the kernel's names call the same
ALIASES = {"avx512": "avx512f", "avx512_f": "avx512f"}
VARIABLES = (
    "GANTL_ZOO_", "HF_HOME", "HF_HUB_", "HF_ENDPOINT", "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME",
)  # fmt: skip
SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def add(app: typer.Typer) -> None:
    app.command("env", epilog=EPILOG)(show_env)


def show_env(as_json: Json = None) -> None:
    """Show versions, processor, devices, caches and plug-ins: what a bug report needs."""
    sections = {
        "versions": versions(),
        "system": system(),
        "devices": devices(),
        "caches": caches(),
        "variables": variables(),
        "plug-ins": plugins(),
    }
    if as_json is not None:
        return write_json(sections, as_json)
    lines = [
        line for title, rows in sections.items() for line in section(title.capitalize(), facts(rows.items()))
    ]
    print_page("\n".join(lines[1:]))


def versions() -> dict[str, str]:
    """This package's version, Python's, and those of the packages that it uses."""
    from importlib.metadata import PackageNotFoundError, version

    numbers = {"gantl_zoo": VERSION, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            numbers[package] = "not installed"
    return numbers


def system() -> dict[str, str]:
    """Operating system, processor and memory."""
    text = processor_text()
    present = features(text)
    return {
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}".rstrip(", "),
        "processor": processor_name(text),
        "cores": f"{len(available_cores())} usable of {os.cpu_count()}",
        "features": ", ".join(name for name in FEATURES if name in present) or "unknown",
        "memory": memory(),
        "executable": home_as_tilde(sys.executable),
    }


def features(text: str) -> set[str]:
    """The processor features that matter, from Linux's description, or else from torch."""
    flags = [
        line.partition(":")[2].split() for line in text.splitlines() if line.startswith(("flags", "Features"))
    ]
    if flags:
        return set(flags[0])
    from gantl_zoo.training.engine import capabilities

    return {ALIASES.get(name, name) for name, there in capabilities().items() if there}


def memory() -> str:
    """The machine's memory."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, ValueError, OSError):  # not on Windows
        return "unknown"


def devices() -> dict[str, str]:
    """The devices of torch, and what the engine chooses by itself."""
    import torch

    from gantl_zoo.errors import ZooError
    from gantl_zoo.training import engine

    names = {}
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        card = torch.cuda.get_device_properties(i)
        names[f"cuda:{i}"] = f"{card.name}, {card.total_memory / 2**30:.1f} GiB"
    if torch.backends.mps.is_available():
        names["mps"] = "Apple GPU"
    try:
        names["chosen"] = str(engine.choose())
    except ZooError as error:  # a launcher's settings, say
        names["chosen"] = f"none: {error}"
    return names


def caches() -> dict[str, str]:
    """The folders that keep files between runs, and their sizes."""
    from huggingface_hub import constants

    from gantl_zoo.data.registered import root_of
    from gantl_zoo.storage.kept import KINDS

    sizes = {"hub": sized(Path(constants.HF_HUB_CACHE)), "data": sized(root_of(None))}
    places = {kind: folder() for kind, (folder, _, _) in KINDS.items()}
    return sizes | {kind: "off" if place is None else sized(place) for kind, place in places.items()}


def sized(folder: Path) -> str:
    """A folder and the size of what it holds; links are not followed."""
    if not folder.is_dir():
        return f"{home_as_tilde(folder)}, which does not exist"
    total = 0
    for place, _, files in os.walk(folder, onerror=None):
        for file in files:
            path = os.path.join(place, file)
            total += 0 if os.path.islink(path) else os.path.getsize(path)
    return f"{home_as_tilde(folder)}, {total / 1e6:,.1f} MB"


def variables() -> dict[str, str]:
    """The environment variables that change what this package does. Of a secret only that it is set."""
    values = {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}
    values |= {name: "" for name in os.environ if name == "HF_TOKEN"}
    return {
        name: "set" if secret(name) else home_as_tilde(without_password(value))
        for name, value in values.items()
    }


def without_password(value: str) -> str:
    """A value in which the user and password of an address are left out."""
    return re.sub(r"//[^/@]*@", "//…@", value)


def secret(name: str) -> bool:
    """Whether a variable holds something that must not be shown."""
    return any(word in name for word in SECRET)


def plugins() -> dict[str, str]:
    """The installed plug-ins, and whether each can be imported."""
    from gantl_zoo.cli.plugins import state
    from gantl_zoo.registry.plugins import installed

    states: list[Mapping[str, Any]] = [state(plugin) for plugin in installed()]
    return {
        one["name"]: ", ".join([one["version"], *(f"BROKEN: {wrong}" for wrong in one["broken"])])
        for one in states
    } or {"none": "no plug-in is installed"}


def home_as_tilde(path: object) -> str:
    """A path whose home folder, which may be a person's name, is `~`."""
    home, text = os.path.expanduser("~"), str(path)
    return text.replace(home, "~", 1) if len(home) > 1 and text.startswith(home) else text
