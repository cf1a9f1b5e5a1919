"""Two-sample tests against SciPy, their level and the best accuracy there can be."""

import numpy as np
import pytest
from clouds import SEEDS, cloud, rng
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from minigen import metrics
from minigen.datasets import pendulum_trajectories
from minigen.metrics import (
    classifier_two_sample_test,
)
from minigen.targets import ring


@pytest.fixture(scope="module")
def data():
    return pendulum_trajectories(60, rng(1), view=100)


def test_ks_statistic_against_scipy():
    r = rng(13)
    pairs = [
        (r.standard_normal(50), r.standard_normal(71)),
        (r.standard_normal(40), r.uniform(-1, 1, 33)),
        (r.integers(0, 5, 30), r.integers(1, 7, 47)),
        (np.arange(5.0), np.arange(5.0)),
        (np.zeros(3), np.ones(4)),
    ]
    for a, b in pairs:
        assert metrics.ks_statistic(a, b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-12)
    assert metrics.ks_statistic([1.0, 2.0, np.nan, np.nan], [1.0, 2.0]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="samples of 0 and 2 values"):
        metrics.ks_statistic([], [1, 2])


def test_factor_match_names_factors_and_sees_a_shift(data):
    fit = metrics.physics_residual(data.clean, data.t)
    match = metrics.factor_match(fit.factors, data.factors)
    assert list(match) == ["theta0", "omega0", "g_over_l"]
    assert max(match.values()) <= 1 / 60 + 1e-12
    other = pendulum_trajectories(60, rng(2), view=100, length=(2.0, 2.5))
    match = metrics.factor_match(other.factors, data.factors)
    assert match["g_over_l"] == pytest.approx(ks_2samp(other.g_over_l, data.g_over_l).statistic)
    assert match["g_over_l"] > 0.5
    with pytest.raises(ValueError, match="without the factor 'damping'"):
        metrics.factor_match({"damping": np.ones(3)}, data.factors)


def test_the_classifier_test_keeps_its_level():
    """One distribution twice: accuracy 1/2 on average, scores of unit variance, small p-values as rare as stated."""
    found = [classifier_two_sample_test(cloud(s, 120), cloud(s + 5000, 150), rng(s)) for s in range(300)]
    accuracy = np.array([each.accuracy for each in found])
    assert abs(accuracy.mean() - 0.5) < 4 * 0.5 / np.sqrt(120 * 300)
    assert accuracy.std() * 2 * np.sqrt(120) == pytest.approx(1, abs=4 / np.sqrt(600))
    share = np.mean([each.p_value < 0.05 for each in found])
    assert share < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    one = found[0]
    assert one.p_value == pytest.approx(stats.norm.sf((one.accuracy - 0.5) * 2 * np.sqrt(120)))
    assert one.standard_error == pytest.approx(np.sqrt(one.accuracy * (1 - one.accuracy) / 120))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_classifier_nears_the_best_possible_accuracy(seed):
    """Two round Gaussians a distance D apart: no classifier exceeds Phi(D / 2)."""
    r = rng(seed)
    a, b = r.standard_normal((2000, 2)), r.standard_normal((2000, 2)) + np.array([1.2, 0])
    found = classifier_two_sample_test(a, b, r)
    best = stats.norm.cdf(0.6)
    assert best - 0.03 - 4 * found.standard_error < found.accuracy < best + 4 * found.standard_error
    assert found.p_value < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_the_classifier_finds_planted_failures(seed):
    target = ring(sd=0.05)
    real, x = target.sample(800, rng(seed)), target.sample(2000, rng(seed + 10))
    nearest = np.argmin(cdist(x, target.modes), axis=1)
    dropped = classifier_two_sample_test(real, x[nearest < 4][:800], rng(seed))
    assert dropped.accuracy == pytest.approx(0.75, abs=0.05)  # half the data can only be real; the rest is a toss
    assert classifier_two_sample_test(real, x[:800] + 0.05, rng(seed)).p_value < 1e-4
    wide = ring(sd=0.15).sample(800, rng(seed + 20))  # the same mean, which no linear classifier tells
    assert classifier_two_sample_test(real, wide, rng(seed)).p_value < 1e-4
    assert classifier_two_sample_test(real + 9, real, rng(seed)).accuracy == 1
