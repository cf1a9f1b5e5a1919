"""What a tensor can do: its operators and methods, written out so that a reader, an editor and a type checker see them.

Each is an operation of `minigen.ops`, which lies on a floor above and binds itself here when it is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ._support import explain

if TYPE_CHECKING:
    from typing_extensions import Self

Operand = Union["Operators", np.ndarray, float, Sequence]  # what a tensor computes with
Axis = int | tuple[int, ...] | None

_ops: Any = None


def bind(ops: Any) -> None:
    """Let the operators and methods call the operations of this module."""
    global _ops
    _ops = ops


def _listed(operand: Any) -> Any:
    # A tuple could be a shape or an axis; as an operand it is data, as a list is.
    return list(operand) if type(operand) is tuple else operand


class Operators:
    """The operators and methods of `Tensor`. In-place forms (`loss += term`) make a new tensor and bind the name to it.

    A leaf is not changed in place: the name would be bound to what is computed from it, and the parameter be lost.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        data: np.ndarray
        node: Any

    # Arithmetic

    def __add__(self, other: Operand) -> Self:
        return _ops.add(self, list(other) if type(other) is tuple else other)

    def __radd__(self, other: Operand) -> Self:
        return _ops.add(list(other) if type(other) is tuple else other, self)

    def __sub__(self, other: Operand) -> Self:
        return _ops.subtract(self, list(other) if type(other) is tuple else other)

    def __rsub__(self, other: Operand) -> Self:
        return _ops.subtract(list(other) if type(other) is tuple else other, self)

    def __mul__(self, other: Operand) -> Self:
        return _ops.multiply(self, list(other) if type(other) is tuple else other)

    def __rmul__(self, other: Operand) -> Self:
        return _ops.multiply(list(other) if type(other) is tuple else other, self)

    def __truediv__(self, other: Operand) -> Self:
        return _ops.divide(self, list(other) if type(other) is tuple else other)

    def __rtruediv__(self, other: Operand) -> Self:
        return _ops.divide(list(other) if type(other) is tuple else other, self)

    def __pow__(self, other: Operand) -> Self:
        return _ops.power(self, list(other) if type(other) is tuple else other)

    def __rpow__(self, other: Operand) -> Self:
        return _ops.power(list(other) if type(other) is tuple else other, self)

    def __mod__(self, other: Operand) -> Self:
        return _ops.mod(self, _listed(other))

    def __rmod__(self, other: Operand) -> Self:
        return _ops.mod(_listed(other), self)

    def __matmul__(self, other: Operand) -> Self:
        return _ops.matmul(self, _listed(other))

    def __rmatmul__(self, other: Operand) -> Self:
        return _ops.matmul(_listed(other), self)

    def __neg__(self) -> Self:
        return _ops.negative(self)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Self:
        return _ops.abs(self)

    def __iadd__(self, other: Operand) -> Self:
        return self._rebound("add", "+") + other

    def __isub__(self, other: Operand) -> Self:
        return self._rebound("subtract", "-") - other

    def __imul__(self, other: Operand) -> Self:
        return self._rebound("multiply", "*") * other

    def __itruediv__(self, other: Operand) -> Self:
        return self._rebound("divide", "/") / other

    def __ipow__(self, other: Operand) -> Self:  # type: ignore[misc]
        return self._rebound("power", "**") ** other

    def __imod__(self, other: Operand) -> Self:
        return self._rebound("mod", "%") % other

    def __imatmul__(self, other: Operand) -> Self:
        return self._rebound("matmul", "@") @ other

    def _rebound(self, name: str, sign: str) -> Self:
        if self.node is not None and self.node.op is None:
            raise explain.leaf_in_place(name, sign, self.data.shape)
        return self

    # Comparisons, element by element

    def __lt__(self, other: Operand) -> Self:
        return _ops.less(self, other)

    def __le__(self, other: Operand) -> Self:
        return _ops.less_equal(self, other)

    def __gt__(self, other: Operand) -> Self:
        return _ops.greater(self, other)

    def __ge__(self, other: Operand) -> Self:
        return _ops.greater_equal(self, other)

    def __eq__(self, other: Operand) -> Self:  # type: ignore[override]
        return _ops.equal(self, other)

    def __ne__(self, other: Operand) -> Self:  # type: ignore[override]
        return _ops.not_equal(self, other)

    __hash__ = object.__hash__

    # The array

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.data.size

    @property
    def T(self) -> Self:
        """The axes in reverse order."""
        return _ops.transpose(self)

    def item(self) -> float | int | bool:
        """The one number of a tensor of size 1, as a Python number."""
        if self.data.size != 1:
            raise explain.not_one_number(self.data.shape)
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The raw array, sharing memory. Raises for a tensor on the tape: `detach()` it first."""
        return self.__array__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.node is not None:
            raise explain.no_array()
        return np.array(self.data, dtype=dtype, copy=copy) if dtype is not None or copy else self.data

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Self:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return _ops.numpy_names.call_as_numpy(_ops, f"np.{name}", inputs, settings)

    def __array_function__(self, function: Any, types: Any, inputs: tuple, settings: dict) -> Self:
        spelled = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
        return _ops.numpy_names.call_as_numpy(_ops, spelled, inputs, settings)

    def __getitem__(self, index: Any) -> Self:
        return _ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise explain.no_assignment(self.data.shape)

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise explain.no_length()
        return len(self.data)

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise explain.no_truth(self.data.shape)
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        body = np.array2string(self.data, prefix="tensor(", separator=", ")
        return f"tensor({body}, dtype={self.data.dtype}{', requires_grad=True' if self.node is not None else ''})"

    # Shapes and order

    def reshape(self, *shape: Any) -> Self:
        """The same numbers in another shape, given as numbers or as a tuple; one of them may be -1."""
        return _ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def flatten(self) -> Self:
        """All numbers in a row."""
        return _ops.ravel(self)

    def ravel(self) -> Self:
        """All numbers in a row."""
        return _ops.ravel(self)

    def transpose(self, *axes: Any) -> Self:
        """The axes in another order; without arguments reversed."""
        return _ops.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Two axes exchanged."""
        return _ops.swapaxes(self, axis1, axis2)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Self:
        """A new axis of length 1."""
        return _ops.expand_dims(self, axis)

    def squeeze(self, axis: Axis = None) -> Self:
        """Without the axes of length 1, or this one."""
        return _ops.squeeze(self, axis)

    def flip(self, axis: Axis = None) -> Self:
        """In reverse order along an axis, or all."""
        return _ops.flip(self, axis)

    def split(self, sections: Any, axis: int = 0) -> list[Self]:
        """Cut into equal parts, or at positions."""
        return _ops.split(self, sections, axis)

    def take_along_axis(self, indices: Any, axis: int | None) -> Self:
        """The elements at these positions along an axis."""
        return _ops.take_along_axis(self, indices, axis)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        """The diagonal over two axes, as the last axis."""
        return _ops.diagonal(self, offset, axis1, axis2)

    def sort(self, axis: int | None = -1) -> Self:
        """In increasing order along an axis."""
        return _ops.sort(self, axis)

    def argsort(self, axis: int | None = -1) -> Self:
        """The positions that would sort along an axis."""
        return _ops.argsort(self, axis)

    def astype(self, dtype: Any) -> Self:
        """Converted to another dtype."""
        return _ops.astype(self, dtype)

    # Functions of one number

    def abs(self) -> Self:
        """Absolute value."""
        return _ops.abs(self)

    def sqrt(self) -> Self:
        """Square root."""
        return _ops.sqrt(self)

    def square(self) -> Self:
        """Square."""
        return _ops.square(self)

    def exp(self) -> Self:
        """Exponential."""
        return _ops.exp(self)

    def log(self) -> Self:
        """Natural logarithm."""
        return _ops.log(self)

    def log1p(self) -> Self:
        """log(1 + x), with all digits near 0."""
        return _ops.log1p(self)

    def sin(self) -> Self:
        """Sine."""
        return _ops.sin(self)

    def cos(self) -> Self:
        """Cosine."""
        return _ops.cos(self)

    def tanh(self) -> Self:
        """Hyperbolic tangent."""
        return _ops.tanh(self)

    def sigmoid(self) -> Self:
        """1 / (1 + exp(-x))."""
        return _ops.sigmoid(self)

    def relu(self) -> Self:
        """max(x, 0)."""
        return _ops.relu(self)

    def softplus(self) -> Self:
        """log(1 + exp(x))."""
        return _ops.softplus(self)

    def clip(self, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Self:
        """Limited to [low, high]; NumPy's names of the bounds are known too."""
        return _ops.clip(self, low if min is None else min, high if max is None else max)

    # Over axes

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Sum over one axis, several or all."""
        return _ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Mean over one axis, several or all."""
        return _ops.mean(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Self:
        """Mean squared distance from the mean; divides by the count less `ddof`."""
        return _ops.var(self, axis, ddof, keepdims)

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Self:
        """Square root of `var`."""
        return _ops.std(self, axis, ddof, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Largest value over one axis, several or all."""
        return _ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Smallest value over one axis, several or all."""
        return _ops.min(self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None) -> Self:
        """Position of the first largest value."""
        return _ops.argmax(self, axis)

    def argmin(self, axis: int | None = None) -> Self:
        """Position of the first smallest value."""
        return _ops.argmin(self, axis)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Product over one axis, several or all."""
        return _ops.prod(self, axis, keepdims)

    def norm(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Euclidean length over one axis, several or all."""
        return _ops.norm(self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Self:
        """Sums of the first elements along an axis."""
        return _ops.cumsum(self, axis)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """log of the sum of exp(x)."""
        return _ops.logsumexp(self, axis=axis, keepdims=keepdims)

    def softmax(self, axis: Any = -1) -> Self:
        """exp(x) scaled to sum to one over an axis."""
        return _ops.softmax(self, axis=axis)

    def log_softmax(self, axis: Any = -1) -> Self:
        """log of `softmax`, with all its digits."""
        return _ops.log_softmax(self, axis=axis)

    def dot(self, other: Operand) -> Self:
        """NumPy's dot product."""
        return _ops.dot(self, other)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        """Sum of the diagonal over two axes."""
        return _ops.trace(self, offset, axis1, axis2)
