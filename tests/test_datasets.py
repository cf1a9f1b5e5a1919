"""The standard set: its distributions, its noise, its splits and what it refuses."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from minigen.datasets import pendulum_trajectories, train_test_split


def rng(seed=0):
    return np.random.default_rng(seed)


def test_shapes_dtypes_and_ranges():
    data = pendulum_trajectories(40, rng(), steps=60)
    assert len(data) == 40
    assert data.t.shape == (60,)
    assert data.theta.shape == data.clean.shape == (40, 60)
    for name, (low, high) in {"theta0": (0.5, 1.5), "omega0": (0.5, 1.5), "length": (1, 2.5), "mass": (1, 2.5)}.items():
        values = getattr(data, name)
        assert values.shape == (40,)
        assert low <= values.min() < values.max() <= high
    assert {a.dtype for a in (data.t, data.theta, data.clean, data.theta0, data.mass)} == {np.dtype(float)}
    np.testing.assert_array_equal(data.clean[:, 0], data.theta0)
    np.testing.assert_array_equal(data.theta[:, 0], data.theta0)  # no noise at t = 0


def test_factors_are_uniform_and_independent():
    data = pendulum_trajectories(4000, rng(1), steps=2)
    columns = np.array([data.theta0, data.omega0, data.length, data.mass])
    for values, low, width in zip(columns, (0.5, 0.5, 1, 1), (1, 1, 1.5, 1.5)):
        assert kstest(values, "uniform", args=(low, width)).pvalue > 1e-3
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.06


def test_clean_trajectories_obey_the_equation_of_motion():
    data = pendulum_trajectories(3, rng(2), drag=0.4)
    for i in range(3):
        truth = solve_ivp(
            lambda _, y: [y[1], -9.81 / data.length[i] * np.sin(y[0]) - 0.4 / data.mass[i] * y[1]],  # noqa: B023
            (0, 5),
            (data.theta0[i], data.omega0[i]),
            t_eval=data.t,
            rtol=1e-10,
            atol=1e-11,
        ).y[0]
        np.testing.assert_allclose(data.clean[i], truth, atol=1e-6)


def test_noise_grows_as_stated_and_is_independent():
    data = pendulum_trajectories(4000, rng(3), view=100)
    noise = data.theta - data.clean
    np.testing.assert_allclose(noise[:, 1:].std(axis=0), 0.1 * data.t[1:], rtol=0.06)
    assert np.mean(noise**2) == pytest.approx(0.01 * np.mean(data.t**2), rel=0.01)
    assert np.abs(noise.mean(axis=0)).max() < 5 * 0.5 / np.sqrt(4000)
    z = noise[:, 1:] / data.t[1:] / 0.1
    assert np.abs(np.mean(z[:, 1:] * z[:, :-1])) < 0.01


def test_the_noise_floor_is_a_third_of_the_last_variance():
    data = pendulum_trajectories(2000, rng(4))
    assert np.mean((data.theta - data.clean) ** 2) == pytest.approx(0.083, abs=0.001)
    assert np.sqrt(np.mean(data.clean**2)) == pytest.approx(0.83, abs=0.02)


def test_noise_as_a_switch_and_as_a_number():
    standard = pendulum_trajectories(5, rng(), noise=True)
    np.testing.assert_array_equal(standard.theta, pendulum_trajectories(5, rng(), noise=0.1).theta)
    none = pendulum_trajectories(5, rng(), noise=False)
    np.testing.assert_array_equal(none.theta, none.clean)
    triple = pendulum_trajectories(5, rng(), noise=0.3)
    np.testing.assert_allclose(triple.theta - triple.clean, 3 * (standard.theta - standard.clean), atol=1e-12)


def test_same_seed_same_data_and_the_same_pendulums_whatever_the_noise():
    a, b, c = (pendulum_trajectories(6, rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(a.theta, b.theta)
    assert np.abs(a.theta - c.theta).max() > 0.1
    quiet = pendulum_trajectories(6, rng(5), noise=False, drag=1.0)
    for name in ("theta0", "omega0", "length", "mass"):
        np.testing.assert_array_equal(getattr(a, name), getattr(quiet, name))


def test_the_100_step_view_is_a_view_of_the_same_five_seconds():
    data = pendulum_trajectories(4, rng(7))
    short = pendulum_trajectories(4, rng(7), view=100)
    for view in (short, data.view(100)):
        np.testing.assert_array_equal(view.theta, data.theta[:, ::5])
        np.testing.assert_array_equal(view.clean, data.clean[:, ::5])
        np.testing.assert_array_equal(view.t, data.t[::5])
        assert view.theta.flags.c_contiguous
    np.testing.assert_array_equal(short.length, data.length)


def test_take_keeps_factors_and_trajectories_together():
    data = pendulum_trajectories(6, rng(8), steps=10, drag=0.2)
    some = data.take([4, 1])
    assert len(some) == 2
    np.testing.assert_array_equal(some.theta, data.theta[[4, 1]])
    np.testing.assert_array_equal(some.mass, data.mass[[4, 1]])
    assert some.drag == 0.2
    np.testing.assert_array_equal(data.take(data.mass > 1.5).length, data.length[data.mass > 1.5])
    np.testing.assert_array_equal(data.take(3).theta, data.theta[3:4])


def test_factors_are_what_a_trajectory_depends_on():
    data = pendulum_trajectories(6, rng(9), steps=10)
    assert list(data.factors) == ["theta0", "omega0", "g_over_l"]
    np.testing.assert_allclose(data.factors["g_over_l"] * data.length, 9.81)
    dragged = pendulum_trajectories(6, rng(9), steps=10, drag=0.3)
    np.testing.assert_allclose(dragged.factors["damping"], 0.3 / dragged.mass)


def test_split_shares_no_trajectory_and_loses_none():
    data = pendulum_trajectories(50, rng(10), steps=5)
    train, test = train_test_split(data, rng(1), test=0.3)
    assert (len(train), len(test)) == (35, 15)
    assert not set(train.theta0) & set(test.theta0)
    assert set(train.theta0) | set(test.theta0) == set(data.theta0)
    for part in (train, test):
        rows = [int(np.flatnonzero(data.theta0 == value)[0]) for value in part.theta0]
        np.testing.assert_array_equal(part.theta, data.theta[rows])
        np.testing.assert_array_equal(part.length, data.length[rows])
    again, _ = train_test_split(data, rng(1), test=0.3)
    np.testing.assert_array_equal(again.theta0, train.theta0)
    other, _ = train_test_split(data, rng(2), test=0.3)
    assert set(other.theta0) != set(train.theta0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"rng": 0}, TypeError, ["rng", "Generator", "default_rng", "0"]),
        ({"rng": None}, TypeError, ["rng", "Generator", "None"]),
        ({"rng": np.random.RandomState(0)}, TypeError, ["rng", "Generator"]),
        ({"n": 0}, ValueError, ["n=0", "1 or more"]),
        ({"n": 2.0}, ValueError, ["n=2.0", "a whole number"]),
        ({"steps": 0}, ValueError, ["steps=0", "1 or more"]),
        ({"dt": 0}, ValueError, ["dt", "positive"]),
        ({"view": 7}, ValueError, ["view of 7", "500", "divisor"]),
        ({"view": 0}, ValueError, ["view=0", "1 or more"]),
        ({"view": 1000}, ValueError, ["view of 1000", "divisor"]),
        ({"noise": -0.1}, ValueError, ["noise", "-0.1"]),
        ({"noise": np.nan}, ValueError, ["noise", "nan"]),
        ({"drag": -1}, ValueError, ["drag", "at least 0"]),
        ({"length": (2.0, 1.0)}, ValueError, ["length", "(low, high)", "(2.0, 1.0)"]),
        ({"length": (0.0, 0.0)}, ValueError, ["length", "above 0"]),
        ({"mass": 1.0}, ValueError, ["mass", "(low, high)"]),
    ],
)
def test_misuse_is_named(arguments, error, words):
    with pytest.raises(error) as caught:
        pendulum_trajectories(**({"n": 3, "rng": rng()} | arguments))
    assert all(word in str(caught.value) for word in words)


def test_misuse_of_the_split_is_named():
    data = pendulum_trajectories(4, rng(), steps=5)
    with pytest.raises(ValueError, match=r"train_test_split\(\) got test=1.0; expected a number between 0 and 1"):
        train_test_split(data, rng(), test=1.0)
    with pytest.raises(ValueError, match="one side empty"):
        train_test_split(data, rng(), test=0.01)
    with pytest.raises(TypeError, match="Generator"):
        train_test_split(data, 3)
