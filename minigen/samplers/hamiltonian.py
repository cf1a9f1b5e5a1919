"""Chains that roll: Hamiltonian Monte Carlo, its leapfrog steps, and the energy by which they are accepted.

A chain is given a random momentum p and moves as a ball does in the landscape U(x), minus the log density, with the
energy H(x, p) = U(x) + |p|^2 / 2. Exact motion keeps H and would always be accepted; the error of H decides. With
`scale` s, x_i has the mass 1 / s_i^2, and `momentum` is p_i s_i: N(0, 1) at temperature 1 on every axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import kernels
from .._support.arguments import Count, Positive, checked
from .density import Density, LogProb
from .kernel import Kernel, Scale, State

DIVERGENT = 1000.0  # an error of the energy, in units of the temperature, that no useful step makes (as in Stan)


class Phase(NamedTuple):
    """Points of phase space: `position`, `log_prob` and `grad` as in State, and `momentum` (chains, d)."""

    position: np.ndarray
    log_prob: np.ndarray
    grad: np.ndarray
    momentum: np.ndarray


@checked
def hmc(
    log_prob: LogProb,
    step_size: Positive | None = None,
    *,
    leapfrog_steps: Count = 10,
    temperature: Positive = 1.0,
    scale: Scale = 1.0,
    compile: bool = True,
) -> Kernel:
    """Hamiltonian Monte Carlo: `leapfrog_steps` steps of time `step_size` from a random momentum, then acceptance.

    Exact for exp(-U / temperature) at any step. One proposal costs `leapfrog_steps` gradients. The time
    `step_size * leapfrog_steps` should be about a quarter of the slowest oscillation, pi / 2 standard deviations; at
    twice that time a chain on a Gaussian comes out on the other side at the same height, and learns nothing.

    `step_size` is a time: one step of MALA of step size h is a leapfrog step of sqrt(2 h). None is left to `adapt`,
    which aims at acceptance 0.8. Proposals whose energy is off by more than 1000 are divergent, as those not finite.
    The other parameters are those of `ula`.

    Duane et al. (1987), "Hybrid Monte Carlo"; Neal (2011), "MCMC using Hamiltonian dynamics".
    """
    density = Density(log_prob, compile)

    def propose(state, noise, step_size, temperature, scale):
        start = Phase(*state, temperature**0.5 * noise)
        end = leapfrog(density, start, step_size, leapfrog_steps, scale)
        log_ratio = hmc_log_ratio(start, end, temperature)
        return State(*end[:3]), np.where(log_ratio < -DIVERGENT, -np.inf, log_ratio)

    return Kernel("hmc", density, propose, step_size, temperature, scale, target=0.8)


def leapfrog(density: Callable, start: Phase, step_size: float, steps: int, scale: float | np.ndarray = 1.0) -> Phase:
    """`steps` leapfrog steps: half a kick, then by turns a drift and a whole kick, and half a kick at the end.

    `density` gives log p and its gradient at points (n, d). Going back is going on with the momentum turned round.
    """
    position, log_prob, grad, momentum = start
    kick = step_size * scale
    momentum = momentum + kick / 2 * grad
    for i in range(steps):
        position = position + kick * momentum
        log_prob, grad = density(position)
        momentum = momentum + (kick if i < steps - 1 else kick / 2) * grad
    return Phase(position, log_prob, grad, momentum)


def hmc_log_ratio(start: Phase, end: Phase, temperature: float = 1.0) -> np.ndarray:
    """(H(start) - H(end)) / temperature, (chains,): the logarithm of the acceptance ratio.

    The difference of the two |p|^2 is taken as (p' - p) . (p' + p), which loses no digits where they are large.
    """
    kinetic = kernels.row_dot(end.momentum - start.momentum, end.momentum + start.momentum) / 2
    return (end.log_prob - start.log_prob - kinetic) / temperature
