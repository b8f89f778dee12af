"""Files of weights become plain data, then a model folder."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import re
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from helpers import run
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.convert.mapping import texts
from gantl_zoo.convert.tree import Persisted, state_dict
from gantl_zoo.convert.unpickle import read
from gantl_zoo.storage.folder import sha256

REFERENCE = os.environ.get("GANTL_ZOO_REFERENCE_VECTORS", "")
WIDTH = {"width": 4}


def equal(one: Any, other: Any) -> bool:
    """Whether two trees are equal, types and dtypes included."""
    if isinstance(other, Tensor):
        return isinstance(one, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(other, dict):
        same = isinstance(one, dict) and list(one) == list(other)
        return same and all(equal(one[key], other[key]) for key in other)
    if isinstance(other, (list, tuple)):
        same = type(one) is type(other) and len(one) == len(other)
        return same and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


def everything() -> dict[str, Any]:
    """A checkpoint with all that such files have."""
    dtypes = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    flat = torch.randn(40)
    return {
        "dtypes": {name: torch.tensor([0, 1, 3]).to(getattr(torch, name)) for name in dtypes},
        "shapes": [torch.tensor(2.5), torch.zeros(0, 3), torch.randn(2, 3, 4).transpose(0, 2), flat[3:9]],
        "shared": (flat.view(8, 5), flat),
        "parameter": OrderedDict(weight=nn.Parameter(torch.randn(2, 2))),
        "optimizer": torch.optim.Adam([nn.Parameter(torch.zeros(3))]).state_dict(),
        "plain": [1, -5, 1 << 40, 2.5, "text é", b"bytes", None, True, (1,), (1, 2, 3, 4), {3: "three"}],
    }


@pytest.mark.parametrize("new", [True, False], ids=["zip", "older"])
def test_what_torch_saves_is_read(tmp_path: Path, new: bool) -> None:
    tree = everything()
    torch.save(tree, tmp_path / "file.pt", _use_new_zipfile_serialization=new)
    found = read(tmp_path / "file.pt")
    tree["parameter"]["weight"] = tree["parameter"]["weight"].data
    assert equal(found, tree)
    assert not found["parameter"]["weight"].requires_grad


@pytest.mark.parametrize("new", [True, False], ids=["zip", "older"])
def test_a_checkpoint_of_a_gpu_with_its_arguments_is_read(tmp_path: Path, new: bool) -> None:
    buffer = io.BytesIO()
    tree = {"args": argparse.Namespace(size=32, lr=0.1), "sizes": torch.Size([2, 3]), "a": torch.ones(2)}
    torch.save(tree, buffer, _use_new_zipfile_serialization=new)
    data = buffer.getvalue()
    if not new:  # a zip has a checksum
        data = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        assert b"cuda:0" in data
    (tmp_path / "file.pt").write_bytes(data)
    found = read(tmp_path / "file.pt")
    assert found["args"] == {"size": 32, "lr": 0.1} and found["sizes"] == (2, 3)
    assert torch.equal(found["a"], torch.ones(2)) and found["a"].device.type == "cpu"


def test_settings_and_logs_beside_the_tensors_are_read(tmp_path: Path) -> None:
    noted, parameter = torch.ones(2), nn.Parameter(torch.zeros(2))
    noted.note, parameter.note = "first", "second"  # type: ignore[attr-defined]
    log = {0.5: "half", ("fid", 3): 1.5}
    tree = {"out": PurePosixPath("/runs/one"), "disk": PureWindowsPath("C:/runs"), "log": log}
    torch.save(tree | {"noted": noted, "parameter": parameter}, tmp_path / "file.pt")
    found = read(tmp_path / "file.pt")
    assert found["out"] == "/runs/one" and found["disk"] == "C:\\runs" and found["log"] == log
    assert torch.equal(found["noted"], torch.ones(2)) and torch.equal(found["parameter"], torch.zeros(2))


def test_a_torchscript_file_is_explained(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        for name in ("script/data.pkl", "script/constants.pkl", "script/code/model.py"):
            archive.writestr(name, b"1")
    with pytest.raises(gz.WeightsError, match=r"TorchScript program: .* torch\.save its state_dict"):
        read(tmp_path / "script.pt")


def test_a_file_in_place_of_a_model_is_explained(tmp_path: Path) -> None:
    path = saved(tmp_path / "netG.pth", {"a": torch.zeros(3)})
    with pytest.raises(gz.UnknownNameError, match=r"netG\.pth is a file, .*`gantl-zoo import` reads"):
        gz.load_model(path)


def test_an_error_names_the_file_with_the_discriminator(example: gz.GAN, tmp_path: Path) -> None:
    good = saved(tmp_path / "netG.pth", example.generator.state_dict())
    second = saved(tmp_path / "netD.pth", {"a": torch.zeros(3)})
    options: dict[str, Any] = {"discriminator_file": second}
    start = r"^\S*netD\.pth can't be imported: "
    refused(tmp_path, start + "the example's discriminator", "dcgan-examples", good, **options)
    saved(second, {"one": {"a": torch.zeros(3)}, "two": {"a": torch.zeros(3)}})
    refused(tmp_path, start + "it doesn't say", "dcgan-examples", good, **options)
    second.write_bytes(b"\x80\x02cos\nsystem\n.")
    refused(tmp_path, start + "it names os.system", "dcgan-examples", good, **options)
    saved(second, dict(example.discriminator.state_dict()) | {"b": torch.zeros(3)})
    refused(tmp_path, r"^\S*netD\.pth does not fit the discriminator", "dcgan-examples", good, **options)
    second.unlink()
    refused(tmp_path, r"^\S*netD\.pth does not exist", "dcgan-examples", good, **options)


def test_the_stars_of_a_pattern_stand_for_as_much_text_as_possible() -> None:
    assert texts("a.b", "a.b") == [] and texts("a.b", "a.bc") is None and texts("a*a", "a") is None
    random = np.random.default_rng(0)
    for _ in range(2000):
        pattern, name = ("".join(random.choice(list(letters), 5)) for letters in ("ab**", "ab"))
        match = re.fullmatch("(.*)".join(pattern.split("*")), name)
        assert texts(pattern, name) == (match and list(match.groups()))
    assert texts("*a" * 30 + "b", "a" * 1000) is None


def test_a_mapping_for_each_network_and_a_missing_discriminator(gan: gz.GAN, tmp_path: Path) -> None:
    networks = {"generator": gan.generator, "discriminator": gan.discriminator}
    other = {
        role: {f"net.{name}": tensor for name, tensor in network.state_dict().items()}
        for role, network in networks.items()
    }
    other["discriminator"] = {f"critic.{name}": x for name, x in gan.discriminator.state_dict().items()}
    options: dict[str, Any] = {"generator": "dcgan", "generator_config": {"width": 4, "latent_dim": 8}}
    options |= {"discriminator": "dcgan", "discriminator_config": WIDTH}
    mapping = {"generator": {"net.*": "*"}, "discriminator": {"critic.*": "*"}}
    path = saved(tmp_path / "file.pt", other)
    new = gz.import_weights("state-dict", path, to=tmp_path / "a", mapping=mapping, **options)
    assert same_network(new.generator, gan.generator)
    assert same_network(new.discriminator, gan.discriminator)
    usage: dict[str, Any] = {"kind": gz.UsageError} | options
    for wrong in ({"generator": {}, "a": "b"}, {"generator": {}, "critic": {}}):
        refused(tmp_path, "a mapping for each network is", "state-dict", path, mapping=wrong, **usage)
    wrong = mapping | {"discriminator": {"net.*": "*"}}
    refused(tmp_path, r"no name in the file matches 'net\.\*'", "state-dict", path, mapping=wrong, **usage)
    state = gan.generator.state_dict()
    for alone in (state, {"netG": state, "epoch": 3}, {"g": state, "g_ema": state}):
        saved(path, alone)
        text = "the file has no discriminator: give --discriminator-file, or leave --discriminator out"
        refused(tmp_path, text, "state-dict", path, **options)


def test_numpy_and_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    arrays = {
        "a": np.arange(6.0, dtype=np.float32).reshape(2, 3),
        "f": np.asfortranarray(np.ones((2, 3), "i8")),
    }
    for protocol in (2, 3, 4, 5):
        tree = arrays | {"scalars": [np.float64(2.5), np.int32(-3), np.bool_(True)], "d": defaultdict(dict)}
        (tmp_path / "file.pkl").write_bytes(pickle.dumps(tree, protocol=protocol))
        found = read(tmp_path / "file.pkl")
        assert found["scalars"] == [2.5, -3, True] and found["d"] == {}
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and (found[name] == array).all()
    save_file({"x": torch.arange(3.0)}, tmp_path / "file.safetensors")
    assert torch.equal(read(tmp_path / "file.safetensors")["x"], torch.arange(3.0))


class Layer(nn.Module):
    """A module that pickles as those of `torch_utils.persistence` do."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.gain = 3, np.sqrt(2)
        self.inner = nn.Linear(2, 3)
        self.register_buffer("kernel", torch.ones(2, 2))
        self.register_buffer("scratch", torch.ones(1), persistent=False)
        self.empty = None

    def __reduce__(self) -> Any:
        state = {key: value for key, value in self.__dict__.items()}
        source = "raise SystemExit('it was run')"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Layer", "state": state}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)  # type: ignore


