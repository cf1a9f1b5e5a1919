"""What every kernel promises, whichever it is; one test for each promise walks all of them."""

import warnings
from importlib import import_module

import numpy as np
import pytest

import minigen
from minigen import nn, ops, samplers
from minigen.samplers import State, Tempering, from_energy, hmc, mala, random_walk, sample, ula

compile = import_module("minigen.compile")  # the module; `minigen.compile` is its function
KERNELS = {
    "ula": lambda log_prob, **settings: ula(log_prob, **{"step_size": 0.1, **settings}),
    "mala": lambda log_prob, **settings: mala(log_prob, **{"step_size": 0.4, **settings}),
    "hmc": lambda log_prob, **settings: hmc(log_prob, leapfrog_steps=3, **{"step_size": 0.5, **settings}),
    "random_walk": lambda log_prob, **settings: random_walk(log_prob, **{"step_size": 0.8, **settings}),
    "tempering": lambda log_prob, **settings: Tempering(
        mala(log_prob, **{"step_size": 0.4, **settings}), (1.0, 2.0, 5.0)
    ),
}
PLAIN = [name for name in KERNELS if name != "tempering"]
every_kernel = pytest.mark.parametrize("name", KERNELS)
every_plain_kernel = pytest.mark.parametrize("name", PLAIN)
CENTRE = np.array([0.5, -1.0, 2.0])


def log_prob(x):
    """Not symmetric, not Gaussian: three coordinates that know of each other."""
    y = x - CENTRE
    return -0.5 * ops.sum(ops.square(y), axis=1) - 0.1 * ops.square(ops.sum(y, axis=1)) + ops.sin(y[:, 0])


PAIR = (
    lambda x: -0.5 * np.sum((x - CENTRE) ** 2, axis=1) - 0.1 * np.sum(x - CENTRE, axis=1) ** 2 + np.sin(x[:, 0] - 0.5),
    lambda x: (
        -(x - CENTRE)
        - 0.2 * np.sum(x - CENTRE, axis=1, keepdims=True)
        + np.cos(x[:, :1] - 0.5) * np.array([1.0, 0.0, 0.0])
    ),
)


def start(dtype=np.float64, chains=7):
    return (CENTRE + np.random.default_rng(5).standard_normal((chains, 3))).astype(dtype)


def run(kernel, position, steps=30, seed=3):
    """Positions after each step, (steps, chains, d), and the infos."""
    rng, state = np.random.default_rng(seed), kernel.init(position)
    positions, infos = [], []
    for _ in range(steps):
        state, info = kernel.step(rng, state)
        positions.append(state.position)
        infos.append(info)
    return np.array(positions), infos


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_states_and_infos(name, dtype):
    kernel, rng = KERNELS[name](log_prob), np.random.default_rng(0)
    state = kernel.init(start(dtype))
    for _ in range(12):
        before = [None if array is None else array.copy() for array in state[:3]]
        new, info = kernel.step(rng, state)
        for array, copy in zip(state[:3], before):  # a step leaves its argument alone
            assert array is None or np.array_equal(array, copy)
        state = new
        assert (state.position.shape, state.log_prob.shape) == ((7, 3), (7,))
        for array in state[:3]:
            assert array is None or (array.dtype == dtype and np.isfinite(array).all())
        assert info._fields[:3] == ("acceptance_rate", "is_accepted", "is_divergent")
        assert all(array.shape == (7,) for array in info[:3])
        assert info.is_accepted.dtype == info.is_divergent.dtype == bool
        assert ((info.acceptance_rate >= 0) & (info.acceptance_rate <= 1)).all()
    values = PAIR[0](state.position)
    np.testing.assert_allclose(state.log_prob, values, rtol=1e-5 if dtype == np.float32 else 1e-12)
    if state.grad is not None:
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(state.grad, PAIR[1](state.position), rtol=tolerance, atol=tolerance)


@every_plain_kernel
def test_a_chain_that_does_not_accept_stays(name):
    positions, infos = run(KERNELS[name](log_prob), start())
    moved = np.any(np.diff(positions, axis=0) != 0, axis=2)
    accepted = np.array([info.is_accepted for info in infos])
    np.testing.assert_array_equal(moved, accepted[1:])
    assert accepted.all() if name == "ula" else 0.3 < accepted.mean() < 0.98


@every_kernel
def test_same_seed_same_chain_compiled_or_not_from_tensors_or_a_pair(name):
    compiled, _ = run(KERNELS[name](log_prob), start())
    np.testing.assert_array_equal(run(KERNELS[name](log_prob), start())[0], compiled)
    np.testing.assert_array_equal(run(KERNELS[name](log_prob, compile=False), start())[0], compiled)
    np.testing.assert_allclose(run(KERNELS[name](PAIR), start())[0], compiled, rtol=1e-9)
    assert np.any(run(KERNELS[name](log_prob), start(), seed=4)[0] != compiled)


