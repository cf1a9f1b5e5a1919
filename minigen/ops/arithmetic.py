"""Arithmetic with broadcasting: sums, products, powers, and choices between two values.

A rule gives its gradient in the shape of the result; the tape sums it down to the shape of the argument.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..kernels import copy_result, real
from ..tape import Tensor, primitive
from ..watching import refuse

add = primitive("add", np.add, lambda g, y, a, b: g, lambda g, y, a, b: g)

subtract = primitive("subtract", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g)

multiply = primitive("multiply", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)

divide = primitive("divide", np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b))

negative = primitive("negative", np.negative, lambda g, y, x: -g)

square = primitive("square", np.square, lambda g, y, x: g * (x * 2.0))


FLOAT16 = np.dtype(np.float16)


def function_of_floats(ufunc: np.ufunc, rule: Callable) -> Callable:
    """The operation of a NumPy function whose value is no integer; NumPy would compute short integers in float16."""

    def forward(x):
        y = ufunc(x)
        return y if y.dtype is not FLOAT16 else ufunc(real(x))

    def into(out, x):
        return [(ufunc, (x, out)) if x.dtype == out.dtype else (copy_result, (out, forward, (x,)))]

    forward.__doc__ = ufunc.__doc__
    return primitive(ufunc.__name__, forward, rule, into=into)


sqrt = function_of_floats(np.sqrt, lambda g, y, x: g * 0.5 / y)

log = function_of_floats(np.log, lambda g, y, x: g / x)

sign = primitive("sign", np.sign, None)

abs = primitive("abs", np.abs, lambda g, y, x: g * sign(x))

# The remainder of the division, with the sign of b.
mod = primitive("mod", np.mod, lambda g, y, a, b: g, lambda g, y, a, b: -(g * floor(a / b)))


def _round(x):
    """The nearest whole number, of two the even one. Whole numbers stay what they are."""
    return np.rint(x) if np.result_type(x).kind == "f" else np.asarray(x)


# Steps: their derivative is zero wherever there is one.
floor = primitive("floor", np.floor, None)
ceil = primitive("ceil", np.ceil, None)
round = primitive("round", _round, None)
isnan = primitive("isnan", np.isnan, None)
isfinite = primitive("isfinite", np.isfinite, None)
greater = primitive("greater", np.greater, None, None)
greater_equal = primitive("greater_equal", np.greater_equal, None, None)
less = primitive("less", np.less, None, None)
less_equal = primitive("less_equal", np.less_equal, None, None)
equal = primitive("equal", np.equal, None, None)
not_equal = primitive("not_equal", np.not_equal, None, None)


def _where_into(out, condition, a, b):
    if condition.dtype != bool:
        return [(copy_result, (out, _where, (condition, a, b)))]
    return [(np.copyto, (out, b)), (np.copyto, (out, a, "same_kind", condition))]


def _where(condition, a, b):
    """a where the condition holds, b elsewhere."""
    return np.where(condition, *_with_room(a, b))


def _with_room(a, b):
    """Two operands of which one is a whole number of Python: the other's short integers might not hold it."""
    if type(a) is int and isinstance(b, np.ndarray) and b.dtype.kind in "iu":
        return a, b.astype(np.int64)
    if type(b) is int and isinstance(a, np.ndarray) and a.dtype.kind in "iu":
        return a.astype(np.int64), b
    return a, b


where = primitive(
    "where",
    _where,
    None,
    lambda g, y, condition, a, b: where(condition, g, 0.0),
    lambda g, y, condition, a, b: where(condition, 0.0, g),
    into=_where_into,
)


MOST_PRODUCTS = 16  # the highest whole exponent that is computed by products, some ten times as fast as by logarithms


def _is_whole(b) -> bool:
    return isinstance(b, (int, float)) and 2 <= b <= MOST_PRODUCTS and b == int(b)


