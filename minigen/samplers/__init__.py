"""Markov chains that sample from a density known up to a constant: kernels, `sample`, and tests of their exactness.

    kernel = mala(log_prob, step_size=0.1)
    draws, infos = sample(kernel, position, 1000, rng)

A kernel is a pair: `init(position)` gives a state, `step(rng, state)` the next state and an info, for all chains at
once, (chains, d). `ula`, `mala`, `hmc` and `random_walk` make them, `Tempering` makes one of another; `log_prob` is a
function of tensors, or a pair of NumPy functions (log_prob, gradient), and `from_energy(U)` makes one of an energy.
`exactness` tests a kernel of your own.
"""

from . import exactness
from .chains import DualAveraging, adapt, geometric, linear, sample
from .density import Density, check_gradient, from_energy
from .hamiltonian import hmc, leapfrog
from .kernel import Info, Kernel, State
from .langevin import mala, ula
from .random_walk import random_walk
from .tempering import Tempering

__all__ = [
    "Density",
    "DualAveraging",
    "Info",
    "Kernel",
    "State",
    "Tempering",
    "adapt",
    "check_gradient",
    "exactness",
    "from_energy",
    "geometric",
    "hmc",
    "leapfrog",
    "linear",
    "mala",
    "random_walk",
    "sample",
    "ula",
]
