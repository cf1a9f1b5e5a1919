"""What is the derivative of a function of tensors: its Jacobian J, its Hessian H, and their products with vectors?

    jacobian(f, x)                 J[i, j] = d f_i / d x_j
    vjp(f, x, cotangent)           J^T c, a gradient: one sweep back, whatever the size of f(x) and of x
    jvp(f, x, tangent)             J t, a slope along a direction: two sweeps
    hessian(f, x)                  H[i, j] = d^2 f / d x_i d x_j of a scalar f
    hvp(f, x, tangent)             H t: two sweeps, and never the matrix

`x` is one argument (a tensor, an array, a number or a list of numbers), or a tuple, or list of tensors or arrays, for a
function of several arguments `f(*x)`; then results come as a list, one for each argument. The result has the shapes of
the mathematics: `jacobian` is of shape `f(x).shape + x.shape`. An argument that f does not depend on gives zeros. Each
function calls f once. Numbers and lists count as float32, arrays keep their dtype.

With `create_graph` the result is on the tape: it can be differentiated by the tensors that f has used, such as weights,
and by those arguments that were on the tape themselves.

All raise TypeError for arguments that are no real floating-point numbers and for an f that does not give one tensor,
ValueError inside `no_grad`, and for vectors that have not the shape of what they multiply.

Baydin et al. (2018), "Automatic differentiation in machine learning", sections 3.1 and 3.2; the product H t is that of
Pearlmutter (1994), J t by two reverse sweeps that of Townsend (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import ops
from ._support import explain
from .tape import Tensor, grad, is_paused, nodes_between, tensor

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Point: TypeAlias = Any  # a tensor, an array, a number, or a tuple or list of these
Result: TypeAlias = Any  # a tensor, or a list of one for each argument


def vjp(f: Callable[..., Tensor], x: Point, cotangent: Any, *, create_graph: bool = False) -> Result:
    """The gradient of sum(cotangent * f(x)) by x, of x's shape: the cotangent c, of f(x)'s shape, times the Jacobian.

    Costs one forward pass and one sweep back, together some three forward passes, and 1.6 times the memory of the tape.
    """
    at = _Point(f, x, "vjp()", create_graph)
    explain.check_cotangent(at.y.data, cotangent, "vjp()")
    return at.result(_pullback(at.y, at.arguments, create_graph)(cotangent))


def jvp(f: Callable[..., Tensor], x: Point, tangent: Any, *, create_graph: bool = False) -> Result:
    """The derivative of f(x + s tangent) by the number s at 0, of f(x)'s shape: the Jacobian times the tangent.

    `tangent` is of x's shape, or a tuple or list of such. Costs one forward pass, a sweep that is recorded and one back
    over it: 7 to 10 forward passes, and three to five times the memory of the tape.
    """
    at = _Point(f, x, "jvp()", create_graph)
    tangents = at.like_arguments(tangent)
    # J^T w is linear in w, so that its derivative by w along the tangent is J t, whatever w is.
    w = tensor(np.ones(at.y.shape, at.y.dtype), requires_grad=True)
    products = _pullback(at.y, at.arguments, create_graph=True)(w)
    return _slopes(products, tangents, [w], create_graph)[0]


def jacobian(f: Callable[..., Tensor], x: Point, *, create_graph: bool = False) -> Result:
    """All derivatives of f(x) by x, of shape f(x).shape + x.shape.

    Costs one forward pass and one sweep back for each element of f(x), whatever the size of x; the memory of one tape
    and of the result; with `create_graph` that of all the sweeps. Where x has few elements and f(x) many, call `jvp`
    with each unit vector instead.
    """
    at = _Point(f, x, "jacobian()", create_graph)
    return at.result(_rows(at.y, at.arguments, create_graph))


def hessian(f: Callable[..., Tensor], x: Point, *, create_graph: bool = False) -> Result:
    """All second derivatives of the scalar f(x), of shape x.shape + x.shape; of several arguments a list of lists.

    Entry [i][j] of these is by argument i and then by argument j, of shape x_i.shape + x_j.shape. Costs one forward
    pass, a sweep that is recorded and one back over it for each element of x; three to five times the memory of the
    tape.

    Raises ValueError if f(x) is not a scalar.
    """
    at = _Point(f, x, "hessian()", create_graph)
    return at.result([at.result(_rows(gradient, at.arguments, create_graph)) for gradient in at.gradients()])


def hvp(f: Callable[..., Tensor], x: Point, tangent: Any, *, create_graph: bool = False) -> Result:
    """The derivative of the gradient of the scalar f along the tangent, of x's shape: the Hessian times the tangent.

    `tangent` is of x's shape, or a tuple or list of such. Costs one forward pass, a sweep that is recorded and one back
    over it: 7 to 10 forward passes, and three to five times the memory of the tape, whatever the size of x.

    Raises ValueError if f(x) is not a scalar.
    """
    at = _Point(f, x, "hvp()", create_graph)
    return at.result(_slopes(at.gradients(), at.like_arguments(tangent), at.arguments, create_graph))


class _Point:
    """A function, where it is looked at, and its value there."""

    def __init__(self, f: Callable[..., Tensor], x: Point, caller: str, create_graph: bool):
        if is_paused():
            raise ValueError(f"{caller} inside no_grad() has no tape to go back over; call it outside")
        if not callable(f):
            raise TypeError(f"{caller} got f of type {type(f).__name__}; expected a function of tensors")
        self.caller, self.name = caller, getattr(f, "__name__", type(f).__name__)
        self.single = not _is_several(x)
        given = [x] if self.single else list(x)
        if not given:
            raise ValueError(f"{caller} got no arguments to differentiate by; give at least one")
        self.arguments = [self._argument(each, i, create_graph) for i, each in enumerate(given)]
        y = f(*self.arguments)
        if type(y) is not Tensor:
            raise TypeError(
                f"{caller}: {self.name} gave a {type(y).__name__} for tensors; it must give one tensor: compute with "
                "minigen.ops all the way, and join several results by ops.stack() or ops.concatenate()"
            )
        if y.dtype.kind != "f":
            raise TypeError(f"{caller}: {self.name} gave {y.dtype}, which has no derivative; expected floats")
        self.y = y

    def _argument(self, x: Any, index: int, create_graph: bool) -> Tensor:
        """The argument as f gets it: on the tape, and another than x, which f might use besides."""
        if create_graph and type(x) is Tensor and x.requires_grad:
            return ops.astype(x, x.dtype)
        argument = tensor(x)
        if argument.dtype.kind != "f":
            raise TypeError(
                f"{self.caller} got {argument.dtype} as argument {index}; a derivative needs floating-point numbers: "
                "write 1.0 for 1, or convert with .astype(np.float32)"
            )
        return tensor(argument, requires_grad=True)

    def like_arguments(self, tangent: Any) -> list[Tensor]:
        """The tangent as one tensor for each argument, of its shape and dtype."""
        given = list(tangent) if isinstance(tangent, (tuple, list)) and not self.single else [tangent]
        if len(given) != len(self.arguments):
            raise ValueError(f"{self.caller} got {len(given)} tangents for {len(self.arguments)} arguments")
        tangents = [each if type(each) is Tensor else tensor(each) for each in given]
        for i, (x, t) in enumerate(zip(self.arguments, tangents)):
            if t.shape != x.shape:
                raise ValueError(
                    f"{self.caller} got a tangent of shape {t.shape} for argument {i} of shape {x.shape}; they are the "
                    "same"
                )
        return [ops.astype(t, x.dtype) for x, t in zip(self.arguments, tangents)]

    def gradients(self) -> list[Tensor]:
        """Those of a scalar f by the arguments, on the tape."""
        if self.y.size != 1:
            raise ValueError(
                f"{self.caller} needs a scalar, but {self.name} gave shape {self.y.shape}; reduce it first"
            )
        return _pullback(self.y, self.arguments, create_graph=True)(None)

    def result(self, results: list) -> Result:
        return results[0] if self.single else results


def _is_several(x: Point) -> bool:
    return isinstance(x, tuple) or (isinstance(x, list) and any(isinstance(each, (Tensor, np.ndarray)) for each in x))


def _pullback(y: Tensor, xs: Sequence[Tensor], create_graph: bool) -> Callable[[Any], list[Tensor]]:
    """From a cotangent to the gradients of sum(cotangent * y) by xs, zeros by those on which y does not depend."""
    reached = [y.node is not None and y.node.id in nodes_between(y.node, {x.node.id}) for x in xs]
    targets = [x for x, is_reached in zip(xs, reached) if is_reached]

    def pull(cotangent: Any) -> list[Tensor]:
        found = iter(grad(y, targets, create_graph, cotangent) if targets else [])
        return [next(found) if is_reached else _zeros(x.shape, x.dtype) for x, is_reached in zip(xs, reached)]

    return pull


def _zeros(shape: tuple[int, ...], dtype: DTypeLike) -> Tensor:
    return Tensor(np.zeros(shape, dtype))


def _slopes(ys: Sequence[Tensor], tangents: Sequence[Tensor], xs: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    """The gradients by xs of the sum of all tangent * y."""
    total = _zeros((), ys[0].dtype)
    for y, t in zip(ys, tangents):
        total = total + ops.sum(y * t)
    return _pullback(total, xs, create_graph)(None)


def _rows(y: Tensor, xs: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    """The Jacobian of y by each x, row after row."""
    pull = _pullback(y, xs, create_graph)
    rows = [pull(unit.reshape(y.shape)) for unit in np.eye(y.size, dtype=y.dtype)]
    if not rows:
        return [_zeros(y.shape + x.shape, x.dtype) for x in xs]
    return [ops.reshape(ops.stack(column), y.shape + x.shape) for x, column in zip(xs, zip(*rows))]
