"""How much does an unnormalised density weigh? log Z, the logarithm of its integral, on a grid or from chains.

`log_Z_on_grid` adds up all of a box, in one or two dimensions. `annealed_importance_sampling` goes to any dimension, by
way of densities between one that can be drawn from and the target, and gives a standard error and weighted draws.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from .._support.arguments import check_rng, check_size, is_number
from .._support.interrupt import interrupt_flag
from .density import Density, LogProb, as_position
from .kernel import Kernel, State
from .langevin import mala

BLOCK = 1 << 16  # grid points evaluated at once
OUTSIDE = 1e-3  # the share of the mass that may seem to lie outside the box before a warning
FEW = 10  # effective draws below which the standard error of log Z means nothing
FIRST_STEP, SETTLING = 0.1, 20  # where the search for step sizes begins, and its moves before the ladder


class GridIntegral(NamedTuple):
    """`log_Z`, what it may be off by, and the normalised log-density on the grid.

    `error` is what halving the grid changed, plus the share of the mass that seems to lie outside the box. `axes` are
    the points of each axis, `log_prob` (points,) or (points, points), the first axis of which is the first coordinate.
    """

    log_Z: float
    error: float
    axes: tuple[np.ndarray, ...]
    log_prob: np.ndarray


def log_Z_on_grid(
    log_prob: LogProb,
    bounds: Sequence[tuple[float, float]],
    cells: int = 512,
    *,
    dtype=np.float64,
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
    Raises ValueError if log_prob is NaN or +inf at a point, or -inf at all of them.
    """
    caller = "log_Z_on_grid()"
    if check_size(cells, "cells", caller) % 2:
        raise ValueError(f"{caller} got cells={cells}; expected an even number, because every second point is left out")
    axes = tuple(np.linspace(low, high, cells + 1) for low, high in _checked_bounds(bounds, caller))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(dtype, copy=False)
    density = Density(log_prob, caller, compile)
    with np.errstate(all="ignore"):
        values = [density.value(points[i : i + BLOCK]) for i in range(0, len(points), BLOCK)]
    values = np.concatenate(values).astype(np.float64).reshape([cells + 1] * len(axes))
    _check_values(values.ravel(), points, caller)
    steps = [axis[1] - axis[0] for axis in axes]
    log_Z = _trapezoid(values, steps)
    coarse = _trapezoid(values[(slice(None, None, 2),) * len(axes)], [2 * step for step in steps])
    outside = math.exp(_outside(values, steps) - log_Z)
    if outside > OUTSIDE:
        warnings.warn(
            f"{caller}: about {min(outside, 1):.1%} of the mass seems to lie outside {list(map(tuple, bounds))}, so "
            "log_Z is too small; take a wider box",
            stacklevel=2,
        )
    return GridIntegral(log_Z, abs(log_Z - coarse) + outside, axes, values - log_Z)


def _checked_bounds(bounds, caller: str) -> list[tuple[float, float]]:
    pairs = [tuple(pair) for pair in bounds] if np.ndim(bounds) == 2 else []
    if len(pairs) not in (1, 2) or not all(len(p) == 2 and -math.inf < p[0] < p[1] < math.inf for p in pairs):
        raise ValueError(
            f"{caller} got bounds={bounds!r:.80}; expected (low, high) for each axis, low < high: [(-3, 3)] in one "
            "dimension, [(-3, 3), (-4, 4)] in two. In more dimensions use annealed_importance_sampling()"
        )
    return pairs


def _check_values(values, points, caller: str) -> None:
    bad = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(bad):
        raise ValueError(
            f"{caller}: log_prob is NaN or +inf at {len(bad)} of {len(values)} points, such as {points[bad[0]]}; give "
            "a log-density that is finite, or -inf where there is no mass"
        )
    if np.all(values == -np.inf):
        raise ValueError(f"{caller}: log_prob is -inf at all {len(values)} points; there is no mass to add up")


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
            with np.errstate(invalid="ignore"):  # -inf less -inf
                slope = np.fmax((inner - border) / step, 1 / width)
            beyond = border - np.log(slope)
            found.append(_trapezoid(beyond, [steps[1 - axis]] if beyond.ndim else []))
    return float(np.logaddexp.reduce(found))


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


