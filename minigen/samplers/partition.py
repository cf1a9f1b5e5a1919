"""How much does an unnormalised density weigh? log Z, the logarithm of its integral, on a grid or from chains.

`log_Z_on_grid` adds up all of a box, in one or two dimensions. `annealed_importance_sampling` goes to any dimension, by
way of densities between one that can be drawn from and the target, and gives a standard error and weighted draws.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .._support.arguments import Count, Kind, Rng, checked, is_number, is_whole
from .._support.interrupt import interrupt_flag
from .adaptation import FIRST_STEP, NoStepSize, mean_rate, rough_step_size
from .density import Density, LogProb, as_position
from .kernel import Kernel, State
from .langevin import mala
from .progress import progress_bar

BLOCK = 1 << 16  # grid points evaluated at once
OUTSIDE = 1e-3  # the share of the mass that may seem to lie outside the box before a warning
FEWEST_EFFECTIVE = 10  # draws below which the standard error of log Z means nothing
SETTLING = 20  # moves of the search for step sizes before the ladder
BRIDGED = 1e3  # the factor by which those moves can change a step size


# --- on a grid


class GridIntegral(NamedTuple):
    """`log_Z`, what it may be off by, and the normalised log-density on the grid.

    `error` is what halving the grid changed, plus the share of the mass that seems to lie outside the box. `axes` are
    the points of each axis, `log_prob` (points,) or (points, points), the first axis of which is the first coordinate.
    """

    log_Z: float
    error: float
    axes: tuple[np.ndarray, ...]
    log_prob: np.ndarray


def _is_box(bounds: Any) -> bool:
    try:
        box = np.array([[float(end) for end in axis] for axis in bounds])
    except (TypeError, ValueError, OverflowError):
        return False
    if box.shape not in ((1, 2), (2, 2)):
        return False
    with np.errstate(all="ignore"):
        return bool(np.all((box[:, 1] > box[:, 0]) & np.isfinite(box[:, 1] - box[:, 0])))


Bounds = Annotated[
    Sequence[tuple[float, float]],
    Kind(
        "(low, high) for each axis, low < high: [(-3, 3)] in one dimension, [(-3, 3), (-4, 4)] in two. In more "
        "dimensions use annealed_importance_sampling()",
        _is_box,
        lambda bounds: [(float(low), float(high)) for low, high in bounds],
    ),
]
EvenCount = Annotated[
    int, Kind("an even number, because every second point is left out", lambda n: is_whole(n, 2) and n % 2 == 0, int)
]


@checked
def log_Z_on_grid(
    log_prob: LogProb,
    bounds: Bounds,
    cells: EvenCount = 512,
    *,
    dtype: DTypeLike = np.float64,
    compile: bool = True,
) -> GridIntegral:
    """The integral of exp(log_prob) over a box of one or two dimensions, by the trapezoidal rule.

    For a smooth density that vanishes at the border the rule converges faster than any power of the cells' size.

    Parameters
    ----------
    log_prob : a function of tensors, (n, d) to (n,) or (n, 1), or a pair of NumPy functions (log_prob, None); see
        `Density`. It may be -inf.
    bounds : for each axis its (low, high): `[(-3, 3)]` in one dimension, `[(-3, 3), (-4, 4)]` in two.
    cells : of each axis, an even number; (cells + 1)^d points.
    dtype : of the points at which log_prob is evaluated; float32 for a network with float32 weights.

    Warns where more than 1e-3 of the mass seems to lie outside, judged by the density at the border and its slope.
    Raises ValueError if log_prob is NaN or +inf at a point, or -inf at all of them, and where the points of an axis are
    so near to one another that `dtype` cannot tell them apart.
    """
    axes = tuple(np.linspace(low, high, cells + 1) for low, high in bounds)
    steps = [(high - low) / cells for low, high in bounds]
    for axis, step in zip(axes, steps):
        _check_points(axis, step, np.dtype(dtype))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(dtype, copy=False)
    density = Density(log_prob, compile)
    with np.errstate(all="ignore"):
        values = [density.value(points[i : i + BLOCK]) for i in range(0, len(points), BLOCK)]
    values = np.concatenate(values).astype(np.float64).reshape([cells + 1] * len(axes))
    _check_values(values.ravel(), points)
    greatest = values.max()
    values -= greatest  # so that the sum is as exact for a log p of any height
    log_Z = _trapezoid(values, steps)
    coarse = _trapezoid(values[(slice(None, None, 2),) * len(axes)], [2 * step for step in steps])
    outside = math.exp(_outside(values, steps) - log_Z)
    if outside > OUTSIDE:
        warnings.warn(
            f"log_Z_on_grid(): about {min(outside, 1):.1%} of the mass seems to lie outside {bounds}, so log_Z is too "
            "small; take a wider box",
            stacklevel=3,
        )
    return GridIntegral(float(greatest + log_Z), abs(log_Z - coarse) + outside, axes, values - log_Z)


def _check_points(axis: np.ndarray, step: float, dtype: np.dtype) -> None:
    """Raise ValueError unless the points of an axis lie where they should, to a part of their distance."""
    spacing = float(np.spacing(np.abs(axis[[0, -1]]).max().astype(dtype)))
    if not step > 8 * spacing:
        raise ValueError(
            f"log_Z_on_grid() got an axis from {axis[0]:.10g} to {axis[-1]:.10g} in {len(axis) - 1} cells of "
            f"{step:.3g}, which {dtype} points, {spacing:.3g} apart there, cannot tell from one another; take fewer "
            "cells, dtype=np.float64, or coordinates from another origin"
        )


def _check_values(values: np.ndarray, points: np.ndarray) -> None:
    bad = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(bad):
        raise ValueError(
            f"log_Z_on_grid(): log_prob is NaN or +inf at {len(bad)} of {len(values)} points, such as "
            f"{points[bad[0]]}; give a log-density that is finite, or -inf where there is no mass"
        )
    if np.all(values == -np.inf):
        raise ValueError(f"log_Z_on_grid(): log_prob is -inf at all {len(values)} points; there is no mass to add up")


def _trapezoid(values: np.ndarray, steps: list[float]) -> float:
    """log of the sum over all points, those at an end of an axis half, times the volume of a cell."""
    for step in reversed(steps):
        ends = np.full(values.shape[-1], math.log(step))
        ends[[0, -1]] -= math.log(2)
        values = np.logaddexp.reduce(values + ends, axis=-1)
    return float(values)


def _outside(values: np.ndarray, steps: list[float]) -> float:
    """log of the mass beyond the faces, if the density falls there by e^-slope as at the border, or not at all.

    For a log-concave density it is a bound. What falls slowly, or rises, is counted as far as the box is wide.
    """
    found = []
    for axis, step in enumerate(steps):
        lines = np.moveaxis(values, axis, 0)
        width = step * (len(lines) - 1)
        for border, inner in ((lines[0], lines[1]), (lines[-1], lines[-2])):
            with np.errstate(invalid="ignore", over="ignore"):  # -inf less -inf
                slope = np.fmax((inner - border) / step, 1 / width)
            beyond = border - np.log(slope)
            found.append(_trapezoid(beyond, [steps[1 - axis]] if beyond.ndim else []))
    return float(np.logaddexp.reduce(found))


# --- from chains


class Annealed(NamedTuple):
    """`log_Z`, its `standard_error`, and draws that have the target's law when weighted.

    `draws` (n, d) and `log_weights` (n,); `acceptance_rate` (rungs,) of the moves at each rung; `effective_draws`, the
    size (sum w)^2 / sum w^2 of the weights, at most n. Where it is below about 10, a few chains carry all the weight:
    log_Z is then likely too small and its error said too small, and more rungs or steps are needed.
    """

    log_Z: float
    standard_error: float
    draws: np.ndarray
    log_weights: np.ndarray
    effective_draws: float
    acceptance_rate: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """The weights (n,), of sum 1: `weights @ f(draws)` is the mean of f under the target."""
        weights = np.exp(self.log_weights - self.log_weights.max())
        return weights / weights.sum()


def _is_ladder(rungs: Any) -> bool:
    if not isinstance(rungs, (Sequence, np.ndarray)) or not len(rungs) or not all(map(is_number, rungs)):
        return False
    return rungs[0] > 0 and rungs[-1] == 1 and bool(np.all(np.diff(np.asarray(rungs, np.float64)) > 0))


Rungs = Annotated[
    Sequence[float],
    Kind("numbers that rise from above 0 to 1", _is_ladder, lambda rungs: np.asarray(rungs, np.float64).tolist()),
]
Base = Annotated[
    Any,
    Kind(
        "a distribution with sample(n, rng) and log_prob(x), such as distributions.Normal(np.zeros(2), 3.0)",
        lambda base: callable(getattr(base, "sample", None)) and callable(getattr(base, "log_prob", None)),
        error=TypeError,
    ),
]


@checked
def annealed_importance_sampling(
    log_prob: LogProb,
    base: Base,
    n: Count,
    rng: Rng,
    *,
    kernel: Callable[[LogProb], Kernel] = mala,
    rungs: Count | Rungs = 100,
    steps: Count = 1,
    compile: bool = True,
    progress: bool = True,
) -> Annealed:
    """log Z of exp(log_prob) by n independent chains that are led from `base` to it, and weighted for the haste.

    Between the base p0 and the target f lie the rungs p0^(1 - b) f^b, b from 0 to 1. A chain starts as a draw of p0; at
    each rung its weight is multiplied by the rung's density over that of the one before, and then it is moved there.
    The mean weight is Z, without bias, for any number of rungs; but with few of them, or where chains cannot follow,
    a few weights outdo all others. The standard error of log Z is the mean weight's, divided by it (delta method).

    Parameters
    ----------
    log_prob : a function of tensors, (n, d) to (n,) or (n, 1), or a pair of NumPy functions (log_prob, gradient); see
        `Density`. Chains for which it becomes -inf have weight 0.
    base : a distribution of points (d,), such as `distributions.Normal(np.zeros(d), 3.0)`: with `sample(n, rng)`, and
        `log_prob` of tensors. It should be at least as wide as the target, so that no part of that is missed. The
        chains have the dtype of its draws: for float32 weights of a network give `Normal(np.zeros(d, np.float32), 3)`.
        Or one of `minigen.targets`, which has no gradient: with a kernel that asks for none, such as `random_walk`.
    kernel : makes the kernel from a log_prob: `mala`, or `lambda log_prob: hmc(log_prob, 0.2)`. If it gives no step
        size, n chains are first led up the ladder to find one for each rung, and thrown away.
    rungs : how many, with b = (k / rungs)^2 for k from 1, or the rising b themselves, the last of them 1.
    steps : moves of a chain at each rung.
    progress : show a bar, on a terminal.

    Ctrl-C raises KeyboardInterrupt after the move under way: the chains climb side by side, so before the last rung
    none has a weight to return. A second one interrupts at once.

    Warns where fewer than 10 draws are effective. Raises ValueError where log_prob is NaN or +inf at a chain, or all
    weights are 0.

    Neal (2001), "Annealed importance sampling", Statistics and Computing 11, 125, equations 3 to 11.
    """
    if n < 2:
        raise ValueError(
            "annealed_importance_sampling() got n=1; expected at least 2 chains, because a standard error needs as many"
        )
    ladder = rungs if isinstance(rungs, list) else [(k / rungs) ** 2 for k in range(1, rungs + 1)]
    path = _Path(base, log_prob, compile)
    mover = _mover(kernel, path)
    moves = steps * len(ladder)
    searches = mover.step_size is None
    with interrupt_flag() as pressed, progress_bar("annealing", moves + searches * (moves + SETTLING), progress) as bar:

        def count_move():
            bar.update()
            if pressed:
                raise KeyboardInterrupt(
                    f"annealed_importance_sampling() was interrupted; its {n} chains climb side by side and none has "
                    "come to the target, so there is nothing to return: take fewer rungs, steps or chains"
                )

        sizes = [mover.step_size] * len(ladder)
        if searches:
            search = _StepSizes(mover, steps, rng, count_move)
            _climb(path, mover, ladder, n, rng, search.move)
            sizes = search.found

        def move(k: int, state: State) -> tuple[State, float]:
            at_rung, rates = mover.replace(step_size=sizes[k]), []
            for _ in range(steps):
                state, info = at_rung.step(state, rng)
                count_move()
                rates.append(mean_rate(info))
            return state, float(np.mean(rates))

        draws, log_weights, rates = _climb(path, mover, ladder, n, rng, move)
    return _estimated(draws, log_weights, rates)


class _Path:
    """The density of the present rung as a pair of NumPy functions: p0^(1 - b) f^b, where b is `power`."""

    def __init__(self, base: Any, log_prob: LogProb, compile: bool):
        self.base = base
        self._first = Density(base.log_prob, compile)
        self._last = Density(log_prob, compile)
        self.power, self.needs_grad = 0.0, True
        self._seen, self._grad = None, None

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n points of the base (n, d)."""
        position = self.base.sample(n, rng)
        if np.ndim(position) != 2:
            raise ValueError(
                f"annealed_importance_sampling(): the base's points have shape {np.shape(position)[1:]}; expected "
                "(d,): give it arrays as parameters, such as Normal(np.zeros(1), 3.0) in one dimension"
            )
        return as_position(position, "annealed_importance_sampling()")

    def terms(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p0 and log f, (n,) each; their gradients are kept for `gradient`."""
        if not self.needs_grad:
            return self._first.value(position), self._last.value(position)
        (first, first_grad), (last, last_grad) = self._first(position), self._last(position)
        self._seen, self._grad = position, self.between(first_grad, last_grad)
        return first, last

    def value(self, position: np.ndarray) -> np.ndarray:
        """log p of the rung, (n,)."""
        return self.between(*self.terms(position))

    def gradient(self, position: np.ndarray) -> np.ndarray:
        """The gradient of that, (n, d)."""
        if position is not self._seen:  # a kernel asks for it right after the value
            self.terms(position)
        return self._grad

    def between(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """(1 - b) first + b last. Where either power is 0 its term is left out, because 0 times -inf is NaN."""
        if self.power in (0.0, 1.0):
            return last if self.power else first
        return (1 - self.power) * first + self.power * last


def _mover(kernel: Callable[[LogProb], Kernel], path: _Path) -> Kernel:
    """The kernel that moves chains on the path; ValueError for one that cannot keep the law of a rung."""
    mover = kernel((path.value, path.gradient))
    if mover.target is None or mover.temperature != 1:
        raise ValueError(
            f"annealed_importance_sampling() got the kernel {mover!r}; expected one that keeps each rung's law: with "
            "an acceptance step, unlike ula, and at temperature 1"
        )
    path.needs_grad = mover.needs_grad
    return mover


def _climb(
    path: _Path,
    kernel: Kernel,
    ladder: Sequence[float],
    n: int,
    rng: np.random.Generator,
    move: Callable[[int, State], tuple[State, float]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lead n chains from the base up the ladder: their draws, log weights, and the acceptance rate at each rung.

    `move(k, state)` gives the chains moved at rung k, and the mean acceptance rate of their moves.
    """
    path.power = before = 0.0
    position = path.draw(n, rng)
    kernel.replace(step_size=kernel.step_size or FIRST_STEP).init(position)  # raises for what is wrong with the base
    log_weights, rates = np.zeros(n), []
    with np.errstate(all="ignore"):
        for k, power in enumerate(ladder):  # Python floats let the arrays keep their dtype
            path.power = power
            first, last = path.terms(position)
            _check_weights("the base's log_prob", first, position)
            _check_weights("log_prob", last, position)
            # The first rung has -inf where f is 0; so has every one after it.
            log_weights += (power - before) * (last.astype(np.float64) - first)
            state = State(position, path.between(first, last), path.gradient(position) if path.needs_grad else None)
            state, rate = move(k, state)
            rates.append(rate)
            position, before = state.position, power
    return position, log_weights, np.array(rates)


class _StepSizes:
    """Moves that look for the step size of each rung, in `found`: it goes towards the kernel's target rate.

    Chains moved in this way carry no weight.
    """

    def __init__(self, kernel: Kernel, steps: int, rng: np.random.Generator, count_move: Callable[[], None]):
        self.kernel, self.steps, self.rng, self.count_move = kernel, steps, rng, count_move
        self.size = FIRST_STEP
        self.found: list[float] = []

    def move(self, k: int, state: State) -> tuple[State, float]:
        """The chains moved at rung k, and the acceptance rate of the last move."""
        rate = 0.0
        for i in range(self.steps + (SETTLING if k == 0 else 0)):
            mover, before = self.kernel.replace(step_size=self.size), state
            state, info = mover.step(before, self.rng)
            self.count_move()
            rate = mean_rate(info)
            if i == k == 0:
                with suppress(NoStepSize):  # as where f is 0 at nearly all draws of the base
                    self.size = rough_step_size(mover, before, rate, self.rng, BRIDGED)
            if self.size == mover.step_size:
                self.size *= math.exp(rate - self.kernel.target)
        self.found.append(self.size)
        return state, rate


def _estimated(draws: np.ndarray, log_weights: np.ndarray, rates: np.ndarray) -> Annealed:
    """log Z from the chains' weights, and how far to trust it."""
    n, greatest = len(log_weights), log_weights.max()
    if greatest == -np.inf:
        raise ValueError(
            "annealed_importance_sampling(): log_prob is -inf at all chains; give a base that lies where the target "
            "has mass"
        )
    weights = np.exp(log_weights - greatest)
    mean = weights.mean()
    effective = float(weights.sum() ** 2 / np.sum(weights**2))
    if effective < FEWEST_EFFECTIVE:
        warnings.warn(
            f"annealed_importance_sampling(): the weights are worth {effective:.1f} draws of {n}, so log_Z is likely "
            "too small and its standard error too; take more rungs, more steps, or a base nearer to the target",
            stacklevel=4,
        )
    error = float(weights.std(ddof=1) / (mean * math.sqrt(n)))
    return Annealed(float(greatest + math.log(mean)), error, draws, log_weights, effective, rates)


def _check_weights(name: str, values: np.ndarray, position: np.ndarray) -> None:
    bad = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(bad):
        raise ValueError(
            f"annealed_importance_sampling(): {name} is NaN or +inf at {len(bad)} of {len(values)} chains, such as at "
            f"{np.array2string(position[bad[0]], precision=4, threshold=6)}; give a log-density that is finite, or "
            "-inf where there is no mass"
        )
