"""Find the pretrained weights of a timm model on this machine.

The places, in this order: an installed package or a script that registers them (`gantl_zoo.weights`), the
folder that the environment variable GANTL_ZOO_WEIGHTS_DIR names, the Hub's cache. If none has them, timm
downloads them from the Hub.

A registered name is timm's, with the tag of the weights, such as `tf_efficientnet_lite0.in1k`. Its object is
a function without arguments that returns the path of a safetensors file, or for weights that were trained
with another interpolation than timm's configuration says, `{"file": path, "interpolation": "bilinear"}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import PluginError, WeightsError
from gantl_zoo.storage.folder import read_tensors

FOLDER = "GANTL_ZOO_WEIGHTS_DIR"
PREFIX = "network."  # of the tensors in the model folder of a `timm:` backbone
CACHED = "model.safetensors"  # the file in timm's repositories on the Hub


def build_pretrained(name: str, channels: int, num_classes: int) -> Any:
    """timm's network of a current name with its pretrained weights. Raises `WeightsError`.

    It is built with the classes of the weights first, so that a file of another architecture is an error, and
    not a network with random weights.
    """
    usual, stated = configuration(name.partition(".")[0]), configuration(name)
    repository = stated.hf_hub_id if stated and not stated.hf_hub_filename else None
    path, changes, tried = find_weights(name, f"{usual.architecture}.{usual.tag}", repository)
    if path is None:
        network = downloaded(name, channels, stated, tried)
    else:
        network = from_file(name, channels, path, changes)
    if network.num_classes != num_classes:
        network.reset_classifier(num_classes)
    return network


def from_file(name: str, channels: int, path: Path, changes: Mapping[str, Any]) -> Any:
    """timm's network with the weights of a file, whose architecture may be another: then `WeightsError`."""
    import timm

    known = name if configuration(name) else name.partition(".")[0]
    try:
        values = overlay(path, changes)
        network: Any = timm.create_model(
            known, pretrained=True, in_chans=channels, pretrained_cfg_overlay=values
        )
    except WeightsError as error:
        raise WeightsError(f"the pretrained weights of timm:{name} can't be loaded: {error}") from error
    except Exception as error:
        cause = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"the pretrained weights of timm:{name} can't be loaded: {path} is of another architecture "
            f"({cause}); replace it"
        ) from error
    network.pretrained_cfg.pop("state_dict", None)  # it would keep all weights in memory twice
    return network


def downloaded(name: str, channels: int, stated: Any, tried: list[str]) -> Any:
    """timm's network with the weights that timm downloads, as its configuration `stated` says."""
    import timm
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not stated or not stated.has_weights:
        cause = "timm has no address of them"
    elif HF_HUB_OFFLINE and not stated.hf_hub_id:  # timm would download from elsewhere
        cause = "HF_HUB_OFFLINE is set"
    else:
        try:
            return timm.create_model(name, pretrained=True, in_chans=channels)
        except Exception as error:
            failed = f"the download failed ({' '.join(str(error).split())[:160]})"
            cause = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else failed
    raise WeightsError(
        f"the pretrained weights of timm:{name} can't be loaded: {', '.join([*tried, cause])}; connect once "
        f"to download them, put {name}.safetensors into a folder that {FOLDER} names, or pass "
        "pretrained=False for random weights"
    )


def configuration(name: str) -> Any:
    """timm's configuration of a model's weights; None if timm has none for this tag."""
    from timm.models import get_pretrained_cfg

    try:
        return get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag
        return None


def find_weights(
    name: str, usual: str, repository: str | None
) -> tuple[Path | None, dict[str, Any], list[str]]:
    """The file with the weights of `name`, the values to replace in timm's configuration, the places tried.

    The file is None if no place on this machine has one. `usual` is the name with timm's default tag, and
    `repository` the weights' repository on the Hub. Raises `WeightsError` if GANTL_ZOO_WEIGHTS_DIR is not a
    folder, and what a registered function raises.
    """
    architecture = name.partition(".")[0]
    names = [usual, architecture] if name in (usual, architecture) else [name]
    tried: list[str] = []
    for one in names:
        if one in registry.weights:
            path, changes = registered(one)
            return path, changes, tried
    tried.append(f"no installed package has them{installed(architecture)}")
    return in_folder(names, tried) or in_cache(repository, tried), {}, tried


def registered(name: str) -> tuple[Path, dict[str, Any]]:
    """The file of registered weights, and the values to replace in timm's configuration."""
    entry = registry.weights.entry(name)
    value = entry.load()()
    changes = dict(value) if isinstance(value, Mapping) else {"file": value}
    path = changes.pop("file", None)
    if not isinstance(path, str | os.PathLike) or set(changes) - {"interpolation"}:
        raise PluginError(
            f"{entry.owner}'s weights {name!r} must be the path of a file, or a dict with 'file' and "
            f"'interpolation', not {value!s:.80}"
        )
    return Path(path), changes


def installed(architecture: str) -> str:
    """In brackets, the registered weights of an architecture; "" if there are none."""
    names = registry.weights.names(f"{architecture}.*")
    return f" (but timm:{', timm:'.join(names)})" if names else ""


def in_folder(names: list[str], tried: list[str]) -> Path | None:
    """The first of the files NAME.safetensors in GANTL_ZOO_WEIGHTS_DIR.

    Raises `WeightsError` if that is not a folder.
    """
    if not (text := os.environ.get(FOLDER, "")):
        tried.append(f"{FOLDER} is not set")
        return None
    folder = Path(os.path.expanduser(text))
    if not folder.is_dir():
        raise WeightsError(f"{FOLDER} is {text}, which is not a folder; correct it or unset it")
    files = [folder / f"{name}.safetensors" for name in names]
    tried.append(f"{folder} has no {' or '.join(file.name for file in files)}")
    return next((file for file in files if file.is_file()), None)


def in_cache(repository: str | None, tried: list[str]) -> Path | None:
    """The weights of a repository in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, CACHED) if repository else None
    tried.append("the Hub's cache does not have them")
    return Path(path) if isinstance(path, str) else None


def overlay(path: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """timm's `pretrained_cfg_overlay` with the tensors of a file. Raises `WeightsError` for a damaged file.

    The file has timm's names, or is the `model.safetensors` of a `timm:` backbone's model folder.
    """
    tensors = read_tensors(path)
    if all(key.startswith(PREFIX) for key in tensors):
        tensors = {key.removeprefix(PREFIX): tensor for key, tensor in tensors.items()}
    return {"state_dict": tensors, "custom_load": False, **changes}