@pytest.fixture
def persistence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The names of the official package, while a test pickles."""
    package, module, tools = (
        types.ModuleType(n) for n in ("torch_utils", "torch_utils.persistence", "dnnlib")
    )
    util = types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("it was called")

    class EasyDict(dict):  # type: ignore[type-arg]
        __module__, __qualname__ = "dnnlib.util", "EasyDict"

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    util.EasyDict = EasyDict  # type: ignore[attr-defined]
    for name, one in {"torch_utils": package, "torch_utils.persistence": module, "dnnlib": tools}.items():
        monkeypatch.setitem(sys.modules, name, one)
    monkeypatch.setitem(sys.modules, "dnnlib.util", util)
    yield


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_persistent_module_is_data(tmp_path: Path, persistence: None, protocol: int) -> None:
    layer = Layer()
    settings = sys.modules["dnnlib.util"].EasyDict(path="data.zip", size=3)  # type: ignore[attr-defined]
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(pickle.dumps({"G": layer, "settings": settings, "augment": None}, protocol=protocol))
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        del sys.modules[name]
    found = read(path)
    assert found["settings"] == {"path": "data.zip", "size": 3} and found["augment"] is None
    module = found["G"]
    assert isinstance(module, Persisted) and module.class_name == "Layer"
    assert module.state["size"] == 3 and module.state["gain"] == np.sqrt(2)
    assert equal(state_dict(module), dict(layer.state_dict())) and "scratch" not in state_dict(module)
    assert isinstance(module.state["_modules"]["inner"], Persisted)
    assert "torch_utils" not in sys.modules


def test_only_a_module_has_a_state_dict() -> None:
    with pytest.raises(gz.WeightsError, match="the network is a dict, not a pickled module"):
        state_dict({"a": 1})
    with pytest.raises(gz.WeightsError, match="inner is a int, not a pickled module"):
        state_dict(Persisted("G", {"_modules": {"inner": 3}}))
    with pytest.raises(gz.WeightsError, match="the _buffers of a G are a list, not a dict"):
        state_dict(Persisted("G", {"_buffers": [1]}))


@pytest.fixture
def example() -> gz.GAN:
    """A small DCGAN of PyTorch's examples whose numbers are not those of a fresh one."""
    config = {"image_size": 16, "width": 4, "latent_dim": 8}
    gan = gz.build_gan("dcgan-examples", generator_config=config, discriminator_config={"width": 6})
    for network in (gan.generator, gan.discriminator):
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape))
    return gan


