"""The two hot loops of the pendulum: moving it, and the least-squares equations of fitting its motion.

Everything is float64, one trajectory after another. The NumPy twin of `simulate` is `minigen.physics.integrators`, the
readable version; that of `normal_equations` stands below it.
"""

from __future__ import annotations

import math

import numpy as np

from .jit import njit

METHODS = ("euler", "euler_cromer", "velocity_verlet", "rk4")
"""Names of the step rules; `simulate` takes the position of a name in this tuple."""


@njit
def simulate(
    theta0: np.ndarray,
    omega0: np.ndarray,
    g_over_l: np.ndarray,
    damping: np.ndarray,
    dt: float,
    method: int,
    theta: np.ndarray,
    omega: np.ndarray,
) -> None:
    """Fill `theta` and `omega`, shape (n, steps), from factors of shape (n,)."""
    n, steps = theta.shape
    for i in range(n):
        x, v, p, c = theta0[i], omega0[i], g_over_l[i], damping[i]
        theta[i, 0], omega[i, 0] = x, v
        for k in range(1, steps):
            a = -p * math.sin(x) - c * v
            if method == 0:
                x, v = x + dt * v, v + dt * a
            elif method == 1:
                v += dt * a
                x += dt * v
            elif method == 2:
                x += dt * (v + 0.5 * dt * a)
                v += 0.5 * dt * (a - p * math.sin(x) - c * (v + dt * a))
            else:
                v2 = v + 0.5 * dt * a
                a2 = -p * math.sin(x + 0.5 * dt * v) - c * v2
                v3 = v + 0.5 * dt * a2
                a3 = -p * math.sin(x + 0.5 * dt * v2) - c * v3
                v4 = v + dt * a3
                a4 = -p * math.sin(x + dt * v3) - c * v4
                x += dt / 6.0 * (v + 2.0 * (v2 + v3) + v4)
                v += dt / 6.0 * (a + 2.0 * (a2 + a3) + a4)
            theta[i, k], omega[i, k] = x, v


@njit
def _step(x, v, p, c, s, u, h):
    """Angle and velocity one Runge-Kutta step h later; `s` and `u` (q,), the sensitivities of both, move along."""
    v1, sin1, cos1 = v, math.sin(x), math.cos(x)
    a1 = -p * sin1 - c * v1
    x2, v2 = x + 0.5 * h * v1, v + 0.5 * h * a1
    sin2, cos2 = math.sin(x2), math.cos(x2)
    a2 = -p * sin2 - c * v2
    x3, v3 = x + 0.5 * h * v2, v + 0.5 * h * a2
    sin3, cos3 = math.sin(x3), math.cos(x3)
    a3 = -p * sin3 - c * v3
    x4, v4 = x + h * v3, v + h * a3
    sin4, cos4 = math.sin(x4), math.cos(x4)
    a4 = -p * sin4 - c * v4
    for j in range(s.size):
        f1 = f2 = f3 = f4 = 0.0
        if j == 2:
            f1, f2, f3, f4 = -sin1, -sin2, -sin3, -sin4
        elif j == 3:
            f1, f2, f3, f4 = -v1, -v2, -v3, -v4
        u1 = u[j]
        b1 = f1 - p * cos1 * s[j] - c * u1
        u2 = u[j] + 0.5 * h * b1
        b2 = f2 - p * cos2 * (s[j] + 0.5 * h * u1) - c * u2
        u3 = u[j] + 0.5 * h * b2
        b3 = f3 - p * cos3 * (s[j] + 0.5 * h * u2) - c * u3
        u4 = u[j] + h * b3
        b4 = f4 - p * cos4 * (s[j] + h * u3) - c * u4
        s[j] += h / 6.0 * (u1 + 2.0 * (u2 + u3) + u4)
        u[j] += h / 6.0 * (b1 + 2.0 * (b2 + b3) + b4)
    x += h / 6.0 * (v1 + 2.0 * (v2 + v3) + v4)
    v += h / 6.0 * (a1 + 2.0 * (a2 + a3) + a4)
    return x, v


