"""Import thousands of damaged files of weights: each must be refused in one line, or become a valid model.

    python benchmarks/fuzz_import.py [--cases 5000] [--seed 0] [--index I]

A case passes if `gz.import_weights` raises a `ZooError` and writes nothing, or if the folder that it writes
can be loaded. A case fails if it raises another error, if the process dies or hangs, if importing takes more
than a gigabyte of memory or two seconds of processor time, or if anything is run: Python's audit events show
code that is compiled or executed, imports of modules that the files name, processes and connections, names
that a pickle looks up, and files that are written outside of the case's folder. Prints a table; exits with an
error, and the numbers of the cases, if one fails.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import types
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import torch
from fuzz import peak
from mutate_pickle import KINDS

import gantl_zoo as gz

SECONDS, BYTES = 2.0, 1 << 30
PATIENCE = 60  # seconds after which a case counts as hung
LONGEST = 4000  # characters of a message
GOOD = ("refused", "valid")
FORBIDDEN = (
    "exec", "compile", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.",
    "pickle.find_class", "ctypes.", "os.putenv",
)  # fmt: skip
NAMED = ("torch_utils", "dnnlib", "posix", "commands", "argparse")  # modules that the files name
PLACE = "gantl-zoo-import-"  # in the path of all that a case may write
watched: list[str] | None = None  # the events of the case that runs now
Base = tuple[str, bytes, dict[str, Any]]  # format, file, options


class Hung(BaseException):
    """A case takes too long."""


def stop(*_: Any) -> None:
    raise Hung


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: notes what a file must not cause."""
    if watched is None:
        return
    first = str(arguments[0]) if arguments else ""
    writes = event == "open" and set(str(arguments[1])) & set("wax+") and PLACE not in first
    named = event == "import" and first.partition(".")[0] in NAMED
    if writes or named or event.startswith(FORBIDDEN):
        watched.append(f"{event} {str(arguments)[:160]}")


class Snapshot:
    """A module that pickles as those of the official StyleGAN2 and R3GAN snapshots do."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __reduce__(self) -> Any:
        state = {
            key: value for key, value in vars(self.network).items() if key.startswith(("_p", "_b", "tr"))
        }
        state["_modules"] = {name: Snapshot(inner) for name, inner in self.network.named_children()}
        meta = {"type": "class", "version": 6, "module_src": "import os", "class_name": "G", "state": state}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)  # type: ignore[attr-defined]


@contextlib.contextmanager
def official_names() -> Iterator[None]:
    """The module whose function a snapshot names, while a snapshot is written."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("it was run")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    sys.modules |= {"torch_utils": package, module.__name__: module}
    try:
        yield
    finally:
        del sys.modules["torch_utils"], sys.modules[module.__name__]


def bases() -> dict[str, Base]:
    """Valid files: state dicts in both of torch's formats, checkpoints, snapshots with whole modules."""
    torch.manual_seed(0)
    config = {"image_size": 8, "width": 2, "latent_dim": 3}
    gan = gz.build_gan("dcgan-examples", generator_config=config, discriminator_config={"width": 2})
    generator, critic = gan.generator.state_dict(), gan.discriminator.state_dict()
    both = {"netG": generator, "netD": critic, "args": argparse.Namespace(lr=0.1), "epoch": 3}
    options = {"generator": "dcgan-examples", "generator_config": config}
    with official_names():
        snapshot = pickle.dumps({"G_ema": Snapshot(gan.generator), "cur": 7}, protocol=4)
    return {
        "zip": ("dcgan-examples", saved(generator), {}),
        "older format": ("dcgan-examples", saved(both, False), {}),
        "checkpoint": ("dcgan-examples", saved(OrderedDict(both)), {}),
        "mapping": ("state-dict", saved(generator, False), options | {"mapping": {"main.*": "main.*"}}),
        "snapshot": ("state-dict", snapshot, options),
    }