def same_network(one: nn.Module, other: nn.Module) -> bool:
    return equal(dict(one.state_dict()), dict(other.state_dict()))


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def test_the_example_is_imported(example: gz.GAN, tmp_path: Path) -> None:
    path = saved(tmp_path / "netG.pth", example.generator.state_dict())
    gan = gz.import_weights("dcgan-examples", path, to=tmp_path / "new", licence="mit")
    assert gan.folder == tmp_path / "new" and gan.name == "new" and gan.license == "mit"
    assert same_network(gan.generator, example.generator) and gan.discriminator is None
    loaded = gz.load_model(tmp_path / "new")
    assert isinstance(loaded, gz.GAN) and loaded.discriminator is None
    assert torch.equal(loaded.generate(3), example.generate(3))
    assert loaded.lineage == {
        "imported": {"format": "dcgan-examples", "file": "netG.pth", "sha256": sha256(path), "license": "mit"}
    }
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "README.md", "config.json", "generator.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_both_networks_are_imported(example: gz.GAN, tmp_path: Path, prefix: str) -> None:
    networks = {"netG": example.generator, "netD": example.discriminator}
    states = {
        name: {prefix + key: tensor for key, tensor in network.state_dict().items()}
        for name, network in networks.items()
    }
    both = saved(tmp_path / "both.pt", states | {"epoch": 3})
    apart = [saved(tmp_path / f"{name}.pt", state) for name, state in states.items()]
    gans = [
        gz.import_weights("dcgan-examples", both, to=tmp_path / "a"),
        gz.import_weights("dcgan-examples", apart[0], to=tmp_path / "b", discriminator_file=apart[1]),
    ]
    for gan in gans:
        assert same_network(gan.generator, example.generator)
        assert same_network(gan.discriminator, example.discriminator)
    assert gans[1].lineage["imported"]["discriminator_sha256"] == sha256(apart[1])


