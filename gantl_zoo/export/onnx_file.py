"""ONNX: a graph becomes one file, which onnxruntime runs.

Only the exporter that starts from `torch.export` (`dynamo=True`) is used. The older one, which starts from
TorchScript, fails for a transposed convolution of a computed size (`r3`, `stylegan2`), for adaptive pooling
(`fast`) and for antialiased resampling (`grown`).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from gantl_zoo.errors import ExportError, UsageError
from gantl_zoo.export.metadata import TRUNCATION, text_of
from gantl_zoo.version import VERSION

if TYPE_CHECKING:
    import onnx

    from gantl_zoo.export.graph import Graph

OPSET = 18  # that of torch's own translations: a file of another one would go through a converter
LARGEST = (1 << 31) - (1 << 20)  # bytes of a file; the limit of its format is 2 GiB
EXAMPLES = 2  # rows of the example: one row would make the batch size fixed
MISSING = "onnx, onnxscript and onnxruntime are not installed: pip install 'gantl_zoo[export]'"


def check_installed() -> None:
    """Raise `UsageError` if a library of the extra `export` is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{MISSING} ({error})") from None


def model_of(graph: Graph) -> onnx.ModelProto:
    """The ONNX model of a graph. Raises `ExportError` with the cause if torch can't translate it."""
    inputs = graph.inputs(range(EXAMPLES))
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple(None if name == TRUNCATION else {0: batch} for name in graph.names)
    if graph.part == "classifier":
        shapes_of_call: Any = shapes
    else:
        shapes_of_call = (shapes,)  # the modules take *inputs
    try:
        with quiet():
            program = torch.onnx.export(
                graph.module,
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes=shapes_of_call,
                input_names=list(graph.names),
                output_names=[graph.output],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
                custom_translation_table=translations(),
            )
    except Exception as error:
        raise ExportError(f"the {graph.part} can't be exported to ONNX: {cause(error)}") from error
    assert program is not None
    model = program.model_proto
    if model.ByteSize() > LARGEST:
        raise ExportError(
            f"the {graph.part} has {model.ByteSize():,} bytes, but one ONNX file holds 2 GiB at most; "
            "choose the format torch-export"
        )
    return model


def cause(error: BaseException) -> str:
    """The first cause of an error of the exporter, in one line without advice."""
    while error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
        error = error.__cause__ or error.__context__ or error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def translations() -> dict[Any, Any]:
    """ONNX of operations that torch's own translations lack and that networks here use."""
    from onnxscript import opset18 as op

    def resize(
        maps: Any, size: Any, align_corners: bool, first: Any = None, second: Any = None
    ) -> Any:  # antialiased
        mode = "align_corners" if align_corners else "half_pixel"
        return op.Resize(
            maps,
            None,
            None,
            op.Constant(value_ints=list(size)),
            axes=(2, 3),
            mode="linear",
            antialias=1,
            coordinate_transformation_mode=mode,
        )

    def copysign(values: Any, signs: Any) -> Any:
        size = op.Abs(values)
        return op.Where(op.Less(signs, op.CastLike(op.Constant(value_float=0.0), signs)), op.Neg(size), size)

    aten = torch.ops.aten
    return {
        aten._upsample_bilinear2d_aa.vec: resize,
        aten._upsample_bilinear2d_aa.default: resize,
        aten.copysign.Tensor: copysign,
    }


def with_metadata(model: onnx.ModelProto, facts: Mapping[str, Any]) -> onnx.ModelProto:
    """Write the metadata, and the name and the licence where viewers look for them; returns the model."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, text_of(facts))
    model.producer_name, model.producer_version = "gantl_zoo", VERSION
    model.graph.name = facts["name"]
    licence = f", licence {facts['license']}" if facts.get("license") else ""
    model.doc_string = f"{facts['part']} of {facts['name']}{licence}; opset {OPSET}"
    return model


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the traces of source code that the exporter adds to each operation; returns the model."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No output of the exporter: its progress, its logs, and its warnings about its own future."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
