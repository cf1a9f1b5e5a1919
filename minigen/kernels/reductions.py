"""Kernels that sum: over axes of an array, and the normalisers of the exponential.

A running sum in float32 drifts, and stands still at 2^24. So no kernel here adds more than a few float32 numbers one
after the other: partial sums go to a float64.
"""

from __future__ import annotations

import math

import numpy as np

from . import copy_result, real
from .activations import exp_float32
from .jit import USE_NUMBA, f32, is_fast, njit, njit_sum


def sum_axes_numpy(x: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> np.ndarray:
    if not _is_short(x) or (axis is None and x.flags.c_contiguous):  # all in a row NumPy sums by pairs
        return np.add.reduce(x, axis, None, None, keepdims)  # what np.sum does, without its wrapping
    return np.add.reduce(x, axis, np.float64, None, keepdims).astype(x.dtype.newbyteorder("="))


def _is_short(x) -> bool:
    return x.dtype.kind == "f" and x.dtype.itemsize <= 4


def sum_rows_numpy(x: np.ndarray) -> np.ndarray:
    return sum_axes_numpy(x, 0)


@njit
def _add_rows(x, total):
    """Add the rows of x to a vector, by trees of eight."""
    n, d = x.shape
    by_eights = n - n % 8
    for i in range(0, by_eights, 8):
        for j in range(d):
            a = (x[i, j] + x[i + 1, j]) + (x[i + 2, j] + x[i + 3, j])
            b = (x[i + 4, j] + x[i + 5, j]) + (x[i + 6, j] + x[i + 7, j])
            total[j] += a + b
    for i in range(by_eights, n):
        for j in range(d):
            total[j] += x[i, j]


@njit
def _sum_rows(x, out):
    if len(x) <= 256:  # some thirty numbers one after the other: as many as in NumPy's sum by pairs
        out[:] = f32(0.0)
        _add_rows(x, out)
    else:
        total = np.zeros(x.shape[1])
        _add_rows(x, total)
        out[:] = total


def sum_rows(x: np.ndarray) -> np.ndarray:
    """Sum of a matrix (n, d) over its rows, (d,)."""
    if not (USE_NUMBA and x.ndim == 2 and is_fast(x)):
        return sum_rows_numpy(x)
    out = np.empty(x.shape[1], x.dtype)
    _sum_rows(x, out)
    return out


def _sum_rows_into(out, x):
    if USE_NUMBA and x.ndim == 2 and is_fast(x) and is_fast(out):
        return [(_sum_rows, (x, out))]
    return [(copy_result, (out, sum_rows_numpy, (x,)))]


sum_rows.into = _sum_rows_into


@njit_sum
def _sum_last(x, out):
    for i in range(x.shape[0]):
        total = f32(0.0)
        for j in range(x.shape[1]):
            total += x[i, j]
        out[i] = total


def sum_last_numpy(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1) if x.flags.c_contiguous else sum_axes_numpy(x, 1)


def sum_last(x: np.ndarray) -> np.ndarray:
    """Sum of a matrix (n, d) over its last axis, (n,)."""
    if not _has_short_rows(x):
        return sum_last_numpy(x)
    out = np.empty(x.shape[0], x.dtype)
    _sum_last(x, out)
    return out


def _has_short_rows(x) -> bool:
    # Some sixteen numbers in each lane of a vector register. A long row is summed by NumPy, by pairs.
    return USE_NUMBA and x.ndim == 2 and is_fast(x) and x.shape[1] <= 256


def _sum_last_into(out, x):
    if _has_short_rows(x) and is_fast(out):
        return [(_sum_last, (x, out))]
    if x.flags.c_contiguous:
        return [(np.add.reduce, (x, 1, None, out))]
    return [(copy_result, (out, sum_last_numpy, (x,)))]


sum_last.into = _sum_last_into


@njit
def _sum_blocks(x, out):
    for i in range(x.shape[0]):
        _sum_rows(x[i], out[i])


def _as_blocks(x, axis):
    """x as (before, summed, after) where `axis`, or a tuple of axes side by side, is in the middle; None if it is
    not."""
    if not (USE_NUMBA and is_fast(x) and axis is not None):
        return None
    axes = sorted(a % x.ndim if -x.ndim <= a < x.ndim else -1 for a in (axis if type(axis) is tuple else (axis,)))
    if not axes or axes[0] < 0 or axes != list(range(axes[0], axes[0] + len(axes))):
        return None  # NumPy says what is wrong with an axis
    first, last = axes[0], axes[-1] + 1
    shape = x.shape
    return x.reshape(math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:]))


