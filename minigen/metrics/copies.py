"""Are generated samples copies of the training data?"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np

from .._support.arguments import Rows, checked
from .._support.arrays import as_floats
from .neighbours import check_same_width, nearest_distances, nearest_neighbours


@checked
def nearest_neighbour_ratio(generated: Any, training: Rows, held_out: Any) -> float:
    """Are generated samples closer to the training set than fresh data are? Well below 1 they are memorised.

    The ratio of two medians: of the distance from a generated sample to the nearest training sample, over the same for
    held-out samples. About 1 is what fresh data score, copies score 0, and samples off the data score above 1. Give all
    three the same treatment: a generator's clean means belong beside clean trajectories, because noise by itself adds
    distance. A median overlooks a minority of copies; to find those, look at `nearest_distances`.

    Parameters
    ----------
    generated, training, held_out : array_like of shapes `(n, d)`, `(m, d)`, `(k, d)`

    Raises
    ------
    ValueError
        If the shapes do not match, a set is empty, or the held-out samples lie in the training set.
    """
    generated = as_floats(generated, "generated", "nearest_neighbour_ratio()")
    held_out = as_floats(held_out, "held_out", "nearest_neighbour_ratio()")
    if not (generated.size and held_out.size):
        raise ValueError(
            f"nearest_neighbour_ratio() got generated of shape {generated.shape} and held_out of shape "
            f"{held_out.shape}; give at least one sample of each"
        )
    fresh = np.median(nearest_distances(held_out, training))
    if not 0 < fresh < np.inf:
        raise ValueError(
            f"nearest_neighbour_ratio() got held_out with a median distance of {fresh} to the training set; give "
            "finite samples that are not part of it"
        )
    return float(np.median(nearest_distances(generated, training)) / fresh)


@dataclass(frozen=True)
class MemorisationTest:
    """Result of `memorisation_test`.

    Attributes
    ----------
    closer : float
        Probability that a generated sample is closer to the training set than a held-out one is; 1/2 for a generator
        that is as far from it as fresh data, 1 for one that copies, below 1/2 for one that stays away.
    z : float
        The same as a standard normal score; large when generated samples are too close.
    p_value : float
        Probability of so large a score if generated samples were fresh data.
    """

    closer: float
    z: float
    p_value: float


@checked
def memorisation_test(generated: Rows, training: Rows, held_out: Rows) -> MemorisationTest:
    """Are generated samples closer to the training set than fresh data are, beyond chance?

    Mann and Whitney's test, one-sided, of the distances to the nearest training sample: those of generated samples
    against those of held-out samples. Given the training set these are two independent samples, of one distribution if
    the generator is perfect. Samples off the data lie far from the training set and can hide copies; read the result
    beside `precision_recall`. `nearest_neighbour_ratio` gives the size of the effect in distances.

    Parameters
    ----------
    generated, training, held_out : array_like of shapes (n, d), (m, d), (k, d)
        n and k of at least 10, for the score to be normal.

    Source: Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models" (2020),
    without the division into cells.
    """
    check_same_width("memorisation_test()", generated=generated, training=training, held_out=held_out)
    n, m = len(generated), len(held_out)
    if min(n, m) < 10:
        raise ValueError(f"memorisation_test() got {n} generated and {m} held_out samples; give at least 10 of each")
    distances = np.concatenate([nearest_neighbours(a, training, 1)[0][:, 0] for a in (generated, held_out)])
    _, place, ties = np.unique(distances, return_inverse=True, return_counts=True)
    rank = np.cumsum(ties) - (ties - 1) / 2  # equal distances share the middle of their ranks
    N = n + m
    closer = 1 - (rank[place[:n]].sum() - n * (n + 1) / 2) / (n * m)
    variance = (N + 1 - np.sum(ties**3.0 - ties) / (N * (N - 1))) / (12 * n * m)
    z = (closer - 0.5) / sqrt(variance) if variance > 0 else 0.0
    return MemorisationTest(float(closer), float(z), erfc(z / sqrt(2)) / 2)