@every_kernel
def test_chains_do_not_know_of_each_other(name):
    # The same seed gives the same draws to the same chains, so only the one that starts elsewhere may differ.
    elsewhere = start()
    elsewhere[3] += 0.7
    here, there = (run(KERNELS[name](log_prob), position)[0] for position in (start(), elsewhere))
    others = [0, 1, 2, 4, 5, 6]
    np.testing.assert_allclose(here[:, others], there[:, others], rtol=1e-12)
    assert np.any(here[0, 3] != there[0, 3])


@every_kernel
def test_energies_come_from_any_module(name):
    net = nn.MLP((3, 8, 1), "silu", rng=np.random.default_rng(0))
    position = start(np.float32)
    state = KERNELS[name](from_energy(net)).init(position)
    point = minigen.tensor(position, requires_grad=True)
    energy = net(point)
    np.testing.assert_allclose(state.log_prob, -energy.data[:, 0], rtol=1e-6)
    if state.grad is not None:
        np.testing.assert_allclose(state.grad, -minigen.grad(ops.sum(energy), point).data, rtol=1e-5)
    eager, _ = run(KERNELS[name](from_energy(net), compile=False), position)
    np.testing.assert_allclose(run(KERNELS[name](from_energy(net)), position)[0], eager, rtol=1e-5, atol=1e-6)
    # The weights are live: a kernel follows a network that learns, once its states are made anew.
    kernel = KERNELS[name](from_energy(net))
    run(kernel, position, steps=3)
    net.flat().data[:] *= 1.5
    np.testing.assert_allclose(kernel.init(position).log_prob, -net(position).data[:, 0], rtol=1e-6)
    # And a step of a kernel that was recorded with the old weights is one of the new density.
    new, _ = run(kernel, position, steps=3)
    np.testing.assert_allclose(new, run(KERNELS[name](from_energy(net)), position, steps=3)[0], rtol=1e-6)


@every_kernel
def test_an_energy_as_a_numpy_pair(name):
    energy = (lambda x: -PAIR[0](x), lambda x: -PAIR[1](x))
    expected, _ = run(KERNELS[name](PAIR), start())
    np.testing.assert_array_equal(run(KERNELS[name](from_energy(energy)), start())[0], expected)


