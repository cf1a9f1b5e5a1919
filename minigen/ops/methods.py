"""What a tensor can do: operators, methods, and NumPy's functions applied to it. `install` gives them to `Tensor`."""

import numpy as np

from ..tape import Tensor

METHODS = [
    "abs",
    "argsort",
    "astype",
    "clip",
    "cos",
    "cumsum",
    "diagonal",
    "dot",
    "exp",
    "expand_dims",
    "flip",
    "log",
    "log1p",
    "logsumexp",
    "log_softmax",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "relu",
    "sigmoid",
    "sin",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take_along_axis",
    "tanh",
    "trace",
    "var",
]

BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
    "matmul": "matmul",
}
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
NUMPY_NAMES = {"absolute": "abs", "true_divide": "divide", "amax": "max", "amin": "min"}


def install(ops: dict) -> None:
    """Give `Tensor` its operators and methods from a table of operations by name."""
    for symbol, name in BINARY.items():
        op = ops[name]
        setattr(Tensor, f"__{symbol}__", lambda self, other, op=op: op(self, _listed(other)))
        setattr(Tensor, f"__r{symbol}__", lambda self, other, op=op: op(_listed(other), self))
        setattr(Tensor, f"__i{symbol}__", _refuse_in_place(op, name))
    for symbol, name in COMPARISONS.items():
        op = ops[name]
        setattr(Tensor, f"__{symbol}__", lambda self, other, op=op: op(self, other))
    for name in METHODS:
        setattr(Tensor, name, ops[name])

    def reshape(self, *shape):
        return ops["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        return ops["transpose"](self, (axes[0] if len(axes) == 1 else axes) or None)

    def getitem(self, index):
        return ops["getitem"](self, _raw_index(index))

    def array_ufunc(self, ufunc, method, *inputs, **settings):
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return call_as_numpy(ops, f"np.{name}", inputs, settings)

    def array_function(self, function, types, inputs, settings):
        return call_as_numpy(
            ops, f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1), inputs, settings
        )

    Tensor.reshape, Tensor.transpose, Tensor.__getitem__ = reshape, transpose, getitem
    Tensor.__array_ufunc__, Tensor.__array_function__ = array_ufunc, array_function
    Tensor.__neg__, Tensor.__abs__ = (lambda self: ops["negative"](self)), (lambda self: ops["abs"](self))
    Tensor.__pos__ = lambda self: self
    Tensor.T = property(lambda self: ops["transpose"](self), doc="The axes in reverse order.")
    for function in (
        item,
        numpy,
        __array__,
        __setitem__,
        __len__,
        __iter__,
        __bool__,
        __float__,
        __int__,
        __format__,
        __repr__,
    ):
        setattr(Tensor, function.__name__, function)
    Tensor.__hash__ = object.__hash__
    for name in ("shape", "dtype", "ndim", "size"):
        setattr(Tensor, name, property(lambda self, name=name: getattr(self.data, name), doc=f"`{name}` of the array."))


def _listed(other):
    # A tuple could be a shape or an axis; as an operand it is data, as a list is.
    return list(other) if type(other) is tuple else other


def _raw_index(index):
    if type(index) is tuple:
        return tuple(_raw_index(part) for part in index)
    return index.data if type(index) is Tensor else index


def _refuse_in_place(op, name):
    def in_place(self, other):
        if self.node is not None:
            raise TypeError(
                f"in-place {name} on a tensor of shape {self.data.shape} that is on the tape would change values its "
                "gradient needs; write y = y + ... for a new tensor, or change a leaf's numbers through w.data outside "
                "the computation"
            )
        return op(self, other)

    return in_place


# NumPy's settings that no operation has. As positional arguments, dtype and out come third in its reductions.
_ABSENT = {"out", "where", "dtype", "casting", "order", "subok", "signature", "initial"}
_REDUCTIONS = {"sum", "mean", "max", "min", "amax", "amin", "prod", "std", "var", "cumsum"}


def call_as_numpy(ops, spelled, inputs, settings):
    """What NumPy's function `spelled`, such as "np.add" or "np.linalg.norm", is among the operations `ops`, called.

    Raises TypeError for a function, or a setting of one, that no operation has.
    """
    name = spelled.rpartition(".")[2] if spelled.count(".") == 1 or spelled == "np.linalg.norm" else spelled
    if name in ("shape", "ndim", "size"):
        return getattr(inputs[0], name)
    if name == "reciprocal":  # what NumPy makes of x**-1
        return ops["divide"](1.0, *inputs, **settings)
    op = ops.get(NUMPY_NAMES.get(name, name))
    absent = [f"{setting}=" for setting in sorted(_ABSENT & settings.keys())]
    if spelled == "np.linalg.norm" and (len(inputs) > 1 or settings.pop("ord", None) is not None):
        absent.append("ord")
    if name == "where" and len(inputs) == 1:
        absent.append("a condition alone")
    if name in _REDUCTIONS and len(inputs) > 2:
        absent.append("a third positional argument")
    if op is None or absent:
        raise TypeError(
            f"{spelled}{' with ' if absent else ''}{' and '.join(absent)} cannot work on a tensor; see minigen.ops for "
            "the operations there are, or leave the tape with .detach().numpy()"
        )
    return op(*inputs, **settings)


def item(self) -> float | int | bool:
    """The one number of a tensor of size 1, as a Python number."""
    if self.data.size != 1:
        raise ValueError(
            f"item() needs a tensor with one element, got shape {self.data.shape}; reduce or index it first"
        )
    return self.data.item()


def numpy(self) -> np.ndarray:
    """The raw array, sharing memory. Raises for a tensor on the tape: `detach()` it first."""
    return self.__array__()


def __array__(self, dtype=None, copy=None):
    if self.node is not None:
        raise TypeError("this tensor is on the tape and NumPy would lose its gradient; use .detach().numpy() or .data")
    return np.array(self.data, dtype=dtype, copy=copy) if dtype is not None or copy else self.data


def __setitem__(self, index, value):
    raise TypeError(
        f"the elements of a tensor of shape {self.data.shape} cannot be assigned, because the tape would not know; "
        "build the new value with minigen.ops.where() or concatenate()"
    )


def __len__(self):
    if self.data.ndim == 0:
        raise TypeError("a tensor of shape () is one number and has no length; take it with .item()")
    return len(self.data)


def __iter__(self):
    return (self[i] for i in range(len(self)))


def __bool__(self):
    if self.data.size != 1:
        raise ValueError(
            f"a tensor of shape {self.data.shape} is neither true nor false; choose element by element with "
            "minigen.ops.where(), or ask its .data.any() or .data.all()"
        )
    return bool(self.data)


def __float__(self):
    return float(self.item())


def __int__(self):
    return int(self.item())


def __format__(self, spec):
    return format(self.item(), spec) if spec else repr(self)


def __repr__(self):
    body = np.array2string(self.data, prefix="tensor(", separator=", ")
    return f"tensor({body}, dtype={self.data.dtype}{', requires_grad=True' if self.node is not None else ''})"
