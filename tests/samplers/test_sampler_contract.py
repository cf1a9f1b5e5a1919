"""What every kernel promises, whichever it is; one test for each promise walks all of them."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigen
from minigen import nn, ops, samplers
from minigen.compile.compare import difference
from minigen.samplers import State, Tempering, from_energy, hmc, mala, random_walk, sample, ula

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
        state, info = kernel.step(state, rng)
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
        new, info = kernel.step(state, rng)
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
    (np.zeros(3), ValueError, r"position of shape \(3,\); expected \(n, d\): write position\[:, None\]"),
    (np.zeros((2, 3, 4)), ValueError, r"shape \(2, 3, 4\); expected \(n, d\)"),
    (np.zeros((0, 3)), ValueError, r"shape \(0, 3\); expected at least one row"),
    (np.array([[0.0, 0, 0], [0, np.nan, 0]]), ValueError, r"1 value\(s\) that are NaN or infinite in position"),
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
    ((lambda x: x.sum(1),), TypeError, "pair of NumPy functions"),
    ("x**2", TypeError, "expected a function of tensors"),
    (None, TypeError, "expected a function of tensors"),
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
    assert difference(a, a + np.array([1e-9, 0.0, 0.0, 0.0]), exact=False) == ""
    for wrong in ([1.0, np.inf, np.nan, np.inf], [1.0, 5.0, np.nan, np.inf], [1.0, -np.inf, 0.0, np.inf]):
        assert difference(a, np.array(wrong), exact=False) != ""


@every_kernel
def test_randomness_is_handed_in(name):
    kernel = KERNELS[name](log_prob)
    with pytest.raises(TypeError, match=r"numpy\.random\.Generator"):
        kernel.step(kernel.init(start()), 0)


def pandas_table(values, dtype):
    return pytest.importorskip("pandas").DataFrame(values).astype(dtype)


ROWS = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
AS_GIVEN = {
    "list": (lambda: ROWS, np.float64),
    "tuples of whole numbers": (lambda: ((0, 1, 2), (3, 4, 5)), np.float64),
    "mixed": (lambda: [[0, True, 2.0], [np.float32(3), np.int8(4), 5]], np.float64),
    "list of arrays": (lambda: [np.arange(3.0), np.arange(3.0, 6.0)], np.float64),
    "list of float32": (lambda: [np.arange(3, dtype="f4"), np.arange(3, 6, dtype="f4")], np.float32),
    **{name: (lambda name=name: np.array(ROWS, name), np.float64) for name in ("u1", "i2", "i4", "i8", "f8", ">f8")},
    **{name: (lambda name=name: np.array(ROWS, name), np.float32) for name in ("f2", "f4", ">f4")},
    "bool": (lambda: np.eye(2, 3, dtype=bool), np.float64),
    "objects": (lambda: np.array(ROWS, object), np.float64),
    "tensor": (lambda: minigen.tensor(np.array(ROWS)), np.float64),
    "float32 tensor": (lambda: minigen.tensor(np.array(ROWS, np.float32)), np.float32),
    "table": (lambda: pandas_table(ROWS, "float64"), np.float64),
    "float32 table": (lambda: pandas_table(ROWS, "float32"), np.float32),
    "table of integers": (lambda: pandas_table(ROWS, "int16"), np.float64),
    "nullable table": (lambda: pandas_table(ROWS, "Int64"), np.float64),
}


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_positions_keep_their_dtype_of_floats_and_all_else_becomes_float64(kind):
    make, dtype = AS_GIVEN[kind]
    state = mala(log_prob, 0.1).init(make())
    assert state.position.dtype == state.log_prob.dtype == state.grad.dtype == dtype
    np.testing.assert_array_equal(state.position, np.eye(2, 3) if kind == "bool" else ROWS)


@pytest.mark.parametrize("given", [[[1e8]] * 4, [[10**8]] * 4, np.full((4, 1), 10**8), ((np.int64(10**8),),) * 4])
def test_no_digit_is_lost_by_the_container(given):
    # In float32 the numbers about 1e8 are 8 apart: a chain with steps of 1 stands still, and accepts everything.
    def far(x):
        return ops.square(x[:, 0] - 1e8) * -0.5

    settings = {"n": 500, "rng": np.random.default_rng(0), "progress": False}
    draws, infos = sample(random_walk(far, 1.0), given, **settings)
    settings["rng"] = np.random.default_rng(0)
    np.testing.assert_array_equal(draws, sample(random_walk(far, 1.0), np.full((4, 1), 1e8), **settings)[0])
    assert draws.std() == pytest.approx(1, abs=0.2) and infos.acceptance_rate.mean() == pytest.approx(0.705, abs=0.05)
    assert random_walk(far, 1.0).init([[2**24 + 1]]).position[0, 0] == 2**24 + 1


@pytest.mark.parametrize("compile", [True, False])
@every_kernel
def test_lists_have_the_dtype_of_the_weights(name, compile):
    given = [[0, 1, 2.5], [1.5, 2, 0]]
    for net, dtype in ((nn.MLP((3, 8, 1), "silu", rng=np.random.default_rng(0)), np.float32),):
        kernel = KERNELS[name](from_energy(net), compile=compile)
        expected, _ = run(KERNELS[name](from_energy(net), compile=compile), np.array(given, dtype))
        found, _ = run(kernel, given)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    centre = minigen.tensor(CENTRE)  # float64, beside a list of float32
    kernel = KERNELS[name](lambda x: -ops.sum(ops.square(x - centre), axis=1), compile=compile)
    assert kernel.init(list(np.array(given, np.float32))).position.dtype == np.float64
    with pytest.raises(ValueError, match="NaN or infinite in position"):
        KERNELS[name](from_energy(net), compile=compile).init([[1e300, 0.0, 0.0]])  # which no float32 can hold


def test_positions_are_copied():
    given = start()
    state = mala(log_prob, 0.1).init(given)
    given[:] = 0
    np.testing.assert_array_equal(state.position, start())


@every_kernel
def test_threads_sample_as_one_after_the_other(name):
    # Two kernels in two threads, and one kernel that two threads share, whose density is one recording.
    starts, shared = [start(np.float32), start(np.float32) + 1], KERNELS[name](log_prob)

    def both(kernel_of, map):
        draw = lambda i: sample(kernel_of(), starts[i], 300, np.random.default_rng(i), progress=False)[0]
        return list(map(draw, range(2)))

    expected = both(lambda: KERNELS[name](log_prob), map)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            for kernel_of in (lambda: KERNELS[name](log_prob), lambda: shared):
                for found, right in zip(both(kernel_of, pool.map), expected):
                    np.testing.assert_array_equal(found, right)
    finally:
        sys.setswitchinterval(before)


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


@pytest.mark.parametrize("unit", [1e-200, 1e-8, 1.0, 1e8, 1e150])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e8])
@pytest.mark.parametrize("kind", ["tensors", "pair"])
def test_check_gradient_knows_neither_unit_nor_offset(kind, unit, offset):
    # Wrong by a fifth, or not at all, where a step of fixed size is far too large or below the last digit.
    rng = np.random.default_rng(0)
    position = unit * (start(chains=20) + offset)
    standard = lambda x: x / unit - offset
    right = (lambda x: PAIR[0](standard(x)), lambda x: PAIR[1](standard(x)) / unit)
    density = right if kind == "pair" else lambda x: log_prob(x * (1 / unit) - offset)
    samplers.check_gradient(density, position, rng)
    for factor in (1.2, -1.0, 0.0):
        wrong = (right[0], lambda x, factor=factor: factor * right[1](x))
        with pytest.raises(minigen.check.GradientError, match="does not match"):
            samplers.check_gradient(wrong, position, rng)


def test_check_gradient_says_where_nothing_can_be_told():
    pair = (lambda x: -0.5 * (x[:, 0] - np.float32(1e8)) ** 2, lambda x: np.float32(1e8) - x)
    position = (1e8 + np.random.default_rng(0).standard_normal((9, 1))).astype(np.float32) + np.float32(16)
    with pytest.raises(minigen.check.GradientError, match="too coarse in float32 to tell its slope at any of the 9"):
        samplers.check_gradient(pair, position, np.random.default_rng(0))


def test_check_gradient_at_the_top_and_where_it_is_flat():
    rng = np.random.default_rng(0)
    samplers.check_gradient(lambda x: -0.5 * ops.sum(ops.square(x), axis=1), np.zeros((3, 2)), rng)
    samplers.check_gradient((lambda x: np.zeros(len(x)), np.zeros_like), start(), rng)
    samplers.check_gradient((lambda x: np.full(len(x), 1e9), np.zeros_like), start(), rng)
    with pytest.raises(minigen.check.GradientError):
        samplers.check_gradient((lambda x: np.zeros(len(x)), np.ones_like), start(), rng)


def test_a_kernel_says_what_it_is():
    kernel = mala(log_prob)
    assert repr(kernel) == "mala(step_size=to be adapted, temperature=1)"
    assert repr(kernel.replace(step_size=0.25)) == "mala(step_size=0.25, temperature=1)"
    with pytest.raises(ValueError, match="no step_size yet"):
        kernel.step(kernel.init(start()), np.random.default_rng(0))
    with pytest.raises(ValueError, match="ula"):
        ula(log_prob, None)
    assert isinstance(kernel.init(start()), State)


def test_tempering_wants_rising_temperatures():
    for temperatures in [(1.0,), (2.0, 1.0), (1.0, 1.0), (1.0, -2.0), (1.0, "2")]:
        with pytest.raises(ValueError, match="temperatures"):
            Tempering(mala(log_prob, 0.1), temperatures)
