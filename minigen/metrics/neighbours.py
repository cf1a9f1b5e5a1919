"""Which samples are nearest to a sample, and how far are they? Exactly, wherever the data lie and whatever their unit.

|a - b|^2 = |a|^2 - 2 a.b + |b|^2 finds candidates by one matrix product, which is fast and, where the norms are much
larger than the distance, wrong. So wherever its error could matter the differences themselves decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._support.arguments import Count, Rows, checked
from .._support.arrays import as_floats, as_matrix

BLOCK = 1 << 22  # numbers that a block of work may hold
SPARE = 8  # candidates beyond the k that are sought
DOUBT = 64 * np.finfo(float).eps  # of the sum of squared norms: more than what rounding does to a squared distance


def check_same_width(caller: str, **sets: np.ndarray) -> None:
    """ValueError unless all sets of samples (n, d), given by their names, have one d."""
    if len({samples.shape[1] for samples in sets.values()}) > 1:
        shapes = " and ".join(f"{name} of shape {samples.shape}" for name, samples in sets.items())
        raise ValueError(f"{caller} got {shapes}; expected samples in rows, (n, d), with the same d")


def unit_of(*arrays: np.ndarray) -> float:
    """A power of two near the largest size in some finite arrays: to divide by it costs no digit."""
    largest = max((np.abs(a).max(initial=0.0) for a in arrays), default=0.0)
    exponent = np.frexp(largest)[1] if largest > 0 else 0
    return float(np.ldexp(1.0, min(int(exponent), 1023)))


def lengths(x: np.ndarray) -> np.ndarray:
    """Euclidean norms along the last axis, also where the squares would over- or underflow."""
    largest = np.abs(x).max(axis=-1, keepdims=True, initial=0.0)
    scaled = np.divide(x, largest, out=np.zeros_like(x), where=largest > 0)
    return largest[..., 0] * np.linalg.norm(scaled, axis=-1)


def blocks(n: int, width: int) -> list[slice]:
    """Slices over n rows, of so many rows that a block with `width` columns stays in memory."""
    rows = max(1, BLOCK // width)
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


class Products:
    """Squared distances from any samples to the rows of one set, by a matrix product, with a bound of their errors."""

    def __init__(self, among: np.ndarray):
        self.centre = np.median(among, axis=0)  # where single outliers do not cost the others their precision
        self.shifted = among - self.centre
        self.squares = np.sum(self.shifted**2, axis=1)

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (n, m) of samples (n, d), and by how much each may be wrong."""
        samples = samples - self.centre
        squares = np.sum(samples**2, axis=1)[:, None] + self.squares
        return squares - 2 * samples @ self.shifted.T, DOUBT * squares


@checked
def nearest_neighbours(samples: Rows, among: Rows, k: Count) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, k), increasing, and indices (n, k) of the k nearest rows of `among` (m, d) to each sample (n, d).

    Raises ValueError for widths that differ and for a k above m.
    """
    check_same_width("nearest_neighbours()", samples=samples, among=among)
    if k > len(among):
        raise ValueError(f"nearest_neighbours() got k={k} and {len(among)} rows to look among; give a smaller k")
    unit = unit_of(samples, among)
    samples, among = samples / unit, among / unit
    squared = Products(among)
    distances, indices = np.empty((len(samples), k)), np.empty((len(samples), k), int)
    for rows in blocks(len(samples), max(len(among), (k + SPARE) * among.shape[1])):
        distances[rows], indices[rows] = _nearest(samples[rows], among, k, squared)
    return distances * unit, indices


def _nearest(samples: np.ndarray, among: np.ndarray, k: int, squared: Products) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of one block: exact distances and indices."""
    about, error = squared(samples)
    count = min(len(among), k + SPARE)
    candidates = np.argpartition(about, count - 1, axis=1)[:, :count]
    exact = lengths(samples[:, None] - among[candidates])
    order = np.argsort(exact, axis=1, kind="stable")[:, :k]
    distances, indices = np.take_along_axis(exact, order, axis=1), np.take_along_axis(candidates, order, axis=1)
    if count < len(among):
        # Whoever could be nearer than the k-th found, given the errors, must be a candidate.
        could_be = np.count_nonzero(about - error <= distances[:, -1:] ** 2 * (1 + DOUBT), axis=1)
        for i in np.flatnonzero(could_be > count):
            exact = lengths(samples[i] - among)
            indices[i] = np.argsort(exact, kind="stable")[:k]
            distances[i] = exact[indices[i]]
    return distances, indices


@checked
def nearest_distances(samples: Any, training: Rows) -> np.ndarray:
    """Euclidean distance of each sample to the training sample nearest to it.

    Parameters
    ----------
    samples, training : array_like of shapes `(n, d)` and `(m, d)`

    Returns
    -------
    array of shape `(n,)`, inf for a sample that is not finite
    """
    samples = as_floats(samples, "samples", "nearest_distances()")
    if samples.ndim != 2:
        as_matrix(samples, "samples", "nearest_distances()")  # says what is wrong
    check_same_width("nearest_distances()", samples=samples, training=training)
    distances = np.full(len(samples), np.inf)
    finite = np.isfinite(samples).all(axis=1)
    if finite.any():
        distances[finite] = nearest_neighbours(samples[finite], training, 1)[0][:, 0]
    return distances
