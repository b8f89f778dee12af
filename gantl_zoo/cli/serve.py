"""`serve`: a GAN as an HTTP service."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import expand, names
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo serve dcgan-faces

  gantl-zoo serve exported/dcgan-faces.onnx --port 9000

  curl 'http://127.0.0.1:8000/generate?seeds=0-15' --output grid.png"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(serve)


def serve(
    name: Annotated[
        str,
        typer.Argument(
            help="A released model, a model folder, a run folder, or an exported .onnx file.",
            callback=expand,
            autocompletion=names("models"),
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 means a free one.")] = 8000,
    device: Annotated[str, typer.Option(help="cpu, cuda, …, or auto: a GPU if there is one.")] = "cpu",
    most: Annotated[int, typer.Option(metavar="N", help="Images that one request may ask for.")] = 256,
    queue: Annotated[int, typer.Option(metavar="N", help="Images that may wait; more get 429.")] = 1024,
) -> None:
    """Serve a GAN over HTTP: /generate?seeds=0-15 gives a PNG, a ZIP or JSON. Prints the address."""
    if most < 1 or queue < most:
        raise UsageError(f"--most must be at least 1, and --queue at least --most, not {most} and {queue}")
    try:
        from gantl_zoo.serve.app import application
        from gantl_zoo.serve.server import LOOPBACK, serve as run
    except ImportError as error:
        raise UsageError(f"serve needs pip install 'gantl_zoo[serve]' ({error})") from None
    local = host in LOOPBACK
    if not local:
        print(f"note: everybody who reaches {host} can use this service", file=sys.stderr)
    hosts = ["127.0.0.1", "localhost"] if local and ":" not in host else None
    gan = source(name, device)
    app = application(gan, most=most, limit=queue, hosts=hosts, **division(gan))
    run(app, host, port, lambda address: print(address, flush=True))
    print("stopped", file=sys.stderr)


def source(name: str, device: str) -> Any:
    """The GAN of that name, or of an exported file. Raises `UsageError`."""
    if not name.lower().endswith(".onnx"):
        from gantl_zoo.model.place import usable_device
        from gantl_zoo.zoo import gan_named

        return gan_named(name, discriminator=False).to(usable_device(device))
    from gantl_zoo.cli.sample import exported

    return exported(name, device, [])


def division(source: Any) -> dict[str, Any]:
    """How batches share the processor, for `application`.

    Under load two batches share torch's threads: threads of one batch wait for each other, most of all
    beside other work, such as the writing of PNGs. A single batch has all threads.
    """
    device = getattr(source, "device", None)  # an exported file has none
    if device is None or device.type != "cpu":
        return {}
    import torch

    threads = torch.get_num_threads()

    def divide(shares: int) -> None:
        torch.set_num_threads(max(1, threads // shares))  # those of the thread that calls it

    return {"workers": min(2, threads), "divide": divide}
