"""Kernels that sum: over the rows of a matrix, and the normalisers of the exponential."""

import numpy as np

from . import copy_result
from .activations import exp_float32
from .jit import USE_NUMBA, f32, is_fast, njit, njit_sum


def sum_rows_numpy(x):
    return x.sum(axis=0)


@njit
def _sum_rows(x, out):
    for j in range(x.shape[1]):
        out[j] = f32(0.0)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]


def sum_rows(x):
    """Sum of a matrix (n, d) over its rows, (d,)."""
    if not (USE_NUMBA and x.ndim == 2 and is_fast(x)):
        return sum_rows_numpy(x)
    out = np.empty(x.shape[1], x.dtype)
    _sum_rows(x, out)
    return out


def _sum_rows_into(out, x):
    if USE_NUMBA and x.ndim == 2 and is_fast(x) and is_fast(out):
        return [(_sum_rows, (x, out))]
    return [(np.add.reduce, (x, 0, None, out))]


sum_rows.into = _sum_rows_into


def sum_of_squares_numpy(x):
    wide = x.astype(np.float64)  # the square of an exploding float32 gradient would overflow just when it matters
    return float(np.dot(wide, wide))


@njit_sum
def _sum_of_squares(x):
    total = 0.0
    for v in x:
        total += np.float64(v) * np.float64(v)
    return total


def sum_of_squares(x):
    """Sum of the squares of a vector, in double precision."""
    return _sum_of_squares(x) if USE_NUMBA and is_fast(x) else sum_of_squares_numpy(x)


@njit_sum
def _sum_last(x, out):
    for i in range(x.shape[0]):
        total = f32(0.0)
        for j in range(x.shape[1]):
            total += x[i, j]
        out[i] = total


def sum_last_numpy(x):
    return x.sum(axis=1)


def sum_last(x):
    """Sum of a matrix (n, d) over its last axis, (n,)."""
    if not _has_short_rows(x):
        return sum_last_numpy(x)
    out = np.empty(x.shape[0], x.dtype)
    _sum_last(x, out)
    return out


def _has_short_rows(x) -> bool:
    # A long row is summed by NumPy, whose pairwise sum keeps more digits.
    return USE_NUMBA and x.ndim == 2 and is_fast(x) and x.shape[1] <= 256


def _sum_last_into(out, x):
    if _has_short_rows(x) and is_fast(out):
        return [(_sum_last, (x, out))]
    return [(np.add.reduce, (x, 1, None, out))]


sum_last.into = _sum_last_into

# All three subtract the largest value first and do the rest with the small differences, which keep all their digits.


def _top_numpy(x, axis):
    top = np.max(x, axis=axis, keepdims=True)
    return np.where(np.isfinite(top), top, np.zeros_like(top))


def logsumexp_numpy(x, axis=-1):
    top = _top_numpy(x, axis)
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top


def log_softmax_numpy(x, axis=-1):
    below = x - _top_numpy(x, axis)
    with np.errstate(divide="ignore"):
        return below - np.log(np.sum(np.exp(below), axis=axis, keepdims=True))


def softmax_numpy(x, axis=-1):
    e = np.exp(x - _top_numpy(x, axis))
    return e / e.sum(axis=axis, keepdims=True)


@njit
def _top(row):
    """The largest value, or 0 where it is infinite or NaN."""
    top = row[0]
    for v in row:
        if v > top:
            top = v
    return top if np.isfinite(top) else f32(0.0)


@njit
def _total(row, top):
    total = f32(0.0)
    for v in row:
        total += exp_float32(v - top)
    return total


@njit
def _logsumexp(x, out):
    for i in range(x.shape[0]):
        top = _top(x[i])
        out[i] = np.log(_total(x[i], top)) + top


@njit
def _log_softmax(x, out):
    for i in range(x.shape[0]):
        top = _top(x[i])
        shift = np.log(_total(x[i], top))
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - top) - shift


@njit
def _softmax(x, out):
    for i in range(x.shape[0]):
        top = _top(x[i])
        total = f32(0.0)
        for j in range(x.shape[1]):
            out[i, j] = exp_float32(x[i, j] - top)
            total += out[i, j]
        for j in range(x.shape[1]):
            out[i, j] /= total


def _runs_on_rows(x, axis) -> bool:
    return USE_NUMBA and is_fast(x) and x.size > 0 and axis in (-1, x.ndim - 1)


def logsumexp(x, axis=-1):
    """log sum exp over one axis or a tuple of axes, which stay with length 1."""
    if not _runs_on_rows(x, axis):
        return logsumexp_numpy(x, axis)
    out = np.empty(x.size // x.shape[-1], x.dtype)
    _logsumexp(x.reshape(-1, x.shape[-1]), out)
    return out.reshape(*x.shape[:-1], 1)


def log_softmax(x, axis=-1):
    """x minus its log-sum-exp over one axis."""
    if not _runs_on_rows(x, axis):
        return log_softmax_numpy(x, axis)
    out = np.empty_like(x)
    _log_softmax(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]))
    return out


def softmax(x, axis=-1):
    """exp(x) scaled to sum to one over one axis."""
    if not _runs_on_rows(x, axis):
        return softmax_numpy(x, axis)
    out = np.empty_like(x)
    _softmax(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]))
    return out


def _into(kernel, loop, twin, drops_axis=False):
    """What `kernel.into` is for a kernel of rows: its loop on the rows of x, or a copy of what its twin gives."""

    def into(out, x, axis=-1):
        if not (_runs_on_rows(x, axis) and is_fast(out)):
            return [(copy_result, (out, twin, (x, axis)))]
        return [(loop, (x.reshape(-1, x.shape[-1]), out.reshape(-1) if drops_axis else out.reshape(-1, x.shape[-1])))]

    kernel.into = into


_into(logsumexp, _logsumexp, logsumexp_numpy, drops_axis=True)
_into(log_softmax, _log_softmax, log_softmax_numpy)
_into(softmax, _softmax, softmax_numpy)
