"""Is what a replay does what the step does? Two recordings compared call by call, and two results number by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .memory import address, owner
from .record import Recorder
from .trees import tree_leaves, tree_map

ROUNDING = 1e-4  # a replay may differ by this much of the largest value before it is called wrong


def sketch(recorder: Recorder) -> list[tuple]:
    """What was called with what, to compare with another recording: an array of the step is given by its origin."""

    def origin(x):
        if not isinstance(x, np.ndarray):
            return x
        memory = owner(x)
        place = (x.shape, str(x.dtype), x.strides, address(x) - address(memory))
        if id(memory) in recorder.made:
            return Origin(("call", recorder.made[id(memory)], *place))
        if id(memory) in recorder.inputs:
            return Origin(("argument", recorder.inputs[id(memory)], *place))
        return x

    return [(call.function, tree_map(origin, call.args), tree_map(origin, call.static)) for call in recorder.calls]


class Origin:
    """Where an array of a step came from."""

    def __init__(self, key: tuple):
        self.key = key


def mismatch(recorded: list[tuple], now: list[tuple]) -> str:
    """The first thing in which two recordings of one step differ; nothing if they are the same."""
    for (before, *inputs), (after, *others) in zip(recorded, now):
        if before != after:
            return f"it calls {after.__name__}() where the recording has {before.__name__}()"
        old, new = tree_leaves(inputs), tree_leaves(others)
        if len(old) != len(new):
            return f"{after.__name__}() is given {len(new)} things instead of {len(old)}"
        for a, b in zip(old, new):
            found = _differs(a, b)
            if found:
                return f"{after.__name__}() is given {found}"
    if len(recorded) != len(now):
        return f"it makes {len(now)} calls instead of {len(recorded)}"
    return ""


def _differs(a, b) -> str:
    if type(a) is not type(b):
        return f"a {type(b).__name__} instead of a {type(a).__name__}"
    if type(a) is Origin:
        return "" if a.key == b.key else "another array of the step"
    if isinstance(a, np.ndarray):
        same = a.shape == b.shape and a.dtype == b.dtype and a.strides == b.strides
        if same and (address(a) == address(b) or a.tobytes() == b.tobytes()):
            return ""
        return f"another {b.dtype} array of shape {b.shape} that came from outside minigen"
    if a is b or repr(a) == repr(b):
        return ""
    return f"{b!r} instead of {a!r}"


def difference(replayed: Any, expected: Any, exact: bool) -> str:
    """How what a replay did differs from what the step did; nothing if it does not."""
    a, b = tree_leaves(replayed), tree_leaves(expected)
    if len(a) != len(b):
        return "it returns something else"
    return next(filter(None, (_apart(x, y, exact) for x, y in zip(a, b))), "")


def _apart(a, b, exact: bool) -> str:
    if not isinstance(b, np.ndarray):
        return "" if repr(a) == repr(b) else f"{a!r:.40} is {b!r:.40} in the step itself"
    if np.shape(a) != b.shape:
        return f"a result of shape {np.shape(a)} has shape {b.shape} in the step itself"
    if np.array_equal(a, b) or (b.dtype.kind == "f" and np.array_equal(a, b, equal_nan=True)):
        return ""
    with np.errstate(all="ignore"):
        apart, size = np.abs(np.subtract(a, b, dtype=np.float64)), np.abs(b)
    scale = float(np.max(size[np.isfinite(size)], initial=0.0))
    largest = float(np.max(np.where((np.isnan(a) & np.isnan(b)) | np.equal(a, b), 0.0, apart), initial=0.0))
    if not exact and largest <= ROUNDING * scale:
        return ""
    return f"an array of shape {b.shape} whose largest value is {scale:.3g} differs by {largest:.3g}"
