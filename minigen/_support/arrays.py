"""What a person hands over as data, as arrays of floats: lists, tensors, tables, integers of any width. Nothing wraps.

Everything becomes float64, is finite, and has the shape asked for; or an error says what was given, what was expected
and what to do. Masked and missing values are refused rather than taken for numbers.
"""

from __future__ import annotations

from numbers import Real

import numpy as np


def as_numbers(x, name: str, caller: str) -> np.ndarray:
    """Any real numbers as an array: floats, integers and booleans as they are, objects as float64.

    Raises TypeError for what are no real numbers and for rows of unequal length, ValueError for masked values.
    """
    if np.ma.isMaskedArray(x) and np.ma.is_masked(x):
        raise ValueError(
            f"{caller} got {name} with {np.ma.count_masked(x)} masked value(s); leave those rows out, or fill them "
            "with .filled(...)"
        )
    if hasattr(x, "node") and hasattr(x, "data"):  # a tensor
        x = x.data
    try:
        array = np.asarray(x)
    except ValueError:
        raise TypeError(f"{caller} got rows of unequal length in {name}; give every row the same length") from None
    if array.dtype.kind == "O":
        array = _from_objects(array, name, caller)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{caller} got {name} of type {array.dtype}; expected real numbers")
    return array


def as_floats(x, name: str, caller: str) -> np.ndarray:
    """Any real numbers as float64, C-contiguous, perhaps not finite; raises as `as_numbers` does."""
    array = as_numbers(x, name, caller)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float64).reshape(array.shape)  # which makes no row of a single number


def _from_objects(array: np.ndarray, name: str, caller: str) -> np.ndarray:
    """Floats from an array of Python objects, as tables with columns of several types or with missing values give."""
    from decimal import Decimal  # rarely needed, and not quickly imported

    missing, wrong = [], []
    floats = np.empty(array.shape)
    for i, value in enumerate(array.flat):
        if isinstance(value, (Real, np.bool_, Decimal)):
            floats.flat[i] = _as_float(value)
        elif value is None or type(value).__name__ in ("NAType", "NaTType"):
            missing.append(value)
        else:
            wrong.append(type(value).__name__)
    if wrong:
        raise TypeError(f"{caller} got {name} of type {wrong[0]}; expected real numbers")
    if missing:
        raise ValueError(
            f"{caller} got {name} with {len(missing)} missing value(s), {missing[0]!r}; leave those rows out, or fill "
            "them"
        )
    return floats


def _as_float(value) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of Python that no float can hold
        return float("inf") if value > 0 else float("-inf")


def check_finite(array: np.ndarray, name: str, caller: str) -> np.ndarray:
    """The array itself; ValueError, with how many, if values are NaN or infinite."""
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        good = f"np.isfinite({name})" + (".all(axis=1)" if array.ndim == 2 else "")
        raise ValueError(
            f"{caller} got {bad} value(s) that are NaN or infinite in {name} of shape {array.shape}; remove or fill "
            f"them first, for example {name}[{good}]"
        )
    return array


def as_matrix(x, name: str, caller: str, width: int | None = None, column: bool = False) -> np.ndarray:
    """x as float64 rows (n, d), finite and not empty; with `column`, (n,) becomes (n, 1).

    Raises ValueError for another shape or, where the width d is given, another width.
    """
    array = as_floats(x, name, caller)
    if column and array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0 or width not in (None, array.shape[1]):
        advice = f": write {name}[:, None] for a single feature, {name}[None] for a single row"
        expected = f"(n, {width or 'd'}){advice if array.ndim == 1 else ''}"
        raise ValueError(f"{caller} got {name} of shape {array.shape}; expected {expected}")
    if not len(array):
        raise ValueError(f"{caller} got {name} of shape {array.shape}; expected at least one row")
    return check_finite(array, name, caller)


def as_vector(x, name: str, caller: str, length: int | None = None) -> np.ndarray:
    """x as float64 numbers (n,), finite and not empty; ValueError for another shape or, where given, length."""
    array = as_floats(x, name, caller)
    if array.ndim != 1 or not array.size or length not in (None, array.size):
        raise ValueError(f"{caller} got {name} of shape {array.shape}; expected ({length or 'n'},)")
    return check_finite(array, name, caller)
