"""Chains that end in samples of a model: the density they walk on, the kernels by name, and where they lead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np

from .. import ops
from .._support.arguments import one_of
from ..samplers import Kernel, adapt, mala, sample, ula
from .scaling import Scale

KERNELS = {"mala": mala, "ula": ula}
KernelName = Annotated[str, one_of(KERNELS)]


def in_data_units(log_density: Callable, scale: Scale, temperature: float) -> Callable:
    """From log p of points in scaled data to log p / T, up to a constant, of points in data units.

    A function of tensors (n, d), float32 or float64: the network computes in float32, but where data lie is told in
    the dtype of the points. Raises ValueError for float32 where that cannot hold the data's unit or tell them apart.
    """
    beta = np.float32(1 / temperature)

    def of_data(x):
        mean, sd = (np.asarray(number, x.dtype) for number in scale)
        if x.dtype == np.float32:
            _check_float32(scale)
        unit = ops.astype((x - mean) / sd, np.float32)
        return ops.astype(log_density(unit) * beta, x.dtype)

    return of_data


def _check_float32(scale: Scale) -> None:
    with np.errstate(over="ignore", under="ignore"):
        sd = np.asarray(scale.sd, np.float32)
    resolution = np.max(np.finfo(np.float32).eps * np.abs(scale.mean) / scale.sd)
    if not (np.isfinite(sd).all() and (sd > np.finfo(np.float32).tiny).all() and resolution < 0.01):
        raise ValueError(
            f"log_density() got float32 points, which cannot tell data with a mean of {np.max(np.abs(scale.mean)):.3g} "
            f"and an SD of {np.min(scale.sd):.3g} apart; give float64 positions, as x.astype(np.float64)"
        )


def kernel_of(name: str, log_prob: Callable, step_size: float | None) -> Kernel:
    """The kernel of this name on a log-density."""
    return KERNELS[name](log_prob, step_size)


def ends(kernel: Kernel, position: np.ndarray, steps: int, rng: np.random.Generator, progress: bool) -> np.ndarray:
    """Where chains from these positions (n, d) are after so many steps, and as many before if a step size is sought."""
    if kernel.step_size is None:
        kernel, position = adapt(kernel, position, rng, steps, progress=progress)
    draws, _ = sample(kernel, position, 1, rng, thin=steps, progress=progress)
    return draws[:, 0] if draws.shape[1] else position
