"""Operations over axes: sums, extremes, normalisers, running sums."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import kernels
from ..dtypes import as_array, widened
from ..operators import Axis
from ..tape import primitive
from .arithmetic import equal, square, where
from .elementwise import exp, expm1
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
    transpose,
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
    if axis is None and x.flags.c_contiguous:
        return np.add.reduce(x, axis, None, None, keepdims)
    if axis == 0 and x.ndim == 2 and not keepdims:
        return kernels.sum_rows(x)
    if axis in (1, -1) and x.ndim == 2:
        return kernels.sum_last(x).reshape(x.shape[0], 1) if keepdims else kernels.sum_last(x)
    return kernels.sum_axes(x, axis, keepdims)


def _sum_into(out, x, axis=None, keepdims=False):
    if axis == 0 and x.ndim == 2 and not keepdims:
        return kernels.sum_rows.into(out, x)
    if axis in (1, -1) and x.ndim == 2:
        return kernels.sum_last.into(out.reshape(-1), x)
    return kernels.sum_axes.into(out, x, axis, keepdims)


sum = primitive(
    "sum",
    _sum,
    lambda g, y, x, axis=None, keepdims=False: _spread(g, x, axis, keepdims),
    into=_sum_into,
)


def _count(x, axis) -> int:
    """How many elements of x each element of a reduction over `axis` is made of."""
    if axis is None:
        return x.size
    return math.prod([x.shape[a] for a in axis]) if isinstance(axis, tuple) else x.shape[axis]


def _mean(x, axis=None, keepdims=False):
    """Mean over one axis, a tuple of axes, or all."""
    if x.dtype.char == "e":  # whose sum would overflow at 65504
        return np.mean(x, axis, np.float64, None, keepdims).astype(x.dtype)
    return _sum(x, axis, keepdims) / float(_count(x, axis))


def _mean_into(out, x, axis=None, keepdims=False):
    if x.dtype != out.dtype:
        return [(kernels.copy_result, (out, _mean, (x, axis, keepdims)))]
    return [*_sum_into(out, x, axis, keepdims), (np.divide, (out, float(_count(x, axis)), out))]


mean = primitive(
    "mean",
    _mean,
    lambda g, y, x, axis=None, keepdims=False: _spread(g / float(builtins.max(_count(x, axis), 1)), x, axis, keepdims),
    into=_mean_into,
)


def var(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Mean squared distance from the mean; divides by the count less `ddof`."""
    x = as_array(x, "var")
    spread = square(x - mean(x, axis, True))
    return sum(spread, axis, keepdims) / float(_degrees_of_freedom("var", x, axis, ddof))


def std(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Square root of `var`; its gradient is 0 where all values are equal."""
    x = as_array(x, "std")
    return norm(x - mean(x, axis, True), axis, keepdims) / math.sqrt(_degrees_of_freedom("std", x, axis, ddof))


def _degrees_of_freedom(name, x, axis, ddof) -> int:
    count = _count(x, axis) - ddof
    if count <= 0:
        raise ValueError(
            f"{name}() of {count + ddof} value(s) with ddof={ddof} has nothing to divide by; use a smaller ddof"
        )
    return count


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


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Product over one axis, several or all, by halving: its derivatives are right also where factors are zero."""
    x = widened(as_array(x, "prod"))
    several = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = [check_axis(each, x.ndim, "prod") for each in several]
    left = [i for i in range(x.ndim) if i not in axes]
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
    if len(axes) == 1:
        return reshape(_halved(x, axes[0]), tuple(shape))
    factors = reshape(transpose(x, (*left, *axes)), (*(x.shape[i] for i in left), math.prod(x.shape[i] for i in axes)))
    return reshape(_halved(factors, len(left)), tuple(shape))


def _halved(x, axis: int):
    """The product over one axis, which stays with length 1."""
    before = (slice(None),) * axis
    if x.shape[axis] == 0:
        return sum(x, axis, True) + 1.0  # the product of nothing
    while x.shape[axis] > 1:
        n = x.shape[axis]
        half = n // 2
        pairs = getitem(x, (*before, slice(0, half))) * getitem(x, (*before, slice(half, 2 * half)))
        if n % 2:
            first = getitem(pairs, (*before, slice(0, 1))) * getitem(x, (*before, slice(n - 1, n)))
            rest = getitem(pairs, (*before, slice(1, half)))
            pairs = concatenate([first, rest], axis) if half > 1 else first
        x = pairs
    return x


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


def _log_softmax_back(g, y, x, axis=-1):
    # g (1 - p) less p times the g of the others: at a class of which the loss is certain 1 - p keeps its digits.
    return -(g * expm1(y)) - exp(y) * (sum(g, axis, True) - g)


log_softmax = primitive(
    "log_softmax",
    lambda x, axis=-1: kernels.log_softmax(x, axis),
    _log_softmax_back,
    into=lambda out, x, axis=-1: kernels.log_softmax.into(out, x, axis),
)


def _cumsum_back(g, y, x, axis=None):
    if axis is None:
        return reshape(flip(cumsum(flip(g, 0), 0), 0), x.shape)
    return flip(cumsum(flip(g, axis), axis), axis)


def _cumsum(x, axis=None):
    """Sums of the first elements along an axis; without one, of all in their order."""
    if x.dtype.kind != "f" or x.dtype.itemsize > 4:
        return np.cumsum(x, axis)
    return np.cumsum(x, axis, np.float64).astype(x.dtype.newbyteorder("="))


cumsum = primitive("cumsum", _cumsum, _cumsum_back)


def _norm(x, axis=None, keepdims=False):
    """Euclidean length, sqrt(sum x^2), over all elements or over axes; its derivative at the zero vector is 0."""
    return kernels.norm(x, axis, keepdims)


def _norm_back(g, y, x, axis=None, keepdims=False):
    length = _with_axis(y, x, axis, keepdims)
    return _with_axis(g, x, axis, keepdims) * (x / where(equal(length, 0.0), 1.0, length))


norm = primitive(
    "norm",
    _norm,
    _norm_back,
    into=lambda out, x, axis=None, keepdims=False: kernels.norm.into(out, x, axis, keepdims),
)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Sum of the diagonal over two axes."""
    return sum(diagonal(x, offset, axis1, axis2), -1)
