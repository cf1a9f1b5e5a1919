"""How does a pendulum swing, how much energy has it, and how long does one swing take?

A point mass m on a stiff, massless rod of length L, with drag c:

    theta'' = -(g/L) sin(theta) - (c/m) theta'

theta is the angle from hanging straight down. Without drag the mass drops out: a trajectory is fixed by theta0, omega0
and g/L alone.
"""

from typing import NamedTuple

import numpy as np

from minigen.physics import integrators

GRAVITY = 9.81
"""Acceleration of free fall in m/s^2."""


class Motion(NamedTuple):
    """Simulated pendulums: `t` in s, shape `(steps,)`; `theta` in rad and `omega` in rad/s, shape `(..., steps)`."""

    t: np.ndarray
    theta: np.ndarray
    omega: np.ndarray


def acceleration(theta, omega, length, *, mass=1.0, drag=0.0, gravity=GRAVITY):
    """Angular acceleration in rad/s^2 at angle `theta` (rad) and angular velocity `omega` (rad/s)."""
    return -(gravity / length) * np.sin(theta) - (drag / mass) * omega


def simulate(
    theta0,
    omega0,
    length,
    *,
    mass=1.0,
    drag=0.0,
    gravity: float = GRAVITY,
    steps: int = 500,
    dt: float = 0.01,
    method: str = "rk4",
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
    integrators.check_steps(steps, dt)
    if method not in integrators.METHODS:
        raise ValueError(f"there is no method {method!r}; choose one of {', '.join(integrators.METHODS)}")
    theta0 = _checked("theta0", theta0, "rad")
    omega0 = _checked("omega0", omega0, "rad/s")
    length = _checked("length", length, "m", above=0)
    mass = _checked("mass", mass, "kg", above=0)
    drag = _checked("drag", drag, "kg/s", least=0)
    gravity = _checked("gravity", gravity, "m/s^2", least=0)
    try:
        shape = np.broadcast_shapes(*(a.shape for a in (theta0, omega0, length, mass, drag, gravity)))
    except ValueError:
        shapes = ", ".join(str(a.shape) for a in (theta0, omega0, length, mass, drag))
        raise ValueError(
            f"theta0, omega0, length, mass and drag have shapes {shapes}, which do not broadcast; "
            "give each either one number or one number per pendulum"
        ) from None

    from minigen.kernels.jit import USE_NUMBA

    if USE_NUMBA:
        import minigen.kernels.pendulum as kernels

        flat = [np.broadcast_to(a, shape).ravel() for a in (theta0, omega0, gravity / length, drag / mass)]
        theta, omega = np.empty((flat[0].size, steps)), np.empty((flat[0].size, steps))
        kernels.simulate(*flat, float(dt), kernels.METHODS.index(method), theta, omega)
        theta, omega = theta.reshape(*shape, steps), omega.reshape(*shape, steps)
    else:
        theta, omega = integrators.integrate(
            integrators.METHODS[method],
            lambda x, v: acceleration(x, v, length, mass=mass, drag=drag, gravity=gravity),
            np.broadcast_to(theta0, shape),
            omega0,
            dt=dt,
            steps=steps,
        )
    return Motion(dt * np.arange(steps), theta, omega)


def energy(theta, omega, length, *, mass=1.0, gravity: float = GRAVITY) -> np.ndarray:
    """Kinetic plus potential energy in joule, zero for a pendulum at rest at the bottom.

    E = m L^2 omega^2 / 2 + m g L (1 - cos theta). All arguments broadcast: for `theta` and `omega` of shape
    `(n, steps)` give `length` and `mass` as numbers or with shape `(n, 1)`.
    """
    theta, omega, length = np.asarray(theta, float), np.asarray(omega, float), np.asarray(length, float)
    # 1 - cos theta = 2 sin^2(theta/2) without losing digits at small angles.
    return mass * length**2 * omega**2 / 2 + 2 * mass * gravity * length * np.sin(theta / 2) ** 2


def amplitude(theta0, omega0, length, *, gravity: float = GRAVITY) -> np.ndarray:
    """Largest angle in rad that an undamped pendulum reaches, from energy conservation.

    With the factors of `minigen.datasets.pendulum_trajectories` it is at most 1.79 rad, so those never go over the top.

    Raises
    ------
    ValueError
        If a pendulum has energy enough to go over the top: then its angle has no bound.
    """
    theta0, omega0, length = np.asarray(theta0, float), np.asarray(omega0, float), np.asarray(length, float)
    half = np.sin(theta0 / 2) ** 2 + omega0**2 * length / (4 * gravity)  # sin^2(theta_max / 2)
    if not np.all(half < 1):
        raise ValueError(
            f"a pendulum goes over the top and has no largest angle (sin^2(theta_max/2) would be {np.max(half):.4g}); "
            "give a smaller theta0, omega0 or length"
        )
    return 2 * np.arcsin(np.sqrt(half))


def exact_period(amplitude, length, *, gravity: float = GRAVITY) -> np.ndarray:
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
    amplitude = _checked("amplitude", amplitude, "rad")
    length = _checked("length", length, "m", above=0)
    if np.any(np.abs(amplitude) >= np.pi):
        raise ValueError(
            f"amplitude must be below pi rad in size, where the period is infinite; got {np.max(np.abs(amplitude)):.6g}"
        )
    return 2 * np.pi * np.sqrt(length / gravity) / arithmetic_geometric_mean(1.0, np.cos(amplitude / 2))


def arithmetic_geometric_mean(a, b) -> np.ndarray:
    """agm(a, b) of non-negative numbers: the common limit of repeated arithmetic and geometric means."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    for _ in range(64):
        a, b = (a + b) / 2, np.sqrt(a * b)
        if np.all(np.abs(a - b) <= 1e-15 * np.abs(a)):
            break
    return (a + b) / 2


def _checked(name: str, value, unit: str, *, above: float | None = None, least: float | None = None) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or an array of numbers in {unit}; got {value!r}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, in {unit}; it holds {array[~np.isfinite(array)].flat[0]}")
    if above is not None and not np.all(array > above):
        raise ValueError(f"{name} must be above {above} {unit}; its smallest value is {array.min()}")
    if least is not None and not np.all(array >= least):
        raise ValueError(f"{name} must be at least {least} {unit}; its smallest value is {array.min()}")
    return array
