"""`ModelKeeper`: saves the model that a classifier's run keeps, and measures it at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.metrics.confusion import Predictions
from gantl_zoo.metrics.result import Result
from gantl_zoo.model.classifier import Classifier, load_classifier
from gantl_zoo.runs.classifier_recorder import result
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.classify_report import classifier_report, counted
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.untrusted import to_json
from gantl_zoo.training.classifier import ClassifierTrainer, labels_of, logits_of


@dataclass
class ModelKeeper:
    """Writes `model/`, and at the end `evaluation.json`, `confusion.png` and `mistakes.png`."""

    job: ClassifierJob
    lineage: dict[str, Any]
    images: ImageData
    held_out: ImageData
    folder: RunFolder
    trainer: ClassifierTrainer
    model: Classifier | None = None  # set by `finish`

    def keep(self, model: Classifier, step: int, results: Sequence[Result]) -> Classifier:
        """Save the model of `step`, with the results of measuring it."""
        recipe, data = self.trainer.recipe, self.images.about()
        data |= {} if self.job.data.split_by == "content" else {"split_by": self.job.data.split_by}
        training = {**asdict(recipe), "classes": list(self.images.classes)}
        training |= {"command": self.job.command(), "best_step": step}
        lineage = self.lineage | {"data": data, "seed": recipe.seed}
        about = {"lineage": lineage, "training": training, "metrics": list(results)}
        model = replace(model, about=about, name=self.job.title or self.folder.path.name)
        model.folder = model.save(self.folder.path / "model")
        return model

    def finish(self, step: int) -> None:
        """Measure the kept model, the one of `step`, on all held-out images, and write the results."""
        place = self.folder.path / "model"
        model = load_classifier(place) if place.is_dir() else self.trainer.snapshot()
        model.backbone.to(self.trainer.engine.device)
        logits = logits_of(model.backbone, self.held_out)
        predictions = Predictions(logits, labels_of(self.held_out), self.held_out.classes)
        measured = result(predictions.accuracy, self.held_out, self.job.in_memory)
        self.model = self.keep(model, step, [measured])
        self.report(predictions, self.model.name)
        self.folder.log(f"model: {self.model.folder}")

    def report(self, predictions: Predictions, name: str) -> None:
        """Log a table of the classes; write the report as JSON and as pictures."""
        training = counted(self.images)
        report = classifier_report(
            predictions, self.held_out, name, in_memory=self.job.in_memory, training=training
        )
        text = to_json({**report.to_dict(), "training_images": training}, "the evaluation")
        with replace_file(self.folder.path / "evaluation.json") as beside:
            beside.write_text(text, encoding="utf-8")
        self.folder.log(str(report))
        for picture in report.save_pictures(self.folder.path):
            self.folder.log(f"picture: {picture}")
