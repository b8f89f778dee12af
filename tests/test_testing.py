"""The conformance suite: each check finds what breaks it, alone, and its results are what they should be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import broken_networks
import broken_settings as settings
import pytest
import torch
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.registry.plugins import Entry, guide
from gantl_zoo.testing import (
    CheckResult,
    ConformanceError,
    check_augmentation,
    check_backbone,
    check_dataset,
    check_discriminator,
    check_generator,
    check_loss,
    check_metric,
    check_model_folder,
    check_name,
    check_preset,
    check_regularizer,
    check_strategy,
)
from gantl_zoo.testing.subject import UNNAMED
from gantl_zoo.testing.suite import SUITES

NETWORKS = ("generators", "discriminators", "backbones")
BROKEN: dict[str, dict[str, Any]] = {
    **{kind: broken_networks.broken(kind) for kind in NETWORKS},
    "strategies": settings.STRATEGIES,
    "losses": settings.LOSSES,
    "augmentations": settings.AUGMENTATIONS,
    "regularizers": settings.REGULARIZERS,
    "presets": settings.PRESETS,
    "datasets": settings.DATASETS,
    "metrics": settings.METRICS,
    "weights": settings.WEIGHTS,
    "formats": settings.FORMATS,
}
GOOD: dict[str, Any] = {
    **{kind: broken_networks.good(kind) for kind in NETWORKS},
    "strategies": settings.LastBlock,
    "losses": settings.NonSaturating,
    "augmentations": gz.Augment,
    "regularizers": gz.Regularizer,
    "datasets": settings.digits,
    "metrics": settings.Mean,
}
FUNCTIONS: dict[str, Any] = {
    "generators": check_generator,
    "discriminators": check_discriminator,
    "backbones": check_backbone,
    "strategies": check_strategy,
    "losses": check_loss,
    "augmentations": check_augmentation,
    "regularizers": check_regularizer,
    "presets": check_preset,
    "datasets": check_dataset,
    "metrics": check_metric,
}
REMAINING = [
    (kind, name)
    for kind in SUITES
    if kind not in (*NETWORKS, "models")
    for name in registry.REGISTRIES[kind].names()
    if (kind, name) != ("datasets", "glyphs")  # drawing its 24,000 letters twice takes long
]


def failures(results: list[CheckResult]) -> list[str]:
    return [one.check for one in results if one.status == "failed"]


@pytest.mark.parametrize(("kind", "check"), [(kind, check) for kind in BROKEN for check in BROKEN[kind]])
def test_a_check_finds_what_breaks_it_and_nothing_else(kind: str, check: str) -> None:
    results = check_name(kind, BROKEN[kind][check], on_fail=None)
    assert failures(results) == [check], [one.reason for one in results if one.wrong]
    (reason,) = [one.reason for one in results if one.check == check]
    assert f"fails the check {check}: " in reason and ", but " in reason and "(docs/" in reason


def test_every_check_is_tested_here() -> None:
    for kind, (_, suite) in SUITES.items():
        if kind != "models":
            assert {check.name for check in suite.checks} == {"loads", *BROKEN[kind]}, kind


def test_the_guide_names_every_check_and_has_the_pages_that_errors_name() -> None:
    root = Path(__file__).parent.parent
    text = (root / "docs" / "authors" / "package.md").read_text(encoding="utf-8")
    for kind, (_, suite) in SUITES.items():
        assert {check.name for check in suite.checks} <= set(re.findall(r"`([\w-]+)`", text))
        assert (root / guide(kind)).is_file(), kind
    assert set(SUITES) == set(registry.REGISTRIES)


@pytest.mark.parametrize("kind", GOOD)
def test_what_keeps_the_conventions_passes(kind: str) -> None:
    results = FUNCTIONS[kind](GOOD[kind])
    assert {one.status for one in results} <= {"passed", "skipped"}
    assert UNNAMED not in registry.REGISTRIES[kind].names()


@pytest.mark.parametrize(("kind", "name"), REMAINING)
def test_registered_names_pass(kind: str, name: str) -> None:
    FUNCTIONS.get(kind, lambda name: check_name(kind, name))(name)


@pytest.mark.parametrize("name", registry.models.names())
def test_released_models_pass(name: str) -> None:
    check_model_folder(name)


@pytest.mark.parametrize("kind", [kind for kind in SUITES if kind != "models"])
def test_a_name_that_cant_be_imported_fails(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = registry.REGISTRIES[kind]
    monkeypatch.setitem(source._own, "gone", Entry(kind, "gone", "nothing_here:x", "script"))
    results = check_name(kind, "gone", on_fail=None)
    assert failures(results) == ["loads"] and {one.status for one in results[1:]} == {"skipped"}
    assert "ModuleNotFoundError" in results[0].reason


@pytest.fixture
def released(gan: gz.GAN, tmp_path: Path) -> Path:
    gan.license = "mit"
    for weights in gan.generator.parameters():
        if weights.ndim > 1:  # a fresh generator makes nearly the same image from all latents
            nn.init.normal_(weights, 0, 0.3)
    return gan.save(tmp_path / "released")


def edit(folder: Path, **changed: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))


def test_a_folder_without_a_config_fails(released: Path) -> None:
    check_model_folder(released)
    (released / "config.json").unlink()
    assert failures(check_model_folder(released, on_fail=None)) == ["folder"]


def test_damaged_weights_fail(released: Path) -> None:
    (released / "generator.safetensors").write_bytes(b"\0" * 100)
    results = check_model_folder(released, on_fail=None)
    assert failures(results) == ["loads"]


def test_a_release_without_a_licence_fails(released: Path) -> None:
    edit(released, license="")
    assert failures(check_model_folder(released, on_fail=None)) == ["licence"]


def test_a_generator_that_makes_one_image_fails(gan: gz.GAN, tmp_path: Path) -> None:
    gan.license = "mit"
    nn.init.zeros_(gan.generator.blocks[-1][0].weight)
    assert failures(check_model_folder(gan.save(tmp_path / "same"), on_fail=None)) == ["works"]


def test_a_generator_that_draws_random_numbers_fails(tmp_path: Path) -> None:
    try:
        gz.generators.register("noisy", broken_networks.good("generators", Alive))
        network = gz.generators.build("noisy")
        made = gz.GAN(network.eval(), None, {"generator": {"name": "noisy", "config": {"channels": 1}}})
        made.license = "mit"
        results = check_model_folder(made.save(tmp_path / "noisy"), on_fail=None)
        assert failures(results) == ["same-seed"]
    finally:
        gz.generators._own.pop("noisy")


class Alive(broken_networks.Noisy):
    """A generator of lively images that draws random numbers."""

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(5 * super().forward(inputs))


def test_a_folder_that_does_not_name_a_plugin_fails(tmp_path: Path) -> None:
    made = gz.GAN(
        gz.generators.build("resize-conv", image_size=8, width=4).eval(),
        None,
        {"generator": {"name": "resize-conv", "config": {"image_size": 8, "width": 4}}},
    )
    made.license = "mit"
    folder = made.save(tmp_path / "model")
    edit(folder, requires={})
    assert failures(check_model_folder(folder, on_fail=None)) == ["requires"]


def test_results_say_what_was_expected() -> None:
    bad = BROKEN["generators"]["output-range"]
    results = check_generator(bad, expected_failures={"output-range": "it is an old network"})
    (found,) = [one for one in results if one.check == "output-range"]
    assert (found.status, found.reason, found.wrong) == ("xfailed", "it is an old network", False)
    with pytest.raises(ConformanceError, match="passes the check classes, which was expected to fail: why"):
        check_generator(GOOD["generators"], expected_failures={"classes": "why"})
    with pytest.raises(gz.UsageError, match=r"unknown check clases; did you mean classes\?"):
        check_generator(GOOD["generators"], expected_failures={"clases": "why"})


def test_a_failure_raises_warns_or_does_neither(capsys: pytest.CaptureFixture[str]) -> None:
    bad = BROKEN["losses"]["scalar"]
    with pytest.raises(
        ConformanceError, match=r"scalar: a loss is a finite scalar tensor, but .*\(4,\)"
    ) as error:
        check_loss(bad)
    assert failures(error.value.results) == ["scalar"]
    check_loss(bad, on_fail="warn")
    assert "warning: loss 'under-test' fails the check scalar" in capsys.readouterr().err
    assert failures(check_loss(bad, on_fail=None)) == ["scalar"] and not capsys.readouterr().err
    with pytest.raises(gz.UsageError, match="on_fail must be"):
        check_loss(bad, on_fail="ignore")  # type: ignore[arg-type]


def test_checks_keep_the_random_state_and_the_network(gan: gz.GAN) -> None:
    before = torch.get_rng_state()
    check_generator("dcgan", {"width": 4})
    assert torch.equal(before, torch.get_rng_state())


def test_the_suite_needs_pytest_for_its_decorator_alone() -> None:
    code = "import sys, gantl_zoo.testing; assert not {'pytest', '_pytest'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


CONFORMANCE = """
from gantl_zoo.testing import parametrize_checks

