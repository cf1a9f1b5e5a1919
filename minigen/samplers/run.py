"""From a kernel to draws: the loop over steps, the warm-up that finds the step size, and settings that change.

Anything with `init(position)` and `step(rng, state)` is a kernel here; adaptation and schedules also ask for
`replace(step_size=..., temperature=...)`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from .._support.arguments import check_fraction, check_positive, check_rng, check_size
from .._support.interrupt import interrupt_flag
from .kernel import Info, Kernel

Schedule = Callable[[int], float]
FIRST_STEP = 0.1  # where adaptation begins when no step size was given
FARTHEST = 1e30  # the factor from there at which it gives up


def sample(
    kernel: Kernel,
    position,
    n: int,
    rng: np.random.Generator,
    warmup: int = 0,
    thin: int = 1,
    progress: bool = True,
    *,
    step_size: float | Schedule | None = None,
    temperature: float | Schedule | None = None,
) -> tuple[np.ndarray, Info]:
    """`n` draws from each chain, (chains, n, d), and the infos of their steps, each of their arrays (chains, n).

    Parameters
    ----------
    kernel : such as `mala(log_prob, 0.1)`, or your own: an object with `init(position)` and `step(rng, state)`. One
        that has no step size has it adapted during the warm-up, and only there (see `adapt`).
    position : where the chains start, (chains, d), float32 or float64; the draws have its dtype.
    warmup : steps made before the first draw, which are thrown away.
    thin : steps for each draw. Its info is that of all of them: the mean rate, and whether any was accepted, divergent.
    progress : show a bar, on a terminal.
    step_size, temperature : numbers, or schedules such as `geometric(10.0, 1.0, 500)`: functions of the number of steps
        made so far, those of the warm-up included. They stand in for the kernel's own.

    Ctrl-C ends the chains after the step under way: what was drawn so far is returned, with a warning. A second one
    interrupts at once. Raises ValueError for positions of another shape and where log p is not finite at the start.
    """
    caller = "sample()"
    check_rng(rng, caller)
    n, thin = check_size(n, "n", caller), check_size(thin, "thin", caller)
    warmup = 0 if type(warmup) is int and warmup == 0 else check_size(warmup, "warmup", caller)
    changing = {"step_size": step_size, "temperature": temperature}
    changing = {name: value for name, value in changing.items() if value is not None}
    adapts = getattr(kernel, "step_size", 0.0) is None and step_size is None
    if adapts and not warmup:
        raise ValueError(
            f"{caller} got {kernel.name}() without a step_size and no warm-up to find it in; give a step_size, or "
            "warmup=500"
        )
    state, done = kernel.init(position), 0
    with interrupt_flag() as pressed, _bar(warmup + n * thin, progress) as bar:
        if adapts:
            kernel, state = _adapted(kernel, state, rng, warmup, kernel.target, changing, pressed, bar)
            done = warmup
        draws = np.empty((len(state.position), n, *state.position.shape[1:]), state.position.dtype)
        infos, i = _Infos(n, thin), 0
        while i < n and not pressed:
            state, info = _set(kernel, changing, done).step(rng, state)
            done += 1
            bar.update()
            if done > warmup:
                infos.add(info, i)
                if (done - warmup) % thin == 0:
                    draws[:, i] = state.position
                    i += 1
    if i < n:
        warnings.warn(f"sample() was interrupted after {i} of {n} draws, which it returns", stacklevel=2)
    return draws[:, :i], infos.first(i, len(draws))


def adapt(
    kernel: Kernel,
    position,
    rng: np.random.Generator,
    steps: int = 500,
    target: float | None = None,
    progress: bool = True,
) -> tuple[Kernel, np.ndarray]:
    """Find the step size: the kernel with it, and where the chains are after these `steps`, (chains, d).

    By dual averaging the mean acceptance rate of all chains comes to `target`: by default 0.574 for `mala`, 0.8 for
    `hmc`, 0.234 for `random_walk`. The search begins at the kernel's own step size. While it lasts the chains are no
    Markov chains, so throw them away and sample with what is returned:

        kernel, position = adapt(mala(log_prob), position, rng)
        draws, infos = sample(kernel, position, 1000, rng)

    Raises ValueError for a kernel that accepts everything, such as `ula`.
    """
    caller = "adapt()"
    check_rng(rng, caller)
    if target is None and kernel.target is None:
        raise ValueError(f"{caller} got {kernel.name}(), which accepts everything: there is no rate to adapt by")
    target = kernel.target if target is None else check_fraction(target, "target", caller)
    steps = check_size(steps, "steps", caller)
    with interrupt_flag() as pressed, _bar(steps, progress) as bar:
        kernel, state = _adapted(kernel, kernel.init(position), rng, steps, target, {}, pressed, bar)
    if pressed:
        warnings.warn("adapt() was interrupted; the step size is what was found so far", stacklevel=2)
    return kernel, state.position


def _adapted(kernel, state, rng, steps, target, changing, pressed, bar):
    search = DualAveraging(FIRST_STEP if kernel.step_size is None else kernel.step_size, target)
    for i in range(steps):
        if pressed:
            break
        state, info = _set(kernel, changing, i).replace(step_size=search.step_size).step(rng, state)
        search.update(float(np.mean(info.acceptance_rate)))
        bar.update()
    return kernel.replace(step_size=search.average), state


class DualAveraging:
    """Search for the step size at which the acceptance rate is `target`: Hoffman and Gelman (2014), section 3.2.

    `step_size` is the one to try next, `average` the mean of those tried so far, late ones weighing more: the result.
    """

    def __init__(self, step_size: float, target: float):
        self.target, self.step_size, self.average = target, step_size, step_size
        self._first, self._towards = step_size, math.log(10 * step_size)  # the latter is mu of the paper,
        self._count, self._error = 0, 0.0  # these are m and H

    def update(self, acceptance_rate: float) -> None:
        """Take the mean acceptance rate of a step with `step_size` into account.

        Raises ValueError when the search leads nowhere, as where the density is the same everywhere.
        """
        self._count += 1
        m, gamma, t0, kappa = self._count, 0.05, 10, 0.75
        self._error += (self.target - acceptance_rate - self._error) / (m + t0)
        log_step = self._towards - math.sqrt(m) / gamma * self._error
        if abs(log_step - math.log(self._first)) > math.log(FARTHEST):
            found = "every step is accepted, however large" if log_step > self._towards else "no step is, however small"
            raise ValueError(
                f"the search for a step size has come from {self._first:.3g} to {self.step_size:.3g}: {found}; is the "
                "density flat, or log_prob not that of a density? With a step_size of your own nothing is searched"
            )
        weight = m**-kappa
        self.average = math.exp(weight * log_step + (1 - weight) * math.log(self.average))
        self.step_size = math.exp(log_step)


def geometric(first: float, last: float, steps: int) -> Schedule:
    """A schedule from `first` to `last` in `steps` steps by equal factors, as for a temperature that falls."""
    check_positive(first, "first", "geometric()"), check_positive(last, "last", "geometric()")
    check_size(steps, "steps", "geometric()")
    return lambda step: first * (last / first) ** min(step / steps, 1.0)


def linear(first: float, last: float, steps: int) -> Schedule:
    """A schedule from `first` to `last` in `steps` steps of equal size."""
    check_positive(first, "first", "linear()"), check_positive(last, "last", "linear()")
    check_size(steps, "steps", "linear()")
    return lambda step: first + (last - first) * min(step / steps, 1.0)


def _set(kernel, changing: dict, step: int):
    """The kernel with the settings of this step."""
    if not changing:
        return kernel
    return kernel.replace(**{name: value(step) if callable(value) else value for name, value in changing.items()})


def _bar(steps: int, progress: bool) -> tqdm:
    return tqdm(total=steps, desc="sampling", disable=None if progress else True, leave=False, mininterval=0.2)


class _Infos:
    """The infos of all draws, stacked: each array (chains, ...) of one becomes (chains, n, ...)."""

    def __init__(self, n: int, thin: int):
        self.n, self.thin, self.stacked = n, thin, None

    def add(self, info, row: int) -> None:
        """Add the info of a step to that of its draw: booleans by `or`, numbers to the mean."""
        arrays = [np.asarray(array) for array in info]
        if self.stacked is None:
            self.stacked = type(info)(*(np.zeros((len(a), self.n, *a.shape[1:]), a.dtype) for a in arrays))
        for total, array in zip(self.stacked, arrays):
            if array.dtype == bool:
                total[:, row] |= array
            else:
                total[:, row] += array / self.thin if self.thin > 1 else array

    def first(self, n: int, chains: int):
        """The first n."""
        if self.stacked is None:
            return Info(*(np.empty((chains, 0), dtype) for dtype in (float, bool, bool)))
        return type(self.stacked)(*(array[:, :n] for array in self.stacked))
