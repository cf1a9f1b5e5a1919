"""How many threads do NumPy's matrix products run on, and how is that changed while Python runs?

Only for OpenBLAS as it comes with NumPy's wheels; with another BLAS the answer is None and nothing is changed.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


@cache
def _openblas():
    """The two functions (get, set) of the OpenBLAS inside NumPy's wheel, or None."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in folder.glob("*openblas*"):
            try:
                library = ctypes.CDLL(str(path))  # the very library NumPy has loaded, not a second one
            except OSError:
                continue
            for suffix in ("64_", ""):
                get = getattr(library, f"scipy_openblas_get_num_threads{suffix}", None)
                put = getattr(library, f"scipy_openblas_set_num_threads{suffix}", None)
                if get and put:
                    return get, put
    return None


def threads() -> int | None:
    """Number of threads of a matrix product; None if that cannot be found out."""
    return _openblas()[0]() if _openblas() else None


class _Alone:
    """How many blocks want one thread now, and how many threads there were before the first of them."""

    def __init__(self):
        self.lock, self.blocks, self.before = threading.Lock(), 0, None


_alone = _Alone()  # the number of threads belongs to the process, not to a thread of Python


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block matrix products run on one thread, unless the user has set a number in the environment.

    For the small networks of this course a second thread gains little, and where something else runs on the machine
    the threads wait for one another: a step was seen to take 30 times as long. It also makes results independent of
    the number of cores. Blocks may overlap: the number is put back when the last of them ends.
    """
    if threads() is None or any(os.environ.get(name) for name in VARIABLES):
        yield
        return
    with _alone.lock:
        if _alone.blocks == 0:
            _alone.before = threads()
            _openblas()[1](1)
        _alone.blocks += 1
    try:
        yield
    finally:
        with _alone.lock:
            _alone.blocks -= 1
            if _alone.blocks == 0:
                _openblas()[1](_alone.before)
