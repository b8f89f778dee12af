"""The site of the guide: links, contents, pages that are made at build time, and the built site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import pytest
from pages import browser, opened
from sitegen import docstrings, gallery, links, pages, reference, rooms, tour

import gantl_zoo as gz

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = DOCS / "_build" / "html"


@pytest.mark.parametrize(
    ("link", "there"),
    [
        ("[a](metrics.md#the-metrics)", "[a](metrics.md#the-metrics)"),
        ("[a](../benchmarks/transfer.md)", "[a](generated/benchmarks/transfer.md)"),
        ("[a](../plugins/gantl-zoo-example/README.md)", "[a](generated/plugins/gantl-zoo-example.md)"),
        ("[a](tour.ipynb)", "[a](generated/tour.md)"),
        ("[![a](pictures/demo.png)](../README.md)", "[![a](pictures/demo.png)](index.md)"),
        ("[a](../LICENSE)", "[a](path:../LICENSE)"),
        ("[a](#below), `[a](../x.md)` and\n```\n[a](../x.md)\n```", None),
        ("[a](https://example.org/x.md)", None),
        ("see https://example.org/x.", "see <https://example.org/x>."),
        ("(https://example.org/x), at", "(<https://example.org/x>), at"),
        ("<https://example.org> and `https://example.org`", None),
    ],
)
def test_links_lead_to_pages_of_the_site(link: str, there: str | None) -> None:
    assert links.rewritten(link, DOCS / "models.md", "models") == (there or link)


def made(folder: Path) -> dict[str, str]:
    """The text of every page that is written into a folder, by its name."""
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.md")}


def test_pages_from_outside_of_the_guide_have_links_that_lead_somewhere(tmp_path: Path) -> None:
    pages.write(tmp_path / "generated")
    copied = made(tmp_path)
    assert "generated/models/dcgan-faces.md" in copied and "generated/plugins/gantl-zoo-example.md" in copied
    for name, text in copied.items():
        assert text.startswith("# ") and "\n---\nlibrary_name" not in text, name
        bare = links.outside_code(text, lambda part: part.replace("](", "]\0("))
        for target in re.findall(r"\]\0\((?!https?:)(?:path:)?([^)#]+)", bare):
            at = (DOCS / name).parent / target  # where the page will be
            assert at.resolve().exists() or Path(target).name in {Path(one).name for one in copied}, target


def test_contents_have_every_page_of_the_guide_once() -> None:
    index = links.rewritten((DOCS / "index.md").read_text(), DOCS / "index.md", "index")
    above = pages.contents(index)
    parents = {*pages.of_the_guide(DOCS), *pages.GENERATED_BELOW}
    listed = re.findall(r"^/(.+)$", above, re.M) + [page for one in parents for page in pages.children(one)]
    assert len(listed) == len(set(listed))
    assert {*pages.of_the_guide(DOCS), "generated/tour", "generated/models/dcgan-faces"} <= set(listed)
    assert {"generated/SECURITY", "generated/CHANGELOG"} <= set(listed)
    assert list(pages.groups(index)) == re.findall(r"^([^\n:]+):$", index, re.M)
    assert ":caption: More" not in above
    assert ":caption: More\n\n/studio\n" in pages.contents(index.replace("[Studio](studio.md)", "Studio"))


def test_a_page_in_a_folder_stands_below_the_page_that_lists_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    (tmp_path / "kinds").mkdir()
    for name, text in {
        "index": "# Guide\n\nAll:\n\n- [More](more.md): of all.\n\nEnd:\n\n- [Last](last.md): the last.\n",
        "more": "# More\n\n[b](kinds/b.md) and [a](kinds/a.md)",
        "last": "# Last",
        "kinds/a": "# A",
        "kinds/b": "# B",
    }.items():
        (tmp_path / f"{name}.md").write_text(text)
    assert pages.children("more") == ["kinds/b", "kinds/a"]
    assert pages.prepared("more", "# More").endswith(":hidden:\n\n/kinds/b\n/kinds/a\n```\n")
    assert "kinds" not in pages.contents((tmp_path / "index.md").read_text())


def test_an_item_of_the_index_may_list_several_pages() -> None:
    items = "- [A](a.md), [b](b.md),\n  [c](kinds/c.md): as in [d](d.md).\n- [E](e.md)\n"
    index = f"All:\n\n{items}\nEnd:\n\n1. [F](f.md): f\n"
    assert pages.groups(index) == {"All": ["a", "b", "kinds/c", "e"], "End": ["f"]}


def test_the_tour_has_the_cells_and_the_outputs_of_the_notebook(tmp_path: Path) -> None:
    tour.write(tmp_path)
    text = (tmp_path / "tour.md").read_text()
    notebook = json.loads(tour.NOTEBOOK.read_text(encoding="utf-8"))
    assert text.startswith("# ") and "](../quickstart.md)" in text
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert "".join(cell["source"]) in text
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    shown = re.findall(r"!\[.+?\]\((tour-\d+\.png)\)", text)
    assert len(shown) == sum("image/png" in output.get("data", {}) for output in outputs) > 0
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in shown)
    assert "<progress" not in text and text.count("recipe transfer-64") == 1


def test_each_room_is_in_the_table_and_imports_lead_down() -> None:
    floors, imports = rooms.floors(), rooms.imports()
    assert set(floors) == set(imports)
    assert "errors" in imports["storage"] and "runs" in imports["__init__"]
    for room, others in imports.items():
        for other in others:
            assert floors[other] < floors[room], f"{room} imports {other}"


def test_a_line_that_others_show_is_left_out() -> None:
    lines = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert rooms.shortest(lines) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}


def test_the_picture_has_each_room_and_each_line(tmp_path: Path) -> None:
    rooms.write(tmp_path)
    text = (tmp_path / "rooms.svg").read_text()
    drawing = ElementTree.fromstring(text)
    words = [part.text for part in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {*rooms.floors()} - {"__init__"} <= set(words) and "gantl_zoo" in words
    lines = sum(map(len, rooms.shortest(rooms.imports()).values()))
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}path"))) == lines
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    for box in drawing.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(box.get("x", 0)) <= rooms.WIDTH - float(box.get("width", 0))


def test_the_gallery_has_every_released_model_of_the_repository(tmp_path: Path) -> None:
    gallery.write(tmp_path)
    text = (tmp_path / "gallery.md").read_text()
    for name in gz.models.names():
        if gz.models.entry(name).owner != "gantl_zoo":
            continue
        part = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##|\Z)", text, re.M | re.S)
        assert part, name
        info = gz.models.info(name)
        assert f"| {info.license} |" in part[1] and f"models/{name}.md" in part[1]
        assert f"{name}.png" in part[1] and f" {name}" in part[1] and " MB as float16" in part[1]
        assert info.training["command"] in re.sub(r" \\\n *", " ", part[1]) and re.search(
            r"^Training data: \S", part[1], re.M
        )
    assert "Lisa Wischofsky, CC BY 4.0" in text


def test_a_gan_without_a_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "DOCS", tmp_path)
    info = gz.models.info("dcgan-mnist")
    assert gallery.picture(info, tmp_path / "new") == "![Samples of dcgan-mnist](samples-dcgan-mnist.png)"
    assert (tmp_path / "new" / "samples-dcgan-mnist.png").read_bytes().startswith(b"\x89PNG")
    assert gallery.picture(gz.models.info("cnn-mnist"), tmp_path / "new") == ""


def test_every_public_name_is_in_the_reference_once(tmp_path: Path) -> None:
    reference.write(tmp_path)
    text = "\n".join(made(tmp_path / "api").values())
    described = re.findall(r"^\.\. (?:auto|py:)\w+:: gantl_zoo\.(\S+)$", text, re.M)
    assert len(described) == len(set(described))
    inner = [f"latent.{name}" for name in gz.latent.__all__] + [
        f"testing.{name}" for name in gz.testing.__all__
    ]
    assert {*gz.__all__, *inner} <= set(described)


def test_a_new_public_name_needs_a_place_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gz, "__all__", [*gz.__all__, "brand_new"])
    with pytest.raises(ValueError, match=r"missing \['brand_new'\]"):
        reference.check()
    monkeypatch.setattr(gz, "__all__", [name for name in gz.__all__ if name not in ("GAN", "brand_new")])
    with pytest.raises(ValueError, match=r"not public \['GAN'\]"):
        reference.check()


@pytest.mark.parametrize(
    ("plain", "marked"),
    [
        ("The `size` of `GAN`s.", r"The ``size`` of :py:obj:`~gantl_zoo.GAN`\ s."),
        ("a * b, x_ and |c|", r"a \* b, x\_ and \|c\|"),
        ("Use:\n\n    a * b\n\n    c", "Use:\n\n::\n\n        a * b\n    \n        c\n"),
        ("Takes:\n`a`: one\nlong.\n`b`: two", "Takes:\n\n- ``a``: one\n  long.\n- ``b``: two\n"),
        ("S:\n\n  lr (default 2): a\n      b", "S:\n\n- lr (default 2): a\n  b\n"),
    ],
)  # fmt: skip
def test_docstrings_become_restructured_text(plain: str, marked: str) -> None:
    lines = plain.split("\n")
    docstrings.convert(None, "function", "f", None, None, lines)
    assert "\n".join(lines).strip() == marked.strip()


def test_the_fields_of_a_dataclass_are_listed_with_their_comments() -> None:
    @dataclass
    class Point:
        """A point."""

        x: float  # to the right
        y: float = 0.0
        tags: list[str] = field(default_factory=list)  # what it is called

    lines = ["A point."]
    docstrings.convert(None, "class", "Point", gz.ModelInfo, None, lines)
    assert "- ``latent_dim``: Z; None for a classifier" in lines
    shown = docstrings.signature(None, "class", "Point", Point, None, "(tags: list[str] = <factory>)", None)
    assert shown == ("(tags: list[str] = ...)", None)


def test_only_types_of_the_package_may_lack_a_page() -> None:
    def missing(target: str) -> Any:
        return docstrings.undocumented(None, None, {"reftarget": target, "refdomain": "py"}, "text")

    assert missing("gantl_zoo.model.blend.Blend") == "text"
    assert missing("gantl_zoo.model.blend.Bland") is None and missing("somewhere.else") is None


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not (SITE / "index.html").is_file():
        pytest.skip("needs the site that make docs builds")
    with browser() as program:
        yield program


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(
    "page", ["index", "how-it-is-built", "generated/gallery", "generated/tour", "generated/api/models"]
)
def test_the_built_site_loads_nothing_from_elsewhere(
    chromium: Any, page: str, width: int, scheme: str
) -> None:
    shown = opened(chromium, SITE / f"{page}.html", width, scheme)
    assert shown.errors == []
    assert shown.requests and all(address.startswith(("file:", "data:")) for address in shown.requests)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.page.evaluate("[...document.images].filter(one => !one.naturalWidth).length") == 0
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(255, 255, 255)", "dark": "rgb(19, 20, 22)"
    }[scheme]  # fmt: skip
    shown.page.context.close()


def test_the_search_of_the_built_site_finds_a_name(chromium: Any) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}"
        shown = opened(chromium, f"{home}/search.html?q=truncation_sweep")
        shown.page.locator("#search-results li").first.wait_for(timeout=20_000)
        shown.page.wait_for_load_state("networkidle")
        server.shutdown()
    assert "gantl_zoo.latent.truncation_sweep" in shown.page.inner_text("#search-results")
    assert shown.errors == [] and all(address.startswith(home) for address in shown.requests)
