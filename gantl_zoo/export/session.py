"""onnxruntime's session of a model: arrays in, an array out. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import ExportError, UsageError, unknown
from gantl_zoo.pixels import Array

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ONLY_ERRORS = 3  # onnxruntime's levels of messages


class Session:
    """A function of named arrays. `source` is a file, or the content of one. Threads may share it."""

    def __init__(self, source: str | Path | bytes, device: str = "cpu", threads: int | None = None) -> None:
        runtime = library()
        options = runtime.SessionOptions()
        options.log_severity_level = ONLY_ERRORS
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # int8 weights are converted once
        if threads is not None:
            options.intra_op_num_threads = threads
        provider = provider_of(device, runtime.get_available_providers())
        given = source if isinstance(source, bytes) else os.fspath(source)
        try:
            self.session = runtime.InferenceSession(given, options, providers=[provider])
        except Exception as error:  # onnxruntime has no common base class of its errors
            what = "the model" if isinstance(source, bytes) else source
            raise ExportError(
                f"{what} is not an ONNX file that onnxruntime can run: {short(error)}"
            ) from None
        self.inputs = {one.name: one.shape for one in self.session.get_inputs()}
        self.outputs = {one.name: one.shape for one in self.session.get_outputs()}

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of the file."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def __call__(self, inputs: Mapping[str, Array]) -> Array:
        """The output for named inputs. Raises `ExportError`."""
        try:
            (output,) = self.session.run(None, dict(inputs))
        except Exception as error:
            raise ExportError(f"onnxruntime can't run the model: {short(error)}") from None
        result: Array = output
        return result


def library() -> Any:
    """The module onnxruntime. Raises `UsageError` if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"onnxruntime is not installed: pip install 'gantl_zoo[export]' ({error})") from None
    return onnxruntime


def provider_of(device: str, available: list[str]) -> str:
    """onnxruntime's name of a device. Raises `UsageError` if this installation does not have it."""
    usable = [name for name, provider in PROVIDERS.items() if provider in available]
    if device == "auto":
        return PROVIDERS[usable[-1]]
    if device not in usable:
        raise UsageError(unknown("device for an ONNX file", device, usable, hint="onnxruntime-gpu adds cuda"))
    return PROVIDERS[device]


def short(error: Exception) -> str:
    """An error of onnxruntime in one line."""
    return " ".join(str(error).split())[:300]
