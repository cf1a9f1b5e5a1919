"""Which step size? Warm-up finds the one at which as many proposals are accepted as is best."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from .._support.arguments import Count, Inside, Rng, checked
from .._support.interrupt import interrupt_flag
from .kernel import Kernel, State
from .progress import progress_bar
from .schedules import Schedule, at_step

FIRST_STEP = 0.1  # where adaptation begins when no step size was given
FARTHEST = {np.dtype(np.float32): 1e30, np.dtype(np.float64): 1e280}  # the factor from there at which it gives up
NONE, ALL = 1e-3, 0.999  # mean acceptance rates that tell nothing but the direction
STRIDE = 1e3  # the factor between two trials of a rough search
BRIDGED = 1e6  # the factor that dual averaging bridges by itself


@checked
def adapt(
    kernel: Kernel,
    position: ArrayLike,
    rng: Rng,
    steps: Count = 500,
    target: Inside | None = None,
    progress: bool = True,
) -> tuple[Kernel, np.ndarray]:
    """Find the step size: the kernel with it, and where the chains are after these `steps`, (chains, d).

    By dual averaging the mean acceptance rate of all chains comes to `target`: by default 0.574 for `mala`, 0.8 for
    `hmc`, 0.234 for `random_walk`. The search begins at the kernel's own step size. While it lasts the chains are no
    Markov chains, so throw them away and sample with what is returned:

        kernel, position = adapt(mala(log_prob), position, rng)
        draws, infos = sample(kernel, position, 1000, rng)

    Ctrl-C ends the search after the step under way: what was found so far is returned, with a warning. A second one
    interrupts at once. Raises ValueError for a kernel that accepts everything, such as `ula`.
    """
    if target is None and kernel.target is None:
        raise ValueError(f"adapt() got {kernel.name}(), which accepts everything: there is no rate to adapt by")
    state = kernel.init(position)
    with interrupt_flag() as pressed, progress_bar("sampling", steps, progress) as bar:
        kernel, state = search(kernel, state, rng, steps, target or kernel.target, {}, pressed, bar)
    if pressed:
        warnings.warn("adapt() was interrupted; the step size is what was found so far", stacklevel=3)
    return kernel, state.position


def search(
    kernel: Kernel,
    state: State,
    rng: np.random.Generator,
    steps: int,
    target: float,
    changing: Mapping[str, float | Schedule],
    pressed: Sequence[bool],
    bar: tqdm,
) -> tuple[Kernel, State]:
    """Adapt the step size for so many steps, or until Ctrl-C is `pressed`: the kernel with it, and the chains' state.

    `changing` are settings that have a schedule.
    """
    averaging = DualAveraging(kernel.step_size or FIRST_STEP, target)
    for i in range(steps):
        if pressed:
            break
        mover = at_step(kernel, changing, i).replace(step_size=averaging.step_size)
        before = state
        state, info = mover.step(before, rng)
        rate = mean_rate(info)
        rough = rough_step_size(mover, before, rate, rng, BRIDGED) if i == 0 else mover.step_size
        if rough == mover.step_size:
            averaging.update(rate)
        else:
            averaging = DualAveraging(rough, target)
        bar.update()
    return kernel.replace(step_size=averaging.average), state


def mean_rate(info: Any) -> float:
    """The mean acceptance rate of all chains in a step."""
    return float(np.mean(info.acceptance_rate, dtype=np.float64))


def rough_step_size(kernel: Kernel, state: State, rate: float, rng: np.random.Generator, bridged: float) -> float:
    """A step size not far from those at which some proposals are accepted and some are not, in any unit of position.

    It is that of `kernel`, at which `rate` were accepted, unless the right one is more than the factor `bridged` away.
    The trials draw from a copy of `rng`. Raises NoStepSize if all are accepted, or none is.
    """
    first = size = kernel.step_size
    if NONE < rate <= ALL:
        return first
    is_wide, rng, farthest = rate > ALL, copy.deepcopy(rng), FARTHEST[state.position.dtype]

    def rate_at(size: float) -> float:
        if not 1 / farthest <= size / first <= farthest:
            raise NoStepSize(first, size, is_wide)
        try:
            return mean_rate(kernel.replace(step_size=size).step(state, rng)[1])
        except ValueError:  # a log_prob may refuse points so far out, which is as good as rejecting them
            return 0.0

    if is_wide:
        while rate > ALL:
            rate = rate_at(size * STRIDE)
            size = size * STRIDE if rate > NONE else size
    else:
        while rate <= NONE:
            size = size / STRIDE
            rate = rate_at(size)
    return first if 1 / bridged <= size / first <= bridged else size


class NoStepSize(ValueError):
    """The search for a step size leads nowhere: all are accepted (`is_wide`), or none is."""

    def __init__(self, first: float, last: float, is_wide: bool):
        found = "every step is accepted, however large" if is_wide else "no step is, however small"
        super().__init__(
            f"the search for a step size has come from {first:.3g} to {last:.3g}: {found}; is the density flat, or "
            "log_prob not that of a density? With a step_size of your own nothing is searched"
        )


class DualAveraging:
    """Search for the step size at which the acceptance rate is `target`: Hoffman and Gelman (2014), section 3.2.

    `step_size` is the one to try next, `average` the mean of those tried so far, late ones weighing more: the result.
    """

    def __init__(self, step_size: float, target: float):
        self.target = target
        self.step_size = self.average = self._first = step_size
        self._log_attractor = math.log(10 * step_size)  # mu of the paper
        self._count = 0  # m
        self._mean_error = 0.0  # H

    def update(self, acceptance_rate: float) -> None:
        """Take the mean acceptance rate of a step with `step_size` into account.

        Raises ValueError when the search leads nowhere, as where the density is the same everywhere.
        """
        self._count += 1
        m, gamma, t0, kappa = self._count, 0.05, 10, 0.75
        self._mean_error += (self.target - acceptance_rate - self._mean_error) / (m + t0)
        log_step = self._log_attractor - math.sqrt(m) / gamma * self._mean_error
        if abs(log_step - math.log(self._first)) > math.log(FARTHEST[np.dtype(np.float32)]):
            raise NoStepSize(self._first, self.step_size, log_step > self._log_attractor)
        weight = m**-kappa
        self.average = math.exp(weight * log_step + (1 - weight) * math.log(self.average))
        self.step_size = math.exp(log_step)
