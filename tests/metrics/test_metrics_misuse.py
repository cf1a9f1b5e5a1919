"""What the metrics say when they are given what they cannot use."""

import numpy as np
import pytest
from clouds import cloud, rng

from minigen import metrics
from minigen.metrics import (
    classifier_two_sample_test,
    interpolation_smoothness,
    linear_interpolation,
    memorisation_test,
    mode_coverage,
    precision_recall,
    spherical_interpolation,
)

X, HOLED = cloud(1, 30), np.where(np.arange(60).reshape(30, 2) == 7, np.nan, cloud(1, 30))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mode_coverage(X, [0.0, 1.0], 0.1), ValueError, ["mode_coverage()", "modes", "(2,)", "(n, d)"]),
        (lambda: mode_coverage(X, np.zeros((3, 5)), 0.1), ValueError, ["(30, 2)", "(3, 5)", "same d"]),
        (lambda: mode_coverage(X[:0], X, 0.1), ValueError, ["mode_coverage()", "(0, 2)", "at least one row"]),
        (lambda: mode_coverage(X * np.nan, X, 0.1), ValueError, ["none of the 30 samples", "diverged"]),
        (lambda: mode_coverage(3.0, X, 0.1), ValueError, ["samples of shape ()", "(n, d)"]),
        (lambda: mode_coverage(X[0], X, 0.1), ValueError, ["samples of shape (2,)", "(n, d)"]),
        (lambda: mode_coverage(X, X, 0), ValueError, ["mode_coverage()", "sd=0", "positive"]),
        (lambda: mode_coverage(X, X[:2], 1, weights=[0.5, 0.4]), ValueError, ["(2,)", "0.9", "2 probabilities"]),
        (lambda: mode_coverage(X, X[:2], 1, weights=[1.0, 0.0]), ValueError, ["above 0"]),
        (lambda: precision_recall(X, X[:3]), ValueError, ["k=3", "30 and 3", "more than k"]),
        (lambda: precision_recall(X, X, 0), ValueError, ["precision_recall()", "k=0", "1 or more"]),
        (lambda: precision_recall(X, HOLED), ValueError, ["precision_recall()", "NaN or infinite in real", "remove"]),
        (lambda: memorisation_test(X[:5], X, X), ValueError, ["5 generated", "30 held_out", "at least 10"]),
        (lambda: memorisation_test(X, HOLED, X), ValueError, ["memorisation_test()", "NaN or infinite in training"]),
        (lambda: classifier_two_sample_test(X, X, 0), TypeError, ["rng=0", "default_rng"]),
        (lambda: classifier_two_sample_test(X, X[:9], rng()), ValueError, ["30 and 9", "at least 20"]),
        (lambda: linear_interpolation(X, X[:3], 2), ValueError, ["(30, 2)", "(3, 2)", "the same"]),
        (lambda: linear_interpolation(X, X, 0), ValueError, ["linear_interpolation()", "steps=0"]),
        (lambda: spherical_interpolation(X, 0 * X, 2), ValueError, ["zero vector"]),
        (lambda: spherical_interpolation(X, -2 * X, 2), ValueError, ["opposite"]),
        (lambda: interpolation_smoothness(lambda z: z, X), ValueError, ["(30, 2)", "(steps + 1, n, d)"]),
        (lambda: interpolation_smoothness(lambda z: z[:1], X[:, None]), ValueError, ["decode", "(1, 2)", "30 latent"]),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_misuse_of_the_neighbours_is_named():
    a = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"samples of shape \(3, 2\) and training of shape \(3, 4\)"):
        metrics.nearest_distances(a, np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"6 value.* NaN or infinite in training"):
        metrics.nearest_distances(a, np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="k=4 and 3 rows to look among"):
        metrics.nearest_neighbours(a, a, 4)
    with pytest.raises(ValueError, match="not part of it"):
        metrics.nearest_neighbour_ratio(a, a, a)
    with pytest.raises(ValueError, match=r"generated of shape \(0, 2\) and held_out of shape \(3, 2\)"):
        metrics.nearest_neighbour_ratio(a[:0], a, a)
