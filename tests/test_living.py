"""Living with plug-ins: API versions, old names, imports that misbehave, updates after a model was saved."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import run

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.cli import plugins as verb
from gantl_zoo.registry import imports
from gantl_zoo.registry.registry import Registry
from gantl_zoo.storage.requirements import install_line, is_version

Install = Callable[..., None]
BUILD = "from gantl_zoo.networks.dcgan import generator as build\n"


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("2", "for version 2 of the plug-in API, but this gantl_zoo has version 1: upgrade gantl_zoo"),
        ("0", "for version 0 of the plug-in API, but this gantl_zoo has version 1: upgrade the plug-in"),
        ("'1'", "GANTL_ZOO_API must be a whole number, not '1'"),
        ("True", "GANTL_ZOO_API must be a whole number, not True"),
    ],
)
def test_a_plugin_for_another_api_says_what_to_upgrade(install: Install, version: str, text: str) -> None:
    install("late", f"GANTL_ZOO_API = {version}\n{BUILD}", generators={"late": "late:build"})
    with pytest.raises(gz.PluginError, match=re.escape(text)) as error:
        gz.generators.build("late")
    assert "plug-in late 0.3 could not load generator 'late'" in str(error.value)


def test_older_versions_of_the_api_go_on_working(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("early", f"GANTL_ZOO_API = 1\n{BUILD}", generators={"early": "early:build"})
    install("silent", BUILD, generators={"silent": "silent:build"})
    monkeypatch.setattr(imports, "API_VERSION", 2)
    assert gz.generators.build("early", width=4) and gz.generators.build("silent", width=4)
    monkeypatch.setattr(imports, "OLDEST", 2)
    with pytest.raises(
        gz.PluginError, match=r"version 1 of the plug-in API.* has version 2: upgrade the plug-in"
    ):
        gz.generators.build("early")


def test_the_api_is_checked_before_a_newer_module_fails(install: Install, tmp_path: Path) -> None:
    package = tmp_path / "newer"
    package.mkdir()
    (package / "__init__.py").write_text("GANTL_ZOO_API = 7\n")
    (package / "net.py").write_text("from gantl_zoo import not_there_yet\n")
    install("newer-dist", generators={"newer": "newer.net:build"})
    with pytest.raises(gz.PluginError, match=r"version 7 of the plug-in API.*upgrade gantl_zoo"):
        gz.generators.build("newer")
    sys.modules.pop("newer")


def test_a_deprecated_name_works_and_warns_once(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    groups = {
        "generators": {"new-net": "renamed:build"},
        "deprecated__generators": {"old-net": "renamed:build"},
    }
    install("renamed", BUILD, **groups)
    assert "old-net" not in gz.generators.names() and "old-net" in gz.generators
    for _ in range(2):
        gan = gz.build_gan("old-net", "dcgan", generator_config={"width": 4})
    said = capsys.readouterr().err
    assert said.count("generator 'old-net' is now called 'new-net'; use the new name") == 1
    assert gan.config()["generator"]["name"] == "new-net"
    assert gz.generators.info("renamed:old-net").name == "new-net"


def test_a_folder_with_a_deprecated_name_loads(install: Install, tmp_path: Path) -> None:
    install("renamed", BUILD, generators={"old-net": "renamed:build"})
    folder = gz.build_gan("old-net", "dcgan", generator_config={"width": 4}).save(tmp_path / "model")
    groups = {
        "generators": {"new-net": "renamed:build"},
        "deprecated__generators": {"old-net": "renamed:build"},
    }
    install("renamed", BUILD, version="0.4", **groups)
    loaded = gz.load_model(folder)
    assert loaded.save(tmp_path / "again") and loaded.config()["generator"]["name"] == "new-net"


def test_a_deprecated_name_without_a_new_one_is_ignored(install: Install) -> None:
    install("odd", BUILD, generators={"odd": "odd:build"}, deprecated__generators={"older": "odd:other"})
    assert "older" not in gz.generators and "odd" in gz.generators


def test_built_in_names_can_be_deprecated(capsys: pytest.CaptureFixture[str]) -> None:
    table = {"dcgan": "gantl_zoo.networks.dcgan:generator"}
    source = Registry("generators", table, renamed={"deep-conv": "dcgan"})
    assert "deep-conv" not in source.names() and source.spelled("deep-conv") == "dcgan"
    assert source.build("deep-conv", width=4).latent_dim == source.build("dcgan", width=4).latent_dim
    assert capsys.readouterr().err.count("generator 'deep-conv' is now called 'dcgan'") == 1
    with pytest.raises(gz.NameTakenError):
        source.register("deep-conv", print)


def test_deprecated_names_are_listed_as_such(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    groups = {
        "generators": {"new-net": "renamed:build"},
        "deprecated__generators": {"old-net": "renamed:build"},
    }
    install("renamed", BUILD, **groups)
    code, out, _ = run(capsys, "plugins", "renamed")
    assert code == 0 and "generator old-net: deprecated; it is now called new-net" in out


def test_what_a_plugin_prints_is_no_result(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("loud", f"print('hello from loud')\n{BUILD}", generators={"loud": "loud:build"})
    code, out, err = run(capsys, "plugins", "loud", "--json")
    assert code == 0 and json.loads(out)[0]["name"] == "loud" and "hello from loud" in err


def test_a_slow_import_is_noted(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("slow", BUILD, generators={"slow": "slow:build"})
    assert "to import" not in run(capsys, "plugins", "slow")[1]
    monkeypatch.setattr(verb, "SLOW", 0.0)
    assert "s to import: import large packages inside functions" in run(capsys, "plugins", "slow")[1]


def test_a_warning_at_import_breaks_nothing(install: Install) -> None:
    install("wary", f"import warnings\nwarnings.warn('old')\n{BUILD}", generators={"wary": "wary:build"})
    with pytest.warns(UserWarning, match="old"):
        assert gz.generators.build("wary", width=4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_a_plugin_forks_does_not_run_the_command(install: Install, tmp_path: Path) -> None:
    install("forking", f"import os\nos.fork()\n{BUILD}", generators={"forking": "forking:build"})
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-W", "ignore", "-m", "gantl_zoo", "plugins", "forking"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.count("generator forking") == 1


def test_a_builder_that_raises_names_its_plugin(install: Install) -> None:
    install("bad-one", "def build(*, width=4):\n    return 1 / 0\n", generators={"bad": "bad_one:build"})
    text = "plug-in bad-one 0.3: generator 'bad' can't be built: ZeroDivisionError: division by zero"
    with pytest.raises(gz.PluginError, match=text):
        gz.build_gan("bad")


@pytest.fixture
def saved(install: Install, tmp_path: Path) -> Path:
    """A model of the plug-in `twin` 0.3."""
    install("twin", BUILD, generators={"twin": "twin:build"})
    return gz.build_gan("twin", "dcgan", generator_config={"width": 4}).save(tmp_path / "model")


def edit(folder: Path, required: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "requires": {"twin": required}}))


def test_a_removed_plugin_is_named_with_the_command_that_installs_it(saved: Path, tmp_path: Path) -> None:
    for path in tmp_path.glob("twin-*.dist-info/*"):
        path.unlink()
    registry.registry.installed.cache_clear()
    with pytest.raises(gz.WeightsError, match=r"'twin', which is not installed; .*: pip install twin==0\.3"):
        gz.load_model(saved)
    edit(saved, ">=0.2,<1")
    with pytest.raises(gz.WeightsError, match=r"pip install 'twin>=0\.2,<1'"):
        gz.load_model(saved)


def test_an_update_that_reads_the_model_is_silent(
    saved: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twin", BUILD, version="0.9", generators={"twin": "twin:build"})
    gz.load_model(saved)
    assert not capsys.readouterr().err


OTHER = """
from gantl_zoo.networks.dcgan import generator
def build(*, width=4, image_size=28, channels=1, latent_dim=128, num_classes=0):
    return generator(width=2 * width, image_size=image_size, channels=channels, latent_dim=latent_dim)
