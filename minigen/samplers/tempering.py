"""Chains that cannot leave their valley: parallel tempering lends them the freedom of hotter ones."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._support.arguments import check_positive
from .kernel import Kernel, State


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

    def __init__(self, kernel: Kernel, temperatures):
        temperatures = [float(check_positive(t, "temperatures", "Tempering()")) for t in temperatures]
        if len(temperatures) < 2 or any(a >= b for a, b in pairwise(temperatures)):
            raise ValueError(
                f"Tempering() got temperatures {temperatures}; expected two or more that rise, such as (1, 2, 4, 8)"
            )
        self.kernels = [kernel.replace(temperature=t) for t in temperatures]

    def init(self, position) -> Ladder:
        """All temperatures start at these positions (chains, d)."""
        state = self.kernels[0].init(position)
        return Ladder(*state, (state,) * len(self.kernels))

    def step(self, rng: np.random.Generator, ladder: Ladder) -> tuple[Ladder, TemperingInfo]:
        """Move all chains once, then let neighbours swap."""
        moved = [kernel.step(rng, state) for kernel, state in zip(self.kernels, ladder.states)]
        states, info = [state for state, _ in moved], moved[0][1]
        rates = np.zeros((len(ladder.log_prob), len(states) - 1), ladder.log_prob.dtype)
        for i in range(int(rng.integers(2)), len(states) - 1, 2):
            cold, hot = states[i : i + 2]
            colder = 1 / self.kernels[i].temperature - 1 / self.kernels[i + 1].temperature
            rates[:, i] = np.exp(np.minimum(colder * (hot.log_prob - cold.log_prob), 0.0))
            swapped = rng.random(len(rates)) < rates[:, i]
            states[i : i + 2] = _choose(swapped, hot, cold), _choose(swapped, cold, hot)
        return Ladder(*states[0], tuple(states)), TemperingInfo(*info, rates)


def _choose(chosen: np.ndarray, a: State, b: State) -> State:
    pick = lambda x, y: np.where(chosen.reshape(-1, *(1,) * (x.ndim - 1)), x, y)
    return State(*(None if x is None else pick(x, y) for x, y in zip(a, b)))
