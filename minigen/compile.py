"""A training step without Python in the way: record one call as a flat list of kernel calls, then replay the list.

While a step is recorded every operation runs as always, and its watcher notes what ran: forward, backward, the
optimiser's update and the random draws all pass the same point of `minigen.tape`. From the notes comes a plan: arrays
allocated beforehand, shared where one is no longer needed when another begins, and calls `function(*arguments)` that
write into them. Replaying is a loop over these calls.

What the arrays hold may change from call to call; what Python decided may not. So an array of the step is a `Recorded`
while it is recorded: it computes through operations, and raises where its numbers would leave them.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np

from . import ops, tape
from .kernels import copy_result
from .ops.methods import METHODS, _through
from .tape import Tensor, Watcher, add_to, clear, watch

ROUNDING = 1e-4  # a replay may differ by this much of the largest value before it is called wrong
MOST_PLANS = 16  # recordings of one step; more means that something changes in every call


class CompileError(RuntimeError):
    """A step cannot be replayed, or its replay was not what the step does."""


# What the arrays are while a step is recorded.


class Recorded(np.ndarray):
    """An array computed by the step that is being recorded. NumPy's functions on it become operations of the step.

    One that outlives the recording, because the program kept it, is an ordinary array again.
    """

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        if not _is_recording():
            return getattr(ufunc, method)(*_each(_plain, inputs), **_each(_plain, settings))
        return _operation(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}", inputs, settings)

    def __array_function__(self, function, types, inputs, settings):
        if function.__name__ in _OF_SHAPE or not _is_recording():
            return function(*_each(_plain, inputs), **_each(_plain, settings))
        return _operation(f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1), inputs, settings)

    def __getitem__(self, index):
        return ops.getitem(self, index)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape):
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        return ops.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def copy(self):
        return ops.astype(self, self.dtype)

    T = property(lambda self: ops.transpose(self))


# Functions that look at the shape alone, or show what is there now.
_OF_SHAPE = {"ones_like", "zeros_like", "empty_like", "full_like", "array2string", "array_repr", "array_str"}
_LEAVES_THE_STEP = {
    "__bool__": "a branch (if, while, and, or, not) on the value",
    "__float__": "float()",
    "__int__": "int()",
    "__complex__": "complex()",
    "__index__": "use as an index or a count",
    "__contains__": "`in`",
    "__setitem__": "assignment to the elements",
    "__deepcopy__": "deepcopy()",
    "__reduce_ex__": "pickling",
    **{f"__i{name}__": "a change in place" for name in ("add", "sub", "mul", "truediv", "pow", "matmul")},
}


def _refusing(name):
    def refuse(self, *args, **settings):
        if not _is_recording():
            return getattr(np.ndarray, name)(_plain(self), *args, **settings)
        raise CompileError(
            f"compile: {_LEAVES_THE_STEP.get(name, f'.{name}()')} of an array of shape {self.shape} takes numbers out "
            "of the step, or changes them in place, which a replay would not do again; return the tensor and look at "
            "it outside the step, choose with minigen.ops.where(), compute with minigen.ops"
        )

    return refuse


for _name, _method in vars(np.ndarray).items():
    if _name in _LEAVES_THE_STEP or not (_name.startswith("_") or _name in vars(Recorded) or not callable(_method)):
        operation = _name in METHODS and _name != "sort"  # the array's own sort() is in place
        setattr(Recorded, _name, getattr(ops, _name) if operation else _refusing(_name))


def _is_recording() -> bool:
    return isinstance(tape._watcher, _Recorder)


def _operation(spelled, inputs, settings):
    try:
        return _through(vars(ops), spelled, inputs, settings)
    except TypeError as error:
        raise CompileError(
            f"compile: {spelled} on an array of the step cannot be recorded ({error}); use minigen.ops, or compute it "
            "outside the step and give it as an argument"
        ) from None


def _plain(x):
    """The same memory as an ordinary array; anything else as it is."""
    return np.ndarray.view(x, np.ndarray) if type(x) is Recorded else x


def _each(function, tree):
    """The same nest of tuples, lists and dicts with `function` applied to what is in it."""
    if type(tree) in (tuple, list):
        return type(tree)(_each(function, part) for part in tree)
    if type(tree) is dict:
        return {name: _each(function, part) for name, part in tree.items()}
    return function(tree)


def _arrays(tree, found):
    """Append every array in a nest to `found`."""
    _each(lambda x: found.append(x) if isinstance(x, np.ndarray) else None, tree)
    return found


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one looks at."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# Recording.


class _Call:
    """One thing that happened: an operation with its result, or an action, whose `value` is None."""

    __slots__ = ("args", "function", "is_operation", "needs", "static", "target", "value")

    def __init__(self, function, args, static, value, is_operation=True):
        self.function, self.args, self.static, self.value = function, args, static, value
        self.is_operation = is_operation
        self.target = None  # the array outside the step into which the result goes, if not into one of its own
        self.needs: list[int] = []  # the calls whose results it reads


class _Recorder(Watcher):
    """Notes what a step does, in order."""

    def __init__(self):
        self.calls: list[_Call] = []
        self.made: dict[int, int | None] = {}  # id of the owner of memory made by the step -> the call, None an input
        self.owners: list[np.ndarray] = []  # holds them, so that no id is used twice
        self.constants: set[int] = set()
        self.leaves: dict[int, tuple] = {}
        self.attributes: list[tuple] = []
        self.changed: dict[int, object] = {}
        self.undo: list[Callable] = []

    def own(self, array: np.ndarray, call: int | None) -> None:
        owner = _owner(array)
        self.made[id(owner)] = call
        self.owners.append(owner)

    def given(self, args):
        for arg in args:
            is_leaf = type(arg) is Tensor and arg.node is not None and arg.node.op is None
            if is_leaf and id(arg) not in self.leaves and id(_owner(arg.data)) not in self.made:
                self.leaves[id(arg)] = (arg, arg.data, arg.node, arg.node.gradient)

    def run(self, op, raw, static):
        raw, static = [_each(_plain, arg) for arg in raw], _each(_plain, static)
        for thing in raw:
            if isinstance(thing, np.random.Generator):
                self.change(thing)
        value = np.asarray(op.forward(*raw, **static))
        arrays, owner = _arrays((raw, static), []), _owner(value)
        if not any(owner is _owner(array) for array in arrays):
            if arrays and all(id(_owner(array)) in self.constants for array in arrays):
                self.constants.add(id(owner))
                self.owners.append(owner)
            else:
                self.own(value, len(self.calls))
                self.calls.append(_Call(op, raw, static, value))
        return value.view(Recorded)

    def act(self, action, args, changes):
        for thing in changes:
            self.change(thing)
        args = [_each(_plain, arg) for arg in args]
        value = action(*args)
        call = _Call(action, args, {}, None, is_operation=False)
        self.calls.append(call)
        if isinstance(value, float):  # such as the norm of a gradient: what it was is not what it will be
            call.value = np.array(value)
            self.own(call.value, len(self.calls) - 1)
            return call.value.view(Recorded)
        return value

    def change(self, thing):
        if id(thing) not in self.changed:
            self.changed[id(thing)] = thing
            self.undo.append(_putting_back(thing))

    def constant(self, array):
        self.constants.add(id(array))
        self.owners.append(array)
        return array

    def relies(self, thing, name):
        self.attributes.append((thing, name, getattr(thing, name)))

    def refuse(self, what):
        raise CompileError(f"compile: {what}")


def _putting_back(thing) -> Callable[[], None]:
    """A function that makes an array, a generator or an object what it is now."""
    if isinstance(thing, np.ndarray):
        return partial(np.copyto, thing, thing.copy())
    if isinstance(thing, np.random.Generator):
        return partial(setattr, thing.bit_generator, "state", thing.bit_generator.state)
    return partial(vars(thing).update, dict(vars(thing)))


# From the notes to a list of calls.


class _Plan:
    """One recording, ready to be replayed: input buffers, calls over arrays allocated beforehand, results."""

    def __init__(self, recorder: _Recorder, inputs: list, result):
        self.inputs, self.calls = inputs, []
        self.leaves, self.attributes = list(recorder.leaves.values()), recorder.attributes
        self.changed = list(recorder.changed.values())
        self.count = 1
        self._notes = recorder, result

    def stands(self) -> bool:
        """Whether parameters still live where they were, and the modes of layers are what they were."""
        for leaf, data, node, gradient in self.leaves:
            if leaf.data is not data or leaf.node is not node or node.gradient is not gradient:
                return False
        return all(getattr(thing, name) is value for thing, name, value in self.attributes)

    def run(self, args):
        """Replay: copy the inputs, make the calls, give copies of the results."""
        if self._notes is not None:
            self._build()
        for i, buffer in self.inputs:
            np.copyto(buffer, args[i].data if type(args[i]) is Tensor else args[i])
        for function, arguments in self.calls:
            function(*arguments)
        return _each(_own, self.result)

    def _build(self) -> None:
        recorder, result = self._notes
        self._notes = None
        calls, made = recorder.calls, recorder.made
        kept = [made[id(_owner(a))] for a in _arrays(_each(_raw, result), []) if id(_owner(a)) in made]
        uses = [0] * len(calls)
        for call in calls:
            owners = (id(_owner(a)) for a in _arrays((call.args, call.static), []))
            call.needs = [made[owner] for owner in owners if owner in made]
            for i in call.needs:
                uses[i] += 1
        for i in kept:
            uses[i] += 1
        dropped = _write_directly(calls, made, uses)
        live = _live(calls, kept, dropped)
        block_of, sizes = _share_memory(calls, live, kept)
        blocks = [_aligned(size) for size in sizes]
        self.bytes = sum(sizes)

        def placed(array):
            if not isinstance(array, np.ndarray):
                return array
            owner = _owner(array)
            i = made.get(id(owner))
            if i is None:
                return _plain(array)
            offset = _address(array) - _address(owner)
            return np.ndarray(array.shape, array.dtype, blocks[block_of[i]], offset, array.strides)

        self.calls, self.names = [], []
        for i in live:
            call = calls[i]
            out = call.target if call.target is not None else placed(call.value)
            lowered = _lower(call, out, _each(placed, call.args), _each(placed, call.static))
            self.calls += lowered
            self.names += [call.function.__name__] * len(lowered)
        self.result = _each(lambda x: Tensor(placed(x.data)) if type(x) is Tensor else placed(x), result)
        self.outside = _outside(recorder, self.inputs)


def _raw(x):
    return x.data if type(x) is Tensor else x


def _own(x):
    """A copy that belongs to the caller, off the tape; what is no array as it is."""
    if type(x) is Tensor:
        return Tensor(np.array(x.data))
    return np.array(x) if isinstance(x, np.ndarray) else x


def _write_directly(calls, made, uses) -> set[int]:
    """Let a gradient be computed where it is to be added, when zeros are there; gives the calls that fall away.

    After `clear(total)` the first `add_to` of each part of `total` adds to zero. If what it adds was computed for that
    alone, its call can write there; and if that happens for all of `total`, there was no need to clear it.
    """
    dropped, cleared, first, seen, covered = set(), None, 0, set(), 0
    for i, call in enumerate(calls):
        if call.function is clear:
            (cleared,), first, seen, covered = call.args, i, set(), 0
            continue
        if cleared is None:
            continue
        if call.function is add_to and np.may_share_memory(call.args[0], cleared):
            total, part = call.args
            maker = made.get(id(_owner(part)))
            if _address(total) not in seen and maker is not None and maker > first and uses[maker] == 1:
                if _fits(calls[maker], part, total):
                    calls[maker].target = total
                    dropped.add(i)
                    covered += total.size
                if covered == cleared.size:
                    dropped.add(first)
            seen.add(_address(total))
        elif not call.is_operation or any(
            id(_owner(a)) not in made and np.may_share_memory(a, cleared) for a in _arrays((call.args, call.static), [])
        ):
            cleared = None
    return dropped


def _fits(maker, part, total) -> bool:
    """Whether an operation can write its result to `total` instead of to memory of its own."""
    value = maker.value
    whole = value.nbytes == _owner(value).nbytes and _address(value) == _address(part)
    alike = value.shape == part.shape == total.shape and value.dtype == total.dtype
    return maker.is_operation and whole and alike and value.flags.c_contiguous and total.flags.c_contiguous


def _live(calls, kept, dropped) -> list[int]:
    """The calls that a result, a change in place or the state of a generator depends on."""
    wanted, live = set(kept), []
    for i in reversed(range(len(calls))):
        call = calls[i]
        does = call.target is not None or not call.is_operation
        if i not in dropped and (does or i in wanted or any(isinstance(a, np.random.Generator) for a in call.args)):
            live.append(i)
            wanted.update(call.needs)
    return live[::-1]


def _share_memory(calls, live, kept) -> tuple[dict[int, int], list[int]]:
    """A block of memory for each result, used again after the last call that reads it; and the blocks' sizes."""
    last = {need: i for i in live for need in calls[i].needs}
    ending: dict[int, list[int]] = {}
    for made, i in last.items():
        if made not in kept:
            ending.setdefault(i, []).append(made)
    block_of, sizes, free = {}, [], []
    for i in live:
        call = calls[i]
        if call.value is not None and call.target is None:
            size = _owner(call.value).nbytes
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
    start = -_address(memory) % 64
    return memory[start : start + size]


