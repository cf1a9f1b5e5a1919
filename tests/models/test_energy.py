"""Energy models: the two-phase gradient, what each method recovers of a known density, and how it is sampled."""

import copy
import signal

import numpy as np
import pytest

from minigen import divergences, nn, ops, tape, targets
from minigen.models import EnergyModel, energy_losses
from minigen.samplers import check_gradient, from_energy, log_Z_on_grid, mala, ula
from minigen.samplers.langevin import truncated_mala

METHODS = ("contrastive_divergence", "persistent", "denoising", "noise_contrastive")


def rng(seed=0):
    return np.random.default_rng(seed)


CENTRES, SDS, SHARES = np.array([-2.0, 0.5, 2.5]), np.array([0.4, 0.6, 0.3]), np.array([0.3, 0.5, 0.2])


def mixture_log_prob(x, blur=0.0):
    """Three normal components on a line, (n, 1); with `blur`, after adding noise of that SD."""
    sds = np.sqrt(SDS**2 + blur**2)
    return np.logaddexp.reduce(np.log(SHARES / sds / np.sqrt(2 * np.pi)) - ((x - CENTRES) / sds) ** 2 / 2, axis=1)


def mixture_sample(n, rng):
    k = rng.choice(3, n, p=SHARES)
    return (CENTRES[k] + SDS[k] * rng.standard_normal(n))[:, None]


def table(n=64, d=2, seed=3):
    return rng(seed).standard_normal((n, d)) * np.linspace(0.5, 4, d) + np.linspace(-3, 2, d)


def small(X=None, seed=0, **settings):
    settings = {"hidden": (8,), "steps": 30, "batch_size": 16, "chain_steps": 3, "chains": 20} | settings
    return EnergyModel(**settings).fit(table() if X is None else X, rng=rng(seed))


class Plain(nn.Module):
    """An energy in float64 on a box, with no shape of its own."""

    def __init__(self):
        self.mlp = nn.MLP([2, 7, 5, 1], "silu", rng=rng(1)).astype(np.float64)

    def forward(self, x):
        return self.mlp(x)


# --- the two-phase gradient


def on_grid(n=41):
    axis = np.linspace(-2.5, 3.0, n)
    return np.stack(np.meshgrid(axis, 0.7 * axis, indexing="ij"), axis=-1).reshape(-1, 2)


def minus_log_likelihood(energy, data, points):
    """With the model's probabilities on the points of a grid: by another way than the two phases, through logsumexp."""
    log_Z = ops.logsumexp(ops.negative(ops.reshape(energy(points), (-1,))))
    return ops.add(ops.mean(energy(data)), log_Z)


def test_the_two_phase_gradient_is_that_of_the_exact_log_likelihood():
    energy, points, data = Plain(), on_grid(), table(50)
    u = energy.mlp(points).data[:, 0]
    weights = np.exp(-u - np.logaddexp.reduce(-u))
    found = energy_losses.two_phase_gradient(energy, data, points, weights)
    exact = tape.grad(minus_log_likelihood(energy, data, points), energy.parameters())
    exact = np.concatenate([g.data.ravel() for g in exact])
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10 * np.abs(exact).max())
    assert np.abs(exact).max() > 0.1 and not np.any(energy.flat().grad)
    # Finite differences of the likelihood computed by NumPy alone.
    direction, flat, eps = rng(2).standard_normal(found.shape), energy.flat(), 1e-5
    likelihoods = []
    for step in (eps, -eps):
        flat.data += step * direction
        flat.changed()
        on_data, on_points = (energy.mlp(x).data[:, 0] for x in (data, points))
        likelihoods.append(on_data.mean() + np.logaddexp.reduce(-on_points))
        flat.data -= step * direction
        flat.changed()
    np.testing.assert_allclose(found @ direction, (likelihoods[0] - likelihoods[1]) / (2 * eps), rtol=1e-7)


