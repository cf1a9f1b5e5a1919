"""How a loop becomes a kernel: numba runs it on contiguous float32 arrays, its NumPy twin on everything else.

Importing this module imports numba, so nothing imports it before a kernel is needed. With the environment variable
`MINIGEN_KERNELS=numpy` numba is never imported and every kernel is its twin.
"""

import os
from functools import wraps

import numpy as np

from . import copy_result

USE_NUMBA = os.environ.get("MINIGEN_KERNELS", "numba") != "numpy"
FLOAT32 = np.dtype(np.float32)
f32 = np.float32  # in a loop a bare 1.0 is a float64 and drags the arithmetic with it; f32(1.0) is not

if USE_NUMBA:
    import numba

    # NumPy's division rules let the compiler vectorise. None of these flags assumes that NaN and Inf are absent.
    njit = numba.njit(error_model="numpy", cache=True, fastmath={"contract", "arcp", "nsz"})
    # For reductions: partial sums may be reordered, which is what makes a sum run on vector registers.
    njit_sum = numba.njit(error_model="numpy", cache=True, fastmath={"contract", "arcp", "nsz", "reassoc"})
else:

    def njit(function):
        """Leave the function as it is: plain Python, for reading and debugging."""
        return function

    njit_sum = njit


def is_fast(array) -> bool:
    """Whether a compiled loop may run on this array: a C-contiguous float32 array with at least one axis."""
    if type(array) is not np.ndarray or not array.flags.c_contiguous or array.ndim == 0:
        return False
    return array.dtype is FLOAT32 or array.dtype == FLOAT32  # pickling makes another object of the same dtype


# A replayed step (see `minigen.compile`) writes into arrays allocated beforehand. So every kernel has beside it
# `kernel.into(out, *args)`: the list of pairs (function, arguments) whose calls leave the kernel's result in `out`.


def elementwise(twin):
    """Decorate a loop `(x, out)` so that it becomes a kernel `x -> out` that falls back on its twin `x -> out`."""

    def decorate(loop):
        @wraps(twin)
        def kernel(x):
            if not (USE_NUMBA and is_fast(x)):
                return twin(x)
            out = np.empty_like(x)
            compiled(x, out)
            return out

        def into(out, x):
            if USE_NUMBA and is_fast(x) and is_fast(out):
                return [(compiled, (x, out))]
            return [(copy_result, (out, twin, (x,)))]

        compiled = njit(loop)
        kernel.into = into
        return kernel

    return decorate


def elementwise_pair(twin):
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


def in_place(twin):
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
