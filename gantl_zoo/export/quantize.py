"""Smaller ONNX files: weights stored as float16, or as int8 with a factor for each output channel.

The operations still compute in float32, so a file is smaller, runs everywhere, and stays close to the
original. onnxruntime converts the weights once, when it loads the file (`runtime`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gantl_zoo.pixels import Array

if TYPE_CHECKING:
    import onnx

KINDS = ("fp16", "int8")
SMALLEST = 256  # values; smaller tensors stay as they are
MAX_HALF = 65504.0


def quantized(model: onnx.ModelProto, kind: str) -> onnx.ModelProto:
    """A copy of a model with smaller weights."""
    import onnx
    from onnx import numpy_helper

    result = onnx.ModelProto()
    result.CopyFrom(model)
    axes, nodes, kept = output_axes(result), [], []
    for tensor in result.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.dtype != np.float32 or weight.ndim < 2 or weight.size < SMALLEST:
            kept.append(tensor)
        elif kind == "int8":
            stored, node = int8(tensor.name, weight, axes.get(tensor.name, 0))
            kept += stored
            nodes.append(node)
        elif np.abs(weight).max() <= MAX_HALF:
            name = f"{tensor.name}.fp16"
            kept.append(numpy_helper.from_array(weight.astype(np.float16), name))
            nodes.append(onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
        else:
            kept.append(tensor)
    rest = list(result.graph.node)
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend(kept)
    result.graph.node.extend([*nodes, *rest])
    return result


def int8(name: str, weight: Array, axis: int) -> tuple[list[Any], Any]:
    """The stored tensors of a weight, and the operation that computes it from them."""
    from onnx import helper, numpy_helper

    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = (np.abs(weight).max(others) / 127).astype(np.float32)
    scale = np.where(scale > 0, scale, np.float32(1))
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    values = np.rint(weight / scale.reshape(shape)).clip(-127, 127).astype(np.int8)
    stored = [
        numpy_helper.from_array(values, f"{name}.int8"),
        numpy_helper.from_array(scale, f"{name}.scale"),
    ]
    names = [one.name for one in stored]
    return stored, helper.make_node("DequantizeLinear", names, [name], axis=axis)


def output_axes(model: onnx.ModelProto) -> dict[str, int]:
    """The axis of the output channels of each weight, by its name; 0 for all that are not listed."""
    axes: dict[str, int] = {}
    for node in model.graph.node:
        if (len(node.input) > 1 and node.op_type in ("ConvTranspose", "MatMul")) or (
            node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute)
        ):
            axes[node.input[1]] = 1
    return axes
