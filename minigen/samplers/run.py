"""From a kernel to draws: the loop over steps.

Anything with `init(position)` and `step(state, rng)` is a kernel here; adaptation and schedules also ask for
`replace(step_size=..., temperature=...)`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._support.arguments import Count, Positive, Rng, Whole, checked
from .._support.interrupt import interrupt_flag
from .adaptation import search
from .kernel import Info
from .progress import progress_bar
from .schedules import Schedule, at_step


@checked
def sample(
    kernel: Any,
    position: ArrayLike,
    n: Count,
    rng: Rng,
    warmup: Whole = 0,
    thin: Count = 1,
    progress: bool = True,
    *,
    step_size: Positive | Schedule | None = None,
    temperature: Positive | Schedule | None = None,
) -> tuple[np.ndarray, Info]:
    """`n` draws from each chain, (chains, n, d), and the infos of their steps, each of their arrays (chains, n).

    Parameters
    ----------
    kernel : such as `mala(log_prob, 0.1)`, or your own: an object with `init(position)` and `step(state, rng)`. One
        that has no step size has it adapted during the warm-up, and only there (see `adapt`).
    position : where the chains start, (chains, d); the draws have the dtype of `kernel.init(position)`, see
        `Density.start`.
    warmup : steps made before the first draw, which are thrown away.
    thin : steps for each draw. Its info is that of all of them: the mean rate, and whether any was accepted, divergent.
    progress : show a bar, on a terminal.
    step_size, temperature : numbers, or schedules such as `geometric(10.0, 1.0, 500)`: functions of the number of steps
        made so far, those of the warm-up included. They stand in for the kernel's own.

    Ctrl-C ends the chains after the step under way: what was drawn so far is returned, with a warning. A second one
    interrupts at once. Raises ValueError for positions of another shape and where log p is not finite at the start.
    """
    changing = {"step_size": step_size, "temperature": temperature}
    changing = {name: value for name, value in changing.items() if value is not None}
    adapts = step_size is None and getattr(kernel, "step_size", 0.0) is None
    if adapts and not warmup:
        raise ValueError(
            f"sample() got {kernel.name}() without a step_size and no warm-up to find it in; give a step_size, or "
            "warmup=500"
        )
    state = kernel.init(position)
    draws = np.empty((len(state.position), n, *state.position.shape[1:]), state.position.dtype)
    infos, drawn = _Infos(n, thin), 0
    with interrupt_flag() as pressed, progress_bar("sampling", warmup + n * thin, progress) as bar:
        steps = range(warmup + n * thin)
        if adapts:
            kernel, state = search(kernel, state, rng, warmup, kernel.target, changing, pressed, bar)
            steps = steps[warmup:]
        for step in steps:
            if pressed:
                break
            state, info = at_step(kernel, changing, step).step(state, rng)
            bar.update()
            if step >= warmup and infos.add(info):
                draws[:, drawn] = state.position
                drawn += 1
    if drawn < n:
        warnings.warn(f"sample() was interrupted after {drawn} of {n} draws, which it returns", stacklevel=3)
    return draws[:, :drawn], infos.first(drawn, len(draws))


class _Infos:
    """The infos of `n` draws, each that of `thin` steps, stacked: arrays (chains, ...) become (chains, n, ...)."""

    def __init__(self, n: int, thin: int):
        self.n, self.thin = n, thin
        self.stacked = None
        self._steps = 0
        self._totals: list[np.ndarray] = []  # of the steps of one draw, in float64

    def add(self, info: Any) -> bool:
        """Add the info of a step to that of its draw, booleans by `or`, numbers to the mean: is the draw complete?"""
        arrays = [np.asarray(array) for array in info]
        if self.stacked is None:
            self.stacked = type(info)(*(np.empty((len(a), self.n, *a.shape[1:]), self._dtype(a)) for a in arrays))
        row, step = divmod(self._steps, self.thin)
        self._steps += 1
        if self.thin > 1:
            arrays = self._totals = self._added(arrays, first=step == 0)
        if step + 1 < self.thin:
            return False
        for kept, total in zip(self.stacked, arrays):
            kept[:, row] = total if self.thin == 1 or total.dtype == bool else total / self.thin
        return True

    def _added(self, arrays: list[np.ndarray], first: bool) -> list[np.ndarray]:
        """The totals of a draw, numbers in float64, when a step's arrays are added to them."""
        if first:
            return [a if a.dtype == bool else a.astype(np.float64) for a in arrays]
        return [total | a if a.dtype == bool else total + a for total, a in zip(self._totals, arrays)]

    def _dtype(self, array: np.ndarray) -> np.dtype:
        """Means of whole numbers are floats."""
        return np.dtype(np.float64) if array.dtype.kind in "iu" and self.thin > 1 else array.dtype

    def first(self, n: int, chains: int) -> Any:
        """The first n."""
        if self.stacked is None:
            return Info(*(np.empty((chains, 0), dtype) for dtype in (float, bool, bool)))
        return type(self.stacked)(*(array[:, :n] for array in self.stacked))
