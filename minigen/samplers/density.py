"""What a chain needs of a density: log p and its gradient at all chains at once, from tensors or from NumPy."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import ops
from .._support.arguments import Kind, Rng, checked
from .._support.arrays import as_matrix, check_finite
from ..check import GradientError
from ..compile import compile as compiled
from ..tape import Tensor, grad, no_grad, tensor


def _is_log_prob(value: Any) -> bool:
    if not isinstance(value, tuple):
        return callable(value)
    return len(value) == 2 and callable(value[0]) and (value[1] is None or callable(value[1]))


LogProb = Annotated[
    Callable | tuple[Callable, Callable | None],
    Kind("a function of tensors, or a pair of NumPy functions (log_prob, gradient)", _is_log_prob, error=TypeError),
]  # what every kernel takes


class Density:
    """log p of points (n, d), up to a constant: (n,), with its gradient (n, d), all in the dtype of the points.

    `log_prob` is a function of tensors, (n, d) to (n,) or (n, 1), such as `distribution.log_prob`; it is compiled
    unless `compile` is False. Or it is a pair of NumPy functions, log p and its gradient, (n, d) to (n,) and (n, d);
    the second may be None where no gradient is asked for. Each point's number may depend on that point alone.

    `value(position)` gives log p, and `density(position)` log p and its gradient. Threads may share a density.
    """

    @checked
    def __init__(self, log_prob: LogProb, compile: bool = True):
        if isinstance(log_prob, tuple):
            self._value, self._value_and_grad = _of_pair(*log_prob)
        else:
            self._value, self._value_and_grad = _of_tensors(log_prob, compile)

    def value(self, position: np.ndarray) -> np.ndarray:
        """log p at points (n, d): (n,)."""
        return self._value(position)

    def __call__(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p at points (n, d) and its gradient: (n,), (n, d)."""
        return self._value_and_grad(position)

    def start(
        self, given: ArrayLike, caller: str, needs_grad: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The positions as an array (n, d), log p there (n,), and its gradient (n, d), or None where it is not needed.

        They have the dtype that `as_position` says. Where that was not chosen by the person and log_prob does not take
        it, as a network with float32 weights takes no float64, they have the other one. Raises TypeError if log_prob
        does not take the dtype that was chosen.
        """
        position = as_position(given, caller)
        other = np.dtype(np.float32 if position.dtype == np.float64 else np.float64)
        try:
            return position, *self._at(position, needs_grad)
        except TypeError as error:
            if "two dtypes" not in str(error):
                raise
            if _has_dtype(given):
                raise TypeError(
                    f"{caller}: log_prob does not take {position.dtype} positions: {error}; give them the dtype of its "
                    f"weights and data: position.astype(np.{other})"
                ) from error
        position = as_position(given, caller, other)
        return position, *self._at(position, needs_grad)

    def _at(self, position: np.ndarray, needs_grad: bool) -> tuple[np.ndarray, np.ndarray | None]:
        with np.errstate(all="ignore"):
            return self(position) if needs_grad else (self.value(position), None)


def _of_pair(log_prob: Callable, gradient: Callable | None) -> tuple[Callable, Callable]:
    """log p, and log p with its gradient, from NumPy functions."""

    def value(position):
        return _as_numbers("log_prob", log_prob(position), position, position.shape[:1])

    def value_and_grad(position):
        if gradient is None:
            raise ValueError(
                "a kernel that needs the gradient of log_prob got the pair (log_prob, None); give (log_prob, "
                "gradient), or take random_walk()"
            )
        return value(position), _as_numbers("the gradient", gradient(position), position, position.shape)

    return value, value_and_grad


def _of_tensors(log_prob: Callable, compile: bool) -> tuple[Callable, Callable]:
    """log p, and log p with its gradient, from a function of tensors."""

    def value(position):
        with no_grad():
            return _one_a_point(log_prob(tensor(position)), position).data

    def value_and_grad(position):
        point = tensor(position, requires_grad=True)
        values = _one_a_point(log_prob(point), position)
        return values.data, grad(ops.sum(values), point).data

    if not compile:
        return value, value_and_grad
    for function in (value, value_and_grad):
        function.__name__ = getattr(log_prob, "__name__", "log_prob")
    return tuple(_one_thread_at_a_time(compiled(function, strict=False)) for function in (value, value_and_grad))


def _one_thread_at_a_time(function: Callable) -> Callable:
    """A compiled function that threads may share: a replay works in buffers, and another may not begin meanwhile."""
    lock = RLock()

    def locked(position):
        with lock:
            return function(position)

    return locked


def _as_numbers(name: str, values: Any, position: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What a NumPy function gave for these points, in their dtype and of this shape."""
    values = np.asarray(values)
    if values.dtype.kind == "c":
        raise TypeError(f"{name} gave complex numbers; expected real ones")
    values = values.astype(position.dtype, copy=False)
    _check_shape(name, values, position, shape)
    return values.reshape(shape)


def _one_a_point(values: Any, position: np.ndarray) -> Tensor:
    """What a function of tensors gave for these points, as (n,)."""
    if type(values) is not Tensor:
        raise TypeError(
            f"log_prob gave a {type(values).__name__} for a tensor; compute with minigen.ops, or give a pair of NumPy "
            "functions, (log_prob, gradient)"
        )
    _check_shape("log_prob", values, position, position.shape[:1])
    return values if values.ndim == 1 else ops.reshape(values, position.shape[:1])


def _check_shape(name: str, values: np.ndarray | Tensor, position: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape and not (len(shape) == 1 and values.shape == (*shape, 1)):
        one_each = ", one number for each point" if len(shape) == 1 else ""
        raise ValueError(
            f"{name} gave shape {values.shape} for points of shape {position.shape}; expected {shape}{one_each}"
        )


@checked
def from_energy(energy: LogProb) -> LogProb:
    """log_prob = -energy, for every kernel: of a module, a function of tensors, or a NumPy pair (energy, gradient)."""
    if isinstance(energy, tuple):
        return tuple(None if function is None else _negative(function) for function in energy)
    return _negative(energy)


def _negative(function: Callable) -> Callable:
    def negative(x):
        return -function(x)

    negative.__name__ = f"minus {getattr(function, '__name__', type(function).__name__)}"
    return negative


def as_position(given: ArrayLike, caller: str, dtype: np.dtype | None = None) -> np.ndarray:
    """A copy of the positions of all chains, (chains, d), float32 or float64, all finite; ValueError or TypeError.

    An array, a tensor or a table of float32 or float64 keeps its dtype, and float16 becomes float32. What has no dtype
    of floats becomes float64, so that no digit is lost: lists as NumPy makes them, integers of any width, booleans,
    tables of integers or of mixed columns. `dtype` is another one.
    """
    array = as_matrix(given, "position", caller)
    if dtype is None:
        given_dtype = _dtype(given)
        is_narrow = given_dtype.kind == "f" and given_dtype.itemsize <= 4
        dtype = np.float32 if is_narrow else np.float64
    with np.errstate(over="ignore"):
        return check_finite(array.astype(dtype), "position", caller)


def _dtype(given: ArrayLike) -> np.dtype:
    return np.asarray(given.data if type(given) is Tensor else given).dtype


def _has_dtype(given: ArrayLike) -> bool:
    """Whether these positions have a dtype of floats that a person chose."""
    return not isinstance(given, (list, tuple)) and _dtype(given).kind == "f"


# --- is a gradient that of its log_prob?

TOLERANCE = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 2e-2}
LONGEST_STEP = 0.1  # the largest change of log p within a difference


@checked
def check_gradient(log_prob: LogProb, position: ArrayLike, rng: Rng) -> None:
    """Raise check.GradientError unless the gradient of `log_prob` at points (n, d) agrees with its finite differences.

    Each point is moved both ways along a random direction, so far that log p changes by many of its last digits and
    yet by little, whatever the unit and the origin of the positions. The tolerance, relative to the gradient, is 1e-5
    in float64 and 2 % in float32, where differences are coarse. Where they are too coarse to tell anything, that is
    raised.
    """
    density = Density(log_prob, compile=False)
    position, value, gradient = density.start(position, "check_gradient()")
    direction = rng.standard_normal(position.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        slope, got, error = _slopes(density, position, value, gradient.astype(np.float64), direction)
        size = np.maximum(_lengths(gradient), np.abs(slope))
        size = np.maximum(size, size.mean())  # a slope of nearly 0 cannot be had to so many of its own digits
    wrong = ~(np.abs(got - slope) <= TOLERANCE[position.dtype] * size + error)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise GradientError(
            f"check_gradient(): at {wrong.sum()} of {len(position)} points the gradient does not match log_prob; at "
            f"point {i} the slope along a random direction is {slope[i]:.6g} by finite differences and {got[i]:.6g} "
            "by the gradient. Look at its sign and its factors"
        )
    if size.any() and np.all(error > 0.1 * size):
        raise GradientError(
            f"check_gradient(): log_prob is too coarse in {position.dtype} to tell its slope at any of the "
            f"{len(position)} points; give float64 positions, or positions counted from another origin"
        )


def _slopes(
    density: Density, position: np.ndarray, value: np.ndarray, gradient: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes at the points by differences and by the gradient, and what the former may be off by, (n,) each."""
    eps = 4 * np.finfo(position.dtype).eps
    # What rounding makes of log p, and of the positions from which it is computed, is a part eps of this.
    magnitude = 1 + np.abs(value.astype(np.float64)) + np.sum(np.abs(gradient * position), axis=1)
    steepness = _lengths(gradient)
    steepness = np.maximum(steepness, steepness.mean())
    if not steepness.any():
        steepness = 1 / (_lengths(position) + (_lengths(position) == 0))
    change = np.minimum(eps * magnitude * 40 / TOLERANCE[position.dtype], LONGEST_STEP)
    step = direction * (change / steepness)[:, None]
    coarse, fine = (_difference(density, position, gradient, part * step) for part in (1.0, 0.25))
    error = np.abs((coarse[0] - coarse[1]) - (fine[0] - fine[1])) + 4 * eps * magnitude / change * steepness
    is_still = ~np.any((position + 0.25 * step).astype(position.dtype) != position, axis=1)  # below the last digit
    slope, got = (np.where(is_still, 0.0, found) for found in fine)
    return slope, got, np.where(is_still, np.inf, error)


def _difference(
    density: Density, position: np.ndarray, gradient: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes along these steps (n, d), by central differences and by the gradient."""
    ahead, behind = ((position + sign * step).astype(position.dtype) for sign in (1.0, -1.0))
    way = ahead.astype(np.float64) - behind  # which is not quite 2 step
    length = _lengths(way)
    rise = density.value(ahead).astype(np.float64) - density.value(behind)
    return rise / length, np.sum(gradient * (way / length[:, None]), axis=1)


def _lengths(rows: np.ndarray) -> np.ndarray:
    """The norm of each row, (n, d) to (n,), also where its square is out of the range of floats."""
    rows = rows.astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    with np.errstate(all="ignore"):
        norm = largest * np.linalg.norm(rows / largest[:, None], axis=1)
    return np.where(largest > 0, norm, 0.0)
