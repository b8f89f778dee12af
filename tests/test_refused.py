"""Broken plug-ins: refused before a run folder is made; errors during a run name the plug-in and the step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import SMALL, run

import gantl_zoo as gz
from gantl_zoo.data import ImageData

Install = Callable[..., None]

NETWORK = """
import math, torch
from torch import nn

class Net(nn.Module):
    num_classes = 0
    latent_dim = 8

    def __init__(self):
        super().__init__()
        self.image_shape = (1, 28, 28)
        first = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.extra = nn.Linear(16, 16)
        last = nn.Sequential(nn.Linear(16, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))
        self.blocks = nn.ModuleList([first, self.extra, last])
        {init}

    def forward(self, noise, labels=None):
        first, _, last = self.layers if hasattr(self, "layers") else self.blocks
        images = last(self.extra(first(noise)))
        return {result}

def build(*, image_size: int = 28, channels: int = 1, latent_dim: int = 8):
    return Net()
"""
WRONG = {
    "outside": ("self.layers = list(self.blocks); self.blocks = self.blocks[:1]", "images",
                "all-in-blocks.* in no block, so training never changes it"),
    "bytes": ("", "127.5 * (images + 1)", "output-range: .*its values reach 1.*nn.Tanh"),
    "small": ("", "images[..., :-1]", r"output-shape: .*\(2, 1, 28, 27\) instead of \(2, 1, 28, 28\)"),
    "nan": ("", "images * math.nan", "output-finite: .*NaN or infinite with its first weights"),
    "no-blocks": ("self.layers = list(self.blocks); del self.blocks", "images",
                  "attributes: .*it has no blocks"),
}  # fmt: skip


def make(install: Install, init: str = "", result: str = "images") -> None:
    install("bad-one", NETWORK.format(init=init, result=result), generators={"bad": "bad_one:build"})


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_generator_is_refused_before_a_run_folder_is_made(
    install: Install, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init, result, text = WRONG[name]
    make(install, init, result)
    out = tmp_path / "runs"
    command = ["train", "bad", "--discriminator", "dcgan", "--data", "digits", "--image-size", "28"]
    code, _, err = run(capsys, *command, "--steps", "2", "--batch", "4", "--out", out)
    assert code == 1 and not out.exists(), err
    assert len(err.strip().splitlines()) == 1
    with pytest.raises(
        gz.PluginError, match=rf"^plug-in bad-one 0.3: generator 'bad' fails the check {text}"
    ):
        gz.build_gan("bad", "dcgan", discriminator_config={"width": 4})
    assert "(docs/authors/generator.md)" in err


def test_a_backbone_without_a_pyramid_is_refused(install: Install) -> None:
    code = NETWORK.format(
        init="self.channels, self.embedding_dim, self.num_classes = 1, 4, 4", result="images"
    )
    install("bad-one", code, backbones={"bad": "bad_one:build"})
    with pytest.raises(
        gz.PluginError, match=r"backbone 'bad' fails the check attributes.*no embed and no pyramid"
    ):
        gz.build_classifier("bad")


def test_a_strategy_that_is_none_is_refused(
    install: Install, tmp_path: Path, images: ImageData, gan: gz.GAN
) -> None:
    install("bad-one", "class Plain:\n    pass\n", strategies={"plain": "bad_one:Plain"})
    text = "plug-in bad-one 0.3: strategy 'plain' is a Plain, not a gz.TransferStrategy"
    with pytest.raises(gz.PluginError, match=text):
        gz.transfer(gan, data=images, strategy="plain", steps=2, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_loaded_network_is_checked_without_a_forward_pass(install: Install, tmp_path: Path) -> None:
    make(install)
    folder = gz.build_gan("bad", "dcgan", discriminator_config={"width": 4}).save(tmp_path / "model")
    make(install, "self.layers = list(self.blocks); self.blocks = nn.ModuleList([self])[:0]")
    with pytest.raises(gz.PluginError, match=r"fails the check blocks: .*its blocks are empty"):
        gz.load_model(folder)


def test_a_source_is_checked_before_a_transfer(install: Install, tmp_path: Path, images: ImageData) -> None:
    make(install)
    folder = gz.build_gan("bad", "dcgan", discriminator_config={"width": 4}).save(tmp_path / "model")
    make(install, result="images * 100")
    gz.load_model(folder)
    with pytest.raises(gz.PluginError, match="fails the check output-range"):
        gz.transfer(folder, data=images, steps=2, strategy="full", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_checking_keeps_the_random_state(install: Install) -> None:
    import torch

    make(install)
    torch.manual_seed(3)
    gz.generators.build("bad")
    gz.discriminators.build("dcgan", width=4)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    gz.build_gan("bad", "dcgan", discriminator_config={"width": 4})
    assert torch.equal(after, torch.get_rng_state())


FAILING = """
import gantl_zoo as gz

