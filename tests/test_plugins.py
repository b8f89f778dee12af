"""Third-party packages, made up in a temporary folder the way an installer would write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.cli.app import main
from gantl_zoo.errors import NameTakenError, PluginError, UnknownNameError
from gantl_zoo.registry import plugins

Install = Callable[..., None]
BUILD = "def build(*, size: int = 1):\n    'A thing.'\n    return ('built', size)\n"


def test_an_entry_point_is_a_name_like_any_other(install: Install) -> None:
    install("nice", BUILD, generators={"nice-net": "nice:build"})
    assert "nice-net" in registry.generators.names()
    entry = registry.generators.info("nice-net")
    assert (entry.owner, entry.version) == ("nice", "0.3")
    assert registry.generators.build("nice-net", size=2) == ("built", 2)
    assert registry.generators.build("nice:nice-net", size=3) == ("built", 3)
    assert registry.requirements(entry) == {"nice": "0.3"}


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_plugin_breaks_only_its_own_names(install: Install, code: str, cause: str) -> None:
    install("bad-one", code, generators={"bad-net": "bad_one:build"})
    assert {"bad-net", "dcgan"} <= set(registry.generators.names())
    registry.generators.build("dcgan", width=4)
    with pytest.raises(PluginError, match=f"plug-in bad-one 0.3 could not load generator 'bad-net'.*{cause}"):
        registry.generators.build("bad-net")


def test_a_malformed_reference_is_the_plugins_fault(install: Install) -> None:
    install("odd", generators={"odd-net": "odd"})
    with pytest.raises(PluginError, match=r"package\.module:object"):
        registry.generators.load("odd-net")


def test_two_plugins_with_one_name_stay_reachable(install: Install) -> None:
    install("first", BUILD, generators={"twin": "first:build"})
    install("second", BUILD, generators={"twin": "second:build"})
    assert {"first:twin", "second:twin"} <= set(registry.generators.names())
    assert "twin" not in registry.generators.names()
    with pytest.raises(UnknownNameError, match="name one of first:twin, second:twin"):
        registry.generators.build("twin")
    assert registry.generators.build("second:twin") == ("built", 1)


def test_a_built_in_keeps_its_name(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("thief", BUILD, generators={"dcgan": "thief:build"})
    assert registry.generators.info("dcgan").owner == "gantl_zoo"
    assert "thief:dcgan" in registry.generators.names()
    assert registry.generators.build("thief:dcgan") == ("built", 1)
    with pytest.raises(SystemExit):
        main(["plugins"])
    assert "reachable as thief:dcgan only, because gantl_zoo has dcgan too" in capsys.readouterr().out


def test_info_tells_the_twin_that_was_asked_for(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("first", BUILD, generators={"twin": "first:build", "dcgan": "first:build"})
    install("second", BUILD, generators={"twin": "second:build"})
    for name in ("first:twin", "first:dcgan"):
        with pytest.raises(SystemExit) as stop:
            main(["info", name])
        said = capsys.readouterr().out
        assert not stop.value.code and "from first 0.3" in said and "size=1" in said


def test_a_script_cant_take_a_plugins_name(install: Install) -> None:
    install("nice", BUILD, generators={"nice-net": "nice:build"})
    with pytest.raises(NameTakenError, match="taken by nice"):
        registry.generators.register("nice-net", print)


@pytest.mark.parametrize("value", ["all", "nice", "other,Nice", "other, nice", " all"])
def test_plugins_can_be_turned_off(install: Install, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install("nice", BUILD, generators={"nice-net": "nice:build"})
    monkeypatch.setenv("GANTL_ZOO_DISABLE_PLUGINS", value)
    plugins.rescan()
    assert "nice-net" not in registry.generators.names()


def test_plugins_tells_what_is_wrong(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("bad-one", "import not_there_at_all", strategies={"bad": "bad_one:Bad"})
    with pytest.raises(SystemExit) as stop:
        main(["plugins"])
    said = capsys.readouterr().out
    assert stop.value.code == 1
    assert "bad-one 0.3" in said and "BROKEN" in said and "No module named 'not_there_at_all'" in said
    assert "gantl-zoo-example" in said


def test_a_damaged_installation_breaks_nothing_else(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("nice", BUILD, generators={"nice-net": "nice:build"})
    install("torn", BUILD, generators={"torn-net": "torn:build"})
    (tmp_path / "torn-0.3.dist-info" / "METADATA").unlink()
    foreign = tmp_path / "foreign-1.0.dist-info"
    foreign.mkdir()
    (foreign / "entry_points.txt").write_text("[console_scripts]\nno equals sign here\n")
    bytes_only = tmp_path / "bytes-1.0.dist-info"
    bytes_only.mkdir()
    (bytes_only / "entry_points.txt").write_bytes(b"[console_scripts]\nx = a:b\xff\n")
    plugins.rescan()
    assert "nice-net" in registry.generators.names() and "torn-net" not in registry.generators.names()
    said = capsys.readouterr().err
    assert "torn-0.3.dist-info is damaged, so its names are missing" in said and "foreign" not in said
    assert "bytes-1.0.dist-info is damaged" in said


def test_a_models_entry_that_is_no_folder_is_the_plugins_fault(install: Install) -> None:
    install("nice", BUILD, models={"nice-model": "nice:build"})
    with pytest.raises(
        PluginError, match="nice's model 'nice-model' is a function, but must be the path of its folder"
    ):
        gz.load_model("nice-model")
    with pytest.raises(gz.UnknownNameError):
        gz.load_model("x" * 300)


def test_names_that_mean_something_else_are_left_out_and_told(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "sly", BUILD, models={"me/my-gan": "sly:build"}, generators={"My Net": "sly:build", "ok": "sly:build"}
    )
    assert "me/my-gan" not in registry.models and "ok" in registry.generators.names()
    assert not [name for kind in registry.REGISTRIES.values() for name in kind.names() if "My" in name]
    with pytest.raises(SystemExit):
        main(["plugins"])
    said = capsys.readouterr().out
    assert "BROKEN: model name 'me/my-gan': use lower-case" in said and "generator ok" in said


def test_a_distribution_answers_to_its_name_as_package_tools_spell_it(install: Install) -> None:
    install("Two_A", BUILD, generators={"mine": "Two_A:build"})
    for name in ("Two_A:mine", "two-a:mine", "two.a:mine"):
        assert registry.generators.build(name) == ("built", 1)


def test_a_folder_tells_which_of_two_plugins_it_needs(install: Install, gan: gz.GAN, tmp_path: Path) -> None:
    code = "from gantl_zoo.networks.dcgan import generator as build\n"
    install("first", code, generators={"twin": "first:build"})
    made = gz.build_gan("twin", generator_config={"width": 4}, discriminator_config={"width": 4})
    folder = made.save(tmp_path / "model")
    install("second", code, generators={"twin": "second:build"})
    with pytest.raises(UnknownNameError, match="two plug-ins have a"):
        registry.generators.info("twin")
    loaded = gz.load_model(folder)
    assert isinstance(loaded, gz.GAN) and loaded.parts["generator"]["name"] == "first:twin"
    assert loaded.save(tmp_path / "again") and loaded.config()["requires"] == {"first": "0.3"}