def test_counters_that_old_files_lack_are_zero(example: gz.GAN, tmp_path: Path) -> None:
    state = {k: v for k, v in example.generator.state_dict().items() if not k.endswith("num_batches_tracked")}
    gan = gz.import_weights("dcgan-examples", saved(tmp_path / "old.pt", state), to=tmp_path / "new")
    assert torch.equal(gan.generate(2), example.generate(2))


def test_half_precision_becomes_float32(example: gz.GAN, tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in example.generator.state_dict().items()}
    gan = gz.import_weights("dcgan-examples", saved(tmp_path / "half.pt", half), to=tmp_path / "new")
    example.half().float()
    assert gan.dtype == torch.float32 and torch.equal(gan.generate(2), example.generate(2))


def refused(
    tmp_path: Path, text: str, *arguments: Any, kind: type[Exception] = gz.WeightsError, **options: Any
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=text):
        gz.import_weights(*arguments, to=tmp_path / "new", **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_written_for_a_file_that_does_not_fit(example: gz.GAN, tmp_path: Path) -> None:
    state = dict(example.generator.state_dict())
    path = tmp_path / "file.pt"
    saved(path, example.discriminator.state_dict())
    refused(tmp_path, "these are its discriminator's: give netG first", "dcgan-examples", path)
    saved(path, {"a": torch.zeros(3)})
    refused(tmp_path, r"has main\.0\.weight, .*, but the file has no main\.N\.weight", "dcgan-examples", path)
    saved(path, {"epoch": 3})
    refused(
        tmp_path,
        "which state dict is the generator's; those in the file: there are none",
        "dcgan-examples",
        path,
    )
    saved(path, {"one": state, "two": state})
    refused(tmp_path, "those in the file: one, two", "dcgan-examples", path)
    refused(
        tmp_path, "no state dict 'three'; those in the file: one, two", "dcgan-examples", path, key="three"
    )
    saved(path, state | {"main.0.bias": torch.zeros(3)})
    refused(tmp_path, r"only in the file: main\.0\.bias \(3,\)", "dcgan-examples", path)
    saved(path, {k: v for k, v in state.items() if k != "main.1.bias"})
    refused(tmp_path, r"only in the network: main\.1\.bias \(8,\)", "dcgan-examples", path)
    saved(path, state | {"main.1.bias": torch.zeros(9)})
    refused(tmp_path, r"main\.1\.bias is \(9,\), not \(8,\)", "dcgan-examples", path)
    saved(path, state | {"main.1.bias": torch.full((8,), float("nan"))})
    refused(tmp_path, r"main\.1\.bias would have NaN", "dcgan-examples", path)
    saved(path, {f"main.{3 * i}.weight": torch.zeros(1, 1, 4, 4) for i in range(30)})
    refused(tmp_path, "image_size|much larger", "dcgan-examples", path, kind=gz.ZooError)


def test_arguments_are_checked_before_the_file_is_read(example: gz.GAN, tmp_path: Path) -> None:
    path = tmp_path / "nothing.pt"
    usage: dict[str, Any] = {"kind": gz.UsageError}
    refused(
        tmp_path,
        "unknown format 'dcgan-exmples'; did you mean dcgan-examples",
        "dcgan-exmples",
        path,
        **usage,
    )
    refused(tmp_path, "takes no argument 'generator'", "dcgan-examples", path, generator="dcgan", **usage)
    refused(tmp_path, "format 'state-dict' needs generator", "state-dict", path, **usage)
    refused(tmp_path, "a model must not look like a path", "dcgan-examples", path, name="../x", **usage)
    refused(tmp_path, "a licence must be one line", "dcgan-examples", path, licence="a\nb", **usage)
    refused(
        tmp_path,
        "'MIT' is not a valid licence id: .*did you mean mit",
        "dcgan-examples",
        path,
        licence="MIT",
        **usage,
    )
    refused(tmp_path, "did you mean cc-by-4.0", "dcgan-examples", path, licence="CC BY 4.0", **usage)
    (tmp_path / "there").mkdir()
    with pytest.raises(gz.UsageError, match="there exists; choose another folder"):
        gz.import_weights("dcgan-examples", path, to=tmp_path / "there")


STARS = {"first.*": "main.0.*", "*.norm.*": "main.*.*", "last.weight": "main.6.weight", "steps": None}


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The generator's tensors under names that `STARS` maps back."""
    found = {
        "steps": torch.tensor(7),
        "first.weight": state["main.0.weight"],
        "last.weight": state["main.6.weight"],
    }
    found["main.3.weight"] = state["main.3.weight"]
    for name, tensor in state.items():
        _, number, kind = name.split(".")
        if number in ("1", "4"):
            found[f"{number}.norm.{kind}"] = tensor
    return found


def test_a_mapping_names_the_tensors_of_any_architecture(example: gz.GAN, tmp_path: Path) -> None:
    config = {"image_size": 16, "width": 4, "latent_dim": 8}
    options: dict[str, Any] = {"generator": "dcgan-examples", "generator_config": config}
    path = saved(tmp_path / "file.pt", {"model": renamed(dict(example.generator.state_dict()))})
    mapping = tmp_path / "names.json"
    mapping.write_text(json.dumps(STARS))
    for given in (STARS, mapping, str(mapping)):
        gan = gz.import_weights(
            "state-dict", path, to=tmp_path / f"{type(given).__name__}", mapping=given, **options
        )
        assert same_network(gan.generator, example.generator)
    refused(
        tmp_path,
        r"in the file: .*first\.weight \(8, 8, 4, 4\).*in the network: .*main\.0\.weight \(8, 8, 4, 4\)",
        "state-dict",
        path,
        **options,
    )
    usage: dict[str, Any] = {"kind": gz.UsageError} | options
    refused(
        tmp_path,
        "no name in the file matches 'x.*'",
        "state-dict",
        path,
        mapping=STARS | {"x.*": "y.*"},
        **usage,
    )
    refused(tmp_path, "the name 'a' to two tensors", "state-dict", path, mapping={"*.norm.*": "a"}, **usage)
    refused(tmp_path, "more \\* than its pattern", "state-dict", path, mapping={"a": "b*"}, **usage)
    refused(tmp_path, "must be a name, or null", "state-dict", path, mapping={"a": 3}, **usage)
    refused(tmp_path, "does not exist", "state-dict", path, mapping="gone.json", **usage)
    mapping.write_text("[1]")
    refused(tmp_path, "a mapping is a JSON object", "state-dict", path, mapping=mapping, **usage)
    mapping.write_text("{")
    refused(tmp_path, "can't be read as JSON", "state-dict", path, mapping=mapping, **usage)


def test_state_dicts_of_another_architecture_with_a_discriminator(gan: gz.GAN, tmp_path: Path) -> None:
    states = {"generator": gan.generator.state_dict(), "discriminator": gan.discriminator.state_dict()}
    path = saved(tmp_path / "file.pt", states)
    options: dict[str, Any] = {"generator": "dcgan", "generator_config": {"width": 4, "latent_dim": 8}}
    new = gz.import_weights("state-dict", path, to=tmp_path / "a", **options)
    assert new.discriminator is None and torch.equal(new.generate(2), gan.generate(2))
    options |= {"discriminator": "dcgan", "discriminator_config": WIDTH}
    new = gz.import_weights("state-dict", path, to=tmp_path / "b", **options)
    assert same_network(new.discriminator, gan.discriminator)
    alone = {"kind": gz.UsageError, "generator": "dcgan", "discriminator_config": WIDTH}
    refused(tmp_path, "architecture is missing: --discriminator NAME", "state-dict", path, **alone)


def test_the_classes_of_a_network_of_a_plugin_are_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gz.generators, "_own", dict(gz.generators._own))

    @gz.generators.register("labelled")
    def labelled() -> Any:
        return gz.generators.build("dcgan", image_size=16, width=4, latent_dim=8, num_classes=3)

    path = saved(tmp_path / "file.pt", dict(labelled().state_dict()))
    new = gz.import_weights("state-dict", path, to=tmp_path / "a", generator="labelled", licence="mit")
    assert new.num_classes == 3
    again: Any = gz.load_model(tmp_path / "a")
    assert torch.equal(again.generate(2, labels=[0, 2]), new.generate(2, labels=[0, 2]))


