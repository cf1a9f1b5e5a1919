"""log Z on grids and from annealed chains, against targets whose log Z is known."""

import io
import signal

import numpy as np
import pytest
from test_chains import interrupting
from tqdm import tqdm

from minigen import distributions, nn, ops, targets
from minigen.samplers import hmc, mala, random_walk, ula
from minigen.samplers.partition import annealed_importance_sampling, log_Z_on_grid
from minigen.tape import tensor


def pair(target):
    return (lambda x: -target.energy(x), None)


GRIDS = {
    "one dimension": (targets.double_well(), [(-3, 3)], 1e-13),
    "two": (targets.double_well(2), [(-2.5, 3), (-9, 8)], 1e-13),
    "ring": (targets.ring(sd=0.05), [(-2, 2), (-2, 2)], 1e-13),
    "a bent axis": (targets.banana(0.1, 3.0), [(-20, 20), (-40, 12)], 1e-7),
    "moons": (targets.two_moons(), [(-2, 3), (-1.5, 2)], 1e-13),
    "steps": (targets.checkerboard(), [(-5, 5), (-5, 5)], 0.01),
}


@pytest.mark.parametrize("name", GRIDS)
def test_grid(name):
    target, bounds, tolerance = GRIDS[name]
    found = log_Z_on_grid(pair(target), bounds)
    assert abs(found.log_Z - target.log_Z) <= min(tolerance, found.error + 1e-14)
    assert found.error < tolerance
    points = np.stack(np.meshgrid(*found.axes, indexing="ij"), axis=-1)
    expected = target.log_prob(points.reshape(-1, target.dim)).reshape(found.log_prob.shape)
    np.testing.assert_allclose(found.log_prob, expected, atol=tolerance)
    assert [axis[[0, -1]].tolist() for axis in found.axes] == [list(pair) for pair in bounds]


@pytest.mark.parametrize("cells", [16, 24, 32, 64])
def test_what_the_grid_says_of_its_error(cells):
    target = targets.ring(5, 2.0, 0.3)
    found = log_Z_on_grid(pair(target), [(-4, 4), (-4, 4)], cells)
    assert abs(found.log_Z - target.log_Z) <= found.error


@pytest.mark.parametrize("high", [3.3, 4.0, 5.0])
def test_mass_of_a_normal_that_is_cut_off(high):
    target = targets.double_well(2)
    found = log_Z_on_grid(pair(target), [(-3, 3), (-9, high)], 200)
    assert 1 <= found.error / (target.log_Z - found.log_Z) < 1.3


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", [0, 1])
def test_mass_at_each_border_is_noticed(axis, side):
    bounds = np.array([[-3.0, 3.0], [-8.0, 8.0]])
    bounds[axis, side] = (0.9, 1.5)[axis] * (-1, 1)[side]
    with pytest.warns(UserWarning, match=r"% of the mass seems to lie outside .* wider box"):
        found = log_Z_on_grid(pair(targets.double_well(2)), bounds)
    assert found.error > 0.01


