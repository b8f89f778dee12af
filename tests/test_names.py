"""Where a model's name leads: folders, releases, `~`, timm's earlier names; the sentence for wrong ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.errors import closest, unknown
from gantl_zoo.networks.backbones.timm import current_name
from gantl_zoo.networks.pretrained import find, pretrained_config
from gantl_zoo.runs.extractor import choose_extractor
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.zoo import find as folder_of, gan_named

RELEASE = folder_of("dcgan-mnist")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory and the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


USES: dict[str, Callable[[str], Any]] = {
    "load_model": gz.load_model,
    "push": lambda name: gz.push(name, "me/it", license="mit", dry_run=True),
    "extractor": lambda name: choose_extractor(
        name, gz.ImageData(torch.zeros(9, 1, 28, 28, dtype=torch.uint8))
    ),
    "strategy": lambda name: pretrained_config("projected", name, (1, 28, 28)),
    "weights": lambda name: gz.discriminators.build("backbone", backbone="cnn", weights=name),
    "of": lambda name: gz.backbones.build("discriminator", of=name),
}


@pytest.mark.parametrize("use", USES)
def test_a_folder_without_a_model_hides_no_release(use: str, here: Path) -> None:
    name = "dcgan-mnist" if use == "of" else "cnn-mnist"
    (here / name).mkdir()
    USES[use](name)
    USES[use](f"gantl_zoo:{name}")
    for path in (f"./{name}", str(here / name), f"{name}/"):
        with pytest.raises(gz.UnknownNameError, match="is a folder, but not a model or run folder"):
            USES[use](path)
    with pytest.raises(gz.UnknownNameError, match=r"there is no folder \./nothing"):
        USES[use]("./nothing")


@pytest.mark.parametrize("use", USES)
def test_a_model_folder_comes_first_and_the_owner_leads_to_the_release(use: str, here: Path) -> None:
    name = "dcgan-mnist" if use == "of" else "cnn-mnist"
    (here / name).mkdir()
    (here / name / "config.json").write_text("{}")
    for mine in (name, f"./{name}"):
        with pytest.raises(gz.WeightsError, match="is not the config of a gantl_zoo model"):
            USES[use](mine)
    USES[use](f"gantl_zoo:{name}")


@pytest.mark.parametrize("use", USES)
def test_the_home_folder_is_found(use: str, here: Path) -> None:
    name = "dcgan-mnist" if use == "of" else "cnn-mnist"
    gz.load_model(name).save("~/it")
    USES[use]("~/it")
    assert (here / "home" / "it" / "config.json").is_file() and not (here / "~").exists()


def test_a_folder_hides_nothing_on_the_hub(pushed: Path, here: Path) -> None:
    (here / "me" / "my-gan").mkdir(parents=True)
    assert gz.load_model("me/my-gan").about["hub"]["repo"] == "me/my-gan"
    with pytest.raises(gz.HubError, match="me/nothing is a folder, but not a model"):
        (here / "me" / "nothing").mkdir()
        gz.load_model("me/nothing")


def test_paths_of_push_and_pull_are_expanded(pushed: Path, here: Path) -> None:
    (here / "home" / "card.md").write_text("# About it\n", encoding="utf-8")
    sent = gz.push(pushed, "me/other", card_file="~/card.md", dry_run=True)
    assert "# About it" in str(sent)
    assert gz.pull("me/my-gan", to="~/pulled").folder == here / "home" / "pulled"


def test_the_cache_may_be_in_the_home_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gantl_zoo.storage import features

    monkeypatch.setenv("GANTL_ZOO_CACHE", "~/kept")
    features.kept(("it",), lambda: (torch.zeros(2, 3), None))
    assert len(list((here / "home" / "kept").iterdir())) == 1 and not (here / "~").exists()


@pytest.mark.parametrize("name", [3, None, "", b"dcgan-mnist", ["dcgan-mnist"]])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(gz.UsageError, match="a model must be a name or a folder, not"):
        gz.load_model(name)


def test_a_model_in_the_hand_is_pushed_and_taken(gan: gz.GAN, tmp_path: Path, hub: Any) -> None:
    shown = gz.push(gan, "me/mine", license="mit", dry_run=True)
    assert "generator.safetensors" in str(shown)
    gz.push(gan, "me/mine", license="mit")
    again = gz.load_model("me/mine")
    assert torch.equal(again.generate(2), gan.generate(2))  # type: ignore[union-attr]
    assert gan_named(gan) is gan
    with pytest.raises(gz.UsageError, match="eye is a backbone, not a GAN"):
        gan_named(gz.build_classifier("cnn", name="eye"))  # type: ignore[arg-type]
    with pytest.raises(gz.UsageError, match="not an object of type GAN"):
        gz.load_model(gan)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "present"),
    [
        ("tf_efficientnet_b0_ns", "tf_efficientnet_b0.ns_jft_in1k"),
        ("vit_base_patch16_224_in21k", "vit_base_patch16_224.augreg_in21k"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("test_resnet", "test_resnet"),
    ],
)
def test_timm_names_of_all_times_are_known(name: str, present: str) -> None:
    assert current_name(name) == present


@pytest.mark.parametrize("prefix", ["timm/", "hf-hub:timm/", "hf_hub:timm/"])
def test_timm_names_of_the_hub_are_known(prefix: str, tmp_path: Path) -> None:
    name = f"timm:{prefix}test_resnet.r160_in1k"
    model = gz.build_classifier(name, {"pretrained": False, "channels": 1})
    assert model.config()["backbone"]["name"] == "timm:test_resnet.r160_in1k"
    gz.load_model(model.save(tmp_path / "it"))
    config = {"backbone": name, "pretrained": False}
    gan = gz.build_gan("dcgan", "backbone", generator_config={"width": 4}, discriminator_config=config)
    assert gan.config()["discriminator"]["config"]["backbone"] == "timm:test_resnet.r160_in1k"
    with pytest.raises(gz.UnknownNameError, match="timm has no model"):
        gz.backbones.build("timm:hf-hub:someone/test_resnet", pretrained=False)
    with pytest.raises(
        gz.UnknownNameError, match=r"timm has no weights 'r160' .* it has test_resnet.r160_in1k"
    ):
        gz.backbones.build("timm:test_resnet.r160", pretrained=False)
    with pytest.raises(gz.UnknownNameError, match="'efficientnett_b0'; it has for example efficientnet_b0"):
        gz.backbones.build("timm:efficientnett_b0", pretrained=False)


def test_trained_networks_are_found_one_way() -> None:
    assert find("cnn-mnist", "x").load().num_classes == 10
    for name, said in {
        "cnn": "x: cnn is an architecture without weights",
        "dcgan-mnist": "x: dcgan-mnist is a GAN; a classifier is needed",
        "nothing": "unknown model 'nothing'",
    }.items():
        with pytest.raises(gz.UsageError, match=said):
            find(name, "x:")


def test_builders_of_others_may_call_their_arguments_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gantl_zoo.networks.backbones import cnn
    from gantl_zoo.networks.dcgan import DCGANGenerator

    def generator(*, weights: int = 4, pretrained: str = "no", of: int = 8) -> DCGANGenerator:
        assert pretrained == "not at all"
        return DCGANGenerator(28, 1, weights, of)

    def backbone(*, channels: int = 1, pretrained: int = 7) -> cnn.CNN:
        return cnn.CNN(channels, 10, [pretrained], 0.0)

    for kind, builder in ((gz.generators, generator), (gz.backbones, backbone)):
        monkeypatch.setattr(kind, "_own", dict(kind._own))
        kind.register("theirs", builder)
    config = {"weights": 2, "pretrained": "not at all", "of": 3}
    gan = gz.build_gan(
        "theirs", "backbone", generator_config=config, discriminator_config={"backbone": "theirs"}
    )
    again = gz.load_model(gan.save(tmp_path / "gan"))
    assert (
        isinstance(again, gz.GAN)
        and again.latent_dim == 3
        and torch.equal(again.generate(2), gan.generate(2))
    )
    assert again.config()["generator"]["config"] == config
    model = gz.build_classifier("theirs", {"pretrained": 5})
    assert gz.load_model(model.save(tmp_path / "it")).backbone.embedding_dim == 5  # type: ignore[union-attr]


def test_requirements_name_the_plugins_of_all_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gantl_zoo.networks.backbones import cnn
    from gantl_zoo.networks.dcgan import discriminator
    from gantl_zoo.registry import registry as module
    from gantl_zoo.registry.plugins import Entry, Plugin

    plugins = tuple(
        Plugin(owner, "1", (Entry(kind, name, "x:y", owner, "1", target=target),))
        for owner, kind, name, target in (
            ("pack-a", "discriminators", "theirs", discriminator),
            ("pack-b", "backbones", "seer", cnn.backbone),
        )
    )
    monkeypatch.setattr(module, "installed", lambda: plugins)
    kinds: dict[str, dict[str, Any]] = {"network": {"network": "theirs"}}
    model = gz.build_classifier("discriminator", kinds["network"])
    assert model.config()["requires"] == {"pack-a": "1"}
    assert gz.load_model(model.save(tmp_path / "it")).config()["requires"] == {"pack-a": "1"}
    deep = {
        "network": "backbone",
        "network_config": {"backbone": "discriminator", "network": "pack-a:theirs"},
    }
    parts = {"discriminator": {"name": "backbone", "config": {"backbone": "seer"}}}
    parts["generator"] = {"name": "dcgan", "config": {}}
    from gantl_zoo.model.base import requirements

    assert requirements(parts) == {"pack-b": "1"}
    assert requirements({"backbone": {"name": "discriminator", "config": deep}}) == {"pack-a": "1"}
    both = {"network": "theirs", "network_config": {"backbone": "seer"}}
    assert requirements({"backbone": {"name": "discriminator", "config": both}}) == {
        "pack-a": "1",
        "pack-b": "1",
    }
    twin = Plugin("twin", "1", (Entry("discriminators", "theirs", "x:y", "twin", "1", target=print),))
    monkeypatch.setattr(module, "installed", lambda: (*plugins, twin))
    again = gz.load_model(tmp_path / "it")
    assert again.parts["backbone"]["config"]["network"] == "pack-a:theirs"
    assert again.config()["requires"] == {"pack-a": "1"}
    monkeypatch.setattr(module, "installed", lambda: ())
    with pytest.raises(gz.WeightsError, match=r"unknown discriminator 'theirs'.*: pip install pack-a==1"):
        gz.load_model(tmp_path / "it")


def test_close_names_come_first_and_else_all() -> None:
    losses = ["hinge", "minimax", "non-saturating"]
    assert unknown("loss", "hinje", losses) == "unknown loss 'hinje'; did you mean hinge?"
    assert (
        unknown("loss", "Non_Saturating", losses)
        == "unknown loss 'Non_Saturating'; did you mean non-saturating?"
    )
    assert (
        unknown("loss", "x", losses, hint="h")
        == "unknown loss 'x'; there are: hinge, minimax, non-saturating (h)"
    )
    assert unknown("setting", ["stepz", "zzz"], ["steps", "batch"]) == (
        "unknown setting stepz, zzz; did you mean steps?"
    )
    assert unknown("loss", "x", []) == "unknown loss 'x'" and closest("hing", losses) == ["hinge"]
    options = ["--loss", "--samples", "--seed", "--shots", "--steps"]
    assert closest("--stpes", options) == ["--steps", "--samples", "--shots"], "dashes don't count"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "it.txt"
    with replace_file(path) as beside:
        assert beside.suffix == ".txt" and beside.parent == path.parent
        beside.write_text("one")
    with pytest.raises(RuntimeError), replace_file(path) as beside:
        beside.write_text("two")
        raise RuntimeError
    assert path.read_text() == "one" and os.listdir(path.parent) == ["it.txt"]
    (tmp_path / "link.txt").symlink_to(path)
    with replace_file(tmp_path / "link.txt") as beside:
        beside.write_text("three")
    assert (tmp_path / "link.txt").is_symlink() and path.read_text() == "three"
    assert registry.is_path("./x") and not registry.is_path("x/y")


def test_a_misspelt_run_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "00000-faces").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gantl_zoo.zoo.from_hub", lambda *_, **__: pytest.fail("asked the Hub"))
    message = r"no folder runs/00000-face; did you mean 00000-faces; .* hf-hub:runs/00000-face"
    with pytest.raises(gz.UnknownNameError, match=message):
        gz.load_model("runs/00000-face")
