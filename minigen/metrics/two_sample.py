"""Can two samples be told apart: by a classifier, or by their distribution functions?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erfc, isqrt, sqrt
from typing import Any

import numpy as np

from .._support.arguments import Rng, Rows, checked
from .._support.arrays import as_floats
from .neighbours import check_same_width, nearest_neighbours


def ks_statistic(a: Any, b: Any) -> float:
    """Two-sample Kolmogorov-Smirnov statistic: the largest gap between two empirical distribution functions.

    0 means the same distribution of values, 1 that the samples do not overlap. NaN counts as larger than every number.

    Parameters
    ----------
    a, b : array_like of shapes `(n,)` and `(m,)`
        Neither empty.
    """
    a, b = (np.sort(as_floats(x, name, "ks_statistic()").ravel()) for x, name in ((a, "a"), (b, "b")))
    if not (a.size and b.size):
        raise ValueError(f"ks_statistic() got samples of {a.size} and {b.size} values; both must hold values")
    both = np.concatenate([a, b])
    gap = np.searchsorted(a, both, side="right") / a.size - np.searchsorted(b, both, side="right") / b.size
    return float(np.max(np.abs(gap)))


def factor_match(generated: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, float]:
    """How well the distribution of each fitted factor matches the data's: one Kolmogorov-Smirnov statistic per factor.

    For two samples of n and m values of one distribution the statistic exceeds 1.36 sqrt(1/n + 1/m) in 5 % of cases.

    Parameters
    ----------
    generated, data : mapping of name to array `(n,)`, `(m,)`
        Such as `physics_residual(...).factors` and `PendulumTrajectories.factors`.

    Returns
    -------
    dict of name to statistic between 0 (same) and 1 (apart), for every factor of `generated`

    Raises
    ------
    ValueError
        If the data lack a factor.
    """
    missing = [name for name in generated if name not in data]
    if missing:
        raise ValueError(
            f"factor_match() got data without the factor {missing[0]!r}, only {', '.join(data)}; give the same factors "
            "for both"
        )
    return {name: ks_statistic(values, data[name]) for name, values in generated.items()}


@dataclass(frozen=True)
class ClassifierTest:
    """Result of `classifier_two_sample_test`.

    Attributes
    ----------
    accuracy : float
        On held-out samples; 1/2 if the two sets cannot be told apart.
    standard_error : float
        Of that accuracy.
    p_value : float
        Probability of so high an accuracy if both sets came from one distribution.
    """

    accuracy: float
    standard_error: float
    p_value: float


@checked
def classifier_two_sample_test(a: Rows, b: Rows, rng: Rng) -> ClassifierTest:
    """Can a classifier tell two sets of samples apart, on samples it has not seen?

    Equally many of both are taken at random and halved. The classifier asks the k nearest samples of the first halves
    for a vote, k being the odd number at or below the square root of their number; the second halves judge it. Without
    a difference its accuracy is 1/2 with variance at most 1 / (4 n_test).

    Parameters
    ----------
    a, b : array_like of shapes (n, d), (m, d)
        At least 20 of each. Of the larger set the rest is not used.
    rng : numpy.random.Generator

    Source: Lopez-Paz and Oquab (2017), section 3 and theorem 1; their k is the square root too.
    """
    check_same_width("classifier_two_sample_test()", a=a, b=b)
    n = min(len(a), len(b))
    if n < 20:
        raise ValueError(f"classifier_two_sample_test() got {len(a)} and {len(b)} samples; give at least 20 of each")
    a, b = rng.permutation(a)[:n], rng.permutation(b)[:n]
    half = n // 2
    learned, judged = np.concatenate([a[:half], b[:half]]), np.concatenate([a[half:], b[half:]])
    k = isqrt(2 * half)
    _, nearest = nearest_neighbours(judged, learned, k - (k % 2 == 0))
    says_b = np.mean(nearest >= half, axis=1) > 0.5
    is_b = np.arange(2 * (n - half)) >= n - half
    accuracy = np.mean(says_b == is_b)
    z = (accuracy - 0.5) * 2 * sqrt(is_b.size)
    return ClassifierTest(float(accuracy), sqrt(accuracy * (1 - accuracy) / is_b.size), erfc(z / sqrt(2)) / 2)