class Failing(gz.TransferStrategy):
    at = {at}

    def on_step(self, step, plan):
        if step == self.at:
            {action}
"""
RUN = {"steps": 6, "batch": 4, "precision": "fp32", "metrics": (), "checkpoint_every": 2}


LATER = """
    def {method}(self, loss, batch):
        if batch.step == 5:
            raise ValueError("no luck")
        return super().{method}(loss, batch)
"""


@pytest.mark.parametrize(
    ("action", "more", "saved"),
    [
        ("raise ValueError('no luck')", "", 5),
        ("raise SystemExit('no luck')", "", 5),
        ("pass", LATER.format(method="discriminator_loss"), 5),  # nothing is updated yet
        ("pass", LATER.format(method="generator_loss"), 4),  # the discriminator is
    ],
)
def test_an_error_in_a_plugin_names_it_and_the_step_and_can_be_resumed(
    install: Install, tmp_path: Path, images: ImageData, gan: gz.GAN, action: str, more: str, saved: int
) -> None:
    source = gan.save(tmp_path / "source")
    code = FAILING.format(at=5, action=action) + more
    install("bad-one", code, strategies={"failing": "bad_one:Failing"})
    settings = {**RUN, "data": images, "strategy": "failing"}
    with pytest.raises(gz.TrainingError) as error:
        gz.transfer(source, **settings, out=tmp_path / "runs")
    (folder,) = (tmp_path / "runs").iterdir()
    kind = "ValueError" if more else action.partition(" ")[2].partition("(")[0]
    assert str(error.value) == (
        f"stopped at step 5: plug-in bad-one 0.3 raised {kind}: no luck; fix or update it, then continue "
        f"from the checkpoint of step {saved} with gantl-zoo resume {folder}"
    )
    assert isinstance(error.value.__cause__, (ValueError, SystemExit))
    install("bad-one", FAILING.format(at=-1, action="pass"), strategies={"failing": "bad_one:Failing"})
    done = gz.transfer(resume=folder, data=images)
    whole = gz.transfer(source, **settings, out=tmp_path / "whole")
    for name, tensor in whole.generator.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # counts the pass that failed, too
            assert tensor.equal(done.generator.state_dict()[name]), name


def test_an_error_outside_of_plugins_is_raised_as_it_is(
    tmp_path: Path, images: ImageData, gan: gz.GAN
) -> None:
    class Own(gz.TransferStrategy):
        def on_step(self, step: int, plan: gz.Plan) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gz.transfer(gan, data=images, strategy=Own(), **RUN, out=tmp_path)  # type: ignore[arg-type]


def test_an_unexpected_error_before_a_run_names_the_plugin(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import gantl_zoo as gz\nclass Bad(gz.TransferStrategy):\n    def prepare(self, *_):\n        [][0]\n"
    )
    install("bad-one", code, strategies={"bad": "bad_one:Bad"})
    command = ["transfer", "dcgan-mnist", "--data", "digits", "--strategy", "bad", "--out", tmp_path / "runs"]
    status, _, err = run(capsys, *command)
    assert status == 1 and "error: plug-in bad-one 0.3 raised an unexpected IndexError" in err
    assert not (tmp_path / "runs").exists()


NOT_FINITE = """
import gantl_zoo as gz
import torch

class Broken(gz.TransferStrategy):
    def prepare(self, source, target, data):
        self.weight = next(target.{network}.parameters())
        self.steps = 0
        return super().prepare(source, target, data)

    def {method}:
        self.steps += 1
        if self.steps >= {first}:
            with torch.no_grad():
                self.weight.fill_(float("nan"))
        {result}
"""


@pytest.mark.parametrize(
    ("network", "method", "first", "result"),
    [
        ("generator", "after_step(self, phase)", 12, ""),  # in the last step
        ("discriminator", "after_step(self, phase)", 11, ""),
        ("generator", "after_step(self, phase)", 1, ""),
        ("discriminator", "on_step(self, step, plan)", 6, ""),
    ],
)
def test_a_run_whose_weights_are_not_finite_is_never_done(
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: str,
    method: str,
    first: int,
    result: str,
) -> None:
    code = NOT_FINITE.format(network=network, method=method, first=first, result=result)
    install("bad-one", code, strategies={"broken": "bad_one:Broken"})
    source = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    folder = source.save(tmp_path / "source")
    command = ["transfer", folder, "--data", "digits", "--strategy", "broken", "--steps", "6", "--batch", "4"]
    command += [
        "--metrics",
        "none",
        "--aug",
        "none",
        "--r1",
        "0",
        "--precision",
        "fp32",
        "--out",
        tmp_path / "runs",
    ]
    status, out, err = run(capsys, *command)
    (made,) = (tmp_path / "runs").iterdir()
    assert status == 1 and not out, err
    assert "not finite" in err.splitlines()[-1]
    assert "done:" not in (made / "log.txt").read_text()