def test_without_weights_the_negative_points_count_alike():
    energy, points, data = Plain(), on_grid(5), table(9)
    equal = energy_losses.two_phase_gradient(energy, data, points, np.full(25, 1 / 25))
    np.testing.assert_allclose(energy_losses.two_phase_gradient(energy, data, points), equal, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(energy_losses.two_phase_gradient(energy, data, data), 0, atol=1e-15)


def test_its_expectation_over_exact_samples_is_the_gradient_on_a_grid():
    """Samples of the model by its probabilities on the grid: within 5 standard errors of the sum over the grid."""
    energy, points, data = Plain(), on_grid(21), table(30)
    u = 3 * energy.mlp(points).data[:, 0]
    energy.mlp[-1].weight = 3 * energy.mlp[-1].weight.data
    weights = np.exp(-u - np.logaddexp.reduce(-u))
    exact = energy_losses.two_phase_gradient(energy, data, points, weights)
    chosen = rng().choice(len(points), (40, 200), p=weights)
    each = np.array([energy_losses.two_phase_gradient(energy, data, points[rows]) for rows in chosen])
    error = each.std(axis=0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(each.mean(axis=0) - exact) <= 5 * error + 1e-12)


# --- the chains of training


@pytest.mark.parametrize("step_size", [0.02, 0.3])
def test_a_step_of_its_chains_is_that_of_the_sampler(step_size):
    """With the same draws, where no drift is so long that it is cut."""
    energy = nn.MLP([3, 9, 1], "silu", rng=rng(4))
    x = rng(5).standard_normal((200, 3)).astype(np.float32)
    found, accepted = truncated_mala(from_energy(energy), x, 1, np.asarray(step_size, np.float32), rng(6))
    draws = rng(6)
    noise, uniform = ops.normal(draws, x.shape), ops.uniform(draws, (200,))
    kernel = mala(lambda x: ops.negative(energy(x)), step_size)
    state, info = kernel.transition(kernel.init(x), noise, uniform)
    np.testing.assert_allclose(found, state.position, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(accepted, info.is_accepted.mean(), rtol=1e-5)


def test_its_chains_keep_the_law_also_where_drifts_are_cut():
    """U = 20 |x| has a slope that is always cut at this step; its law has mean |x| 1/20 and a mean square of 2/400."""
    energy = lambda x: ops.multiply(ops.sum(ops.abs(x), axis=1), 20.0)
    n, step_size = 20_000, np.asarray(0.006, np.float32)
    assert np.sqrt(2 / step_size) < 20
    x = rng(7).laplace(0, 1 / 20, (n, 1)).astype(np.float32)
    found, accepted = truncated_mala(from_energy(energy), x, 60, step_size, rng(8))
    assert 0.1 < accepted < 0.9
    for power, value, variance in ((1, 1 / 20, 1 / 400), (2, 2 / 400, 20 / 20**4)):
        assert abs(np.mean(np.abs(found) ** power) - value) < 4 * np.sqrt(variance / n)


def test_a_chain_that_begins_on_a_steep_slope_comes_down():
    """The sampler's own MALA is rejected there for ever."""
    energy = lambda x: ops.sum(ops.power(x, 4.0), axis=1)
    x = np.full((50, 1), 30.0, np.float32)
    found, _ = truncated_mala(from_energy(energy), x, 400, np.asarray(0.05, np.float32), rng())
    assert np.abs(found).max() < 3
    kernel = mala(lambda x: ops.negative(energy(x)), 0.05)
    state = kernel.init(x)
    for _ in range(20):
        state, _ = kernel.step(state, rng())
    assert (state.position == 30).all()


def test_step_size_is_adapted_or_kept():
    assert small(step_size=0.02).step_size_ == np.float32(0.02)
    found = small(steps=300)
    assert np.mean(found.history_["acceptance"][-50:]) == pytest.approx(0.6, abs=0.1)


# --- what is recovered


def distances(model, log_prob, cells=256):
    """Total variation and KL(truth || model) on the model's grid, and the same two of a Gaussian of the data's moments
    at their true values."""
    grid = model.grid(cells=cells)
    points = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1).reshape(-1, len(grid.axes))
    volume = np.prod([axis[1] - axis[0] for axis in grid.axes])
    truth = np.exp(log_prob(points))
    mean = truth @ points * volume
    cov = (truth[:, None] * (points - mean)).T @ (points - mean) * volume
    squares = np.sum((points - mean) @ np.linalg.inv(cov) * (points - mean), axis=1)
    gauss = np.exp(-squares / 2) / np.sqrt(np.linalg.det(2 * np.pi * cov))
    p, q, gauss = (density / density.sum() for density in (truth, np.exp(grid.log_prob.ravel()), gauss))
    return [f(p, other) for other in (q, gauss) for f in (divergences.total_variation, divergences.kl)]


MOONS = targets.two_moons(0.2)
DENSITIES = {"mixture": (mixture_log_prob, mixture_sample), "moons": (MOONS.log_prob, MOONS.sample)}
LIMITS = {"mixture": (0.12, 0.04), "moons": (0.1, 0.04)}  # a Gaussian's are 0.30, 0.29 and 0.33, 0.32


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_recovers_a_density_that_no_gaussian_fits(method, density, seed):
    log_prob, draw = DENSITIES[density]
    data = rng(seed)
    X = draw(4000, data)
    model = EnergyModel((32, 32), method=method, steps=2000).fit(X, rng=data)
    tv, kl, tv_gauss, kl_gauss = distances(model, log_prob)
    tv_limit, kl_limit = LIMITS[density]
    assert tv < tv_limit < tv_gauss / 2 and kl < kl_limit < kl_gauss / 7
    assert model.history_.stopped == "steps" and len(model.history_.loss) == 2000


@pytest.fixture(scope="module")
def contrastive():
    data = rng(11)
    return EnergyModel((32, 32), method="noise_contrastive", steps=1000).fit(MOONS.sample(4000, data), rng=data)


@pytest.fixture(scope="module")
def line():
    data = rng(12)
    return EnergyModel((32, 32), method="persistent", steps=1000).fit(5 * mixture_sample(4000, data) + 40, rng=data)


def test_denoising_learns_the_score_of_the_blurred_density():
    data = rng(1)
    X = mixture_sample(8000, data)
    model = EnergyModel((64, 64), method="denoising", noise_sd=0.3, steps=3000, batch_size=256).fit(X, rng=data)
    blur, x, eps = 0.3 * X.std(), mixture_sample(4000, rng(9)), 1e-5
    x = x + blur * rng(10).standard_normal(x.shape)
    slope = lambda blur: (mixture_log_prob(x + eps, blur) - mixture_log_prob(x - eps, blur)) / (2 * eps)
    found, expected, sharp = model.score(x)[:, 0], slope(blur), slope(0.0)
    assert np.mean((found - expected) ** 2) < 0.05 * np.mean(expected**2)
    assert np.mean((found - sharp) ** 2) > 0.3 * np.mean(expected**2)  # and not that of the density itself


def test_noise_contrastive_estimation_learns_log_Z(contrastive):
    assert contrastive.learned_log_Z_ == pytest.approx(contrastive.log_Z_, abs=0.05)
    data = rng(2)
    X = table(4000) @ np.array([[1.0, 0.4], [0.0, 1.0]])  # a Gaussian, which the noise is too
    model = EnergyModel((32,), method="noise_contrastive", steps=1000).fit(X, rng=data)
    assert model.learned_log_Z_ == pytest.approx(model.log_Z_, abs=0.05)
    three = small(table(d=3), method="noise_contrastive")
    x = table(5, 3)
    np.testing.assert_allclose(three.log_prob(x), -three.energy(x) - three.learned_log_Z_)


def test_the_noise_has_the_law_it_says():
    X = table(500) @ np.array([[1.0, 0.4], [0.0, 1.0]])
    X -= X.mean(axis=0)
    noise, cov = energy_losses.GaussianNoise.fitted(X), X.T @ X / 500 + 1e-4 * np.eye(2)
    squares = np.sum(X @ np.linalg.inv(cov) * X, axis=1)
    expected = -squares / 2 - np.log(np.linalg.det(2 * np.pi * cov)) / 2
    np.testing.assert_allclose(noise.log_prob(X.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)
    draws = noise.draw(100_000, rng())
    np.testing.assert_allclose(draws.T @ draws / 100_000, cov, rtol=0.03)


# --- densities, scores, samples


@pytest.mark.parametrize("which", ["contrastive", "line"])
def test_score_is_minus_the_gradient_of_the_energy_in_data_units(which, request):
    model = request.getfixturevalue(which)
    x = MOONS.sample(40, rng()) if which == "contrastive" else 5 * mixture_sample(40, rng()) + 40
    found, eps = model.score(x), 3e-3 * model.scale_.sd
    for axis in range(x.shape[1]):
        step = eps * (np.arange(x.shape[1]) == axis)
        expected = (model.energy(x - step) - model.energy(x + step)) / (2 * eps[axis])
        np.testing.assert_allclose(found[:, axis] * model.scale_.sd[axis], expected * model.scale_.sd[axis], atol=0.03)
    assert np.abs(found * model.scale_.sd).mean() > 0.5


@pytest.mark.parametrize("which", ["contrastive", "line"])
def test_log_prob_integrates_to_one(which, request):
    model = request.getfixturevalue(which)
    d = len(model.scale_.mean)
    axes = [np.linspace(m - 5.2 * s, m + 4.9 * s, 301) for m, s in zip(model.scale_.mean, model.scale_.sd)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    volume = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.sum(np.exp(model.log_prob(points))) * volume == pytest.approx(1, abs=1e-3)
    direct = log_Z_on_grid((lambda x: -model.energy(x), None), [(a[0], a[-1]) for a in axes], 300)
    assert model.log_Z_ == pytest.approx(direct.log_Z, abs=1e-3)


@pytest.mark.parametrize("kernel, step_size", [("mala", None), ("mala", 0.05), ("ula", 0.002)])
def test_samples_have_the_moments_of_the_grid(line, kernel, step_size):
    """Means of x and its square, and the shares of the outer components, within 8 standard errors of independent draws.

    Half of that is for the weights of the annealed starts, by which draws are worth fewer independent ones.
    """
    draws = line.sample(2000, rng(3), kernel=kernel, step_size=step_size)
    assert draws.shape == (2000, 1)
    grid = line.grid()
    p = np.exp(grid.log_prob) / np.exp(grid.log_prob).sum()
    for of in (lambda x: x, lambda x: x**2, lambda x: x < 35.0, lambda x: x > 47.0):
        on_grid, on_draws = of(grid.axes[0]).astype(float), of(draws[:, 0]).astype(float)
        mean = p @ on_grid
        sd = np.sqrt(p @ (on_grid - mean) ** 2)
        assert abs(on_draws.mean() - mean) < 8 * sd / np.sqrt(2000)


def test_samples_in_two_dimensions_are_those_of_the_grid(contrastive):
    draws = contrastive.sample(1500, rng(4), steps=50)
    grid = contrastive.grid()
    p = np.exp(grid.log_prob).ravel()
    points = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    exact = [points[rows] for rows in rng(5).choice(p.size, (6, 1500), p=p / p.sum())]
    alike = np.mean([divergences.energy_distance(exact[i], exact[i + 1]) for i in (0, 2, 4)])
    assert divergences.energy_distance(draws, exact[0]) < 3 * alike
    gauss = draws.mean(axis=0) + draws.std(axis=0) * rng(6).standard_normal((1500, 2))
    assert divergences.energy_distance(gauss, exact[0]) > 3 * alike  # which a Gaussian of their moments would not pass


def test_the_density_in_data_units_is_minus_the_energy_over_the_temperature(contrastive):
    X = MOONS.sample(6, rng()).astype(np.float32)
    density = contrastive.log_density(0.5)
    np.testing.assert_allclose(density(tape.tensor(X)).data, -2 * contrastive.energy(X), rtol=1e-4, atol=1e-4)
    check_gradient(density, X, rng())


def test_annealed_starts_give_each_mode_its_share(line):
    """Two equal shares, of SD 0.05 and 0.5: few chains find the narrow one, and their weights make up for it."""
    centres, sds = np.array([-1.5, 1.5]), np.array([0.05, 0.5])
    terms = lambda x: -np.log(sds) - ((x - centres) / sds) ** 2 / 2
    log_prob = lambda x: np.logaddexp.reduce(terms(x), axis=1)
    shares = lambda x: np.exp(terms(x) - log_prob(x)[:, None])
    gradient = lambda x: np.sum(shares(x) * (centres - x) / sds**2, axis=1, keepdims=True)
    starts = line._annealed((log_prob, gradient), 3000, rng(5), False)
    assert np.mean(starts < 0) == pytest.approx(0.5, abs=0.1)


def test_chains_may_start_where_one_says(contrastive):
    start = MOONS.sample(30, rng())
    near = contrastive.sample(30, rng(1), start=start, steps=1, kernel="ula", step_size=1e-6)
    assert 0 < np.abs(near - start).max() < 0.01
    np.testing.assert_array_equal(contrastive.sample(7, rng(2), steps=5), contrastive.sample(7, rng(2), steps=5))


def test_a_model_goes_to_the_samplers_as_a_pair(line):
    pair = (lambda x: -line.energy(x), line.score)
    state = ula(pair, 0.01).init(np.array([[35.0], [42.0]]))
    np.testing.assert_allclose(state.grad, line.score([[35.0], [42.0]]))


# --- training


def test_persistent_chains_follow_the_model(line):
    grid = line.grid()
    p = np.exp(grid.log_prob) / np.exp(grid.log_prob).sum()
    mean = p @ grid.axes[0]
    sd = np.sqrt(p @ (grid.axes[0] - mean) ** 2)
    assert line.chains_.shape == (1024, 1)
    assert abs(line.chains_.mean() - mean) < 0.2 * sd and line.chains_.std() == pytest.approx(sd, rel=0.1)


@pytest.mark.parametrize("restart_from", ["noise", "data"])
def test_chains_begin_anew(restart_from):
    """Chains that can hardly move are in the end where they last began anew."""
    X = np.where(rng().random((400, 1)) < 0.5, -1.0, 1.0)
    model = small(X, restart=0.5, step_size=1e-12, steps=40, restart_from=restart_from, chain_steps=1)
    at_data = np.isclose(np.abs(model.chains_), 1, atol=1e-4).mean()
    assert at_data == 1 if restart_from == "data" else at_data < 0.2


def test_alpha_keeps_energies_small():
    def size(alpha):
        model = EnergyModel((32,), method="contrastive_divergence", alpha=alpha, steps=300).fit(table(), rng=rng())
        return np.mean(model.energy(table()) ** 2)

    assert size(1.0) < size(0.0) / 2


@pytest.mark.parametrize("method", METHODS)
def test_seeds_units_and_copies(method):
    X = table()
    one, same, other = (small(X, seed=seed, method=method) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.energy(X), same.energy(X))
    assert (one.energy(X) != other.energy(X)).all()
    scaled = small(32 * X - 8, seed=1, method=method)
    np.testing.assert_allclose(scaled.energy(32 * X - 8), one.energy(X), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scaled.log_Z_, one.log_Z_ + 2 * np.log(32), atol=1e-3)
    np.testing.assert_array_equal(copy.deepcopy(one).energy(X), one.energy(X))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_compiled_and_does_what_it_does_otherwise(method, monkeypatch):
    X = table()
    found = small(X, method=method).energy(X)  # a step that cannot be compiled would warn
    monkeypatch.setenv("MINIGEN_COMPILE", "0")
    np.testing.assert_allclose(small(X, method=method).energy(X), found, rtol=1e-4, atol=1e-4)


def test_log_Z_follows_the_weights():
    model = small()
    before = model.log_Z_
    model.network_.mlp[-1].bias = model.network_.mlp[-1].bias.data + 1
    assert model.log_Z_ == pytest.approx(before - 1, abs=1e-4)


def test_ctrl_c_keeps_what_was_learned():
    def run(callback):
        model = EnergyModel((8,), steps=50, batch_size=16, chain_steps=2)
        return model.fit(table(), rng=rng(), callbacks=[callback])

    before = signal.getsignal(signal.SIGINT)
    pressed = run(lambda info: signal.raise_signal(signal.SIGINT) if info.step == 7 else None)
    assert pressed.history_.stopped == "interrupt" and signal.getsignal(signal.SIGINT) is before
    assert len(pressed.history_.loss) == len(pressed.history_["acceptance"]) == 7
    ended = run(lambda info: info.model.energy(table()) is not None and info.step == 7)
    assert ended.history_.stopped == "callback"
    np.testing.assert_array_equal(pressed.energy(table()), ended.energy(table()))


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched():
    left = []

    def spoil(info):
        if info.step == 5:
            info.model.network_.mlp[-1].weight = np.full((1, 8), 1e38)
            left.append(info.model.network_.flat().data.copy())

    model = EnergyModel((8,), steps=50, batch_size=16, alpha=1.0)
    with pytest.raises(FloatingPointError, match=r"the loss .*at step 6; the weights are those before it"):
        model.fit(table(), rng=rng(), callbacks=[spoil])
    np.testing.assert_array_equal(model.network_.flat().data, left[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "X",
    [
        np.full((20, 2), 3.0),
        table(1),
        np.column_stack([table(20), np.full(20, 5.0)]),
        table(30) * 1e15,
        table(30) * 1e-15 + 1,
        np.concatenate([table(29), [[1e6, -1e6]]]),
        rng(3).integers(0, 5, (30, 2)),
    ],
)
def test_data_at_the_edges(method, X):
    model = small(X, method=method)
    assert np.isfinite(model.energy(X)).all() and np.isfinite(model.score(X)).all()
    assert np.isfinite(model.sample(5, rng(), steps=3, kernel="ula", step_size=0.01, start=X[[0] * 5])).all()


MODEL, THREE = small(steps=2), small(table(d=3), steps=2)
MISUSE = [
    (lambda: EnergyModel(method="cd"), ValueError, "method='cd'", "noise_contrastive"),
    (lambda: EnergyModel(hidden=8), ValueError, "hidden=8", "(64, 64)"),
    (lambda: EnergyModel(activation="swish"), ValueError, "'swish'", "silu"),
    (lambda: EnergyModel(step_size=0), ValueError, "step_size=0", "positive"),
    (lambda: EnergyModel(step_size=-0.1), ValueError, "step_size=-0.1", "positive"),
    (lambda: EnergyModel(chain_steps=0), ValueError, "chain_steps=0", "1 or more"),
    (lambda: EnergyModel(chains=1.5), ValueError, "chains=1.5", "whole number"),
    (lambda: EnergyModel(restart=1.0), ValueError, "restart=1.0", "[0, 1)"),
    (lambda: EnergyModel(restart_from="zero"), ValueError, "'zero'", "noise, data"),
    (lambda: EnergyModel(noise_sd=0), ValueError, "noise_sd=0", "positive"),
    (lambda: EnergyModel(noise_ratio=0), ValueError, "noise_ratio=0", "1 or more"),
    (lambda: EnergyModel(alpha=-1), ValueError, "alpha=-1", "0 or more"),
    (lambda: EnergyModel(alpha=1, method="denoising"), ValueError, "'denoising'", "persistent"),
    (lambda: EnergyModel(steps=0), ValueError, "steps=0", "1 or more"),
    (lambda: EnergyModel(batch_size=0), ValueError, "batch_size=0", "1 or more"),
    (lambda: EnergyModel(lr=np.nan), ValueError, "lr=nan", "positive"),
    (lambda: EnergyModel().fit(table() * np.nan, rng=rng()), ValueError, "128 value", "NaN", "EnergyModel.fit()"),
    (lambda: EnergyModel().fit(table()[0], rng=rng()), ValueError, "(2,)", "X[:, None]"),
    (lambda: EnergyModel().fit(table(), rng=0), TypeError, "rng=0", "default_rng"),
    (lambda: EnergyModel().energy(table()), ValueError, "not been fitted", "fit(X, rng=...)"),
    (lambda: EnergyModel().sample(3, rng()), ValueError, "not been fitted", "fit(X, rng=...)"),
    (lambda: EnergyModel().log_Z_, ValueError, "not been fitted", "fit(X, rng=...)"),
    (lambda: MODEL.energy(table(d=3)), ValueError, "(64, 3)", "(n, 2)"),
    (lambda: MODEL.score(table() * np.inf), ValueError, "NaN or infinite"),
    (lambda: MODEL.learned_log_Z_, ValueError, '"persistent"', '"noise_contrastive"'),
    (lambda: small(method="denoising", steps=1).chains_, ValueError, '"denoising"', '"persistent"'),
    (lambda: THREE.log_prob(table(d=3)), ValueError, "3 features", "1 or 2", "annealed_importance_sampling"),
    (lambda: THREE.log_Z_, ValueError, "3 features", "noise_contrastive"),
    (lambda: MODEL.sample(0, rng()), ValueError, "n=0", "1 or more"),
    (lambda: MODEL.sample(3, 0), TypeError, "rng=0", "default_rng"),
    (lambda: MODEL.sample(3, rng(), kernel="hmc"), ValueError, "kernel='hmc'", "mala, ula"),
    (lambda: MODEL.sample(3, rng(), kernel="ula"), ValueError, "ula()", "step_size"),
    (lambda: MODEL.sample(3, rng(), step_size=0), ValueError, "step_size=0", "positive"),
    (lambda: MODEL.sample(3, rng(), steps=0), ValueError, "steps=0", "1 or more"),
    (lambda: MODEL.sample(3, rng(), start=table(4)), ValueError, "n=3", "4 starts"),
    (lambda: energy_losses.two_phase_gradient(Plain(), table(), table(d=3)), ValueError, "(64, 2)", "(64, 3)"),
    (lambda: energy_losses.two_phase_gradient(Plain(), table(), table(4), np.ones(4)), ValueError, "sum 4", "of sum 1"),
]


@pytest.mark.parametrize("call, error, words", [(call, error, words) for call, error, *words in MISUSE])
def test_misuse(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
