"""Operations over axes: sums, extremes, normalisers, running sums."""

import builtins
import math

import numpy as np

from .. import kernels
from ..dtypes import as_array
from ..tape import primitive
from .arithmetic import equal, sqrt, square, where
from .elementwise import exp
from .shaping import (
    astype,
    broadcast_to,
    check_axis,
    concatenate,
    diagonal,
    expand_dims,
    flip,
    getitem,
    reshape,
    squeeze,
)


def _with_axis(g, x, axis, keepdims):
    """g with the axes that were summed away put back as length 1."""
    if keepdims or x.ndim == 0:
        return g
    if axis is None:
        return reshape(g, (1,) * x.ndim)
    return expand_dims(g, axis)


def _spread(g, x, axis, keepdims):
    if axis is None and not keepdims:
        return broadcast_to(g, x.shape)
    return broadcast_to(_with_axis(g, x, axis, keepdims), x.shape)


def _sum(x, axis=None, keepdims=False):
    if axis == 0 and x.ndim == 2 and not keepdims:
        return kernels.sum_rows(x)
    if axis in (1, -1) and x.ndim == 2:
        return kernels.sum_last(x).reshape(x.shape[0], 1) if keepdims else kernels.sum_last(x)
    return np.add.reduce(x, axis, None, None, keepdims)  # what np.sum does, without its wrapping


def _sum_into(out, x, axis=None, keepdims=False):
    if axis == 0 and x.ndim == 2 and not keepdims:
        return kernels.sum_rows.into(out, x)
    if axis in (1, -1) and x.ndim == 2:
        return kernels.sum_last.into(out.reshape(-1), x)
    return [(np.add.reduce, (x, axis, None, out, keepdims))]


sum = primitive(
    "sum",
    _sum,
    lambda g, y, x, axis=None, keepdims=False: _spread(g, x, axis, keepdims),
    into=_sum_into,
)


