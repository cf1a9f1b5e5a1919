"""What a step changes, besides what it returns: kept so that it can be put back, and compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .trees import tree_map


def putting_back(thing: Any) -> Callable[[], None]:
    """A function that makes an array, a generator or an object what it is now."""
    if isinstance(thing, np.ndarray):
        return partial(np.copyto, thing, thing.copy())
    if isinstance(thing, np.random.Generator):
        return partial(setattr, thing.bit_generator, "state", thing.bit_generator.state)
    attributes = dict(vars(thing))
    held = [putting_back(value) for value in attributes.values() if isinstance(value, np.ndarray)]

    def put_back():
        vars(thing).update(attributes)
        for each in held:
            each()

    return put_back


def state_of(thing: Any) -> Any:
    """What a changed thing is now, in a form that can be compared: a nest of arrays, numbers and words."""
    if isinstance(thing, np.ndarray):
        return thing.copy()
    if isinstance(thing, np.random.Generator):
        return repr(thing.bit_generator.state)
    held = {name: value for name, value in vars(thing).items() if isinstance(value, (int, float, np.ndarray))}
    return tree_map(lambda value: value.copy() if isinstance(value, np.ndarray) else value, held)
