"""Push, pull and load through a Hub on loopback, with huggingface_hub's own client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, constants
from loopback_hub import Fault, LoopbackHub, Repo

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.storage.folder import sha256

NAME = "me/my-gan"


@pytest.fixture
def folder(gan: gz.GAN, tmp_path: Path) -> Path:
    gan.about["license"] = "mit"
    return gan.save(tmp_path / "mine")


def change(folder: Path, by: float = 0.5) -> None:
    """Another model in the same folder."""
    gan = gz.load_model(folder)
    assert isinstance(gan, gz.GAN)
    with torch.no_grad():
        next(gan.generator.parameters()).add_(by)
    gan.save(folder)


def test_a_push_is_one_commit_with_exactly_the_model(hub: LoopbackHub, folder: Path) -> None:
    (folder / "notes.txt").write_text("lies about")
    (folder / "optimizer.safetensors").write_text("so does this")
    done = gz.push(folder, NAME)
    repo = hub.repos[NAME]
    assert [entry["commit"] for entry in repo.log[1:]] == [done.commit]
    sent = {
        "config.json",
        "generator.safetensors",
        "discriminator.safetensors",
        "README.md",
        "samples-small.png",
    }
    assert set(repo.commits[done.commit]) == sent | {".gitattributes"} and set(done.changed) == sent
    assert str(done).splitlines()[-1] == f"{NAME}@{done.commit}"
    for name in ("config.json", "generator.safetensors"):
        assert repo.commits[done.commit][name] == (folder / name).read_bytes()


def test_the_same_again_is_no_commit(hub: LoopbackHub, folder: Path) -> None:
    first = gz.push(folder, NAME)
    again = gz.push(folder, NAME)
    assert again.commit == first.commit and "nothing has changed" in str(again)
    assert len(hub.repos[NAME].log) == 2


def test_a_change_sends_what_changed_and_deletes_the_older_layout(hub: LoopbackHub, folder: Path) -> None:
    gz.push(folder, NAME)
    shards = {f"generator-0000{i}-of-00002.safetensors": b"old" for i in (1, 2)}
    people = {"picture.jpg": b"a person's", "samples-best.png": b"too"}
    old = shards | {"generator.safetensors.index.json": b"{}"} | people
    repo = hub.repos[NAME]
    repo.commit("main", repo.commits[repo.refs["main"]] | old, "an older layout, and something else")
    change(folder)
    done = gz.push(folder, NAME)
    assert set(done.changed) == {
        "config.json",
        "generator.safetensors",
        "samples-small.png",
    }  # the config pins the weights
    assert set(done.deleted) == {*shards, "generator.safetensors.index.json"}
    there = repo.commits[done.commit].keys()
    assert people.keys() <= there and not shards.keys() & there
    gan = gz.load_model(folder)
    gan.name = "renamed"
    gan.save(folder)
    assert gz.push(folder, NAME).deleted == ("samples-small.png",)


def test_branch_pull_request_and_tag(hub: LoopbackHub, folder: Path) -> None:
    first = gz.push(folder, NAME)
    HfApi(endpoint=hub.endpoint).create_tag(NAME, tag="v1")
    change(folder)
    branch = gz.push(folder, NAME, revision="better")
    change(folder)
    asked = gz.push(folder, NAME, create_pr=True)
    refs = hub.repos[NAME].refs
    assert refs == {
        "main": first.commit,
        "v1": first.commit,
        "better": branch.commit,
        "refs/pr/1": asked.commit,
    }
    assert asked.url.endswith("/discussions/1")
    for revision in ("main", "v1", "better", first.commit):
        found = gz.load_model(f"hf-hub:{NAME}@{revision}")
        assert found.about["hub"]["revision"] == refs.get(revision, revision)
    with pytest.raises(gz.UsageError, match="pull request goes to main"):
        gz.push(folder, NAME, create_pr=True, revision="better")
    with pytest.raises(gz.UsageError, match="--revision better"):
        gz.push(folder, f"{NAME}@better")


@pytest.mark.filterwarnings("ignore:Use 'content=")  # of the client
def test_weights_that_go_by_large_file_storage(
    hub: LoopbackHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a Hub without Xet storage says to a client that has it."""
    hub.large = True
    with pytest.raises(gz.HubError, match=r"no Xet storage.* set HF_HUB_DISABLE_XET=1"):
        gz.push(folder, NAME)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    done = gz.push(folder, NAME)
    assert len(hub.lfs) == 2 and len(hub.repos[NAME].log) == 2
    assert gz.push(folder, NAME).commit == done.commit
    assert gz.pull(NAME, to=tmp_path / "to").commit == done.commit


