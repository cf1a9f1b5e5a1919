"""What happened in a step: the watcher that notes it, call by call.

While a step is recorded every operation runs as always, and the recorder notes what ran: forward, backward, the
optimiser's update and the random draws all pass the same point of `minigen.tape`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tape import Tensor
from ..watching import Watcher, watch
from .memory import address, empty_as, owner
from .recorded import CompileError, Recorded, plain, raw_array
from .state import putting_back
from .trees import tree_arrays, tree_leaves, tree_map


class Call:
    """One thing that happened: an operation with its result, or an action, whose `value` is None unless a number."""

    __slots__ = ("args", "arrays", "changes", "function", "static", "value")

    def __init__(self, function: Callable, args: Sequence, static: dict, changes: list | None = None):
        self.function, self.value, self.changes = function, None, changes
        self.arrays: list[np.ndarray] = []  # all that it was given
        self.args = [self._taken(arg) for arg in args]
        self.static = {name: self._taken(arg) for name, arg in static.items()} if static else static

    def _taken(self, x):
        """The argument x with ordinary arrays in it, which are noted."""
        kind = type(x)
        if kind is Recorded:
            x = np.ndarray.view(x, np.ndarray)
        elif kind in (tuple, list, dict):
            x = tree_map(plain, x)
            self.arrays += tree_arrays(x)
            return x
        if isinstance(x, np.ndarray):
            self.arrays.append(x)
        return x

    @property
    def is_operation(self) -> bool:
        """Whether it computes a new array and changes nothing."""
        return self.changes is None


class Recorder(Watcher):
    """Notes what a step does, in order.

    `calls` is the list. Memory made by the step is known by the array that owns it: `made` leads from its id to the
    call. `changed` holds what the step changes, `undo` puts that back; `leaves` and `attributes` are what the recording
    takes for granted.
    """

    records = True

    def __init__(self):
        self.calls: list[Call] = []
        self.made: dict[int, int] = {}
        self.inputs: dict[int, int] = {}  # id of an input's memory -> which argument it is
        self.constants: set[int] = set()
        self.numbers: set[int] = set()  # what an action gave as a Python number
        self.leaves: dict[int, tuple] = {}
        self.attributes: dict[tuple, tuple] = {}  # of an object's id and a name: the object, the name, the value
        self.changed: dict[object, object] = {}
        self.undo: list[Callable] = []
        self._kept: dict[int, np.ndarray] = {}  # by id, which is so not used twice

    def input(self, position: int, array: np.ndarray) -> Recorded:
        """A copy of an argument, laid out as it is, for the step to be recorded with."""
        copied = empty_as(array)
        np.copyto(copied, array)
        memory = id(owner(copied))
        self.inputs[memory] = position
        self._kept[memory] = copied
        return copied.view(Recorded)

    def kept(self, memory: int) -> np.ndarray:
        """The array of this id."""
        return self._kept[memory]

    def is_number(self, array: np.ndarray) -> bool:
        """Whether this is what an action gave as a Python number."""
        return id(owner(array)) in self.numbers

    def call_of(self, array: np.ndarray) -> int | None:
        """The call that made the memory of an array; None if it was not made by the step."""
        return self.made.get(id(owner(array)))

    def given(self, args: Sequence) -> None:
        for arg in args:
            is_leaf = type(arg) is Tensor and arg.node is not None and arg.node.op is None
            if is_leaf and id(arg) not in self.leaves and self.call_of(arg.data) is None:
                self.leaves[id(arg)] = (arg, arg.data, arg.node, arg.node.gradient, arg.data.tobytes())

    def run(self, op: Callable, raw: Sequence, static: dict) -> Recorded:
        call = Call(op, raw, static)
        for thing in (*call.args, *static.values()):
            if type(thing) is np.random.Generator:
                self._change(thing)
        call.value = value = np.asarray(op.forward(*call.args, **call.static))
        memory = owner(value)
        owners = {id(owner(array)) for array in call.arrays}
        if id(memory) not in owners:
            self._kept[id(memory)] = memory
            if owners and owners <= self.constants:
                self.constants.add(id(memory))
            else:
                self.made[id(memory)] = len(self.calls)
                self.calls.append(call)
        return value.view(Recorded)

    def act(self, action: Callable, args: Sequence, changes: Sequence) -> Any:
        for thing in changes:
            self._change(thing)
        changes = [plain(thing) for thing in changes]
        call = Call(action, args, {}, changes)
        with watch(None):  # what an action does inside is its own affair
            value = action(*call.args)
        if isinstance(value, float):  # such as the norm of a gradient: what it was is not what it will be
            call.value = np.array(value)
            self.made[id(call.value)] = len(self.calls)
            self.numbers.add(id(call.value))
            value = call.value.view(Recorded)
        self.calls.append(call)
        return value

    def _change(self, thing):
        key = (address(thing), thing.nbytes) if type(thing) is Recorded else id(thing)  # a view that was just made
        if key not in self.changed:
            self.changed[key] = thing = plain(thing)
            self.undo.append(putting_back(thing))

    def constant(self, array: np.ndarray) -> Recorded:
        self.constants.add(id(array))
        self._kept[id(array)] = array
        return array.view(Recorded)  # so that what is computed from it is known to be constant too

    def shown(self, array: np.ndarray) -> Recorded:
        return array.view(Recorded)

    def relies(self, thing: object, name: str) -> None:
        if (id(thing), name) not in self.attributes:
            self.attributes[id(thing), name] = thing, name, getattr(thing, name)

    def refuse(self, what: str) -> None:
        raise CompileError(f"{what}")

    def check(self, name: str, arguments: dict[str, object], result: Any) -> None:
        """Raise CompileError for what was not noted and would be missing in a replay."""
        self._check_changes(name, arguments)
        for thing, attribute, value in self.attributes.values():
            if getattr(thing, attribute) is not value:
                raise CompileError(
                    f"{name}() changes `{attribute}` of {thing!r} after using it, so no recording would hold "
                    "in the next call; call train() and eval(), and put networks together, outside the step"
                )
        for thing in tree_leaves(result):
            if not isinstance(thing, (Tensor, np.ndarray, np.generic, bool, int, float, str, type(None))):
                raise CompileError(
                    f"{name}() returns a {type(thing).__name__}; return arrays, tensors and numbers, alone or "
                    "in tuples, named tuples, lists and dicts"
                )

    def _check_changes(self, name: str, arguments: dict[str, object]) -> None:
        """What the step changes must not be an argument, and must have been told."""
        changed: dict[int, list] = {}
        for thing in self.changed.values():
            if isinstance(thing, np.ndarray):
                changed.setdefault(id(owner(thing)), []).append(thing)

        def is_changed(array):
            return any(np.may_share_memory(array, other) for other in changed.get(id(owner(array)), ()))

        given = list(arguments.items())
        for position in self.inputs.values():
            label, array = given[position]
            if is_changed(raw_array(array)):
                raise CompileError(
                    f"argument {label} of {name}() shares memory with an array that the step changes, such "
                    "as a weight; a replay works on a copy of its arguments: give it a copy"
                )
        for leaf, data, _, _, before in self.leaves.values():
            if data.tobytes() != before and not is_changed(data):
                raise CompileError(
                    f"{name}() changes a parameter of shape {leaf.data.shape} by NumPy, which a replay would "
                    "not do again; change weights through an optimiser, or outside the step"
                )

    def forget(self) -> None:
        """Make everything what it was before the recording."""
        for put_back in self.undo:
            put_back()
        for _, _, node, gradient, _ in self.leaves.values():
            node.gradient = gradient
