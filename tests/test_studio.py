"""The studio's guard, paths, and dropped images: what is refused, and what is never read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studio_fixtures import OWN, PAGES, client_of, drop, png

pytest.importorskip("starlette", reason="the extra studio is not installed")

from gantl_zoo.errors import UsageError
from gantl_zoo.studio.images import refusal
from gantl_zoo.studio.paths import inside
from gantl_zoo.studio.server import address_of, listening, serve
from gantl_zoo.studio.settings import Settings, settings_for

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers(visitor: Any, address: str) -> None:
    answer = visitor.get(address)
    assert answer.status_code in (200, 303) and "alert" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_pages_name_no_other_address(visitor: Any) -> None:
    """Offline by construction: neither the pages nor what they load name another host."""
    static = sorted((ROOT / "gantl_zoo" / "studio" / "static").iterdir())
    texts = [visitor.get(page).text for page in PAGES]
    texts += [visitor.get(f"/static/{path.name}").text for path in static]
    for text in texts:
        addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<script(?! src=\"/static/)|\son\w+=|style=\"", text)


def test_every_field_has_a_label(visitor: Any) -> None:
    parts = ("/explore/model?model=small", "/explore/directions?model=small")
    for page in (*PAGES, *parts):
        text = visitor.get(page).text
        labels = set(re.findall(r'<label[^>]* for="([^"]+)"', text))
        for tag in re.findall(r"<(?:input|select)[^>]*>", text):
            name = re.search(r'id="([^"]+)"', tag)
            assert "checkbox" in tag or (name and name[1] in labels), tag
        assert "<h1" in text or page in parts or page in ("/health", "/login", "/train/lists")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.9:7861",
        "",
        "a:b:c",
        "x y",
    ],
)
def test_other_names_are_refused(visitor: Any, host: str) -> None:
    assert visitor.get("/explore", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:7861", "localhost:9", "[::1]:7861", "127.0.0.2"])
def test_own_names_are_answered(visitor: Any, host: str) -> None:
    assert visitor.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:7862"},
        {"Origin": "https://127.0.0.1:7861"},
        {"Origin": "http://localhost:7861"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "address", ["/train/start", "/share/push", "/jobs/1/stop", "/train/images", "/login"]
)
def test_forms_of_other_sites_are_refused(visitor: Any, address: str, headers: dict[str, str]) -> None:
    assert visitor.post(address, headers=headers, data={"source": "small"}).status_code == 403


def test_other_sites_can_only_link_to_the_start(visitor: Any) -> None:
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert visitor.get("/", headers=cross).status_code == 303
    assert visitor.get("/explore?model=evil/model", headers=cross).status_code == 403
    for site in ("cross-site", "same-site"):
        image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        assert visitor.get("/explore/sheet.png?model=small", headers=image).status_code == 403
    assert visitor.get("/explore", headers={"Origin": "http://evil.example"}).status_code == 403


def test_a_token_is_needed_off_loopback(settings: Settings, tmp_path: Path) -> None:
    token = "a-secret-token"
    wide = settings_for(tmp_path, host="0.0.0.0", token=token)
    visitor = client_of(wide, "http://192.168.1.9:7861")
    origin = {"Origin": "http://192.168.1.9:7861"}
    assert visitor.get("/explore").headers["location"] == "/login"
    assert visitor.get("/explore/sheet.png?model=small").status_code == 303
    assert visitor.post("/train/start", headers=origin).status_code == 401
    assert visitor.post("/login", data={"token": "wrong"}, headers=origin).status_code == 403
    assert visitor.get("/login?token=wrong").status_code == 403
    visitor.cookies.set("gantl_zoo_studio_7861", token)  # the cookie is not the token
    assert visitor.get("/explore").status_code == 303
    visitor.cookies.clear()
    assert visitor.post("/login", data={"token": token}, headers=origin).status_code == 303
    cookie = visitor.cookies["gantl_zoo_studio_7861"]
    for page in PAGES:
        answer = visitor.get(page)
        assert answer.status_code in (200, 303) and token not in answer.text and cookie not in answer.text
    assert visitor.get("/explore", headers={"Host": "evil.example"}).status_code == 421
    assert token in address_of(wide) and token not in address_of(settings)


def test_no_secret_is_shown(visitor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_aSecretToken")
    text = visitor.get("/share").text + visitor.get("/share/card?model=dcgan-mnist").text
    assert "is logged in" in text and "aSecretToken" not in text


OUTSIDE = [
    "../secret", "..", "/etc", "small/../../secret", "./..//secret", "link", "link/inner", "~", "~/x",
    "small/../..",
]  # fmt: skip


@pytest.mark.parametrize("text", [*OUTSIDE, "a\0b", "", "x" * 5000])
def test_paths_outside_are_refused(settings: Settings, secret: Path, text: str) -> None:
    if text == "~" or text == "~/x":  # these are plain names: no home folder is looked for
        assert settings.root in inside(settings, text).parents
        return
    with pytest.raises(UsageError):
        inside(settings, text)


@pytest.mark.parametrize("text", [*OUTSIDE, "SECRET"])
def test_nothing_outside_is_read(visitor: Any, secret: Path, text: str) -> None:
    text = str(secret) if text == "SECRET" else text
    for address in ("/train/check", "/train/plan", "/explore/model", "/share/card"):
        values = {"model": text, "data": text, "source": "small"}
        answer = visitor.get(address, params=values)
        assert 'role="alert"' in answer.text and "secret.png" not in answer.text
    assert visitor.get("/explore/sheet.png", params={"model": text}).status_code == 400
    form = {"source": "dcgan-mnist", "data": text}
    assert visitor.post("/train/start", data=form, headers=OWN).status_code == 400


def test_links_within_a_folder_that_lead_out_are_refused(
    visitor: Any, settings: Settings, secret: Path
) -> None:
    (settings.root / "link").unlink()
    photos = settings.root / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(png())
    assert "1 images" in visitor.get("/train/check?data=photos").text
    (photos / "b.png").symlink_to(secret / "secret.png")
    assert "b.png is a link that leads outside" in visitor.get("/train/check?data=photos").text
    (settings.root / "small" / "generator.safetensors").unlink()
    (settings.root / "small" / "generator.safetensors").symlink_to(secret / "generator.safetensors")
    assert "leads outside" in visitor.get("/explore/model?model=./small").text


@pytest.mark.parametrize(
    "address",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/static/..%5capp.py",
        "/runs/..%2f..%2fsmall",
        "/runs/00000-x/pictures/..%2f..%2fconfig.json",
        "/runs/00000-x/pictures/%2e%2e",
        "/runs/00000-x/pictures/config.json",
        "/runs/00000-x/pictures/fakes000000.png%00.json",
        "/runs/00000-x/pictures/fakes000001.png",
        "/runs/00000-%2e%2e%2f",
        "/runs/..",
        "/jobs/..%2f1",
        "/jobs/-1",
        "/explore/save/..%2fconfig.json",
    ],
)
def test_encoded_separators_lead_nowhere(
    visitor: Any, settings: Settings, secret: Path, address: str
) -> None:
    run = settings.out / "00000-x"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"kind": "gan-run", "recipe": {"steps": 2, "batch": 2}}))
    (run / "fakes000000.png").write_bytes(png())
    (run / "fakes000001.png").symlink_to(secret / "secret.png")
    answer = visitor.get(address)
    assert answer.status_code in (303, 307, 400, 404)  # "/runs/.." is "/"
    assert "recipe" not in answer.text and "create_app" not in answer.text
    assert visitor.get("/runs/00000-x/pictures/fakes000000.png").status_code == 200


def test_requests_are_bounded(visitor: Any, settings: Settings) -> None:
    assert visitor.post("/train/start", content=b"x" * (2 << 20), headers=OWN).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    form = OWN | {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.post("/train/start", content=endless(), headers=form).status_code == 413
    assert visitor.post("/train/start", content=b"", headers=OWN | {"Content-Length": "-5"}).status_code in (
        400,
        413,
    )


def test_settings_name_root_and_out(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert settings_for(tmp_path / "link").root == tmp_path.resolve()
    assert settings_for(tmp_path, tmp_path / "other").roots == (
        tmp_path.resolve(),
        tmp_path.resolve() / "other",
    )


def test_dropped_images_are_checked_and_named(visitor: Any, settings: Settings) -> None:
    broken = png(3)[:200]
    files = {f"a {i}.png": png(i) for i in range(4)}
    files |= {
        "broken.png": broken,
        "empty.png": b"",
        "notes.txt": b"hello",
        "a.zip": b"PK\3\4",
        "../../evil.png": png(9),
    }
    files |= {"pickle.png": b"\x80\x04cos\nsystem\n(S'touch x'\ntR."}
    result = drop(visitor, files, title="My photos!").json()
    assert (result["images"], result["folder"]) == (5, "./studio-images/My-photos")
    folder = settings.root / "studio-images" / "My-photos"
    assert sorted(path.name for path in folder.iterdir()) == [
        "a-0.png",
        "a-1.png",
        "a-2.png",
        "a-3.png",
        "evil.png",
    ]
    why = {one["name"]: one["why"] for one in result["left_out"]}
    assert set(why) == {"broken.png", "empty.png", "notes.txt", "a.zip", "pickle.png"}
    assert (
        "damaged" in why["broken.png"] and "empty" in why["empty.png"] and "not an image" in why["notes.txt"]
    )
    more = drop(visitor, {"a 0.png": png(7)}, set=result["name"]).json()
    assert more["images"] == 6 and (folder / "a-0-2.png").is_file()
    assert "6 images" in visitor.get("/train/check", params={"data": result["folder"]}).text
    assert drop(visitor, {"a.png": png()}, title="My photos!").json()["name"] == "My-photos-2"


def test_sub_folders_of_dropped_folders_are_kept(visitor: Any, settings: Settings, secret: Path) -> None:
    kinds = ("cats", "große Hunde")
    files = {f"{kind}/{i}.png": png(i + len(kind)) for kind in kinds for i in range(4)}
    files |= {"../../cats/evil.png": png(20), "a/b/c/d/e/deep.png": png(21), "cats\\win.png": png(22)}
    files |= {"cats/notes.txt": b"x", "/etc/0.png": png(23), "c:?/0.png": png(24)}
    result = drop(visitor, files, title="pets").json()
    folder = settings.dropped / "pets"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {
        *(f"{kind}/{i}.png" for kind in kinds for i in range(4)),
        "cats/evil.png", "cats/win.png", "a/b/c/d/deep.png", "etc/0.png", "c-/0.png",
    }  # fmt: skip
    assert result["images"] == len(found)
    assert [one["name"] for one in result["left_out"]] == ["cats/notes.txt"]
    more = drop(visitor, {"cats/0.png": png(30)}, set="pets").json()
    assert more["images"] == len(found) + 1 and (folder / "cats" / "0-2.png").is_file()
    assert "cats" in visitor.get("/train/check", params={"data": result["folder"]}).text
    clash = drop(
        visitor, {"c#/0.png": png(32), "c+/0.png": png(33), "etc/0.png/1.png": png(34)}, set="pets"
    ).json()
    assert (folder / "c#" / "0.png").is_file() and (folder / "c+" / "0.png").is_file()
    assert clash["images"] == len(found) + 3 and clash["left_out"][0]["name"] == "etc/0.png/1.png"
    assert "can't be written" in clash["left_out"][0]["why"]
    (folder / "link").symlink_to(secret)
    assert drop(visitor, {"link/0.png": png(31)}, set="pets").status_code == 400
    assert not (secret / "0.png").exists()


def test_dropped_images_are_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(settings, most_images=2, most_bytes=10_000, most_sent=50_000)
    visitor = client_of(few)
    result = drop(visitor, {f"{i}.png": png(i) for i in range(4)}).json()
    assert result["images"] == 2 and all("at most 2 images" in one["why"] for one in result["left_out"])
    result = drop(visitor, {"big.png": png(0, (70, 70))}).json()
    assert result["images"] == 0 and "MiB" in result["left_out"][0]["why"]
    assert not (settings.dropped / "my-images-2").exists()
    assert drop(visitor, {"huge.png": b"x" * 60_000}).status_code == 413
    assert drop(visitor, {"a.png": png()}, set="../small").status_code == 400
    assert drop(visitor, {"a.png": png()}, set="nothing").status_code == 400
    monkeypatch.setattr("gantl_zoo.studio.images.PIXELS", 100)
    assert "above the limit" in refusal("a.png", png())


def test_dropped_images_do_not_follow_a_link(visitor: Any, settings: Settings, secret: Path) -> None:
    settings.dropped.symlink_to(secret)
    assert drop(visitor, {"a.png": png()}).status_code == 400
    assert sorted(path.name for path in secret.glob("*.png")) == ["secret.png"]


def test_what_cannot_be_served_is_explained(settings: Settings, tmp_path: Path) -> None:
    with listening("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port}.*--port 0"):
            listening("127.0.0.1", port)
    with pytest.raises(UsageError, match="there is no folder"):
        serve(settings_for(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="from 0 to 65535"):
        listening("127.0.0.1", 70_000)


def test_without_the_extra_the_command_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UsageError, match=r"pip install 'gantl_zoo\[studio\]'"):
        serve(settings_for(tmp_path))


def test_templates_and_files_are_in_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    data = text[text.index("[tool.setuptools.package-data]") :].split("]\n")[1]
    patterns = re.findall(r'"([^"]+)"', data)
    package = ROOT / "gantl_zoo"
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    own = {
        path
        for path in (package / "studio").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert own and own <= shipped