@parametrize_checks("gantl-zoo-example", {expected}configs={{"resize-conv": {{"width": 4}}}})
def test_conformance(check):
    check()
"""


EXPECTED = {
    "none": "",
    "passing": "expected_failures={'resize-conv-by-seed': 'why'}, ",
    "unknown": "expected_failures={'resize-conv-bye-seed': 'why'}, ",
}


def test_a_plugin_runs_the_suite_with_pytest(tmp_path: Path) -> None:
    """Three files in one process, since each process imports torch."""
    for name, expected in EXPECTED.items():
        (tmp_path / f"test_{name}.py").write_text(CONFORMANCE.format(expected=expected))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-k", "resize-conv", "."]
    command += ["--continue-on-collection-errors"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    results = {
        name: {line.split()[0] for line in lines if re.match(rf"[A-Z]+ test_{name}\.py", line)}
        for name in EXPECTED
    }
    assert results["none"] == {"PASSED"}, done.stdout[-3000:]
    assert results["passing"] == {"PASSED", "FAILED"} and "[XPASS(strict)] why" in done.stdout
    assert results["unknown"] == {"ERROR"} and "did you mean resize-conv-by-seed" in done.stdout
    assert done.returncode == 1 and sum(line.startswith("FAILED") for line in lines) == 1
