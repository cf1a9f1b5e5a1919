"""minigen: learn generative modelling by building it.

A reverse-mode autodiff engine on NumPy with numba kernels (`tensor`, `grad`, `ops`), derivatives of functions
(`jacobian`, `hessian`, `vjp`, `jvp`, `hvp`), layers and optimisers over one flat parameter buffer (`nn`, `optim`), and
the models of the lessons built on them (`models`, `training`, `storage`).
"""

from ._support.interrupt import interrupt_ends_command

interrupt_ends_command()  # while the rest is imported, where a traceback would explain nothing

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy

from . import nn, ops
from .compile import CompileError, compile
from .derivatives import hessian, hvp, jacobian, jvp, vjp
from .tape import Tensor, grad, no_grad, tensor

__version__ = "0.1.0"
__all__ = [
    "CompileError",
    "Tensor",
    "check",
    "compile",
    "datasets",
    "debug",
    "distributions",
    "divergences",
    "games",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "metrics",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "physics",
    "plots",
    "samplers",
    "storage",
    "tensor",
    "training",
    "vjp",
]

if TYPE_CHECKING:
    from . import (
        check,
        datasets,
        debug,
        distributions,
        divergences,
        games,
        metrics,
        models,
        optim,
        physics,
        plots,
        samplers,
        storage,
        training,
    )


# glibc gives large freed arrays back to the system, and the next step faults them in again page by page: a third of an
# eager step. Once it has freed an array of this size it keeps smaller ones (mallopt(3), "dynamic mmap threshold").
# Untouched memory costs nothing, and other C libraries take no notice.
numpy.empty(31 << 20, numpy.uint8)


def __getattr__(name: str) -> ModuleType:
    # Loaded when first used: some of them bring numba or matplotlib along.
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
