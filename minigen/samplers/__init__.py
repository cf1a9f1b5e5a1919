"""Markov chains that sample from a density known up to a constant: kernels, `sample`, and tests of their exactness.

    kernel = mala(log_prob, step_size=0.1)
    draws, infos = sample(kernel, position, 1000, rng)

A kernel is a pair: `init(position)` gives a state, `step(state, rng)` the next state and an info, for all chains at
once, (chains, d). `ula`, `mala`, `hmc` and `random_walk` make them, `Tempering` makes one of another; `log_prob` is a
function of tensors, or a pair of NumPy functions (log_prob, gradient), and `from_energy(U)` makes one of an energy.
`exactness` tests a kernel of your own; `summary(draws, infos)` says how far draws may be trusted; `log_Z_on_grid` and
`annealed_importance_sampling` find the constant.
"""

from . import diagnostics, exactness
from .adaptation import DualAveraging, adapt
from .density import Density, check_gradient, from_energy
from .diagnostics import (
    Summary,
    autocorrelation,
    ess_bulk,
    ess_mean,
    ess_quantile,
    ess_tail,
    mcse_mean,
    mcse_quantile,
    mcse_sd,
    rhat,
    summary,
    to_arviz,
)
from .hamiltonian import hmc, leapfrog
from .kernel import Info, Kernel, State
from .langevin import mala, ula
from .partition import Annealed, GridIntegral, annealed_importance_sampling, log_Z_on_grid
from .random_walk import random_walk
from .run import sample
from .schedules import geometric, linear
from .tempering import Tempering

__all__ = [
    "Annealed",
    "Density",
    "DualAveraging",
    "GridIntegral",
    "Info",
    "Kernel",
    "State",
    "Summary",
    "Tempering",
    "adapt",
    "annealed_importance_sampling",
    "autocorrelation",
    "check_gradient",
    "diagnostics",
    "ess_bulk",
    "ess_mean",
    "ess_quantile",
    "ess_tail",
    "exactness",
    "from_energy",
    "geometric",
    "hmc",
    "leapfrog",
    "linear",
    "log_Z_on_grid",
    "mala",
    "mcse_mean",
    "mcse_quantile",
    "mcse_sd",
    "random_walk",
    "rhat",
    "sample",
    "summary",
    "to_arviz",
    "ula",
]
