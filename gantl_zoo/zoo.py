"""Find and load models by name: a folder, a registered release, or a model on the Hub, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import HubError, UnknownNameError, UsageError, ZooError, suggestion, unknown
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.releases import NEITHER, check_name, folder_at, is_path, no_folder, release_folder

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from gantl_zoo.hub.client import HubOptions
    from gantl_zoo.hub.fetch import Parts
    from gantl_zoo.model.adapter import Adapter
    from gantl_zoo.model.classifier import Classifier
    from gantl_zoo.model.gan import GAN
    from gantl_zoo.registry.model_info import ModelInfo

# kinds as arguments of `list_models`, and as in config.json
LISTED = {"gan": "gan", "classifier": "backbone", "backbone": "backbone"}


def list_models(
    pattern: str = "*",
    *,
    kind: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    conditional: bool | None = None,
) -> list[str]:
    """List the released models, by name, that match the shell `pattern` and every given filter.

    `kind` is "gan" or "classifier". `image_size` is the side of square images, `channels` 1 or 3; for a
    classifier, those of its training images. `conditional` selects class-conditional GANs if true, else
    unconditional ones. Without filters this imports neither torch nor plug-ins. Filters read the models'
    folders, so they import the plug-ins that bring models, and leave out models that can't be read.
    Raises `UsageError` for invalid values.
    """
    numbers = {"image_size": image_size, "channels": channels}
    for key, value in numbers.items():
        if value is not None and (type(value) is not int or value < 1):
            raise UsageError(f"{key} must be a whole number of at least 1, not {value!r}")
    if kind is not None and kind not in LISTED:
        raise UsageError(unknown("kind of model", kind, ("gan", "classifier")))
    names = models.names(pattern)
    if kind is None and image_size is None and channels is None and conditional is None:
        return names

    def fits(info: ModelInfo) -> bool:
        size = info.image_shape[1:] if info.image_shape else None
        return (
            (kind is None or info.kind == LISTED[kind])
            and (image_size is None or size == (image_size, image_size))
            and (channels is None or info.channels == channels)
            and (conditional is None or (info.kind == "gan" and info.conditional is bool(conditional)))
        )

    return [name for name in names if (info := readable_info(name)) is not None and fits(info)]


def readable_info(name: str) -> ModelInfo | None:
    """The `ModelInfo` of a released model; None if its plug-in or its folder is broken."""
    try:
        return models.info(name)
    except ZooError:
        return None


def find(name: str | Path, *, discriminator: bool = True) -> Path:
    """The model folder of `name`. Raises `UnknownNameError` or `HubError`, which list the places searched."""
    return locate(name, discriminator)[0]


def locate(
    name: str | Path,
    discriminator: bool = True,
    *,
    weights: bool = True,
    kind: str | None = None,
    revision: str | None = None,
    **options: Unpack[HubOptions],
) -> tuple[Path, dict[str, str] | None]:
    """The model folder of `name`, and its repository and commit if it comes from the Hub, else None.

    From the Hub, `discriminator=False` fetches all weights but the discriminator's, and `weights=False` only
    config.json; for a release, `weights=False` writes no weights to the cache. Raises `UsageError` if the
    model is not of that `kind`, before weights are fetched.
    """
    from gantl_zoo.model.info import check_kind  # imported here, since listing names needs none of them
    from gantl_zoo.storage.origin import pulled_from
    from gantl_zoo.storage.schema import parts_of, read_config

    def parts(config: Mapping[str, Any]) -> list[str]:
        check_kind(text, config, kind)
        return parts_of(config, discriminator) if weights else []

    text = check_name(name)
    place = folder_at(name)
    if not place and not is_path(name) and text not in models and "/" in text.partition("@")[0]:
        check_not_a_run(text)
        return from_hub(revised(text, revision), parts, **options)
    if revision is not None:
        what = "a folder" if place or is_path(name) else "not a repository on the Hub (user/name)"
        raise UsageError(f"revision={revision!r} has no meaning for {name}, which is {what}; leave it out")
    try:
        folder = place or release_folder(name, weights=False)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}, and a model on the Hub is user/name[@revision]") from None
    check_kind(text, read_config(folder) if kind else {}, kind)
    if place:
        return folder, pulled_from(place)
    return release_folder(name) if weights else folder, None


def check_not_a_run(name: str) -> None:
    """Raise `UnknownNameError` for a missing folder beside run folders, such as `runs/typo`, offline."""
    above = Path(name).parent
    if Path(name).exists() or not (runs := sorted(path.name for path in above.glob("[0-9]" * 5 + "*-*"))):
        return
    near = suggestion(Path(name).name, runs, f"{above} has").removesuffix("?")
    where = f"a model of that name on the Hub is hf-hub:{name}"
    raise UnknownNameError(f"{no_folder(name)}{near}; {where}")


def revised(name: str, revision: str | None) -> str:
    """`user/name@revision`. Raises `UsageError` if the name has another revision already."""
    bare, _, own = name.partition("@")
    if revision is None:
        return name
    if not isinstance(revision, str) or not revision or revision.split() != [revision]:
        raise UsageError(f"a revision is a branch, a tag or a commit, not {str(revision)[:80]!r}")
    if own and own != revision:
        raise UsageError(f"{name} and revision={revision!r} are two revisions; give only one")
    return f"{bare}@{revision}"


def from_hub(name: str, parts: Parts, **options: Unpack[HubOptions]) -> tuple[Path, dict[str, str]]:
    """The folder in the Hub's cache, and its commit. Fetches missing files of the `parts(config)`."""
    from gantl_zoo.hub import fetch

    if fetch.parse(name) is None:
        raise UnknownNameError(f"{no_folder(name)}, and a model on the Hub is user/name[@revision]")
    try:
        snapshot = fetch.fetch(name, parts, **options)
    except HubError as error:
        raise HubError(f"{error} ({no_folder(name, NEITHER)})") from error
    return snapshot.folder, snapshot.origin


