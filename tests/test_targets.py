"""What the targets say of themselves, against quadrature, closed forms written anew, and their own samples."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from minigen import Tensor, check, datasets, ops, targets, tensor
from minigen.distributions import Mixture, Normal, kl_divergence
from minigen.samplers import annealed_importance_sampling
from minigen.targets import banana, checkerboard, double_well, funnel, grid, ring, swiss_roll, two_moons

ALL = {
    "ring": ring(),
    "ring of 5": ring(5, 2.0, 0.3),
    "grid": grid(),
    "grid of 3": grid(3, 1.0, 0.4),
    "swiss_roll": swiss_roll(),
    "two_moons": two_moons(),
    "checkerboard": checkerboard(),
    "double_well": double_well(),
    "low double_well": double_well(2, 0.5),
    "banana": banana(),
    "mild banana": banana(0.5, 1.0),
    "funnel": funnel(),
    "mild funnel": funnel(3, 1.0),
}
each = pytest.mark.parametrize("target", ALL.values(), ids=ALL)


def rng(seed=0):
    return np.random.default_rng(seed)


@each
def test_shapes_and_dtypes(target):
    x = target.sample(7, rng())
    assert x.shape == (7, target.dim) and x.dtype == np.float64
    assert target.log_prob(x).shape == target.energy(x).shape == (7,)
    assert np.all(np.isfinite(target.log_prob(x)))
    np.testing.assert_allclose(target.log_prob(x), -target.energy(x) - target.log_Z, rtol=1e-14)
    assert target.mean.shape == (target.dim,) and target.cov.shape == (target.dim, target.dim)
    assert target.modes is None or target.modes.shape[1] == target.dim
    np.testing.assert_array_equal(x, target.sample(7, rng()))
    assert target.sample(1, rng()).shape == (1, target.dim)


@each
@pytest.mark.parametrize("seed", range(3))
def test_sample_moments_are_the_true_ones(target, seed):
    """Within 4 standard errors each; the errors come from the samples."""
    x = target.sample(20_000, rng(seed))
    pairs = [(i, j) for i in range(target.dim) for j in range(i + 1)]
    centred = x - target.mean
    if target is ALL["funnel"]:  # exp(v) with v of SD 3 has no useful sample variance: only v's is looked at
        centred, pairs = centred[:, :1], [(0, 0)]
    for column in centred.T:
        assert abs(column.mean()) < 4.3 * column.std() / np.sqrt(len(x))
    for i, j in pairs:
        product = centred[:, i] * centred[:, j]
        assert abs(product.mean() - target.cov[i, j]) < 4.3 * product.std() / np.sqrt(len(x))


def square_integral(target, extent, points):
    """Integrals of the density, and of it times x and x x^T, by the trapezoidal rule on a square about the mean."""
    axes = [target.mean[j] + np.linspace(-extent[j], extent[j], points[j]) for j in range(2)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    p = np.exp(target.log_prob(x)) * np.prod([axis[1] - axis[0] for axis in axes])
    return p.sum(), p @ x, (p[:, None] * (x - target.mean)).T @ (x - target.mean)


@pytest.mark.parametrize(
    ("name", "extent", "points"),
    [
        ("ring", (1.1, 1.1), (500, 500)),
        ("ring of 5", (4.5, 4.5), (150, 150)),
        ("grid of 3", (4.5, 4.5), (150, 150)),
        ("two_moons", (2.6, 2.0), (120, 100)),
        ("low double_well", (3.5, 8), (150, 150)),
        ("mild banana", (8.0, 34.0), (150, 500)),
        ("swiss_roll", (20, 20), (180, 180)),
    ],
)
def test_densities_integrate_to_one_with_the_stated_moments(name, extent, points):
    target = ALL[name]
    total, mean, cov = square_integral(target, extent, points)
    assert total == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mean, target.mean, atol=1e-5)
    np.testing.assert_allclose(cov, target.cov, atol=1e-4)


def test_a_perfect_samplers_likelihood_is_minus_the_entropy():
    """Components 20 and 40 SD apart hardly overlap, so the entropy is log k + log(2 pi e sd^2)."""
    for target, k in ((ring(), 8), (grid(), 25)):
        entropy = np.log(k) + np.log(2 * np.pi * np.e * target.sd**2)
        log_prob = target.log_prob(target.sample(20_000, rng(1)))
        assert abs(log_prob.mean() + entropy) < 4 * log_prob.std() / np.sqrt(20_000)


def test_mixtures_are_where_the_published_tables_have_them():
    target = ring()
    angle = np.arctan2(target.modes[:, 1], target.modes[:, 0]) % (2 * np.pi)
    np.testing.assert_allclose(angle, np.arange(8) * np.pi / 4, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(target.modes, axis=1), 1)
    assert target.sd == 0.01
    lattice = {(-4.0, -4.0), (-4.0, 4.0), (0.0, 0.0), (2.0, -2.0)}
    assert lattice < set(map(tuple, grid().modes)) and len(grid().modes) == 25 and grid().sd == 0.05
    np.testing.assert_allclose(ring(3, 2.0, 0.5).cov, (2 + 0.25) * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(grid().cov, (8 + 0.0025) * np.eye(2), atol=1e-12)


@pytest.mark.parametrize("name", ["ring of 5", "grid of 3"])
def test_mixture_density_is_the_sum_of_its_gaussians(name):
    target = ALL[name]
    x = target.mean + 2 * rng(2).standard_normal((50, 2))
    components = [stats.multivariate_normal(mode, target.sd**2).logpdf(x) for mode in target.modes]
    truth = special.logsumexp(components, axis=0) - np.log(len(target.modes))
    np.testing.assert_allclose(target.log_prob(x), truth, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_mixture_components_are_equally_heavy_and_gaussian(seed):
    target = ring()
    x = target.sample(8000, rng(seed))
    gaps = x[:, None] - target.modes
    nearest = np.argmin(np.sum(gaps**2, axis=2), axis=1)
    assert stats.chisquare(np.bincount(nearest)).pvalue > 1e-4
    residual = gaps[np.arange(8000), nearest] / 0.01
    for column in residual.T:
        assert stats.kstest(column, "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    ("target", "curves", "low", "high", "width"),
    [
        (two_moons(0.15), [(np.cos, np.sin), (lambda t: 1 - np.cos(t), lambda t: 0.5 - np.sin(t))], 0, np.pi, 1.5),
        (swiss_roll(0.7), [(lambda t: t * np.cos(t), lambda t: t * np.sin(t))], 1.5 * np.pi, 4.5 * np.pi, 7.0),
    ],
    ids=["two_moons", "swiss_roll"],
)
def test_noisy_curves_have_the_density_of_their_integral(target, curves, low, high, width):
    """Up to 10 standard deviations of the noise off the curve, by adaptive quadrature."""
    sd = {"two_moons": 0.15, "swiss_roll": 0.7}[target.name]
    r = rng(3)
    x = target.sample(12, r)
    x[6:] += width * r.uniform(-1, 1, (6, 2))
    for point, log_prob in zip(x, target.log_prob(x)):
        total = 0.0
        t = np.linspace(low, high, 2000)
        for a, b in curves:
            # The largest exponent is taken out, and the place where it is told to the integrator.
            exponent = lambda t: -((point[0] - a(t)) ** 2 + (point[1] - b(t)) ** 2) / (2 * sd**2)  # noqa: B023
            peak = exponent(t).max()
            inside = lambda t: np.exp(exponent(t) - peak)  # noqa: B023
            where = np.clip(t[np.argmax(exponent(t))] + np.array([-0.3, 0, 0.3]), low, high)
            total += (
                np.exp(peak) * integrate.quad(inside, low, high, points=where, epsabs=0, epsrel=1e-11, limit=500)[0]
            )
        truth = np.log(total / len(curves) / (high - low) / (2 * np.pi * sd**2))
        assert log_prob == pytest.approx(truth, abs=1e-8)


def test_noisy_curves_without_their_noise_lie_on_the_curve():
    x = swiss_roll(1e-3).sample(2000, rng(4))
    t = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(x, np.stack([t * np.cos(t), t * np.sin(t)], axis=1), atol=0.1)
    assert stats.kstest(t, "uniform", args=(1.5 * np.pi, 3 * np.pi)).pvalue > 1e-4
    x = two_moons(1e-3).sample(2000, rng(5))
    outer = np.abs(np.linalg.norm(x, axis=1) - 1) < 5e-3
    inner = np.abs(np.linalg.norm(x - [1, 0.5], axis=1) - 1) < 5e-3
    assert np.all(outer | inner) and stats.binomtest(int(outer.sum()), 2000).pvalue > 1e-4
    assert np.all(x[outer & ~inner, 1] > -5e-3) and np.all(x[inner & ~outer, 1] < 0.5 + 5e-3)


def test_checkerboard_fills_every_other_square_evenly():
    target = checkerboard()
    x = target.sample(16_000, rng(6))
    cells = np.floor(x / 2).astype(int)
    assert np.all(cells.sum(axis=1) % 2 == 0) and np.abs(x).max() < 4
    assert stats.chisquare(np.unique(cells, axis=0, return_counts=True)[1]).pvalue > 1e-4
    for column in x.T:
        assert stats.kstest(column, "uniform", args=(-4, 8)).pvalue > 1e-4
    np.testing.assert_allclose(target.log_prob(x), -np.log(32))
    points = np.stack(np.meshgrid(*[np.arange(-7.75, 8, 0.5)] * 2), axis=-1).reshape(-1, 2)
    assert np.exp(target.log_prob(points)).sum() * 0.25 == pytest.approx(1)
    np.testing.assert_array_equal(target.log_prob([[-1, 1], [1, 5], [5, 5], [-3, 1]]), [-np.inf] * 3 + [-np.log(32)])


@pytest.mark.parametrize("barrier", [0.01, 0.5, 4.0, 30.0, 1e4])
def test_double_well_normalises_as_bessels_functions_say(barrier):
    """The integral of exp(-b (x^2 - 1)^2) is pi/2 exp(-b/2) (I_-1/4(b/2) + I_1/4(b/2)); ive carries the exponential."""
    target = double_well(1, barrier)
    Z = np.pi / 2 * (special.ive(-0.25, barrier / 2) + special.ive(0.25, barrier / 2))
    assert target.log_Z == pytest.approx(np.log(Z), abs=1e-10)
    assert double_well(2, barrier).log_Z == pytest.approx(np.log(Z * np.sqrt(2 * np.pi)), abs=1e-10)
    density = lambda x: np.exp(-barrier * (x**2 - 1) ** 2)
    second = integrate.quad(lambda x: x**2 * density(x), 0, 10, points=[1.0], epsabs=1e-14, limit=500)[0]
    assert target.cov[0, 0] == pytest.approx(2 * second / Z, rel=1e-7)


@pytest.mark.parametrize("barrier", [0.01, 1.0, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_double_well_samples_follow_its_distribution_function(barrier, seed):
    x = double_well(2, barrier).sample(8000, rng(seed))
    line = np.linspace(-8, 8, 16_001)
    p = np.exp(double_well(1, barrier).log_prob(line[:, None]))
    cdf = integrate.cumulative_simpson(p, x=line, initial=0)
    assert stats.kstest(x[:, 0], lambda t: np.interp(t, line, cdf)).pvalue > 1e-4
    assert stats.kstest(x[:, 1], "norm").pvalue > 1e-4
    assert abs(np.corrcoef(np.abs(x.T))[0, 1]) < 4 / np.sqrt(8000)


@pytest.mark.parametrize("seed", range(3))
def test_banana_straightened_is_a_standard_normal(seed):
    target = banana()
    x = target.sample(5000, rng(seed))
    z = np.stack([x[:, 0] / 10, x[:, 1] + 0.03 * x[:, 0] ** 2 - 3], axis=1)
    for column in z.T:
        assert stats.kstest(column, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(5000)
    np.testing.assert_allclose(target.log_prob(x), stats.norm.logpdf(z).sum(axis=1) - np.log(10), rtol=1e-10)
    np.testing.assert_allclose(np.diag(target.cov), [100, 19])  # Var x^2 = 2 sd^4


@pytest.mark.parametrize("seed", range(3))
def test_funnel_is_a_normal_of_changing_width(seed):
    target = funnel()
    x = target.sample(5000, rng(seed))
    v = x[:, 0]
    assert stats.kstest(v, "norm", args=(0, 3)).pvalue > 1e-4
    for column in x[:, 1:].T:
        assert stats.kstest(column / np.exp(v / 2), "norm").pvalue > 1e-4
    truth = stats.norm.logpdf(v, scale=3) + stats.norm.logpdf(x[:, 1:], scale=np.exp(v / 2)[:, None]).sum(axis=1)
    np.testing.assert_allclose(target.log_prob(x), truth, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(np.diag(target.cov), [9] + [np.exp(4.5)] * 9)


@pytest.mark.parametrize("name", ["double_well", "low double_well", "banana", "mild funnel", "funnel"])
def test_modes_are_where_the_density_is_highest(name):
    target = ALL[name]
    around = target.log_prob(target.modes)
    for step in rng(7).standard_normal((50, target.dim)):
        assert np.all(target.log_prob(target.modes + 1e-3 * step / np.linalg.norm(step)) < around)


@each
def test_far_out_the_density_is_zero_and_never_nan(target):
    x = np.concatenate([scale * rng(8).standard_normal((20, target.dim)) for scale in (1e3, 1e8, 1e160, 1e300)])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        log_prob = target.log_prob(x)
    assert not np.any(np.isnan(log_prob)) and np.all(log_prob < target.log_prob(target.mean[None] + 0.01).max() + 10)
    neck = np.zeros((1, target.dim))
    neck[0, 0] = -1000
    assert not np.isnan(target.log_prob(neck)[0])


# A target is a distribution -------------------------------------------------------------------------------------------


@each
def test_of_tensors_the_density_is_a_tensor_with_its_gradient(target):
    x = target.sample(9, rng(9))
    if target is ALL["checkerboard"]:
        x[0] = 7.0
    values = target.log_prob(tensor(x))
    assert type(values) is Tensor
    np.testing.assert_allclose(values.data, target.log_prob(x), rtol=1e-12)
    inside = x[np.isfinite(target.log_prob(x))]
    check.gradient(lambda x: ops.sum(target.log_prob(x)), inside, rng=rng(10), tolerance=1e-4)
    single = tensor(x.astype(np.float32))
    assert target.log_prob(single).dtype == np.float32


@each
def test_it_stands_where_a_distribution_can(target):
    d = target.dim
    assert target.event_shape == (d,) and target.batch_shape == () and not target.discrete
    assert target.sample((3, 2), rng()).shape == (3, 2, d) and target.sample((), rng()).shape == (d,)
    np.testing.assert_array_equal(target.sample((3, 2), rng()).reshape(6, d), target.sample(6, rng()))
    wide = Normal(target.mean, 2 * np.sqrt(np.diag(target.cov)))
    if target is not ALL["funnel"]:  # the tails of which the Normal hardly has
        estimate = kl_divergence(target, wide, rng=rng(11), n=4000)
        x = target.sample(4000, rng(12))
        ratio = target.log_prob(x) - stats.norm(wide.mean, wide.sd).logpdf(x).sum(axis=1)
        error = np.hypot(estimate.standard_error, ratio.std() / np.sqrt(4000))
        assert abs(estimate.value - ratio.mean()) < 4.5 * error + 1e-9
    mixture = Mixture([target, wide], weights=[0.25, 0.75])
    expected = special.logsumexp([target.log_prob(x := target.sample(5, rng())), wide.log_prob(x)], axis=0,
                                 b=[[0.25], [0.75]])  # fmt: skip
    np.testing.assert_allclose(mixture.log_prob(x), expected, rtol=1e-12)
    np.testing.assert_allclose(mixture.var, 0.25 * target.var + 0.75 * wide.var, rtol=1e-12)
    assert mixture.sample(4, rng()).shape == (4, d)


def test_annealed_importance_sampling_starts_from_a_target_or_a_distribution():
    """log Z of an unnormalised normal of SD 0.8: log(2 pi 0.64) in two dimensions."""
    log_prob = lambda x: ops.sum(ops.square(x), -1) * (-0.5 / 0.64)
    for base in (ring(8, 1.0, 0.7), double_well(2, 0.5), Normal(np.zeros(2), 1.5)):
        found = annealed_importance_sampling(log_prob, base, 400, rng(13), rungs=20, progress=False)
        assert abs(found.log_Z - np.log(2 * np.pi * 0.64)) < 4.5 * found.standard_error + 1e-3


def test_data_sets_find_them_too():
    for name in ("ring", "grid", "swiss_roll", "two_moons", "checkerboard", "double_well", "banana", "funnel"):
        assert getattr(datasets, name) is getattr(targets, name)
        assert getattr(datasets, name)().name == name


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ring(0), ValueError, ["ring()", "components=0", "1 or more"]),
        (lambda: ring(sd=0), ValueError, ["ring()", "sd=0", "positive"]),
        (lambda: grid(side=2.5), ValueError, ["grid()", "side=2.5", "whole number"]),
        (lambda: grid(spacing=-1), ValueError, ["grid()", "spacing=-1", "positive"]),
        (lambda: swiss_roll(0), ValueError, ["swiss_roll()", "sd=0", "0.001 or more"]),
        (lambda: two_moons(1e-9), ValueError, ["two_moons()", "1e-09", "only with noise"]),
        (lambda: double_well(3), ValueError, ["double_well()", "dim=3", "1 or 2"]),
        (lambda: double_well(1, 1e9), ValueError, ["barrier=1000000000.0", "10000"]),
        (lambda: banana(sd=np.nan), ValueError, ["banana()", "sd=nan", "positive"]),
        (lambda: funnel(1), ValueError, ["funnel()", "dim=1", "at least 2"]),
        (lambda: funnel(sd=30), ValueError, ["funnel()", "sd=30", "overflows"]),
        (lambda: ring().sample(5, 0), TypeError, ["Target.sample()", "rng=0", "default_rng"]),
        (lambda: ring().sample(0, rng()), ValueError, ["Target.sample()", "n=0", "1 or more"]),
        (lambda: banana().log_prob([0.0, 1.0]), ValueError, ["banana", "(2,)", "(n, 2)", "x[None]"]),
        (lambda: funnel().log_prob(np.zeros((3, 2))), ValueError, ["funnel", "(3, 2)", "(n, 10)"]),
        (lambda: grid().log_prob([[np.nan, 0]]), ValueError, ["grid", "NaN", "finite"]),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