def sum_axes(x: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> np.ndarray:
    """Sum over one axis, a tuple of axes, or all."""
    blocks = _as_blocks(x, axis)
    if blocks is None:
        return sum_axes_numpy(x, axis, keepdims)
    axes = [a % x.ndim for a in (axis if type(axis) is tuple else (axis,))]
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
    if blocks.shape[2] == 1:
        return sum_last(blocks[:, :, 0]).reshape(shape)
    out = np.empty(blocks.shape[::2], x.dtype)
    _sum_blocks(blocks, out)
    return out.reshape(shape)


def _sum_axes_into(out, x, axis=None, keepdims=False):
    blocks = _as_blocks(x, axis)
    if blocks is not None and out.flags.c_contiguous:
        if blocks.shape[2] == 1:
            return sum_last.into(out.reshape(-1), blocks[:, :, 0])
        return [(_sum_blocks, (blocks, out.reshape(blocks.shape[::2])))]
    if not _is_short(x) or (axis is None and x.flags.c_contiguous):
        return [(np.add.reduce, (x, axis, None, out, keepdims))]
    return [(copy_result, (out, sum_axes_numpy, (x, axis, keepdims)))]


sum_axes.into = _sum_axes_into


def sum_of_squares_numpy(x: np.ndarray) -> float:
    wide = x.astype(np.float64)  # the square of an exploding float32 gradient would overflow just when it matters
    return float(np.dot(wide, wide))


@njit_sum
def _sum_of_squares(x):
    total = 0.0
    for v in x:
        total += np.float64(v) * np.float64(v)
    return total


def sum_of_squares(x: np.ndarray) -> float:
    """Sum of the squares of a vector, in double precision."""
    return _sum_of_squares(x) if USE_NUMBA and is_fast(x) else sum_of_squares_numpy(x)


def norm_numpy(x: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        squares = np.add.reduce(np.square(x, dtype=np.float64), axis, None, None, keepdims)
    if x.size and x.dtype.kind == "f" and x.dtype.itemsize >= 8 and not _have_digits(squares):
        return _norm_in_unit(x, axis, keepdims)
    return np.sqrt(squares).astype(real(x).dtype)


def _have_digits(squares) -> bool:
    return bool(np.all((squares > 1e-280) & (squares < np.inf)))


def _norm_in_unit(x, axis, keepdims):
    """The same in the unit of the largest number, whose squares neither overflow nor vanish."""
    largest = np.max(np.abs(x), axis=axis, keepdims=True)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    lengths = np.sqrt(np.sum(np.square(x / unit), axis=axis, keepdims=True)) * unit
    return lengths if keepdims else lengths.reshape(np.max(x, axis=axis).shape)


@njit_sum
def _norm_last(x, out):
    for i in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += np.float64(x[i, j]) * np.float64(x[i, j])
        out[i] = np.sqrt(total)


def _norm_runs(x, axis) -> bool:
    return USE_NUMBA and x.ndim == 2 and is_fast(x) and axis in (1, -1)


def norm(x: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> np.ndarray:
    """Euclidean length over one axis, a tuple of axes, or all."""
    if not _norm_runs(x, axis):
        return norm_numpy(x, axis, keepdims)
    out = np.empty(len(x), x.dtype)
    _norm_last(x, out)
    return out.reshape(-1, 1) if keepdims else out


def _norm_into(out, x, axis=None, keepdims=False):
    if _norm_runs(x, axis) and is_fast(out):
        return [(_norm_last, (x, out.reshape(-1)))]
    return [(copy_result, (out, norm_numpy, (x, axis, keepdims)))]


norm.into = _norm_into

# The normalisers subtract the largest value first and do the rest with the small differences, which keep all their
# digits. With n values that tie for the largest, log sum exp(x - top) = log n + log1p(the others / n): near a certain
# class the others are all there is.


def _top_numpy(x, axis):
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(top), top, np.zeros_like(top))


def _log_total_numpy(x, top, axis):
    at_top = x == top
    count = np.sum(at_top, axis=axis, keepdims=True, dtype=x.dtype)
    others = sum_axes_numpy(np.where(at_top, 0, np.exp(x - top)).astype(x.dtype, copy=False), axis, True)
    with np.errstate(divide="ignore"):
        several = np.maximum(count, 1)
        return np.where(count > 0, np.log(several) + np.log1p(others / several), np.log(others))


def logsumexp_numpy(x: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> np.ndarray:
    x = real(x)
    top = _top_numpy(x, axis)
    return (_log_total_numpy(x, top, axis) + top).astype(x.dtype, copy=False)


def log_softmax_numpy(x: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> np.ndarray:
    x = real(x)
    top = _top_numpy(x, axis)
    return ((x - top) - _log_total_numpy(x, top, axis)).astype(x.dtype, copy=False)


def softmax_numpy(x: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> np.ndarray:
    x = real(x)
    e = np.exp(x - _top_numpy(x, axis))
    return e / sum_axes_numpy(e, axis, True)


@njit
def _top(row):
    """The largest value, or 0 where it is infinite or NaN."""
    a = b = c = d = row[0]  # four at a time, so that the next need not wait for the last
    by_fours = row.size - row.size % 4
    for i in range(0, by_fours, 4):
        a = row[i] if row[i] > a else a
        b = row[i + 1] if row[i + 1] > b else b
        c = row[i + 2] if row[i + 2] > c else c
        d = row[i + 3] if row[i + 3] > d else d
    for i in range(by_fours, row.size):
        a = row[i] if row[i] > a else a
    a = b if b > a else a
    c = d if d > c else c
    top = c if c > a else a
    return top if np.isfinite(top) else f32(0.0)


@njit_sum
def _log_total(row, top):
    others, count = 0.0, 0.0
    for j in range(row.size):
        at_top = f32(1.0) if row[j] == top else f32(0.0)
        count += at_top
        others += exp_float32(row[j] - top) * (f32(1.0) - at_top)
    if count == 0.0:
        return np.log(others)
    if count == 1.0:
        return np.log1p(others)
    return np.log(count) + np.log1p(others / count)


@njit
def _logsumexp(x, out):
    for i in range(x.shape[0]):
        top = _top(x[i])
        out[i] = _log_total(x[i], top) + top


@njit
def _log_softmax(x, out):
    for i in range(x.shape[0]):
        top = _top(x[i])
        shift = f32(_log_total(x[i], top))
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - top) - shift


@njit_sum
def _softmax(x, out):
    for i in range(x.shape[0]):
        top = _top(x[i])
        total = 0.0
        for j in range(x.shape[1]):
            out[i, j] = exp_float32(x[i, j] - top)
            total += out[i, j]
        scale = f32(1.0 / total)
        for j in range(x.shape[1]):
            out[i, j] *= scale


def _runs_on_rows(x, axis) -> bool:
    return USE_NUMBA and is_fast(x) and x.size > 0 and axis in (-1, x.ndim - 1)


def logsumexp(x: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> np.ndarray:
    """log sum exp over one axis or a tuple of axes, which stay with length 1."""
    if not _runs_on_rows(x, axis):
        return logsumexp_numpy(x, axis)
    out = np.empty(x.size // x.shape[-1], x.dtype)
    _logsumexp(x.reshape(-1, x.shape[-1]), out)
    return out.reshape(*x.shape[:-1], 1)


def log_softmax(x: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> np.ndarray:
    """x minus its log-sum-exp over one axis."""
    if not _runs_on_rows(x, axis):
        return log_softmax_numpy(x, axis)
    out = np.empty_like(x)
    _log_softmax(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]))
    return out


def softmax(x: np.ndarray, axis: int | tuple[int, ...] | None = -1) -> np.ndarray:
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
