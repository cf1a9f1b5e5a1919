"""Kernels of the losses: the sum over all elements in one pass, with no array in between."""

import numpy as np

from .activations import _exp
from .jit import USE_NUMBA, elementwise_pair, f32, is_fast, njit_sum


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
    total = f32(0.0)
    for i in range(a.size):
        d = a[i] - b[i]
        total += d * d
    return total


def binary_cross_entropy_numpy(logits, targets):
    """Sum of log(1 + exp(l)) - l t, written so that neither sign of l overflows."""
    return np.sum(np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits))))


@_summed(binary_cross_entropy_numpy)
def binary_cross_entropy(logits, targets):
    logits, targets = logits.ravel(), targets.ravel()
    total = f32(0.0)
    for i in range(logits.size):
        l = logits[i]
        total += max(l, f32(0.0)) - l * targets[i] + np.log1p(_exp(-abs(l)))
    return total


def scaled_difference_numpy(a, b, scale):
    return (a - b) * scale


@elementwise_pair(scaled_difference_numpy)
def scaled_difference(a, b, out, scale):
    a, b, out = a.ravel(), b.ravel(), out.ravel()
    scale = f32(scale)
    for i in range(a.size):
        out[i] = (a[i] - b[i]) * scale
