"""What goes wrong with a Hub: each is one clear sentence; nothing is lost, nothing half-fetched is kept."""

from __future__ import annotations

import contextlib
import logging
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants
from loopback_hub import Fault, LoopbackHub, Repo

import gantl_zoo as gz
from gantl_zoo.hub import client
from gantl_zoo.hub.errors import Asked, explain
from gantl_zoo.hub.target import Target
from gantl_zoo.registry import plugins
from gantl_zoo.storage.folder import sha256

NAME = "me/my-gan"


def kept(tmp_path: Path) -> list[str]:
    """Files of weights in the cache, whole or not."""
    found = (tmp_path / "hf").rglob("*")
    return sorted(p.name for p in found if p.suffix in (".safetensors", ".incomplete"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "me/nothing",
            "can't pull me/nothing .*repository does not exist.*there is also no folder me/nothing",
        ),
        (f"{NAME}@v9", "no branch, tag or commit 'v9'.*/me/my-gan/tree/main"),
        ("me/empty", "a file is missing: the repository does not hold a complete model"),
        ("me/a--b", "not a valid name on the Hub: write user/name"),
        (f"hf-hub:{NAME}@", "not a valid name on the Hub|on the Hub is user/name"),
    ],
)
def test_what_is_not_there(hub: LoopbackHub, pushed: Path, name: str, said: str) -> None:
    hub.repos["me/empty"] = Repo()
    hub.repos["me/empty"].commit("main", {"README.md": b"hello"}, "no model")
    with pytest.raises((gz.HubError, gz.UnknownNameError), match=said):
        gz.load_model(name)


@pytest.mark.parametrize("name", ["my-gan", "me/a/b", "me/a b", "https://hub.example/me/x", ""])
def test_what_is_no_name(hub: LoopbackHub, pushed: Path, name: str) -> None:
    for call in (lambda: gz.push(pushed, name), lambda: gz.pull(name)):
        with pytest.raises(gz.HubError, match="not a valid name on the Hub: write user/name"):
            call()
    assert not hub.requests


