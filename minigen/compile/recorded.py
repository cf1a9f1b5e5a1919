"""The array of a step that is being recorded: it computes through operations, and its numbers cannot leave unseen.

What the arrays of a step hold may change from call to call; what Python decided may not. So while a step is recorded
each of them is a `Recorded`. NumPy's functions on it become operations, which the recorder notes, and what would take a
number out of the step, or change an array in place, raises and says what to write instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.numpy_names import METHODS, call_as_numpy
from ..tape import Tensor
from ..watching import watcher
from .trees import tree_map


class CompileError(RuntimeError):
    """A step cannot be replayed, or its replay was not what the step does."""


class Recorded(np.ndarray):
    """An array computed by the step that is being recorded. NumPy's functions on it become operations of the step.

    One that outlives the recording, because the program kept it, is an ordinary array again.
    """

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        if not is_recording():
            return getattr(ufunc, method)(*tree_map(plain, inputs), **tree_map(plain, settings))
        return _operation(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}", inputs, settings)

    def __array_function__(self, function, types, inputs, settings):
        if function.__name__ in _OF_SHAPE or not is_recording():
            return function(*tree_map(plain, inputs), **tree_map(plain, settings))
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
    **{name: getattr(Tensor, name) for name in ("__getitem__", "__iter__", *METHODS)},
    "copy": lambda self: ops.astype(self, self.dtype),
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
    usual = getattr(np.ndarray, name)
    return lambda self, *args, **settings: (
        function(self, *args, **settings) if is_recording() else usual(plain(self), *args, **settings)
    )


for _name, _method in vars(np.ndarray).items():
    public = callable(_method) and not _name.startswith("_") and _name != "view"
    if _name in _INSTEAD or _name in _REFUSED or public:
        setattr(Recorded, _name, _while_recording(_name, _INSTEAD.get(_name) or _refused(_name)))
Recorded.T = property(lambda self: self.transpose())


def is_recording() -> bool:
    """Whether this thread is recording a step."""
    by = watcher.get()
    return by is not None and by.records


def _operation(spelled, inputs, settings):
    try:
        return call_as_numpy(ops, spelled, inputs, settings)
    except TypeError as error:
        raise CompileError(
            f"{spelled} on an array of the step cannot be recorded ({error}); use minigen.ops, or compute it "
            "outside the step and give it as an argument"
        ) from None


def plain(x: Any) -> Any:
    """The same memory as an ordinary array; anything else as it is."""
    return np.ndarray.view(x, np.ndarray) if type(x) is Recorded else x


def raw_array(x: Any) -> Any:
    """A tensor's array as an ordinary one; anything else as it is."""
    return plain(x.data if type(x) is Tensor else x)
