"""How does a pendulum swing, how much energy has it, and how long does one swing take?

A point mass m on a stiff, massless rod of length L, with drag c:

    theta'' = -(g/L) sin(theta) - (c/m) theta'

theta is the angle from hanging straight down. Without drag the mass drops out: a trajectory is fixed by theta0, omega0
and g/L alone.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from .._support.arguments import Count, Positive, checked
from . import integrators
from .quantities import Angle, AngularVelocity, Drag, Gravity, Length, Mass, together

GRAVITY = 9.81
"""Acceleration of free fall in m/s^2."""


class Motion(NamedTuple):
    """Simulated pendulums: `t` in s, shape `(steps,)`; `theta` in rad and `omega` in rad/s, shape `(..., steps)`."""

    t: np.ndarray
    theta: np.ndarray
    omega: np.ndarray


def acceleration(
    theta: Any, omega: Any, length: Any, *, mass: Any = 1.0, drag: Any = 0.0, gravity: Any = GRAVITY
) -> np.ndarray:
    """Angular acceleration in rad/s^2 at angle `theta` (rad) and angular velocity `omega` (rad/s)."""
    return -(gravity / length) * np.sin(theta) - (drag / mass) * omega


@checked
def simulate(
    theta0: Angle,
    omega0: AngularVelocity,
    length: Length,
    *,
    mass: Mass = 1.0,
    drag: Drag = 0.0,
    gravity: Gravity = GRAVITY,
    steps: Count = 500,
    dt: Positive = 0.01,
    method: Literal["rk4", "velocity_verlet", "euler_cromer", "euler"] = "rk4",
) -> Motion:
    """Trajectories of any number of pendulums from their factors.

    Parameters
    ----------
    theta0, omega0 : array_like
        Angle (rad) and angular velocity (rad/s) at time 0.
    length, mass, drag : array_like
        Length of the rod in m, mass in kg, drag in kg/s. All five factors broadcast to one shape `(...)`.
    gravity : float
        In m/s^2.
    steps : int
        Number of points, the starting point included.
    dt : float
        Time between two points in s, which is also the integrator's step.
    method : {"rk4", "velocity_verlet", "euler_cromer", "euler"}
        The step rule, see `minigen.physics.integrators`.

    Returns
    -------
    Motion
        `t` of shape `(steps,)`; `theta` and `omega` of shape `(..., steps)`, float64.

    Raises
    ------
    ValueError
        If a factor is not finite, a length or mass is not positive, drag or gravity is negative, the shapes do not
        broadcast, the method has no such name, or `steps` or `dt` is not positive.
    """
    theta0, omega0, length, mass, drag, gravity = together(
        "simulate()", theta0=theta0, omega0=omega0, length=length, mass=mass, drag=drag, gravity=gravity
    )
    from minigen.kernels.jit import USE_NUMBA

    run = _simulate_compiled if USE_NUMBA else _simulate_readable
    return Motion(dt * np.arange(steps), *run(theta0, omega0, gravity / length, drag / mass, dt, steps, method))


def _simulate_readable(theta0, omega0, g_over_l, damping, dt, steps, method):
    """Angles and angular velocities, by the step rules of `minigen.physics.integrators`."""
    rule = integrators.METHODS[method]
    slope = lambda theta, omega: -g_over_l * np.sin(theta) - damping * omega
    return integrators.integrate(rule, slope, theta0, omega0, dt=dt, steps=steps)


def _simulate_compiled(theta0, omega0, g_over_l, damping, dt, steps, method):
    """The same by a kernel."""
    import minigen.kernels.pendulum as kernels

    theta, omega = np.empty((theta0.size, steps)), np.empty((theta0.size, steps))
    factors = [x.ravel() for x in (theta0, omega0, g_over_l, damping)]
    kernels.simulate(*factors, float(dt), kernels.METHODS.index(method), theta, omega)
    return theta.reshape(*theta0.shape, steps), omega.reshape(*theta0.shape, steps)


@checked
def energy(
    theta: Angle, omega: AngularVelocity, length: Length, *, mass: Mass = 1.0, gravity: Gravity = GRAVITY
) -> np.ndarray:
    """Kinetic plus potential energy in joule, zero for a pendulum at rest at the bottom.

    E = m L^2 omega^2 / 2 + m g L (1 - cos theta). All arguments broadcast: for `theta` and `omega` of shape
    `(n, steps)` give `length` and `mass` as numbers or with shape `(n, 1)`.
    """
    theta, omega, length, mass, gravity = together(
        "energy()", theta=theta, omega=omega, length=length, mass=mass, gravity=gravity
    )
    # 1 - cos theta = 2 sin^2(theta/2) without losing digits at small angles.
    return mass * length**2 * omega**2 / 2 + 2 * mass * gravity * length * np.sin(theta / 2) ** 2


@checked
def amplitude(theta0: Angle, omega0: AngularVelocity, length: Length, *, gravity: Gravity = GRAVITY) -> np.ndarray:
    """Largest angle in rad that an undamped pendulum reaches, from energy conservation.

    With the factors of `minigen.datasets.pendulum_trajectories` it is at most 1.79 rad, so those never go over the top.

    Raises
    ------
    ValueError
        If a pendulum has energy enough to go over the top: then its angle has no bound.
    """
    theta0, omega0, length, gravity = together(
        "amplitude()", theta0=theta0, omega0=omega0, length=length, gravity=gravity
    )
    half = np.sin(theta0 / 2) ** 2 + omega0**2 * length / (4 * gravity)  # sin^2(theta_max / 2)
    if not np.all(half < 1):
        raise ValueError(
            "amplitude() got a pendulum that goes over the top and has no largest angle "
            f"(sin^2(theta_max/2) would be {np.max(half):.4g}); "
            "give a smaller theta0, omega0 or length"
        )
    return 2 * np.arcsin(np.sqrt(half))


@checked
def exact_period(amplitude: Angle, length: Length, *, gravity: Gravity = GRAVITY) -> np.ndarray:
    """Exact period in s of an undamped pendulum: T = 2 pi sqrt(L/g) / agm(1, cos(theta_max / 2)).

    Parameters
    ----------
    amplitude : array_like
        Largest angle theta_max in rad, below pi in size.
    length : array_like
        In m; broadcasts with `amplitude`.

    Raises
    ------
    ValueError
        If an amplitude is pi or more (the pendulum would stand on its head), or a length is not positive.

    Source: Adlaj, "An eloquent formula for the perimeter of an ellipse", Notices of the AMS 59, 1094 (2012).
    """
    amplitude, length, gravity = together("exact_period()", amplitude=amplitude, length=length, gravity=gravity)
    if np.any(np.abs(amplitude) >= np.pi):
        raise ValueError(
            f"exact_period() got amplitude={np.max(np.abs(amplitude)):.6g} rad; expected sizes below pi, where the "
            "period is infinite"
        )
    return 2 * np.pi * np.sqrt(length / gravity) / arithmetic_geometric_mean(1.0, np.cos(amplitude / 2))


def arithmetic_geometric_mean(a: Any, b: Any) -> np.ndarray:
    """agm(a, b) of non-negative numbers: the common limit of repeated arithmetic and geometric means."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    for _ in range(64):
        a, b = a / 2 + b / 2, np.sqrt(a) * np.sqrt(b)
        if np.all(np.abs(a - b) <= 1e-15 * np.abs(a)):
            break
    return a / 2 + b / 2
