"""Adapters: what fine-tuning changed, stored beside its base, added with a weight, blended, shared."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, run, state
from loopback_hub import LoopbackHub
from safetensors.torch import load_file, save_file
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.networks.difference import compact, count, expand, misfit
from gantl_zoo.storage.card import metadata

WEIGHT = "blocks.1.conv.weight"  # of a transposed convolution


@pytest.fixture
def base(gan: gz.GAN, tmp_path: Path) -> gz.GAN:
    """The small GAN, in a folder."""
    gan.about["license"] = "mit"
    loaded = gz.load_model(gan.save(tmp_path / "base"))
    assert isinstance(loaded, gz.GAN)
    return loaded


def tuned(base: gz.GAN, seed: int = 0, *names: str) -> gz.GAN:
    """A copy of which the tensors `names`, or all, have random changes."""
    other = copy.deepcopy(base)
    other.name, other.about, other.folder = f"tuned-{seed}", {"license": "mit"}, None
    random = torch.Generator().manual_seed(seed)
    for name, tensor in other.generator.state_dict().items():
        if not names or name in names:
            change = 0.1 * torch.randn(tensor.shape, generator=random)
            tensor += change.abs() if tensor.is_floating_point() else 3
    return other


def low_rank(base: gz.GAN, rank: int = 1, axis: int = 1) -> gz.GAN:
    """A copy with a low-rank change of one weight, as a matrix with a row for each index of `axis`."""
    other = tuned(base, 0, "nothing")
    weight = other.generator.state_dict()[WEIGHT]
    height = weight.shape[axis]
    change = torch.randn(height, rank) @ torch.randn(rank, weight.numel() // height) / 10
    shape = [n for i, n in enumerate(weight.shape) if i != axis]
    weight += change.view(height, *shape).movedim(0, axis)
    return other


def same(one: gz.GAN, other: gz.GAN) -> bool:
    theirs = other.generator.state_dict()
    return all(torch.equal(t, theirs[name]) for name, t in one.generator.state_dict().items())


def near(one: gz.GAN, other: gz.GAN, limit: float = 1e-6) -> bool:
    theirs = other.generator.state_dict()
    pairs = [(t.double(), theirs[name].double()) for name, t in one.generator.state_dict().items()]
    return all(float((a - b).norm()) <= limit * float(b.norm()) for a, b in pairs)


# --- the forms of a difference


def test_each_difference_has_its_smallest_form() -> None:
    weight = torch.randn(12, 6, 3, 3)
    left, _, right = torch.linalg.svd(weight.movedim(1, 0).flatten(1).double(), full_matrices=False)
    shifted = ((left * torch.randn(6)) @ right).view(6, 12, 3, 3).movedim(0, 1)
    changes = {
        "a0 b0": (torch.randn(12, 1) @ torch.randn(1, 54)).view(12, 6, 3, 3),
        "a1 b1": (torch.randn(6, 1) @ torch.randn(1, 108)).view(6, 12, 3, 3).movedim(0, 1),
        "s1": shifted,
        "diff": torch.randn(12, 6, 3, 3),
        "": torch.zeros(12, 6, 3, 3),
    }
    for expected, change in changes.items():
        after = (weight.double() + change).float()
        forms, error = compact(weight, after)
        assert " ".join(sorted(forms)) == expected and error <= 1e-6
        assert not forms or misfit(forms, weight) == ""
        assert count(forms) <= weight.numel()
        restored = weight.double() + (expand(forms, weight) if forms else 0)
        assert float((restored - after).norm()) <= 1e-6 * float(after.norm())


def test_vectors_counts_and_flags_are_dense() -> None:
    assert set(compact(torch.zeros(4), torch.ones(4))[0]) == {"diff"}
    forms, error = compact(torch.tensor(5), torch.tensor(2))
    assert forms["diff"].dtype == torch.int64 and int(forms["diff"]) == -3 and error == 0
    assert compact(torch.tensor([True, False]), torch.tensor([False, False]))[0]["diff"].tolist() == [-1, 0]


def test_a_rank_is_the_best_approximation_and_its_error_is_stated() -> None:
    weight, change = torch.randn(20, 30), torch.randn(20, 30)
    after = weight + change
    forms, error = compact(weight, after, rank=3)
    values = torch.linalg.svdvals(after.double() - weight.double())
    expected = float(values[3:].norm() / after.double().norm())  # Eckart and Young 1936
    assert forms["a0"].shape == (20, 3) and abs(error - expected) < 1e-6
    exact, error = compact(weight, weight + torch.randn(20, 1) @ torch.randn(1, 30), rank=3)
    assert exact["a0"].shape == (20, 1) and error <= 1e-6
    loose, error = compact(weight, after, tolerance=0.3)
    assert 0.01 < error <= 0.3 and count(loose) < weight.numel()


# --- adapters in memory and in folders


def test_a_transfer_of_the_norms_is_stored_in_few_numbers(
    base: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    before = state(base.generator)
    settings = {k: v for k, v in TINY.items() if not k.endswith("_config")}
    mine = gz.transfer(
        base.folder, data=images, strategy="scale-shift", out=tmp_path, quiet=True, aug="none", **settings
    )
    folder = mine.adapter().save(tmp_path / "adapter")
    adapter = gz.load_adapter(folder)
    changed = {name.rpartition(".")[0] for name in adapter.tensors}
    assert changed == {n for n in before if ".norm." in n} and adapter.error <= 1e-6
    assert adapter.num_parameters() < 0.05 * mine.generator.state_dict()[WEIGHT].numel() * 2
    again = base.with_adapter(folder)
    assert near(again, mine) and torch.allclose(again.generate(4), mine.generate(4), atol=1e-6)
    assert not torch.allclose(base.generate(4), mine.generate(4), atol=1e-3)
    assert same(base.with_adapter(folder, 0.0), base)
    assert all(torch.equal(before[name], tensor) for name, tensor in base.generator.state_dict().items())
    assert adapter.base == {"model": str(base.folder), "digest": adapter.base["digest"]}
    assert adapter.lineage["strategy"] == "scale-shift" and "norm.weight.diff" in str(adapter.tensors)


def test_a_full_difference_comes_back_to_float_rounding(base: gz.GAN, tmp_path: Path) -> None:
    mine = tuned(base)
    adapter = gz.load_adapter(mine.adapter(base).save(tmp_path / "adapter"))
    assert near(base.with_adapter(adapter), mine, 1e-7)
    counts = [t for n, t in base.with_adapter(adapter, 0.5).generator.state_dict().items() if "tracked" in n]
    assert counts and all(int(tensor) == 2 for tensor in counts)  # half of 3, rounded to even
    half = base.with_adapter(adapter, 0.5).generator.state_dict()[WEIGHT]
    ends = [gan.generator.state_dict()[WEIGHT] for gan in (base, mine)]
    torch.testing.assert_close(half, (ends[0] + ends[1]) / 2)


def test_a_low_rank_difference_is_a_small_file(base: gz.GAN, tmp_path: Path) -> None:
    mine = low_rank(base)
    adapter = mine.adapter(base)
    assert set(adapter.tensors) == {f"{WEIGHT}.a1", f"{WEIGHT}.b1"}
    adapter.save(tmp_path / "adapter")
    mine.save(tmp_path / "mine")
    sizes = [
        (tmp_path / path).stat().st_size
        for path in ("adapter/adapter.safetensors", "mine/generator.safetensors")
    ]
    assert sizes[0] < 0.15 * sizes[1]
    assert near(base.with_adapter(adapter), mine)


def test_a_blend_is_the_sum_rounded_once(base: gz.GAN) -> None:
    adapters = [tuned(base, seed).adapter(base) for seed in (1, 2)]
    start = {name: tensor.double() for name, tensor in base.generator.state_dict().items()}
    differences = [adapter.differences(base.generator.state_dict()) for adapter in adapters]
    blend = base.with_adapter(adapters[0], 0.7).with_adapter(adapters[1], 0.3)
    other = base.with_adapter(adapters[1], 0.3).with_adapter(adapters[0], 0.7)
    for name, tensor in blend.generator.state_dict().items():
        if tensor.is_floating_point():
            exact = start[name] + (0.7 * differences[0][name] + 0.3 * differences[1][name])
            assert torch.equal(tensor, exact.float())
            assert torch.equal(tensor, other.generator.state_dict()[name])
    assert same(base.with_adapter(adapters[0], 0.7).with_adapter(adapters[0], -0.7), base)


def test_the_result_is_an_ordinary_model_that_names_its_adapters(base: gz.GAN, tmp_path: Path) -> None:
    adapters = [tuned(base, seed).adapter(base) for seed in (1, 2)]
    blend = base.with_adapter(adapters[0], 0.7).with_adapter(adapters[1], 0.3)
    assert blend.discriminator is not base.discriminator and blend.name == "small+tuned-1+tuned-2"
    lineage = blend.lineage
    assert lineage["base_model"] == "small" and lineage["base_digest"] == adapters[0].base["digest"]
    assert [(one["name"], one["weight"]) for one in lineage["adapters"]] == [
        ("tuned-1", 0.7),
        ("tuned-2", 0.3),
    ]
    folder = blend.save(tmp_path / "blend")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "`small`, strategy `adapters tuned-1 ×0.7, tuned-2 ×0.3`" in card
    again = gz.load_model(folder)
    assert isinstance(again, gz.GAN) and same(again, blend) and again.license == "mit"
    with pytest.raises(
        gz.UsageError, match=r"to which tuned-1, tuned-2 is added already: load small and add"
    ):
        again.with_adapter(adapters[0])


@pytest.mark.parametrize(
    ("base_licence", "licences", "kept"),
    [
        ("mit", ("", ""), "mit"),
        ("mit", ("mit", ""), "mit"),
        ("", ("", ""), ""),
        ("", ("mit", ""), ""),
        ("", ("cc-by-nc-4.0", ""), "cc-by-nc-4.0"),
        ("cc-by-nc-4.0", ("cc-by-nc-sa-4.0", ""), ""),
        ("mit", ("cc-by-4.0", ""), ""),
        ("cc-by-nc-4.0", ("mit", ""), "cc-by-nc-4.0"),
        ("mit", ("", "cc-by-nc-4.0"), "cc-by-nc-4.0"),
    ],
)
def test_a_blend_has_the_licence_of_its_base_or_the_strictest(
    base: gz.GAN, base_licence: str, licences: tuple[str, ...], kept: str
) -> None:
    base.about["license"] = base_licence
    blend = base
    for seed, licence in enumerate(licences):
        adapter = tuned(base, seed).adapter(base)
        adapter.about["license"] = licence
        blend = blend.with_adapter(adapter, 0.5)
    assert blend.license == kept and blend.lineage.get("base_license", "") == base_licence


def test_a_result_is_fine_tuned_like_any_model(base: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    blend = base.with_adapter(tuned(base).adapter(base), 0.5)
    before = state(blend.generator)
    settings: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("_config")}
    mine = gz.transfer(blend, data=images, strategy="full", out=tmp_path, quiet=True, **settings)
    assert mine.lineage["base_lineage"]["adapters"][0]["weight"] == 0.5 and mine.blend is None
    assert all(torch.equal(before[name], tensor) for name, tensor in blend.generator.state_dict().items())
    assert near(blend.with_adapter(mine.adapter(blend)), mine, 1e-7)


def test_a_result_that_was_changed_is_not_a_blend_any_more(base: gz.GAN) -> None:
    adapter = tuned(base).adapter(base)
    mine = base.with_adapter(adapter)
    with torch.no_grad():
        next(mine.generator.parameters()).add_(1)
    with pytest.raises(gz.UsageError, match="is added already"):
        mine.with_adapter(adapter)


def test_the_base_comes_from_the_lineage_and_its_weights_are_checked(base: gz.GAN) -> None:
    mine = tuned(base)
    with pytest.raises(
        gz.UsageError, match=r"tuned-0 was not fine-tuned from another model, by its lineage.*--base"
    ):
        mine.adapter()
    mine.about["lineage"] = {"base_model": str(base.folder), "base_sha256": "0" * 64}
    with pytest.raises(gz.UsageError, match=r"has other weights than the model of this name.*--base"):
        mine.adapter()
    del mine.about["lineage"]["base_sha256"]
    assert mine.adapter().base == mine.adapter(base.folder).base


# --- errors


def test_another_base_is_one_clear_error(base: gz.GAN, tmp_path: Path) -> None:
    adapter = tuned(base).adapter(base)
    other = tuned(base, 5)
    own = adapter.base["digest"]
    said = (
        rf"tuned-0 is an adapter for small \(generator {own}\), not for tuned-5 \(generator \w+\): load small"
    )
    with pytest.raises(gz.UsageError, match=said):
        other.with_adapter(adapter)
    with pytest.raises(
        gz.UsageError, match=r"base is a GAN, not an adapter; gantl-zoo adapter .* --to FOLDER"
    ):
        base.with_adapter(str(base.folder))
    with pytest.raises(gz.UsageError, match=r"tuned-5 is a model, not an adapter; adapter\(base\)"):
        base.with_adapter(other)  # type: ignore[arg-type]
    with pytest.raises(gz.UsageError, match="unknown model 'nothing'"):
        base.with_adapter("nothing")
    folder = adapter.save(tmp_path / "adapter")
    with pytest.raises(
        gz.UsageError,
        match=r'is an adapter, not a model; add it to its base: gz.load_model\("small"\).with_adapter',
    ):
        gz.load_model(folder)
    with pytest.raises(gz.UsageError, match=r"is an adapter, not a GAN"):
        gz.GAN.from_pretrained(folder)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "0.7", True, None])
def test_a_weight_is_a_finite_number(base: gz.GAN, weight: Any) -> None:
    with pytest.raises(
        gz.UsageError, match=r"the weight of an adapter is a finite number, such as 0\.7, not"
    ):
        base.with_adapter(tuned(base).adapter(base), weight)


def test_a_weight_that_makes_a_variance_negative(base: gz.GAN) -> None:
    adapter = tuned(base).adapter(base)
    with pytest.raises(gz.UsageError, match=r"the weight -1000 makes a variance in blocks.0.norm negative"):
        base.with_adapter(adapter, -1000)


def test_what_can_not_be_an_adapter(base: gz.GAN) -> None:
    with pytest.raises(gz.UsageError, match="the generators of tuned-0 and small are equal"):
        tuned(base, 0, "nothing").adapter(base)
    larger = gz.build_gan("dcgan", generator_config=SMALL | {"image_size": 32}, name="larger")
    with pytest.raises(
        gz.UsageError,
        match=r"same architecture: larger is a dcgan for 1×32×32, latent 8.*small a dcgan for 1×28×28",
    ):
        larger.adapter(base)
    with pytest.raises(gz.UsageError, match="small is in float16: adapters are for float32"):
        copy.deepcopy(base).half().with_adapter(tuned(base).adapter(base))
    for settings in ({"rank": 0}, {"rank": True}, {"tolerance": -1}, {"tolerance": 1.0}):
        with pytest.raises(gz.UsageError, match=f"{next(iter(settings))} must be"):
            tuned(base).adapter(base, **settings)  # type: ignore[arg-type]


def test_saving_overwrites_no_model_and_a_model_no_adapter(base: gz.GAN, tmp_path: Path) -> None:
    adapter = tuned(base).adapter(base)
    assert base.folder is not None
    with pytest.raises(gz.UsageError, match=r"config.json is not of an adapter of this library"):
        adapter.save(base.folder)
    folder = adapter.save(tmp_path / "adapter")
    with pytest.raises(gz.UsageError, match=r"config.json is not of a model of this library"):
        base.save(folder)
    (folder / "README.md").write_text("# mine\n\nA story.\n", encoding="utf-8")
    adapter.save(folder)
    assert "A story." in (folder / "README.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]


# --- files from strangers


def unpinned(folder: Path, edit: Callable[[dict[str, Any]], Any] = lambda config: None) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("files", None)
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda c: c.pop("base"), "'base' is missing; it must be an object with a 'model' and a 'digest'"),
        (lambda c: c["base"].update(digest="../x"), "'base' must have hexadecimal digits as 'digest'"),
        (lambda c: c["base"].update(revision="main"), "'base' must have hexadecimal digits as 'revision'"),
        (lambda c: c["base"].update(model="a\nb"), "'base' must have a 'model' that is one line"),
        (lambda c: c["base"].update(code="x"), "'base' must be an object with a 'model', a 'digest'"),
        (lambda c: c.update(error=-1), "'error' must be a number of at least 0"),
        (lambda c: c.update(discriminator={"name": "dcgan"}), "unknown key 'discriminator'"),
        (
            lambda c: c.update(files={"generator.safetensors": {"sha256": "0" * 64}}),
            "not a weights file of an adapter",
        ),
        (
            lambda c: c.update(files={"adapter.safetensors": {"sha256": "0" * 64}}),
            "does not match its SHA-256",
        ),
    ],
)
def test_a_config_that_is_refused(base: gz.GAN, tmp_path: Path, edit: Any, said: str) -> None:
    folder = tuned(base).adapter(base).save(tmp_path / "adapter")
    unpinned(folder, edit)
    with pytest.raises(gz.WeightsError, match=said):
        gz.load_adapter(folder)


Edit = Callable[[dict[str, Tensor]], Any]
A, B = f"{WEIGHT}.a1", f"{WEIGHT}.b1"
EDITS: list[tuple[Edit, str]] = [
    (lambda t: t.update({"blocks.9.a.diff": torch.zeros(1)}), "'blocks.9.a' is not a tensor of the base"),
    (lambda t: t.update({"loose": torch.zeros(1)}), "is not a tensor of the base"),
    (lambda t: t.pop(B), "has the forms 'a1'"),
    (lambda t: t.update({f"{WEIGHT}.diff": torch.zeros(1)}), "has the forms 'a1, b1, diff'"),
    (lambda t: t.update({A: torch.zeros(1 << 16, 1)}), "has the shapes"),
    (lambda t: t.update({B: torch.zeros(2, 400)}), "has the shapes"),
    (lambda t: t.update({A: torch.zeros(())}), "has the shapes"),
    (lambda t: t.update({A: t[A].double(), B: t[B].double()}), "is stored as float64"),
    (lambda t: t.update({A: t[A].long(), B: t[B].long()}), "is stored as int64"),
    (lambda t: t.update({"blocks.0.norm.bias.s0": torch.zeros(1)}), "is for matrices"),
    (lambda t: t.update({"blocks.0.norm.bias.diff": torch.zeros(1)}), r"has the shape \(1,\)"),
    (lambda t: t.update({A: t[A] * float("nan")}), "NaN or infinite values"),
    (lambda t: t.update({A: t[A] * 0 + 3e38, B: t[B] * 0 + 3e38}), "infinite: a file is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "said"), EDITS)
def test_tensors_that_are_refused(base: gz.GAN, tmp_path: Path, edit: Edit, said: str) -> None:
    folder = low_rank(base).adapter(base).save(tmp_path / "adapter")
    tensors = load_file(folder / "adapter.safetensors")
    edit(tensors)
    save_file(tensors, folder / "adapter.safetensors")
    unpinned(folder)
    with pytest.raises(gz.WeightsError, match=said):
        base.with_adapter(folder)


def test_a_truncated_or_missing_file(base: gz.GAN, tmp_path: Path) -> None:
    folder = tuned(base).adapter(base).save(tmp_path / "adapter")
    file = folder / "adapter.safetensors"
    content = file.read_bytes()
    for part in (content[:-1], content[:100], b"", b"\x80\x04pickle"):
        file.write_bytes(part)
        with pytest.raises(gz.WeightsError, match="not a readable safetensors file"):
            gz.load_adapter(folder)
    file.unlink()
    with pytest.raises(gz.WeightsError, match=r"adapter.safetensors is missing"):
        gz.load_adapter(folder)


# --- the Hub


def test_an_adapter_goes_to_the_hub_and_back(hub: LoopbackHub, base: gz.GAN, tmp_path: Path) -> None:
    assert base.folder is not None
    gz.push(base.folder, "me/base")
    source = gz.load_model("me/base")
    assert isinstance(source, gz.GAN)
    mine = tuned(source, 3, WEIGHT)
    mine.about = {}
    adapter = mine.adapter(source)
    commit = hub.repos["me/base"].refs["main"]
    assert adapter.base["model"] == "me/base" and adapter.base["revision"] == commit
    with pytest.raises(gz.UsageError, match="does not state a licence"):
        adapter.push_to_hub("me/adapter")
    with pytest.raises(gz.HubError, match="holds a model of another kind"):
        adapter.push_to_hub("me/base", license="mit")
    assert hub.repos["me/base"].refs["main"] == commit, "the model is still there"
    done = adapter.push_to_hub("me/adapter", license="mit")
    assert set(done.changed) == {"README.md", "adapter.safetensors", "config.json"}
    card = hub.repos["me/adapter"].commits[done.commit]["README.md"].decode()
    head, body = metadata.read(card)
    assert head["base_model"] == "me/base" and head["base_model_relation"] == "adapter"
    assert head["license"] == "mit" and "adapter" in head["tags"]
    assert f'gz.load_model("me/base@{commit}").with_adapter("me/adapter")' in body
    for name in ("me/adapter", f"me/adapter@{done.commit}", "hf-hub:me/adapter"):
        again = source.with_adapter(name)
        assert near(again, mine, 1e-7)
    (used,) = again.lineage["adapters"]
    assert (used["repo"], used["revision"], used["weight"]) == ("me/adapter", done.commit, 1.0)
    assert again.license == "mit"
    assert gz.load_adapter("me/adapter", revision=done.commit).about["hub"]["revision"] == done.commit
    pulled = gz.pull("me/adapter", to=tmp_path / "pulled")
    assert near(source.with_adapter(pulled.folder), mine, 1e-7)
    assert gz.push(pulled.folder, "me/adapter").commit == done.commit  # nothing has changed
    with pytest.raises(gz.UsageError, match=r"me/adapter is an adapter, not a GAN"):
        gz.GAN.from_pretrained("me/adapter")
    assert gz.Adapter.from_pretrained("me/adapter").num_parameters() == adapter.num_parameters()


# --- the command line


def test_save_info_and_sample(
    base: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = low_rank(base)
    mine.about["lineage"] = {"base_model": "base", "strategy": "lora"}
    mine.save("mine")
    code, out, said = run(capsys, "adapter", "mine", "--to", "adapter")
    assert (code, out) == (0, "adapter\n") and "adapter for base: " in said and "% of the generator" in said
    code, out, _ = run(capsys, "info", "adapter")
    assert code == 0 and "adapter for base" in out and "--adapter adapter" in out
    code, out, _ = run(capsys, "info", "adapter", "--json")
    assert json.loads(out)["config"]["base"]["model"] == "base"
    words = ("sample", "base", "--seeds", "3-6", "--separate")
    assert run(capsys, *words, "one", "--adapter", "adapter:0.5", "--adapter", "adapter:0.5")[0] == 0
    assert run(capsys, *words, "other", "--adapter", "adapter")[0] == 0
    assert run(capsys, "sample", "mine", *words[2:], "mine-images")[0] == 0
    assert run(capsys, *words, "plain", "--adapter", "adapter:0")[0] == 0
    assert run(capsys, *words, "base-images")[0] == 0

    def pictures(folder: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted(Path(folder).iterdir())]

    assert pictures("one") == pictures("other") == pictures("mine-images")
    assert pictures("plain") == pictures("base-images") != pictures("one")
    code, _, said = run(capsys, *words, "x", "--adapter", "nothing:2")
    assert code == 2 and "unknown model 'nothing'" in said and not Path("x").exists()