def _power_into(out, a, b):
    if not (_is_whole(b) and a.dtype == out.dtype):
        return [(copy_result, (out, _power, (a, b)))]
    calls = []
    for bit in f"{int(b):b}"[1:]:  # from the left: square, and where there is a 1 once more a
        calls.append((np.multiply, (out, out, out) if calls else (a, a, out)))
        if bit == "1":
            calls.append((np.multiply, (out, a, out)))
    return calls


def _power(a, b):
    """a to the power b. An integer to a negative power is a float."""
    if _is_whole(b) and isinstance(a, np.ndarray) and a.dtype.kind == "f":
        if b == 2:
            return np.square(a)
        out = np.empty_like(a)
        for multiply, args in _power_into(out, a, b):
            multiply(*args)
        return out
    if np.result_type(a).kind in "iub" and np.any(np.less(b, 0)):
        a = real(a)
    return np.power(a, b)


def _power_by_base(g, y, a, b):
    # b a^(b - 1), with 0 for b = 0 also where a^(b - 1) is infinite.
    if isinstance(b, (int, float)):
        slope = power(a, b - 1) * float(b) if b != 0 else where(np.True_, 0.0, a)
        return g * slope
    constant = equal(b, 0.0)
    return g * where(constant, 0.0, b * where(constant, 1.0, a) ** (b - 1.0))


# Where 0^b is 0 or 1: there the derivative by b is 0, while y log a is NaN. Below 0 it is -Inf.
at_zero = primitive("at_zero", lambda a, b: np.equal(a, 0) & np.greater_equal(b, 0), None, None)


def _power_by_exponent(g, y, a, b):
    a = np.asarray(a, y.dtype) if isinstance(a, (int, float)) else a
    limit = at_zero(a, b)
    return g * where(limit, 0.0, y * log(where(limit, 1.0, a)))


power = primitive("power", _power, _power_by_base, _power_by_exponent, into=_power_into)


def _wins(a, b):
    """1 where a > b, 1/2 where they tie, 0 elsewhere."""
    return ((a > b) + 0.5 * np.equal(a, b)).astype(np.result_type(a, b))


wins = primitive("wins", _wins, None, None)

# NumPy wants the `out` of these two, unlike that of its other ufuncs, by name.
maximum = primitive(
    "maximum",
    lambda a, b: np.maximum(*_with_room(a, b)),
    lambda g, y, a, b: g * wins(a, b),
    lambda g, y, a, b: g * wins(b, a),
    into=lambda out, a, b: [(partial(np.maximum, out=out), _with_room(a, b))],
)

minimum = primitive(
    "minimum",
    lambda a, b: np.minimum(*_with_room(a, b)),
    lambda g, y, a, b: g * wins(b, a),
    lambda g, y, a, b: g * wins(a, b),
    into=lambda out, a, b: [(partial(np.minimum, out=out), _with_room(a, b))],
)


def _clip(x, low=None, high=None):
    x = np.asarray(x)
    y = np.clip(x, low, high)
    return y.astype(x.dtype, copy=False) if x.dtype.kind == "f" else y


def _within(x, low, high):
    inside = np.full(np.shape(x), True)
    if low is not None:
        inside &= x >= low
    if high is not None:
        inside &= x <= high
    return inside.astype(x.dtype)


within = primitive("within", _within, None)

_clip_to = primitive("clip", _clip, lambda g, y, x, low=None, high=None: g * within(x, low, high))


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """x limited to [low, high]; either bound may be None, a number, an array or a tensor.

    Where x is out of bounds its derivative is 0, and that of a bound which is a tensor is 1; where they tie, each half.
    """
    if type(low) is Tensor or type(high) is Tensor:
        x = x if low is None else maximum(x, low)
        return x if high is None else minimum(x, high)
    return _clip_to(x, low, high)


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Whether |a - b| <= atol + rtol |b| everywhere."""
    a, b = (x.data if type(x) is Tensor else x for x in (a, b))
    if any(isinstance(x, np.ndarray) and type(x) is not np.ndarray for x in (a, b)):
        refuse("allclose() of an array of the step: a replay would not compare again; compare outside the step")
    return bool(np.allclose(a, b, rtol, atol))
