"""The verbs' keyword arguments: complete, of the dataclasses' types, and listed by `help()`."""

from __future__ import annotations

import inspect
import types
from dataclasses import asdict, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.registry.field_help import field_help
from gantl_zoo.runs.classify_job import ClassifierSettings
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.settings import DataSettings, EvaluateSettings, MeasuringSettings, RecipeSettings
from gantl_zoo.training.recipe import VERBS

KEPT = {"source", "split_by", "place", "memory"}  # fields of `DataSpec` that are no settings
NAMES = {"root": "data_root"}
VERBS_WITH_SETTINGS = [
    gz.train, gz.transfer, gz.evaluate, gz.classify_train, gz.classify_transfer, gz.classify_evaluate,
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "recipe"),
    [
        (RecipeSettings, gz.Recipe),
        (ClassifierSettings, gz.ClassifierRecipe),
        (DataSettings, gz.DataSpec),
        (MeasuringSettings, Measuring),
    ],
)
def test_every_field_is_a_setting_of_its_type(settings: type, recipe: Any) -> None:
    hints = get_type_hints(settings)
    kinds = get_type_hints(recipe, localns={"ImageData": gz.ImageData})
    for field in fields(recipe):
        if field.name in KEPT:
            continue
        allowed = set(options(hints[NAMES.get(field.name, field.name)]))
        needed = {origin(kind) for kind in options(kinds[field.name])}
        assert type(None) in allowed, field.name
        if field.name != "metrics":  # a tuple of names, given as a text or a sequence
            assert needed <= {origin(kind) for kind in allowed}, field.name
    if recipe in (gz.Recipe, Measuring):
        assert set(hints) == {field.name for field in fields(recipe)}


def options(kind: Any) -> tuple[Any, ...]:
    """The members of a union."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def origin(kind: Any) -> Any:
    return get_origin(kind) or kind


@pytest.mark.parametrize(
    "verb",
    [gz.train, gz.transfer, gz.evaluate, gz.classify_train, gz.classify_transfer, gz.classify_evaluate],
)
def test_help_lists_each_setting_with_its_default(verb: Any) -> None:
    signature = inspect.signature(verb)
    kind = get_type_hints(verb)["settings"]
    settings = get_type_hints(get_args(kind)[0])
    assert set(settings) < set(signature.parameters)
    for name in settings:
        default = signature.parameters[name].default
        assert f"\n  {name} (default {default!r})" in verb.__doc__, name
    assert all(p.kind is not p.VAR_KEYWORD for p in signature.parameters.values())


def test_defaults_in_the_signature_are_those_of_the_verb() -> None:
    for verb in (gz.train, gz.transfer):
        defaults = asdict(gz.Recipe()) | VERBS[verb.__name__]
        parameters = inspect.signature(verb).parameters
        for field in fields(gz.Recipe):
            assert parameters[field.name].default == defaults[field.name], field.name
    assert inspect.signature(gz.evaluate).parameters["samples"].default == 10_000


def test_help_has_the_text_of_the_dataclass() -> None:
    for name, text in field_help(Measuring).items():
        assert " ".join(text.split()) in " ".join(str(gz.evaluate.__doc__).split()), name
    assert set(field_help(Measuring)) == {field.name for field in fields(Measuring)}


@pytest.mark.parametrize(
    ("word", "closest"), [("sampels", "samples"), ("extracter", "extractor"), ("progres", "progress")]
)
def test_a_misspelt_setting_of_evaluate_gets_a_suggestion(word: str, closest: str) -> None:
    wrong: Any = {word: 3}
    with pytest.raises(gz.UsageError, match=f"unknown setting '{word}'; did you mean {closest}"):
        gz.evaluate("dcgan-mnist", data="glyphs", **wrong)
    assert "image_size" not in get_type_hints(EvaluateSettings)


def test_registered_networks_keep_the_protocols(gan: gz.GAN) -> None:
    assert isinstance(gan.generator, gz.Generator) and isinstance(gan.discriminator, gz.Discriminator)
    assert not isinstance(gan.discriminator, gz.Generator) and not isinstance(gan, gz.Discriminator)
    assert gz.load_data is data.load
