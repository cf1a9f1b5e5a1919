"""Into which clusters do points fall? k-means, and other ways to choose the points that a mixture starts from.

Distances are sums of squared differences, in a unit near the size of the data: digits are lost neither far from the
origin nor to over- or underflow.
"""

from __future__ import annotations

import numpy as np


def k_means(X: np.ndarray, k: int, rng: np.random.Generator, max_iter: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Centres (k, d) and the nearest one for each row of X (n, d), (n,), by Lloyd's algorithm (1982).

    Starts from `k_means_plus_plus` and ends when no label changes; a centre that loses all its points stays.
    """
    origin, unit, X = in_their_unit(X)
    centres = k_means_plus_plus(X, k, rng)
    labels = np.full(len(X), -1)
    for _ in range(max_iter):
        distance = np.stack([np.sum((X - centre) ** 2, axis=1) for centre in centres])
        before, labels = labels, distance.argmin(axis=0)
        if (labels == before).all():
            break
        members = np.zeros((k, len(X)))
        members[labels, np.arange(len(X))] = 1.0
        count = members.sum(axis=1, keepdims=True)
        centres = np.where(count > 0, members @ X / np.maximum(count, 1), centres)
    return origin + unit * centres, labels


def k_means_plus_plus(X: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k rows of X (n, d) far apart, (k, d): each drawn in proportion to the squared distance from the nearest so far.

    Arthur and Vassilvitskii (2007).
    """
    _, _, points = in_their_unit(X)
    chosen = [int(rng.integers(len(X)))]
    nearest = np.full(len(X), np.inf)
    while len(chosen) < k:
        nearest = np.minimum(nearest, np.sum((points - points[chosen[-1]]) ** 2, axis=1))
        cumulative = np.cumsum(nearest)
        if cumulative[-1] > 0:
            # From the right: a row at distance 0 has an empty interval and is never drawn.
            row = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
            chosen.append(min(int(row), len(X) - 1))
        else:  # fewer different points than centres
            chosen.append(int(rng.integers(len(X))))
    return X[chosen]


def random_points(X: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k rows of X (n, d) at random, (k, d), no two of them equal as long as there are others.

    Two components that start at one point would stay the same for ever.
    """
    shuffled = X[rng.permutation(len(X))]
    first = np.unique(shuffled, axis=0, return_index=True)[1]
    again = np.setdiff1d(np.arange(len(X)), first)
    return shuffled[np.concatenate([np.sort(first), again])[:k]]


def in_their_unit(X: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """An origin (d,) among the points, a unit near their size, a power of 2, and the points (n, d) in these."""
    origin = X[0]
    away = X - origin
    unit = float(np.ldexp(1.0, np.frexp(np.abs(away).max())[1]))
    return origin, unit, away / unit
