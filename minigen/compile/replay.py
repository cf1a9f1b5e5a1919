"""From the notes of a recording to a plan: which calls are needed, where each writes, and the loop that replays them.

Results share memory: one begins where another is no longer needed, as registers are given out by a linear scan (Poletto
and Sarkar, 1999). A gradient that would be added to zeros is computed where it belongs.
"""

from __future__ import annotations

import numpy as np

from ..kernels import copy_result
from ..tape import Tensor
from ..watching import add_to, clear
from .record import Call, Recorder, address, arrays, each, leaves, owner, plain, raw


class Plan:
    """One recording, ready to be replayed: input buffers, calls over arrays allocated beforehand, results."""

    def __init__(self, recorder: Recorder, result):
        self.calls: list[tuple] = []
        self.leaves = [entry[:4] for entry in recorder.leaves.values()]
        self.attributes, self.changed = recorder.attributes, list(recorder.changed.values())
        self.count = 1  # calls, the recording among them
        self._notes = recorder, result

    def is_alive(self) -> bool:
        """Whether the parameters still live where they were."""
        for leaf, data, node, gradient in self.leaves:
            if leaf.data is not data or leaf.node is not node or node.gradient is not gradient:
                return False
        return True

    def stands(self) -> bool:
        """Whether all is as the recording took it: the parameters, and the modes of layers."""
        return self.is_alive() and all(getattr(thing, name) is value for thing, name, value in self.attributes)

    def run(self, args):
        """Replay: copy the inputs, make the calls, give copies of the results."""
        if self._notes is not None:
            self._build()
        for i, buffer in self.inputs:
            np.copyto(buffer, args[i].data if type(args[i]) is Tensor else args[i])
        for function, arguments in self.calls:
            function(*arguments)
        return each(own, self.result)

    def _build(self) -> None:
        recorder, result = self._notes
        self._notes = None
        calls = recorder.calls
        kept = {recorder.call_of(array) for array in arrays(each(raw, result))} - {None}
        needs = [[i for i in map(recorder.call_of, call.arrays) if i is not None] for call in calls]
        targets, dropped = _write_directly(recorder, needs, kept)
        live = _live(calls, needs, targets, kept, dropped)
        block_of, sizes = _share_memory(calls, live, needs, targets, kept)
        blocks = [_aligned(size) for size in sizes]
        buffers = {memory: np.empty_like(recorder.kept(memory)) for memory in recorder.inputs}

        def placed(x):
            """An array of the recording where it is in the replay; anything else as it is."""
            if not isinstance(x, np.ndarray):
                return x
            memory = owner(x)
            offset, made = address(x) - address(memory), recorder.made.get(id(memory))
            if made is not None:
                return np.ndarray(x.shape, x.dtype, blocks[block_of[made]], offset, x.strides)
            if id(memory) in buffers:
                return np.ndarray(x.shape, x.dtype, buffers[id(memory)], offset, x.strides)
            return plain(x)

        def returned(x):
            if type(x) is Tensor:
                return Tensor(placed(x.data))
            place = placed(x)
            return Number(place) if isinstance(x, np.ndarray) and recorder.is_number(x) else place

        self.calls, self.names, self.changes = [], [], []
        for i in live:
            call = calls[i]
            out = targets[i] if i in targets else placed(call.value)
            lowered = _lower(call, out, each(placed, call.args), each(placed, call.static))
            self.calls += lowered
            self.names += [named(call.function)] * len(lowered)
            self.changes += [arrays(list(call.changes or ()))] * len(lowered)
        self.inputs = [(position, buffers[memory]) for memory, position in recorder.inputs.items()]
        self.result, self.bytes = each(returned, result), sum(sizes)
        self.sketch = sketch(recorder)


def named(function) -> str:
    """What a program calls a function: a kernel by its name, a method with its class."""
    holder = getattr(function, "__self__", None)
    name = getattr(getattr(function, "func", function), "__name__", "?").lstrip("_")
    return f"{type(holder).__name__}.{name}" if hasattr(holder, "__dict__") else name


class Number:
    """Where a result lies that the caller gets as a Python number."""

    def __init__(self, array: np.ndarray):
        self.array = array


def own(x):
    """A copy that belongs to the caller, off the tape; what is no array as it is."""
    if type(x) is Tensor:
        return Tensor(np.array(x.data))
    if type(x) is Number:
        return x.array.item()
    return np.array(x) if isinstance(x, (np.ndarray, np.generic)) else x


