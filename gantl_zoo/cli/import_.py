"""`import`: another project's file of weights becomes a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.options import NETWORKS, arguments, expand, names, network_arguments

EPILOG = """Examples:

  gantl-zoo import dcgan-examples netG.pth --to my-gan --licence mit

  gantl-zoo import state-dict gan.pt --generator dcgan --generator-arg image_size=64 --to my-gan"""


def add(app: typer.Typer) -> None:
    app.command("import", epilog=EPILOG)(import_)


FormatName = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT",
        help="The file's format; gantl-zoo list --kind formats shows all.",
        autocompletion=names("formats"),
    ),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of weights.", callback=expand)]
Folder = Annotated[
    Path, typer.Option(metavar="FOLDER", help="The new model folder; it must not exist.", callback=expand)
]
Title = Annotated[str | None, typer.Option(metavar="TEXT", help="The model's name. [default: the folder's]")]
Licence = Annotated[
    str | None,
    typer.Option("--licence", "--license", metavar="ID", help="Licence of the weights: mit, cc-by-nc-4.0, …"),
]
Second = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A second file, with the discriminator.", callback=expand),
]
Key = Annotated[
    str | None, typer.Option(metavar="KEY", help="Where the generator's state dict is, if there are several.")
]
GeneratorName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Architecture of the generator, for the format state-dict.",
        rich_help_panel=NETWORKS,
        autocompletion=names("generators"),
    ),
]
DiscriminatorName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Architecture of the discriminator; without it the discriminator is not imported.",
        rich_help_panel=NETWORKS,
        autocompletion=names("discriminators"),
    ),
]
GeneratorConfig = Annotated[
    list[str] | None, network_arguments("generator", "An argument of the generator, such as width=64.")
]
DiscriminatorConfig = Annotated[
    list[str] | None, network_arguments("discriminator", "An argument of the discriminator.")
]
Mapping = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="Names in the file that differ: a JSON object of patterns and our names.",
        rich_help_panel=NETWORKS,
        callback=expand,
    ),
]


def import_(
    format: FormatName,
    file: File,
    to: Folder,
    licence: Licence = None,
    name: Title = None,
    discriminator_file: Second = None,
    key: Key = None,
    generator: GeneratorName = None,
    generator_config: GeneratorConfig = None,
    discriminator: DiscriminatorName = None,
    discriminator_config: DiscriminatorConfig = None,
    mapping: Mapping = None,
) -> None:
    """Import another project's weights. Nothing in the file is run. Prints the new model folder."""
    from gantl_zoo.convert.imported import import_weights

    gan = import_weights(
        format,
        file,
        to=to,
        name=name,
        licence=licence,
        discriminator_file=discriminator_file,
        key=key,
        generator=generator,
        generator_config=arguments(generator_config, "--generator-arg") or None,
        discriminator=discriminator,
        discriminator_config=arguments(discriminator_config, "--discriminator-arg") or None,
        mapping=mapping,
    )
    print(gan.folder)