def _count(x, axis) -> int:
    """How many elements of x each element of a reduction over `axis` is made of."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod(x.shape[a] for a in axes)


mean = primitive(
    "mean",
    lambda x, axis=None, keepdims=False: np.mean(x, axis=axis, keepdims=keepdims),
    lambda g, y, x, axis=None, keepdims=False: _spread(g / float(builtins.max(_count(x, axis), 1)), x, axis, keepdims),
    into=lambda out, x, axis=None, keepdims=False: [
        (np.add.reduce, (x, axis, None, out, keepdims)),
        (np.divide, (out, float(_count(x, axis)), out)),
    ],
)


def var(x, axis=None, ddof=0, keepdims=False):
    """Mean squared distance from the mean; divides by the count less `ddof`."""
    x = as_array(x, "var")
    spread = square(x - mean(x, axis, True))
    total = sum(spread, axis, keepdims)
    count = _count(x, axis) - ddof
    if count <= 0:
        raise ValueError(
            f"var() of {count + ddof} value(s) with ddof={ddof} has nothing to divide by; use a smaller ddof"
        )
    return total / float(count)


def std(x, axis=None, ddof=0, keepdims=False):
    """Square root of `var`. Like it in other libraries, its gradient is not finite where all values are equal."""
    return sqrt(var(x, axis, ddof, keepdims))


def _extreme_back(g, y, x, axis=None, keepdims=False):
    # Equal share for each of the elements that tie for the extreme.
    hits = astype(equal(x, _with_axis(y, x, axis, keepdims)), x.dtype)
    share = _with_axis(g, x, axis, keepdims) / sum(hits, axis, True)
    return hits * share


max = primitive(
    "max",
    lambda x, axis=None, keepdims=False: np.max(x, axis=axis, keepdims=keepdims),
    _extreme_back,
    into=lambda out, x, axis=None, keepdims=False: [(np.maximum.reduce, (x, axis, None, out, keepdims))],
)

min = primitive(
    "min",
    lambda x, axis=None, keepdims=False: np.min(x, axis=axis, keepdims=keepdims),
    _extreme_back,
    into=lambda out, x, axis=None, keepdims=False: [(np.minimum.reduce, (x, axis, None, out, keepdims))],
)


def prod(x, axis=None, keepdims=False):
    """Product over one axis or all, by halving: its derivatives are right also where factors are zero."""
    x = as_array(x, "prod")
    shape = x.shape
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
        kept = (1,) * len(shape)
    else:
        axis = check_axis(axis, x.ndim, "prod")
        kept = (*shape[:axis], 1, *shape[axis + 1 :])
    before = (slice(None),) * axis
    if x.shape[axis] == 0:
        x = sum(x, axis, True) + 1.0  # the product of nothing
    while x.shape[axis] > 1:
        n = x.shape[axis]
        half = n // 2
        pairs = getitem(x, (*before, slice(0, half))) * getitem(x, (*before, slice(half, 2 * half)))
        if n % 2:
            first = getitem(pairs, (*before, slice(0, 1))) * getitem(x, (*before, slice(n - 1, n)))
            rest = getitem(pairs, (*before, slice(1, half)))
            pairs = concatenate([first, rest], axis) if half > 1 else first
        x = pairs
    return reshape(x, kept) if keepdims else squeeze(x, axis)


def _logsumexp(x, axis=None, keepdims=False):
    """log of the sum of exp(x), without overflow."""
    out = kernels.logsumexp(x, tuple(range(x.ndim)) if axis is None else axis)
    return out if keepdims else np.squeeze(out, axis)


def _logsumexp_into(out, x, axis=None, keepdims=False):
    axis = tuple(range(x.ndim)) if axis is None else axis
    return kernels.logsumexp.into(out if keepdims else np.expand_dims(out, axis), x, axis)


logsumexp = primitive(
    "logsumexp",
    _logsumexp,
    lambda g, y, x, axis=None, keepdims=False: (
        softmax(x, tuple(range(x.ndim)) if axis is None else axis) * _with_axis(g, x, axis, keepdims)
    ),
    into=_logsumexp_into,
)

softmax = primitive(
    "softmax",
    lambda x, axis=-1: kernels.softmax(x, axis),
    lambda g, y, x, axis=-1: y * (g - sum(g * y, axis, True)),
    into=lambda out, x, axis=-1: kernels.softmax.into(out, x, axis),
)

log_softmax = primitive(
    "log_softmax",
    lambda x, axis=-1: kernels.log_softmax(x, axis),
    lambda g, y, x, axis=-1: g - exp(y) * sum(g, axis, True),
    into=lambda out, x, axis=-1: kernels.log_softmax.into(out, x, axis),
)


def _cumsum_back(g, y, x, axis=None):
    if axis is None:
        return reshape(flip(cumsum(flip(g, 0), 0), 0), x.shape)
    return flip(cumsum(flip(g, axis), axis), axis)


cumsum = primitive(
    "cumsum", np.cumsum, _cumsum_back, into=lambda out, x, axis=None: [(np.cumsum, (x, axis, None, out))]
)


def _norm(x, axis=None, keepdims=False):
    """Euclidean length, sqrt(sum x^2), over all elements or over axes; its derivative at the zero vector is 0."""
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _norm_back(g, y, x, axis=None, keepdims=False):
    length = _with_axis(y, x, axis, keepdims)
    return _with_axis(g, x, axis, keepdims) * (x / where(equal(length, 0.0), 1.0, length))


def _norm_into(out, x, axis=None, keepdims=False):
    squares = np.empty_like(x)
    return [
        (np.multiply, (x, x, squares)),
        (np.add.reduce, (squares, axis, None, out, keepdims)),
        (np.sqrt, (out, out)),
    ]


norm = primitive("norm", _norm, _norm_back, into=_norm_into)


def trace(x, offset=0, axis1=0, axis2=1):
    """Sum of the diagonal over two axes."""
    return sum(diagonal(x, offset, axis1, axis2), -1)
