"""Modes of images whose factors are known: how many combinations of factors a GAN covers, and how evenly.

The protocol of Stacked MNIST (`stacked_mnist.py`) for a folder or zip of images and a table of their factors,
such as colour and pattern of drawn cats. It differs in four points:

- A classifier for each factor is trained here, on the training images. A count means little if they are often
  wrong, so the report has their accuracy on held-out images and the count of these images.
- Real combinations are not equally frequent. The modes are those of the training images, and the divergence
  is to their shares.
- A sample counts only if its combination has a probability of at least 0.5, so that it is likelier than all
  others together. Without this threshold a sample that shows no combination would count as one.
- A mode is covered if its share is at least a tenth of its real share. So a few wrong predictions among many
  samples add no modes.

Both numbers depend on the number of images. So the held-out images are compared with as many samples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.bench.cells import Row, folder, spread, write_text
from gantl_zoo.data import ImageData, is_name, load
from gantl_zoo.data.factors import Factors
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.classification import MISSED, modes
from gantl_zoo.metrics.extract import Images, extract
from gantl_zoo.metrics.extractors import ClassifierFeatures, Joint
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.classify import classify_train, classify_transfer
from gantl_zoo.runs.classify_run import load_classifier
from gantl_zoo.runs.evaluate import samples_of
from gantl_zoo.zoo import gan_named

SAMPLES = 10_000
CONFIDENT = 0.5  # the least probability of a counted combination
ALL = "combination"  # the accuracy of all classifiers together
WEAK = 0.9  # an accuracy of the combination below which the report says that counts mean little
# of the classifiers: a CNN from scratch, so that it is the backbone of no discriminator
CLASSIFIER: dict[str, Any] = {
    "backbone_config": {"widths": [16, 32, 64, 128]},
    "epochs": 30,
    "batch": 32,
    "lr": 4e-3,
}


@dataclass(frozen=True)
class ModeCounter:
    """Counts the combinations of factors that images show.

    `shares` (L,) are those of the combinations among the training images, `accuracy` is that of each
    classifier on the held-out images, and of all together ("combination").
    """

    factors: tuple[str, ...]
    extractor: Joint
    shares: Tensor
    held_out: ImageData
    accuracy: dict[str, float]

    def facts(self) -> Row:
        """What a report says of the data and the classifiers; "floor" are the counts of held-out images."""
        held_out = Images.part(self.held_out, len(self.held_out))
        return {
            "data": self.held_out.name,
            "factors": list(self.factors),
            "modes": int((self.shares > 0).sum()),
            "accuracy": self.accuracy,
            "sha256": self.extractor.sha256,
            "floor": counted(logits_of(self.extractor, held_out), self.shares),
        }

    def __call__(self, gan: GAN, samples: int) -> Row:
        """The counts of samples: of as many as there are held-out images ("few"), and of `samples` ("many").

        Raises `DataError` for a GAN of other images.
        """
        if gan.image_shape != self.held_out.shape:
            raise DataError(
                f"{gan.name} makes images {gan.image_shape} (channels, height, width), but those of "
                f"{self.held_out.name} are {self.held_out.shape}; choose another --image-size"
            )
        count = len(self.held_out)
        logits = logits_of(self.extractor, samples_of(gan, max(samples, count), self.held_out))
        return {"few": counted(logits[:count], self.shares), "many": counted(logits, self.shares)}


def logits_of(extractor: Joint, images: Images) -> Tensor:
    """The joint log-probabilities (N, L) of images."""
    logits = extract(extractor, images).logits
    assert logits is not None  # it consists of classifiers
    return logits


def counted(logits: Tensor, shares: Tensor) -> Row:
    """Covered modes, reverse KL divergence, and the share of confident images."""
    sure = logits.softmax(1).amax(1) >= CONFIDENT
    values = modes(logits[sure], shares, least=MISSED)
    kl = values["mode_kl"] if math.isfinite(values["mode_kl"]) else None  # JSON has no infinity
    return {
        "images": len(logits),
        "modes": values["modes"],
        "mode_kl": kl,
        "confident": float(sure.double().mean()),
    }


def mode_counter(
    data: str | Path,
    table: str | Path,
    factors: Sequence[str],
    *,
    out: str | Path,
    image_size: int | None = None,
    source: str = "",
    quiet: bool = True,
) -> ModeCounter:
    """Train a classifier for each of the `factors` in `table`, or load those in `out`.

    `source` is a pretrained classifier to fine-tune; by default a small CNN is trained from scratch.
    Raises `DataError` for a table without rows for all images, `UnknownNameError` for an unknown factor.
    """
    if is_name(data):
        raise DataError(f"factors are given by file: data must be a folder or a zip, not the data set {data}")
    known, place = Factors.read(table), Path(data).expanduser()
    if not factors or len({known.number(factor) for factor in factors}) < len(factors):
        raise UsageError("name at least one factor, and each only once")
    train, test = (load(place, split=split, image_size=image_size) for split in ("train", "test"))
    inner, accuracy = [], {}
    for factor in factors:
        mine, others = (known.labelled(images, place, [factor]) for images in (train, test))
        model = classifier(mine, factor, Path(out), source, quiet)
        inner.append(ClassifierFeatures(factor, model.backbone))
        accuracy[factor] = share_right(extract(inner[-1], Images.part(others, len(others))).logits, others)
    held_out, learned = (known.labelled(images, place, factors) for images in (test, train))
    assert learned.labels is not None
    counts = torch.bincount(learned.labels, minlength=len(learned.classes)).double()
    extractor = Joint(",".join(factors), inner)
    right = share_right(logits_of(extractor, Images.part(held_out, len(held_out))), held_out)
    return ModeCounter(tuple(factors), extractor, counts / counts.sum(), held_out, accuracy | {ALL: right})


def share_right(logits: Tensor | None, images: ImageData) -> float:
    """The accuracy of predictions for all `images`, in the order of `Images.part`."""
    labels = Images.part(images, len(images)).labels
    assert logits is not None and labels is not None
    return float((logits.argmax(1) == labels).double().mean())


def classifier(images: ImageData, factor: str, out: Path, source: str, quiet: bool) -> Classifier:
    """The classifier of a factor: the one in `out` that was trained on these images, or else a new one."""
    settings = {} if source else CLASSIFIER
    key = json.dumps([factor, images.fingerprint, source, settings], sort_keys=True)
    place = folder(out, f"classifier-{factor.replace('/', '-')}", key)
    if (place / "model").is_dir():
        return load_classifier(place / "model")
    rest: dict[str, Any] = {"data": images, "out": place / "runs", "quiet": quiet, "title": place.name}
    model = classify_transfer(source, **rest) if source else classify_train("cnn", **settings, **rest)
    model.save(place / "model")
    return model


def mode_table(
    gans: Sequence[str | Path],
    counter: ModeCounter,
    *,
    samples: int = SAMPLES,
    out: str | Path,
    say: Callable[[str], object] = lambda text: None,
) -> Path:
    """Count the modes of each GAN and write the report; returns its path. Raises `DataError`."""
    if samples < 1:
        raise UsageError(f"samples must be at least 1, not {samples}")
    facts, rows = counter.facts(), []
    for name in gans:
        counts = counter(gan_named(name, discriminator=False), samples)
        rows.append(({"model": str(name)}, [counts]))
        say(f"{name}: {counts['many']['modes']:.0f} of {facts['modes']} modes")
    path = Path(out) / "report.md"
    write_text(path, report(rows, facts))
    return path


def report(rows: Sequence[tuple[Row, Sequence[Row]]], facts: Row) -> str:
    """The report as Markdown. A row is a pair: its first cells by title, and the counts of its runs."""
    titles, floor = list(rows[0][0]), facts["floor"]
    few, many = f"{floor['images']:,}", f"{rows[0][1][0]['many']['images']:,}"
    heads = [
        *titles,
        f"modes, {few} images",
        "reverse KL",
        f"modes, {many} images",
        "reverse KL",
        "confident",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(titles) + "|---:" * 5 + "|"]
    blank = ["held-out images", *[""] * (len(titles) - 1)]
    lines.append(f"| {' | '.join([*blank, *cells([floor]), '', '', confident([floor])])} |")
    for first, counts in rows:
        each = [cells([count[part] for count in counts]) for part in ("few", "many")]
        words = [str(word) for word in first.values()]
        lines.append(
            f"| {' | '.join([*words, *each[0], *each[1], confident([c['many'] for c in counts])])} |"
        )
    named = ", ".join(f"{name} {100 * share:.1f} %" for name, share in facts["accuracy"].items())
    notes = [
        f"The modes are the {facts['modes']} combinations of {', '.join(facts['factors'])} among the "
        f"training images of {facts['data']}. Accuracy of the classifiers ({facts['sha256']}) on {few} "
        f"held-out images: {named}."
        + (" They are often wrong, so the counts mean little." if facts["accuracy"][ALL] < WEAK else ""),
        "A mode counts if its share is at least a tenth of its share among the training images. The reverse "
        "KL divergence is to the shares of the training images. Only confident samples are counted: those "
        f"whose combination has a probability of at least {CONFIDENT}. Both numbers depend on the number of "
        f"images, so compare samples with held-out images in the columns for {few}.",
    ]
    return "\n\n".join([f"# Modes of {facts['data']}", *notes, "\n".join(lines)]) + "\n"


def cells(counts: Sequence[Row]) -> list[str]:
    """Modes and divergence, the means over runs."""
    divergences = [count["mode_kl"] for count in counts]
    kl = "" if None in divergences else spread(divergences, "{:.2f}".format)
    return [spread([count["modes"] for count in counts], "{:.0f}".format), kl]


def confident(counts: Sequence[Row]) -> str:
    """The share of confident images in %, the mean over runs."""
    return spread([100 * count["confident"] for count in counts], "{:.0f} %".format)
