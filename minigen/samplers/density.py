"""What a chain needs of a density: log p and its gradient at all chains at once, from tensors or from NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ops
from .._support.arguments import check_rng
from ..check import GradientError
from ..compile import compile as compiled
from ..tape import Tensor, grad, no_grad, tensor

LogProb = Callable | tuple[Callable, Callable | None]  # what every kernel takes


class Density:
    """log p of points (n, d), up to a constant: (n,), with its gradient (n, d), all in the dtype of the points.

    `log_prob` is a function of tensors, (n, d) to (n,) or (n, 1), such as `distribution.log_prob`; it is compiled
    unless `compile` is False. Or it is a pair of NumPy functions, log p and its gradient, (n, d) to (n,) and (n, d);
    the second may be None where no gradient is asked for. Each point's number may depend on that point alone.
    """

    def __init__(self, log_prob: LogProb, caller: str, compile: bool = True):
        self.caller, self._pair = caller, None
        if isinstance(log_prob, tuple):
            value, gradient = log_prob if len(log_prob) == 2 else (None, None)
            if not callable(value) or not (gradient is None or callable(gradient)):
                raise TypeError(
                    f"{caller} got a tuple {log_prob!r:.80}; expected a pair of functions, (log_prob, gradient)"
                )
            self._pair = value, gradient
        elif not callable(log_prob):
            raise TypeError(
                f"{caller} got log_prob={log_prob!r:.80}; expected a function of tensors, or a pair of NumPy functions "
                "(log_prob, gradient)"
            )

        def value(position):
            with no_grad():
                return self._per_point(log_prob(tensor(position)), position).data

        def value_and_grad(position):
            point = tensor(position, requires_grad=True)
            values = self._per_point(log_prob(point), position)
            return values.data, grad(ops.sum(values), point).data

        for function in (value, value_and_grad):
            function.__name__ = getattr(log_prob, "__name__", "log_prob")
        self._value = compiled(value, strict=False) if compile else value
        self._value_and_grad = compiled(value_and_grad, strict=False) if compile else value_and_grad

    def _per_point(self, values, position):
        if type(values) is not Tensor:
            raise TypeError(
                f"{self.caller}: log_prob gave a {type(values).__name__} for a tensor; compute with minigen.ops, or "
                "give a pair of NumPy functions, (log_prob, gradient)"
            )
        self._check_shape("log_prob", values, position, position.shape[:1])
        return values if values.ndim == 1 else ops.reshape(values, position.shape[:1])

    def _check_shape(self, name, values, position, shape):
        if values.shape != shape and not (len(shape) == 1 and values.shape == (*shape, 1)):
            raise ValueError(
                f"{self.caller}: {name} gave shape {values.shape} for points of shape {position.shape}; expected "
                f"{shape}" + (", one number for each point" if len(shape) == 1 else "")
            )

    def _of_pair(self, which: int, position):
        name, shape = (("log_prob", position.shape[:1]), ("the gradient", position.shape))[which]
        values = np.asarray(self._pair[which](position))
        if values.dtype.kind == "c":
            raise TypeError(f"{self.caller}: {name} gave complex numbers; expected real ones")
        values = values.astype(position.dtype, copy=False)
        self._check_shape(name, values, position, shape)
        return values.reshape(shape)

    def value(self, position: np.ndarray) -> np.ndarray:
        """log p at points (n, d): (n,)."""
        return self._value(position) if self._pair is None else self._of_pair(0, position)

    def __call__(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p at points (n, d) and its gradient: (n,), (n, d)."""
        if self._pair is None:
            return self._value_and_grad(position)
        if self._pair[1] is None:
            raise ValueError(f"{self.caller} needs the gradient of log_prob, and the pair it got has None; give one")
        return self._of_pair(0, position), self._of_pair(1, position)


def from_energy(energy: LogProb) -> LogProb:
    """log_prob = -energy, for every kernel: of a module, a function of tensors, or a NumPy pair (energy, gradient)."""
    if isinstance(energy, tuple) and len(energy) == 2:
        return tuple(None if function is None else _negative(function) for function in energy)
    if not callable(energy):
        raise TypeError(
            f"from_energy() got {energy!r:.80}; expected a module, a function of tensors, or a pair of NumPy functions "
            "(energy, gradient)"
        )
    return _negative(energy)


def _negative(function: Callable) -> Callable:
    def negative(x):
        return -function(x)

    negative.__name__ = f"minus {getattr(function, '__name__', type(function).__name__)}"
    return negative


def check_gradient(log_prob: LogProb, position, rng: np.random.Generator) -> None:
    """Raise check.GradientError unless the gradient of `log_prob` at points (n, d) agrees with its finite differences.

    Each point is moved both ways along a random direction. The tolerance, relative to the gradient, is 1e-5 in float64
    and 2 % in float32, where differences are coarse.
    """
    caller = "check_gradient()"
    check_rng(rng, caller)
    density, position = Density(log_prob, caller, compile=False), as_position(position, caller)
    eps, tolerance = (1e-5, 1e-5) if position.dtype == np.float64 else (1e-2, 2e-2)
    direction = rng.standard_normal(position.shape)
    direction = (direction / np.linalg.norm(direction, axis=1, keepdims=True)).astype(position.dtype)
    values, gradients = density(position)
    got = np.sum(gradients * direction, axis=1, dtype=np.float64)
    ahead, behind = (density.value(position + sign * eps * direction).astype(np.float64) for sign in (1, -1))
    expected = (ahead - behind) / (2 * eps)
    scale = np.maximum(1.0, np.linalg.norm(gradients.astype(np.float64), axis=1))
    rounding = 4 * np.finfo(position.dtype).eps * np.abs(values) / eps
    wrong = ~(np.abs(got - expected) <= tolerance * scale + rounding)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise GradientError(
            f"check_gradient(): at {wrong.sum()} of {len(position)} points the gradient does not match log_prob; at "
            f"point {i} the slope along a random direction is {expected[i]:.6g} by finite differences and {got[i]:.6g} "
            "by the gradient. Look at its sign and its factors"
        )


def as_position(position, caller: str) -> np.ndarray:
    """A copy of the positions of all chains, (chains, d), float32 or float64, all finite; ValueError or TypeError."""
    given = position.data if type(position) is Tensor else position
    try:
        array = np.array(given)
    except ValueError:
        raise TypeError(f"{caller} got positions of unequal length; give an array (chains, d)") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{caller} got positions of type {array.dtype}; expected real numbers")
    if array.ndim != 2 or not array.size:
        hint = "; for chains in one dimension give position[:, None], for a single chain position[None]"
        raise ValueError(
            f"{caller} got positions of shape {array.shape}; expected (chains, d)" + (hint if array.ndim == 1 else "")
        )
    is_float64 = array.dtype == np.float64 and isinstance(given, (np.ndarray, np.generic))
    array = np.ascontiguousarray(array, np.float64 if is_float64 else np.float32)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{caller} got {len(bad)} of {len(array)} chains at positions that are NaN or infinite, the first of them "
            f"chain {bad[0]}; start where all numbers are finite"
        )
    return array
