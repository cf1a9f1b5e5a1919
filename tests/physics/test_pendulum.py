"""The pendulum against SciPy's solver, elliptic integrals and conservation laws."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ellipj, ellipk, ellipkm1

from minigen.physics import integrators, pendulum


def factors(n, seed):
    rng = np.random.default_rng(seed)
    low_high = {"theta0": (-1.5, 1.5), "omega0": (-1.5, 1.5), "length": (0.5, 2.5), "mass": (0.4, 3.0)}
    return {name: rng.uniform(*bounds, n) for name, bounds in low_high.items()}


@pytest.mark.parametrize("drag", [0.0, 0.4])
def test_simulate_against_scipy(drag):
    f = factors(5, 1)
    motion = pendulum.simulate(**f, drag=drag, steps=251, dt=0.02, gravity=9.7)
    for i in range(5):
        theta0, omega0, length, mass = (f[name][i] for name in ("theta0", "omega0", "length", "mass"))
        truth = solve_ivp(
            lambda _, y: [y[1], -9.7 / length * np.sin(y[0]) - drag / mass * y[1]],  # noqa: B023
            (0, 5),
            (theta0, omega0),
            t_eval=motion.t,
            method="DOP853",
            rtol=1e-11,
            atol=1e-12,
        ).y
        np.testing.assert_allclose(motion.theta[i], truth[0], atol=3e-5)
        np.testing.assert_allclose(motion.omega[i], truth[1], atol=1e-4)


def test_simulate_against_jacobi_elliptic_functions():
    # Released from rest: sin(theta/2) = k cd(w t, k) with k = sin(theta_max/2).
    angle, length = 1.4, 1.7
    motion = pendulum.simulate(angle, 0.0, length, steps=2001, dt=0.005)
    k, w = np.sin(angle / 2), np.sqrt(pendulum.GRAVITY / length)
    _, cn, dn, _ = ellipj(w * motion.t, k**2)
    np.testing.assert_allclose(motion.theta, 2 * np.arcsin(k * cn / dn), atol=1e-8)


@pytest.mark.parametrize("method", list(integrators.METHODS))
@pytest.mark.parametrize("drag", [0.0, 0.7])
def test_the_compiled_loop_equals_the_readable_rules(method, drag):
    f = factors(7, 2)
    motion = pendulum.simulate(**f, drag=drag, steps=300, method=method)
    theta, omega = integrators.integrate(
        integrators.METHODS[method],
        lambda x, v: pendulum.acceleration(x, v, f["length"], mass=f["mass"], drag=drag),
        f["theta0"],
        f["omega0"],
        dt=0.01,
        steps=300,
    )
    np.testing.assert_allclose(motion.theta, theta, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(motion.omega, omega, rtol=1e-12, atol=1e-12)


def test_it_runs_without_numba_and_gives_the_same():
    code = (
        "import sys, numpy as np; from minigen.physics import pendulum;"
        "m = pendulum.simulate([0.3, -1.2], [1.0, 0.2], 1.5, mass=[1.0, 2.0], drag=0.3, steps=50);"
        "print('numba' in sys.modules, repr(float(m.theta[1, -1])), repr(float(m.omega[0, -1])))"
    )
    for choice in ("numpy", "numba"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "MINIGEN_KERNELS": choice},
            capture_output=True,
            text=True,
            check=True,
        )
        numba, theta, omega = run.stdout.split()
        assert numba == str(choice == "numba")
        here = pendulum.simulate([0.3, -1.2], [1.0, 0.2], 1.5, mass=[1.0, 2.0], drag=0.3, steps=50)
        assert float(theta) == pytest.approx(here.theta[1, -1], rel=1e-12)
        assert float(omega) == pytest.approx(here.omega[0, -1], rel=1e-12)


def test_importing_the_physics_does_not_import_numba():
    code = "import sys; from minigen import datasets, metrics, physics; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_shapes_broadcast():
    assert pendulum.simulate(0.5, 0.0, 1.0, steps=9).theta.shape == (9,)
    motion = pendulum.simulate(np.zeros((4, 1)) + 0.3, np.linspace(0, 1, 3), 1.0, steps=9, dt=0.1)
    assert motion.theta.shape == motion.omega.shape == (4, 3, 9)
    np.testing.assert_allclose(motion.t, 0.1 * np.arange(9))
    single = pendulum.simulate(0.3, 0.5, 1.0, steps=9, dt=0.1)
    np.testing.assert_array_equal(motion.theta[2, 1], single.theta)
    assert pendulum.simulate(np.empty(0), 0.0, 1.0, steps=9).theta.shape == (0, 9)


def test_mass_has_no_effect_without_drag_and_has_one_with_it():
    f = factors(6, 3)
    heavy = {**f, "mass": 7 * f["mass"]}
    np.testing.assert_array_equal(pendulum.simulate(**f).theta, pendulum.simulate(**heavy).theta)
    light, heavy = pendulum.simulate(**f, drag=0.5).theta, pendulum.simulate(**heavy, drag=0.5).theta
    assert np.all(np.abs(light - heavy).max(axis=1) > 0.01)
    # With drag only c/m counts.
    scaled = {**f, "mass": 3 * f["mass"]}
    np.testing.assert_allclose(pendulum.simulate(**scaled, drag=1.5).theta, light, atol=1e-12)


def test_only_the_ratio_of_gravity_and_length_counts():
    a = pendulum.simulate(0.9, -0.3, 2.0, gravity=9.81)
    b = pendulum.simulate(0.9, -0.3, 4.0, gravity=19.62)
    np.testing.assert_allclose(a.theta, b.theta, atol=1e-13)


def test_energy_is_conserved_without_drag_and_lost_to_it_at_the_right_rate():
    f = factors(8, 4)
    column = {"length": f["length"][:, None], "mass": f["mass"][:, None]}
    motion = pendulum.simulate(**f, steps=1000, dt=0.005)
    energy = pendulum.energy(motion.theta, motion.omega, **column)
    np.testing.assert_allclose(energy, np.broadcast_to(energy[:, :1], energy.shape), rtol=1e-8)
    drag = 0.3
    motion = pendulum.simulate(**f, drag=drag, steps=1001, dt=0.005)
    energy = pendulum.energy(motion.theta, motion.omega, **column)
    # dE/dt = -c L^2 omega^2, integrated by Simpson's rule.
    power = drag * column["length"] ** 2 * motion.omega**2
    lost = 0.005 / 3 * (power[:, 0] + power[:, -1] + 4 * power[:, 1::2].sum(1) + 2 * power[:, 2:-1:2].sum(1))
    np.testing.assert_allclose(energy[:, 0] - energy[:, -1], lost, rtol=1e-7)


def test_energy_in_joule():
    # 2 kg lifted by 1.5 m, and 2 kg moving at 1.5 m * 2 rad/s = 3 m/s.
    assert pendulum.energy(np.pi / 2, 0.0, 1.5, mass=2.0) == pytest.approx(2 * 9.81 * 1.5)
    assert pendulum.energy(0.0, 2.0, 1.5, mass=2.0) == pytest.approx(9.0)
    assert pendulum.energy(1e-9, 0.0, 1.0) == pytest.approx(9.81 * 1e-18 / 2)


def test_exact_period_against_the_elliptic_integral():
    angle = np.array([1e-6, 0.3, -1.1, 2.2, 3.0, 3.1415])
    length = np.array([0.4, 1.0, 2.5, 1.7, 3.3, 1.2])
    truth = 4 * np.sqrt(length / 9.81) * ellipkm1(np.cos(angle / 2) ** 2)
    np.testing.assert_allclose(pendulum.exact_period(angle, length), truth, rtol=1e-13)


def test_arithmetic_geometric_mean_against_the_elliptic_integral():
    # K(m) = pi / (2 agm(1, sqrt(1 - m)))
    m = np.array([0.0, 0.2, 0.9, 0.999])
    np.testing.assert_allclose(
        pendulum.arithmetic_geometric_mean(1.0, np.sqrt(1 - m)), np.pi / (2 * ellipk(m)), rtol=1e-13
    )
    agm = pendulum.arithmetic_geometric_mean
    assert agm(24.0, 6.0) == pytest.approx(6 * agm(4.0, 1.0))
    assert pendulum.arithmetic_geometric_mean(0.0, 0.0) == 0


def test_amplitude_is_the_largest_angle_of_the_simulation():
    f = factors(6, 5)
    motion = pendulum.simulate(**f, steps=4000, dt=0.005)
    np.testing.assert_allclose(
        np.abs(motion.theta).max(axis=1), pendulum.amplitude(f["theta0"], f["omega0"], f["length"]), atol=1e-4
    )
    with pytest.raises(ValueError, match="goes over the top"):
        pendulum.amplitude(0.1, 9.0, 2.0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"length": 0.0}, ValueError, ["simulate()", "length=0.0 m", "above 0 m"]),
        ({"length": [1.0, -2.0]}, ValueError, ["length=-2.0"]),
        ({"mass": 0}, ValueError, ["mass", "kg"]),
        ({"drag": -0.1}, ValueError, ["drag", "at least 0", "-0.1"]),
        ({"theta0": np.nan}, ValueError, ["theta0=nan rad", "finite"]),
        ({"omega0": "fast"}, TypeError, ["omega0", "<U4", "real numbers"]),
        ({"theta0": np.zeros(3), "omega0": np.zeros(2)}, ValueError, ["(3,)", "(2,)", "broadcast"]),
        ({"method": "rk45"}, ValueError, ["rk45", "rk4", "velocity_verlet"]),
        ({"steps": 0}, ValueError, ["steps=0", "1 or more"]),
        ({"dt": -0.01}, ValueError, ["dt", "positive"]),
    ],
)
def test_misuse_is_named(change, error, words):
    arguments = {"theta0": 0.5, "omega0": 0.0, "length": 1.0} | change
    with pytest.raises(error) as caught:
        pendulum.simulate(**arguments)
    assert all(word in str(caught.value) for word in words)


def test_a_period_of_a_pendulum_on_its_head_is_refused():
    with pytest.raises(ValueError, match=r"amplitude=3.14159 rad; expected sizes below pi"):
        pendulum.exact_period([0.3, np.pi], 1.0)
    with pytest.raises(ValueError, match=r"length=0.0 m; expected finite numbers above 0 m"):
        pendulum.exact_period(0.3, 0.0)


@pytest.mark.parametrize("kind", ["u1", "i1", "u8", object])
def test_factors_of_any_kind_become_floats(kind):
    factors = [np.array(values).astype(kind) for values in ([1, 2], [0, 3], [1, 100])]
    plain = [np.array(values).astype(float) for values in ([1, 2], [0, 3], [1, 100])]
    np.testing.assert_array_equal(pendulum.simulate(*factors).theta, pendulum.simulate(*plain).theta)
    np.testing.assert_array_equal(pendulum.energy(*factors), pendulum.energy(*plain))
    np.testing.assert_array_equal(pendulum.exact_period(*factors[::2]), pendulum.exact_period(*plain[::2]))
    with pytest.raises(ValueError, match=r"masked value\(s\)"):
        pendulum.simulate(np.ma.masked_equal([1, 2], 1), 0.0, 1.0)


@pytest.mark.parametrize("unit", [1e-6, 1e6, 1e150])
def test_units_of_length_and_time_do_not_matter(unit):
    """A rod, a fall and a time in other units: the same angles; and the mean of large or small numbers scales."""
    plain = pendulum.simulate(1.0, 2.0, 1.5, steps=50)
    longer = pendulum.simulate(1.0, 2.0, 1.5 * unit, gravity=9.81 * unit, steps=50)
    np.testing.assert_allclose(longer.theta, plain.theta, rtol=1e-12)
    slower = pendulum.simulate(1.0, 2.0 / unit, 1.5, gravity=9.81 / unit / unit, steps=50, dt=0.01 * unit)
    np.testing.assert_allclose(slower.theta, plain.theta, rtol=1e-10)
    agm = pendulum.arithmetic_geometric_mean
    for scale in (unit, unit * 1e150, 1e-300):
        assert agm(24 * scale, 6 * scale) == pytest.approx(scale * agm(24.0, 6.0), rel=1e-14)
