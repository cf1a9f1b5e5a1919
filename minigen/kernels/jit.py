"""How a loop becomes a kernel: numba runs it on contiguous float32 arrays, its NumPy twin on everything else.

Importing this module imports numba, so nothing imports it before a kernel is needed. With the environment variable
`MINIGEN_KERNELS=numpy` numba is never imported and every kernel is its twin.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from . import copy_result, real

USE_NUMBA = os.environ.get("MINIGEN_KERNELS", "numba") != "numpy"
FLOAT32 = np.dtype(np.float32)
f32 = np.float32  # in a loop a bare 1.0 is a float64 and drags the arithmetic with it; f32(1.0) is not

_NO_PLACE = (
    "numba finds no place where it can keep compiled kernels ({}), so every program compiles them anew, which takes "
    "seconds: set NUMBA_CACHE_DIR to a folder that can be written to"
)
_warned = False


def _warn_once(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(_NO_PLACE.format(str(error).partition("\n")[0]), RuntimeWarning, stacklevel=3)


def _or_without(access: Callable) -> Callable:
    """A way into the cache that goes on without one where the disk refuses: read-only, full, or no folder at all."""

    @wraps(access)
    def attempt(*args, **settings):
        try:
            return access(*args, **settings)
        except OSError as error:
            _warn_once(error)

    return attempt


def _compiler(fastmath: set[str]) -> Callable:
    """A decorator that compiles a loop when it is first called, and keeps the machine code on disk if it can."""
    # NumPy's division rules let the compiler vectorise.
    settings = {"error_model": "numpy", "fastmath": fastmath}

    def compiled(function):
        try:
            kernel = numba.njit(cache=True, **settings)(function)
        except RuntimeError as error:  # numba asks for a place as soon as it sees the function
            if "cannot cache" not in str(error):
                raise
            _warn_once(error)
            return numba.njit(**settings)(function)
        kept = getattr(kernel, "_cache", None)
        for way in ("load_overload", "save_overload"):
            if hasattr(kept, way):
                setattr(kept, way, _or_without(getattr(kept, way)))
        return kernel

    return compiled


if USE_NUMBA:
    import numba

    # None of these flags assumes that NaN and Inf are absent.
    njit = _compiler({"contract", "arcp", "nsz"})
    # For reductions: partial sums may be reordered, which is what makes a sum run on vector registers.
    njit_sum = _compiler({"contract", "arcp", "nsz", "reassoc"})
else:

    def njit(function: Callable) -> Callable:
        """Leave the function as it is: plain Python, for reading and debugging."""
        return function

    njit_sum = njit


def is_fast(array: Any) -> bool:
    """Whether a compiled loop may run on this array: a C-contiguous float32 array with at least one axis."""
    if type(array) is not np.ndarray or not array.flags.c_contiguous or array.ndim == 0:
        return False
    return array.dtype is FLOAT32 or array.dtype == FLOAT32  # pickling makes another object of the same dtype


# A replayed step (see `minigen.compile`) writes into arrays allocated beforehand. So every kernel has beside it
# `kernel.into(out, *args)`: the list of pairs (function, arguments) whose calls leave the kernel's result in `out`.


def elementwise(twin: Callable, float64: Callable | None = None) -> Callable:
    """Decorate a loop `(x, out)` so that it becomes a kernel `x -> out` that falls back on its twin `x -> out`.

    `float64` is a compiled loop over vectors of that dtype, for a twin that is no array arithmetic.
    """

    def decorate(loop):
        @wraps(twin)
        def kernel(x):
            if not (USE_NUMBA and is_fast(x)):
                return in_float64(x) if float64 is not None and USE_NUMBA else twin(x)
            out = np.empty_like(x)
            compiled(x, out)
            return out

        def in_float64(x):
            wide = np.ascontiguousarray(x, np.float64)
            out = np.empty(np.shape(x))
            float64(wide.reshape(-1), out.reshape(-1))
            return out.astype(real(x).dtype, copy=False)

        def into(out, x):
            if USE_NUMBA and is_fast(x) and is_fast(out):
                return [(compiled, (x, out))]
            return [(copy_result, (out, kernel, (x,)))]

        compiled = njit(loop)
        kernel.into = into
        return kernel

    return decorate


def elementwise_pair(twin: Callable) -> Callable:
    """Decorate a loop `(a, b, out, *constants)` over arrays of one shape; its twin takes `(a, b, *constants)`."""

    def decorate(loop):
        @wraps(twin)
        def kernel(a, b, *constants):
            if not (USE_NUMBA and is_fast(a) and is_fast(b) and a.shape == b.shape):
                return twin(a, b, *constants)
            out = np.empty_like(a)
            compiled(a, b, out, *constants)
            return out

        def into(out, a, b, *constants):
            if USE_NUMBA and is_fast(a) and is_fast(b) and is_fast(out) and a.shape == b.shape:
                return [(compiled, (a, b, out, *constants))]
            return [(copy_result, (out, twin, (a, b, *constants)))]

        compiled = njit(loop)
        kernel.into = into
        return kernel

    return decorate


def in_place(twin: Callable) -> Callable:
    """Decorate a loop that changes its first array; falls back on its twin, which does the same. Returns that array."""

    def decorate(loop):
        @wraps(twin)
        def kernel(array, *rest):
            (compiled if USE_NUMBA and is_fast(array) else twin)(array, *rest)
            return array

        def into(array, *rest):
            return [(compiled if USE_NUMBA and is_fast(array) else twin, (array, *rest))]

        compiled = njit(loop)
        kernel.into = into
        return kernel

    return decorate
