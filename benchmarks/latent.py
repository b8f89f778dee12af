"""Directions and inversion of a GAN of drawn cats, 64×64: `python benchmarks/latent.py SETS GAN`.

SETS is a folder with robohash-cats-64.zip and robohash-cats-64.factors.tsv. GAN is a run or a model that was
trained on the training images of `benchmarks/modes_cats.py`. The report latent.md has the factors that each
of the first ten directions of SeFa and GANSpace changes, and the residuals of 100 held-out and 100 generated
images (`gantl_zoo/bench/factors.py`). The classifiers are trained once. To use one thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from modes_cats import CREDIT, SET, split

from gantl_zoo.bench.cells import write_text
from gantl_zoo.bench.factors import direction_scores, factor_classifiers, inversion, report
from gantl_zoo.zoo import gan_named

REPORT = Path(__file__).parent / "latent.md"
OUT = Path("runs/latent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("gan")
    parser.add_argument("--factors", default="", help="such as body,fur; by default all")
    parser.add_argument("--images", type=int, default=100, help="projected images of each kind")
    parser.add_argument("--steps", type=int, default=400, help="of a projection")
    parser.add_argument("--source", default="", help="pretrained classifier to fine-tune for each factor")
    options = parser.parse_args()
    table = options.sets / f"{SET}.factors.tsv"
    gan = gan_named(options.gan, discriminator=False)
    chosen = options.factors.split(",") if options.factors else ()
    truth = factor_classifiers(split(options.sets), table, chosen, out=OUT, source=options.source)
    rows = direction_scores(gan, truth)
    residuals = inversion(gan, truth.held_out, count=options.images, steps=options.steps)
    write_text(REPORT, report(gan.name, truth, rows, residuals) + f"\n{CREDIT}\n")
    print(REPORT)


if __name__ == "__main__":
    main()
