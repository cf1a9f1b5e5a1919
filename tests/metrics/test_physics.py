"""The yardstick against SciPy: the fit of the equation of motion, and the control that knows no motion."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import minigen.kernels.pendulum as kernels
from minigen import metrics
from minigen.datasets import pendulum_trajectories
from minigen.physics import pendulum


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def data():
    return pendulum_trajectories(60, rng(1), view=100)


@pytest.mark.parametrize("q", [3, 4])
def test_normal_equations_equal_their_numpy_twin(q):
    factors = np.abs(rng(2).standard_normal((5, q))) + 0.2
    t = np.cumsum(rng(3).uniform(0.01, 0.09, 30))
    observed = rng(4).standard_normal((5, 30))
    results = []
    for run in (kernels.normal_equations, kernels.normal_equations_numpy):
        out = [np.full(shape, np.nan) for shape in ((5,), (5, q), (5, q, q))]
        run(factors, observed, t, 0.025, *out)
        results.append(out)
    for compiled, twin in zip(*results):
        np.testing.assert_allclose(compiled, twin, rtol=1e-10, atol=1e-10)


def test_sensitivities_against_finite_differences():
    factors = np.array([[0.8, -0.5, 6.0, 0.4], [1.4, 1.1, 4.2, 0.1]])
    t = np.linspace(0, 3, 40)

    def simulated(factors):
        """Angles (n, steps), read off the kernel: one observed angle of 0 or 1 changes the sum by x^2 or (1 - x)^2."""
        columns = []
        for k in range(t.size):
            sums = []
            for value in (0.0, 1.0):
                observed = np.zeros((2, t.size))
                observed[:, k] = value
                out = [np.empty(shape) for shape in ((2,), (2, 4), (2, 4, 4))]
                kernels.normal_equations(factors, observed, t, 0.025, *out)
                sums.append(out[0].copy())
            columns.append((sums[0] - sums[1] + 1) / 2)
        return np.array(columns).T

    h = 1e-5
    jacobian = np.stack(
        [(simulated(factors + h * np.eye(4)[j]) - simulated(factors - h * np.eye(4)[j])) / (2 * h) for j in range(4)],
        axis=-1,
    )
    observed = rng(5).standard_normal((2, t.size))
    sse, gradient, curvature = (np.empty(shape) for shape in ((2,), (2, 4), (2, 4, 4)))
    kernels.normal_equations(factors, observed, t, 0.025, sse, gradient, curvature)
    r = observed - simulated(factors)
    np.testing.assert_allclose(sse, np.sum(r**2, axis=1), rtol=1e-9)
    np.testing.assert_allclose(gradient, np.einsum("nk,nkj->nj", r, jacobian), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(curvature, np.einsum("nkj,nkl->njl", jacobian, jacobian), rtol=1e-6)


@pytest.mark.parametrize("drag", [False, True])
def test_the_fit_against_scipy_least_squares(data, drag):
    noisy = pendulum_trajectories(6, rng(6), view=50, drag=0.6 if drag else 0.0)
    fit = metrics.physics_residual(noisy.theta, noisy.t, drag=drag)

    def residuals(factors, observed):
        theta0, omega0, p, c = *factors, *([] if drag else [0.0])
        truth = solve_ivp(
            lambda _, y: [y[1], -p * np.sin(y[0]) - c * y[1]],
            (0, noisy.t[-1]),
            (theta0, omega0),
            t_eval=noisy.t,
            rtol=1e-9,
            atol=1e-10,
        )
        return truth.y[0] - observed

    for i in range(len(noisy)):
        start = [values[i] for values in noisy.factors.values()]
        bounds = ([-np.inf, -np.inf, 0.0, 0.0][: len(start)], np.inf)
        tolerances = {"xtol": 1e-10, "ftol": 1e-12, "gtol": 1e-10}
        best = least_squares(residuals, start, args=(noisy.theta[i],), bounds=bounds, **tolerances)
        assert fit.residual[i] == pytest.approx(np.sqrt(np.mean(best.fun**2)), abs=1e-6)
        np.testing.assert_allclose([values[i] for values in fit.factors.values()], best.x, atol=2e-4)


@pytest.mark.parametrize("drag", [0.0, 0.4])
def test_clean_trajectories_score_nothing_and_give_their_factors_back(drag):
    data = pendulum_trajectories(200, rng(7), view=100, noise=False, drag=drag)
    fit = metrics.physics_residual(data.theta, data.t, drag=drag > 0)
    assert fit.residual.max() < 1e-6
    for name, values in data.factors.items():
        np.testing.assert_allclose(fit.factors[name], values, atol=1e-5)


def test_noise_scores_its_size_and_shuffling_scores_much_more(data):
    noisy = metrics.physics_residual(data.theta, data.t).residual
    truth = np.sqrt(np.mean((data.theta - data.clean) ** 2, axis=1))
    assert np.all(noisy <= truth)
    np.testing.assert_allclose(noisy, truth, rtol=0.15)
    control = metrics.physics_residual(metrics.shuffled_control(data.clean, rng()), data.t).residual
    assert control.min() > 0.4


def test_without_drag_in_the_fit_a_dragged_pendulum_is_not_explained():
    data = pendulum_trajectories(20, rng(8), view=100, noise=False, drag=0.3)
    assert metrics.physics_residual(data.theta, data.t).residual.min() > 0.01
    assert metrics.physics_residual(data.theta, data.t, drag=True).residual.max() < 1e-6


def test_a_known_deviation_is_measured():
    """A third harmonic of small amplitude is no pendulum's: nearly all of it remains."""
    data = pendulum_trajectories(30, rng(9), view=100, noise=False)
    bump = 0.01 * np.sin(20 * data.t)
    residual = metrics.physics_residual(data.theta + bump, data.t).residual
    np.testing.assert_allclose(residual, np.sqrt(np.mean(bump**2)), rtol=0.05)


