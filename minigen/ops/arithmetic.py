"""Arithmetic with broadcasting: sums, products, powers, and choices between two values.

A rule gives its gradient in the shape of the result; the tape sums it down to the shape of the argument.
"""

from functools import partial

import numpy as np

from ..kernels import copy_result
from ..tape import Tensor, primitive

add = primitive("add", np.add, lambda g, y, a, b: g, lambda g, y, a, b: g)

subtract = primitive("subtract", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g)

multiply = primitive("multiply", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)

divide = primitive("divide", np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b))

negative = primitive("negative", np.negative, lambda g, y, x: -g)

square = primitive("square", np.square, lambda g, y, x: g * (x * 2.0))

sqrt = primitive("sqrt", np.sqrt, lambda g, y, x: g * 0.5 / y)

sign = primitive("sign", np.sign, None)

abs = primitive("abs", np.abs, lambda g, y, x: g * sign(x))

# Comparisons are steps: their derivative is zero wherever there is one.
greater = primitive("greater", np.greater, None, None)
greater_equal = primitive("greater_equal", np.greater_equal, None, None)
less = primitive("less", np.less, None, None)
less_equal = primitive("less_equal", np.less_equal, None, None)
equal = primitive("equal", np.equal, None, None)
not_equal = primitive("not_equal", np.not_equal, None, None)


def _where_into(out, condition, a, b):
    if condition.dtype != bool:
        return [(copy_result, (out, np.where, (condition, a, b)))]
    return [(np.copyto, (out, b)), (np.copyto, (out, a, "same_kind", condition))]


where = primitive(
    "where",
    np.where,
    None,
    lambda g, y, condition, a, b: where(condition, g, 0.0),
    lambda g, y, condition, a, b: where(condition, 0.0, g),
    into=_where_into,
)


def _power_by_base(g, y, a, b):
    # b a^(b - 1), with 0 for b = 0 also where a^(b - 1) is infinite.
    if isinstance(b, (int, float)):
        return g * (a ** (b - 1) * float(b) if b != 0 else a * 0.0)
    constant = equal(b, 0.0)
    return g * where(constant, 0.0, b * a ** where(constant, 1.0, b - 1.0))


def _power_by_exponent(g, y, a, b):
    # y log a, with the limit 0 at a = 0.
    if isinstance(a, (int, float)):
        return g * (y * (float(np.log(a)) if a != 0 else 0.0))
    at_zero = equal(a, 0.0)
    return g * where(at_zero, 0.0, y * log(where(at_zero, 1.0, a)))


power = primitive("power", np.power, _power_by_base, _power_by_exponent)

log = primitive("log", np.log, lambda g, y, x: g / x)


def _wins(a, b):
    """1 where a > b, 1/2 where they tie, 0 elsewhere."""
    return ((a > b) + 0.5 * np.equal(a, b)).astype(np.result_type(a, b))


wins = primitive("wins", _wins, None, None)

# NumPy wants the `out` of these two, unlike that of its other ufuncs, by name.
maximum = primitive(
    "maximum",
    np.maximum,
    lambda g, y, a, b: g * wins(a, b),
    lambda g, y, a, b: g * wins(b, a),
    into=lambda out, a, b: [(partial(np.maximum, out=out), (a, b))],
)

minimum = primitive(
    "minimum",
    np.minimum,
    lambda g, y, a, b: g * wins(b, a),
    lambda g, y, a, b: g * wins(a, b),
    into=lambda out, a, b: [(partial(np.minimum, out=out), (a, b))],
)


def _clip(x, low=None, high=None):
    """x limited to [low, high]; either bound may be None. The bounds are constants."""
    if type(low) is Tensor or type(high) is Tensor:
        raise TypeError("clip() takes constant bounds; with tensors as bounds write minimum(maximum(x, low), high)")
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

clip = primitive("clip", _clip, lambda g, y, x, low=None, high=None: g * within(x, low, high))
