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
from torch import Tensor

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
                optimize=False,
                verbose=False,
                custom_translation_table=translations(),
            )
    except Exception as error:
        raise ExportError(f"the {graph.part} can't be exported to ONNX: {cause(error)}") from error
    assert program is not None
    model = simplified(program.model)
    if model.ByteSize() > LARGEST:
        raise ExportError(
            f"the {graph.part} has {model.ByteSize():,} bytes, but one ONNX file holds 2 GiB at most; "
            "choose the format torch-export"
        )
    return model


def simplified(model: Any) -> onnx.ModelProto:
    """The model after what needs no rules: inlined functions, folded constants, no unused operations.

    The exporter's own optimization also applies rewriting rules, and one of them takes an addition of 1e-8
    (in a normalization) for an addition of 0. onnxruntime fuses operations when it loads a file.
    """
    import onnx_ir.passes.common
    from onnxscript import ir, optimizer

    common: Any = onnx_ir.passes.common
    optimizer.inline(model)
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)
    common.RemoveUnusedFunctionsPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    proto: onnx.ModelProto = ir.serde.serialize_model(model)
    return proto


def cause(error: BaseException) -> str:
    """The first cause of an error of the exporter, in one line without advice."""
    while error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
        error = error.__cause__ or error.__context__ or error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def translations() -> dict[Any, Any]:
    """ONNX of operations that torch's own translations lack and that networks here use."""
    aten = torch.ops.aten
    return {
        aten._upsample_bilinear2d_aa.vec: resized,
        aten._upsample_bilinear2d_aa.default: resized,
        aten.copysign.Tensor: copysign,
    }


def resized(maps: Any, size: Any, align_corners: bool, *scales: Any) -> Any:
    """Antialiased bilinear resampling, as products with two matrices.

    onnxruntime's own operation (`Resize` with `antialias`) gives other values than torch.
    """
    op, (height, width) = operations(), maps.shape[2:]
    rows, columns = (
        resizing(old, new, align_corners) for old, new in zip((height, width), size, strict=True)
    )
    return op.MatMul(op.MatMul(constant(rows), maps), constant(columns.T))


def resizing(old: int, new: int, align_corners: bool) -> Tensor:
    """The matrix (new, old) that resamples a column of pixels."""
    unit = torch.eye(old)[None, None]  # (1, 1, old, old)
    settings: Any = {"mode": "bilinear", "antialias": True, "align_corners": align_corners}
    return torch.nn.functional.interpolate(unit, size=(new, old), **settings)[0, 0]


def copysign(values: Any, signs: Any) -> Any:
    """The sizes of values with the signs of others."""
    op, size = operations(), operations().Abs(values)
    zero = op.CastLike(op.Constant(value_float=0.0), signs)
    return op.Where(op.Less(signs, zero), op.Neg(size), size)


def constant(tensor: Tensor) -> Any:
    """A tensor as a constant of the graph."""
    from onnx import numpy_helper

    return operations().Constant(value=numpy_helper.from_array(tensor.contiguous().numpy()))


def operations() -> Any:
    """The operations of ONNX, as functions."""
    import onnxscript

    return onnxscript.opset18


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