def test_the_sampling_does_not_matter():
    data = pendulum_trajectories(20, rng(10), noise=False)
    for steps in (500, 100, 25, 10):
        view = data.view(steps)
        fit = metrics.physics_residual(view.theta, view.t)
        assert fit.residual.max() < 1e-6
    keep = np.sort(rng(11).choice(500, 40, replace=False))
    fit = metrics.physics_residual(data.theta[:, keep], 100.0 + data.t[keep])
    assert fit.residual.max() < 1e-6
    np.testing.assert_allclose(fit.factors["theta0"], data.theta[:, keep[0]], atol=1e-5)


def test_pendulums_that_go_over_the_top_and_small_swings_are_fitted_too():
    speed = np.array([0.001, 0.1, 3.0, 6.5, 8.0, -12.0])
    motion = pendulum.simulate(0.1, speed, 1.5, steps=500)
    assert np.sum(np.abs(motion.theta).max(axis=1) > np.pi) == 3
    fit = metrics.physics_residual(motion.theta[:, ::5], motion.t[::5])
    assert fit.residual.max() < 1e-5
    np.testing.assert_allclose(fit.factors["g_over_l"], 9.81 / 1.5, rtol=1e-4)


def true_motions(theta0, omega0, g_over_l, t):
    """Angles (n, steps) of undamped pendulums by SciPy, far more precise than any fit has to be."""
    n = len(theta0)
    slope = lambda _, y: np.concatenate([y[n:], -g_over_l * np.sin(y[:n])])
    start = np.concatenate([theta0, omega0])
    return solve_ivp(slope, (0, t[-1]), start, t_eval=t, method="DOP853", rtol=1e-11, atol=1e-12).y[:n]


T100 = 0.05 * np.arange(100)


