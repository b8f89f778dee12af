"""A run is prepared in one place: images are read once, memory is checked first, defaults are the verb's."""

from __future__ import annotations

import copy
import shlex
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from helpers import SMALL, TINY

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData, files
from gantl_zoo.runs import memory
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.settings import RecipeSettings
from gantl_zoo.runs.train import prepare_train
from gantl_zoo.runs.transfer import prepare_transfer, short
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.recipe import VERBS, Recipe

MEASURED = {"metrics": ("kd",), "extractor": "pixels", "samples": 20}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each image that is decoded."""
    seen: list[int] = []
    decode = files.decode

    def counting(content: bytes, **settings: Any) -> Any:
        seen.append(len(content))
        return decode(content, **settings)

    monkeypatch.setattr(files, "decode", counting)
    return seen


@pytest.mark.parametrize("more", [{}, {"shots": 7}, MEASURED, MEASURED | {"shots": 7}], ids=str)
@pytest.mark.parametrize("verb", ["train", "transfer", "resume"])
def test_each_image_is_read_once_a_run(
    photos: Path, tmp_path: Path, gan: gz.GAN, decoded: list[int], more: dict[str, Any], verb: str
) -> None:
    settings: dict[str, Any] = TINY | more | {"out": tmp_path, "image_size": 28, "channels": 1}
    if verb == "transfer":
        settings |= {"compare_scratch": "metrics" in more}
        settings = {key: value for key, value in settings.items() if not key.endswith("config")}
        gz.transfer(gan, data=photos, **settings)
    else:
        made = gz.train("dcgan", data=photos, **settings)
    if verb == "resume":
        decoded.clear()
        assert made.folder is not None
        gz.resume(made.folder.parent)
    assert len(decoded) == 30


def test_a_size_that_no_memory_holds_is_refused_before_images_are_read(
    photos: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ({"image_size": 100_000}, {"image_size": 4 << 13}, {"image_size": 50}):
        with pytest.raises((gz.UsageError, gz.DataError), match=r"image_size|GiB"):
            gz.train("dcgan", data=photos, out=tmp_path, **wrong)
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 20)
    monkeypatch.setattr(memory, "SPARE", 0)
    with pytest.raises(gz.UsageError, match=r"dcgan at 64×64 .* needs about .* GiB .*--image-size"):
        gz.train("dcgan", data=photos, image_size=64, out=tmp_path)
    assert not decoded and not list(tmp_path.glob("0*"))


def test_a_step_that_no_memory_holds_is_refused_before_it_is_taken(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare_train("dcgan", images, {"generator_config": SMALL, "batch": 8})
    need = memory.needed(run.setup.networks, images, run.job.recipe)
    monkeypatch.setattr(memory, "SPARE", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: need.weights + 10 * need.activations)
    prepare_train("dcgan", images, {"generator_config": SMALL, "batch": 8})
    with pytest.raises(gz.UsageError, match=r"a step of 800 images at 28×28 needs about .*--accumulate"):
        gz.train("dcgan", data=images, generator_config=SMALL, batch=800, out=tmp_path)
    assert not list(tmp_path.glob("0*"))


def test_each_gpu_holds_its_share_of_the_batch_and_the_images(
    images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare_train("dcgan", images, {"generator_config": SMALL, "batch": 8})
    need = memory.needed(run.setup.networks, images, run.job.recipe)
    assert need.images == images.images.numel() and memory.needed(
        run.setup.networks, images, run.job.recipe, 4
    ) == need._replace(activations=need.activations // 4)
    asked: list[int] = []
    monkeypatch.setattr(memory, "check", lambda what, bytes_needed, free, remedy: asked.append(bytes_needed))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 40, 1 << 40))
    for device in ("cpu", "cuda"):
        engine = Engine(torch.device(device), "fp32", processes=Processes(0, 4))
        memory.check_step(run.setup, images, run.job.recipe, engine)
    assert asked == [need.weights + need.activations, need.weights + need.images + need.activations // 4]


def test_a_size_that_is_not_a_number_is_refused_in_one_line(photos: Path, tmp_path: Path) -> None:
    for wrong in ("8", 8.5, True):
        with pytest.raises(gz.UsageError, match=r"^image_size must be a whole number, not"):
            gz.train("dcgan", data=photos, image_size=wrong, out=tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("precision", "bp16", "unknown precision 'bp16'; did you mean fp16 or bf16"),
        ("on_collapse", "rolback", "unknown on-collapse 'rolback'; did you mean rollback"),
        ("log", "csv", "unknown log 'csv'; there are: none, tensorboard"),
    ],
)
def test_a_setting_with_a_choice_suggests_the_closest(key: str, value: str, said: str) -> None:
    with pytest.raises(gz.UnknownNameError, match=said):
        Recipe(**{key: value})


def test_estimates_change_nothing(images: ImageData) -> None:
    run = prepare_train("dcgan", images, {"generator_config": SMALL, "batch": 8})
    before = {k: v.clone() for k, v in run.setup.gan.generator.state_dict().items()}
    random = torch.random.get_rng_state()
    memory.needed(run.setup.networks, images, run.job.recipe)
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in run.setup.gan.generator.state_dict().items())


def test_settings_are_those_of_the_recipe_and_typed_alike() -> None:
    hints, given = get_type_hints(Recipe), get_type_hints(RecipeSettings)
    assert set(given) == {field.name for field in fields(Recipe)}
    assert all(given[name] == hints[name] | None for name in given)


def test_python_and_the_command_line_have_the_same_defaults(
    images: ImageData, gan: gz.GAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: dict[str, Recipe] = {
        "train": prepare_train("dcgan", images, {}).job.recipe,
        "transfer": prepare_transfer(gan, images, None, {}).job.recipe,
    }
    assert recipes["transfer"].steps == 1_500 and recipes["train"].steps == 20_000
    for verb, recipe in recipes.items():
        asked: list[dict[str, Any]] = []

        def stop(name: Any, asked: list[dict[str, Any]] = asked, **settings: Any) -> None:
            asked.append(settings)
            raise gz.UsageError("enough")

        monkeypatch.setattr(f"gantl_zoo.runs.{verb}.{verb}", stop)
        with pytest.raises(SystemExit):
            main([verb, "dcgan", "--data", "glyphs"])
        typed: Any = {key: asked[0][key] for key in asked[0] if key in RecipeSettings.__annotations__}
        assert asked[0].get("strategy") is None and not typed, "what is not typed is not given"
        again = (
            prepare_train("dcgan", images, typed)
            if verb == "train"
            else prepare_transfer(gan, images, None, typed)
        )
        assert again.job.recipe == recipe
        assert asked[0]["quiet"] is False


@pytest.mark.parametrize("verb", list(VERBS))
def test_the_command_of_a_card_is_the_run_that_it_describes(
    verb: str, photos: Path, gan: gz.GAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call from Python and the command on its card describe the same job."""
    monkeypatch.chdir(tmp_path)
    settings = {"image_size": 28, "channels": 1, "steps": 3, "batch": 4, "log_every": 2, "lr": 1e-3}
    settings |= {"metrics": "kd", "samples": 20, "extractor": "pixels", "shots": 9, "out": "python"}
    if verb == "train":
        made = gz.train("dcgan", data="photos", generator_config=SMALL, **settings)
    else:
        gan.save("small")
        made = gz.transfer(
            "small", data="photos", strategy="freeze-d", strategy_config={"first": 1}, **settings
        )
    command = made.about["training"]["command"]
    assert ("--steps 3" in command) and ("--log-every 2" in command)
    with pytest.raises(SystemExit) as exit:
        main([*shlex.split(command)[1:], "--out", "typed"])
    assert exit.value.code == 0
    jobs = [
        Job.from_config(RunFolder.open(next(Path(out).glob("0*")))[1], out) for out in ("python", "typed")
    ]
    # where torchvision's sets lie is this machine's business
    assert len({str(replace(job, data=replace(job.data, root=None))) for job in jobs}) == 1