@pytest.mark.parametrize("match", ["GET /api/models", "HEAD .*/resolve/", "GET .*/resolve/.*generator"])
def test_a_rate_limit_is_waited_for_if_it_is_short(
    hub: LoopbackHub, pushed: Path, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(client, "time", SimpleNamespace(sleep=slept.append))
    hub.faults += [Fault(match, status=429, headers={"Retry-After": "7"})]
    gz.load_model(NAME)
    assert slept == [7]
    hub.repos["me/other"] = hub.repos[NAME]
    hub.faults[:] = [Fault(match, status=429, headers={"Retry-After": "3600"}, times=9)]
    with pytest.raises(gz.HubError, match=r"asks to wait 3600 s: try again after \d\d:\d\d:\d\d"):
        gz.load_model("me/other")
    assert slept == [7]


def test_a_servers_trouble_is_outlasted_if_it_is_short(
    hub: LoopbackHub, pushed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.faults += [Fault("GET /api/models", status=503, times=2)]
    model = gz.load_model(NAME)
    hub.faults[:] = [Fault("GET /api/models", status=502, times=9)]
    with pytest.raises(gz.HubError, match=r"has an error \(502\), also after retries; try again later"):
        gz.load_model("me/not-cached")
    again = gz.load_model(NAME)
    assert again.about == model.about, "what is in the cache still loads"
    assert re.search(r"has an error \(502\).*; using commit [0-9a-f]{40} from the cache", caplog.text)


def test_a_cut_connection_goes_on_where_it_was(hub: LoopbackHub, pushed: Path, tmp_path: Path) -> None:
    hub.faults += [Fault("GET .*/resolve/.*generator", cut=1000)]
    to = gz.pull(NAME, to=tmp_path / "to").folder
    asked = [request for request in hub.requests if request.startswith("GET") and "generator" in request]
    assert len(asked) == 2
    assert sha256(to / "generator.safetensors") == sha256(pushed / "generator.safetensors")
    hub.repos["me/other"] = hub.repos[NAME]
    hub.faults[:] = [Fault("GET /api/models", cut=5, times=99)]
    with pytest.raises(gz.HubError, match="connection broke repeatedly"):
        gz.load_model("me/other")


def test_bytes_that_are_not_the_promised_ones(hub: LoopbackHub, pushed: Path, tmp_path: Path) -> None:
    real = (pushed / "generator.safetensors").read_bytes()
    hub.faults += [Fault("GET .*/resolve/.*generator", swap=real[:-4] + b"\0\0\x80?")]
    with pytest.raises(gz.HubError, match=r"generator.safetensors arrived with hash .*; it was deleted"):
        gz.load_model(NAME)
    assert not kept(tmp_path)
    assert gz.load_model(NAME).name == "small"
    cached = next((tmp_path / "hf").rglob("generator.safetensors")).resolve()
    cached.chmod(0o644)
    cached.write_bytes(real[:-4] + b"\0\0\x80?")
    with pytest.raises(gz.HubError, match="arrived with hash"):
        gz.pull(NAME)  # checks what the cache has, too


@pytest.mark.parametrize("match", ["GET /api/models", "HEAD .*/resolve/.*config", "POST .*/commit/"])
def test_a_silent_server(
    hub: LoopbackHub, pushed: Path, gan: gz.GAN, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    monkeypatch.setattr(client, "PATIENCE", 0.3)
    monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.3)
    hub.faults += [Fault(match, slow=1.0, times=1 if "HEAD" in match else 99)]
    gan.name = "renamed"
    gan.save(pushed)
    if "HEAD" in match:  # the client itself asks once more
        assert gz.load_model(NAME).name == "small"
        return
    started = time.monotonic()
    with pytest.raises(gz.HubError, match="did not answer in time"):
        gz.push(pushed, NAME) if "commit" in match else gz.load_model(NAME)
    assert time.monotonic() - started < 3


@contextlib.contextmanager
def small_disk(most: int) -> Iterator[None]:
    """No file of this process may grow beyond `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_pulling(
    hub: LoopbackHub, pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "to"
    gz.pull(NAME, to=to)
    before = {path.name: path.read_bytes() for path in to.iterdir()}
    # all of it is in the cache, so it is the copy that fails
    with small_disk(20_000), pytest.raises(gz.HubError, match=f"can't write {to}.*it was left unchanged"):
        gz.pull(NAME, to=to)
    assert {path.name: path.read_bytes() for path in to.iterdir()} == before
    home = tmp_path / "small-disk"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    with small_disk(20_000), pytest.raises(gz.HubError, match=r"the disk is full.*HF_HOME"):
        gz.pull(NAME, to=to)
    assert {path.name: path.read_bytes() for path in to.iterdir()} == before
    assert not list(home.rglob("*.incomplete")) and not list(tmp_path.glob(".to*"))


def test_offline(hub: LoopbackHub, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = gz.load_model(NAME).about["hub"]["revision"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # only now: huggingface_hub has read it already
    hub.requests.clear()
    assert gz.load_model(NAME).about["hub"]["revision"] == commit
    for call, said in (
        (lambda: gz.load_model("me/other"), "not in the cache; unset it, or pull once while online"),
        (lambda: gz.load_model(f"{NAME}@v1"), "not in the cache"),
        (lambda: gz.push(pushed, NAME), "can't push to .*HF_HUB_OFFLINE is set; unset it"),
        (lambda: gz.hub_models(), "can't list the models .*HF_HUB_OFFLINE is set; unset it"),
    ):
        with pytest.raises(gz.HubError, match=said):
            call()
    assert not hub.requests


def test_a_hub_that_is_not_there(
    hub: LoopbackHub, pushed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = gz.load_model(NAME).about["hub"]["revision"]
    hub.server.server_close()
    monkeypatch.setenv("HF_ENDPOINT", "http://anna:secret@127.0.0.1:9")
    started = time.monotonic()
    assert gz.load_model(NAME).about["hub"]["revision"] == commit
    with pytest.raises(gz.HubError, match=r"can't be reached .*check HF_ENDPOINT and --endpoint") as error:
        gz.load_model("me/other")
    assert time.monotonic() - started < 5
    assert "from the cache" in caplog.text and "secret" not in caplog.text + str(error.value)


def test_a_commit_that_the_server_made_and_did_not_tell(hub: LoopbackHub, pushed: Path, gan: gz.GAN) -> None:
    gan.name = "renamed"
    gan.save(pushed)
    hub.faults += [Fault("POST .*/commit/", status=504, after=True)]
    done = gz.push(pushed, NAME)
    assert [entry["commit"] for entry in hub.repos[NAME].log[2:]] == [done.commit]
    hub.faults += [Fault("POST .*/commit/", status=412), Fault("POST .*/commit/", status=403)]
    for said in ("changed by another commit meanwhile", "your token has no permission to write"):
        gan.name += "-again"
        gan.save(pushed)
        with pytest.raises(gz.HubError, match=said):
            gz.push(pushed, NAME)
    assert len(hub.repos[NAME].log) == 3


def test_somebody_else_pushes_at_the_same_moment(
    hub: LoopbackHub, pushed: Path, gan: gz.GAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, check = hub.repos[NAME], Target.check

    def slowly(self: Target, there: object, kind: str) -> None:
        check(self, there, kind)
        repo.commit("main", repo.commits[repo.refs["main"]] | {"notes.txt": b"theirs"}, "theirs")

    monkeypatch.setattr(Target, "check", slowly)
    gan.name = "renamed"
    gan.save(pushed)
    with pytest.raises(gz.HubError, match="changed by another commit meanwhile"):
        gz.push(pushed, NAME)
    assert repo.log[-1]["title"] == "theirs" and "notes.txt" in repo.commits[repo.refs["main"]]


def test_no_token_in_anything_that_is_said_or_written(
    hub: LoopbackHub,
    pushed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    token, said = "hf_SecretSecretSecret", []
    monkeypatch.setenv("HF_TOKEN", token)
    hub.tokens = (token,)
    caplog.set_level(logging.INFO)
    calls: list[Callable[[], object]] = [
        lambda: gz.push(pushed, "me/second", private=True),
        lambda: gz.push(pushed, "me/second", dry_run=True),
        lambda: gz.pull("me/second", to=tmp_path / "to"),
        lambda: gz.hub_models(),
        lambda: gz.load_model("me/nothing"),
    ]
    for status in (0, 400, 401, 403, 429, 500):
        fault = Fault(".", status=status, times=99, headers={"X-Error-Message": f"bad token {token}"})
        hub.faults[:] = [fault] if status else []
        for call in calls:
            try:
                said.append(str(call()))
            except gz.HubError as error:
                said.append(str(error))
    written = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    written += [
        data for repo in hub.repos.values() for files in repo.commits.values() for data in files.values()
    ]
    printed = capfd.readouterr()
    assert len(said) == 30 and token not in "".join([*said, caplog.text, printed.out, printed.err])
    assert not any(token.encode() in data for data in written)


def test_a_plug_ins_model_goes_there_and_back(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = gz.push("resize-digits", "me/resized", license="mit")
    text = hub.repos["me/resized"].commits[done.commit]["README.md"].decode()
    assert "The model needs a plug-in: `pip install gantl-zoo-example==" in text
    assert gz.pull("me/resized", to=tmp_path / "to").commit == done.commit
    monkeypatch.setenv("GANTL_ZOO_DISABLE_PLUGINS", "all")
    plugins.rescan()
    try:
        with pytest.raises(gz.WeightsError, match=r"'resize-conv'.*: pip install gantl-zoo-example=="):
            gz.pull("me/resized")
    finally:
        monkeypatch.undo()
        plugins.rescan()


def test_a_plug_in_that_is_missing(hub: LoopbackHub, pushed: Path, gan: gz.GAN) -> None:
    config = (pushed / "config.json").read_text()
    told = config.replace('"requires": {}', '"requires": {"gantl-zoo-moon": "0.3"}')
    foreign = re.sub(r'("generator": {\s+"name": )"dcgan"', r'\1"moon-net"', told).encode()
    assert b"moon-net" in foreign
    repo = hub.repos[NAME]
    files = repo.commits[repo.refs["main"]]
    repo.commit("main", files | {"config.json": foreign, "evil.py": b"raise SystemExit"}, "by a plug-in")
    for call in (lambda: gz.load_model(NAME), lambda: gz.pull(NAME)):
        with pytest.raises(gz.WeightsError, match=r"pip install gantl-zoo-moon==0\.3"):
            call()
    assert not any("evil.py" in request for request in hub.requests)


def test_an_update_that_breaks_off_leaves_what_was_whole(
    hub: LoopbackHub, pushed: Path, gan: gz.GAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = gz.load_model(NAME)
    with torch.no_grad():
        next(gan.generator.parameters()).add_(1)
    gz.push(gan.save(pushed), NAME)
    hub.faults[:] = [Fault(r"generator\.safetensors", status=503, times=99)]
    again = gz.load_model(NAME)
    assert again.about["hub"] == before.about["hub"], "the commit in the cache is used"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert gz.load_model(NAME).about["hub"] == before.about["hub"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.faults.clear()
    assert gz.load_model(NAME).about["hub"] != before.about["hub"]


def test_a_wait_beyond_all_clocks_and_a_repository_called_xet(
    hub: LoopbackHub, pushed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["me/foxet"] = hub.repos[NAME]
    hub.faults[:] = [Fault("me/foxet", status=429, headers={"Retry-After": "9" * 20}, times=9)]
    with pytest.raises(gz.HubError, match=r"asks to wait 604800 s"):
        gz.load_model("me/foxet")
    hub.faults[:] = [Fault("me/foxet", status=403, times=9)]
    with pytest.raises(gz.HubError, match=r"your token has no permission to read it; log in"):
        gz.load_model("me/foxet")
    full = OSError(28, "No space left on device", "cache/xet/x")
    assert "the disk is full" in str(explain(full, Asked("pull", "me/foxet", "http://x")))