@pytest.mark.parametrize(
    ("kind", "n"), [("swings", 1000), ("counted from some turn", 300), ("rotations", 300), ("from the top", 40)]
)
def test_every_true_motion_is_found(kind, n):
    r = rng(30)
    g_over_l = 9.81 / r.uniform(0.5, 2.5, n)
    theta0, omega0 = r.uniform(-3, 3, n), r.uniform(-8, 8, n)
    if kind == "counted from some turn":
        theta0 += 2 * np.pi * r.integers(-9, 10, n)
    elif kind == "rotations":
        omega0 = r.uniform(8, 15, n) * r.choice([-1, 1], n)
    elif kind == "from the top":
        theta0, omega0 = np.pi + 10 ** r.uniform(-6, -1, n) * r.choice([-1, 1], n), 10 ** r.uniform(-6, -1, n)
    fit = metrics.physics_residual(true_motions(theta0, omega0, g_over_l, T100), T100)
    assert fit.residual.max() < 1e-5
    np.testing.assert_allclose(fit.factors["theta0"], theta0, atol=1e-4)


@pytest.mark.parametrize("turns", [-3, 0, 1])
def test_a_swing_just_below_the_separatrix_is_found(turns):
    """L = 1 m, from 1 rad at a speed that is 1e-5 to 1e-3 short of what carries it over the top."""
    short = np.array([1e-3, 1e-4, 1e-5])
    omega0 = np.sqrt(2 * 9.81 * (1 + np.cos(1.0))) * (1 - short)
    theta = true_motions(np.full(3, 1.0), omega0, np.full(3, 9.81), T100)
    assert theta.max() > 3
    fit = metrics.physics_residual(theta + 2 * np.pi * turns, T100)
    assert fit.residual.max() < 1e-5
    np.testing.assert_allclose(fit.factors["omega0"], omega0, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 60.0, 1e6])
@pytest.mark.parametrize("drag", [False, True])
def test_the_unit_of_time_does_not_matter(unit, drag):
    data = pendulum_trajectories(20, rng(31), view=100, drag=0.4 if drag else 0.0)
    plain = metrics.physics_residual(data.theta, data.t, drag=drag)
    other = metrics.physics_residual(data.theta, 3 * unit + unit * data.t, drag=drag)
    np.testing.assert_allclose(other.residual, plain.residual, rtol=1e-9)
    powers = {"theta0": 0, "omega0": 1, "g_over_l": 2, "damping": 1}
    for name, values in other.factors.items():
        np.testing.assert_allclose(values * unit ** powers[name], plain.factors[name], rtol=1e-4, atol=1e-6)


def test_trajectories_of_any_kind_become_floats(data):
    whole = np.round(40 * data.clean[:3]).astype(int)
    expected = metrics.physics_residual(whole.astype(float), data.t).residual
    t = np.arange(100, dtype="u1")
    for kind in ("i1", "i8", object):
        np.testing.assert_array_equal(metrics.physics_residual(whole.astype(kind), data.t).residual, expected)
    later = metrics.physics_residual(whole, t).residual  # times of one byte do not wrap
    np.testing.assert_array_equal(later, metrics.physics_residual(whole, t.astype(float)).residual)
    with pytest.raises(ValueError, match=r"masked value\(s\) *"):
        metrics.physics_residual(np.ma.masked_greater(data.clean, 0.5), data.t)