def test_a_network_much_larger_than_the_file_is_not_built(tmp_path: Path) -> None:
    path = saved(tmp_path / "file.pt", {"a": torch.zeros(3)})
    huge = {"generator": "dcgan", "generator_config": {"width": 60_000}}
    refused(tmp_path, "much larger than the weights in the file", "state-dict", path, **huge)


def test_the_command_line_imports_and_the_model_is_an_ordinary_one(
    example: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "netG.pth", example.generator.state_dict())
    code, out, err = run(capsys, "import", "dcgan-examples", path, "--to", tmp_path / "new")
    assert code == 0 and out.splitlines() == [str(tmp_path / "new")]
    assert "licence unknown: give the licence of the weights with --licence" in err
    assert "the model has no discriminator" in err
    card = (tmp_path / "new" / "README.md").read_text()
    assert sha256(path) in card and "`netG.pth`" in card and "| licence of these weights | unknown |" in card
    code, out, err = run(capsys, "sample", tmp_path / "new", "--out", tmp_path / "grid.png")
    assert code == 0 and (tmp_path / "grid.png").is_file()
    code, out, err = run(capsys, "info", tmp_path / "new")
    assert code == 0 and "imported from netG.pth" in " ".join(out.split())
    code, out, err = run(capsys, "import", "dcgan-examples", path, "--to", tmp_path / "new")
    assert code == 2 and "exists; choose another folder" in err
    for word in ("--licence", "--license"):
        folder = tmp_path / word.strip("-")
        assert (
            run(capsys, "import", "dcgan-examples", path, "--to", folder, word, "mit", "--name", "Mine")[0]
            == 0
        )
        loaded = gz.load_model(folder)
        assert (loaded.license, loaded.name) == ("mit", "Mine")


