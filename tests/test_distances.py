"""Distances on features: closed forms, other libraries' figures, and the way that each moves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.metrics import distance, neighbours
from gantl_zoo.metrics.catalogue import build_metric
from gantl_zoo.metrics.classification import classes, inception_score
from gantl_zoo.metrics.distance import frechet, kernel, principal, student
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.memorisation import copies, cosine_distance, diversity, informed
from gantl_zoo.metrics.metric import Metric
from gantl_zoo.metrics.neighbours import manifolds, nearest, supports


def normal(count: int, dimensions: int, seed: int = 0, mean: float = 0.0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + scale * torch.randn(count, dimensions, generator=generator)


def test_frechet_of_two_gaussians_is_the_closed_form() -> None:
    """Diagonal Gaussians: |m1 - m2|² + Σ (s1 - s2)²."""
    first, second = normal(200_000, 3), normal(200_000, 3, seed=1, mean=1, scale=2)
    assert frechet(first, second) == pytest.approx(3 * 1 + 3 * 1, rel=0.02)


def test_kernel_distance_of_two_gaussians_is_the_closed_form() -> None:
    """In one dimension E (xy + 1)³ = 1 + 3 E[x]E[y] + 3 E[x²]E[y²] + E[x³]E[y³] for independent x, y."""
    moments = {0: (0, 1, 0), 1: (1, 2, 4)}  # E x, E x², E x³ of N(0, 1) and N(1, 1)

    def similarity(one: int, two: int) -> float:
        a, b = moments[one], moments[two]
        return 1 + 3 * a[0] * b[0] + 3 * a[1] * b[1] + a[2] * b[2]

    expected = similarity(0, 0) + similarity(1, 1) - 2 * similarity(0, 1)
    found = kernel(normal(20_000, 1), normal(20_000, 1, seed=1, mean=1))
    assert found.value == pytest.approx(expected, rel=0.05)
    assert found.low is not None and found.high is not None and found.low < expected < found.high


def test_the_kernel_interval_holds_zero_for_equal_distributions_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(60):
        found = kernel(normal(400, 4, seed=2 * seed), normal(400, 4, seed=2 * seed + 1))
        assert found.low is not None and found.high is not None
        inside += found.low <= 0 <= found.high
    assert inside >= 51  # 95 % of 60 is 57; fewer than 51 would happen once in 200 times


def test_students_quantile() -> None:
    for freedom, value in ((4, 2.776), (9, 2.262), (49, 2.010), (10_000, 1.960)):
        assert student(freedom) == pytest.approx(value, abs=0.02)


def test_torch_fidelity_and_torchmetrics_agree_on_the_same_features() -> None:
    metrics = pytest.importorskip("torch_fidelity.metric_kid")
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric

    real, fake = normal(1500, 16), normal(1300, 16, seed=1, mean=0.1, scale=1.2)
    theirs = metrics.kid_features_to_metric(real, fake, verbose=False, kid_subset_size=1000)
    assert kernel(real, fake).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    statistics = [fid_features_to_statistics(side) for side in (real, fake)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet(real, fake) == pytest.approx(fid, rel=1e-5)
    score = isc_features_to_metric(fake)
    assert inception_score(fake).value == pytest.approx(score["inception_score_mean"], rel=1e-9)


def test_our_precision_and_recall_are_torch_fidelitys() -> None:
    metrics = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = normal(900, 8), normal(700, 8, seed=1, mean=0.5)
    theirs = metrics.prc_features_to_metric(fake, real, verbose=False)
    ours = manifolds(real, fake)
    assert ours["precision"] == pytest.approx(theirs["precision"], abs=2 / 700)
    assert ours["recall"] == pytest.approx(theirs["recall"], abs=2 / 900)


def test_informed_distance_is_torchmetrics_for_the_same_images_as_real_and_training() -> None:
    from torchmetrics.image.mifid import _compute_cosine_distance

    fake, train = normal(300, 4, mean=1), normal(500, 4, seed=1, mean=1)
    theirs = float(_compute_cosine_distance(fake, train, cosine_distance_eps=0.1))
    assert cosine_distance(fake, train) == pytest.approx(theirs, rel=1e-4)
    assert informed(3.0, fake, train) == pytest.approx(3.0 / theirs, rel=1e-4)
    far = torch.eye(4)
    assert informed(3.0, far[:2], far[2:]) == 3.0  # nothing near: no punishment


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(150, 3), normal(130, 3, seed=1, mean=0.3)
    whole = manifolds(real, fake), nearest(fake, real, 4), nearest(real, real, 3, same=True)
    monkeypatch.setattr(neighbours, "ROWS", 7)
    monkeypatch.setattr(neighbours, "COLUMNS", 11)
    parts = manifolds(real, fake), nearest(fake, real, 4), nearest(real, real, 3, same=True)
    assert parts[0] == pytest.approx(whole[0])
    for ours, theirs in zip(parts[1:], whole[1:], strict=True):
        assert torch.equal(ours[1], theirs[1]) and torch.allclose(ours[0], theirs[0])
    brute = torch.cdist(fake.double(), real.double()).topk(4, largest=False)
    assert torch.equal(whole[1][1], brute.indices) and torch.allclose(whole[1][0], brute.values, atol=1e-5)


def test_order_means_nothing() -> None:
    real, fake = normal(400, 4), normal(400, 4, seed=1, mean=0.2)
    assert frechet(real, fake) == pytest.approx(frechet(real.flip(0), fake), rel=1e-6)
    assert manifolds(real, fake) == pytest.approx(manifolds(real, fake.flip(0)))
    assert copies(fake, real[:200], real[200:]) == copies(fake.flip(0), real[:200], real[200:])


def test_equal_sets_score_as_theory_says() -> None:
    features = normal(500, 4)
    assert frechet(features, features) == pytest.approx(0, abs=1e-6)
    found = manifolds(features, features)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    others = manifolds(features, normal(500, 4, seed=1))
    assert others["density"] == pytest.approx(1, abs=0.1)  # its expectation for equal distributions
    expected = 1 - math.prod((500 - i) / (1000 - 1 - i) for i in range(5))  # Naeem et al., lemma 2
    assert others["coverage"] == pytest.approx(expected, abs=0.03)


def test_half_of_the_classes_costs_recall_and_coverage_not_precision() -> None:
    first, second = normal(300, 4), normal(300, 4, seed=1, mean=20)
    real, fake = torch.cat([first, second]), normal(600, 4, seed=2)
    whole, half = (
        manifolds(real, torch.cat([normal(300, 4, seed=3), normal(300, 4, seed=4, mean=20)])),
        manifolds(real, fake),
    )
    assert half["precision"] > 0.9 and abs(half["precision"] - whole["precision"]) < 0.05
    assert half["recall"] < 0.55 < 0.9 < whole["recall"] and half["coverage"] < 0.55 < whole["coverage"]
    assert frechet(real, fake) > 100 and kernel(real, fake).value > 100


def test_noise_costs_precision_and_density() -> None:
    real, fake = normal(500, 4), normal(500, 4, seed=1)
    noisy = fake + 3 * normal(500, 4, seed=2)
    before, after = manifolds(real, fake), manifolds(real, noisy)
    assert after["precision"] < 0.7 * before["precision"] and after["density"] < 0.6 * before["density"]
    assert frechet(real, noisy) > 10 * frechet(real, fake)
    assert kernel(real, noisy).value > 10 * abs(kernel(real, fake).value)


def test_duplicates_cost_recall_and_diversity() -> None:
    real, fake = normal(500, 4), normal(500, 4, seed=1)
    few = fake[:20].repeat(25, 1)
    assert manifolds(real, few)["recall"] < 0.3 < 0.8 < manifolds(real, fake)["recall"]
    train = normal(20, 4, seed=2)
    repeated = train.repeat_interleave(25, 0)
    assert diversity(repeated, train) == pytest.approx(0, abs=1e-6)
    near = repeated + 0.1 * normal(500, 4, seed=3)
    assert 0 < diversity(near, train) < diversity(fake, train) < 1.5
    assert math.isnan(diversity(train, train))  # one sample each: no pair


def test_a_replay_of_training_images_is_caught() -> None:
    train, held_out, fresh = (normal(1000, 8, seed=seed) for seed in range(3))
    honest, replay = copies(fresh, held_out, train), copies(train[:500], held_out, train)
    assert honest["nn_distance"] == pytest.approx(1, abs=0.1) and honest["copies"] < 0.03
    assert replay == {"nn_distance": 0, "copies": 1}
    half = torch.cat([fresh[:500], train[:500] + 1e-3])
    assert copies(half, held_out, train)["copies"] == pytest.approx(0.5, abs=0.02)


def logits(counts: list[int], sure: float = 8.0) -> Tensor:
    found = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return sure * torch.nn.functional.one_hot(found, len(counts)).float()


def test_two_classes_of_ten_are_a_collapse() -> None:
    real = logits([100] * 10)
    good, collapsed = classes(logits([90, 110] * 5), real), classes(logits([500, 500] + [0] * 8), real)
    assert good["class_coverage"] == 1 and good["class_entropy"] > 0.99 and good["confidence"] > 0.99
    assert collapsed["class_coverage"] == 0.2 and collapsed["class_share_min"] == 0
    assert collapsed["class_entropy"] == pytest.approx(math.log(2) / math.log(10))
    score = inception_score(logits([1000] * 10, 50))  # a tenth of them is not quite even
    assert score.value == pytest.approx(10, rel=0.02)
    assert inception_score(logits([500, 500] + [0] * 8, 50)).value == pytest.approx(2, rel=0.02)


def test_a_score_of_few_samples_has_no_interval() -> None:
    for count in (1, 9, 10, 19):
        assert inception_score(normal(count, 5)) == distance.Interval(inception_score(normal(count, 5)).value)
    assert inception_score(logits([3, 3], 50)).value == pytest.approx(2, rel=0.01), "of all, not of parts"
    score = inception_score(normal(20, 5))
    assert score.low is not None and score.high is not None and score.low < score.value < score.high


def test_too_few_images_are_refused_with_what_would_do() -> None:
    with pytest.raises(
        gz.DataError, match=r"needs more than 2 images per set, not 10 real images and 2 samples"
    ):
        frechet(normal(10, 2), normal(2, 2))
    with pytest.raises(gz.DataError, match="use 3 or more, or the metric kd"):
        frechet(normal(2, 2), normal(10, 2))
    with pytest.raises(gz.DataError, match="at least 2 images per set, not 10 real images and 1"):
        kernel(normal(10, 2), normal(1, 2))
    assert kernel(normal(3, 2), normal(9, 2)) == distance.Interval(kernel(normal(3, 2), normal(9, 2)).value)
    with pytest.raises(gz.DataError, match="at least 50 held-out images and 6 samples, not 49 and 9"):
        manifolds(normal(49, 2), normal(9, 2))


def symmetric_frechet(real: Tensor, fake: Tensor) -> float:
    """Another formula for the Fréchet distance, with symmetric matrices only."""
    covariances = [torch.cov(side.T) for side in (real, fake)]
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp(min=0).sqrt()
    cross = torch.linalg.eigvalsh(root.T @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    traces = covariances[0].trace() + covariances[1].trace()
    return float((real.mean(0) - fake.mean(0)).square().sum() + traces - 2 * cross)


def spread_out(count: int, dimensions: int, seed: int, mean: float = 0.0) -> Tensor:
    """Features whose variance falls from one dimension to the next, as those of networks do."""
    return normal(count, dimensions, seed, mean) * torch.arange(1, dimensions + 1).rsqrt()


def test_components_are_those_of_the_first_set_by_another_decomposition() -> None:
    real, fake = spread_out(90, 600, 0).double(), spread_out(80, 600, 1, mean=0.3).double()
    _, _, rows = torch.linalg.svd(real - real.mean(0), full_matrices=False)
    expected = symmetric_frechet(*((side - real.mean(0)) @ rows[:64].T for side in (real, fake)))
    assert frechet(*principal(real, fake)) == pytest.approx(expected, rel=1e-6)
    assert expected < symmetric_frechet(real, fake), "a projection brings sets nearer"


def test_many_features_are_also_compared_on_their_components() -> None:
    def values(metric: Metric, count: int, dimensions: int) -> list[str]:
        real, fake = (Features(normal(count, dimensions, seed)) for seed in (0, 1))
        return list(metric.measure(fake, real, real))

    fd = build_metric("fd")
    assert values(fd, 100, 64) == ["fd"]
    assert values(fd, 100, 600) == ["fd-pca64"]
    assert values(fd, 601, 600) == ["fd-pca64", "fd"]
    assert values(fd.in_training(), 601, 600) == ["fd-pca64"]
    assert values(fd.in_training(), 100, 64) == ["fd"]


def formula(count: int, shift: float, scale: float) -> Tensor:
    """Features (count, 6), float64, that any program can compute."""
    i, j = torch.arange(count, dtype=torch.double)[:, None], torch.arange(6, dtype=torch.double)
    return shift + scale * torch.sin(1.7 * i * i + (2.3 + j) * i * 0.37 + j) * (1 + 0.2 * j)


def test_the_arithmetic_is_that_of_other_programs() -> None:
    """The first value is scipy's (`sqrtm`), the second scikit-learn's (`polynomial_kernel`)."""
    real, fake = formula(60, 0.0, 1.0), formula(50, 0.3, 1.3)
    assert frechet(real, fake) == pytest.approx(1.3200353939303018, rel=1e-9)
    assert kernel(real[:50], fake).value == pytest.approx(0.4218535022001202, rel=1e-9)


def test_neighbours_are_those_of_all_pairs() -> None:
    real, fake = formula(60, 0.0, 1.0), formula(50, 0.9, 1.3)
    across = torch.cdist(real, fake)
    radii = {
        (name, k): torch.cdist(side, side).sort(1).values[:, k]
        for name, side in (("real", real), ("fake", fake))
        for k in (3, 5)
    }
    found = manifolds(real, fake)
    share = {
        "precision": (across <= radii["real", 3][:, None]).any(0),
        "recall": (across <= radii["fake", 3]).any(1),
        "coverage": (across <= radii["real", 5][:, None]).any(1),
    }
    assert 0 < found["precision"] < 1
    for name, inside in share.items():
        assert found[name] == pytest.approx(float(inside.double().mean()), abs=1e-6), name
    balls = (across <= radii["real", 5][:, None]).sum(0).double().mean() / 5
    assert found["density"] == pytest.approx(float(balls), abs=1e-6)
    same_size = supports(real[:50], fake)
    within = across[:50] <= radii["fake", 3]
    assert same_size["complement_precision"] == pytest.approx(float(within.any(0).double().mean()), abs=1e-6)
    assert same_size["recall"] == pytest.approx(float(within.any(1).double().mean()), abs=1e-6)


def test_more_samples_do_not_change_what_complement_precision_and_recall_expect() -> None:
    real = normal(100, 4)
    few, many = supports(real, normal(100, 4, seed=1)), supports(real, normal(1000, 4, seed=2))
    assert few == pytest.approx(many, abs=0.1)
    repeated = supports(real, normal(10, 4, seed=1).repeat(10, 1))
    assert repeated == {"complement_precision": 0, "recall": 0}
    short = supports(normal(60, 4), normal(50, 4, seed=1))
    assert short["recall"] > 0.5, "fewer samples than real images"


def test_the_jackknife_finds_the_spread_of_the_kernel_distance() -> None:
    values, spreads = [], []
    for seed in range(40):
        found = kernel(normal(100, 4, seed=2 * seed), normal(300, 4, seed=2 * seed + 1, mean=0.5))
        assert found.low is not None and found.high is not None
        values.append(found.value)
        spreads.append((found.high - found.low) / 2 / student(99))
    spread = float(torch.tensor(values).std())
    assert 0.7 * spread < sum(spreads) / len(spreads) < 1.5 * spread
