"""Is what a person handed over usable? The checks of arguments that many modules share, with one wording each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def check_rng(rng, caller: str) -> np.random.Generator:
    """The generator itself; TypeError for anything else, because randomness is handed in, never global."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{caller} got rng={rng!r}; expected a numpy.random.Generator: pass rng=numpy.random.default_rng(0)"
        )
    return rng


def check_size(value, name: str, caller: str) -> int:
    """The value as an int; ValueError unless it is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{caller} got {name}={value!r}; expected a whole number, 1 or more")
    return int(value)


def check_sizes(values, name: str, caller: str) -> tuple[int, ...]:
    """The values as a tuple of ints; ValueError unless it is a sequence, perhaps empty, of whole numbers from 1."""
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str):
        raise ValueError(f"{caller} got {name}={values!r}; expected a list of widths, such as (64, 64)")
    return tuple(check_size(value, f"{name}[{i}]", caller) for i, value in enumerate(values))


def is_number(value) -> bool:
    """Whether a value is a real number, of Python or NumPy; a boolean is none."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def check_positive(value, name: str, caller: str, zero: bool = False) -> float:
    """The value itself; ValueError unless it is a finite number above 0, or, with `zero`, of 0 or more."""
    if not is_number(value) or not value < math.inf or not (value >= 0 if zero else value > 0):
        expected = "number of 0 or more" if zero else "positive number"
        raise ValueError(f"{caller} got {name}={value!r}; expected a {expected}")
    return value


def check_fraction(value, name: str, caller: str) -> float:
    """The value itself; ValueError unless it is a number in [0, 1)."""
    if not is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{caller} got {name}={value!r}; expected a number in [0, 1)")
    return value
