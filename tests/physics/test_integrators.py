"""The step rules against closed forms of the oscillator and against SciPy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from minigen.physics import integrators

METHODS = integrators.METHODS


def oscillator(frequency, damping):
    """Acceleration of x'' = -w^2 x - 2 d x', and its exact solution (position, velocity) at time t."""

    def exact(x0, v0, t):
        w = np.sqrt(frequency**2 - damping**2)
        b = (v0 + damping * x0) / w
        decay = np.exp(-damping * t)
        x = decay * (x0 * np.cos(w * t) + b * np.sin(w * t))
        return x, -damping * x + decay * w * (b * np.cos(w * t) - x0 * np.sin(w * t))

    return lambda x, v: -(frequency**2) * x - 2 * damping * v, exact


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("euler_cromer", 1), ("velocity_verlet", 2), ("rk4", 4)])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_order_of_convergence(method, order, damping):
    acceleration, exact = oscillator(np.array([1.3, 2.1, 2.9]), damping)
    x0, v0, end = np.array([0.7, -0.4, 1.1]), np.array([0.2, 1.5, -0.9]), 3.0
    errors = []
    for steps in (800, 1600):
        x, v = integrators.integrate(METHODS[method], acceleration, x0, v0, dt=end / steps, steps=steps + 1)
        truth = exact(x0, v0, end)
        errors.append(np.linalg.norm([x[:, -1] - truth[0], v[:, -1] - truth[1]]))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


def test_rk4_against_scipy_on_a_force_that_is_not_linear():
    def acceleration(x, v):
        return x - x**3 - 0.2 * v * np.abs(v)

    x, v = integrators.integrate(integrators.rk4, acceleration, [0.3, -1.2], [0.5, 0.1], dt=0.005, steps=801)
    for i, start in enumerate([(0.3, 0.5), (-1.2, 0.1)]):
        truth = solve_ivp(
            lambda _, y: [y[1], acceleration(y[0], y[1])], (0, 4), start, t_eval=[1, 4], rtol=1e-11, atol=1e-12
        ).y
        np.testing.assert_allclose([x[i, [200, 800]], v[i, [200, 800]]], truth, atol=1e-8)


def test_euler_gains_energy_by_its_exact_factor_and_the_symplectic_rules_stay_within_theirs():
    w, dt, steps = 2.0, 0.02, 20_001
    acceleration, _ = oscillator(w, 0.0)
    energy = {}
    for name, rule in METHODS.items():
        x, v = integrators.integrate(rule, acceleration, 0.8, 0.0, dt=dt, steps=steps)
        energy[name] = (v**2 + w**2 * x**2) / (w**2 * 0.8**2)
    growth = np.log(energy["euler"][-1]) / (steps - 1)
    assert growth == pytest.approx(np.log1p((w * dt) ** 2), rel=1e-9)
    # Euler-Cromer conserves v^2 + w^2 x^2 - w^2 dt x v, so its energy stays between 1/(1 + w dt/2) and 1/(1 - w dt/2);
    # velocity Verlet conserves v^2 + w^2 x^2 (1 - (w dt)^2 / 4).
    for half in (slice(0, steps // 2), slice(steps // 2, None)):
        for name, low, high in (
            ("euler_cromer", 1 / (1 + w * dt / 2), 1 / (1 - w * dt / 2)),
            ("velocity_verlet", 1 - (w * dt) ** 2 / 4, 1.0),
        ):
            assert energy[name][half].min() == pytest.approx(low, abs=2e-5)
            assert energy[name][half].max() == pytest.approx(high, abs=2e-5)
    # RK4 loses (w dt)^6 / 72 of the energy in each step.
    assert 1 - energy["rk4"][-1] == pytest.approx((steps - 1) * (w * dt) ** 6 / 72, rel=0.02)


def test_euler_cromer_is_symplectic_and_euler_is_not():
    def area(rule):
        h, x, v = 1e-5, 0.9, -0.4
        plus = [rule(lambda x, v: -3 * np.sin(x), x + dx, v + dv, 0.1) for dx, dv in ((h, 0), (0, h))]
        minus = [rule(lambda x, v: -3 * np.sin(x), x - dx, v - dv, 0.1) for dx, dv in ((h, 0), (0, h))]
        return np.linalg.det((np.array(plus) - np.array(minus)) / (2 * h))

    assert area(integrators.euler_cromer) == pytest.approx(1, abs=1e-9)
    assert area(integrators.velocity_verlet) == pytest.approx(1, abs=1e-9)
    assert area(integrators.euler) > 1.01


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_time_is_the_last_axis_and_the_start_is_included(shape):
    x0 = np.arange(np.prod(shape, dtype=int)).reshape(shape) + 0.5
    x, v = integrators.integrate(integrators.euler, lambda x, v: -x, x0, 2.0, dt=0.1, steps=4)
    assert x.shape == v.shape == (*shape, 4)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x[..., 0], x0)
    np.testing.assert_allclose(x[..., 1], x0 + 0.2)


def test_a_rule_of_ones_own():
    def midpoint(acceleration, x, v, dt):
        a = acceleration(x, v)
        return x + dt * (v + dt / 2 * a), v + dt * acceleration(x + dt / 2 * v, v + dt / 2 * a)

    x, _ = integrators.integrate(midpoint, lambda x, v: -x, 1.0, 0.0, dt=0.01, steps=101)
    assert x[-1] == pytest.approx(np.cos(1.0), abs=1e-4)


@pytest.mark.parametrize(
    ("steps", "dt", "error", "words"),
    [
        (0, 0.1, ValueError, ["steps=0", "1 or more"]),
        (2.5, 0.1, ValueError, ["steps=2.5", "a whole number"]),
        (True, 0.1, ValueError, ["steps=True", "a whole number"]),
        (5, 0.0, ValueError, ["dt", "positive", "0.0"]),
        (5, np.nan, ValueError, ["dt", "positive", "nan"]),
        (5, "0.1", ValueError, ["dt='0.1'", "a positive number"]),
    ],
)
def test_steps_and_dt_are_checked(steps, dt, error, words):
    with pytest.raises(error) as caught:
        integrators.integrate(integrators.rk4, lambda x, v: -x, 1.0, 0.0, dt=dt, steps=steps)
    assert all(word in str(caught.value) for word in words)


def test_an_acceleration_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"shape \(3,\).*shape \(2,\)|shape \(3,\).*shape \(\)"):
        integrators.integrate(integrators.rk4, lambda x, v: -np.ones(3), 1.0, 0.0, dt=0.1, steps=3)


@pytest.mark.parametrize("kind", ["u1", "i2", "u8", "f4", object])
def test_starts_of_any_kind_become_floats(kind):
    start = np.array([3, 200]).astype(kind)
    x, _ = integrators.integrate(integrators.rk4, lambda x, v: -x, start, -start.astype(float), dt=0.1, steps=9)
    exact = np.array([[3.0], [200.0]]) * (np.cos(0.1 * np.arange(9)) - np.sin(0.1 * np.arange(9)))
    np.testing.assert_allclose(x, exact, rtol=1e-4)
    for wrong in (np.ma.masked_equal([3, 200], 3), [3.0, np.nan]):
        with pytest.raises(ValueError, match=r"integrate\(\) got position"):
            integrators.integrate(integrators.rk4, lambda x, v: -x, wrong, 0.0, dt=0.1, steps=2)
