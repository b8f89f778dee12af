"""What strangers put on a Hub, what a user types wrongly, and who else uses the Hub's client meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, get_session
from huggingface_hub.errors import HfHubHTTPError
from loopback_hub import Fault, LoopbackHub

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.hub import client, fetch

NAME = "me/my-gan"


def fetched(hub: LoopbackHub) -> set[str]:
    return {request.rpartition("/")[2] for request in hub.requests if request.startswith("GET /me")}


def commit(hub: LoopbackHub, **files: bytes) -> None:
    repo = hub.repos[NAME]
    changed = {name.replace("_", "."): data for name, data in files.items()}
    repo.commit("main", repo.commits[repo.refs["main"]] | changed, "changed")


def test_of_shards_only_the_generators_are_fetched(hub: LoopbackHub, gan: gz.GAN, tmp_path: Path) -> None:
    gan.about["license"] = "mit"
    gz.push(gan.save(tmp_path / "mine", max_shard_size=4000), NAME)
    assert len([name for name in hub.repos[NAME].commits[hub.repos[NAME].refs["main"]] if "-of-" in name]) > 4
    hub.requests.clear()
    found = gz.load_model(NAME, discriminator=False)
    assert isinstance(found, gz.GAN) and torch.equal(found.generate(2), gan.generate(2))
    assert len(fetched(hub)) > 3
    assert all(name == "config.json" or name.startswith("generator") for name in fetched(hub))
    to = gz.pull(NAME, to=tmp_path / "to").folder
    whole = gz.load_model(to)
    assert isinstance(whole, gz.GAN) and whole.discriminator is not None
    gan.save(tmp_path / "mine")
    assert len(gz.push(tmp_path / "mine", NAME).deleted) > 4, "the older layout goes"
    gz.pull(NAME, to=to)
    assert not list(to.glob("*-of-*")) and isinstance(gz.load_model(to), gz.GAN)


def test_the_configs_hashes_hold_for_the_generator_alone(
    hub: LoopbackHub, pushed: Path, tmp_path: Path
) -> None:
    data = bytearray((pushed / "generator.safetensors").read_bytes())
    data[-1] ^= 1
    commit(hub, generator_safetensors=bytes(data))  # the Hub's own hash fits these bytes
    for call in (lambda: gz.load_model(NAME, discriminator=False), lambda: gz.pull(NAME, to=tmp_path / "to")):
        with pytest.raises(
            gz.WeightsError, match=r"generator\.safetensors does not match its SHA-256 in config.json"
        ):
            call()
    assert not (tmp_path / "to").exists() and not list(tmp_path.glob(".to*"))


def test_info_names_the_commit_and_fetches_no_weights(
    hub: LoopbackHub, pushed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["info", NAME])
    said = capsys.readouterr().out
    assert f"{NAME}@{hub.repos[NAME].refs['main']} on the Hub" in " ".join(said.split())
    assert f'gz.load_model("{NAME}")' in said and fetched(hub) == {"config.json"}


@pytest.mark.parametrize("file", ["config.json", "README.md", "generator.safetensors"])
def test_what_is_far_too_large_is_not_fetched(
    hub: LoopbackHub, pushed: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (end,) = [end for end in fetch.LONGEST if file.endswith(end)]
    monkeypatch.setitem(fetch.LONGEST, end, 100)
    with pytest.raises(gz.HubError, match=rf"its {file} has [\d,]+ bytes, and the limit is 100"):
        gz.pull(NAME)
    assert file not in fetched(hub)


ODD_CARDS: list[Any] = [
    "text", [1], {"eval_results": 7}, {"eval_results": "abc"}, {"license": ["mit", 3]}, {"model-index": 3},
    {"model-index": [{"name": "x", "results": [{
        "task": {"type": "t"}, "dataset": {"type": "d", "name": "n"},
        "metrics": [{"type": "fd", "value": {"a": 1}, "name": ["x"]},
                    {"type": 5, "value": "\x1b[31mred", "name": "\x1b]0;title\x07"}]}]}]},
]  # fmt: skip


@pytest.mark.parametrize("card", ODD_CARDS)
def test_one_odd_card_does_not_spoil_the_list(
    hub: LoopbackHub, card: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {"modelId": "", "private": False, "tags": ["gantl-zoo"], "pipeline_tag": "\x1b[31m"}
    told = [usual | {"id": "they/odd", "cardData": card}, usual | {"id": "me/fine", "cardData": {}}]
    hub.faults += [Fault("GET /api/models$", swap=json.dumps(told).encode(), times=2)]
    assert [row.name for row in gz.hub_models()] == ["they/odd", "me/fine"]
    with pytest.raises(SystemExit):
        main(["list", "--hub"])
    said = capsys.readouterr().out
    assert "me/fine" in said and all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("licence", ["MIT", "my licence", "a\nb", "../x", "\x1b[31m"])
def test_a_licence_is_an_id(hub: LoopbackHub, gan: gz.GAN, tmp_path: Path, licence: str) -> None:
    folder = gan.save(tmp_path / "mine")
    with pytest.raises(gz.UsageError, match="is not a valid licence id: use one such as mit"):
        gz.push(folder, NAME, license=licence)
    assert not hub.requests


@pytest.mark.parametrize("branch", ["", "a b", "../x", "-x"])
def test_a_branch_that_nobody_could_pull(hub: LoopbackHub, pushed: Path, branch: str) -> None:
    with pytest.raises(gz.UsageError, match="is not a valid branch name"):
        gz.push(pushed, NAME, revision=branch)
    assert not hub.requests


@pytest.mark.parametrize(
    "address", ["nonsense", "http://[", "ftp://x", "http://", "http://x:y", "http://u:secret@[x"]
)
def test_an_address_that_is_none(pushed: Path, address: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: gz.push(pushed, NAME, endpoint=address),
        lambda: gz.pull(NAME, endpoint=address),
        lambda: gz.hub_models(endpoint=address),
    ]
    for call in calls:
        with pytest.raises(gz.HubError, match="is not a valid Hub address") as error:
            call()
        assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--hub", "--kind", "strategies"], "--hub lists models"),
        (["list", "--endpoint", "http://127.0.0.1:9"], "it needs --hub"),
    ],
)
def test_options_that_contradict_each_other(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_a_model_of_ones_own_is_not_overwritten(hub: LoopbackHub, pushed: Path, gan: gz.GAN) -> None:
    gan.name = "own"
    gan.save(pushed)
    with pytest.raises(gz.UsageError, match="holds a model that was not pulled, or was changed since"):
        gz.pull(NAME, to=pushed)
    assert gz.load_model(pushed).name == "own"


def test_other_users_of_the_client_keep_its_rules(hub: LoopbackHub, pushed: Path) -> None:
    hooks = {kind: list(found) for kind, found in get_session().event_hooks.items()}
    hub.faults += [Fault("GET /api/models", status=503, times=9)]
    with client._patience(), ThreadPoolExecutor(1) as others:
        assert get_session().event_hooks != hooks
        with client._patience():
            pass
        theirs = others.submit(HfApi(endpoint=hub.endpoint).model_info, NAME)
        assert isinstance(theirs.exception(), HfHubHTTPError)
        with pytest.raises(client.Refused):
            HfApi(endpoint=hub.endpoint).model_info(NAME)
    assert get_session().event_hooks == hooks
    with pytest.raises(gz.HubError):
        gz.load_model(NAME)
    assert get_session().event_hooks == hooks


def test_what_the_server_says_is_shown_without_its_control_characters(hub: LoopbackHub, pushed: Path) -> None:
    hub.faults += [Fault("GET /api/models", status=400, headers={"X-Error-Message": "no\x1b[31m"}, times=9)]
    with pytest.raises(gz.HubError, match=r"the server refused the request \(400\)") as error:
        gz.load_model(NAME)
    assert str(error.value).isprintable()
