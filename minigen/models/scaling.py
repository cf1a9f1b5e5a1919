"""Bringing data to mean 0 and SD 1 before a network sees them, and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
    sd = x.std(axis=0)
    return Scale(x.mean(axis=0), np.where(sd > 0, sd, 1))


def overall(x: np.ndarray) -> Scale:
    """One scale for all columns, for curves whose columns share a unit; the mean is still taken per column."""
    centre = x.mean(axis=0)
    sd = float(np.sqrt(np.mean((x - centre) ** 2)))
    return Scale(centre, np.asarray(sd if sd > 0 else 1.0, x.dtype))
