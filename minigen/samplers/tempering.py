"""Chains that cannot leave their valley: parallel tempering lends them the freedom of hotter ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._support.arguments import Kind, checked, is_number
from .kernel import Kernel, State


def _are_rising(values: Any) -> bool:
    if np.ndim(values) != 1 or len(values) < 2 or not all(is_number(value) and 0 < value < np.inf for value in values):
        return False
    return all(a < b for a, b in pairwise(values))


Temperatures = Annotated[
    Sequence[float],
    Kind(
        "two or more positive numbers that rise, such as (1, 2, 4, 8)",
        _are_rising,
        lambda values: [float(t) for t in values],
    ),
]


class Ladder(NamedTuple):
    """The coldest chains as in State, and `states`, those of all temperatures, the coldest first."""

    position: np.ndarray
    log_prob: np.ndarray
    grad: np.ndarray | None
    states: tuple[State, ...]


class TemperingInfo(NamedTuple):
    """The info of the coldest chains' own move, and `swap_rate` (chains, k - 1) between neighbouring temperatures: the
    probability with which the two swapped places, and 0 where it was not their turn.
    """

    acceptance_rate: np.ndarray
    is_accepted: np.ndarray
    is_divergent: np.ndarray
    swap_rate: np.ndarray


class Tempering:
    """A kernel that moves chains at k rising `temperatures` and lets neighbours swap places; its draws are the coldest.

    Each chain has a ladder of its own: k times the work of `kernel`, from which it takes all but the temperature.
    States x_i at T_i swap with probability min(1, exp((1 / T_i - 1 / T_j) (log p(x_j) - log p(x_i)))), which keeps the
    law at each temperature. In a step either pairs 1-2, 3-4, ... have their turn, or pairs 2-3, 4-5, ..., by chance.

    Geyer (1991), "Markov chain Monte Carlo maximum likelihood".
    """

    @checked
    def __init__(self, kernel: Kernel, temperatures: Temperatures):
        self.kernels = [kernel.replace(temperature=t) for t in temperatures]

    def init(self, position: ArrayLike) -> Ladder:
        """All temperatures start at these positions (chains, d)."""
        state = self.kernels[0].init(position)
        return Ladder(*state, (state,) * len(self.kernels))

    def step(self, ladder: Ladder, rng: np.random.Generator) -> tuple[Ladder, TemperingInfo]:
        """Move all chains once, then let neighbours swap."""
        moved = [kernel.step(state, rng) for kernel, state in zip(self.kernels, ladder.states)]
        states, info = [state for state, _ in moved], moved[0][1]
        rates = np.zeros((len(ladder.log_prob), len(states) - 1), ladder.log_prob.dtype)
        for i in range(int(rng.integers(2)), len(states) - 1, 2):
            cold, hot = states[i : i + 2]
            rates[:, i] = swap_rate(cold, hot, *(kernel.temperature for kernel in self.kernels[i : i + 2]))
            swapped = rng.random(len(rates)) < rates[:, i]
            states[i : i + 2] = _choose(swapped, hot, cold), _choose(swapped, cold, hot)
        return Ladder(*states[0], tuple(states)), TemperingInfo(*info, rates)


def swap_rate(cold: State, hot: State, cold_temperature: float, hot_temperature: float) -> np.ndarray:
    """min(1, exp((1 / T_i - 1 / T_j) (log p(x_j) - log p(x_i)))), (chains,)."""
    colder = (hot_temperature - cold_temperature) / hot_temperature / cold_temperature
    with np.errstate(all="ignore"):
        return np.exp(np.minimum(colder * (hot.log_prob - cold.log_prob), 0.0))


def _choose(chosen: np.ndarray, a: State, b: State) -> State:
    """The states of a where `chosen` (chains,) is True, those of b elsewhere."""
    pick = lambda x, y: np.where(chosen.reshape(-1, *(1,) * (x.ndim - 1)), x, y)
    return State(*(None if x is None else pick(x, y) for x, y in zip(a, b)))
