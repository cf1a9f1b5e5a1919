"""Which calls of a recording are needed, and which can write their result where it is to be added?

A gradient that would be added to zeros is computed where it belongs; what nobody uses is not computed.
"""

from __future__ import annotations

import numpy as np

from ..watching import add_to, clear
from .memory import address, is_laid_out_as, owner
from .record import Call, Recorder
from .trees import tree_leaves


def write_directly(recorder: Recorder, needs: list[list[int]], kept: set) -> tuple[dict[int, np.ndarray], set[int]]:
    """Let a gradient be computed where it is to be added, when zeros are there.

    After `clear(total)` the first `add_to` of each part of `total` adds to zero. If what it adds was computed for that
    alone, its call can write there; and if that happens for all of `total`, there was no need to clear it. Gives the
    place for each such call, and the calls that fall away.
    """
    calls = recorder.calls
    uses = np.bincount([i for need in needs for i in need] + list(kept), minlength=len(calls))
    targets, dropped, zeros = {}, set(), None
    for i, call in enumerate(calls):
        if call.function is clear:
            zeros = Zeros(call.args[0], i)
        elif zeros is None:
            continue
        elif call.function is add_to and np.may_share_memory(call.args[0], zeros.array):
            total, part = call.args
            maker = recorder.call_of(part)
            is_for_this = maker is not None and maker > zeros.since and uses[maker] == 1
            if zeros.take(total) and is_for_this and _fits(calls[maker], part, total):
                targets[maker] = total
                dropped.add(i)
                zeros.written += total.size
            if zeros.written == zeros.array.size:
                dropped.add(zeros.since)
        elif _may_touch(call, zeros.array, recorder):
            zeros = None
    return targets, dropped


class Zeros:
    """An array that was cleared by call `since`; parts of it are added to, each for the first time once."""

    def __init__(self, array: np.ndarray, since: int):
        self.array, self.since, self.written = array, since, 0
        self._taken: set[int] = set()

    def take(self, part: np.ndarray) -> bool:
        """Whether this part is added to for the first time."""
        place, before = address(part), len(self._taken)
        self._taken.add(place)
        return len(self._taken) > before


def _fits(maker: Call, part, total) -> bool:
    """Whether an operation can write its result to `total` instead of to memory of its own."""
    value = maker.value
    whole = value.nbytes == owner(value).nbytes and address(value) == address(part)
    alike = value.shape == part.shape == total.shape and value.dtype == total.dtype
    # The part may be the transpose of what was made, in the same place and of the same shape.
    plain_order = value.flags.c_contiguous and total.flags.c_contiguous and is_laid_out_as(part, value)
    return maker.is_operation and whole and alike and plain_order


def _may_touch(call: Call, array, recorder) -> bool:
    """Whether a call may read or change an array that was not made by the step."""
    touched = [*tree_leaves((call.args, call.static)), *(call.changes or ())]
    if not call.is_operation and any(hasattr(thing, "__dict__") for thing in touched):
        return True  # an object, such as an optimiser, may look at anything
    return any(
        isinstance(thing, np.ndarray) and recorder.call_of(thing) is None and np.may_share_memory(thing, array)
        for thing in touched
    )


def live_calls(
    calls: list[Call], needs: list[list[int]], targets: dict[int, np.ndarray], kept: set, dropped: set[int]
) -> list[int]:
    """The calls that a result, a change in place or the state of a generator depends on."""
    wanted, live = set(kept), []
    for i in reversed(range(len(calls))):
        call = calls[i]
        draws = any(isinstance(thing, np.random.Generator) for thing in (*call.args, *call.static.values()))
        if i not in dropped and (i in wanted or i in targets or draws or not call.is_operation):
            live.append(i)
            wanted.update(needs[i])
    return live[::-1]