def walled(x):
    """log N(0, 1) with a wall at 1: -inf beyond, and NaN beyond 2."""
    inside = -0.5 * ops.sum(ops.square(x), axis=1)
    return ops.where(x[:, 0] < 2.0, ops.where(x[:, 0] < 1.0, inside, -np.inf), np.nan)


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("compile", [False, True])
def test_what_is_not_finite_is_rejected_and_counted_and_does_not_spread(name, dtype, compile):
    kernel = KERNELS[name](walled, compile=compile)
    if name == "ula":
        kernel = kernel.replace(step_size=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draws, infos = sample(kernel, np.zeros((200, 2), dtype), 100, np.random.default_rng(0), progress=False)
    assert np.isfinite(draws).all() and draws[:, :, 0].max() < 1.0
    assert 0.01 < infos.is_divergent.mean() < 0.5
    assert not (infos.is_divergent & infos.is_accepted).any()
    assert (infos.acceptance_rate[infos.is_divergent] == 0).all()
    if name not in ("ula", "tempering"):  # the truncated normal, exactly
        phi = np.exp(-0.5) / np.sqrt(2 * np.pi) / 0.8413447460685429
        means = draws[:, :, 0].mean(axis=1)
        assert abs(means.mean() + phi) < 4 * means.std() / np.sqrt(200) + 0.01  # 0.01: the start at 0


@every_kernel
def test_a_gradient_that_is_not_finite_is_rejected_too(name):
    pair = (lambda x: -0.5 * np.sum(x**2, axis=1), lambda x: np.where(x > 1, np.inf, -x))
    kernel = KERNELS[name](pair)
    draws, infos = sample(kernel, np.zeros((100, 2)), 50, np.random.default_rng(0), progress=False)
    if name == "random_walk":
        assert not infos.is_divergent.any()
    else:
        assert draws.max() <= 1.0 and infos.is_divergent.any()


@every_kernel
def test_an_infinitely_high_density_draws_no_chain(name):
    pair = (lambda x: np.where(x[:, 0] > 1, np.inf, -0.5 * np.sum(x**2, axis=1)), lambda x: -x)
    kernel = KERNELS[name](pair)
    draws, infos = sample(kernel, np.zeros((100, 2)), 50, np.random.default_rng(0), progress=False)
    assert np.isfinite(draws).all() and draws[:, :, 0].max() <= 1.0
    assert infos.is_divergent.any() and not (infos.is_divergent & infos.is_accepted).any()


def test_unadjusted_chains_that_would_run_away_stay_finite():
    kernel = ula(lambda x: -0.25 * ops.sum(ops.square(ops.square(x)), axis=1), 0.9)
    draws, infos = sample(kernel, np.full((50, 2), 3.0, np.float32), 100, np.random.default_rng(0), progress=False)
    assert np.isfinite(draws).all() and infos.is_divergent[:, -1].all()


@every_plain_kernel
def test_temperature_divides_the_log_density(name):
    # At temperature T the chain is that of log p / T; as the noise carries T, the steps are h T there, in HMC h sqrt T.
    hot = KERNELS[name](log_prob, temperature=2.5)
    factor = {"hmc": 2.5**0.5, "random_walk": 2.5**0.5}.get(name, 2.5)
    tempered = KERNELS[name](lambda x: log_prob(x) / 2.5, step_size=hot.step_size * factor)
    np.testing.assert_allclose(run(hot, start())[0], run(tempered, start())[0], rtol=1e-9)


@every_plain_kernel
def test_scale_is_a_change_of_units(name):
    scale = np.array([0.1, 1.0, 30.0])
    plain, _ = run(KERNELS[name](log_prob), start())
    scaled, _ = run(KERNELS[name](lambda x: log_prob(x / scale), scale=scale), start() * scale)
    np.testing.assert_allclose(scaled, plain * scale, rtol=1e-9)
    alike, _ = run(KERNELS[name](lambda x: log_prob(x / 3.0), scale=3), start() * 3.0)
    np.testing.assert_allclose(alike, plain * 3.0, rtol=1e-9)
    single, _ = run(KERNELS[name](log_prob, scale=np.ones(3)), start(np.float32))
    assert single.dtype == np.float32


BAD_SETTINGS = [
    ({"step_size": 0}, "step_size=0"),
    ({"step_size": -0.1}, "step_size=-0.1"),
    ({"step_size": np.nan}, "step_size=nan"),
    ({"step_size": np.inf}, "step_size=inf"),
    ({"step_size": True}, "step_size=True"),
    ({"step_size": "0.1"}, "step_size='0.1'"),
    ({"temperature": 0.0}, "temperature=0.0"),
    ({"temperature": None}, "temperature=None"),
    ({"scale": 0.0}, "scale"),
    ({"scale": [1.0, -1.0, 2.0]}, "scale"),
    ({"scale": np.ones((3, 3))}, "scale"),
]


@every_kernel
@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS, ids=str)
def test_bad_settings(name, settings, message):
    with pytest.raises(ValueError, match=message):
        KERNELS[name](log_prob, **settings)


BAD_STARTS = [
    (np.zeros(3), ValueError, r"shape \(3,\); expected \(chains, d\)"),
    (np.zeros((2, 3, 4)), ValueError, r"expected \(chains, d\)"),
    (np.zeros((0, 3)), ValueError, r"expected \(chains, d\)"),
    (np.array([[0.0, 0, 0], [0, np.nan, 0]]), ValueError, "chain 1"),
    (np.array([["a", "b", "c"]]), TypeError, "real numbers"),
    ([[0.0, 1.0], [2.0]], TypeError, "unequal"),
]


@every_kernel
@pytest.mark.parametrize(("position", "error", "message"), BAD_STARTS, ids=lambda x: getattr(x, "__name__", ""))
def test_bad_starts(name, position, error, message):
    with pytest.raises(error, match=message):
        KERNELS[name](log_prob).init(position)


@every_kernel
def test_a_start_where_the_density_is_not_finite(name):
    with pytest.raises(ValueError, match=r"log_prob is not finite at the start of 2 of 3 chains, such as chain 1"):
        KERNELS[name](walled).init(np.array([[0.0, 0.0], [1.5, 0.0], [2.5, 0.0]]))
    if name != "random_walk":
        pair = (lambda x: np.zeros(len(x)), lambda x: np.where(x > 0, np.inf, x))
        with pytest.raises(ValueError, match="its gradient is not finite at the start of 1 of 2"):
            KERNELS[name](pair).init(np.array([[0.0], [1.0]]))


@every_plain_kernel
def test_a_scale_for_another_dimension(name):
    with pytest.raises(ValueError, match=r"scale of shape \(2,\)"):
        KERNELS[name](log_prob, scale=[1.0, 2.0]).init(start())