"""


def test_an_update_that_does_not_names_both_versions(saved: Path, install: Install) -> None:
    install("twin", OTHER, version="0.9", generators={"twin": "twin:build"})
    text = r"it was saved with twin 0\.3, but 0\.9 is installed: try pip install twin==0\.3"
    with pytest.raises(gz.WeightsError, match=text):
        gz.load_model(saved)


@pytest.mark.parametrize("required", [">=0.2,<1", "~=0.3", ">=0.3, !=0.4", "==0.3.*"])
def test_a_range_of_versions_admits_those_inside(saved: Path, required: str) -> None:
    edit(saved, required)
    assert gz.load_model(saved)


def test_a_range_of_versions_refuses_others(saved: Path) -> None:
    edit(saved, ">=0.4,<1")
    text = r"needs twin >=0\.4,<1, but 0\.3 is installed; .*: pip install 'twin>=0\.4,<1'"
    with pytest.raises(gz.WeightsError, match=text):
        gz.load_model(saved)


def test_a_plugin_may_state_the_range_that_its_models_need(install: Install, tmp_path: Path) -> None:
    code = f"GANTL_ZOO_COMPATIBLE = '>=0.3,<1'\n{BUILD}"
    install("steady", code, generators={"steady": "steady:build"})
    gan = gz.build_gan("steady", "dcgan", generator_config={"width": 4})
    assert gan.config()["requires"] == {"steady": ">=0.3,<1"}
    folder = gan.save(tmp_path / "model")
    assert "pip install 'steady>=0.3,<1'" in (folder / "README.md").read_text()
    assert torch.equal(gz.load_model(folder).generate(1), gan.generate(1))  # type: ignore[union-attr]


@pytest.mark.parametrize("version", ["0.3", "1.0.dev1+local", ">=1", ">=1,<2", "~=1.2, !=1.3", "==1.*"])
def test_versions_and_ranges(version: str) -> None:
    assert is_version(version)


@pytest.mark.parametrize(
    "version", ["", ">=", "1 2", ">=1;rm", "'1'", ">=1,", "x" * 65, ">=1," * 60 + ">=1", 1]
)
def test_other_texts_are_no_versions(version: object) -> None:
    assert not is_version(version)
    assert install_line({"a": "1", "b": ">=2"}) == "pip install a==1 'b>=2'"
