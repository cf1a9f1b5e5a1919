"""Mode coverage against its definition and closed forms; planted failures are found."""

import numpy as np
import pytest
from clouds import SEEDS, rng
from scipy import stats
from scipy.spatial.distance import cdist

from minigen.metrics import (
    mode_coverage,
)
from minigen.targets import grid, ring


@pytest.mark.parametrize("target", [ring(), grid()], ids=["ring", "grid"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_perfect_sampler(target, seed):
    """98.9 % of high quality, every mode, and 2n times the reverse KL is chi-square with k - 1 degrees of freedom."""
    found = mode_coverage(target.sample(2500, rng(seed)), target.modes, target.sd)
    k, share = len(target.modes), 1 - np.exp(-9 / 2)
    assert share == pytest.approx(0.989, abs=1e-3)
    assert found.captured == found.modes == k
    assert abs(found.high_quality - share) < 4 * np.sqrt(share * (1 - share) / 2500)
    assert found.counts.sum() == round(found.high_quality * 2500)
    assert 1e-4 < stats.chi2(k - 1).sf(2 * 2500 * found.reverse_kl) < 1 - 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_dropped_modes_are_found(seed):
    target = ring()
    x = target.sample(20_000, rng(seed))
    nearest = np.argmin(cdist(x, target.modes), axis=1)
    found = mode_coverage(x[~np.isin(nearest, [2, 5])][:2500], target.modes, target.sd)
    assert found.captured == 6
    np.testing.assert_array_equal(np.flatnonzero(found.counts == 0), [2, 5])
    assert found.reverse_kl == pytest.approx(np.log(8 / 6), abs=0.01)
    assert found.high_quality > 0.98
    collapsed = mode_coverage(x[nearest == 3], target.modes, target.sd)
    assert collapsed.captured == 1 and collapsed.reverse_kl == pytest.approx(np.log(8))


def test_shifted_and_blurred_samples_lose_quality_as_the_formula_says():
    """Shifted by 3 SD along an axis, the share within 3 SD is a noncentral chi-square; blurred by 2, 1 - exp(-9/8)."""
    target = grid()
    x = target.sample(20_000, rng(1))
    shifted = mode_coverage(x + np.array([3 * target.sd, 0]), target.modes, target.sd).high_quality
    assert shifted == pytest.approx(stats.ncx2(2, 9).cdf(9), abs=4 * 0.5 / np.sqrt(20_000))
    blurred = mode_coverage(grid(sd=0.1).sample(20_000, rng(2)), target.modes, target.sd).high_quality
    assert blurred == pytest.approx(1 - np.exp(-9 / 8), abs=4 * 0.5 / np.sqrt(20_000))


def test_mode_coverage_by_hand():
    """Five samples: two good at mode 0, one bad near mode 1, one good at mode 2, one that is not finite."""
    x = [[0.0, 0.1], [0.29, 0], [1.0, 0.31], [2.1, 0], [np.nan, 0]]
    found = mode_coverage(x, [[0, 0], [1, 0], [2, 0]], 0.1, weights=[0.5, 0.3, 0.2])
    assert (found.captured, found.modes, found.high_quality) == (2, 3, 3 / 5)
    np.testing.assert_array_equal(found.counts, [2, 0, 1])
    assert found.reverse_kl == pytest.approx(stats.entropy([0.5, 0.25, 0.25], [0.5, 0.3, 0.2]))
    assert mode_coverage(x, [[0, 0], [1, 0], [2, 0]], 0.1, radius=4).captured == 3
