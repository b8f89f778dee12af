"""`torch.export`: a graph becomes a `.pt2` file, which torch runs without the code of the network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantl_zoo.errors import ExportError
from gantl_zoo.export.metadata import KEY, TRUNCATION, text_of
from gantl_zoo.export.onnx_file import EXAMPLES, cause, quiet

if TYPE_CHECKING:
    from gantl_zoo.export.graph import Graph


def bytes_of(graph: Graph, facts: Mapping[str, Any]) -> bytes:
    """The content of the file, with the metadata as its extra file. Raises `ExportError`."""
    batch = torch.export.Dim("batch", min=1)
    shapes: Any = tuple(None if name == TRUNCATION else {0: batch} for name in graph.names)
    shapes = shapes if graph.part == "classifier" else (shapes,)  # the other modules take *inputs
    buffer = io.BytesIO()
    try:
        with quiet(), torch.no_grad():
            inputs = tuple(graph.inputs(range(EXAMPLES)).values())
            program = torch.export.export(graph.module, inputs, dynamic_shapes=shapes)
            torch.export.save(program, buffer, extra_files={KEY: text_of(facts)[KEY]})
    except Exception as error:
        raise ExportError(f"the {graph.part} can't be exported with torch.export: {cause(error)}") from error
    return buffer.getvalue()


class Program:
    """The file as a function of named inputs, for the check."""

    def __init__(self, content: bytes) -> None:
        with quiet():
            self.module = torch.export.load(io.BytesIO(content)).module()

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        result: Tensor = self.module(*inputs.values())
        return result