def test_scores_on_images_that_were_trained_on_are_marked(photos: Path, tmp_path: Path) -> None:
    """The same images hold out the same ones however they are reached; others are compared by content."""
    settings = TINY | {"image_size": 28, "channels": 1, "out": tmp_path / "runs"}
    made = gz.train("dcgan", data=photos, **settings)
    with zipfile.ZipFile(tmp_path / "wrapped.zip", "w") as archive:
        for path in photos.rglob("*.png"):
            archive.write(path, Path("inside") / path.relative_to(photos))
    for same in (photos, tmp_path / "wrapped.zip"):
        (note,) = gz.evaluate(made, data=same, channels=1, **MEASURED).notes
        assert note.startswith("note: only 3 images of ") and "kd compares samples with all images" in note
    learned = tmp_path / "learned" / "test"
    learned.mkdir(parents=True)
    (tmp_path / "learned" / "train").mkdir()
    for i, path in enumerate(sorted(photos.rglob("*.png"))):
        (learned if i % 2 else learned.parent / "train").joinpath(path.name).write_bytes(path.read_bytes())
    report = gz.evaluate(made, data=tmp_path / "learned", channels=1, **MEASURED)
    few, note = report.notes
    assert (
        "only 15 images of " in few
        and "was trained on" in note
        and "of the 15 held-out images" in note
        and note in str(report)
    )


def test_a_transfer_is_named_after_the_run_that_it_starts_from() -> None:
    assert short("runs/00000-first/model") == "first"
    assert short("runs/00000-first") == "first" == short("runs/00000-first/model/")
    assert short("runs/123456-first/model") == "first"
    assert short("me/my-gan@v1.2") == "my-gan" and short("model") == "model"