@pytest.mark.parametrize("drag", [False, True])
def test_garbage_gives_a_number_or_inf_and_never_nan(drag):
    r = rng(12)
    t = 0.05 * np.arange(100)
    garbage = np.stack(
        [
            np.zeros(100),
            np.full(100, 0.7),
            np.full(100, np.pi),
            np.full(100, np.nan),
            np.where(np.arange(100) == 50, np.inf, 0.3),
            np.full(100, 1e200),
            np.full(100, 1e90),
            1e6 * r.standard_normal(100),
            np.exp(2 * np.arange(100.0)),
            np.linspace(0, 1e4, 100),
            r.standard_normal(100),
            np.cumsum(r.standard_normal(100)),
            (-1.0) ** np.arange(100),
            np.eye(100)[3],
        ]
    )
    with np.errstate(all="raise"):
        fit = metrics.physics_residual(garbage, t, drag=drag)
    assert not np.isnan(fit.residual).any()
    np.testing.assert_array_equal(np.flatnonzero(np.isinf(fit.residual)), [3, 4, 5])
    for values in fit.factors.values():
        np.testing.assert_array_equal(np.isnan(values), np.isinf(fit.residual))
    np.testing.assert_allclose(fit.residual[:3], 0, atol=1e-12)
    finite = np.isfinite(fit.residual)
    size = np.sqrt(np.mean(garbage[finite] ** 2, axis=1))
    assert np.all(fit.residual[finite] <= size * (1 + 1e-9))


def test_one_bad_trajectory_does_not_touch_the_others(data):
    alone = metrics.physics_residual(data.theta[:5], data.t)
    mixed = metrics.physics_residual(np.vstack([np.full(100, np.nan), data.theta[:5], np.zeros(100)]), data.t)
    np.testing.assert_array_equal(mixed.residual[1:6], alone.residual)


def test_no_trajectories_give_no_residuals_and_float32_is_taken(data):
    assert metrics.physics_residual(np.empty((0, 100)), data.t).residual.shape == (0,)
    fit = metrics.physics_residual(data.clean.astype(np.float32), data.t.astype(np.float32))
    assert fit.residual.dtype == np.float64
    assert fit.residual.max() < 1e-5


def test_the_fit_runs_without_numba_and_gives_the_same(data):
    code = (
        "import sys, numpy as np; from minigen import metrics, datasets;"
        "d = datasets.pendulum_trajectories(4, np.random.default_rng(1), view=50);"
        "print(*metrics.physics_residual(d.theta, d.t, drag=True).residual, 'numba' in sys.modules)"
    )
    env = {**os.environ, "MINIGEN_KERNELS": "numpy"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    *residual, numba = run.stdout.split()
    assert numba == "False"
    d = pendulum_trajectories(4, rng(1), view=50)
    np.testing.assert_allclose(
        np.array(residual, float), metrics.physics_residual(d.theta, d.t, drag=True).residual, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("shape", "times", "words"),
    [
        ((100,), np.arange(100.0), ["(n, steps)", "(100,)", "[None, :]"]),
        ((2, 3, 100), np.arange(100.0), ["(n, steps)", "(2, 3, 100)"]),
        ((2, 100), np.arange(99.0), ["100 points", "(99,)"]),
        ((2, 3), np.arange(3.0), ["3 points", "at least 4"]),
        ((2, 5), np.array([0, 1, 1, 2, 3.0]), ["increasing"]),
        ((2, 5), np.array([0, 1, np.nan, 2, 3.0]), ["finite"]),
    ],
)
def test_misuse_of_the_fit_is_named(shape, times, words):
    with pytest.raises(ValueError) as caught:
        metrics.physics_residual(np.zeros(shape), times)
    assert all(word in str(caught.value) for word in words)


def test_the_control_keeps_each_moment_and_breaks_what_ties_them(data):
    before = data.clean.copy()
    control = metrics.shuffled_control(data.clean, rng(15))
    np.testing.assert_array_equal(data.clean, before)
    np.testing.assert_array_equal(np.sort(control, axis=0), np.sort(before, axis=0))
    jumps = lambda x: np.mean(np.abs(np.diff(x, axis=1)))
    assert jumps(control) > 3 * jumps(before)
    np.testing.assert_array_equal(control, metrics.shuffled_control(data.clean, rng(15)))
    with pytest.raises(TypeError, match="Generator"):
        metrics.shuffled_control(data.clean, 0)
    with pytest.raises(ValueError, match=r"\(n, steps\)"):
        metrics.shuffled_control(data.clean[0], rng())
