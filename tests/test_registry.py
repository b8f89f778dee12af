"""Names and what they lead to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from gantl_zoo.errors import NameTakenError, UnknownNameError, UsageError
from gantl_zoo.registry.arguments import starting_weights
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry("generators", {"dcgan": "gantl_zoo.networks.dcgan:generator"})


def build_square(*, side: int, colour: str = "red") -> tuple[int, str]:
    return side, colour


def test_listing_costs_no_torch_and_no_plugin() -> None:
    code = (
        "import sys, gantl_zoo as gz; assert gz.list_models('dcgan-*'); "
        "heavy = {'torch', 'torchvision', 'timm', 'matplotlib', 'gantl_zoo_example'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_decorator_registers_and_build_fills_defaults(registry: Registry) -> None:
    assert registry.register("square")(build_square) is build_square
    assert registry.build("square", side=3) == (3, "red")
    assert registry.configure("square", side=3) == {"side": 3, "colour": "red"}
    assert registry.info("square").owner == "script"


def test_a_taken_name_raises_and_override_replaces(registry: Registry) -> None:
    with pytest.raises(NameTakenError, match=r"'dcgan' is taken by gantl_zoo \(gantl_zoo.networks.dcgan"):
        registry.register("dcgan", build_square)
    registry.register("dcgan", build_square, override=True)
    assert registry.load("dcgan") is build_square


def typed(
    *,
    side: int = 1,
    share: float = 0.5,
    loud: bool = False,
    names: Sequence[str] = (),
    mode: str | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"side": 2.0}, "side must be int, not 2.0"),
        ({"side": True}, "side must be int, not True"),
        ({"share": "much"}, "share must be float, not 'much'"),
        ({"share": float("nan")}, "share must be float, not nan"),
        ({"loud": 1}, "loud must be bool, not 1"),
        ({"names": "abc"}, "names must be .*, not 'abc'"),
        ({"names": ["a", 1]}, r"names must be .*, not \['a', 1\]"),
        ({"mode": 3}, "mode must be .*, not 3"),
        ({"side": 2, "share": 1, "loud": True, "names": ("a", "b"), "mode": None}, ""),
    ],
)
def test_arguments_have_the_types_that_the_builder_says(
    registry: Registry, config: dict[str, object], said: str
) -> None:
    registry.register("typed", typed)
    if not said:
        assert registry.configure("typed", **config) == config
        return
    with pytest.raises(UsageError, match=f"generator 'typed': {said}"):
        registry.configure("typed", **config)


def test_annotations_that_only_a_type_checker_knows_are_not_judged(registry: Registry) -> None:
    def build(*, side: Undefined = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    registry.register("vague", build)
    assert registry.configure("vague", side="x") == {"side": "x"}


def test_names_of_built_ins_cant_be_taken_by_accident_of_case(registry: Registry) -> None:
    with pytest.raises(UsageError, match="lower-case"):
        registry.register("DCGAN", build_square)


def test_an_unknown_name_says_what_is_near(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown generator 'dcgam'; did you mean dcgan\?") as error:
        registry.build("dcgam")
    assert isinstance(error.value, LookupError)
    with pytest.raises(UnknownNameError, match="there are: dcgan"):
        registry.info("zzz")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"side": 1, "hue": 2}, "takes no argument 'hue'; it takes: side, colour"),
        ({}, "needs side"),
    ],
)
def test_wrong_arguments_are_named(registry: Registry, config: dict[str, int], said: str) -> None:
    registry.register("square", build_square)
    with pytest.raises(UsageError, match=said):
        registry.build("square", **config)


def test_a_network_to_be_filled_fetches_nothing(registry: Registry) -> None:
    @starting_weights(weights=None, pretrained=False)
    def fetching(*, side: int, weights: str | None = "theirs", pretrained: bool = True) -> tuple[object, ...]:
        return side, weights, pretrained

    registry.register("fetching", fetching)
    assert registry.build("fetching", side=3) == (3, "theirs", True)
    assert registry.build_empty("fetching", side=3) == (3, None, False)
    assert registry.build_empty("fetching", side=3, weights="mine") == (3, None, False)
    registry.register("square", build_square)
    assert registry.build_empty("square", side=3) == (3, "red")
    with pytest.raises(UsageError, match="needs side"):
        registry.build_empty("fetching")


def test_arguments_that_fetch_are_declared_and_never_guessed(registry: Registry) -> None:
    def plain(*, weights: int = 3, pretrained: str = "much", of: int = 2) -> tuple[object, ...]:
        return weights, pretrained, of

    registry.register("plain", plain)
    config = registry.configure("plain", weights=5)
    assert registry.described("plain", config) == {"name": "plain", "config": config}
    assert registry.build_empty("plain", **config) == (5, "much", 2)
    with pytest.raises(UsageError, match="unknown argument 'weihgts'; did you mean weights"):
        starting_weights(weihgts=None)(plain)


def test_arguments_of_networks_inside_are_declared_there(monkeypatch: pytest.MonkeyPatch) -> None:
    backbones, discriminators = REGISTRIES["backbones"], REGISTRIES["discriminators"]
    for registry in (backbones, discriminators):
        monkeypatch.setattr(registry, "_own", dict(registry._own))
    seen: list[object] = []

    @backbones.register("fetched")
    @starting_weights(checkpoint=None)
    def fetched(*, checkpoint: str | None = "theirs", channels: int = 1) -> object:
        seen.append(checkpoint)
        return backbones.build("cnn", channels=channels, widths=[4])

    @discriminators.register("outer")
    def outer(*, network: str, network_config: dict[str, object]) -> object:
        return discriminators.build(network, **network_config)

    made = discriminators.configure("backbone", backbone="fetched", checkpoint="mine")
    kept = discriminators.described("backbone", made)["config"]
    assert kept["backbone"] == "fetched" and not {"checkpoint", "weights", "pretrained"} & set(kept)
    nested = {"network": "backbone", "network_config": made}
    assert discriminators.described("outer", nested)["config"] == nested | {"network_config": kept}
    discriminators.build_empty("backbone", **kept)
    discriminators.build_empty("outer", network="backbone", network_config=kept)
    assert seen == [None, None]


def test_an_argument_may_have_any_name(registry: Registry) -> None:
    registry.register("square", build_square)
    for key in ("name", "self", "config", "kind"):
        with pytest.raises(UsageError, match=f"takes no argument '{key}'"):
            registry.build("square", side=1, **{key: 2})
    for key in ("name", "self"):
        with pytest.raises(UsageError, match=f"'timm:resnet18' takes no argument '{key}'"):
            REGISTRIES["backbones"].build("timm:resnet18", **{key: 2})
        with pytest.raises(UsageError, match=f"backbone 'cnn' takes no argument '{key}'"):
            REGISTRIES["discriminators"].build("backbone", **{key: 2})


def test_an_owner_names_its_own(registry: Registry) -> None:
    registry.register("dcgan", build_square, override=True)
    assert registry.info("dcgan").owner == "script"
    assert registry.info("gantl_zoo:dcgan").reference == "gantl_zoo.networks.dcgan:generator"
    assert registry.info("script:dcgan").load() is build_square
    with pytest.raises(UnknownNameError, match="did you mean gantl_zoo:dcgan"):
        registry.info("gantl_zoo:dcgam")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_registered_name_loads_and_is_documented(kind: str) -> None:
    for name in REGISTRIES[kind].names():
        target = REGISTRIES[kind].load(name)
        assert kind == "models" or target.__doc__, name


def test_a_prefix_answers_to_whatever_follows() -> None:
    backbones = REGISTRIES["backbones"]
    assert "timm:resnet18" in backbones
    assert backbones.lookup("timm:resnet18") == [backbones.info("timm:resnet18")]
    assert "name" not in backbones.configure("timm:resnet18")
    for name in ("timm:", "timm", "tim:resnet18", ":resnet18"):
        assert name not in backbones and not backbones.lookup(name)
        with pytest.raises(UnknownNameError, match="or timm:NAME"):
            backbones.info(name)
    assert "timm:resnet18" not in REGISTRIES["generators"]


def test_patterns_select_names() -> None:
    assert REGISTRIES["models"].names("cnn-*") == ["cnn-fashion-mnist", "cnn-mnist"]