BAD_DENSITIES = [
    (lambda x: x, ValueError, r"gave shape \(7, 3\)"),
    (lambda x: ops.sum(x), ValueError, r"gave shape \(\)"),
    (lambda x: 1.0, TypeError, "gave a float"),
    ((lambda x: x.sum(1), lambda x: x.sum(1)), ValueError, r"the gradient gave shape \(7,\)"),
    ((lambda x: x, lambda x: x), ValueError, r"log_prob gave shape \(7, 3\)"),
    ((lambda x: x[:, 0] + 1j, lambda x: x), TypeError, "log_prob gave complex numbers"),
    ((lambda x: None, lambda x: x), ValueError, r"log_prob gave shape \(\)"),
    ((lambda x: x.sum(1), None), ValueError, "needs the gradient"),
    ((lambda x: x.sum(1),), TypeError, "pair of functions"),
    ("x**2", TypeError, "expected a function"),
    (None, TypeError, "expected a function"),
]


@every_kernel
@pytest.mark.parametrize(("density", "error", "message"), BAD_DENSITIES, ids=range(len(BAD_DENSITIES)))
def test_bad_densities(name, density, error, message):
    if name == "random_walk" and "gradient" in message:
        KERNELS[name](density).init(start())  # which asks for none
        return
    with pytest.raises(error, match=message):
        KERNELS[name](density).init(start())


@every_kernel
def test_positions_of_another_dtype_than_the_weights(name):
    net = nn.MLP((3, 8, 1), "silu", rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"float64 positions.*position\.astype\(np\.float32\)"):
        KERNELS[name](from_energy(net)).init(start(np.float64))


def test_equal_infinities_are_no_wrong_replay():
    # A compiled density is compared with itself now and then, up to rounding; where it is infinite, too.
    a = np.array([1.0, -np.inf, np.nan, np.inf])
    assert compile._apart(a, a + np.array([1e-9, 0.0, 0.0, 0.0]), exact=False) == ""
    for wrong in ([1.0, np.inf, np.nan, np.inf], [1.0, 5.0, np.nan, np.inf], [1.0, -np.inf, 0.0, np.inf]):
        assert compile._apart(a, np.array(wrong), exact=False) != ""


@every_kernel
def test_randomness_is_handed_in(name):
    kernel = KERNELS[name](log_prob)
    with pytest.raises(TypeError, match=r"numpy\.random\.Generator"):
        kernel.step(0, kernel.init(start()))


def test_positions_become_float32_unless_they_are_float64_arrays():
    kernel = mala(log_prob, 0.1)
    assert kernel.init([[0.0, 1.0, 2.0]]).position.dtype == np.float32
    assert kernel.init(np.zeros((2, 3), int)).position.dtype == np.float32
    assert kernel.init(minigen.tensor(np.zeros((2, 3)))).position.dtype in (np.float32, np.float64)
    given = start()
    state = kernel.init(given)
    given[:] = 0
    np.testing.assert_array_equal(state.position, start())


def test_a_density_that_cannot_be_recorded_runs_as_it_is(monkeypatch):
    monkeypatch.delenv("MINIGEN_COMPILE", raising=False)

    def branching(x):
        return log_prob(x) if float(x.data.sum()) < 1e9 else log_prob(x) * 2.0

    with pytest.warns(UserWarning, match="runs without being compiled"):
        positions, _ = run(mala(branching, 0.4), start())
    np.testing.assert_array_equal(positions, run(mala(log_prob, 0.4), start())[0])


def test_check_gradient():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        samplers.check_gradient(log_prob, start(dtype), rng)
        samplers.check_gradient(PAIR, start(dtype), rng)
        samplers.check_gradient(from_energy(PAIR), start(dtype), rng)
        for wrong in (lambda x: -PAIR[1](x), lambda x: 1.2 * PAIR[1](x), lambda x: PAIR[1](x) * [1.0, 1.0, 0.0]):
            with pytest.raises(minigen.check.GradientError, match="does not match"):
                samplers.check_gradient((PAIR[0], wrong), start(dtype), rng)


def test_a_kernel_says_what_it_is():
    kernel = mala(log_prob)
    assert repr(kernel) == "mala(step_size=to be adapted, temperature=1)"
    assert repr(kernel.replace(step_size=0.25)) == "mala(step_size=0.25, temperature=1)"
    with pytest.raises(ValueError, match="no step_size yet"):
        kernel.step(np.random.default_rng(0), kernel.init(start()))
    with pytest.raises(ValueError, match="ula"):
        ula(log_prob, None)
    assert isinstance(kernel.init(start()), State)


def test_tempering_wants_rising_temperatures():
    for temperatures in [(1.0,), (2.0, 1.0), (1.0, 1.0), (1.0, -2.0), (1.0, "2")]:
        with pytest.raises(ValueError, match="temperatures"):
            Tempering(mala(log_prob, 0.1), temperatures)
