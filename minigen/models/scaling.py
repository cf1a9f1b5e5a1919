"""How data come to a network and back: brought to mean 0 and SD 1, whatever their unit and offset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CONSTANT = 1e-12  # an SD of so little of the largest value is rounding: the mean of equal numbers is off by it


class Scale(NamedTuple):
    """An affine map per feature: `mean` and `sd`, arrays (d,) or numbers."""

    mean: np.ndarray
    sd: np.ndarray

    def to_unit(self, x: np.ndarray) -> np.ndarray:
        """From data units to mean 0 and SD 1."""
        return (x - self.mean) / self.sd

    def from_unit(self, x: np.ndarray) -> np.ndarray:
        """Back to data units."""
        return x * self.sd + self.mean


def per_feature(x: np.ndarray) -> Scale:
    """The scale of each column of (n, d); a constant column keeps its unit."""
    mean, spread, largest = _moments(x)
    unit = np.max(spread, axis=0)
    sd = unit * np.sqrt(np.mean((spread / _or_one(unit)) ** 2, axis=0))
    return Scale(mean, _own_unit_if_constant(sd, largest))


def overall(x: np.ndarray) -> Scale:
    """One scale for all columns, for curves whose columns share a unit; the mean is still taken per column."""
    mean, spread, largest = _moments(x)
    unit = np.max(spread)
    sd = unit * np.sqrt(np.mean((spread / _or_one(unit)) ** 2))
    return Scale(mean, _own_unit_if_constant(sd, np.max(largest)))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (d,), distances from them (n, d), and largest absolute values (d,), without sums that overflow."""
    largest = np.max(np.abs(x), axis=0)
    unit = _or_one(largest)
    mean = np.mean(x / unit, axis=0) * unit
    with np.errstate(over="ignore"):
        spread = np.abs(x - mean)
    if not np.isfinite(spread).all():
        raise ValueError(
            f"got data up to {np.max(largest):.3g} in absolute value, too large to take differences of; give them in "
            "another unit"
        )
    return mean, spread, largest


def _or_one(unit: np.ndarray) -> np.ndarray:
    return np.where(unit > 0, unit, 1.0)


def _own_unit_if_constant(sd: np.ndarray, largest: np.ndarray) -> np.ndarray:
    return np.where(sd > CONSTANT * largest, sd, 1.0)
