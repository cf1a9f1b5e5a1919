"""What happened in a step: the watcher that notes it, and the arrays that cannot leave it unseen.

While a step is recorded every operation runs as always, and the recorder notes what ran: forward, backward, the
optimiser's update and the random draws all pass the same point of `minigen.tape`. What the arrays hold may change from
call to call; what Python decided may not. So an array of the step is a `Recorded`: it computes through operations, and
raises where its numbers would leave them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .. import ops
from ..ops.methods import METHODS, call_as_numpy
from ..tape import Tensor
from ..watching import Watcher, watch, watcher


class CompileError(RuntimeError):
    """A step cannot be replayed, or its replay was not what the step does."""


class Recorded(np.ndarray):
    """An array computed by the step that is being recorded. NumPy's functions on it become operations of the step.

    One that outlives the recording, because the program kept it, is an ordinary array again.
    """

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        if not is_recording():
            return getattr(ufunc, method)(*each(plain, inputs), **each(plain, settings))
        return _operation(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}", inputs, settings)

    def __array_function__(self, function, types, inputs, settings):
        if function.__name__ in _OF_SHAPE or not is_recording():
            return function(*each(plain, inputs), **each(plain, settings))
        if function.__name__ == "ravel":
            return inputs[0].ravel()
        return _operation(f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1), inputs, settings)

    def __repr__(self):
        return repr(plain(self))

    def __str__(self):
        return str(plain(self))

    def __format__(self, spec):
        return format(plain(self), spec)


# Functions that look at the shape alone, or show what is there now.
_OF_SHAPE = {"ones_like", "zeros_like", "empty_like", "full_like", "array2string", "array_repr", "array_str"}
_INSTEAD = {  # what the array's own method would do, by operations
    **{name: getattr(Tensor, name) for name in ("__getitem__", "__iter__", "reshape", "transpose")},
    "ravel": lambda self: ops.reshape(self, (-1,)),
    "flatten": lambda self: ops.reshape(self, (-1,)),
    "copy": lambda self: ops.astype(self, self.dtype),
    **{name: getattr(ops, name) for name in METHODS if name != "sort"},  # the array's own sort() is in place
}
_BRANCH = (
    "a branch (if, while, and, or, not) on the value",
    "a replay would take the same way for ever: choose with minigen.ops.where(), or branch outside the step",
)
_NUMBER = "a replay would not take it out again: return the tensor, and take its number outside the step"
_IN_PLACE = (
    "a change in place",
    "a replay would not do it again: make a new array with minigen.ops, such as where() or concatenate()",
)
_REFUSED = {  # what a program did, and what it can do instead
    "__bool__": _BRANCH,
    "__float__": ("float()", _NUMBER),
    "__int__": ("int()", _NUMBER),
    "__complex__": ("complex()", _NUMBER),
    "__index__": ("use as an index or a count", _NUMBER),
    "__contains__": ("`in`", _NUMBER),
    "__setitem__": ("assignment to the elements", _IN_PLACE[1]),
    "__deepcopy__": ("deepcopy()", _NUMBER),
    "__reduce_ex__": ("pickling", _NUMBER),
    **{f"__i{name}__": _IN_PLACE for name in ("add", "sub", "mul", "truediv", "pow", "matmul")},
    **{
        name: (f".{name}() in place", _IN_PLACE[1])
        for name in ("sort", "fill", "partition", "put", "resize", "setfield")
    },
}


def _refused(name):
    what, instead = _REFUSED.get(
        name, (f".{name}()", "no operation does that: use minigen.ops, or do it outside the step")
    )
    if name in ("item", "tolist", "tobytes", "dump", "dumps", "tofile"):
        instead = _NUMBER

    def refuse(self, *args, **settings):
        raise CompileError(f"{what} of an array of the step, shape {self.shape}, in a compiled step; {instead}")

    return refuse


def _while_recording(name, function):
    """`function` in a recording, the array's own method otherwise."""
    own = getattr(np.ndarray, name)
    return lambda self, *args, **settings: (
        function(self, *args, **settings) if is_recording() else own(plain(self), *args, **settings)
    )


for _name, _method in vars(np.ndarray).items():
    public = callable(_method) and not _name.startswith("_") and _name != "view"
    if _name in _INSTEAD or _name in _REFUSED or public:
        setattr(Recorded, _name, _while_recording(_name, _INSTEAD.get(_name) or _refused(_name)))
Recorded.T = property(lambda self: self.transpose())


def is_recording() -> bool:
    return isinstance(watcher.get(), Recorder)


def _operation(spelled, inputs, settings):
    try:
        return call_as_numpy(vars(ops), spelled, inputs, settings)
    except TypeError as error:
        raise CompileError(
            f"{spelled} on an array of the step cannot be recorded ({error}); use minigen.ops, or compute it "
            "outside the step and give it as an argument"
        ) from None


def plain(x):
    """The same memory as an ordinary array; anything else as it is."""
    return np.ndarray.view(x, np.ndarray) if type(x) is Recorded else x


