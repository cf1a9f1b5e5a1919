"""Which argument of a step is which? The same array given by position or by keyword is the same argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from ..tape import Tensor, is_paused
from .recorded import Recorded


class Arguments:
    """The arguments of a step in the order of its signature. What is left to a default is the step's own affair."""

    def __init__(self, step: Callable):
        try:
            self.signature: inspect.Signature | None = inspect.signature(step)
        except (TypeError, ValueError):  # a function of C that does not tell
            self.signature = None
        self._orders: dict[tuple, tuple] = {}

    def settled(self, args: tuple, settings: dict) -> tuple[tuple, tuple[str, ...]]:
        """The values in order, and the names of the last ones, which are to be given by keyword."""
        form = len(args), *settings
        if form not in self._orders:
            self._orders[form] = self._order(*form)
        order, names = self._orders[form]
        given = (*args, *settings.values())
        return tuple([given[i] for i in order]), names

    def _order(self, n: int, *names: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Where each value is among n values and those of these names, and which of the names are left."""
        places = {name: n + i for i, name in enumerate(names)}
        if self.signature is None:
            return tuple(range(n + len(names))), names
        try:
            bound = self.signature.bind(*range(n), **places)
        except TypeError:  # the step itself says what is wrong
            return tuple(range(n + len(names))), names
        return (*bound.args, *bound.kwargs.values()), tuple(bound.kwargs)


def key_of(values: tuple, names: tuple) -> tuple:
    """Calls of one key can share a recording: arrays of one shape, dtype and layout, and equal constants."""
    key: list = [is_paused(), names]
    for value in values:
        kind = type(value)
        array = value.data if kind is Tensor and value.node is None else value
        if type(array) is np.ndarray or kind is Recorded:
            strides = None if array.flags.c_contiguous else array.strides
            key += kind is Tensor, array.shape, array.dtype, strides
        else:
            key += kind, repr(value) if isinstance(value, (float, np.generic)) else value
    return tuple(key)