@pytest.mark.parametrize(
    "wrong", [3, object(), b"name", ["dcgan-mnist"]], ids=["int", "object", "bytes", "list"]
)
def test_what_is_not_a_gan_is_refused_in_one_line(wrong: Any, images: ImageData) -> None:
    with pytest.raises(gz.UsageError, match="a model must be a name or a folder, not"):
        gz.transfer(wrong, data=images)
    with pytest.raises(gz.UsageError, match="a model must be a name or a folder, not"):
        gz.evaluate(wrong, data=images)


def test_a_classifier_is_not_a_gan(images: ImageData) -> None:
    classifier = gz.build_classifier("cnn", {"widths": [4], "num_classes": 2})
    for call in (gz.transfer, gz.evaluate):
        with pytest.raises(gz.UsageError, match="is a backbone, not a GAN"):
            call(classifier, data=images)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_size": "28"}, "image_size must be a whole number, not '28'"),
        ({"steps": 2.5}, "steps must be a whole number, not 2.5"),
        ({"generator_config": ["width=8"]}, r"generator_config must be .*dict.*, not \['width=8'\]"),
        ({"out": 5}, "out must be a path, not 5"),
        ({"resume": 5}, "resume must be a path, not 5"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"callbacks": [3]}, "a callback must be an object of a class derived from gz.Callback"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_of_another_type_are_refused_in_one_line(
    wrong: dict[str, Any], said: str, images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gz.UsageError, match=said):
        gz.train("dcgan", **{"data": images, "out": "runs"} | wrong)
    assert not list(tmp_path.rglob("0*"))


@pytest.mark.parametrize("wrong", [5, gz.TransferStrategy], ids=str)
def test_a_strategy_is_a_name_or_an_object(wrong: Any, gan: gz.GAN, images: ImageData) -> None:
    with pytest.raises(gz.UsageError, match="strategy must be a name or a"):
        gz.transfer(gan, data=images, strategy=wrong)


def test_numbers_of_numpy_are_numbers(photos: Path, tmp_path: Path) -> None:
    small = {key: np.int64(value) for key, value in SMALL.items()}
    settings = TINY | {"image_size": 28, "shots": 9, "channels": 1, "data_seed": 1, "generator_config": small}
    settings = {key: np.int64(v) if isinstance(v, int) else v for key, v in settings.items()}
    made = gz.train("dcgan", data=photos, out=tmp_path, **settings)
    assert made.lineage["data"]["images"] == 9


@pytest.mark.parametrize("name", ["dcgan", "resnet"])
def test_activations_are_counted_alike_without_and_with_memory(name: str, images: ImageData) -> None:
    networks = prepare_train(name, images, {"generator_config": {"width": 8}}).setup.networks
    players = [networks["generator"], networks["discriminator"]]

    def forward(generator: Any, discriminator: Any, device: str) -> None:
        discriminator(generator(torch.zeros(2, generator.latent_dim, device=device)))

    counted = [
        memory._counted([copy.deepcopy(p).to(d) for p in players], forward, d) for d in ("meta", "cpu")
    ]
    assert counted[0] == pytest.approx(counted[1], rel=0.01) and counted[0] > 0


def test_too_wide_networks_and_too_large_classifiers_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match=r"dcgan .*needs about .* GiB of memory.*smaller width"):
        gz.train("dcgan", data="glyphs", shots=10, generator_config={"width": 1_000_000}, out=tmp_path)
    with pytest.raises(gz.UsageError, match=r"a step of 27 images at 2048×2048 needs about"):
        config = {"widths": [4096]}
        gz.classify_train("cnn", data=photos, image_size=2048, backbone_config=config, out=tmp_path)
    with pytest.raises(gz.UsageError, match=r"images take .* GiB: generate fewer at a time"):
        gz.build_gan("dcgan").generate(1 << 31)
    assert not list(tmp_path.glob("0*"))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_run_that_learned_nothing_is_never_done(steps: int, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(gz.TrainingError, match="not finite"):
        gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY | {"steps": steps, "lr": 1e30})
    with pytest.raises(gz.TrainingError, match="not finite"):
        gz.classify_train("cnn", data=photos, image_size=16, epochs=steps, lr=1e30, out=tmp_path)
    assert not list(tmp_path.rglob("model"))


def test_a_model_is_evaluated_in_float32_whatever_the_caller_has_set(photos: Path) -> None:
    classifier = gz.load_model("cnn-mnist")
    assert isinstance(classifier, gz.Classifier)
    images = ImageData(
        torch.zeros(10, 1, 28, 28, dtype=torch.uint8), torch.arange(10), tuple(classifier.classes)
    )
    torch.set_default_dtype(torch.float64)
    try:
        assert gz.classify_evaluate("cnn-mnist", data=images)["accuracy"] >= 0
        assert gz.load_model("dcgan-mnist").dtype == torch.float32
        gz.evaluate("dcgan-mnist", data=photos, channels=1, **MEASURED)
    finally:
        torch.set_default_dtype(torch.float32)


def test_evaluating_a_release_reads_each_image_once(photos: Path, decoded: list[int]) -> None:
    gz.evaluate("dcgan-mnist", data=photos, channels=1, **MEASURED)
    assert len(decoded) == 30
