"""docs/model-folder.md: the example is valid, and the page describes what is written, read and refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_docs import DOCS, ROOT, blocks, section

import gantl_zoo as gz
from gantl_zoo.model.sampling import drawn_classes, latents
from gantl_zoo.networks.base import digest
from gantl_zoo.networks.difference import FORMS
from gantl_zoo.storage import headers, schema, untrusted

PAGE = DOCS / "model-folder.md"
CONFIGS = sorted(
    [*ROOT.glob("gantl_zoo/released/*/config.json"), *ROOT.glob("plugins/*/*/released/*/config.json")]
)


def keys_of(heading: str) -> set[str]:
    """The keys in the first column of a section's table."""
    cells = re.findall(r"^\| (`.*?) \|", section("model-folder", heading), re.M)
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def test_the_example_is_a_valid_config() -> None:
    (text,) = blocks(PAGE, "json")
    untrusted.walk(config := untrusted.parse(text.encode()))
    schema.check_config(config, Path("config.json"))
    assert set(config) == set(schema.SCHEMA) | set(schema.IMAGES) | {*schema.KINDS["gan"]}


def test_the_table_has_exactly_the_keys_that_are_read() -> None:
    networks = {part for parts in schema.KINDS.values() for part in parts}
    assert keys_of("config.json") == {*schema.SCHEMA, *schema.IMAGES, *schema.DIFFERENCE} | networks


@pytest.mark.parametrize("kind", schema.KINDS)
def test_the_table_says_which_keys_are_required(kind: str) -> None:
    words = {"gan": "GANs", "backbone": "classifiers", "adapter": "adapters"}
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section("model-folder", "config.json"), re.M)
    required = {key for key, who in rows if "required" in who and re.search(f"all|{words[kind]}", who)}
    (text,) = blocks(PAGE, "json")
    valid = {
        "gan": json.loads(text),
        "backbone": {"format": 1, "kind": "backbone", "backbone": {"name": "cnn"}},
        "adapter": {
            "format": 1,
            "kind": "adapter",
            "generator": {"name": "dcgan"},
            "base": {"model": "a", "digest": "0" * 16},
        },
    }[kind]
    for key in valid:
        less = {k: v for k, v in valid.items() if k != key}
        try:
            schema.check_config(less, Path("config.json"))
        except gz.WeightsError:
            assert key in required, f"{key} is required"
        else:
            assert key not in required, f"{key} is not required"


def lineages(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    lineage = config.get("lineage")
    while lineage:
        yield lineage
        lineage = lineage.get("base_lineage")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_every_key_that_released_models_have_is_described(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    words = set(re.findall(r"`(\w+)`", section("model-folder", "Lineage")))
    for lineage in lineages(config):
        assert set(lineage) <= keys_of("Lineage")
        inner = [lineage.get(key, {}) for key in ("data", "weights", "imported")]
        assert {key for one in inner for key in one} <= words
    assert {key for row in config.get("metrics", []) for key in row} <= keys_of("Metrics")


def test_every_key_of_an_adapter_and_of_its_sum_is_described() -> None:
    base = gz.build_gan(
        "dcgan", generator_config={"image_size": 8, "channels": 1, "width": 4, "latent_dim": 4}
    )
    tuned = gz.build_gan(
        "dcgan", generator_config={"image_size": 8, "channels": 1, "width": 4, "latent_dim": 4}
    )
    adapter = tuned.adapter(base=base)
    assert set(adapter.about) <= keys_of("config.json")
    assert set(base.with_adapter(adapter).lineage) <= keys_of("Lineage")
    shown = set(re.findall(r"`(diff|[abs][01])`", section("model-folder", "Adapters")))
    assert shown == set().union(*FORMS)


def test_the_digest_is_computed_as_the_page_says() -> None:
    gan = gz.build_gan(
        "dcgan", generator_config={"image_size": 8, "channels": 1, "width": 4, "latent_dim": 4}
    )
    whole = hashlib.sha256()
    for name, tensor in sorted(gan.generator.state_dict().items()):
        whole.update(name.encode() + tensor.numpy().astype(tensor.numpy().dtype.newbyteorder("<")).tobytes())
    assert whole.hexdigest()[:16] == digest(gan.generator.state_dict())


def test_the_image_of_a_seed_is_computed_as_the_page_says() -> None:
    noise = torch.empty(7).normal_(generator=torch.Generator().manual_seed(5))
    assert torch.equal(latents([5], 7)[0], noise)
    first = hashlib.sha256(b"class of seed 5").digest()[:8]
    assert drawn_classes([5], 10).tolist() == [int.from_bytes(first, "big") % 10]


def test_the_keys_of_training_that_are_read_are_described() -> None:
    assert keys_of("Training") == {"classes", "command", "curves"}
    for key in keys_of("Training"):
        assert schema.training({key: 1}), f"{key} is not checked"


def test_the_limits_are_those_of_the_code() -> None:
    text = section("model-folder", "What a reader must refuse")
    limits = {
        "`config.json`": [schema.MAX_CONFIG_BYTES],
        "nesting of JSON": [untrusted.MAX_DEPTH, untrusted.MAX_BRACKETS],
        "a text in JSON": [untrusted.MAX_TEXT],
        "an integer in JSON": [untrusted.MAX_DIGITS],
        "a number in a network's arguments": [schema.LARGEST],
        "a list in a network's arguments": [schema.LONGEST],
        "a safetensors header or an index": [headers.MAX_HEADER_BYTES],
        "a weights file": [headers.MAX_FILE_BYTES],
        "shards of a network": [headers.MAX_SHARDS],
    }
    rows = dict(re.findall(r"^\| (.*?) \| (.*?) \|$", text, re.M))
    assert set(rows) - {"what", "---"} == set(limits)
    for what, numbers in limits.items():
        assert all(f"{number:,}" in rows[what] for number in numbers), what