def test_a_private_one_stays_private(hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gz.push(folder, NAME, private=True)
    assert hub.repos[NAME].private and gz.load_model(NAME).name == "small"
    gz.push(folder, "me/open")
    with pytest.raises(gz.HubError, match="public already"):
        gz.push(folder, "me/open", private=True)
    monkeypatch.delenv("HF_TOKEN")
    for what in (lambda: gz.pull(f"{NAME}@main"), lambda: gz.push(folder, NAME)):
        with pytest.raises(
            gz.HubError, match="private and you are not logged in: log in with `hf auth login`"
        ):
            what()
    assert [row.name for row in gz.hub_models()] == ["me/open"]


def test_sampling_fetches_what_it_needs(hub: LoopbackHub, folder: Path, gan: gz.GAN) -> None:
    gz.push(folder, NAME)
    hub.requests.clear()
    found = gz.load_model(NAME, discriminator=False)
    assert isinstance(found, gz.GAN) and torch.equal(found.generate(2), gan.generate(2))
    fetched = {request.rpartition("/")[2] for request in hub.requests if request.startswith("GET /me")}
    assert fetched == {"config.json", "generator.safetensors"}
    gz.pull(NAME)
    fetched = {request.rpartition("/")[2] for request in hub.requests if request.startswith("GET /me")}
    assert {"discriminator.safetensors", "samples-small.png"} < fetched
    hub.requests.clear()
    gz.load_model(f"{NAME}@{hub.repos[NAME].refs['main']}")
    assert not hub.requests, "a commit in the cache needs no network"


def test_pull_to_a_folder_and_transfer_from_it(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    pushed = gz.push(folder, NAME)
    to = tmp_path / "here"
    pulled = gz.pull(NAME, to=to)
    assert (pulled.folder, pulled.commit) == (to, pushed.commit) and f"{NAME}@{pushed.commit}" in str(pulled)
    assert sha256(to / "generator.safetensors") == sha256(folder / "generator.safetensors")
    assert not any(path.is_symlink() for path in to.iterdir()) and not list(tmp_path.glob(".here*"))
    assert gz.load_model(to).about["hub"] == {"repo": NAME, "revision": pushed.commit}
    (to / "notes.txt").write_text("mine")
    change(folder)
    newer = gz.push(folder, NAME)
    assert gz.pull(NAME, to=to).commit == newer.commit
    assert (to / "notes.txt").read_text() == "mine" and gz.load_model(to).about["hub"][
        "revision"
    ] == newer.commit
    saved = gz.load_model(to)
    saved.name = "another"
    saved.save(to)
    assert "hub" not in gz.load_model(to).about, "it is no longer what was pulled"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(gz.UsageError, match="is not a model folder; choose another folder"):
        gz.pull(NAME, to=tmp_path / "full")


def test_a_transfer_is_pinned_to_the_commit(
    hub: LoopbackHub, folder: Path, photos: Path, tmp_path: Path
) -> None:
    base = gz.push(folder, NAME).commit
    settings = {"data": photos, "channels": 1, "steps": 2, "batch": 4, "precision": "fp32", "metrics": ()}
    mine = gz.transfer(NAME, out=tmp_path / "runs", **settings)
    assert mine.lineage["base_model"] == NAME and mine.lineage["base_revision"] == base
    assert f"transfer {NAME}@{base} " in mine.about["training"]["command"]
    assert mine.folder is not None and mine.folder.parent.name == "00000-my-gan-photos-full"
    change(folder)
    gz.push(folder, NAME)
    again = gz.transfer(NAME, resume=mine.folder.parent, data=photos)
    assert again.lineage["base_revision"] == base, "a run goes on from what it began with"
    done = gz.push(mine.folder, "me/next", license="mit")
    card = hub.repos["me/next"].commits[done.commit]["README.md"].decode()
    assert f"\nbase_model: {NAME}\n" in card and "\nbase_model_relation: finetune\n" in card
    assert f"| base model | `{NAME}` at commit `{base}`" in card
    assert json.loads(hub.repos["me/next"].commits[done.commit]["config.json"])["license"] == "mit"


def test_classifiers_are_shared_too(hub: LoopbackHub, tmp_path: Path) -> None:
    done = gz.push("cnn-mnist", "me/eyes")
    assert set(done.changed) == {"config.json", "model.safetensors", "README.md"}
    images = torch.zeros(2, 1, 28, 28)
    there, here = gz.load_model("me/eyes"), gz.load_model("cnn-mnist")
    assert isinstance(there, gz.Classifier) and isinstance(here, gz.Classifier)
    assert torch.equal(there(images), here(images))
    rows = gz.hub_models("eyes")
    assert rows[0].metrics == {"accuracy, 10,000 test images of mnist": 0.9965}
    assert rows[0].license == "mit" and not gz.hub_models("nobody")


PULL = """
import hashlib, sys
from gantl_zoo.hub import fetch
found = fetch.fetch(sys.argv[1], lambda config: ["generator", "discriminator"], all_files=True)
print(found.commit, [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(found.folder.iterdir())])
"""


def test_two_processes_pull_at_once(
    hub: LoopbackHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = gz.push(folder, NAME).commit
    hub.requests.clear()
    hub.faults += [Fault("GET .*/resolve/.*generator", slow=0.5)]  # one of them holds the file for a while
    monkeypatch.setenv("HF_HOME", str(tmp_path / "shared"))
    words = [sys.executable, "-c", PULL, NAME]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    one, other = (process.communicate(timeout=120)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0] and one == other
    assert one.startswith(commit) and sha256(folder / "discriminator.safetensors") in one
    assert sum(request.startswith("GET") and "generator" in request for request in hub.requests) == 1
    assert not list((tmp_path / "shared").rglob("*.incomplete"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str], str]:
    """Exit code, lines of standard output, and standard error of a command."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out.splitlines(), said.err


def test_the_command_line(
    hub: LoopbackHub,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    where = ("--endpoint", hub.endpoint)
    code, out, _ = run(capsys, "push", folder, NAME, "--private", *where)
    commit = hub.repos[NAME].refs["main"]
    assert code == 0 and out[-1] == f"{NAME}@{commit}" and hub.repos[NAME].private
    _, out, _ = run(capsys, "push", folder, NAME, *where)
    assert "nothing has changed" in out[0]
    code, out, _ = run(capsys, "pull", f"{NAME}@main", "--to", tmp_path / "to", *where)
    assert code == 0 and out == [str(tmp_path / "to"), f"{NAME}@{commit}"]
    code, out, _ = run(capsys, "list", "my-", "--hub", *where)
    assert code == 0 and out[0].split() == [NAME, "unconditional-image-generation", "mit"]
    code, out, _ = run(capsys, "info", tmp_path / "to")
    assert code == 0 and f"{NAME}@{commit}" in " ".join(out)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint + "/")
    code, out, _ = run(capsys, "sample", f"{NAME}@{commit}", "--seeds", "0-3", "--out", tmp_path / "x.png")
    assert code == 0 and (tmp_path / "x.png").is_file()
    code, _, err = run(capsys, "list", "nobody", "--hub", *where)
    assert code == 2 and "no model of gantl_zoo on the Hub has 'nobody' in its name" in err
    code, _, err = run(capsys, "pull", "my-gan")
    assert (
        code == 1
        and err.startswith("error: 'my-gan' is not a valid name on the Hub")
        and err.count("\n") == 1
    )


def test_a_repository_of_another_library(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repos["they/bert"] = Repo()
    files = {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": b"x",
        "model.py": b"raise SystemExit",
    }
    hub.repos["they/bert"].commit("main", files, "theirs")
    for call in (lambda: gz.load_model("they/bert"), lambda: gz.pull("they/bert", to=tmp_path / "to")):
        with pytest.raises(gz.WeightsError, match="is not the config of a gantl_zoo model"):
            call()
    with pytest.raises(gz.HubError, match="model of another library, whose files would be lost"):
        gz.push("cnn-mnist", "they/bert")
    assert len(hub.repos["they/bert"].log) == 1
    assert not (tmp_path / "to").exists() and not any("model." in request for request in hub.requests)


def test_what_a_person_changed_in_a_pulled_folder_is_not_lost(
    hub: LoopbackHub, folder: Path, tmp_path: Path
) -> None:
    gz.push(folder, NAME)
    to = gz.pull(NAME, to=tmp_path / "here").folder
    (to / "samples-mine.png").write_bytes(b"a picture")
    gz.pull(NAME, to=to)
    assert (to / "samples-mine.png").read_bytes() == b"a picture"
    (to / "README.md").write_text((to / "README.md").read_text() + "My notes.")
    with pytest.raises(gz.UsageError, match=r"README\.md was changed since it was pulled, and would be lost"):
        gz.pull(NAME, to=to)
    assert (to / "README.md").read_text().endswith("My notes.")
    (to / "README.md").unlink()
    (to / "samples-mine.png").rename(to / "samples-later.png")
    repo = hub.repos[NAME]
    repo.commit("main", repo.commits[repo.refs["main"]] | {"samples-later.png": b"another"}, "a picture")
    with pytest.raises(
        gz.UsageError, match=r"samples-later\.png may be your own file, and me/my-gan has one"
    ):
        gz.pull(NAME, to=to)
    assert (to / "samples-later.png").read_bytes() == b"a picture"


def test_weights_without_a_config_are_somebodys(hub: LoopbackHub) -> None:
    hub.repos["they/lora"] = Repo()
    hub.repos["they/lora"].commit("main", {"model.safetensors": b"x", "README.md": b"theirs"}, "theirs")
    with pytest.raises(gz.HubError, match=r"weights without a config\.json \(model\.safetensors\)"):
        gz.push("cnn-mnist", "they/lora")
    assert len(hub.repos["they/lora"].log) == 1


def test_a_folder_that_is_called_like_a_release_is_not_the_release(
    hub: LoopbackHub, gan: gz.GAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gan.about["license"] = "mit"
    gan.save("dcgan-mnist")
    gz.push("dcgan-mnist", NAME)
    repo = hub.repos[NAME]
    assert f'load_model("{NAME}")' in repo.commits[repo.refs["main"]]["README.md"].decode()


@pytest.mark.parametrize(
    "note",
    [
        "[" * 200_000,
        '{"config_sha256": "%s"}',
        '{"config_sha256": "%s", "repo": "me/\x1b[31mEVIL", "revision": "' + "a" * 40 + '"}',
        '{"config_sha256": "%s", "repo": "me/gan", "revision": "main"}',
    ],
)
def test_a_note_of_the_origin_that_no_pull_wrote_is_none(folder: Path, note: str) -> None:
    if "%s" in note:
        note = note % sha256(folder / "config.json")
    (folder / "pulled.json").write_text(note)
    assert "hub" not in gz.load_model(folder).about
