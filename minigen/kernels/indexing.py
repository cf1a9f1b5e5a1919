"""Kernels that pick from the rows of a matrix by position, and put back."""

from __future__ import annotations

import numpy as np

from . import copy_result
from .jit import USE_NUMBA, is_fast, njit


def take_along_rows_numpy(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x, indices, 1)


@njit
def _position(index, n):
    if index < -n or index >= n:
        raise IndexError("take_along_axis() got an index outside the axis")
    return index + n if index < 0 else index


@njit
def _take_along_rows(x, indices, out):
    for i in range(x.shape[0]):
        for j in range(indices.shape[1]):
            out[i, j] = x[i, _position(indices[i, j], x.shape[1])]


def place_along_rows_numpy(g: np.ndarray, indices: np.ndarray, n: int) -> np.ndarray:
    out = np.zeros((len(g), n), g.dtype)
    np.add.at(out, (np.arange(len(g))[:, None], indices), g)
    return out


@njit
def _place_along_rows(g, indices, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
        for j in range(indices.shape[1]):
            out[i, _position(indices[i, j], out.shape[1])] += g[i, j]


def _runs(values, indices) -> bool:
    two_axes = values.ndim == 2 and indices.ndim == 2 and len(values) == len(indices)
    return USE_NUMBA and two_axes and is_fast(values) and indices.dtype == np.int64 and indices.flags.c_contiguous


def take_along_rows(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """x[i, indices[i, j]] at (i, j), for x of shape (n, d) and indices (n, m)."""
    if not _runs(x, indices):
        return take_along_rows_numpy(x, indices)
    out = np.empty(indices.shape, x.dtype)
    _take_along_rows(x, indices, out)
    return out


def _take_into(out, x, indices):
    if not _runs(x, indices):
        return [(copy_result, (out, take_along_rows_numpy, (x, indices)))]
    return [(_take_along_rows, (x, indices, out))]


def place_along_rows(g: np.ndarray, indices: np.ndarray, n: int) -> np.ndarray:
    """Zeros (len(g), n) with g[i, j] added at (i, indices[i, j])."""
    if not _runs(g, indices):
        return place_along_rows_numpy(g, indices, n)
    out = np.empty((len(g), n), g.dtype)
    _place_along_rows(g, indices, out)
    return out


def _place_into(out, g, indices, n):
    if not _runs(g, indices):
        return [(copy_result, (out, place_along_rows_numpy, (g, indices, n)))]
    return [(_place_along_rows, (g, indices, out))]


take_along_rows.into, place_along_rows.into = _take_into, _place_into