def _lower(call, out, args, static) -> list[tuple]:
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


def _outside(recorder, inputs) -> list[str]:
    """The arrays that are no parameters and came neither from the step nor from its arguments: taken for constants."""
    known = [*(buffer for _, buffer in inputs), *(data for _, data, _, _ in recorder.leaves.values())]
    known += [thing for thing in recorder.changed.values() if isinstance(thing, np.ndarray)]
    found = []
    for call in recorder.calls:
        for a in _arrays((call.args, call.static), []):
            if id(_owner(a)) in recorder.made or id(_owner(a)) in recorder.constants:
                continue
            if not any(np.may_share_memory(a, other) for other in known):
                found.append(f"{a.dtype} {a.shape} used by {call.function.__name__}()")
    return list(dict.fromkeys(found))


# What the user holds.


class CompiledStep:
    """A step that is recorded in its first call and replayed afterwards. Made by `compile`."""

    def __init__(self, step: Callable, check: bool, strict: bool):
        self.step, self.check, self.strict = step, check, strict
        self.name = getattr(step, "__name__", type(step).__name__)
        self._plans: dict[tuple, _Plan] = {}
        self._eager = False
        self.__doc__ = step.__doc__

    def __call__(self, *args):
        if self._eager or tape._watcher is not None or os.environ.get("MINIGEN_COMPILE") == "0":
            if _is_recording():
                raise CompileError(
                    f"compile: {self.name}() is compiled and was called inside another compiled step; compile only the "
                    "outer one"
                )
            return _each(_own, self.step(*args))
        key = self._key(args)
        try:
            plan = self._plans.get(key)
        except TypeError as error:
            raise TypeError(
                f"{self.name}() is compiled and takes arrays, tensors, and constants that can be told apart; {error}: "
                "give each array as an argument of its own"
            ) from None
        if plan is None or not plan.stands():
            return self._record(key, args)
        plan.count += 1
        if self.check or not plan.count & (plan.count - 1):
            return self._compare(plan, args)
        return plan.run(args)

    def _key(self, args):
        key = [tape._recording]
        for arg in args:
            if type(arg) is np.ndarray:
                key += (arg.shape, arg.dtype)
            elif type(arg) is Tensor and arg.node is None:
                key += (Tensor, arg.data.shape, arg.data.dtype)
            else:
                key.append(arg)
        return tuple(key)

    def _record(self, key, args):
        recorder, inputs, given = _Recorder(), [], []
        for i, arg in enumerate(args):
            tensor = type(arg) is Tensor and arg.node is None
            if tensor or type(arg) is np.ndarray:
                buffer = np.array(_raw(arg), order="C")
                inputs.append((i, buffer))
                arg = Tensor(buffer.view(Recorded)) if tensor else buffer.view(Recorded)
            given.append(arg)
        try:
            if key not in self._plans and len(self._plans) == MOST_PLANS:
                raise CompileError(
                    f"compile: {self.name}() was recorded {MOST_PLANS} times, each for other shapes or constants; "
                    "give a number that changes as an array of shape (), and batches of one size"
                )
            with watch(recorder):
                result = self.step(*given)
            for i, _ in inputs:
                for thing in recorder.changed.values():
                    if isinstance(thing, np.ndarray) and np.may_share_memory(_raw(args[i]), thing):
                        raise CompileError(
                            f"compile: argument {i} of {self.name}() shares memory with an array that the step "
                            "changes, such as a weight; a replay works on a copy of its arguments: give it a copy"
                        )
        except BaseException as error:
            for undo in recorder.undo:
                undo()
            if self.strict or not isinstance(error, Exception):
                raise
            return self._give_up(error, args)
        result = _each(lambda x: Tensor(x.data) if type(x) is Tensor else x, result)
        self._plans[key] = _Plan(recorder, inputs, result)
        return _each(_own, result)

    def _compare(self, plan, args):
        """Do the step both ways from the same state; the result and the state that stay are those of the step itself.

        In every call with `check`, bit for bit; otherwise in the 2nd, 4th, 8th, ... call, to rounding.
        """
        before = [_putting_back(thing) for thing in plan.changed]
        replayed = _arrays(_each(_raw, plan.run(args)), []) + [_state(thing) for thing in plan.changed]
        for put_back in before:
            put_back()
        result = _each(_own, self.step(*args))
        expected = _arrays(_each(_raw, result), []) + [_state(thing) for thing in plan.changed]
        wrong = [_difference(a, b, exact=self.check) for a, b in zip(replayed, expected)]
        if not any(wrong) and len(replayed) == len(expected):
            return result
        outside = "; ".join(plan.outside[:5]) or "none"
        error = CompileError(
            f"compile: in call {plan.count} the replay of {self.name}() differs from the step itself: "
            f"{next(filter(None, wrong), 'it returns something else')}. Something in it is computed outside "
            "minigen's operations or depends on Python numbers that change: noise drawn by rng.normal instead of "
            "minigen.ops.normal(rng, ...), a copy made by NumPy, a counter. Use operations, or give it as an argument. "
            f"Arrays that were taken for constants: {outside}"
        )
        if self.strict or plan.count > 2:
            raise error
        return self._give_up(error, args, result)

    def _give_up(self, error, args, result=None):
        """Go on without compiling, after saying why."""
        self._eager = True
        if result is None:
            result = _each(_own, self.step(*args))  # if the step is at fault, this raises what is wrong with it
        warnings.warn(f"{self.name}() runs without being compiled: {error}", stacklevel=4)
        return result

    def program(self, rounds: int = 20) -> str:
        """The recording replayed last as a table: each call with its arguments' shapes, bytes written to its result or
        read from its arguments, and microseconds, the least of `rounds`. What the calls change is put back.

        Raises ValueError before the second call, when there is nothing to replay yet.
        """
        plans = [plan for plan in self._plans.values() if plan.calls]
        if not plans:
            raise ValueError(f"{self.name}() has no program yet: it is recorded in its first call, built in its second")
        plan = plans[-1]
        before = [_putting_back(thing) for thing in plan.changed]
        times = np.empty((rounds, len(plan.calls)))
        for row in times:
            for i, (function, args) in enumerate(plan.calls):
                start = time.perf_counter()
                function(*args)
                row[i] = time.perf_counter() - start
        for put_back in before:
            put_back()
        least = times.min(axis=0) * 1e6
        lines = [f"{'operation':24}{'kernel':24}{'bytes':>12}{'µs':>9}  arguments"]
        for name, (function, args), microseconds in zip(plan.names, plan.calls, least):
            arrays = _arrays(args, [])
            shapes = " ".join("x".join(map(str, a.shape)) or "1" for a in arrays)
            size = sum(a.nbytes for a in arrays)
            kernel = getattr(getattr(function, "func", function), "__name__", "?")
            lines.append(f"{name:24}{kernel:24}{size:12,}{microseconds:9.2f}  {shapes}")
        lines.append(f"{len(plan.calls)} calls, {least.sum():.1f} µs; {plan.bytes:,} bytes of intermediate results")
        return "\n".join(lines)

    def __repr__(self):
        return f"<{self.name}(), compiled: {len(self._plans)} recordings>"