class Terms:
    """A format whose files have terms of use."""

    terms = "snapshots of this kind are for non-commercial use"

    def read(self, tree: Any) -> Any:
        from gantl_zoo.convert.dcgan_examples import DCGANExamples

        return DCGANExamples().read(tree)


def test_terms_and_licence_are_kept_through_transfer_and_push(
    example: gz.GAN,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    images: Any,
) -> None:
    monkeypatch.setattr(gz.formats, "_own", dict(gz.formats._own))
    gz.formats.register("with-terms", Terms)
    path = saved(tmp_path / "netG.pth", example.generator.state_dict())
    gz.import_weights("with-terms", path, to=tmp_path / "unknown")
    assert (
        f"licence unknown: give the licence of the weights with --licence; {Terms.terms}"
        in capsys.readouterr().err
    )
    gz.import_weights("with-terms", path, to=tmp_path / "new", licence="cc-by-nc-4.0")
    small = images.fit(16, 3)
    mine = gz.transfer(
        tmp_path / "new", data=small, steps=1, batch=4, metrics="none", out=tmp_path, quiet=True
    )
    assert mine.folder is not None
    for folder in (tmp_path / "new", mine.folder):
        card = (folder / "README.md").read_text()
        assert Terms.terms in card and "| licence of these weights | cc-by-nc-4.0 |" in card
        files = gz.push(folder, "me/mine", dry_run=True).files
        assert "license: cc-by-nc-4.0" in str(files["README.md"], "utf-8")  # type: ignore[arg-type]
        with pytest.raises(
            gz.UsageError, match=r"under cc-by-nc-4\.0, for non-commercial use, which 'mit' would drop"
        ):
            gz.push(folder, "me/mine", dry_run=True, license="mit")
        other = gz.load_model(folder)
        other.license = "mit"
        other.save(tmp_path / f"{folder.name}-relicensed")
        with pytest.raises(gz.UsageError, match=r"which 'mit' would drop: use cc-by-nc-4\.0"):
            gz.push(tmp_path / f"{folder.name}-relicensed", "me/mine", dry_run=True)


