"""How does an equation of motion x'' = a(x, v) become a trajectory?

Four step rules and the loop that repeats them. A rule takes the acceleration as a function and moves any number of
trajectories at once: positions and velocities are arrays of one shape `(...)`, and so is what `acceleration` returns.

| rule | order | evaluations of `a` per step | energy of an undamped oscillation |
|---|---|---|---|
| `euler` | 1 | 1 | grows without end |
| `euler_cromer` | 1 | 1 | wavers within a band, for all time |
| `velocity_verlet` | 2 | 2 | wavers within a much narrower band |
| `rk4` | 4 | 4 | drifts, very slowly |

Source: Hairer, Lubich and Wanner, "Geometric Numerical Integration", 2nd edition (2006), chapters I and II.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np

from .._support.arguments import ArrayKind, Count, Kind, Positive, checked
from .quantities import as_quantity

Acceleration = Callable[[np.ndarray, np.ndarray], np.ndarray]
Step = Callable[[Acceleration, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
Rule = Annotated[Step, Kind("a rule, such as integrators.rk4", callable, error=TypeError)]
State = Annotated[Any, ArrayKind(as_quantity)]


def euler(
    acceleration: Acceleration, position: np.ndarray, velocity: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """One explicit Euler step: position and velocity both move along the slopes at the start of the step.

    Parameters
    ----------
    acceleration : callable
        `acceleration(position, velocity)`, arrays of shape `(...)` to an array of shape `(...)`.
    position, velocity : array of shape `(...)`
    dt : float, the length of the step

    Returns
    -------
    position, velocity : arrays of shape `(...)` one step later
    """
    return position + dt * velocity, velocity + dt * acceleration(position, velocity)


def euler_cromer(
    acceleration: Acceleration, position: np.ndarray, velocity: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """One semi-implicit Euler step: the position moves with the new velocity. Arguments as for `euler`.

    Without damping the step preserves area in the plane of position and velocity (it is symplectic).
    Source: Cromer, American Journal of Physics 49, 455 (1981).
    """
    velocity = velocity + dt * acceleration(position, velocity)
    return position + dt * velocity, velocity


def velocity_verlet(
    acceleration: Acceleration, position: np.ndarray, velocity: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """One velocity Verlet step: the velocity moves with the mean of the accelerations at both ends.

    Arguments as for `euler`. Where the acceleration depends on the velocity, the one at the end of the step is taken at
    the velocity an Euler step predicts, which keeps the rule explicit and of order 2.
    Source: Swope et al., Journal of Chemical Physics 76, 637 (1982).
    """
    start = acceleration(position, velocity)
    position = position + dt * (velocity + 0.5 * dt * start)
    end = acceleration(position, velocity + dt * start)
    return position, velocity + 0.5 * dt * (start + end)


def rk4(
    acceleration: Acceleration, position: np.ndarray, velocity: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """One step of the classical Runge-Kutta rule of order 4. Arguments as for `euler`."""
    v1, a1 = velocity, acceleration(position, velocity)
    v2 = velocity + 0.5 * dt * a1
    a2 = acceleration(position + 0.5 * dt * v1, v2)
    v3 = velocity + 0.5 * dt * a2
    a3 = acceleration(position + 0.5 * dt * v2, v3)
    v4 = velocity + dt * a3
    a4 = acceleration(position + dt * v3, v4)
    return position + dt / 6 * (v1 + 2 * (v2 + v3) + v4), velocity + dt / 6 * (a1 + 2 * (a2 + a3) + a4)


METHODS: dict[str, Step] = {
    "euler": euler,
    "euler_cromer": euler_cromer,
    "velocity_verlet": velocity_verlet,
    "rk4": rk4,
}


@checked
def integrate(
    step: Rule, acceleration: Callable, position: State, velocity: State, *, dt: Positive, steps: Count
) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories from a step rule, the starting point included.

    Parameters
    ----------
    step : callable
        One of this module's rules, or any function with the same arguments.
    acceleration : callable
        `acceleration(position, velocity)`, arrays of shape `(...)` to an array of shape `(...)`.
    position, velocity : array_like of shapes that broadcast to `(...)`
        The state at time 0.
    dt : float
        Time between two points, in the units of the acceleration.
    steps : int
        Number of points; the last one is at time `(steps - 1) * dt`.

    Returns
    -------
    positions, velocities : arrays of shape `(..., steps)`, float64

    Raises
    ------
    ValueError
        If `dt` is not a positive number, `steps` is less than 1, or the acceleration has another shape than the
        position.
    """
    try:
        position, velocity = np.broadcast_arrays(position, velocity)
    except ValueError:
        raise ValueError(
            f"integrate() got position of shape {position.shape} and velocity of shape {velocity.shape}, which do not "
            "broadcast; give one of each per trajectory"
        ) from None
    shape = np.shape(acceleration(position, velocity))
    if shape != position.shape:
        raise ValueError(
            f"integrate() got an acceleration of shape {shape} for position and velocity of shape {position.shape}; "
            "give one starting point for each set of constants inside the acceleration"
        )
    positions = np.empty((steps, *position.shape))
    velocities = np.empty((steps, *position.shape))
    positions[0], velocities[0] = position, velocity
    for k in range(1, steps):
        position, velocity = step(acceleration, position, velocity, dt)
        positions[k], velocities[k] = position, velocity
    # Time is written first, for whole rows at a time, and handed out last, as the trajectories are read.
    last = [*range(1, positions.ndim), 0]
    return np.ascontiguousarray(positions.transpose(last)), np.ascontiguousarray(velocities.transpose(last))