def _state(thing):
    """What a changed thing is now, in a form that can be compared."""
    if isinstance(thing, np.ndarray):
        return thing.copy()
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    return {name: value for name, value in vars(thing).items() if isinstance(value, (int, float))}


def _difference(a, b, exact: bool) -> str:
    """How two states differ; nothing if they do not."""
    if not isinstance(a, np.ndarray):
        return "" if repr(a) == repr(b) else "a generator or an optimiser is in another state"
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return ""
    with np.errstate(all="ignore"):
        apart, size = np.abs(np.subtract(a, b, dtype=np.float64)), np.abs(b)
    scale = float(np.max(size[np.isfinite(size)], initial=0.0))
    largest = float(np.max(np.where(np.isnan(a) & np.isnan(b), 0.0, apart), initial=0.0))
    if not exact and largest <= ROUNDING * scale:
        return ""
    return f"by {largest:.3g} in an array of shape {a.shape} whose largest value is {scale:.3g}"


def compile(step: Callable, *, check: bool = False, strict: bool = True) -> CompiledStep:
    """`step`, recorded in its first call and replayed afterwards: the same results without Python's part of the work.

    Parameters
    ----------
    step : takes arrays, constant tensors, and constants; computes with `minigen.ops`, tensors, modules, optimisers'
        `zero_grad()` and `step()`, `backward()` and `grad()`; returns arrays or tensors, or tuples, lists or dicts of
        them. What it returns belongs to the caller and is off the tape.
    check : in every call do the step both ways and raise CompileError unless results, weights, moments and random
        generators are equal bit for bit. Without it they are compared to rounding in calls 2, 4, 8, ...
    strict : raise where the step cannot be recorded or its first replay is wrong; otherwise warn and run it as it is.

    Arrays are told apart by shape and dtype, anything else by its value: a new kind records anew. Parameters, optimiser
    state, learning-rate schedules and random generators are live; Python numbers and branches are what they were in the
    recording. Lines of the step that are not operations (a print, a counter) run in the recording alone.

    With the environment variable `MINIGEN_COMPILE=0` every step runs as it is, and so it does under `check.debug()`.

    Raises CompileError, with the state as it was before the call, for what a replay would not do again: `.item()`,
    `float()`, a branch on a value, a change in place, a compiled step inside another.
    """
    if not callable(step):
        raise TypeError(f"compile() got a {type(step).__name__}; expected a function that does one step")
    return CompiledStep(step, check, strict)
