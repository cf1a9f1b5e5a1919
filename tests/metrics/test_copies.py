"""Tests of memorisation against SciPy; copies are found, fresh data are not suspected."""

import numpy as np
import pytest
from clouds import SEEDS, cloud, rng
from scipy import stats
from scipy.spatial.distance import cdist

from minigen import metrics
from minigen.datasets import pendulum_trajectories
from minigen.metrics import (
    memorisation_test,
)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_memorisation_test_is_mann_and_whitneys(seed):
    generated, training, held_out = cloud(seed, 90, 3) * 1.05, cloud(seed + 10, 200, 3), cloud(seed + 20, 70, 3)
    generated[:20] = training[:20]  # ties at a distance of 0
    found = memorisation_test(generated, training, held_out)
    near = [metrics.nearest_distances(a, training) for a in (generated, held_out)]
    truth = stats.mannwhitneyu(*near, alternative="less", method="asymptotic", use_continuity=False)
    assert found.p_value == pytest.approx(truth.pvalue, rel=1e-9)
    assert found.closer == pytest.approx(1 - truth.statistic / (90 * 70))


def test_the_memorisation_test_keeps_its_level():
    """Fresh samples: p-values are uniform over 200 independent repetitions."""
    p_values = []
    for seed in range(200):
        x = cloud(seed + 1000, 250)
        p_values.append(memorisation_test(x[:75], x[75:175], x[175:]).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_of_the_training_data_are_found(seed):
    training, held_out, fresh = cloud(seed, 500, 4), cloud(seed + 10, 500, 4), cloud(seed + 20, 500, 4)
    copies = training[rng(seed).integers(500, size=500)] + 0.01 * rng(seed).standard_normal((500, 4))
    assert memorisation_test(copies, training, held_out).p_value < 1e-12
    assert memorisation_test(copies, training, held_out).closer > 0.95
    a_fifth = np.where(np.arange(500)[:, None] < 100, copies, fresh)
    assert memorisation_test(a_fifth, training, held_out).p_value < 1e-3
    assert memorisation_test(fresh, training, held_out).p_value > 1e-3
    away = memorisation_test(fresh + 20, training, held_out)
    assert away.closer < 0.01 and away.p_value > 0.999
    exact = memorisation_test(training[:50], training, training[50:100])  # nothing but ties
    assert (exact.closer, exact.z, exact.p_value) == (0.5, 0.0, 0.5)


@pytest.fixture(scope="module")
def data():
    return pendulum_trajectories(60, rng(1), view=100)


def test_nearest_neighbour_ratio_tells_fresh_from_memorised_from_lost(data):
    draw = lambda seed, n=300: pendulum_trajectories(n, rng(seed), view=100, noise=False).theta
    training, held_out = draw(20), draw(21)
    ratio = lambda samples: metrics.nearest_neighbour_ratio(samples, training, held_out)
    assert ratio(draw(22)) == pytest.approx(1, abs=0.15)
    assert ratio(training[:50]) == 0
    assert ratio(training + 0.001 * rng().standard_normal(training.shape)) < 0.1
    assert ratio(metrics.shuffled_control(training, rng())) > 3
    assert ratio(np.full((4, 100), np.nan)) == np.inf
    # The definition, by another road.
    samples = draw(23, 40)
    median = lambda a: np.median(cdist(a, training).min(axis=1))
    assert ratio(samples) == pytest.approx(median(samples) / median(held_out))
