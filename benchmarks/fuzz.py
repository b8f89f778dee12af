"""Load thousands of damaged model folders: each must be rejected, or load exactly what its files contain.

    python benchmarks/fuzz.py [--cases 20000] [--seed 0] [--workers 1] [--only KIND] [--index I]

A case passes if loading raises `WeightsError`, or if the folder is still valid. Valid means: the model's
tensors are bit-identical to those that a second reader (`benchmarks/reader.py`, JSON and NumPy only) finds in
the files, all are finite, the builders' arguments are those of config.json, and each file matches its hash in
config.json. So a changed bit of a finite number is valid without a hash, and rejected with one. A case fails
if it raises another error, if the process dies or hangs, or if loading takes more than a gigabyte of memory
or a second of processor time (the better of two; wall-clock time would depend on other processes). Prints a
table; exits with an error, and the numbers of the cases, if one fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch
from mutate import Files
from mutate_json import KINDS
from reader import compare

import gantl_zoo as gz

SECONDS, BYTES = 1.0, 1 << 30
Answer = tuple[int, str, str, str, str, float, int]  # number, base, kind, result, text, seconds, bytes
GOOD = ("refused", "valid", "unchanged")
LONGEST = 2000  # characters: a longer error message is unreadable
PATIENCE = 60.0  # seconds after which a process counts as hung


def bases(place: Path) -> dict[str, Files]:
    """Valid folders: GANs and a classifier, with and without hashes, in shards, in half precision."""
    torch.manual_seed(0)
    gan = gz.build_gan(
        "dcgan",
        generator_config={"width": 4, "latent_dim": 8},
        discriminator_config={"width": 4, "norm": "spectral"},
    )
    gan.about = {
        "lineage": {"data": {"name": "x", "images": 9}, "seed": 0, "base_lineage": {"data": {"name": "y"}}},
        "training": {"steps": 3, "command": "train", "curves": {"metric": "fd", "curves": {"a": {"0": 1.5}}}},
        "metrics": [{"name": "fd_x", "value": 1.5, "floor": None}],
    }  # fmt: skip
    backbone = {"backbone": "cnn", "widths": [4, 8], "width": 4, "num_classes": 3}
    projected = gz.build_gan(
        "dcgan", "backbone", generator_config={"width": 4}, discriminator_config=backbone
    )
    plain = gz.build_gan(
        "dcgan", generator_config={"width": 4, "latent_dim": 8}, discriminator_config={"width": 4}
    )
    classifier = gz.build_classifier("cnn", {"widths": (4, 8), "num_classes": 3})
    folders = {}
    for name, model, settings in (
        ("gan", gan, {}), ("half", plain, {"dtype": "float16"}), ("shards", gan, {"max_shard_size": 6000}),
        ("projected", projected, {}), ("classifier", classifier, {}),
        ("classifier-shards", classifier, {"max_shard_size": 1500}),
    ):  # fmt: skip
        folder = model.save(place / name, **settings)
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "README.md"}
        folders[f"{name}, pinned"] = files
        config = json.loads(files["config.json"])
        del config["files"]
        folders[name] = files | {"config.json": json.dumps(config, indent=2).encode()}
    return folders


def case(seed: int, number: int, valid: dict[str, Files], only: str | None = None) -> tuple[str, str, Files]:
    """The base, the kind and the files of a case, as a function of seed and number only."""
    chance = random.Random(f"{seed}/{number}")
    kind = only or sorted(KINDS)[number % len(KINDS)]
    base = chance.choice(sorted(valid))
    files = dict(valid[base])
    KINDS[kind](chance, files)
    return base, kind, files


def write(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)


def outcome(folder: Path, files: Files, valid: Files) -> tuple[str, str]:
    """Load a folder; returns "refused", "valid", "unchanged" or a kind of failure, and the message."""
    try:
        model = gz.load_model(folder)
    except gz.WeightsError as error:
        text = str(error)
        if files == valid:
            return "a valid folder is refused", text
        return ("refused" if len(text) < LONGEST and text.isprintable() else "an unreadable error"), text
    except gz.UnknownNameError as error:
        there = files.get("config.json") is not None
        return ("another error" if there else "refused"), f"{type(error).__name__}: {error}"
    except BaseException as error:
        return "another error", f"{type(error).__name__}: {error}"
    try:
        compare(model, files)
    except Exception as error:
        return "garbage", f"{type(error).__name__}: {error}"
    return ("unchanged" if files == valid else "valid"), ""


def peak(forget: bool = False) -> int:
    """The peak memory of this process in bytes. `forget` resets it first, where the system can."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if forget:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024