def test_a_push_keeps_the_terms_of_the_base(gan: gz.GAN, images: Any, tmp_path: Path) -> None:
    gan.license = "cc-by-nc-4.0"
    mine = gz.transfer(gan, data=images, steps=1, batch=4, metrics="none", out=tmp_path, quiet=True)
    assert mine.license == "" and mine.lineage["base_license"] == "cc-by-nc-4.0"
    settings: Any = {
        "data": images,
        "steps": 1,
        "batch": 4,
        "metrics": "none",
        "out": tmp_path,
        "quiet": True,
    }
    again = gz.transfer(mine, **settings)
    for model in (mine, again):
        with pytest.raises(gz.UsageError, match=r"which 'mit' would drop: use cc-by-nc-4\.0"):
            gz.push(model, "me/mine", dry_run=True, license="mit")
    gz.push(again, "me/mine", dry_run=True, license="cc-by-nc-sa-4.0")


def test_terms_of_a_format_restrict_the_licence_of_a_push(
    example: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gz.formats, "_own", dict(gz.formats._own))
    gz.formats.register("with-terms", Terms)
    path = saved(tmp_path / "netG.pth", example.generator.state_dict())
    gz.import_weights("with-terms", path, to=tmp_path / "unknown")
    gz.import_weights("with-terms", path, to=tmp_path / "stated", licence="mit")
    with pytest.raises(gz.UsageError, match=r"netG\.pth of unknown licence.*confirm with --own-weights"):
        gz.push(tmp_path / "unknown", "me/mine", dry_run=True, license="mit")
    push = ["push", tmp_path / "unknown", "me/mine", "--dry-run", "--license"]
    assert run(capsys, *push, "mit")[0] == 2
    for more in (["cc-by-nc-4.0"], ["mit", "--own-weights"]):
        code, _, err = run(capsys, *push, *more)
        assert code == 0 and f"the model comes from netG.pth: {Terms.terms}" in " ".join(err.split())
    assert gz.push(tmp_path / "stated", "me/mine", dry_run=True).files


SETTINGS: dict[str, Any] = {"steps": 2, "batch": 4, "metrics": "none", "quiet": True}


@pytest.fixture
def alone(example: gz.GAN, tmp_path: Path) -> Path:
    """The folder of an imported generator without a discriminator."""
    path = saved(tmp_path / "netG.pth", example.generator.state_dict())
    gz.import_weights("dcgan-examples", path, to=tmp_path / "alone")
    return tmp_path / "alone"