def test_grid_of_a_network():
    net = nn.MLP((2, 8, 1), "silu", rng=np.random.default_rng(0))
    log_prob = lambda x: -net(x)[:, 0] - ops.sum(ops.square(x), axis=1)
    found = log_Z_on_grid(log_prob, [(-6, 6), (-6, 6)], 128, dtype=np.float32)
    points = np.stack(np.meshgrid(*found.axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    weights = np.exp(-net(points).data[:, 0] - np.sum(points**2, axis=1), dtype=np.float64)
    assert found.log_Z == pytest.approx(np.log(weights.sum() * (12 / 128) ** 2), abs=1e-6)
    base = distributions.Normal(np.zeros(2, np.float32), 1.0)
    annealed = annealed_importance_sampling(log_prob, base, 400, np.random.default_rng(0), rungs=30)
    assert annealed.draws.dtype == np.float32 and annealed.standard_error < 0.03
    assert abs(annealed.log_Z - found.log_Z) < 4 * annealed.standard_error


@pytest.mark.parametrize("unit", [1e-290, 1e-12, 1e12, 1e290])
def test_grid_in_any_unit(unit):
    target = targets.double_well(1)
    scaled = (lambda x: -target.energy(x / unit), None)
    found = log_Z_on_grid(scaled, [(-3 * unit, 3 * unit)])
    assert found.log_Z == pytest.approx(target.log_Z + np.log(unit), abs=1e-10) and found.error < 1e-10


@pytest.mark.parametrize("height", [-1e6, -1e3, 1e3, 1e6])
def test_grid_of_any_height(height):
    target = targets.ring(5, 2.0, 0.3)
    found = log_Z_on_grid((lambda x: height - target.energy(x), None), [(-6, 6), (-6, 6)])
    assert found.log_Z == pytest.approx(height + target.log_Z, abs=1e-13 + 3e-16 * abs(height))


@pytest.mark.parametrize(
    ("bounds", "dtype"),
    [([(1e8, 1e8 + 1e-6)], np.float64), ([(1e8, 1e8 + 100)], np.float32), ([(0, 1), (2e7, 2e7 + 64)], np.float32)],
)
def test_a_grid_finer_than_its_dtype_is_refused(bounds, dtype):
    # Neighbours would be rounded to the same place, and log Z be that of a staircase.
    with pytest.raises(ValueError, match=r"cells of .* points, .* apart there, cannot tell from one another"):
        log_Z_on_grid((lambda x: 0 * x[:, 0], None), bounds, 64, dtype=dtype)


def test_bad_grids():
    flat = (lambda x: 0 * x[:, 0], None)
    for bounds in ([(3, -3)], (-3, 3), [(-3, 3)] * 3, [(0, np.inf)], [(0, 1, 2)], 5, [(0, np.nan)]):
        with pytest.raises(ValueError, match=r"expected \(low, high\) for each axis"):
            log_Z_on_grid(flat, bounds)
    for bounds in ([(-1e308, 1e308)], [("a", "b")], [(0, 1), (0, 1, 2)], "ab", None, [(0, 10**400)]):
        with pytest.raises(ValueError, match=r"expected \(low, high\) for each axis"):
            log_Z_on_grid(flat, bounds)
    with pytest.raises(ValueError, match="even"):
        log_Z_on_grid(flat, [(0, 1)], 5)
    with pytest.raises(ValueError, match=r"NaN or \+inf at 1 of 11 points, such as \[0.5\]"):
        log_Z_on_grid((lambda x: np.where(x[:, 0] == 0.5, np.nan, 0), None), [(0, 1)], 10)
    with pytest.raises(ValueError, match="-inf at all 11"):
        log_Z_on_grid((lambda x: np.full(len(x), -np.inf), None), [(0, 1)], 10)


def double_well(x):
    return -4 * ops.square(ops.square(x[:, 0]) - 1) - 0.5 * ops.square(x[:, 1])


def banana(x):
    straight = x[:, 1] + 0.1 * (ops.square(x[:, 0]) - 9)
    return -0.5 * ops.square(x[:, 0] / 3) - 0.5 * ops.square(straight)


def funnel(x):
    v, square = x[:, 0], ops.sum(ops.square(x[:, 1:]), axis=1)
    return -0.5 * ops.square(v) - 1.5 * v - 0.5 * square * ops.exp(-v)


def ring(x):
    moved = ops.reshape(x, (-1, 1, 2)) - targets.ring(8, 1.0, 0.1).modes
    return ops.logsumexp(-50 * ops.sum(ops.square(moved), axis=2), axis=1)


TARGETS = {
    "double_well": (double_well, targets.double_well(2), 2.0),
    "banana": (banana, targets.banana(0.1, 3.0), 4.0),
    "funnel": (funnel, targets.funnel(4, 1.0), 2.0),
    "ring": (ring, targets.ring(8, 1.0, 0.1), 1.0),
}
KERNELS = {
    "mala": mala,
    "hmc": lambda log_prob: hmc(log_prob, leapfrog_steps=5),
    "random_walk": random_walk,
    "fixed step": lambda log_prob: random_walk(log_prob, 0.3),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", TARGETS)
def test_annealing_finds_log_Z(name, kernel):
    log_prob, target, sd = TARGETS[name]
    x = target.sample(9, np.random.default_rng(0))
    np.testing.assert_allclose(log_prob(tensor(x)).data, -target.energy(x), rtol=1e-10)
    base = distributions.Normal(np.zeros(target.dim), sd)
    z = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        found = annealed_importance_sampling(log_prob, base, 400, rng, kernel=KERNELS[kernel], rungs=80)
        assert found.draws.shape == (400, target.dim) and found.log_weights.shape == (400,)
        assert found.acceptance_rate.shape == (80,) and found.standard_error < 0.25
        z.append((found.log_Z - target.log_Z) / found.standard_error)
    assert np.max(np.abs(z)) < 4 and abs(np.mean(z)) < 2
    if kernel == "hmc":  # the step size found for each rung holds the rate that adaptation aims at
        assert found.acceptance_rate.mean() == pytest.approx(0.8, abs=0.08)


def test_the_standard_error_is_honest():
    target, base, repeats = targets.double_well(), distributions.Normal(np.zeros(1), 1.5), 200
    kernel = lambda log_prob: random_walk(log_prob, 0.5)
    found = [
        annealed_importance_sampling(pair(target), base, 300, np.random.default_rng(seed), kernel=kernel, rungs=15)
        for seed in range(repeats)
    ]
    off = np.array([each.log_Z for each in found]) - target.log_Z
    z = off / [each.standard_error for each in found]
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.1)
    assert np.mean(np.abs(z) < 2) == pytest.approx(0.954, abs=0.05)
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1, abs=0.15)
    ratio = np.exp(off)  # Z itself is without bias
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(repeats)


@pytest.mark.parametrize("rungs", [1, [1.0], [0.3, 1.0]])
def test_any_ladder_is_right(rungs):
    # With one rung it is plain importance sampling.
    target, base = targets.double_well(), distributions.Normal(np.zeros(1), 1.2)
    rng = np.random.default_rng(1)
    found = annealed_importance_sampling(pair(target), base, 20000, rng, kernel=random_walk, rungs=rungs)
    assert abs(found.log_Z - target.log_Z) < 4 * found.standard_error < 0.05
    assert np.log(np.mean(np.exp(found.log_weights))) == pytest.approx(found.log_Z)
    w = np.exp(found.log_weights)
    assert found.standard_error == pytest.approx(np.std(w) / np.mean(w) / np.sqrt(20000), rel=1e-3)
    assert found.effective_draws == pytest.approx(20000 / (1 + np.var(w) / np.mean(w) ** 2))


def test_weighted_draws():
    log_prob, target, sd = TARGETS["banana"]
    base = distributions.Normal(np.array([1.0, 0.0]), sd)
    found = annealed_importance_sampling(log_prob, base, 2000, np.random.default_rng(0))
    assert found.weights.sum() == pytest.approx(1)
    for power in (1, 2):
        expected = target.mean if power == 1 else np.diag(target.cov)
        values = found.draws**power
        error = np.sqrt(np.sum(found.weights[:, None] ** 2 * (values - expected) ** 2, axis=0))
        assert np.all(np.abs(found.weights @ values - expected) < 4 * error)


def test_other_bases_and_targets_with_edges():
    board, wells = targets.checkerboard(), targets.double_well(2)
    sides = [distributions.Normal(np.array([x, 0.0]), 1.2) for x in (-1.0, 1.0)]
    mixture = distributions.Mixture(sides, weights=np.array([0.4, 0.6]))
    for target, base in (
        (board, distributions.Normal(np.zeros(2), 4.0)),
        (wells, distributions.Uniform(np.full(2, -5.0), np.full(2, 5.0))),
        (wells, mixture),
        (wells, distributions.MultivariateNormal(np.zeros(2), np.array([[1.5, 0.0], [0.4, 1.2]]))),
    ):
        rng = np.random.default_rng(3)
        found = annealed_importance_sampling(pair(target), base, 1000, rng, kernel=random_walk, rungs=60)
        assert abs(found.log_Z - target.log_Z) < 4 * found.standard_error < 0.3
        assert np.all(np.isfinite(target.energy(found.draws[found.weights > 0])))


@pytest.mark.parametrize("base", [targets.double_well(2), targets.banana(0.1, 3.0), targets.funnel(2, 1.0)], ids=str)
def test_a_target_as_a_base(base):
    target = targets.double_well(2)
    settings = {"kernel": random_walk, "rungs": 60, "progress": False}
    found = annealed_importance_sampling(pair(target), base, 2000, np.random.default_rng(0), **settings)
    assert abs(found.log_Z - target.log_Z) < 4 * found.standard_error + 1e-12 and found.standard_error < 0.3
    found = annealed_importance_sampling(double_well, base, 2000, np.random.default_rng(0), rungs=60, progress=False)
    assert abs(found.log_Z - target.log_Z) < 4 * found.standard_error + 1e-12 and found.standard_error < 0.3


@pytest.mark.parametrize("unit", [1e-100, 1e-9, 1e9, 1e100])
def test_annealing_in_any_unit(unit):
    target = targets.double_well(2)
    log_prob = lambda x: double_well(x * (1 / unit))
    for kernel in (mala, random_walk):
        base = distributions.Normal(np.zeros(2), 2.0 * unit)
        settings = {"kernel": kernel, "rungs": 80, "progress": False}
        found = annealed_importance_sampling(log_prob, base, 400, np.random.default_rng(0), **settings)
        assert abs(found.log_Z - 2 * np.log(unit) - target.log_Z) < 4 * found.standard_error < 0.8
        usual = distributions.Normal(np.zeros(2), 2.0)
        plain = annealed_importance_sampling(double_well, usual, 400, np.random.default_rng(0), **settings)
        assert found.effective_draws > 0.8 * plain.effective_draws
        assert found.acceptance_rate.mean() == pytest.approx(plain.acceptance_rate.mean(), abs=0.03)


def test_weights_that_differ_by_more_than_floats_can_say():
    base, rng = distributions.Normal(np.zeros(1), 1.0), np.random.default_rng(0)
    for height in (-1e5, 1e5):
        log_prob = lambda x, height=height: height - 0.5 * ops.square(x[:, 0])
        found = annealed_importance_sampling(log_prob, base, 50, rng, rungs=10)
        assert found.log_Z == pytest.approx(height + 0.5 * np.log(2 * np.pi), rel=1e-12)
        assert found.weights.sum() == pytest.approx(1)


def test_the_same_seed_gives_the_same_compiled_or_not():
    log_prob, _, sd = TARGETS["double_well"]
    base = distributions.Normal(np.zeros(2), sd)
    runs = [
        annealed_importance_sampling(log_prob, base, 50, np.random.default_rng(seed), rungs=30, compile=compile)
        for seed, compile in ((0, True), (0, True), (0, False), (1, True))
    ]
    assert runs[0].log_Z == runs[1].log_Z == runs[2].log_Z != runs[3].log_Z


def test_few_effective_draws_warn():
    base = distributions.Normal(np.zeros(2), 40.0)
    with pytest.warns(UserWarning, match="more rungs, more steps, or a base nearer"):
        found = annealed_importance_sampling(double_well, base, 50, np.random.default_rng(0), rungs=2)
    assert found.effective_draws < 10


@pytest.mark.parametrize("step_size", [0.5, None], ids=["climbing", "searching"])
@pytest.mark.parametrize("after", [1, 12])
def test_ctrl_c_is_one_clear_error(step_size, after):
    handler = signal.getsignal(signal.SIGINT)
    calls = [0]
    density = interrupting(after, calls)
    base, kernel = distributions.Normal(np.zeros(2), 2.0), lambda log_prob: mala(log_prob, step_size)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted; its 30 chains .* nothing to return"):
        annealed_importance_sampling(density, base, 30, np.random.default_rng(0), kernel=kernel, progress=False)
    assert calls[0] <= after + 2  # the move under way is finished, no more are made
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        base = distributions.Normal(np.zeros(2), 2.0)
        found = annealed_importance_sampling(interrupting(12), base, 30, np.random.default_rng(0), progress=False)
        assert abs(found.log_Z - np.log(2 * np.pi)) < 0.5
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("step_size", [0.5, None])
def test_the_bar_comes_to_its_end(step_size, monkeypatch):
    bars = []

    def bar(**settings):
        bars.append(tqdm(**{**settings, "disable": settings["disable"] is True, "file": io.StringIO()}))
        return bars[-1]

    monkeypatch.setattr("minigen.samplers.progress.tqdm", bar)
    density, base = interrupting(0), distributions.Normal(np.zeros(2), 2.0)
    for progress in (True, False):
        found = annealed_importance_sampling(
            density,
            base,
            30,
            np.random.default_rng(0),
            kernel=lambda log_prob: mala(log_prob, step_size),
            rungs=7,
            steps=3,
            progress=progress,
        )
        assert abs(found.log_Z - np.log(2 * np.pi)) < 0.5
    assert bars[0].n == bars[0].total >= 21 and bars[1].disable


def test_bad_arguments():
    base, rng = distributions.Normal(np.zeros(2), 2.0), np.random.default_rng(0)
    zeros = lambda x: np.zeros(x.shape)
    for error, message, arguments, settings in (
        (ValueError, "acceptance step, unlike ula", (double_well, base, 9, rng), {"kernel": lambda p: ula(p, 0.1)}),
        (ValueError, "temperature 1", (double_well, base, 9, rng), {"kernel": lambda p: mala(p, 0.1, temperature=2)}),
        (ValueError, "needs the gradient", ((lambda x: x[:, 0], None), base, 9, rng), {}),
        (ValueError, r"\+inf at 9 of 9 chains", ((lambda x: x[:, 0] + np.inf, zeros), base, 9, rng), {}),
        (ValueError, "-inf at all chains", ((lambda x: x[:, 0] - np.inf, zeros), base, 9, rng), {}),
        (ValueError, "at least 2 chains", (double_well, base, 1, rng), {}),
        (ValueError, r"Normal\(np.zeros\(1\), 3.0\)", (double_well, distributions.Normal(0.0, 1.0), 9, rng), {}),
        (TypeError, "expected a distribution with sample", (double_well, 3.0, 9, rng), {}),
        (TypeError, "numpy.random.Generator", (double_well, base, 9, 0), {}),
        (ValueError, "numbers that rise", (double_well, base, 9, rng), {"rungs": [0.5, 0.2, 1]}),
        (ValueError, "numbers that rise", (double_well, base, 9, rng), {"rungs": [0.5, 0.9]}),
        (ValueError, "rungs=0", (double_well, base, 9, rng), {"rungs": 0}),
        (ValueError, "steps=0", (double_well, base, 9, rng), {"steps": 0}),
    ):
        with pytest.raises(error, match=message):
            annealed_importance_sampling(*arguments, **settings)
