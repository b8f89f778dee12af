"""Models as files for other runtimes: ONNX and torch.export. `runtime` runs an ONNX file without torch."""