def check_case(folder: Path, files: Files, valid: Files) -> tuple[str, str, float, int]:
    """Outcome, message, seconds and bytes of one case."""
    write(folder, files)
    seconds = math.inf
    for _ in range(2):
        before = peak(forget=True)
        start = time.process_time()
        result, text = outcome(folder, files, valid)
        seconds = min(seconds, time.process_time() - start)
        if (grown := peak() - before) > BYTES:
            return "memory", f"{grown / 1e9:.1f} GB; {result}: {text}", seconds, grown
        if seconds <= SECONDS:
            return result, text, seconds, grown
    return "slow", f"{seconds:.1f} s; {result}: {text}", seconds, grown


def serve(pipe: Connection, seed: int, only: str | None) -> None:
    """Check the cases whose numbers arrive in the pipe, until it is None."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        valid = bases(Path(place))
        for name, files in valid.items():
            assert check_case(Path(place) / "case", files, files)[0] == "unchanged", name
        pipe.send("ready")
        while (number := pipe.recv()) is not None:
            base, kind, files = case(seed, number, valid, only)
            pipe.send((base, kind, *check_case(Path(place) / "case", files, valid[base])))


class Worker:
    """A separate process, since a case may crash it."""

    def __init__(self, seed: int, only: str | None) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(theirs, seed, only), daemon=True)
        self.process.start()
        theirs.close()
        assert self.pipe.poll(10 * PATIENCE) and self.pipe.recv() == "ready"

    def ask(self, number: int) -> tuple[str, str, str, str, float, int] | None:
        """The result of a case; None if the process died or hung."""
        try:
            self.pipe.send(number)
            return self.pipe.recv() if self.pipe.poll(PATIENCE) else None
        except (EOFError, OSError):
            return None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--only", choices=sorted(KINDS))
    parser.add_argument("--index", type=int, help="run this case only, and print its result")
    asked = parser.parse_args()
    numbers = list(range(asked.cases)) if asked.index is None else [asked.index]
    start = time.perf_counter()
    shares = [numbers[first :: asked.workers] for first in range(min(asked.workers, len(numbers)))]
    with ThreadPoolExecutor(len(shares)) as pool:
        answers = [a for share in pool.map(lambda n: run(n, asked.seed, asked.only), shares) for a in share]
    seconds = time.perf_counter() - start
    failed = [answer for answer in sorted(answers) if answer[3] not in GOOD]
    report(Counter((kind, result) for _, _, kind, result, *_ in answers), len(numbers))
    slowest, largest = max(answer[5] for answer in answers), max(answer[6] for answer in answers)
    print(f"\nslowest load {slowest:.2f} s, most memory {largest / 1e6:.0f} MB; {seconds:.0f} s in all\n")
    for number, base, kind, result, text, *_ in failed[:50] if asked.index is None else answers:
        print(f"{result}: --seed {asked.seed} --index {number} ({kind} of {base}): {text[:300]}")
    return 1 if failed else 0


def run(numbers: list[int], seed: int, only: str | None) -> list[Answer]:
    """The results of these cases. Starts a new process after a case that crashed or hung."""
    worker, answers = Worker(seed, only), []
    for number in numbers:
        answer = worker.ask(number)
        if answer is None:
            worker.stop()
            worker = Worker(seed, only)
            answer = ("?", only or sorted(KINDS)[number % len(KINDS)], "dead or hung", "", 0.0, 0)
        answers.append((number, *answer))
    worker.stop()
    return answers


def report(counts: Counter[tuple[str, str]], cases: int) -> None:
    """Print the counts of results per mutation as a Markdown table."""
    results = [*GOOD, *sorted({result for _, result in counts} - set(GOOD))]
    print(f"| mutation | {' | '.join(results)} |")
    print("|---" * (len(results) + 1) + "|")
    for kind in sorted({kind for kind, _ in counts}):
        print(f"| {kind} | {' | '.join(str(counts[kind, result]) for result in results)} |")
    totals = [sum(n for (_, own), n in counts.items() if own == result) for result in results]
    print(f"| **{cases} folders** | {' | '.join(map(str, totals))} |")


if __name__ == "__main__":
    sys.exit(main())