def annealed_importance_sampling(
    log_prob: LogProb,
    base,
    n: int,
    rng: np.random.Generator,
    *,
    kernel: Callable[[LogProb], Kernel] = mala,
    rungs: int | Sequence[float] = 100,
    steps: int = 1,
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
    base : a distribution of points (d,), such as `distributions.Normal(np.zeros(d), 3.0)`: with `sample(rng, n)`, and
        `log_prob` of tensors. It should be at least as wide as the target, so that no part of that is missed. The
        chains have the dtype of its draws: for float32 weights of a network give `Normal(np.zeros(d, np.float32), 3)`.
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
    caller = "annealed_importance_sampling()"
    check_rng(rng, caller)
    n, steps, ladder = check_size(n, "n", caller), check_size(steps, "steps", caller), _ladder(rungs, caller)
    if n < 2:
        raise ValueError(f"{caller} got n=1; a standard error needs at least 2 chains")
    path = _Path(base, log_prob, caller, compile)
    mover = kernel((path.value, path.gradient))
    if mover.target is None or mover.temperature != 1:
        raise ValueError(
            f"{caller} got the kernel {mover!r}; expected one that keeps each rung's law: with an acceptance step, "
            "unlike ula, and at temperature 1"
        )
    path.needs_grad = mover.needs_grad
    sizes, moves = None, steps * len(ladder)
    searches = mover.step_size is None
    total = moves + searches * (moves + SETTLING)
    bar = tqdm(total=total, desc="annealing", disable=None if progress else True, leave=False, mininterval=0.2)
    with interrupt_flag() as pressed, bar:

        def moved():
            bar.update()
            if pressed:
                raise KeyboardInterrupt(
                    f"{caller} was interrupted; its {n} chains climb side by side and none has come to the target, so "
                    "there is nothing to return: take fewer rungs, steps or chains"
                )

        if searches:
            _, _, sizes, _ = _climb(path, mover, ladder, steps, rng, n, None, caller, moved)
        draws, log_weights, _, rates = _climb(path, mover, ladder, steps, rng, n, sizes, caller, moved)
    greatest = log_weights.max()
    if greatest == -np.inf:
        raise ValueError(f"{caller}: log_prob is -inf at all chains; give a base that lies where the target has mass")
    weights = np.exp(log_weights - greatest)
    mean = weights.mean()
    effective = float(weights.sum() ** 2 / np.sum(weights**2))
    if effective < FEW:
        warnings.warn(
            f"{caller}: the weights are worth {effective:.1f} draws of {n}, so log_Z is likely too small and its "
            "standard error too; take more rungs, more steps, or a base nearer to the target",
            stacklevel=2,
        )
    error = float(weights.std(ddof=1) / (mean * math.sqrt(n)))
    return Annealed(float(greatest + math.log(mean)), error, draws, log_weights, effective, rates)


def _ladder(rungs, caller: str) -> np.ndarray:
    """The powers b of the target, the first above 0, the last 1."""
    if is_number(rungs) or not np.ndim(rungs):
        rungs = check_size(rungs, "rungs", caller)
        return (np.arange(1, rungs + 1) / rungs) ** 2
    ladder = np.asarray(rungs, np.float64)
    if ladder.ndim != 1 or not len(ladder) or ladder[0] <= 0 or ladder[-1] != 1 or not np.all(np.diff(ladder) > 0):
        raise ValueError(f"{caller} got rungs={rungs!r:.80}; expected numbers that rise from above 0 to 1, or how many")
    return ladder


class _Path:
    """The density of the present rung as a pair of NumPy functions: p0^(1 - b) f^b, where b is `power`."""

    def __init__(self, base, log_prob: LogProb, caller: str, compile: bool):
        if not callable(getattr(base, "sample", None)) or not callable(getattr(base, "log_prob", None)):
            raise TypeError(
                f"{caller} got base={base!r:.80}; expected a distribution with sample(rng, n) and log_prob(x), such as "
                "distributions.Normal(np.zeros(2), 3.0)"
            )
        self.base = base
        self.densities = Density(base.log_prob, caller, compile), Density(log_prob, caller, compile)
        self.power, self.needs_grad, self._last = 0.0, True, (None, None)

    def terms(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p0 and log f, (n,) each; their gradients are kept for `gradient`."""
        if not self.needs_grad:
            return tuple(density.value(position) for density in self.densities)
        (first, first_grad), (last, last_grad) = (density(position) for density in self.densities)
        self._last = position, self._between(first_grad, last_grad)
        return first, last

    def value(self, position: np.ndarray) -> np.ndarray:
        return self._between(*self.terms(position))

    def gradient(self, position: np.ndarray) -> np.ndarray:
        if position is not self._last[0]:  # a kernel asks for it right after the value
            self.terms(position)
        return self._last[1]

    def _between(self, first, last):
        """Where either power is 0 the other term is left out, because 0 times -inf is NaN."""
        if self.power in (0.0, 1.0):
            return last if self.power else first
        return (1 - self.power) * first + self.power * last


def _climb(path: _Path, kernel: Kernel, ladder, steps: int, rng, n: int, sizes, caller: str, moved: Callable):
    """Lead n chains up: draws, log weights, the step size and the mean acceptance rate of each rung.

    Without a step size the last is moved towards the kernel's target rate while they climb, so they carry no weight.
    `moved()` is called after each move.
    """
    position = path.base.sample(rng, n)
    if np.ndim(position) != 2:
        raise ValueError(
            f"{caller}: the base's points have shape {np.shape(position)[1:]}; expected (d,): give it "
            "arrays as parameters, such as Normal(np.zeros(1), 3.0) in one dimension"
        )
    position = as_position(position, caller)
    path.power = 0.0
    searching = kernel.step_size is None and sizes is None
    size, used, rates = FIRST_STEP, [], []
    kernel.replace(step_size=kernel.step_size or size).init(position)  # raises for what is wrong with the base
    log_weights, before = np.zeros(n), 0.0
    with np.errstate(all="ignore"):
        for k, power in enumerate(ladder.tolist()):  # Python floats let the arrays keep their dtype
            path.power = power
            first, last = path.terms(position)
            _check_weights(first, last, position, caller)
            # The first rung has -inf where f is 0; so has every one after it.
            log_weights += (power - before) * (last.astype(np.float64) - first)
            state = State(position, path._between(first, last), path.gradient(position) if path.needs_grad else None)
            moves = []
            for _ in range(steps + (SETTLING if searching and k == 0 else 0)):
                if searching:
                    mover = kernel.replace(step_size=size)
                else:
                    mover = kernel if sizes is None else kernel.replace(step_size=sizes[k])
                state, info = mover.step(rng, state)
                moved()
                moves.append(float(np.mean(info.acceptance_rate)))
                if searching:
                    size *= math.exp(moves[-1] - kernel.target)
            position, before = state.position, power
            used.append(size), rates.append(np.mean(moves))
    return position, log_weights, used, np.array(rates)


def _check_weights(first, last, position, caller: str) -> None:
    for name, values in (("the base's log_prob", first), ("log_prob", last)):
        bad = np.flatnonzero(np.isnan(values) | (values == np.inf))
        if len(bad):
            raise ValueError(
                f"{caller}: {name} is NaN or +inf at {len(bad)} of {len(values)} chains, such as at "
                f"{np.array2string(position[bad[0]], precision=4, threshold=6)}; give a log-density that is finite, or "
                "-inf where there is no mass"
            )