def raw(x):
    """A tensor's array as an ordinary one; anything else as it is."""
    return plain(x.data if type(x) is Tensor else x)


def each(function, tree):
    """The same nest of tuples, lists and dicts with `function` applied to what is in it."""
    if isinstance(tree, (tuple, list)):
        parts = [each(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if type(tree) is dict:
        return {name: each(function, part) for name, part in tree.items()}
    return function(tree)


def leaves(tree) -> list:
    """All that is in a nest of tuples, lists and dicts."""
    found: list = []
    each(found.append, tree)
    return found


def arrays(tree) -> list[np.ndarray]:
    """Every array in a nest."""
    return [x for x in leaves(tree) if isinstance(x, np.ndarray)]


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one looks at."""
    while isinstance(base := array.base, np.ndarray):
        array = base
    return array


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Call:
    """One thing that happened: an operation with its result, or an action, whose `value` is None unless a number."""

    __slots__ = ("args", "arrays", "changes", "function", "static", "value")

    def __init__(self, function, args, static, changes=None):
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
            x = each(plain, x)
            self.arrays += arrays(x)
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

    def __init__(self):
        self.calls: list[Call] = []
        self.made: dict[int, int] = {}
        self.inputs: dict[int, int] = {}  # id of an input's memory -> which argument it is
        self.constants: set[int] = set()
        self.numbers: set[int] = set()  # what an action gave as a Python number
        self.leaves: dict[int, tuple] = {}
        self.attributes: list[tuple] = []
        self.changed: dict[object, object] = {}
        self.undo: list[Callable] = []
        self._kept: dict[int, np.ndarray] = {}  # by id, which is so not used twice

    def input(self, position: int, array: np.ndarray) -> Recorded:
        """A copy of an argument, for the step to be recorded with."""
        copied = np.array(array, order="C")
        self.inputs[id(copied)] = position
        self._kept[id(copied)] = copied
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

    def given(self, args):
        for arg in args:
            is_leaf = type(arg) is Tensor and arg.node is not None and arg.node.op is None
            if is_leaf and id(arg) not in self.leaves and self.call_of(arg.data) is None:
                self.leaves[id(arg)] = (arg, arg.data, arg.node, arg.node.gradient, arg.data.tobytes())

    def run(self, op, raw, static):
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

    def act(self, action, args, changes):
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

    def constant(self, array):
        self.constants.add(id(array))
        self._kept[id(array)] = array
        return array

    def shown(self, array):
        return array.view(Recorded)

    def relies(self, thing, name):
        self.attributes.append((thing, name, getattr(thing, name)))

    def refuse(self, what):
        raise CompileError(f"{what}")

    def check(self, name: str, args, result) -> None:
        """Raise CompileError for what was not noted and would be missing in a replay."""
        changed: dict[int, list] = {}
        for thing in self.changed.values():
            if isinstance(thing, np.ndarray):
                changed.setdefault(id(owner(thing)), []).append(thing)

        def is_changed(array):
            return any(np.may_share_memory(array, other) for other in changed.get(id(owner(array)), ()))

        for position in self.inputs.values():
            if is_changed(raw(args[position])):
                raise CompileError(
                    f"argument {position} of {name}() shares memory with an array that the step changes, such "
                    "as a weight; a replay works on a copy of its arguments: give it a copy"
                )
        for leaf, data, _, _, before in self.leaves.values():
            if data.tobytes() != before and not is_changed(data):
                raise CompileError(
                    f"{name}() changes a parameter of shape {leaf.data.shape} by NumPy, which a replay would "
                    "not do again; change weights through an optimiser, or outside the step"
                )
        for thing, attribute, value in self.attributes:
            if getattr(thing, attribute) is not value:
                raise CompileError(
                    f"{name}() changes `{attribute}` of {thing!r} after using it, so no recording would hold "
                    "in the next call; call train() and eval() outside the step"
                )
        for thing in leaves(result):
            if not isinstance(thing, (Tensor, np.ndarray, np.generic, bool, int, float, str, type(None))):
                raise CompileError(
                    f"{name}() returns a {type(thing).__name__}; return arrays, tensors and numbers, alone or "
                    "in tuples, named tuples, lists and dicts"
                )

    def forget(self) -> None:
        """Make everything what it was before the recording."""
        for put_back in self.undo:
            put_back()
        for _, _, node, gradient, _ in self.leaves.values():
            node.gradient = gradient


def putting_back(thing) -> Callable[[], None]:
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


def state_of(thing):
    """What a changed thing is now, in a form that can be compared: a nest of arrays, numbers and words."""
    if isinstance(thing, np.ndarray):
        return thing.copy()
    if isinstance(thing, np.random.Generator):
        return repr(thing.bit_generator.state)
    held = {name: value for name, value in vars(thing).items() if isinstance(value, (int, float, np.ndarray))}
    return each(lambda value: value.copy() if isinstance(value, np.ndarray) else value, held)
