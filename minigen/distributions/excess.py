"""What do exp and log leave when their tangents are taken off? Operations, right to rounding where that is little.

r - 1 - log r, t - log(1 + t) and exp(t) - 1 - t are never negative and 0 where two distributions agree: divergences are
sums of them. Written as differences they lose all digits there.
"""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from ..tape import primitive


def _horner(x, coefficients):
    """c0 + c1 x + c2 x^2 + ..."""
    total = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


ARTANH = [2 / (2 * k + 1) for k in range(1, 11)]
EXP = [1 / math.factorial(k) for k in range(2, 15)]


def _near_one(t):
    """t - log(1 + t) for numbers up to 0.4 in size.

    log(1 + t) = 2 artanh(s) with s = t / (2 + t), and t - 2 s = t s: no two like numbers are taken from each other.
    """
    s = t / (t + 2.0)
    square = np.square(s)
    return s * (t - square * _horner(square, ARTANH))


def _with_near(far, t, near, form):
    """The array `far`, with `form` of t where `near` holds."""
    out = np.asarray(far)
    if near.any():
        out = np.where(near, form(np.where(near, t, 0.0)), out)
    return out


def _over_log1p(t):
    t = np.asarray(t)
    return _with_near(t - np.log1p(t), t, np.abs(t) < 0.25, _near_one)


def _over_log(a, b):
    a, b = np.asarray(a), np.asarray(b)
    with np.errstate(over="ignore"):
        step = (a - b) / b
    return _with_near(step - (np.log(a) - np.log(b)), step, np.abs(step) < 0.25, _near_one)


def _of_exp(t):
    t = np.asarray(t)
    series = lambda t: np.square(t) * _horner(t, EXP)
    return _with_near(np.expm1(t) - t, t, np.abs(t) < 0.5, series)


over_log1p = primitive("excess_over_log1p", _over_log1p, lambda g, y, t: g * (t / (t + 1.0)))
"""t - log(1 + t)."""

over_log = primitive(
    "excess_over_log",
    _over_log,
    lambda g, y, a, b: g * ((a - b) / a / b),
    lambda g, y, a, b: g * ((b - a) / b / b),
)
"""r - 1 - log r for r = a / b."""

of_exp = primitive("excess_of_exp", _of_exp, lambda g, y, t: g * ops.expm1(t))
"""exp(t) - 1 - t."""
