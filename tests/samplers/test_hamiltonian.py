"""The leapfrog step by the properties that make HMC exact, and HMC against MALA."""

import math

import numpy as np
import pytest

from minigen import ops
from minigen.samplers import Density, hmc, leapfrog, mala, sample
from minigen.samplers.hamiltonian import Phase, hmc_log_ratio

normal = Density((lambda x: -0.5 * np.sum(x**2, axis=1), lambda x: -x))


def skewed(x):
    banana = x[:, 1] - 0.5 * ops.square(x[:, 0])
    return -0.5 * ops.square(x[:, 0]) - ops.square(banana) - ops.softplus(x[:, 2]) - ops.softplus(-2.0 * x[:, 2])


def phase(density, rng, n, d=3, spread=1.0):
    position, momentum = spread * rng.standard_normal((2, n, d))
    return Phase(position, *density(position), momentum)


@pytest.mark.parametrize("eps", [0.05, 0.5, 1.0, 1.9])
def test_the_shadow_energy_is_conserved(eps):
    rng = np.random.default_rng(0)
    start = phase(normal, rng, 50)
    shadow = lambda at: at.momentum**2 + (1 - eps**2 / 4) * at.position**2  # on every axis of N(0, I)
    for steps in (1, 7, 100):
        end = leapfrog(normal, start, eps, steps)
        np.testing.assert_allclose(shadow(end), shadow(start), rtol=1e-11)
    energy = lambda at: at.momentum**2 + at.position**2
    assert np.abs(energy(leapfrog(normal, start, eps, 7)) / energy(start) - 1).max() > eps**2 / 50


@pytest.mark.parametrize("scale", [1.0, np.array([0.5, 2.0, 1.3])], ids=["plain", "scaled"])
def test_the_way_back_is_the_way_there(scale):
    density, rng = Density(skewed), np.random.default_rng(1)
    start = phase(density, rng, 40)
    end = leapfrog(density, start, 0.1, 25, scale)
    back = leapfrog(density, end._replace(momentum=-end.momentum), 0.1, 25, scale)
    assert np.abs(end.position - start.position).max() > 1
    np.testing.assert_allclose(back.position, start.position, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back.momentum, -start.momentum, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back.log_prob, start.log_prob, rtol=1e-10)
    # Energies at both ends turned round are each other's: a(x, y) exp(-H(x)) = a(y, x) exp(-H(y)).
    energy = lambda at: 0.5 * np.sum(at.momentum**2, axis=1) - at.log_prob
    for temperature in (1.0, 2.5):
        there, again = hmc_log_ratio(start, end, temperature), hmc_log_ratio(end, back, temperature)
        flow = np.minimum(there, 0) - energy(start) / temperature
        counter = np.minimum(again, 0) - energy(end) / temperature
        assert np.all(np.abs(flow - counter) <= 1e-12 * np.maximum(1.0, np.abs(flow)))


@pytest.mark.parametrize("scale", [1.0, np.array([0.5, 2.0, 1.3])], ids=["plain", "scaled"])
def test_volume_is_kept(scale):
    density, rng, delta = Density(skewed), np.random.default_rng(2), 1e-5
    for _ in range(5):
        z = rng.standard_normal(6)
        moved = np.concatenate([z + delta * np.eye(6), z - delta * np.eye(6)])
        start = Phase(moved[:, :3], *density(moved[:, :3]), moved[:, 3:])
        end = leapfrog(density, start, 0.2, 8, scale)
        ends = np.concatenate([end.position, end.momentum], axis=1)
        jacobian = (ends[:6] - ends[6:]) / (2 * delta)
        assert abs(np.linalg.det(jacobian) - 1) < 1e-7
        assert np.abs(jacobian - np.eye(6)).max() > 0.5


def test_leapfrog_is_of_second_order():
    density, rng = Density(skewed), np.random.default_rng(3)
    start = phase(density, rng, 30, spread=0.7)
    exact = leapfrog(density, start, 1 / 2000, 2000).position
    errors = [np.abs(leapfrog(density, start, 1 / n, n).position - exact).max() for n in (20, 40, 80)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1) and errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_one_leapfrog_step_is_mala():
    rng, h = np.random.default_rng(4), 0.4
    position, noise, uniform = rng.standard_normal((200, 3)), rng.standard_normal((200, 3)), rng.random(200)
    for settings in ({}, {"temperature": 1.8, "scale": np.array([0.5, 2.0, 1.3])}):
        langevin = mala(skewed, h, **settings)
        rolling = hmc(skewed, math.sqrt(2 * h), leapfrog_steps=1, **settings)
        (a, info), (b, other) = (k.transition(k.init(position), noise, uniform) for k in (langevin, rolling))
        np.testing.assert_allclose(a.position, b.position, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(info.acceptance_rate, other.acceptance_rate, rtol=1e-9)
        assert 0.1 < info.is_accepted.mean() < 0.95


def test_acceptance_on_the_normal():
    # Start and end are exchangeable, so the energy error has a law for which P(accept) = 2 P(error > 0), and for one
    # step on N(0, 1) that is MALA's closed form.
    rng, h = np.random.default_rng(5), 2.0
    kernel = hmc((normal.value, lambda x: -x), math.sqrt(2 * h), leapfrog_steps=1)
    _, infos = sample(kernel, rng.standard_normal((4000, 1)), 20, rng, progress=False)
    rates = infos.acceptance_rate.mean(axis=1)
    assert abs(rates.mean() - 0.5) < 4 * rates.std() / math.sqrt(4000)


def test_the_energy_of_large_momenta_loses_no_digits():
    # Their squares are 1e10 and differ by 1: in float32 that difference was 0 or 1024.
    rng = np.random.default_rng(7)
    start = phase(normal, rng, 200)
    start = start._replace(momentum=(1e5 * np.sign(start.momentum)).astype(np.float32))
    moved = start.momentum + rng.integers(-3, 4, start.momentum.shape).astype(np.float32) / 128
    end = start._replace(momentum=moved)
    wide = [each.momentum.astype(np.float64) for each in (start, end)]
    expected = 0.5 * (np.sum(wide[0] ** 2, axis=1) - np.sum(wide[1] ** 2, axis=1))
    np.testing.assert_allclose(hmc_log_ratio(start, end), expected, rtol=1e-6, atol=1e-2)


def test_trajectories_that_go_astray_are_divergent():
    rng = np.random.default_rng(6)  # beyond step 2 the leapfrog step is unstable on N(0, 1)
    for eps, astray in ((1.9, False), (2.5, True)):
        kernel = hmc((normal.value, lambda x: -x), eps, leapfrog_steps=20)
        draws, infos = sample(kernel, rng.standard_normal((500, 2)), 5, rng, progress=False)
        assert infos.is_divergent.all() == astray and infos.is_divergent.any() == astray
        assert np.isfinite(draws).all()
    far = hmc((normal.value, lambda x: -x), 30.0, leapfrog_steps=400)  # to infinity and NaN
    draws, infos = sample(far, rng.standard_normal((50, 2)).astype(np.float32), 5, rng, progress=False)
    assert infos.is_divergent.all() and np.isfinite(draws).all()


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_bad_numbers_of_steps(steps):
    with pytest.raises(ValueError, match="leapfrog_steps"):
        hmc(skewed, 0.1, leapfrog_steps=steps)
