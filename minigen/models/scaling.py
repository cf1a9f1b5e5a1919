"""How data come to a network and back: as float rows of the expected width, brought to mean 0 and SD 1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..training import as_data


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


def _own_unit_if_constant(sd, x: np.ndarray, axis):
    # The mean of equal numbers is off by rounding, so their SD need not be exactly 0.
    return np.where(sd > 1e-12 * np.abs(x).max(axis=axis), sd, 1.0)


def per_feature(x: np.ndarray) -> Scale:
    """The scale of each column of (n, d); a constant column keeps its unit."""
    return Scale(x.mean(axis=0), _own_unit_if_constant(x.std(axis=0), x, 0))


def overall(x: np.ndarray) -> Scale:
    """One scale for all columns, for curves whose columns share a unit; the mean is still taken per column."""
    centre = x.mean(axis=0)
    return Scale(centre, _own_unit_if_constant(np.sqrt(np.mean((x - centre) ** 2)), x, None))


def rows(x, name: str, caller: str, width: int | None = None, column: bool = False) -> np.ndarray:
    """x as float64 rows (n, d), finite and not empty; with `column`, (n,) becomes (n, 1).

    Raises ValueError for another shape or, where the width d is given, another width.
    """
    (x,) = as_data((x,), np.float64, f"{caller} for {name}")
    if column and x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.shape[1] == 0 or width not in (None, x.shape[1]):
        advice = f": write {name}[:, None] for a single feature, {name}[None] for a single row" if x.ndim == 1 else ""
        raise ValueError(f"{caller} got {name} of shape {x.shape}; expected (n, {width or 'd'}){advice}")
    return x.astype(np.float64, copy=False)