@pytest.mark.parametrize("strategy", ["full", "freeze-d", "scale-shift", "l2-sp", "auto", "mirror"])
def test_a_transfer_trains_a_fresh_discriminator_of_the_same_family(
    alone: Path, images: Any, tmp_path: Path, strategy: str
) -> None:
    data = images.fit(16, 3)
    mine = gz.transfer(alone, data=data, strategy=strategy, out=tmp_path / "runs", **SETTINGS)
    assert mine.parts["discriminator"]["name"] == "dcgan-examples"
    assert mine.parts["discriminator"]["config"] == {"image_size": 16, "channels": 3, "width": 4}
    (folder,) = (tmp_path / "runs").iterdir()
    assert (
        "discriminator: a new dcgan-examples of random weights, because the source has none"
        in (folder / "log.txt").read_text()
    )
    assert (
        mine.lineage["fitted"]["discriminator"]["fresh"]["main.0.weight"] == "the source has no discriminator"
    )
    assert mine.lineage["base_lineage"]["imported"]["file"] == "netG.pth"
    again = gz.transfer(alone, data=data, strategy=strategy, out=tmp_path / "again", **SETTINGS)
    assert same_network(mine.discriminator, again.discriminator), "from the seed"


def test_a_fresh_discriminator_fits_other_images(alone: Path, images: Any, tmp_path: Path) -> None:
    for size, channels in ((32, 3), (16, 1)):
        mine = gz.transfer(
            alone,
            data=images.fit(size, channels),
            image_size=size,
            out=tmp_path / f"{size}",
            strategy="full",
            **SETTINGS,
        )
        assert mine.image_shape == mine.discriminator.image_shape == (channels, size, size)
        assert mine.parts["discriminator"]["name"] == "dcgan-examples"


def test_projected_brings_a_discriminator_and_ewc_needs_the_sources(
    alone: Path, images: Any, tmp_path: Path
) -> None:
    data = images.fit(16, 3)
    mine = gz.transfer(
        alone, data=data, strategy="projected", loss="hinge", out=tmp_path / "runs", **SETTINGS
    )
    assert mine.parts["discriminator"]["name"] == "projected"
    (folder,) = (tmp_path / "runs").iterdir()
    assert "of random weights" not in (folder / "log.txt").read_text()
    with pytest.raises(
        gz.UsageError, match="has no trained discriminator, which the Fisher information needs"
    ):
        gz.transfer(alone, data=data, strategy="ewc", out=tmp_path / "ewc", **SETTINGS)


def test_a_resumed_transfer_builds_the_same_discriminator(alone: Path, images: Any, tmp_path: Path) -> None:
    class Stop(gz.Callback):
        def on_step(self, run: Any) -> None:
            if run.step == 2:
                raise KeyboardInterrupt

    data, longer = images.fit(16, 3), SETTINGS | {"steps": 4, "checkpoint_every": 1, "strategy": "full"}
    whole = gz.transfer(alone, data=data, out=tmp_path / "whole", **longer)
    with pytest.raises((KeyboardInterrupt, gz.ZooError)):
        gz.transfer(alone, data=data, out=tmp_path / "part", callbacks=[Stop()], **longer)
    (part,) = (tmp_path / "part").iterdir()
    assert same_network(gz.resume(part, data=data).generator, whole.generator)


FILES = ["dcgan-pytorch-examples-64-netG.pt", "dcgan-pytorch-examples-64-module.pt"]


@pytest.mark.parametrize("file", FILES)
def test_imported_and_original_agree(file: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = Path(REFERENCE) / file
    if not REFERENCE or not path.is_file():
        pytest.skip("GANTL_ZOO_REFERENCE_VECTORS is not a folder with outputs of the original networks")
    gz.import_weights("dcgan-examples", path, to=tmp_path / "new")
    gan = gz.load_model(tmp_path / "new")
    assert isinstance(gan, gz.GAN)
    tensors = load_file(path.with_name("dcgan-pytorch-examples-64.safetensors"))
    with torch.no_grad():
        assert torch.allclose(gan.generator(tensors["in.z"].flatten(1)), tensors["out.eval.fakes"], atol=1e-5)
        if gan.discriminator is not None:
            logits = gan.discriminator(tensors["in.reals"])
            assert torch.allclose(logits, tensors["out.eval.netD_of_reals_before_sigmoid"], atol=1e-5)
    assert (gan.discriminator is None) == ("netG" in file)
