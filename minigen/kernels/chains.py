"""Kernels of Markov chains, whose states are the rows of a matrix: a Langevin proposal, and who goes and who stays."""

from __future__ import annotations

import numpy as np

from .jit import USE_NUMBA, f32, is_fast, njit, njit_sum


def _are_fast(*matrices) -> bool:
    shape = matrices[0].shape
    return USE_NUMBA and len(shape) == 2 and all(is_fast(a) and a.shape == shape for a in matrices)


def langevin_move_numpy(
    x: np.ndarray, drift: float | np.ndarray, grad: np.ndarray, spread: float | np.ndarray, noise: np.ndarray
) -> np.ndarray:
    return x + drift * grad + spread * noise


@njit
def _langevin_move(x, drift, grad, spread, noise, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] + drift * grad[i, j] + spread * noise[i, j]


def langevin_move(
    x: np.ndarray, drift: float | np.ndarray, grad: np.ndarray, spread: float | np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """x + drift grad + spread noise of matrices (n, d); drift and spread are numbers, or (d,), which is slower."""
    if not (type(drift) is type(spread) is float and _are_fast(x, grad, noise)):
        return langevin_move_numpy(x, drift, grad, spread, noise)
    out = np.empty_like(x)
    _langevin_move(x, f32(drift), grad, f32(spread), noise, out)
    return out


def row_dot_numpy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", a, b, dtype=np.float64).astype(np.result_type(a, b))


@njit_sum
def _row_dot(a, b, out):
    for i in range(a.shape[0]):
        total = 0.0  # a float64, so that a long sum does not drift
        for j in range(a.shape[1]):
            total += np.float64(a[i, j]) * np.float64(b[i, j])
        out[i] = total


def row_dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product of each row of a with the same row of b: (n, d), (n, d) to (n,)."""
    if not _are_fast(a, b):
        return row_dot_numpy(a, b)
    out = np.empty(len(a), a.dtype)
    _row_dot(a, b, out)
    return out


def choose_rows_numpy(chosen: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(chosen[:, None], a, b)


@njit
def _choose_rows(chosen, a, b, out):
    for i in range(a.shape[0]):
        c = chosen[i]
        for j in range(a.shape[1]):
            out[i, j] = a[i, j] if c else b[i, j]


def choose_rows(chosen: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rows of a where `chosen` (n,) is True, those of b elsewhere: (n, d)."""
    if not _are_fast(a, b):
        return choose_rows_numpy(chosen, a, b)
    out = np.empty_like(a)
    _choose_rows(chosen, a, b, out)
    return out
