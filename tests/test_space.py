"""`push --space`: the Gradio application that a Space gets."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loopback_hub import Fault, LoopbackHub

import gantl_zoo as gz
from gantl_zoo.hub import space
from gantl_zoo.hub.space import space_files


def files_of(hub: LoopbackHub, name: str) -> dict[str, bytes]:
    repo = hub.repos[name]
    return repo.commits[repo.refs["main"]]


def test_a_push_writes_a_space_too(hub: LoopbackHub, model: Path) -> None:
    done = gz.push(model, "me/mine", license="mit", space="me/page")
    assert done.space == f"{hub.endpoint}/spaces/me/page"
    assert str(done).splitlines()[-2:] == [done.space, f"me/mine@{done.commit}"]
    files = files_of(hub, "spaces/me/page")
    assert set(files) == {".gitattributes", "app.py", "requirements.txt", "README.md"}
    assert all(len(content) < 4_000 for content in files.values())
    again = gz.push(model, "me/mine", license="mit", space="me/page")
    assert not again.changed and done.space in str(again)
    assert b'MODEL = "me/mine"' in files["app.py"].replace(b"'", b'"')


def test_a_dry_run_lists_the_files_and_sends_nothing(hub: LoopbackHub, gan: gz.GAN) -> None:
    plan = gz.push(gan, "me/mine", license="mit", space="me/page", dry_run=True)
    assert "spaces/me/page/app.py" in str(plan) and not hub.requests and not hub.repos


def test_the_application_is_valid_and_loads_the_model_by_name(model: Path) -> None:
    files = space_files("me/my-gan", {"name": "odd \" name {x}\n'", "requires": {"gantl-zoo-fewshot": "0.2"}})
    app = files["app.py"].decode()
    tree = ast.parse(app)
    compile(app, "app.py", "exec")
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"os", "gradio", "gantl_zoo"}
    assert app.index("GRADIO_ANALYTICS_ENABLED") < app.index("import gradio")
    assert max(map(len, app.splitlines())) <= 110
    needs = files["requirements.txt"].decode().splitlines()
    assert needs == [f"gantl_zoo>={gz.__version__}", "gantl-zoo-fewshot>=0.2"]
    readme = files["README.md"].decode()
    head = dict(re.findall(r"^(\w+): (.*)$", readme.split("---")[1], re.M))
    assert head == {
        "title": "odd  name x",
        "sdk": "gradio",
        "sdk_version": space.GRADIO,
        "app_file": "app.py",
    }
    assert "models:\n- me/my-gan\n" in readme


@pytest.mark.parametrize("name", ["dcgan-mnist", "dcgan-mnist-conditional"])
def test_the_application_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the application with a stand-in for gradio, and call what its button calls."""
    import sys

    class Part:
        click = load = None

        def __init__(self, *given: Any, **settings: Any) -> None:
            created.append(settings)

        def __enter__(self) -> Part:
            return self

        def __exit__(self, *_: object) -> None: ...

    def on(triggers: list[Any], function: Any, inputs: Any, output: Any) -> None:
        assert len(triggers) == 2
        calls.append((function, inputs))

    created: list[dict[str, Any]] = []
    calls: list[Any] = []
    parts: dict[str, Any] = dict.fromkeys(
        ("Blocks", "Row", "Markdown", "Number", "Slider", "Dropdown", "Gallery", "Button"), Part
    )
    monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(on=on, **parts))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    code = space_files("me/my-gan", {"name": name})["app.py"].decode().replace("'me/my-gan'", repr(name))
    values: dict[str, Any] = {"__name__": "app"}
    exec(compile(code, "app.py", "exec"), values)
    sample, inputs = calls[0]
    assert len(calls) == 1 and len(inputs) == 4  # one function of the application's API
    assert [one["format"] for one in created if "format" in one] == ["png"]  # the default is lossy
    gan = gz.load_model(name)
    assert isinstance(gan, gz.GAN)
    shown = sample(3, 5, 0.8, "by seed")
    assert [text for _, text in shown] == [f"seed {i}" for i in range(3, 8)]
    scale = 128 // 28
    expected = gan.sample(5, seed=3, truncation=0.8)[0].resize((28 * scale,) * 2, 0)
    assert shown[0][0].tobytes() == expected.tobytes()
    if gan.num_classes:
        threes = sample(0, 1, 1.0, gan.classes[3])[0][0]
        assert threes.tobytes() == gan.sample(1, seed=0, labels=3)[0].resize((28 * scale,) * 2, 0).tobytes()
    assert len(sample(0, 10_000, 1.0, "")) == 64
    assert [text for _, text in sample(None, None, None, "")] == ["seed 0"]  # fields that are empty
    assert sample(1 << 32, 2, 1.0, "")[0][1] == f"seed {2**32 - 64}"


def test_spaces_that_make_no_sense_are_refused(hub: LoopbackHub, model: Path) -> None:
    for settings, text in (
        ({"space": "me/page@v1"}, "without a revision"),
        ({"space": "me/page", "create_pr": True}, "from main"),
        ({"space": "me/page", "revision": "other"}, "from main"),
        ({"space": "page"}, "page"),
    ):
        with pytest.raises((gz.UsageError, gz.HubError), match=text):
            gz.push(model, "me/mine", license="mit", **settings)
    with pytest.raises(gz.UsageError, match="samples of a GAN"):
        gz.push("cnn-mnist", "me/mine", license="mit", space="me/page")
    assert not hub.repos


def test_a_space_that_the_hub_refuses_is_explained(hub: LoopbackHub, model: Path) -> None:
    gz.push(model, "me/mine", license="mit")
    hub.faults.append(Fault("POST /api/spaces/.*", status=403, times=9))
    with pytest.raises(gz.HubError, match=r"can't push to me/page .*no permission to write"):
        gz.push(model, "me/mine", license="mit", space="me/page")
