"""Precision and recall against their definition, and on planted failures."""

import numpy as np
import pytest
from clouds import SEEDS, cloud, rng
from scipy.spatial.distance import cdist

from minigen import metrics
from minigen.metrics import (
    precision_recall,
)
from minigen.targets import ring


@pytest.mark.parametrize("k", [1, 3, 6])
def test_precision_and_recall_are_their_definition(k):
    generated, real = cloud(4, 80) + np.array([1.5, 0]), cloud(5, 60)
    precision, recall = precision_recall(generated, real, k)
    reach = np.sort(cdist(real, real), axis=1)[:, k]
    assert precision == np.mean(np.any(cdist(generated, real) <= reach, axis=1))
    reach = np.sort(cdist(generated, generated), axis=1)[:, k]
    assert recall == np.mean(np.any(cdist(real, generated) <= reach, axis=1))
    assert 0.2 < precision < 0.95 and 0.2 < recall < 0.95
    assert precision_recall(real, generated, k) == (recall, precision)


def test_one_outlier_does_not_blur_the_rest():
    """A diverged sample at 1e9 beside data whose neighbours lie 1e-4 apart."""
    real, fresh = 1e-3 * cloud(6, 200), 1e-3 * cloud(7, 200)
    inside = round(200 * precision_recall(fresh[1:], real)[0] * 199 / 200)
    fresh[0] = 1e9
    assert round(200 * precision_recall(fresh, real)[0]) == inside
    np.testing.assert_allclose(
        metrics.nearest_neighbours(real, fresh, 2)[0], np.sort(cdist(real, fresh))[:, :2], rtol=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_sees_what_is_off_the_data_and_recall_what_is_left_out(seed):
    target = ring(sd=0.05)
    real, x = target.sample(1500, rng(seed)), target.sample(3000, rng(seed + 50))
    fresh = precision_recall(x[:1500], real)
    assert min(fresh) > 0.93
    nearest = np.argmin(cdist(x, target.modes), axis=1)
    precision, recall = precision_recall(x[nearest >= 4][:1400], real)
    assert precision > 0.93 and recall == pytest.approx(0.5, abs=0.06)
    stray = np.concatenate([x[:750], 0.05 * rng(seed).standard_normal((750, 2))])
    precision, recall = precision_recall(stray, real)
    assert precision == pytest.approx(0.5 * fresh[0], abs=0.02) and recall > 0.85
    assert precision_recall(real + 10, real) == (0, 0)
    assert precision_recall(real, real) == (1, 1)


def test_balls_of_radius_zero_hold_their_copies():
    """Data with repetitions, away from the origin: a copy is inside, a near miss is not."""
    real = np.repeat(cloud(8, 40, 7), 5, axis=0)
    assert precision_recall(real[::-1], real) == (1, 1)
    assert precision_recall(real + 1e-5, real) == (0, 0)
