"""The pages of Train: a form with its plan, dropped images, the queue, and the view of a run."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gantl_zoo.data import check_data
from gantl_zoo.data.report import LABEL as CHECK_LABEL
from gantl_zoo.errors import UsageError
from gantl_zoo.registry.builtins import datasets, presets, strategies
from gantl_zoo.studio.curves import plots_of
from gantl_zoo.studio.images import LARGEST, new_set, receive, set_named
from gantl_zoo.studio.models import choices
from gantl_zoo.studio.order import data_for, order_for, resume_of
from gantl_zoo.studio.pictures import whole
from gantl_zoo.studio.plan import Left, plan_of, rows_of
from gantl_zoo.studio.runs import RunView, all_runs, folder_named, picture_in, verdict, view_of
from gantl_zoo.studio.web import form_of, page, part, query, studio_of

FILES = 500  # of one request


async def train(request: Request) -> Response:
    """The page with the form, the queue and the runs."""
    studio, values = studio_of(request), query(request)
    known = await run_in_threadpool(choices, studio.settings)
    return page(
        request,
        "train",
        current="train",
        choices=known,
        values=values,
        source=values.get("source") or studio.settings.model or "dcgan-faces",
        datasets=datasets.names(),
        strategies=strategies.names(),
        presets=[name for name in presets.names() if preset_fits(name)],
        limits=studio.settings,
    )


def preset_fits(name: str) -> bool:
    """Whether a preset is for transfers."""
    from gantl_zoo.errors import ZooError
    from gantl_zoo.training.presets import with_preset

    try:
        with_preset(name, "transfer", {})
    except ZooError:
        return False
    return True


async def receive_images(request: Request) -> Response:
    """Take dropped images into a set: a new one, or the one that an earlier request began."""
    studio = studio_of(request)
    async with request.form(max_files=FILES, max_fields=10) as form:
        title, name = str(form.get("title", "")), str(form.get("set", ""))
        files = [
            (one.filename or "", await one.read(LARGEST + 1))
            for one in form.getlist("images")
            if isinstance(one, UploadFile)
        ]
    if not files:
        raise UsageError("there are no files in this request")

    def work() -> JSONResponse:
        folder = set_named(studio.settings, name) if name else new_set(studio.settings, title)
        result = receive(studio.settings, folder, files)
        if not name and not result.images:
            folder.rmdir()
            result.folder = result.name = ""
        return JSONResponse(vars(result))

    return await run_in_threadpool(work)


@part
async def check(request: Request) -> Response:
    """What `gantl-zoo data` finds in the chosen images."""
    studio = studio_of(request)
    name = data_for(studio.settings, query(request).get("data", ""))
    place = name if name in datasets else studio.settings.root / name
    report = await run_in_threadpool(check_data, place)
    rows = [row for row in rows_of(str(report), CHECK_LABEL, "")[1:] if row[0] != "Next"]
    return page(request, "check", report=report, rows=rows)


@part
async def plan(request: Request) -> Response:
    """What a run would do, and how long it takes."""
    studio = studio_of(request)
    order = order_for(studio.settings, query(request))
    try:
        rows = await plan_of(studio.settings, order, request.is_disconnected)
    except Left:
        return Response(status_code=204)
    return page(request, "plan", rows=rows, command=order.command)


async def start(request: Request) -> Response:
    """Put a run into the queue."""
    studio, form = studio_of(request), await form_of(request)
    order = await run_in_threadpool(order_for, studio.settings, form)
    entry = await run_in_threadpool(studio.queue.add, order)
    return RedirectResponse(f"/jobs/{entry.number}", 303)


async def job(request: Request) -> Response:
    """The page of a job: that of its run, as soon as there is one."""
    studio = studio_of(request)
    entry = studio.queue.named(whole("a job", request.path_params["number"]))
    if entry.run:
        return RedirectResponse(f"/runs/{entry.run}", 303)
    return page(request, "job", current="train", job=entry)


@part
async def job_live(request: Request) -> Response:
    """The state of a job, for its page."""
    entry = studio_of(request).queue.named(whole("a job", request.path_params["number"]))
    return page(request, "job_live", job=entry)


async def stop_job(request: Request) -> Response:
    """Stop a job, or take it out of the queue."""
    number = whole("a job", request.path_params["number"])
    await run_in_threadpool(studio_of(request).queue.stop, number)
    return RedirectResponse("/train", 303)


@part
async def lists(request: Request) -> Response:
    """The queue and the runs, for the page of Train."""
    studio = studio_of(request)
    entries = await run_in_threadpool(studio.queue.entries)
    runs = await run_in_threadpool(all_runs, studio.settings, studio.queue)
    return page(request, "lists", queue=[one for one in entries if one.active or not one.run][:12], runs=runs)


async def run_page(request: Request) -> Response:
    """The page of a run."""
    studio = studio_of(request)
    view = await run_in_threadpool(view_of, studio.settings, studio.queue, request.path_params["name"])
    return page(request, "run", current="train", **await live_values(request, view))


@part
async def run_live(request: Request) -> Response:
    """The part of a run's page that changes."""
    studio = studio_of(request)
    view = await run_in_threadpool(view_of, studio.settings, studio.queue, request.path_params["name"])
    return page(request, "live", **await live_values(request, view))


async def live_values(request: Request, view: RunView) -> dict[str, Any]:
    """What the template of a run's live part needs."""
    settings = studio_of(request).settings
    findings = await run_in_threadpool(verdict, settings, view.name) if view.stats else []
    return {"run": view, "plots": plots_of(view.stats, view.metrics), "findings": findings}


async def picture(request: Request) -> Response:
    """A picture of a run, read at once: the run may replace it while it is sent."""
    names = request.path_params
    path = picture_in(studio_of(request).settings, names["name"], names["file"])
    content = await run_in_threadpool(path.read_bytes)
    return Response(content, media_type=f"image/{path.suffix[1:]}")


async def stop_run(request: Request) -> Response:
    """Stop a run that the studio started; it writes a checkpoint first."""
    studio, name = studio_of(request), request.path_params["name"]
    entry = await run_in_threadpool(studio.queue.of_run, name)
    if entry is None or not entry.active:
        raise UsageError(f"{name} is not running, or was not started here: press Ctrl-C where it runs")
    studio.queue.stop(entry.number)
    return RedirectResponse(f"/runs/{name}", 303)


async def resume_run(request: Request) -> Response:
    """Put the rest of a run into the queue."""
    studio, name = studio_of(request), request.path_params["name"]
    view = await run_in_threadpool(view_of, studio.settings, studio.queue, name)
    if not view.can_resume:
        raise UsageError(f"{name} has finished, or is running")
    order = resume_of(studio.settings, folder_named(studio.settings, name))
    await run_in_threadpool(studio.queue.add, order)
    return RedirectResponse(f"/runs/{name}", 303)


ROUTES = [
    Route("/train", train),
    Route("/train/images", receive_images, methods=["POST"]),
    Route("/train/check", check),
    Route("/train/plan", plan),
    Route("/train/start", start, methods=["POST"]),
    Route("/train/lists", lists),
    Route("/jobs/{number}", job),
    Route("/jobs/{number}/live", job_live),
    Route("/jobs/{number}/stop", stop_job, methods=["POST"]),
    Route("/runs/{name}", run_page),
    Route("/runs/{name}/live", run_live),
    Route("/runs/{name}/pictures/{file}", picture),
    Route("/runs/{name}/stop", stop_run, methods=["POST"]),
    Route("/runs/{name}/resume", resume_run, methods=["POST"]),
]
