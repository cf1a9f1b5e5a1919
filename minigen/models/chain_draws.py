"""Chains that end in samples of a model: the density they walk on, the kernels by name, and where they lead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np

from .._support.settings import one_of
from ..samplers import Kernel, adapt, mala, sample, ula
from .scaling import Scale

KERNELS = {"mala": mala, "ula": ula}
KernelName = Annotated[str, one_of(KERNELS)]


def in_data_units(log_density: Callable, scale: Scale, temperature: float) -> Callable:
    """From log p of points in scaled data to log p / T, up to a constant, of points in data units: float32 tensors."""
    mean, sd = (np.asarray(number, np.float32) for number in scale)
    beta = np.float32(1 / temperature)
    return lambda x: log_density((x - mean) / sd) * beta


def kernel_of(name: str, log_prob: Callable, step_size: float | None) -> Kernel:
    """The kernel of this name on a log-density."""
    return KERNELS[name](log_prob, step_size)


def ends(kernel: Kernel, position: np.ndarray, steps: int, rng: np.random.Generator, progress: bool) -> np.ndarray:
    """Where chains from these positions (n, d) are after so many steps, and as many before if a step size is sought."""
    if kernel.step_size is None:
        kernel, position = adapt(kernel, position, rng, steps, progress=progress)
    draws, _ = sample(kernel, position, 1, rng, thin=steps, progress=progress)
    return draws[:, 0] if draws.shape[1] else position
