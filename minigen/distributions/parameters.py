"""What may a parameter, a point, a number of draws be? All that a distribution is handed goes through here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from .._support.arguments import Kind, Rng, is_number, is_whole, kinds_of, taken
from .._support.arrays import as_numbers
from ..tape import Tensor
from ..watching import live_check

Real = float | list | np.ndarray | Tensor  # what a parameter, or points, may be
Values = float | np.ndarray | Tensor  # what is computed from them
Operand = np.ndarray | Tensor  # of them, what has a shape
Raw = float | np.ndarray  # the numbers of one
Shape = int | tuple[int, ...]

RNG = kinds_of(Rng)
SHAPE = [
    Kind(
        "a number of draws, or a tuple such as (100, 2)",
        lambda shape: all(map(is_whole, shape)) if isinstance(shape, tuple) else is_whole(shape),
        lambda shape: tuple(map(int, shape)) if isinstance(shape, tuple) else (int(shape),),
    )
]


class Independent:
    """Numbers that are independent of each other along the last axis: what the diagonal families share.

    `positive` names the parameters that must be above 0.
    """

    discrete = False
    positive: tuple[str, ...] = ()

    def _taken(self, **given: Real) -> list:
        """The parameters in one shape and one dtype; sets the shapes of a batch and of a point."""
        owner = type(self).__name__
        values = [as_real(value, name, owner) for name, value in given.items()]
        try:
            shape = np.broadcast_shapes(*(np.shape(value) for value in values))
        except ValueError:
            shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in zip(given, values))
            raise ValueError(f"{owner} got parameters that do not broadcast: {shapes}; give them one shape") from None
        self._dtype = common_dtype(values, owner)
        self.batch_shape = shape[:-1]
        self.event_shape = shape[-1:]
        wide = [widened(value, shape, self._dtype) for value in values]
        for name, value in zip(given, wide):
            live_check(check_finite, raw(value), name, owner)
            if name in self.positive:
                live_check(check_positive, raw(value), name, owner)
        return wide

    def _noise(self, draw: Callable, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Numbers by `draw`, one for each number of `shape` draws."""
        shape = draws_shape(shape, rng, self)
        return draw(rng, shape + self.batch_shape + self.event_shape, self._dtype or np.float32)

    def _total(self, terms):
        """The sum over the numbers of a point."""
        return ops.sum(terms, -1) if self.event_shape else terms


def raw(x: Values) -> Raw:
    """The numbers themselves, of a tensor its array."""
    return x.data if isinstance(x, Tensor) else x


def as_operand(x: Values) -> Operand:
    """A number as an array, for operations that take arrays only; all else as it is."""
    return np.asarray(x) if isinstance(x, float) else x


def weak(x: Values) -> Values:
    """What was computed from Python numbers as such a number again: unlike NumPy's it leaves the dtype of others."""
    return float(x) if isinstance(x, np.float64) else x


def as_real(value: Real, name: str, owner: str) -> Values:
    """A parameter as a Python float, an array or a tensor of floats. Raises TypeError for what is not real."""
    if is_number(value):
        return float(value)
    array = _plain(value, name, owner)
    if array.dtype.kind != "f":
        return ops.astype(array, np.float32 if type(array) is Tensor else np.float64)
    return array


def _plain(x: Any, name: str, owner: str) -> Operand:
    """Tensors and arrays of real numbers as they are, what else can be one as an array; raises for all other."""
    if type(x) is Tensor or (isinstance(x, np.ndarray) and x.dtype.kind in "fiub" and not np.ma.isMaskedArray(x)):
        return x
    return as_numbers(x, name, owner)


def common_dtype(values: list, owner: str) -> np.dtype | None:
    """The dtype of the tensors, else of the arrays; None if all are Python numbers."""
    tensors = {value.dtype for value in values if type(value) is Tensor}
    if len(tensors) > 1:
        raise TypeError(f"{owner} got tensors of two dtypes, {' and '.join(sorted(map(str, tensors)))}; use .astype()")
    if tensors:
        return tensors.pop()
    arrays = [value.dtype for value in values if isinstance(value, np.ndarray)]
    return np.result_type(*arrays) if arrays else None


def widened(value: Values, shape: tuple, dtype: np.dtype | None) -> Values:
    """A parameter in this shape and dtype; where all are Python numbers, as it is."""
    if isinstance(value, float):
        return value if dtype is None else np.full(shape, value, dtype)
    value = value if value.dtype == dtype else ops.astype(value, dtype)
    return value if value.shape == shape else ops.broadcast_to(value, shape)


def broadcast(a: tuple, b: tuple, caller: str) -> tuple:
    """The shape that two batches have together."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(
            f"{caller} got shapes {a} and {b} beside the event's, which do not broadcast; make them equal, or 1 where "
            "one is for all"
        ) from None


def draws_shape(shape: Shape, rng: np.random.Generator, p: Any) -> tuple[int, ...]:
    """How many draws of p, as a tuple; raises for what is no shape, or no generator."""
    caller = f"{type(p).__name__}.sample()"
    taken(rng, RNG, "rng", caller)
    return taken(shape, SHAPE, "shape", caller)


def points_of(p: Any, x: Real) -> Operand:
    """Points as an array or a tensor, of the event's shape at the end and without NaN."""
    caller = f"{type(p).__name__}.log_prob()"
    is_list = not isinstance(x, (Tensor, np.ndarray))
    points = _plain(x, "points", caller)
    if is_list or points.dtype.kind != "f":  # integers without a sign would wrap in a difference
        points = ops.astype(points, getattr(p, "_dtype", None) or np.float64)
    event = p.event_shape
    if event and points.shape[-1:] != event:
        raise ValueError(
            f"{caller} got points of shape {points.shape}; expected (..., {event[0]}): the last axis is one point"
        )
    broadcast(points.shape[: points.ndim - len(event)], p.batch_shape, caller)
    live_check(_check_no_nan, raw(points), caller)
    return points


def check_finite(values: Raw, name: str, owner: str) -> None:
    """Raise ValueError unless all numbers are finite."""
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{owner} got {name} that hold NaN or inf; expected finite numbers")


def check_positive(values: Raw, name: str, owner: str) -> None:
    """Raise ValueError unless all numbers are above 0."""
    if not np.all(values > 0):
        raise ValueError(
            f"{owner} got {name} down to {np.min(values)}; expected positive numbers; give exp() or softplus() of a "
            "free parameter"
        )


def _check_no_nan(x: np.ndarray, caller: str) -> None:
    if np.isnan(x).any():
        rows = np.unique(np.argwhere(np.isnan(x))[:, 0]) if x.ndim else np.empty(0)
        where = f" in {len(rows)} of {len(x)} rows, the first of them {rows[0]}" if len(rows) else ""
        raise ValueError(f"{caller} got points that hold NaN{where}; leave them out first")
