"""`transfer --compare-scratch`: compare a transfer with training from scratch for as many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.errors import Stopped
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.best import regret
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.folder import RunFolder, begun_in
from gantl_zoo.runs.job import Job, Networks
from gantl_zoo.runs.prepare import from_job
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.runs.report.write import write_report
from gantl_zoo.storage.schema import read_config
from gantl_zoo.training.callback import Callback
from gantl_zoo.viz.grid import save_picture, side_by_side

SHOWN = 36  # images of each kind in `comparison.png`


def compare(
    run: Prepared,
    folder: RunFolder,
    transferred: GAN,
    callbacks: Sequence[Callback] = (),
    report: bool = True,
) -> None:
    """Train the from-scratch baseline of the transfer in `folder`, then write `comparison.png` and a table.

    The baseline has the source's architecture, random initial weights, and the data, recipe and metrics of
    the transfer. An interrupted baseline in this folder is resumed.
    """
    source = run.source
    assert source is not None  # a prepared transfer has one
    baseline = from_job(scratch_of(run.job, source), run.data, avoid=run.monitor.backbones)
    processes = run.engine.processes
    earlier = processes.from_main(lambda: begun_in(folder.path))
    if earlier is not None:
        beside = RunFolder(earlier, folder.quiet)
    else:
        beside = folder_of(baseline, folder.path, "scratch", folder.quiet)
    try:
        scratch = execute(baseline, beside, resume=earlier is not None, callbacks=callbacks, report=report)
    except Stopped as stopped:  # the folder to resume is the transfer's, which includes the comparison
        raise Stopped("stopped in the run from scratch", folder.path) from stopped
    if processes.main:
        gans = {"before": source, "after transfer": transferred, "from scratch": scratch}
        conclude(folder, beside, run.data.train, gans)
        if report:
            write_report(folder.path)  # again, with the comparison


def scratch_of(job: Job, source: GAN) -> Job:
    """The job of the baseline: the source's architecture from scratch, with the transfer's recipe."""
    networks = Networks(
        discriminator=source.parts["discriminator"]["name"],
        generator_config=source.parts["generator"]["config"],
        discriminator_config=source.parts["discriminator"]["config"],
    )
    return replace(
        job,
        verb="train",
        name=source.parts["generator"]["name"],
        networks=networks,
        strategy="full",
        strategy_config={},
        conditional=bool(source.num_classes) or None,
        latent_dim=None,
        title="scratch",
        compare_scratch=False,
    )


def conclude(folder: RunFolder, beside: RunFolder, images: ImageData, gans: Mapping[str, GAN]) -> None:
    """Write the picture and the table of a comparison."""
    panels = {"real": images.few(min(SHOWN, len(images)), seed=1).images}
    for title, gan in gans.items():
        panels[title] = gan.generate(SHOWN, seed=0)
    picture = save_picture(side_by_side(panels), folder.path / "comparison.png")
    folder.log(table(folder, beside))
    folder.log(f"picture: {picture}")


def table(folder: RunFolder, beside: RunFolder) -> str:
    """The first metric of the source and of the models that both runs kept, and a line with the verdict."""
    measured = folder.rows("metrics.jsonl")
    if not measured or not beside.rows("metrics.jsonl"):
        return "nothing was measured, so the runs can't be compared"
    results = read_config(folder.path / "model")["metrics"]
    name = deciding(measured[0], results)
    rows = [kept_row(run, name) for run in (folder, beside)]
    kept = [row for row in rows if row is not None]
    if len(kept) < 2:
        return f"{name} could not be measured, so the runs can't be compared"
    first = next((result for result in results if result["name"] == name), results[0])
    lines = [f"{'':24} {name:>16} {'at step':>8}", f"{'before transfer':24} {measured[0][name]:16.4g} {0:8}"]
    for title, row in zip(("after transfer", "from scratch"), kept, strict=True):
        lines.append(f"{title:24} {row[name]:16.4g} {row['step']:8}")
    after, scratch = (float(row[name]) for row in kept)
    lead = regret(first, scratch) - regret(first, after)
    verdict = "transfer is better" if lead > 0 else "training from scratch is better"
    verdict = verdict if lead else "transfer and training from scratch are equal"
    ratio = f"{name} is {after / scratch:.2f} times that of scratch" if after > 0 < scratch else ""
    values = ratio or f"{name} is {after:.4g}, that of scratch {scratch:.4g}"
    return "\n".join([*lines, f"{verdict}: {values}, after as many steps"])


def deciding(row: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """The first metric of a row of which lower or higher values are better, or else the first one."""
    directed = {result["name"] for result in results if result.get("better")}
    names = [key for key in row if key != "step"]
    return next((name for name in names if name in directed), names[0])


def kept_row(run: RunFolder, name: str) -> dict[str, Any] | None:
    """The metrics of the model that the run kept; None if `name` was not measured."""
    if not (run.path / "model").is_dir():
        return None
    step = read_config(run.path / "model")["training"]["best_step"]
    return next((r for r in run.rows("metrics.jsonl") if r["step"] == step and name in r), None)
