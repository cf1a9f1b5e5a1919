"""In which dtype does an operation compute? That of its tensors: numbers, lists and plain arrays beside them follow.

float32 unless someone brought float64. Python numbers never promote; two floating dtypes among tensors are refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._support import explain

OPERATIONS: dict[str, Callable] = {}  # every primitive by its name

PLAIN = {float, int, bool, type(None), tuple, str, slice}  # what operations take as it is
LISTED = (list, tuple, float, int)  # what becomes an array where an operation cannot use it as it is


def operands(op, args):
    """The arguments that are arrays of numbers; what follows them, such as a shape, is a setting."""
    return args if op.joint else args[: len(op.rules)]


def takes_part(op, i: int) -> bool:
    """Whether argument i of an operation has a rule; an index or a condition has none, and stays what it is."""
    return op.joint is not None or (i < len(op.rules) and op.rules[i] is not None)


def settled(op, args, raw: list, tensor_type) -> list:
    """The raw arguments in the dtype of the floating tensors among them; two such dtypes are refused."""
    mine = [i for i in range(len(args)) if takes_part(op, i)]
    dtypes = {raw[i].dtype for i in mine if type(args[i]) is tensor_type and raw[i].dtype.kind == "f"}
    if len(dtypes) > 1:
        raise explain.two_dtypes(op.__name__, dtypes)
    for dtype in dtypes:
        for i in mine:
            if type(raw[i]) not in PLAIN:
                array = as_array(raw[i], op.__name__)
                raw[i] = array if array.dtype == dtype else OPERATIONS["astype"](array, dtype)
    return raw


def as_array(x, caller: str):
    """A tensor as it is; lists, numbers and the like as an array. TypeError unless of real numbers."""
    if hasattr(x, "node"):
        return x
    return explain.as_numbers(x, f"{caller}()")


def settled_result(op, raw, value) -> np.ndarray:
    """The result of an operation as an array: in float32, unless an array of another floating dtype took part.

    Integers, conditions and Python numbers bring neither float64 in nor float16.
    """
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
    if value.dtype.char not in "de" or op.__name__ == "astype":
        return value
    brought = any(isinstance(a, (np.ndarray, np.generic)) and a.dtype == value.dtype for a in raw)
    return value if brought else OPERATIONS["astype"](value, np.float32)
