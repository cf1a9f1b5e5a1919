"""Kernels of the losses: the sum over all elements in one pass, with no array in between."""

import numpy as np

from .activations import exp_float32
from .jit import USE_NUMBA, elementwise_pair, f32, is_fast, njit, njit_sum


def _summed(twin):
    """Decorate a loop `(a, b) -> float` over two arrays of one shape; falls back on its twin."""

    def decorate(loop):
        compiled = njit_sum(loop)

        def kernel(a, b):
            if USE_NUMBA and is_fast(a) and is_fast(b) and a.shape == b.shape:
                return f32(compiled(a, b))
            return twin(a, b)

        kernel.__doc__ = twin.__doc__
        return kernel

    return decorate


def squared_error_numpy(a, b):
    """Sum of (a - b)^2."""
    d = a - b
    return np.sum(d * d)


@_summed(squared_error_numpy)
def squared_error(a, b):
    a, b = a.ravel(), b.ravel()
    total = 0.0  # in float64: a long sum keeps its digits, for a third more time
    for i in range(a.size):
        d = a[i] - b[i]
        total += d * d
    return total


@njit
def _log1p(e):
    """log(1 + e) for 0 <= e <= 1, as 2 artanh(s) with s = e / (2 + e) <= 1/3 and seven terms of its series."""
    s = e / (f32(2.0) + e)
    z = s * s
    p = f32(1 / 11) + z * f32(1 / 13)
    p = f32(1 / 9) + z * p
    p = f32(1 / 7) + z * p
    p = f32(1 / 5) + z * p
    p = f32(1 / 3) + z * p
    return f32(2.0) * (s + s * z * p)


def binary_cross_entropy_numpy(logits, targets):
    """Sum of log(1 + exp(l)) - l t, written so that neither sign of l overflows."""
    return np.sum(np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits))))


@_summed(binary_cross_entropy_numpy)
def binary_cross_entropy(logits, targets):
    logits, targets = logits.ravel(), targets.ravel()
    total = 0.0  # in float64: a long sum keeps its digits, for a third more time
    for i in range(logits.size):
        l = logits[i]
        total += max(l, f32(0.0)) - l * targets[i] + _log1p(exp_float32(-abs(l)))
    return total


def weighted_squares_numpy(a, b, weight):
    """Sum of (a - b)^2 weight; the weight broadcasts."""
    d = a - b
    return np.sum(d * d * weight)


@njit_sum
def _weighted_squares(a, b, weight):
    total = 0.0
    for i in range(a.shape[0]):
        row = weight[i % weight.shape[0]]
        for j in range(a.shape[1]):
            d = a[i, j] - b[i, j]
            total += d * d * row[j]
    return total


def _by_rows(a, b, weight) -> bool:
    fits = USE_NUMBA and a.ndim == 2 and a.shape == b.shape and weight.shape in (a.shape, a.shape[1:])
    return fits and is_fast(a) and is_fast(b) and is_fast(weight)


def weighted_squares(a, b, weight):
    """Sum of (a - b)^2 weight, for a and b of shape (n, d) and a weight (n, d) or (d,)."""
    if not _by_rows(a, b, weight):
        return weighted_squares_numpy(a, b, weight)
    return f32(_weighted_squares(a, b, weight.reshape(-1, a.shape[1])))


def weighted_difference_numpy(a, b, weight):
    """(a - b) weight; the weight broadcasts."""
    return (a - b) * weight


@njit
def _weighted_difference(a, b, weight, out):
    for i in range(a.shape[0]):
        row = weight[i % weight.shape[0]]
        for j in range(a.shape[1]):
            out[i, j] = (a[i, j] - b[i, j]) * row[j]


@elementwise_pair(weighted_difference_numpy)
def _scaled_difference(a, b, out, scale):
    a, b, out = a.ravel(), b.ravel(), out.ravel()
    scale = f32(scale)
    for i in range(a.size):
        out[i] = (a[i] - b[i]) * scale


def weighted_difference(a, b, weight):
    """(a - b) weight, for a and b (n, d) and a weight (n, d), (d,) or a number; with a number, of any shape."""
    weight = np.asarray(weight, a.dtype)
    if weight.ndim == 0:
        return _scaled_difference(a, b, weight[()])
    if not _by_rows(a, b, weight):
        return weighted_difference_numpy(a, b, weight)
    out = np.empty_like(a)
    _weighted_difference(a, b, weight.reshape(-1, a.shape[1]), out)
    return out
