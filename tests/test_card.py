"""Cards: what is made is renewed, what a person wrote stays, and what is said is true."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers import SMALL
from huggingface_hub import ModelCard
from loopback_hub import LoopbackHub

import gantl_zoo as gz
from gantl_zoo.storage import card

NAME = "me/my-gan"
PROSE = "\n## Why\n\nBecause it was there — żółć.\n"
TRAINING = {"command": "gantl-zoo train dcgan --data mnist"}
LINEAGE = {"data": {"name": "mnist", "images": 9, "fingerprint": "f"}, "seed": 0}


@pytest.fixture
def folder(gan: gz.GAN, tmp_path: Path) -> Path:
    gan.about |= {"license": "mit", "lineage": LINEAGE}
    return gan.save(tmp_path / "mine")


def edit(place: Path, text: str) -> None:
    place.write_text(place.read_text(encoding="utf-8") + text, encoding="utf-8")


def on_hub(hub: LoopbackHub) -> str:
    repo = hub.repos[NAME]
    return repo.commits[repo.refs["main"]]["README.md"].decode()


def edit_on_hub(hub: LoopbackHub, old: str, new: str) -> None:
    repo, text = hub.repos[NAME], on_hub(hub)
    assert old in text
    files = repo.commits[repo.refs["main"]] | {"README.md": text.replace(old, new, 1).encode()}
    repo.commit("main", files, "edited on the web page")


def config(**other: Any) -> dict[str, Any]:
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4}, name="small")
    return gan.config() | {"license": "mit"} | other


def test_the_head_says_what_is_true() -> None:
    metric = {
        "name": "fd_pixels",
        "metric": "fd",
        "value": 1.25,
        "on": "50 samples against 40 test images of mnist",
    }
    broken = {"name": "kd_pixels", "metric": "kd", "value": float("nan")}
    head = ModelCard(card.render(config(lineage=LINEAGE, metrics=[metric, broken], training=TRAINING))).data
    assert head.library_name == "gantl-zoo" and head.license == "mit" and head.datasets == ["ylecun/mnist"]
    assert head.pipeline_tag == "unconditional-image-generation" and {"gan", "dcgan"} <= set(head.tags)
    (result,) = head.eval_results
    assert result.metric_name == "fd_pixels, 50 samples against 40 test images of mnist"
    assert (result.metric_value, result.dataset_name) == (1.25, "mnist")
    assert "base_model" not in head.to_dict()
    folder = {"command": "gantl-zoo train dcgan --data ./mnist"}
    assert ModelCard(card.render(config(lineage=LINEAGE, training=folder))).data.datasets is None
    classes = ModelCard(card.render(config(num_classes=10))).data
    assert classes.pipeline_tag is None and "image-generation" in classes.tags
    assert ModelCard(card.render(config(license=""))).data.license is None


@pytest.mark.parametrize(
    "on",
    [
        "50 samples against 40 test images of the sea of glass",
        "50 samples against all 40 images of the sea of glass, 36 of which are training images",
        "50 samples with each other, beside 1,000 train images of the sea of glass",
    ],
)
def test_a_metric_names_its_data_whatever_it_compares(on: str) -> None:
    metric = {"name": "kd_pixels", "metric": "kd", "value": 1.25, "on": on}
    (result,) = ModelCard(card.render(config(lineage=LINEAGE, metrics=[metric]))).data.eval_results
    assert result.dataset_name == "the sea of glass"


def test_the_usage_first_saves_a_picture(
    gan: gz.GAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gan.save(tmp_path / "mine")
    text = (folder / "README.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    assert code.index('model.sample(16).save("grid.png")') < code.index("images = model.generate(16, seed=0)")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(code.replace(gan.name, str(folder)), scope)
    assert (tmp_path / "grid.png").is_file() and scope["images"].shape[0] == 16
    assert "sample(" not in card.render({"kind": "backbone", "backbone": {"name": "cnn"}, "name": "x"})


def test_a_base_model_is_a_key_only_if_it_is_on_the_hub() -> None:
    local = LINEAGE | {"base_model": "runs/00001-first", "strategy": "full"}
    text = card.render(config(lineage=local))
    assert "base_model:" not in text and "| base model | `runs/00001-first`, strategy `full` |" in text
    text = card.render(config(lineage=local | {"base_model": NAME, "base_revision": "a" * 40}))
    assert ModelCard(text).data.base_model == NAME and f"`{NAME}` at commit `{'a' * 40}`" in text


def test_a_card_of_strangers_words_stays_a_card() -> None:
    evil = LINEAGE | {"data": {"name": f"a|b\n{card.END}<script>"}}
    text = card.render(config(lineage=evil))
    assert text.count(card.END) == 1 and "<script>" not in text and r"a\|b" in text
    assert card.render(config(lineage=evil), text) == text
    words = f"x\n```\n{card.END}|<script>{card.BEGIN}"
    everywhere = {
        "name": f'"); import os; {card.BEGIN}',
        "lineage": {"data": {"name": words, "images": words, "fingerprint": words}, "base_model": words},
        "training": {"command": words, "curves": {"metric": words, "curves": {words: {"1": 2.0}}}},
        "metrics": [{"name": words, "value": 1.0, "on": words}],
    }
    text = card.render(config(**everywhere))
    body = text.partition("---\n")[2].partition("---\n")[2]
    assert body.count(card.END) == body.count(card.BEGIN) == 1
    assert body.count("\n```\n") == 2 and r'load_model("\"); import os; ' in body
    assert card.render(config(**everywhere), text) == text


def test_saving_again_keeps_what_a_person_wrote(folder: Path, gan: gz.GAN) -> None:
    edit(folder / "README.md", PROSE)
    gan.about["training"] = {"steps": 77}
    gan.save(folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.endswith(PROSE) and "| steps | 77 |" in text and text.count("# small") == 1


def test_the_card_that_is_pushed(hub: LoopbackHub, folder: Path) -> None:
    gz.push(folder, NAME)
    text = on_hub(hub)
    assert f'gz.load_model("{NAME}")' in text and "](samples-small.png)" in text
    assert hub.repos[NAME].commits[hub.repos[NAME].refs["main"]]["samples-small.png"].startswith(b"\x89PNG")


def test_text_in_the_folder_goes_along_and_so_does_its_change(hub: LoopbackHub, folder: Path) -> None:
    edit(folder / "README.md", PROSE)
    gz.push(folder, NAME)
    assert on_hub(hub).endswith(PROSE)
    edit(folder / "README.md", "\nMore of it.\n")
    assert set(gz.push(folder, NAME).changed) == {"README.md"}
    assert on_hub(hub).endswith(PROSE + "\nMore of it.\n")
    text = (folder / "README.md").read_text(encoding="utf-8").replace("Because", "Surely because")
    (folder / "README.md").write_text(text, encoding="utf-8")
    gz.push(folder, NAME)
    assert "Surely because" in on_hub(hub), "the Hub's text is unchanged, so the folder's replaces it"


def test_text_that_was_written_on_the_hub_stays_there(hub: LoopbackHub, folder: Path, gan: gz.GAN) -> None:
    gz.push(folder, NAME)
    edit_on_hub(hub, card.END + "\n", card.END + "\n" + PROSE)
    edit_on_hub(hub, "license: mit\n", "license: mit\nlanguage: pl\n")
    edit_on_hub(hub, "- gan\n", "- gan\n- handmade\n")
    assert not gz.push(folder, NAME).changed, "what a person wrote is no reason to send anything"
    gan.about["training"] = {"steps": 77}
    gan.save(folder)
    assert "README.md" in gz.push(folder, NAME).changed
    text = on_hub(hub)
    assert text.endswith(PROSE) and "| steps | 77 |" in text
    assert "\nlanguage: pl\n" in text and "- handmade\n" in text


def test_text_that_only_the_hub_changed_wins(hub: LoopbackHub, folder: Path) -> None:
    edit(folder / "README.md", PROSE)
    gz.push(folder, NAME)
    edit_on_hub(hub, "Because", "Surely because")
    gz.push(folder, NAME)
    assert "Surely because" in on_hub(hub)


def test_two_texts_are_not_mixed_and_none_is_lost(hub: LoopbackHub, folder: Path) -> None:
    edit(folder / "README.md", PROSE)
    gz.push(folder, NAME)
    edit_on_hub(hub, "Because", "Surely because")
    edit(folder / "README.md", "\nAnother end.\n")
    before = on_hub(hub)
    with pytest.raises(gz.UsageError, match=r"edited here and on the Hub, and one text would be lost"):
        gz.push(folder, NAME)
    assert on_hub(hub) == before
    gz.push(folder, NAME, card_file=folder / "README.md")
    assert "Another end." in on_hub(hub) and "Surely" not in on_hub(hub)
    edit_on_hub(hub, "Because", "Surely because")
    (folder / "README.md").unlink()
    gz.push(folder, NAME)
    assert "Surely because" in on_hub(hub)


def test_text_that_was_taken_over_from_the_hub_is_not_lost_later(hub: LoopbackHub, folder: Path) -> None:
    gz.push(folder, NAME)
    edit_on_hub(hub, card.END + "\n", card.END + "\n" + PROSE)
    gz.push(folder, NAME, license="cc0-1.0")  # something else has changed
    edit(folder / "README.md", "\nWritten here.\n")
    with pytest.raises(gz.UsageError, match="one text would be lost"):
        gz.push(folder, NAME)
    edit(folder / "README.md", PROSE)
    gz.push(folder, NAME)
    assert "Written here." in on_hub(hub) and PROSE in on_hub(hub)


def test_a_pulled_card_can_be_edited_and_pushed(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    gz.push(folder, NAME)
    edit_on_hub(hub, card.END + "\n", card.END + "\n" + PROSE)
    gz.push(folder, NAME)
    to = gz.pull(NAME, to=tmp_path / "to").folder
    assert not gz.push(to, NAME).changed
    edit(to / "README.md", "\nMore.\n")
    gz.push(to, NAME)
    assert on_hub(hub).endswith(PROSE + "\nMore.\n")
    text = (to / "README.md").read_text(encoding="utf-8").replace("Because", "Surely because")
    (to / "README.md").write_text(text, encoding="utf-8")
    gz.push(to, NAME, card_file=to / "README.md")
    assert "Surely because" in on_hub(hub)


def test_a_card_without_marks_is_a_persons(hub: LoopbackHub, folder: Path) -> None:
    gz.push(folder, NAME)
    repo = hub.repos[NAME]
    foreign = b"---\nlicense: mit\nlanguage: pl\n---\n# By hand\n\nAll mine.\n"
    repo.commit("main", repo.commits[repo.refs["main"]] | {"README.md": foreign}, "anew")
    gz.push(folder, NAME)
    assert on_hub(hub).endswith("\n# By hand\n\nAll mine.\n") and card.BEGIN in on_hub(hub)
    assert "language: pl" in on_hub(hub)
    assert not gz.push(folder, NAME).changed


def test_a_licence_is_asked_for_and_never_assumed(hub: LoopbackHub, gan: gz.GAN, tmp_path: Path) -> None:
    folder = gan.save(tmp_path / "mine")
    for dry_run in (True, False):
        with pytest.raises(gz.UsageError, match=r"does not state a licence.*--license ID"):
            gz.push(folder, NAME, dry_run=dry_run)
    assert not hub.requests
    gz.push(folder, NAME, license="cc-by-4.0")
    assert "\nlicense: cc-by-4.0\n" in on_hub(hub)
    assert gz.load_model(NAME).about["license"] == "cc-by-4.0"


def test_a_dry_run_shows_all_and_asks_nobody(hub: LoopbackHub, folder: Path) -> None:
    shown = str(gz.push(folder, NAME, dry_run=True))
    assert not hub.requests and not hub.repos
    done = gz.push(folder, NAME)
    files = hub.repos[NAME].commits[done.commit]
    for name in done.changed:
        assert f"{hashlib.sha256(files[name]).hexdigest()}  {len(files[name]):>12,}  {name}\n" in shown + "\n"
    assert shown.endswith(on_hub(hub))


def test_heads_that_are_no_yaml(hub: LoopbackHub, folder: Path) -> None:
    (folder / "README.md").write_text("---\n: [\n---\nhello\n")
    with pytest.raises(gz.UsageError, match=r"head of README.md, between the --- lines, is not valid YAML"):
        gz.push(folder, NAME)
    (folder / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(gz.UsageError, match="can't be read as text"):
        gz.push(folder, NAME)
    with pytest.raises(gz.UsageError, match=r"the card nowhere.md does not exist"):
        gz.push(folder, NAME, card_file="nowhere.md")


def test_what_was_changed_or_deleted_on_the_hub_alone_stays_so(
    hub: LoopbackHub, folder: Path, gan: gz.GAN
) -> None:
    edit(folder / "README.md", PROSE)
    gz.push(folder, NAME)
    edit_on_hub(hub, "# small", "# My wonderful GAN")
    edit_on_hub(hub, PROSE, "")
    gan.about["training"] = {"steps": 78}
    gan.save(folder)
    gz.push(folder, NAME)
    assert "# My wonderful GAN" in on_hub(hub) and PROSE.strip() not in on_hub(hub) and "78" in on_hub(hub)


def test_a_card_of_lineage_and_classes_that_are_not_there() -> None:
    said = card.render(config(lineage={"base_revision": "x"}, training={"classes": None}, num_classes=2))
    assert "base_model" not in said
