"""Make a release of a run's best model: convert it to half precision, then measure the converted model.

    python benchmarks/release.py RUN NAME --data mnist [--data-root DIR] [--extractor NAME] [--license mit]

The metrics in `config.json` are those of the released weights, not of the float32 model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gantl_zoo as gz

RELEASED = Path(gz.__file__).parent / "released"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-root")
    parser.add_argument("--extractor", default="auto")
    parser.add_argument("--license", default="mit", help="of the weights; data may ask for its own")
    parser.add_argument("--into", type=Path, default=RELEASED)
    options = parser.parse_args()
    save(gz.load_model(options.run), options)
    model = gz.load_model(options.into / options.name)
    if isinstance(model, gz.GAN):
        report = gz.evaluate(
            model, data=options.data, data_root=options.data_root, extractor=options.extractor
        )
        model.about["metrics"] = report.results
        model.about["training"]["curves"] = curves(Path(options.run))
        print(report)
    else:
        report = gz.classify_evaluate(model, data=options.data, data_root=options.data_root)
        kept = ("name", "metric", "value", "on", "data_fingerprint")
        model.about["metrics"] = [{key: value for key, value in one.items() if key in kept} for one in report]
        print(report)
    save(model, options)


def curves(run: Path) -> dict[str, Any]:
    """The metrics of the run during training, and those of its from-scratch baseline, if it has one."""
    values: dict[str, dict[str, float]] = {}
    scratch = list(run.glob("*-scratch"))
    files = {("transfer" if scratch else "this run"): run / "metrics.jsonl"}
    for path in scratch:
        files["from scratch"] = path / "metrics.jsonl"
    metric = ""
    for name, path in files.items():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        metric = next(key for key in rows[0] if key != "step")
        values[name] = {str(row["step"]): row[metric] for row in rows}
    return {"metric": metric, "curves": values}


def save(model: gz.GAN | gz.Classifier, options: argparse.Namespace) -> None:
    """Write the release without its card, which is in `model_cards/`."""
    model.name, model.license = options.name, options.license
    folder = model.save(options.into / options.name, dtype="float16")
    (folder / "README.md").unlink()


if __name__ == "__main__":
    main()
