"""Export a model to files that run without this library."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import ExportError, UsageError, unknown
from gantl_zoo.export import onnx_file, parity, program
from gantl_zoo.export.graph import Graph, classifier_graph, generator_graphs
from gantl_zoo.export.quantize import KINDS, quantized
from gantl_zoo.export.session import Session
from gantl_zoo.model.exported import Exported
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import digest
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.version import VERSION

if TYPE_CHECKING:
    import onnx

    from gantl_zoo.model.classifier import Classifier

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}  # and the suffix of a file
WHOLE = ("generator", "classifier")  # parts whose file has the model's name alone


def export(
    model: GAN | Classifier,
    place: str | Path,
    format: str,
    quantize: str | None,
    split: bool,
    image_size: int | None,
) -> Exported:
    """Write a model to the folder `place`; `GAN.export` explains the settings and has their defaults."""
    to = Path(os.path.expanduser(place))
    check_settings(model, format, quantize, split, image_size)
    if isinstance(model, GAN):
        graphs = generator_graphs(model, split)
    else:
        graphs = [classifier_graph(model, image_size)]
    name = file_name(model.name)
    places = [to / f"{stem(name, graph, quantize)}{FORMATS[format]}" for graph in graphs]
    check_places(to, places)
    make = onnx_content if format == "onnx" else program_content
    contents = [make(graph, facts_of(model, graph), quantize) for graph in graphs]
    write(places, [content for content, _, _ in contents])
    return Exported(
        tuple(places),
        format,
        onnx_file.OPSET if format == "onnx" else None,
        max(difference for _, difference, _ in contents),
        graphs[0].tolerance,
        quantize,
        contents[0][2],
    )


def check_settings(
    model: GAN | Classifier, format: str, quantize: str | None, split: bool, image_size: int | None
) -> None:
    """Raise `UsageError` for settings that can't be used."""
    if format not in FORMATS:
        raise UsageError(unknown("format", format, FORMATS))
    if quantize is not None and quantize not in KINDS:
        raise UsageError(unknown("quantization", quantize, KINDS))
    if quantize and format != "onnx":
        raise UsageError(f"quantize is for the format onnx, not {format}; leave it out")
    if image_size is not None and (type(image_size) is not int or image_size < 1):
        raise UsageError(f"image_size must be a whole number of at least 1, not {image_size!r}")
    if isinstance(model, GAN) and image_size is not None:
        raise UsageError(f"{model.name} is a GAN, whose images have one size: leave image_size out")
    if not isinstance(model, GAN) and split:
        raise UsageError(f"{model.name} is a classifier, which has no mapping network: leave split out")
    if format == "onnx":
        onnx_file.check_installed()


def facts_of(model: GAN | Classifier, graph: Graph) -> dict[str, Any]:
    """The metadata of a file."""
    return {
        "part": graph.part,
        "name": model.name,
        "version": VERSION,
        "license": model.license,
        "lineage": model.lineage,
        "hash": digest(model.main.state_dict()),
        "classes": model.classes,
        "opset": onnx_file.OPSET,
        "tolerance": graph.tolerance,
        **graph.about,
    }


def onnx_content(
    graph: Graph, facts: dict[str, Any], quantize: str | None
) -> tuple[bytes, float, dict[str, float]]:
    """The content of an ONNX file, its difference from torch, and its distance if it is quantized."""
    graph.expected(graph.inputs(range(1)))  # what a network computes once must not be computed in a trace
    original = onnx_file.stripped(onnx_file.model_of(graph))
    facts["difference"] = parity.check(graph, runs(original), "ONNX")
    if not quantize:
        content = onnx_file.with_metadata(original, facts).SerializeToString()
        return content, facts["difference"], {}
    smaller = quantized(original, quantize)
    facts |= {"quantize": quantize, "distance": parity.distance(graph, runs(smaller))}
    content = onnx_file.with_metadata(smaller, facts).SerializeToString()
    return content, facts["difference"], facts["distance"]


def program_content(
    graph: Graph, facts: dict[str, Any], quantize: str | None
) -> tuple[bytes, float, dict[str, float]]:
    """The content of a torch.export file, and its difference from torch."""
    graph.expected(graph.inputs(range(1)))
    content = program.bytes_of(graph, {key: value for key, value in facts.items() if key != "opset"})
    return content, parity.check(graph, program.Program(content), "torch.export", graph.expected), {}


def runs(model: onnx.ModelProto) -> parity.Run:
    """A model of ONNX as a function of named tensors."""
    import torch

    session = Session(model.SerializeToString())
    return lambda inputs: torch.from_numpy(session({name: one.numpy() for name, one in inputs.items()}))


def file_name(name: str) -> str:
    """A model's name as a file name of every system."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "model"


def stem(name: str, graph: Graph, quantize: str | None) -> str:
    """The name of a part's file, without suffix."""
    part = "" if graph.part in WHOLE else f"-{graph.part}"
    return f"{name}{part}{f'-{quantize}' if quantize else ''}"


def check_places(to: Path, places: list[Path]) -> None:
    """Raise `UsageError` if `to` is a file, or a folder has the name of a file to be written."""
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file; --to is the folder of the new files")
    for place in places:
        if place.is_dir():
            raise UsageError(f"{place} is a folder and would be in the way; export to another folder")


def write(places: list[Path], contents: list[bytes]) -> None:
    """Write all files or none. Raises `ExportError`."""
    try:
        with ExitStack() as stack:
            for place, content in zip(places, contents, strict=True):
                stack.enter_context(replace_file(place)).write_bytes(content)
    except OSError as error:
        raise ExportError(f"can't write {places[0].parent}: {error.strerror or error}") from error