def _write_directly(recorder, needs, kept) -> tuple[dict[int, np.ndarray], set[int]]:
    """Let a gradient be computed where it is to be added, when zeros are there.

    After `clear(total)` the first `add_to` of each part of `total` adds to zero. If what it adds was computed for that
    alone, its call can write there; and if that happens for all of `total`, there was no need to clear it. Gives the
    place for each such call, and the calls that fall away.
    """
    calls = recorder.calls
    uses = np.bincount([i for need in needs for i in need] + list(kept), minlength=len(calls))
    targets, dropped = {}, set()
    cleared, first, seen, covered = None, 0, set(), 0
    for i, call in enumerate(calls):
        if call.function is clear:
            (cleared,), first, seen, covered = call.args, i, set(), 0
        elif cleared is None:
            continue
        elif call.function is add_to and np.may_share_memory(call.args[0], cleared):
            total, part = call.args
            maker = recorder.call_of(part)
            if address(total) not in seen and maker is not None and maker > first and uses[maker] == 1:
                if maker not in targets and _fits(calls[maker], part, total):
                    targets[maker] = total
                    dropped.add(i)
                    covered += total.size
                if covered == cleared.size:
                    dropped.add(first)
            seen.add(address(total))
        elif _may_touch(call, cleared, recorder):
            cleared = None
    return targets, dropped


def _fits(maker: Call, part, total) -> bool:
    """Whether an operation can write its result to `total` instead of to memory of its own."""
    value = maker.value
    whole = value.nbytes == owner(value).nbytes and address(value) == address(part)
    alike = value.shape == part.shape == total.shape and value.dtype == total.dtype
    return maker.is_operation and whole and alike and value.flags.c_contiguous and total.flags.c_contiguous


def _may_touch(call: Call, array, recorder) -> bool:
    """Whether a call may read or change an array that was not made by the step."""
    touched = [*leaves((call.args, call.static)), *(call.changes or ())]
    if not call.is_operation and any(hasattr(thing, "__dict__") for thing in touched):
        return True  # an object, such as an optimiser, may look at anything
    return any(
        isinstance(thing, np.ndarray) and recorder.call_of(thing) is None and np.may_share_memory(thing, array)
        for thing in touched
    )


def _live(calls, needs, targets, kept, dropped) -> list[int]:
    """The calls that a result, a change in place or the state of a generator depends on."""
    wanted, live = set(kept), []
    for i in reversed(range(len(calls))):
        call = calls[i]
        draws = any(isinstance(thing, np.random.Generator) for thing in (*call.args, *call.static.values()))
        if i not in dropped and (i in wanted or i in targets or draws or not call.is_operation):
            live.append(i)
            wanted.update(needs[i])
    return live[::-1]


def _share_memory(calls, live, needs, targets, kept) -> tuple[dict[int, int], list[int]]:
    """A block of memory for each result, used again after the last call that reads it; and the blocks' sizes."""
    last = {need: i for i in live for need in needs[i]}
    ending: dict[int, list[int]] = {}
    for made, i in last.items():
        if made not in kept:
            ending.setdefault(i, []).append(made)
    block_of, sizes, free = {}, [], []
    for i in live:
        if calls[i].value is not None and i not in targets:
            size = owner(calls[i].value).nbytes
            fitting = [b for b in free if sizes[b] >= size]
            block = min(fitting, key=sizes.__getitem__) if fitting else max(free, key=sizes.__getitem__, default=None)
            if block is None:
                block = len(sizes)
                sizes.append(size)
            else:
                free.remove(block)
                sizes[block] = max(sizes[block], size)
            block_of[i] = block
            if i not in last and i not in kept:
                free.append(block)
        free += [block_of[made] for made in ending.get(i, ()) if made in block_of]
    return block_of, sizes


def _aligned(size: int) -> np.ndarray:
    """Bytes that begin at a multiple of a cache line, 64."""
    memory = np.empty(size + 64, np.uint8)
    start = -address(memory) % 64
    return memory[start : start + size]


def _lower(call: Call, out, args, static) -> list[tuple]:
    """The calls that do an operation or an action over arrays that are there."""
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

    return [(call.function, each(origin, call.args), each(origin, call.static)) for call in recorder.calls]


class Origin:
    """Where an array of a step came from."""

    def __init__(self, key: tuple):
        self.key = key


def mismatch(recorded: list[tuple], now: list[tuple]) -> str:
    """The first thing in which two recordings of one step differ; nothing if they are the same."""
    for (before, *inputs), (after, *others) in zip(recorded, now):
        if before != after:
            return f"it calls {after.__name__}() where the recording has {before.__name__}()"
        old, new = leaves(inputs), leaves(others)
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
