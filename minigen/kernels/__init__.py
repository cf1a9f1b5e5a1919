"""The numerical loops under the engine: raw arrays in, raw arrays out, nothing known of tensors.

Each kernel stands beside its plain-NumPy twin, `name_numpy`. A kernel is looked up here by name; the look-up imports
numba the first time, so that importing minigen does not.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np


def copy_result(out: np.ndarray, function: Callable, args: tuple, settings: dict | None = None) -> None:
    """Compute and copy: how a function without an `out` of its own writes into an array allocated beforehand."""
    out[...] = function(*args, **(settings or {}))


def real(x: Any) -> np.ndarray:
    """An array of floats as it is, in the machine's own order of bytes; integers and booleans as floats that hold
    them, where NumPy would take float16."""
    x = np.asarray(x)
    if x.dtype.kind == "f":
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    return x.astype(np.result_type(x, np.float32))


_FAMILIES = ("activations", "reductions", "losses", "updates", "indexing", "random", "mixture", "chains")


def __getattr__(name: str):
    if not name.startswith("__"):
        for family in _FAMILIES:
            module = import_module(f"{__name__}.{family}")
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
