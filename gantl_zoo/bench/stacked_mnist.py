"""Stacked MNIST: how many of 1,000 modes a GAN covers (Metz et al. 2016, https://arxiv.org/abs/1611.02163).

The protocol is that of VEEGAN (Srivastava et al. 2017, https://arxiv.org/abs/1705.07761), as in PacGAN's code
(Lin et al. 2018, https://arxiv.org/abs/1712.04086, section 4.1.2): 128,000 stacks, 50 epochs with batch 64,
26,000 samples of the last generator. Ours differs in five points, which each report lists (`DIFFERENCES`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gantl_zoo.bench.cells import RESULTS, Row, folder, once, spread, trained, write_text
from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.runs.evaluate import evaluate
from gantl_zoo.runs.train import train

DATA, EXTRACTOR = "stacked-mnist", "channelwise:cnn-mnist"
STEPS, SAMPLES = 100_000, 26_000
Recipe = dict[str, Any]
RECIPES: dict[str, Recipe] = {
    # Radford et al. 2015, section 4: BatchNorm in both networks; the last weights, not their average
    "dcgan": {
        "discriminator_config": {"norm": "batch"},
        "beta2": 0.999,
        "ema_images": 0,
    },
    # the loss that R3GAN proposes against mode collapse (Huang et al. 2024, https://arxiv.org/abs/2501.05441,
    # section 2.1), a gradient penalty, and a discriminator whose receptive field covers a whole digit
    "relativistic": {
        "discriminator_config": {"width": 32, "flat": 1},
        "loss": "relativistic",
        "r1": 0.5,
        "lr": 8e-4,
    },
}
PUBLISHED = (
    ("DCGAN, PacGAN's code (10 runs)", "78.9 ± 6.5", "4.50"),
    ("DCGAN, older reports", "99.0", "3.40"),
    ("PacDCGAN2", "1000", "0.06"),
)
DIFFERENCES = (
    "the generator is `dcgan` for 28×28 (7×7, 14×14, 28×28), the protocol's starts at 2×2; the "
    "discriminator halves the side twice, not four times",
    "latents are normal, not uniform",
    "one generator step per discriminator step, not two",
    "stacks are drawn from the 60,000 training digits, not from all 70,000",
    "stacks are shuffled in each epoch",
)


def stacked_mnist(
    recipes: Sequence[str] = (),
    *,
    trials: int = 1,
    steps: int = STEPS,
    out: str | Path = "runs/stacked-mnist",
    data_root: str | Path | None = None,
    quiet: bool = True,
    say: Callable[[str], object] = lambda text: None,
) -> Path:
    """Train the recipes (all by default) with the seeds 0 to `trials` - 1; returns the report's path.

    Skips finished runs in `out`, and resumes interrupted ones. Raises `UsageError`.
    """
    if strange := sorted(set(recipes) - set(RECIPES)):
        raise UsageError(unknown("recipe", strange, RECIPES))
    if trials < 1 or steps < 1:
        raise UsageError(f"trials and steps must be at least 1, not {trials} and {steps}")
    rows = []
    for name in recipes or RECIPES:
        for seed in range(trials):
            row = trial(Path(out), name, seed, steps, data_root, quiet)
            say(f"{name} seed {seed}: {row['modes']:.0f} modes, KL {row['mode_kl']:.2f}")
            rows.append(row)
    path = Path(out) / "report.md"
    write_text(path, report(rows, steps))
    return path


def trial(
    out: Path, name: str, seed: int, steps: int, data_root: str | Path | None, quiet: bool
) -> dict[str, Any]:
    """The row of one run, read from `cells.jsonl`, or else trained, measured and appended to it."""
    settings: Recipe = {"steps": steps, "seed": seed, "data_root": data_root, "metrics": ()} | RECIPES[name]
    key = json.dumps({"recipe": name, "settings": settings | {"data_root": None}}, sort_keys=True)
    return once(out / RESULTS, key, partial(measured, out, name, settings, key, quiet))


def measured(out: Path, name: str, settings: Recipe, key: str, quiet: bool) -> Row:
    """Train and measure one run."""
    seed, steps = settings["seed"], settings["steps"]
    place = folder(out, f"{name}-{steps}-{seed}", key)
    settings |= {"title": f"{name}-{seed}", "out": place, "quiet": quiet}
    gan, _ = trained(place, lambda: train("dcgan", data=DATA, report=False, **settings), quiet)
    scores = evaluate(
        gan,
        data=DATA,
        data_root=settings["data_root"],
        metrics=["modes"],
        samples=SAMPLES,
        extractor=EXTRACTOR,
    )
    row = {"recipe": name, "seed": seed, "steps": steps, "results": scores.results}
    return row | {metric: scores[metric] for metric in ("modes", "mode_kl")}


def report(rows: Sequence[dict[str, Any]], steps: int) -> str:
    """The report as Markdown: our results beside published ones, and the differences in protocol."""
    lines = ["# Stacked MNIST", "", "| recipe | steps | runs | modes of 1,000 | reverse KL |"]
    lines.append("|---|---|---|---|---|")
    for name in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == name]
        modes, kl = (
            spread([r["modes"] for r in mine], "{:.1f}".format),
            spread([r["mode_kl"] for r in mine], "{:.2f}".format),
        )
        lines.append(f"| `{name}` | {steps:,} | {len(mine)} | {modes} | {kl} |")
    floors = {result["metric"]: result["floor"] for result in rows[0]["results"]}
    lines.append(f"| real training stacks | | | {floors['modes']:.0f} | {floors['mode_kl']:.2f} |")
    lines += [f"| published: {name} | {STEPS:,} | | {modes} | {kl} |" for name, modes, kl in PUBLISHED]
    how = rows[0]["results"][0]
    reader = f"digits are classified by `{how['extractor']}` ({how['extractor_sha256']})"
    lines += [
        "",
        f"{SAMPLES:,} samples; {reader}; the KL divergence is to a uniform distribution over modes.",
    ]
    if steps != STEPS:
        lines += ["", f"A shorter run: {steps:,} of the protocol's {STEPS:,} steps with batch 64."]
    lines += ["", "Differences from the published protocol:", "", *(f"- {text}" for text in DIFFERENCES)]
    return "\n".join(lines) + "\n"
