"""How far are trajectories from the physics of a pendulum, and what does one score that knows no physics?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.arguments import Rng, checked
from .._support.arrays import as_floats
from .pendulum_fit import nearest_pendulums


@dataclass(frozen=True, eq=False)
class PhysicsFit:
    """The pendulum closest to each trajectory.

    Attributes
    ----------
    residual : (n,)
        Root mean square deviation in rad; inf where there is no fit because the trajectory is not finite.
    factors : dict of (n,) arrays
        theta0 (rad) and omega0 (rad/s) at the first point, g_over_l (1/s^2) and, if drag was fitted, damping c/m (1/s);
        NaN where the residual is inf.
    """

    residual: np.ndarray
    factors: dict[str, np.ndarray]


@checked
def physics_residual(trajectories: Any, t: Any, *, drag: bool = False) -> PhysicsFit:
    """How far each trajectory is from the nearest motion of a pendulum: the yardstick of every generator.

    The equation of motion theta'' = -(g/L) sin(theta) - (c/m) theta' is fitted to each trajectory by itself, by least
    squares with theta0, omega0 and g/L free, and the deviation that remains is reported. A generator's clean
    trajectories (decoder means) score their distance from physics. Noisy ones score the root mean square of their
    noise, or a little less, because the fit follows the noise with 3 of its `steps` degrees of freedom.

    Swings, turns over the top and rests near it are all found, whatever the unit of time and however many full turns
    the angles count; how is told in `minigen.metrics.pendulum_fit`. Where a trajectory is far from any pendulum's, the
    fit found may be a local one.

    Parameters
    ----------
    trajectories : array_like of shape (n, steps)
        Angles in rad.
    t : array_like of shape (steps,)
        Their times in s, increasing.
    drag : bool
        Whether the drag over mass c/m >= 0 is free too; otherwise it is 0.

    Returns
    -------
    PhysicsFit

    Raises
    ------
    ValueError
        If the shapes do not match, the times do not increase, or there are fewer points than free factors plus one.
    """
    observed, t = _observed(trajectories), _times(t)
    free = 4 if drag else 3
    if t.shape != observed.shape[1:]:
        raise ValueError(
            f"physics_residual() got t of shape {t.shape}; expected a time for each of the {observed.shape[1]} points "
            "of a trajectory"
        )
    if t.size <= free:
        raise ValueError(f"physics_residual() got {t.size} points for {free} factors; give at least {free + 1}")

    residual = np.full(len(observed), np.inf)
    factors = np.full((len(observed), free), np.nan)
    # The square of a larger number than this, summed, would overflow.
    rows = np.flatnonzero(np.all(np.abs(observed) < 1e100, axis=1))
    factors[rows], residual[rows] = nearest_pendulums(observed[rows], t, free)
    names = ("theta0", "omega0", "g_over_l", "damping")
    return PhysicsFit(residual, {name: factors[:, j].copy() for j, name in enumerate(names[:free])})


def _observed(trajectories) -> np.ndarray:
    observed = as_floats(trajectories, "trajectories", "physics_residual()")
    if observed.ndim != 2:
        raise ValueError(
            f"physics_residual() got trajectories of shape {observed.shape}; expected (n, steps): for a single one "
            "give trajectory[None, :]"
        )
    return observed


def _times(t) -> np.ndarray:
    t = as_floats(t, "t", "physics_residual()")
    if not (np.isfinite(t).all() and np.all(np.diff(t) > 0)):
        raise ValueError("physics_residual() got t that is not finite and increasing, in s; sort the points by time")
    return t


@checked
def shuffled_control(trajectories: Any, rng: Rng) -> np.ndarray:
    """A generator that knows the distribution of each moment and nothing of motion: the yardstick's other end.

    Every column (moment) is shuffled over the trajectories, independently of the other columns. The distribution at
    each time stays exactly the data's; what ties one time to the next is gone.

    Parameters
    ----------
    trajectories : array_like of shape `(n, steps)`
    rng : numpy.random.Generator

    Returns
    -------
    array of shape `(n, steps)`
    """
    trajectories = as_floats(trajectories, "trajectories", "shuffled_control()")
    if trajectories.ndim != 2:
        raise ValueError(f"shuffled_control() got trajectories of shape {trajectories.shape}; expected (n, steps)")
    return rng.permuted(trajectories, axis=0)