def gan_named(name: str | Path | GAN, *, discriminator: bool = True) -> GAN:
    """Load a GAN by name; a `GAN` is returned as it is.

    Raises `UsageError` for a classifier or its name, and what `load_model` raises.
    """
    from gantl_zoo.model.base import Model
    from gantl_zoo.model.gan import GAN

    model = name if isinstance(name, Model) else load_model(name, discriminator=discriminator)
    if not isinstance(model, GAN):
        given = model.name if isinstance(name, Model) else name
        raise UsageError(f"{given} is a backbone, not a GAN; see gantl-zoo classify")
    return model


def load_model(
    name: str | Path,
    *,
    discriminator: bool = True,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> GAN | Classifier:
    """Load a model by name, in eval mode: a `GAN`, or a `Classifier` for a backbone.

    Looks for an existing model folder, a registered release, then `user/repo` or `hf-hub:user/repo` on the
    Hub (`HF_ENDPOINT` is its address), each with an optional `@revision`. `./NAME` and `~/NAME` mean a
    folder, `gantl_zoo:NAME` (or another owner's) means the release. `discriminator=False` fetches and loads
    only what sampling needs.

    `device` is "cpu", "cuda:1", …, or "auto" for a GPU if there is one; `dtype` is float32, float16, bfloat16
    or float64; by default the model is float32 on the CPU. The other arguments are for models on the Hub:
    `revision` is a branch, tag or commit; `token` is used instead of the stored one (False sends none);
    `cache_dir` replaces the Hub's cache; `local_files_only` takes what the cache has. The last three have no
    effect on other models.

    Raises `UnknownNameError`, `WeightsError`, `HubError`, and `UsageError` for a device, a dtype or a
    revision that can't be used.
    """
    options: HubOptions = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    return _load(name, None, discriminator, device, dtype, revision=revision, **options)


def load_adapter(
    name: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Adapter:
    """Load an adapter by name: a folder, or `user/repo[@revision]` on the Hub.

    The arguments are those of `load_model`. Raises `UsageError` for a model, and what `load_model` raises.
    """
    from gantl_zoo.model.adapter import load_adapter_folder

    options: HubOptions = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    folder, origin = locate(name, kind="adapter", revision=revision, **options)
    return load_adapter_folder(folder, origin)


def load_kind(kind: str, name: str | Path, **options: Any) -> GAN | Classifier:
    """Load a model of one `kind` as `load_model` does. Raises `UsageError` for another kind."""
    return _load(name, kind, **options)


def _load(
    name: str | Path,
    kind: str | None,
    discriminator: bool,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
    *,
    revision: str | None,
    **options: Unpack[HubOptions],
) -> GAN | Classifier:
    from gantl_zoo.model.load import load_folder
    from gantl_zoo.model.place import float_dtype, usable_device

    place = None if device is None else usable_device(device)
    numbers = None if dtype is None else float_dtype(dtype)
    folder, origin = locate(name, discriminator, kind=kind, revision=revision, **options)
    model = load_folder(folder, discriminator=discriminator, origin=origin)
    return model if place is None and numbers is None else model.to(place, numbers)
