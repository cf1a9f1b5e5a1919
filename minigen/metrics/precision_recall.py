"""Do generated samples lie where real ones do (precision), and real ones where generated ones do (recall)?"""

from __future__ import annotations

import numpy as np

from .._support.arguments import Count, Rows, checked
from .neighbours import Products, blocks, check_same_width, lengths, nearest_neighbours, unit_of


@checked
def precision_recall(generated: Rows, real: Rows, k: Count = 3) -> tuple[float, float]:
    """Share of generated samples that lie where real ones do, and of real samples that lie where generated ones do.

    A set's region is the union of balls, one around each of its samples, each reaching to that sample's k-th nearest
    neighbour in its own set. Low precision: samples off the data. Low recall: data left out. Two samples of one
    distribution do not score 1 but what `precision_recall` of two real sets scores; compare with that. A sample far off
    has a ball so large that it may hold all of the other set, so a few strays raise the other share.

    Parameters
    ----------
    generated, real : array_like of shapes (n, d), (m, d)
        Both of more than k samples, best of equally many.
    k : int

    Returns
    -------
    precision, recall : float

    Source: Kynkäänniemi et al. (2019), equations 1 and 2; they use k = 3.
    """
    check_same_width("precision_recall()", generated=generated, real=real)
    if k >= min(len(generated), len(real)):
        raise ValueError(
            f"precision_recall() got k={k} for {len(generated)} and {len(real)} samples; give more than k of each"
        )
    unit = unit_of(generated, real)
    generated, real = generated / unit, real / unit
    return share_inside(generated, real, k), share_inside(real, generated, k)


def share_inside(samples: np.ndarray, region: np.ndarray, k: int) -> float:
    """Share of the samples that lie in at least one ball of the region."""
    reach = nearest_neighbours(region, region, k + 1)[0][:, k]  # the nearest is the sample itself
    squared = Products(region)
    inside = 0
    for rows in blocks(len(samples), len(region)):
        about, error = squared(samples[rows])
        surely = np.any(about + error <= reach**2 * (1 - 1e-15), axis=1)
        doubtful = (about - error <= reach**2 * (1 + 1e-15)) & ~surely[:, None]
        inside += np.count_nonzero(surely) + _count_inside(samples[rows], region, reach, doubtful)
    return float(inside / len(samples))


def _count_inside(samples: np.ndarray, region: np.ndarray, reach: np.ndarray, doubtful: np.ndarray) -> int:
    """How many samples lie in a ball, by their differences; `doubtful` (n, m) says which balls to look at."""
    inside = np.zeros(len(samples), bool)
    which, balls = np.nonzero(doubtful)
    for part in blocks(len(which), region.shape[1]):
        i, j = which[part], balls[part]
        inside[i[lengths(samples[i] - region[j]) <= reach[j]]] = True
    return int(np.count_nonzero(inside))
