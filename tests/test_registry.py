"""Names and what they lead to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from gantl_zoo.errors import NameTakenError, UnknownNameError, UsageError
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
