"""Is a derivative right, and where did that NaN come from: the two questions a new operation raises.

`gradient` compares derivatives of any order with finite differences. `debug` watches every operation and stops at the
first NaN or Inf, forward or backward, with the line of the program that made it.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from . import ops, tape
from .tape import Node, Tensor, grad, leaf
from .watching import Watcher, watch

_PACKAGE = os.path.dirname(__file__) + os.sep


class GradientError(AssertionError):
    """A derivative disagrees with finite differences."""


def gradient(
    f: Callable, *inputs, order: int = 2, rng: np.random.Generator, eps: float = 1e-5, tolerance: float = 1e-6
) -> None:
    """Raise GradientError unless the derivatives of `f` at `inputs`, up to `order`, agree with finite differences.

    Parameters
    ----------
    f : from tensors to a tensor of any shape, or to a list of them.
    inputs : where to look, away from kinks. Arrays of floats and Python floats are differentiated, as float64; all
        else (integers, index arrays, strings) is passed on as it is.
    order : the highest derivative to check. Order n takes the tape's derivative n - 1 for granted, which the order
        below has just checked, and compares its slope: phi_n = <d phi_(n-1) / dx, u_n> with phi_0 = <v, f(x)>, where
        v and the u_n are random. Every entry of every derivative takes part in these numbers.
    eps : step of the central difference (phi(x + eps d) - phi(x - eps d)) / (2 eps) along a random direction d.
    tolerance : the largest error allowed, relative to the derivative where that exceeds 1.
    """
    point = [np.array(x, np.float64) if _is_float(x) else x for x in inputs]
    varied = [i for i, x in enumerate(point) if _is_float(x)]
    if not varied:
        raise ValueError(
            f"check.gradient() got no input to differentiate by among {len(inputs)}; give 1.0 or an array of floats"
        )
    weights = [rng.standard_normal(y.shape) for y in _outputs(f, point)]
    directions = [[rng.standard_normal(point[i].shape) for i in varied] for _ in range(order)]

    def phi(n, point):
        leaves = [leaf(x) if i in varied else x for i, x in enumerate(point)]
        varying = [leaves[i] for i in varied]
        value = _inner(_outputs(f, leaves), weights)
        for u in directions[: n - 1]:
            value = _inner(_gradients(value, varying), u)
        return value, varying

    for n in range(1, order + 1):
        derivatives = _gradients(*phi(n, point))
        for i, u, derivative in zip(varied, directions[n - 1], derivatives):
            ahead, behind = ([*point[:i], point[i] + step * u, *point[i + 1 :]] for step in (eps, -eps))
            expected = (phi(n, ahead)[0].item() - phi(n, behind)[0].item()) / (2 * eps)
            got = float(np.sum(derivative.data * u))
            if not abs(got - expected) <= tolerance * max(1.0, abs(expected)):
                raise GradientError(
                    f"{getattr(f, '__name__', f)}: derivative of order {n} by argument {i} of shape {point[i].shape}, "
                    f"along a random direction: expected {expected:.9g} from finite differences, got {got:.9g}"
                )


def _is_float(x) -> bool:
    return isinstance(x, (float, Tensor)) or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f")


def _outputs(f, point) -> list[Tensor]:
    point = [Tensor(x) if type(x) is np.ndarray and x.dtype.kind == "f" else x for x in point]
    results = f(*point)
    results = list(results) if isinstance(results, (list, tuple)) else [results]
    for y in results:
        if type(y) is not Tensor:
            raise TypeError(
                f"check.gradient(): {getattr(f, '__name__', f)} gave a {type(y).__name__} for tensors; it must give "
                "tensors: compute with minigen.ops all the way"
            )
    return results


def _inner(tensors, weights) -> Tensor:
    total = 0.0
    for t, w in zip(tensors, weights):
        total = total + ops.sum(t * w)
    return total


def _gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    # The term of weight 0 connects the leaves on which the value does not depend: grad() would refuse them.
    return grad(value + _inner(leaves, [0.0] * len(leaves)), leaves, create_graph=True)


def debug() -> AbstractContextManager:
    """Inside the block the first NaN or Inf raises FloatingPointError with the operation and the line that called it.

    Forward it names the operation that made the value from finite arguments, or the argument that held it already;
    backward the operation and the argument whose gradient it is. Every operation is looked at: some times slower.
    """
    return watch(_Finder())


class _Finder(Watcher):
    def run(self, op, raw, static):
        with np.errstate(all="ignore"):
            value = op.forward(*raw, **static)
        if _trouble(value) and not _in_sweep():
            raise FloatingPointError(_forward_message(op, raw, value))
        return value

    def recorded(self, node: Node):
        node.line = _users_line()

    def contributed(self, node: Node, index: int, gradient):
        trouble = _trouble(gradient.data if type(gradient) is Tensor else gradient)
        if trouble:
            raise FloatingPointError(
                f"backward: {node.op.__name__}() gave {trouble} as the gradient of its argument {index} "
                f"({_span(node.raw[index])}); {_shown(getattr(node, 'line', None))}"
            )


def _trouble(array) -> str:
    """'NaN' or 'Inf' if the array holds one, else nothing."""
    if getattr(np.asarray(array).dtype, "kind", "") != "f" or np.isfinite(array).all():
        return ""
    return "NaN" if np.isnan(array).any() else "Inf"


def _forward_message(op, raw, value) -> str:
    where = _shown(_users_line())
    for i, arg in enumerate(raw):
        if isinstance(arg, (float, np.ndarray, np.generic)) and _trouble(arg):
            return (
                f"forward: {op.__name__}() was given {_trouble(arg)}: its argument {i} of shape {np.shape(arg)} holds "
                f"it already and no operation made it, so it is in the data; {where}"
            )
    given = ", ".join(_span(arg) for arg in raw if isinstance(arg, (float, int, np.ndarray, np.generic)))
    return f"forward: {op.__name__}() made {_trouble(value)} from finite arguments ({given}); {where}"


def _span(arg) -> str:
    if np.ndim(arg) == 0:
        return f"value {float(arg):.6g}"
    return f"shape {arg.shape}" + (f", from {arg.min():.6g} to {arg.max():.6g}" if arg.size else "")


def _in_sweep() -> bool:
    """Whether a rule is running: a value inside it may be infinite and yet not reach the gradient."""
    frame = sys._getframe()
    while frame is not None and frame.f_code is not tape._sweep.__code__:
        frame = frame.f_back
    return frame is not None


def _users_line() -> tuple[str, int] | None:
    """File and line of the innermost call that was not made by minigen itself."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def _shown(line: tuple[str, int] | None) -> str:
    if line is None:
        return "computed outside check.debug(), so its line is not known"
    return f"computed at {line[0]}:{line[1]}:\n    {linecache.getline(*line).strip()}"