def saved(value: Any, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def mutated(chance: random.Random, kind: str, data: bytes) -> bytes:
    """The damaged file. Half of the zips are damaged within their pickle, and are valid zips."""
    if not data.startswith(b"PK") or chance.random() < 0.5:
        return KINDS[kind](chance, data)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(
                entry.filename, KINDS[kind](chance, content) if "data.pkl" in entry.filename else content
            )
    return buffer.getvalue()


def outcome(place: Path, base: Base, data: bytes) -> tuple[str, str]:
    """Import the file; returns "refused", "valid" or a kind of failure, and the message."""
    global watched
    form, _, options = base
    file, folder = place / "case" / "file.pt", place / "case" / "model"
    shutil.rmtree(place / "case", ignore_errors=True)
    (place / "case").mkdir()
    file.write_bytes(data)
    watched = []
    signal.alarm(PATIENCE)
    try:
        gz.import_weights(form, file, to=folder, **options)
        result, text = "valid", ""
    except gz.ZooError as error:
        text = str(error)
        result = "refused" if len(text) < LONGEST and text.isprintable() else "an unreadable error"
    except Hung:
        result, text = "hung", ""
    except BaseException as error:
        result, text = "another error", f"{type(error).__name__}: {error}"
    signal.alarm(0)
    events, watched = watched, None
    left = sorted(path.name for path in (place / "case").iterdir())
    if events:
        return "something was run", "; ".join(events)[:300]
    if left != (["file.pt", "model"] if result == "valid" else ["file.pt"]):
        return "files are left", ", ".join(left)
    if result == "valid":
        gz.load_model(folder)
    return result, text


def check_case(place: Path, base: Base, data: bytes) -> tuple[str, str]:
    """The outcome of a case, or that it took too much."""
    before, start = peak(forget=True), time.process_time()
    result, text = outcome(place, base, data)
    seconds, grown = time.process_time() - start, peak() - before
    if grown > BYTES or seconds > SECONDS:
        return "too much", f"{seconds:.1f} s, {grown / 1e9:.1f} GB; {result}: {text}"
    return result, text


def run(cases: list[int], seed: int) -> list[tuple[int, str, str, str]]:
    """Number, mutation, result and message of each case."""
    answers = []
    with tempfile.TemporaryDirectory(prefix=PLACE) as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for codec in ("cp437", "raw_unicode_escape", "unicode_escape"):  # of zips and pickles
            codecs.lookup(codec)
        valid = bases()
        for name, base in valid.items():
            outcome(Path(place), base, base[1])  # imports what it needs
            result, text = outcome(Path(place), base, base[1])
            assert result == "valid", f"{name}: {result}: {text}"
        for number in cases:
            chance = random.Random(f"{seed}/{number}")
            kind = sorted(KINDS)[number % len(KINDS)]
            base = valid[chance.choice(sorted(valid))]
            answers.append((number, kind, *check_case(Path(place), base, mutated(chance, kind, base[1]))))
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, help="run this case only, and print its result")
    asked = parser.parse_args()
    import logging

    logging.getLogger("gantl_zoo").setLevel(logging.CRITICAL)
    sys.addaudithook(watch)
    signal.signal(signal.SIGALRM, stop)
    answers = run(list(range(asked.cases)) if asked.index is None else [asked.index], asked.seed)
    counts = Counter((kind, result) for _, kind, result, _ in answers)
    results = [*GOOD, *sorted({result for _, result in counts} - set(GOOD))]
    print(f"| mutation | {' | '.join(results)} |\n" + "|---" * (len(results) + 1) + "|")
    for kind in sorted(KINDS):
        print(f"| {kind} | {' | '.join(str(counts[kind, result]) for result in results)} |")
    failed = [answer for answer in answers if answer[2] not in GOOD]
    for number, kind, result, text in failed[:50] if asked.index is None else answers:
        print(f"{result}: --seed {asked.seed} --index {number} ({kind}): {text[:300]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
