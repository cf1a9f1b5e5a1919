"""Is a derivative right? `gradient` compares derivatives of any order with finite differences.

Where a NaN came from, and what is on a tape, is asked of `minigen.debug`: `check.debug()` is its `find_nan()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import ops
from .debug import find_nan as debug
from .tape import Tensor, grad, leaf

__all__ = ["GradientError", "debug", "gradient"]


class GradientError(AssertionError):
    """A derivative disagrees with finite differences."""


def gradient(
    f: Callable, *inputs: Any, order: int = 2, rng: np.random.Generator, eps: float = 1e-5, tolerance: float = 1e-6
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

    def phi(n: int, point: list) -> tuple[Tensor, list[Tensor]]:
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


def _is_float(x: Any) -> bool:
    return isinstance(x, (float, Tensor)) or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f")


def _outputs(f: Callable, point: list) -> list[Tensor]:
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


def _inner(tensors: Sequence[Tensor], weights: Sequence) -> Tensor:
    total: Any = 0.0
    for t, w in zip(tensors, weights):
        total = total + ops.sum(t * w)
    return total


def _gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    # The term of weight 0 connects the leaves on which the value does not depend: grad() would refuse them.
    return grad(value + _inner(leaves, [0.0] * len(leaves)), leaves, create_graph=True)