@njit
def normal_equations(
    factors: np.ndarray,
    observed: np.ndarray,
    t: np.ndarray,
    longest: np.ndarray,
    sse: np.ndarray,
    gradient: np.ndarray,
    curvature: np.ndarray,
) -> None:
    """Sum of squared residuals of simulated against observed angles, with its Gauss-Newton equations.

    `factors` (n, q) holds theta0, omega0, g/L and, if q = 4, c/m; `observed` (n, steps) at times `t` (steps,), between
    which Runge-Kutta steps of at most `longest` are made. Fills `sse` (n,), `gradient` J^T r (n, q) and `curvature`
    J^T J (n, q, q), where r = observed - simulated and J is the sensitivity of theta to the factors. A sensitivity s
    obeys the equation of motion differentiated by its factor, s'' = -(g/L) cos(theta) s - (c/m) s' + f, with
    f = -sin(theta) for g/L, f = -theta' for c/m and 0 for the others.
    """
    n, steps = observed.shape
    q = factors.shape[1]
    s = np.empty(q)
    u = np.empty(q)
    for i in range(n):
        x, v, p = factors[i, 0], factors[i, 1], factors[i, 2]
        c = factors[i, 3] if q == 4 else 0.0
        s[:] = 0.0
        u[:] = 0.0
        s[0] = 1.0
        u[1] = 1.0
        sse[i] = 0.0
        gradient[i] = 0.0
        curvature[i] = 0.0
        for k in range(steps):
            if k > 0:
                parts = math.ceil((t[k] - t[k - 1]) / longest - 1e-9)
                h = (t[k] - t[k - 1]) / parts
                for _ in range(parts):
                    x, v = _step(x, v, p, c, s, u, h)
            r = observed[i, k] - x
            sse[i] += r * r
            for j in range(q):
                gradient[i, j] += r * s[j]
                for l in range(j + 1):
                    curvature[i, j, l] += s[j] * s[l]
        for j in range(q):
            for l in range(j):
                curvature[i, l, j] = curvature[i, j, l]


def _step_numpy(position, velocity, p, c, h):
    """One Runge-Kutta step of the columns (n, 1 + q): the pendulums, and their sensitivities to each factor."""

    def acceleration(position, velocity):
        theta, omega = position[:, 0], velocity[:, 0]
        result = -(p * np.cos(theta))[:, None] * position - c[:, None] * velocity
        result[:, 0] = -p * np.sin(theta) - c * omega
        result[:, 3] -= np.sin(theta)
        if position.shape[1] == 5:
            result[:, 4] -= omega
        return result

    v1, a1 = velocity, acceleration(position, velocity)
    v2 = velocity + 0.5 * h * a1
    a2 = acceleration(position + 0.5 * h * v1, v2)
    v3 = velocity + 0.5 * h * a2
    a3 = acceleration(position + 0.5 * h * v2, v3)
    v4 = velocity + h * a3
    a4 = acceleration(position + h * v3, v4)
    return position + h / 6.0 * (v1 + 2.0 * (v2 + v3) + v4), velocity + h / 6.0 * (a1 + 2.0 * (a2 + a3) + a4)


def normal_equations_numpy(
    factors: np.ndarray,
    observed: np.ndarray,
    t: np.ndarray,
    longest: np.ndarray,
    sse: np.ndarray,
    gradient: np.ndarray,
    curvature: np.ndarray,
) -> None:
    """The same, moving all trajectories and their sensitivities one step at a time."""
    n, steps = observed.shape
    q = factors.shape[1]
    p = factors[:, 2]
    c = factors[:, 3] if q == 4 else np.zeros(n)
    # Column 0 is the pendulum itself, the others are its sensitivities.
    position = np.zeros((n, 1 + q))
    velocity = np.zeros((n, 1 + q))
    position[:, 0], velocity[:, 0] = factors[:, 0], factors[:, 1]
    position[:, 1] = velocity[:, 2] = 1.0

    sse[:], gradient[:], curvature[:] = 0.0, 0.0, 0.0
    for k in range(steps):
        if k > 0:
            parts = math.ceil((t[k] - t[k - 1]) / longest - 1e-9)
            h = (t[k] - t[k - 1]) / parts
            for _ in range(parts):
                position, velocity = _step_numpy(position, velocity, p, c, h)
        r = observed[:, k] - position[:, 0]
        s = position[:, 1:]
        sse += r * r
        gradient += r[:, None] * s
        curvature += s[:, :, None] * s[:, None, :]
