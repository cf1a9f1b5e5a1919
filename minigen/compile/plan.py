"""From the notes of a recording to a plan, and the loop that replays it.

A plan is a flat list of calls `function(*arguments)` over arrays allocated beforehand: buffers that the arguments of
the step are copied to, blocks of memory that the results of operations share, and the program's own arrays, such as
weights, where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels import copy_result
from ..nn.module import Flat
from ..tape import Tensor
from ..watching import add_to, clear
from .compare import sketch
from .memory import aligned, empty_as, in_place_of, owner, share_memory
from .record import Call, Recorder
from .recorded import plain, raw_array
from .simplify import live_calls, write_directly
from .trees import tree_arrays, tree_map


class Plan:
    """One recording, ready to be replayed: input buffers, calls over arrays allocated beforehand, results.

    It stands as long as all is as the recording took it: `flats` are the networks' buffers, `modes` the modes of
    layers, `leaves` the tensors that live in none of the buffers.
    """

    def __init__(self, recorder: Recorder, result: Any):
        self.calls: list[tuple] = []
        relied = list(recorder.attributes.values())
        self.flats = [(thing, name, value) for thing, name, value in relied if type(value) is Flat]
        self.modes = [(thing, name, value) for thing, name, value in relied if type(value) is not Flat]
        held = [flat.holds for _, _, flat in self.flats]
        entries = [entry[:4] for entry in recorder.leaves.values()]
        self.leaves = [entry for entry in entries if not any(holds(*entry) for holds in held)]
        self.changed = list(recorder.changed.values())
        self.count = 1  # calls, the recording among them
        self._notes: tuple | None = (recorder, result)

    def is_alive(self) -> bool:
        """Whether the parameters still live where they were."""
        for thing, name, value in self.flats:
            if getattr(thing, name) is not value:
                return False
        for leaf, data, node, gradient in self.leaves:
            if leaf.data is not data or leaf.node is not node or node.gradient is not gradient:
                return False
        return True

    def stands(self) -> bool:
        """Whether all is as the recording took it: the parameters, and the modes of layers."""
        for thing, name, value in self.modes:
            if getattr(thing, name) is not value:
                return False
        return self.is_alive()

    def run(self, arguments: Sequence) -> Any:
        """Replay: copy the arguments in, make the calls, give copies of the results."""
        if self._notes is not None:
            self._build(*self._notes)
        for i, buffer in self.inputs:
            given = arguments[i]
            np.copyto(buffer, given.data if type(given) is Tensor else given)
        for function, taken in self.calls:
            function(*taken)
        return tree_map(copied, self.result)

    def _build(self, recorder: Any, result: Any) -> None:
        self._notes = None
        calls = recorder.calls
        kept = {recorder.call_of(array) for array in tree_arrays(tree_map(raw_array, result))} - {None}
        needs = [[i for i in map(recorder.call_of, call.arrays) if i is not None] for call in calls]
        targets, dropped = write_directly(recorder, needs, kept)
        live = live_calls(calls, needs, targets, kept, dropped)
        block_of, sizes = share_memory(calls, live, needs, targets, kept)
        blocks = [aligned(size) for size in sizes]
        buffers = {memory: empty_as(recorder.kept(memory)) for memory in recorder.inputs}

        def placed(x):
            """An array of the recording where it is in the replay; anything else as it is."""
            if not isinstance(x, np.ndarray):
                return x
            memory = id(owner(x))
            if memory in recorder.made:
                return in_place_of(x, blocks[block_of[recorder.made[memory]]])
            if memory in buffers:
                return in_place_of(x, owner(buffers[memory]))
            return plain(x)

        def returned(x):
            if type(x) is Tensor:
                return Tensor(placed(x.data))
            place = placed(x)
            return Number(place) if isinstance(x, np.ndarray) and recorder.is_number(x) else place

        self.names, self.changes = [], []
        for i in live:
            call = calls[i]
            out = targets[i] if i in targets else placed(call.value)
            made = lowered(call, out, tree_map(placed, call.args), tree_map(placed, call.static))
            self.calls += made
            self.names += [name_of(call.function)] * len(made)
            self.changes += [tree_arrays(list(call.changes or ()))] * len(made)
        self.inputs = [(position, buffers[memory]) for memory, position in recorder.inputs.items()]
        self.result, self.bytes = tree_map(returned, result), sum(sizes)
        self.sketch = sketch(recorder)


def lowered(call: Call, out: np.ndarray | None, args: list, static: dict) -> list[tuple]:
    """The calls (function, arguments) that do an operation or an action over arrays that are there."""
    function = call.function
    if function is add_to:
        return [(np.add, (*args, args[0]))]
    if function is clear:
        return [(args[0].fill, (0,))]
    if not call.is_operation:
        return [(function, tuple(args))] if out is None else [(copy_result, (out, function, tuple(args)))]
    if function.into is not None:
        return function.into(out, *args, **static)
    if isinstance(function.forward, np.ufunc) and not static:
        return [(function.forward, (*args, out))]
    return [(copy_result, (out, function.forward, tuple(args), static))]


def name_of(function: Callable) -> str:
    """What a program calls a function: a kernel by its name, a method with its class."""
    holder = getattr(function, "__self__", None)
    name = getattr(getattr(function, "func", function), "__name__", "?").lstrip("_")
    return f"{type(holder).__name__}.{name}" if hasattr(holder, "__dict__") else name


class Number:
    """Where a result lies that the caller gets as a Python number."""

    def __init__(self, array: np.ndarray):
        self.array = array


def copied(x: Any) -> Any:
    """A copy that belongs to the caller, off the tape; what is no array as it is."""
    if type(x) is Tensor:
        return Tensor(np.array(x.data))
    if type(x) is Number:
        return x.array.item()
    return np.array(x) if isinstance(x, (np.ndarray, np.generic)) else x
