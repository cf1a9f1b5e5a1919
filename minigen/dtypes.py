"""In which dtype does an operation compute? That of its tensors: numbers, lists and plain arrays beside them follow.

float32 unless someone brought float64. Python numbers never promote; two floating dtypes among tensors are refused.
Whole numbers and conditions in tensors are added and multiplied as int64, so that nothing wraps, and become float32
where the result is no whole number. Arrays alone, with no tensor among them, compute in NumPy's dtypes, but whole
numbers are added and multiplied as int64 too, and never become float16. So `ops.subtract(a, b)` of uint8 is right where
NumPy's own `a - b` wraps; whole numbers beyond 2^63 wrap everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._support import explain
from .watching import shown

OPERATIONS: dict[str, Callable] = {}  # every primitive by its name

PLAIN = {float, int, bool, type(None), tuple, str, slice}  # what operations take as it is
LISTED = (list, tuple, float, int)  # what becomes an array where an operation cannot use it as it is


# Where the whole numbers of a short dtype would wrap, and where NumPy refuses conditions.
WIDENED = {
    "add",
    "subtract",
    "multiply",
    "negative",
    "square",
    "abs",
    "sign",
    "power",
    "matmul",
    "einsum",
    "mod",
    "linear",
}


def operands(op: Any, args: Sequence) -> Sequence:
    """The arguments that are arrays of numbers; what follows them, such as a shape, is a setting."""
    return args if op.joint else args[: len(op.rules)]


def takes_part(op: Any, i: int) -> bool:
    """Whether argument i of an operation has a rule; an index or a condition has none, and stays what it is."""
    return op.joint is not None or (i < len(op.rules) and op.rules[i] is not None)


def settled(op: Callable, args: Sequence, raw: list, tensor_type: type) -> list:
    """The raw arguments in the dtype of the floating tensors among them; two such dtypes are refused."""
    mine = [i for i in range(len(args)) if takes_part(op, i)]
    dtypes = {raw[i].dtype for i in mine if type(args[i]) is tensor_type and raw[i].dtype.kind == "f"}
    if len(dtypes) > 1:
        raise explain.two_dtypes(op.__name__, dtypes)
    for dtype in dtypes:
        return [_in(dtype, each, op) if i in mine else each for i, each in enumerate(raw)]
    if op.__name__ in WIDENED:
        return [widened(each) if isinstance(each, np.ndarray) else each for each in raw]
    return raw


def _in(dtype: np.dtype, value: Any, op: Callable) -> Any:
    """An operand in a dtype; numbers of Python as they are."""
    if type(value) in PLAIN:
        return value
    array = as_array(value, op.__name__)
    return array if array.dtype == dtype else OPERATIONS["astype"](array, dtype)


def widened(array: Any) -> Any:
    """Whole numbers and conditions as int64; floats as they are."""
    whole = array.dtype.kind in "iub" and array.dtype != np.int64
    return OPERATIONS["astype"](array, np.int64) if whole else array


def all_widened(args: Sequence) -> list:
    """Arguments of an operation, arrays among them as `widened` gives them."""
    return [widened(each) if isinstance(each, (np.ndarray, np.generic)) else each for each in args]


def wider(args: Sequence) -> list | None:
    """The same where that makes a difference, else None."""
    wide = all_widened(args)
    return None if all(new is old for new, old in zip(wide, args)) else wide


def as_operands(op: Callable, args: Sequence) -> list:
    """The operands of an operation that could not use them as they were: lists and numbers as arrays."""
    arrays = [as_array(each, op.__name__) if isinstance(each, LISTED) else each for each in operands(op, args)]
    return all_widened(arrays) if op.__name__ in WIDENED else arrays


def as_array(x: Any, caller: str) -> Any:
    """A tensor as it is; lists, numbers and the like as an array. TypeError unless of real numbers."""
    if hasattr(x, "node"):
        return x
    array = explain.as_numbers(x, f"{caller}()")
    return array if type(x) is type(array) else shown(array)  # an array of a compiled step stays one


def settled_result(op: Callable, raw: Sequence, value: Any) -> np.ndarray:
    """The result of an operation as an array: in float32, unless an array of another floating dtype took part.

    Integers, conditions and Python numbers bring neither float64 in nor float16.
    """
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
    if value.dtype.char not in "de" or op.__name__ == "astype":
        return value
    brought = any(isinstance(a, (np.ndarray, np.generic)) and a.dtype == value.dtype for a in raw)
    return value if brought else OPERATIONS["astype"](value, np.float32)
