"""The conformance suite: checks that a plug-in keeps the conventions of its kind.

    from gantl_zoo.testing import check_generator, parametrize_checks

    check_generator("my-net")              # raises ConformanceError with what is wrong and what to do

    @parametrize_checks("my-package")      # with pytest: a test for each check of each name
    def test_conformance(check): check()

The core's own names pass the same checks. `gantl-zoo plugins --check NAME` prints them as a table.
"""

from gantl_zoo.registry.imports import API_VERSION
from gantl_zoo.testing.check import Check, CheckResult, ConformanceError, run
from gantl_zoo.testing.plugin import parametrize_checks
from gantl_zoo.testing.suite import (
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
    checks_for,
)

__all__ = [
    "API_VERSION",
    "Check",
    "CheckResult",
    "ConformanceError",
    "check_augmentation",
    "check_backbone",
    "check_dataset",
    "check_discriminator",
    "check_generator",
    "check_loss",
    "check_metric",
    "check_model_folder",
    "check_name",
    "check_preset",
    "check_regularizer",
    "check_strategy",
    "checks_for",
    "parametrize_checks",
    "run",
]
