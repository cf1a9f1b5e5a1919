"""Is the VAE's bound the one of the textbook, and does training it give a generator that obeys physics?"""

import warnings

import numpy as np
import pytest
from scipy import special, stats
from sklearn.decomposition import PCA

from minigen import datasets, metrics, nn, ops, tensor
from minigen.models import VAE

BOTH = pytest.mark.parametrize("posterior", ["diagonal", "full"])
LOG_2_PI = np.log(2 * np.pi)


def rng(seed=0):
    return np.random.default_rng(seed)


def table(n=60, seed=1):
    """Correlated data (n, 4) of unlike means and SDs."""
    return rng(seed).standard_normal((n, 4)) @ rng(2).standard_normal((4, 4)) * 2.0 + [0.0, 10.0, -3.0, 1.0]


def with_weights(vae, X, seed=3, size=0.4, precise=True):
    """The VAE fitted for a step and then given random weights, in float64 if `precise`."""
    vae.steps = 1
    vae.fit(X, rng=rng(seed))
    if precise:
        vae.network_.astype(np.float64)
    flat = vae.network_.flat()
    flat.data[...] = size * rng(seed).standard_normal(flat.data.shape)
    return vae


def posterior_of(vae, X):
    """Means (n, k) and covariances (n, k, k) of q(z | x) from encode()."""
    mean, spread = vae.encode(X)
    if spread.ndim == 2:
        return mean, spread[:, :, None] ** 2 * np.eye(vae.latent)
    return mean, spread @ spread.transpose(0, 2, 1)


def kl_to_prior(mean, covariance):
    k = mean.shape[1]
    trace = np.trace(covariance, axis1=1, axis2=2)
    return (trace + np.sum(mean**2, axis=1) - k - np.linalg.slogdet(covariance)[1]) / 2


class Noise:
    """Stands for a generator whose normal draws are the given ones."""

    def __init__(self, eps):
        self.eps = eps

    def standard_normal(self, shape, dtype, out):
        out[...] = self.eps
        return out


def loss_of(vae, x, generator, done=0):
    """The loss after so many steps."""
    return vae.loss(np.asarray(done, np.float32), x, generator)


def parts_of(vae, x):
    """Mean, log-SD, and the entries below the diagonal of the Cholesky factor, None for a diagonal posterior."""
    q = vae.posterior_of(x)
    return q.mean, q.log_sd, getattr(q, "below", None)


def assert_slopes_of_the_loss(vae, X, done=0):
    """The gradient of the loss along three directions is what finite differences give."""
    x, flat = vae.scale_.to_unit(X), vae.network_.flat()
    flat.grad.fill(0)
    loss_of(vae, x, rng(9), done).backward()
    at = flat.data.copy()

    def value(weights):
        flat.data[...] = weights
        return loss_of(vae, x, rng(9), done).item()

    for seed in range(3):
        direction = rng(seed).standard_normal(at.shape)
        slope = (value(at + 1e-5 * direction) - value(at - 1e-5 * direction)) / 2e-5
        np.testing.assert_allclose(flat.grad @ direction, slope, rtol=1e-6)


# The two terms of the bound -------------------------------------------------------------------------------------------


def by_hand(vae, x, eps):
    """-log p(x | z) and KL (n,) of unit data x and draws eps, from the state dict in plain NumPy."""
    state, k = vae.network_.state_dict(), vae.latent

    def network(name, h):
        layers = sorted({int(key.split(".")[1]) for key in state if key.startswith(name)})
        for layer in layers:
            h = h @ state[f"{name}.{layer}.weight"].T + state[f"{name}.{layer}.bias"]
            h = np.tanh(h) if layer != layers[-1] else h
        return h

    out = network("encoder", x)
    mean, z, kl = out[:, :k], np.empty((len(x), k)), np.empty(len(x))
    for n in range(len(x)):
        factor = np.diag(np.exp(out[n, k : 2 * k]))
        entries = list(out[n, 2 * k :])
        for i in range(k if entries else 0):
            for j in range(i):
                factor[i, j] = entries.pop(0)
        z[n] = mean[n] + factor @ eps[n]
        covariance = factor @ factor.T
        kl[n] = (np.trace(covariance) + mean[n] @ mean[n] - k - np.log(np.linalg.det(covariance))) / 2
    sd = np.exp(state["log_sd"]) if "log_sd" in state else vae.decoder_sd / vae.scale_.sd
    return -stats.norm.logpdf(x, network("decoder", z), sd).sum(axis=1), kl


@BOTH
@pytest.mark.parametrize("decoder_sd", ["learned", 0.7])
@pytest.mark.parametrize("precise", [True, False])
def test_both_terms_and_the_loss_by_hand(posterior, decoder_sd, precise):
    X = table()
    vae = VAE(3, (6, 5), "tanh", posterior=posterior, decoder_sd=decoder_sd, beta=2.5)
    with_weights(vae, X, precise=precise)
    x = ((X - vae.scale_.mean) / vae.scale_.sd).astype(np.float64 if precise else np.float32)
    eps = ops.normal(rng(5), (60, 3), x.dtype)
    reconstruction, kl = vae.terms(x, rng(5))
    expected = by_hand(vae, x, eps)
    tolerance = 1e-7 if precise else 2e-5  # a fixed SD is kept in float32
    np.testing.assert_allclose(reconstruction.data, expected[0], rtol=tolerance)
    np.testing.assert_allclose(kl.data, expected[1], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(loss_of(vae, x, rng(5)).item(), np.mean(expected[0] + 2.5 * expected[1]), rtol=tolerance)


@BOTH
def test_kl_of_the_posterior_that_encode_gives(posterior):
    X = table(500)
    vae = with_weights(VAE(3, (6,), posterior=posterior), X)
    kl = vae.terms(vae.scale_.to_unit(X), rng())[1].data
    np.testing.assert_allclose(kl, kl_to_prior(*posterior_of(vae, X)), rtol=1e-6, atol=1e-9)


@BOTH
def test_kl_is_the_mean_of_the_log_ratio(posterior):
    X = table(6)
    vae = with_weights(VAE(3, (6,), posterior=posterior), X)
    kl = vae.terms(vae.scale_.to_unit(X), rng())[1].data
    for n, (mean, covariance) in enumerate(zip(*posterior_of(vae, X))):
        q, prior = stats.multivariate_normal(mean, covariance), stats.multivariate_normal(np.zeros(3))
        z = q.rvs(20000, random_state=n)
        ratio = q.logpdf(z) - prior.logpdf(z)
        assert abs(ratio.mean() - kl[n]) < 5 * ratio.std() / np.sqrt(20000)


class Recorder(nn.Module):
    """A decoder that remembers what it was given."""

    def __init__(self, decoder):
        self.decoder = decoder

    def forward(self, z):
        self.z = z.data
        return self.decoder(z)


@BOTH
def test_draws_have_the_mean_and_the_covariance_that_encode_gives(posterior):
    X = table(1)
    vae = with_weights(VAE(3, (6,), posterior=posterior), np.concatenate([X, table(20)]))
    n = 40000
    vae.network_.decoder = Recorder(vae.network_.decoder)
    vae.elbo(np.repeat(X, n, axis=0), rng(6))
    z = vae.network_.decoder.z
    (mean,), (covariance,) = posterior_of(vae, X)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(z.mean(axis=0) - mean) < 5 * sd / np.sqrt(n)).all()
    assert (np.abs(np.cov(z.T) - covariance) < 5 * np.outer(sd, sd) * np.sqrt(2 / n)).all()
    if posterior == "full":
        correlation = covariance / np.outer(sd, sd)
        assert np.abs(correlation - np.diag(np.diag(correlation))).max() > 0.1  # there is something to see
        (factor,) = vae.encode(X)[1]
        assert (np.diag(factor) > 0).all() and (factor == np.tril(factor)).all()


@BOTH
def test_twice_the_batch_is_the_same_loss(posterior):
    X = table(30)
    vae = with_weights(VAE(3, (6,), posterior=posterior), X)
    x, eps = vae.scale_.to_unit(X), rng(7).standard_normal((30, 3))
    once = loss_of(vae, x, Noise(eps)).item()
    twice = loss_of(vae, np.tile(x, (2, 1)), Noise(np.tile(eps, (2, 1)))).item()
    np.testing.assert_allclose(twice, once, rtol=1e-12)


@BOTH
def test_twice_the_features_are_twice_the_reconstruction_and_the_same_kl(posterior):
    X = table(30)
    one = with_weights(VAE(3, (6,), posterior=posterior), X)
    two = with_weights(VAE(3, (6,), posterior=posterior), np.hstack([X, X]))
    state = one.network_.state_dict()
    state["encoder.0.weight"] = np.hstack([state["encoder.0.weight"]] * 2) / 2
    for name in ("decoder.2.weight", "decoder.2.bias", "log_sd"):
        state[name] = np.concatenate([state[name]] * 2)
    two.network_.load_state_dict(state)
    x = one.scale_.to_unit(X)
    ours, theirs = one.terms(x, rng(8)), two.terms(np.hstack([x, x]), rng(8))
    np.testing.assert_allclose(theirs[0].data, 2 * ours[0].data, rtol=1e-12)
    np.testing.assert_allclose(theirs[1].data, ours[1].data, rtol=1e-12)


@BOTH
@pytest.mark.parametrize("decoder_sd", ["learned", 0.7])
@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_the_gradient_of_the_loss_agrees_with_finite_differences(posterior, decoder_sd, beta):
    X = table(12)
    vae = VAE(3, (6, 5), "tanh", posterior=posterior, decoder_sd=decoder_sd, beta=beta)
    with_weights(vae, X)
    assert_slopes_of_the_loss(vae, X)
    names = vae.network_.named_parameters()
    assert all((np.abs(p.grad) > 0).any() for p in names.values()), "a parameter has no gradient"


# The bound and the likelihood -----------------------------------------------------------------------------------------


def linear_gaussian(posterior, d=4, k=2, seed=10):
    """A VAE without hidden layers and random weights: x = b + W z + noise, whose likelihood is known."""
    X = table(40)[:, :d]
    vae = with_weights(VAE(k, (), posterior=posterior), X, seed=seed, size=0.5)
    state = vae.network_.state_dict()
    W, b, log_sd = state["decoder.0.weight"], state["decoder.0.bias"], state["log_sd"]
    noise = np.diag(np.exp(2 * log_sd))
    exact = stats.multivariate_normal(vae.scale_.mean + vae.scale_.sd * b, vae.scale_.sd**2 * (W @ W.T + noise)).logpdf(
        X
    )
    # The posterior of z: covariance S = (I + W^T D^-1 W)^-1, mean S W^T D^-1 (x - b).
    S = np.linalg.inv(np.eye(k) + W.T @ np.linalg.solve(noise, W))
    to_mean = S @ W.T @ np.linalg.inv(noise)
    return vae, X, exact, S, to_mean, b


def measured(vae, X, draws=2000):
    """Mean of the bound over single draws, and its standard error: (n,) each."""
    each = vae.elbo(np.repeat(X, draws, axis=0), rng(11)).reshape(len(X), draws)
    return each.mean(axis=1), each.std(axis=1) / np.sqrt(draws)


@BOTH
@pytest.mark.parametrize("seed", [10, 11])
def test_the_bound_is_the_likelihood_less_the_divergence_from_the_true_posterior(posterior, seed):
    vae, X, exact, S, to_mean, b = linear_gaussian(posterior, seed=seed)
    mean, covariance = posterior_of(vae, X)
    off = (vae.scale_.to_unit(X) - b) @ to_mean.T - mean
    inverse = np.linalg.inv(S)
    gap = (
        np.trace(inverse @ covariance, axis1=1, axis2=2)
        + np.einsum("ni,ij,nj->n", off, inverse, off)
        - vae.latent
        + np.linalg.slogdet(S)[1]
        - np.linalg.slogdet(covariance)[1]
    ) / 2
    elbo, error = measured(vae, X)
    assert (gap > 0).all() and gap.mean() > 0.3
    assert (np.abs(elbo - (exact - gap)) < 5 * error).all()
    assert (elbo < exact + 5 * error).all()


def test_with_the_exact_posterior_the_bound_is_the_likelihood():
    vae, X, exact, S, to_mean, b = linear_gaussian("full", k=3)
    factor = np.linalg.cholesky(S)
    k, d = to_mean.shape
    weight, bias = np.zeros((2 * k + 3, d)), np.zeros(2 * k + 3)
    weight[:k], bias[:k] = to_mean, -to_mean @ b
    bias[k : 2 * k] = np.log(np.diag(factor))
    bias[2 * k :] = factor[1, 0], factor[2, 0], factor[2, 1]
    vae.network_.encoder[0].weight = weight
    vae.network_.encoder[0].bias = bias
    elbo, error = measured(vae, X)
    assert (np.abs(elbo - exact) < 5 * error).all()
    mean, found = vae.encode(X)
    np.testing.assert_allclose(found, np.broadcast_to(factor, found.shape), rtol=1e-10)
    np.testing.assert_allclose(mean, (vae.scale_.to_unit(X) - b) @ to_mean.T, rtol=1e-10)
    few = vae.elbo(X, rng(12), draws=400)
    assert abs(np.mean(few - exact)) < 5 * np.sqrt(np.mean(error**2) * 2000 / 400 / len(X))


def test_training_reaches_the_likelihood_of_a_linear_gaussian_world():
    generator, n, d = rng(13), 4000, 8
    angle, noise = np.linspace(0, 3, d), np.linspace(0.3, 0.6, d)
    W = np.column_stack([np.cos(angle), np.sin(angle)])
    X = generator.standard_normal((n, 2)) @ W.T + noise * generator.standard_normal((n, d)) + 5.0
    vae = VAE(2, (), posterior="full", steps=3000, lr=0.01).fit(X, rng=generator)
    truth = stats.multivariate_normal(np.full(d, 5.0), W @ W.T + np.diag(noise**2)).logpdf(X).mean()
    state = vae.network_.state_dict()
    learned = state["decoder.0.weight"] * vae.scale_.sd
    covariance = learned @ learned.T + np.diag(vae.decoder_sd_**2)
    mean = vae.scale_.mean + vae.scale_.sd * state["decoder.0.bias"]
    exact = stats.multivariate_normal(mean, covariance).logpdf(X).mean()
    elbo = vae.elbo(X, rng(14), draws=20).mean()
    assert elbo < exact + 0.01
    assert exact - elbo < 0.01  # the encoder has found the exact posterior
    assert abs(exact - truth) < 0.01  # and the decoder the world
    np.testing.assert_allclose(vae.decoder_sd_, noise, rtol=0.08)
    np.testing.assert_allclose(covariance, W @ W.T + np.diag(noise**2), atol=0.15 * np.abs(W @ W.T).max())


@BOTH
@pytest.mark.parametrize("decoder_sd", ["learned", 0.7])
def test_in_other_units_the_bound_changes_by_the_jacobian(posterior, decoder_sd):
    X, factor = table(50), 30.0
    theirs_sd = decoder_sd if decoder_sd == "learned" else factor * decoder_sd
    ours = with_weights(VAE(3, (6,), posterior=posterior, decoder_sd=decoder_sd), X)
    theirs = with_weights(VAE(3, (6,), posterior=posterior, decoder_sd=theirs_sd), factor * X - 8)
    np.testing.assert_allclose(
        theirs.elbo(factor * X - 8, rng(15)), ours.elbo(X, rng(15)) - 4 * np.log(factor), rtol=1e-6
    )
    np.testing.assert_allclose(theirs.sample(5, rng(1)), factor * ours.sample(5, rng(1)) - 8, rtol=1e-9)
    np.testing.assert_allclose(theirs.decoder_sd_, factor * ours.decoder_sd_, rtol=1e-9)


@BOTH
def test_log_prob_is_the_density_of_the_implied_normal(posterior):
    vae, X, exact, *_ = linear_gaussian(posterior)
    np.testing.assert_allclose(vae.log_prob(X), exact, rtol=1e-9)


def probabilistic_pca(k=2, n=300):
    """Weights of the maximum likelihood of probabilistic PCA (Tipping and Bishop, 1999, eqs 7 and 8) put into a linear
    VAE, with the exact posterior as its encoder: VAE, data, and scikit-learn's log-likelihood."""
    X = table(n)
    theirs = PCA(k).fit(X)
    vae = with_weights(VAE(k, (), decoder_sd=float(np.sqrt(theirs.noise_variance_))), X)
    unit = vae.scale_.sd
    variance = theirs.noise_variance_ / unit**2
    W = theirs.components_.T * np.sqrt(theirs.explained_variance_ / unit**2 - variance)
    M = np.diag(W.T @ W) + variance  # of z given x; the columns of W are orthogonal
    encoder, decoder = vae.network_.encoder[0], vae.network_.decoder[0]
    decoder.weight, decoder.bias = W, np.zeros(4)
    encoder.weight = np.vstack([W.T / M[:, None], np.zeros((k, 4))])
    encoder.bias = np.concatenate([np.zeros(k), np.log(variance / M) / 2])
    return vae, X, theirs.score_samples(X)


def test_in_the_linear_case_the_optimum_is_probabilistic_pca():
    vae, X, exact = probabilistic_pca()
    np.testing.assert_allclose(vae.log_prob(X), exact, rtol=1e-8)
    # With the true posterior every draw has the weight p(x).
    for draws in (1, 7):
        np.testing.assert_allclose(vae.iwae(X, rng(draws), draws=draws), exact, rtol=1e-6)
    elbo, error = measured(vae, X, draws=500)
    assert (np.abs(elbo - exact) < 5 * error).all()


def test_training_comes_near_probabilistic_pca_and_never_above():
    _, X, exact = probabilistic_pca(n=1000)
    sd = float(np.sqrt(PCA(2).fit(X).noise_variance_))
    vae = VAE(2, (), decoder_sd=sd, steps=3000, lr=0.01).fit(X, rng=rng(18))
    elbo, found = vae.elbo(X, rng(19), draws=100).mean(), vae.log_prob(X).mean()
    assert found < exact.mean() + 0.002  # scikit-learn divides by n - 1
    assert exact.mean() - 0.01 < elbo < found + 0.01


@BOTH
def test_the_importance_weighted_bound_rises_with_the_draws_up_to_the_likelihood(posterior):
    vae, X, exact, *_ = linear_gaussian(posterior, k=3)
    repeats = 400
    many = np.repeat(X, repeats, axis=0)

    def averaged(bounds):
        each = bounds.reshape(len(X), repeats)
        return each.mean(), np.sqrt(np.sum(each.var(axis=1)) / repeats) / len(X)

    elbo, error = averaged(vae.elbo(many, rng(20)))
    rising = [averaged(vae.iwae(many, rng(draws), draws=draws)) for draws in (1, 4, 40)]
    assert abs(rising[0][0] - elbo) < 5 * (error + rising[0][1])
    for (low, _), (high, above) in zip(rising, [*rising[1:], (exact.mean(), 0.0)]):
        assert low < high - 5 * above
    assert exact.mean() - rising[-1][0] < 0.3 * (exact.mean() - elbo)


def test_from_a_posterior_that_is_too_wide_the_weighted_bound_reaches_the_likelihood():
    vae, X, exact = probabilistic_pca()
    encoder = vae.network_.encoder[0]
    encoder.bias = np.add(encoder.bias.data, [0, 0, 0.4, 0.4])
    elbo, far = vae.elbo(X, rng(1), draws=500).mean(), vae.iwae(X, rng(2), draws=5000)
    assert exact.mean() - elbo > 0.2
    np.testing.assert_allclose(far, exact, atol=0.1)
    assert abs(np.mean(far - exact)) < 0.01


def test_the_bound_does_not_know_beta():
    X = table(20)
    bounds = [with_weights(VAE(3, (6,), beta=beta), X).elbo(X, rng(16)) for beta in (1.0, 7.0)]
    np.testing.assert_array_equal(*bounds)


# What is made of the KL -----------------------------------------------------------------------------------------------


def parts_by_hand(vae, x, seed=5):
    """Mean reconstruction term, and KL of each latent (k,), of one draw."""
    reconstruction, kl = vae.terms(x, rng(seed))
    mean, log_sd, below = (part if part is None else part.data for part in parts_of(vae, x))
    shares = (mean**2 + np.exp(2 * log_sd) - 1) / 2 - log_sd
    for column, row in enumerate([] if below is None else np.tril_indices(vae.latent, -1)[0]):
        shares[:, row] += below[:, column] ** 2 / 2
    np.testing.assert_allclose(shares.sum(axis=1), kl.data, rtol=1e-5, atol=1e-6)
    return reconstruction.data.mean(), shares.mean(axis=0)


@BOTH
@pytest.mark.parametrize("done, climbed", [(0, 0.0), (30, 0.3), (100, 1.0), (1000, 1.0)])
def test_the_schedules_by_hand(posterior, done, climbed):
    X = table(50)
    for settings, penalty in [
        ({"beta": 4.0}, lambda kl: 4.0 * climbed * kl.sum()),
        ({"beta": 4.0, "capacity": 9.0}, lambda kl: 4.0 * abs(kl.sum() - 9.0 * climbed)),
        ({"beta": 4.0, "free_bits": 0.35}, lambda kl: 4.0 * climbed * np.maximum(kl, 0.35).sum()),
    ]:
        vae = with_weights(VAE(3, (6,), posterior=posterior, warmup=100, **settings), X)
        x = vae.scale_.to_unit(X)
        reconstruction, kl = parts_by_hand(vae, x)
        assert kl.min() < 0.35 < kl.max()
        np.testing.assert_allclose(loss_of(vae, x, rng(5), done).item(), reconstruction + penalty(kl), rtol=1e-6)


SCHEDULES = [
    {"warmup": 70},
    {"warmup": 70, "beta": 5.0, "posterior": "full"},
    {"warmup": 40, "capacity": 3.0, "beta": 10.0},
    {"capacity": 3.0},
    {"free_bits": 0.3, "beta": 3.0},
    {"free_bits": 0.3, "warmup": 30, "posterior": "full"},
    {"warmup": 70, "decoder": "bernoulli", "free_bits": 0.1},
]


@pytest.mark.parametrize("settings", SCHEDULES, ids=str)
def test_a_compiled_fit_follows_the_schedule_bit_for_bit(settings, monkeypatch):
    X = 1 / (1 + np.exp(-table(40)))
    trained = []
    for switch in ("1", "0"):
        monkeypatch.setenv("MINIGEN_COMPILE", switch)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that it is not compiled would be a warning
            trained.append(small(X, steps=120, **settings))
    ours, plain = trained
    np.testing.assert_array_equal(ours.network_.flat().data, plain.network_.flat().data)
    assert ours.history_.loss == plain.history_.loss
    constant = small(X, steps=120, **{**settings, "warmup": 0})
    assert ("warmup" in settings) == (constant.history_.loss != ours.history_.loss)


def test_a_warm_up_begins_without_kl_and_a_long_one_stays_near_it():
    X = table(400) / 2.0
    kl = [
        kl_to_prior(*posterior_of(small(X, steps=600, lr=0.01, beta=100.0, warmup=warmup), X)).mean()
        for warmup in (0, 10**6)
    ]
    assert kl[0] < 0.1 and kl[1] > 5


@BOTH
def test_the_kl_comes_to_the_capacity(posterior):
    X = table(400)
    for capacity in (1.0, 4.0):
        vae = small(
            X, posterior=posterior, steps=1500, lr=0.005, batch_size=100, beta=30.0, capacity=capacity, warmup=500
        )
        assert abs(kl_to_prior(*posterior_of(vae, X)).mean() - capacity) < 0.25


@BOTH
def test_free_bits_keep_every_latent_in_use(posterior):
    X = table(400)
    settings = {"posterior": posterior, "latent": 4, "steps": 1500, "lr": 0.005, "batch_size": 100, "beta": 20.0}
    shares = []
    for free_bits in (0.0, 0.5):
        vae = small(X, free_bits=free_bits, **settings)
        x = vae.scale_.to_unit(X).astype(np.float32)
        shares.append(parts_by_hand(vae, x)[1])
    assert shares[0].min() < 0.05 and shares[0].sum() < 1
    assert (shares[1] > 0.4).all() and (shares[1] < 0.7).all()


@BOTH
@pytest.mark.parametrize(
    "settings",
    [
        {"capacity": 1.0, "warmup": 10},
        {"capacity": 50.0, "warmup": 10},
        {"free_bits": 0.5},
        {"warmup": 10},
        {"decoder": "bernoulli", "beta": 2.0},
    ],
    ids=str,
)
def test_gradients_of_the_other_losses_agree_with_finite_differences(posterior, settings):
    X = special.expit(table(12))
    vae = with_weights(VAE(3, (6, 5), "tanh", posterior=posterior, **settings), X)
    assert_slopes_of_the_loss(vae, X, done=7)


@BOTH
@pytest.mark.parametrize("settings", [{"capacity": 2.0}, {"free_bits": 0.5}, {"decoder": "bernoulli"}], ids=str)
def test_twice_the_batch_is_the_same_loss_whatever_the_loss(posterior, settings):
    X = special.expit(table(30))
    vae = with_weights(VAE(3, (6,), posterior=posterior, **settings), X)
    x, eps = vae.scale_.to_unit(X), rng(7).standard_normal((30, 3))
    once = loss_of(vae, x, Noise(eps)).item()
    twice = loss_of(vae, np.tile(x, (2, 1)), Noise(np.tile(eps, (2, 1)))).item()
    np.testing.assert_allclose(twice, once, rtol=1e-12)


@BOTH
@pytest.mark.parametrize(
    "settings", [{}, {"capacity": 2.0}, {"free_bits": 0.5}, {"decoder": "bernoulli"}, {"decoder_sd": 0.2}], ids=str
)
def test_twice_the_features_add_the_reconstruction_once_more_to_the_loss(posterior, settings):
    X = special.expit(table(30))
    one = with_weights(VAE(3, (6,), posterior=posterior, **settings), X)
    two = with_weights(VAE(3, (6,), posterior=posterior, **settings), np.hstack([X, X]))
    state = one.network_.state_dict()
    state["encoder.0.weight"] = np.hstack([state["encoder.0.weight"]] * 2) / 2
    for name in {"decoder.2.weight", "decoder.2.bias", "log_sd"} & state.keys():
        state[name] = np.concatenate([state[name]] * 2)
    two.network_.load_state_dict(state)
    x = one.scale_.to_unit(X)
    difference = loss_of(two, np.hstack([x, x]), rng(8)).item() - loss_of(one, x, rng(8)).item()
    np.testing.assert_allclose(difference, one.terms(x, rng(8))[0].data.mean(), rtol=1e-6)


# Data of zeros and ones -----------------------------------------------------------------------------------------------


def binary(n=60, seed=1):
    return (table(n, seed) > [0.0, 10.0, -3.0, 4.0]).astype(float)


@BOTH
def test_the_bernoulli_terms_by_hand(posterior):
    X = binary()
    vae = with_weights(VAE(3, (6, 5), "tanh", posterior=posterior, decoder="bernoulli", beta=2.5), X)
    vae.network_.decoder = Recorder(vae.network_.decoder)
    reconstruction, kl = vae.terms(X, rng(5))
    p = vae.network_.decoder.decoder(vae.network_.decoder.z).data
    expected = -stats.bernoulli.logpmf(X, special.expit(p)).sum(axis=1)
    np.testing.assert_allclose(reconstruction.data, expected, rtol=1e-9)
    np.testing.assert_allclose(kl.data, kl_to_prior(*posterior_of(vae, X)), rtol=1e-6)
    np.testing.assert_allclose(loss_of(vae, X, rng(5)).item(), np.mean(expected + 2.5 * kl.data), rtol=1e-6)
    np.testing.assert_allclose(vae.elbo(X, rng(5)), -expected - kl.data, rtol=1e-9)
    assert "log_sd" not in vae.network_.state_dict()


def test_bernoulli_bounds_stay_below_the_likelihood_by_quadrature():
    X = binary(300)
    vae = small(X, latent=1, decoder="bernoulli", steps=500, lr=0.01, batch_size=100)
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    logits = vae.network_.decoder(points[:, None].astype(np.float32)).data.astype(float)
    given = X @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    likelihood = np.exp(given) @ weights / np.sqrt(2 * np.pi)
    exact = np.log(likelihood).mean()
    bounds = [vae.elbo(X, rng(1), 300), *(vae.iwae(X, rng(2), draws) for draws in (10, 3000))]
    means = [bound.mean() for bound in bounds]
    assert means[0] < means[1] < exact
    assert abs(means[2] - exact) < 0.002 and exact - means[0] > 0.01
    counts = np.unique(X, axis=0, return_counts=True)[1] / len(X)
    independent = stats.bernoulli.logpmf(X, X.mean(axis=0)).sum(axis=1).mean()
    assert independent + 0.2 < exact < np.sum(counts * np.log(counts))  # it has learned how the features hang together


def test_bernoulli_data_are_not_scaled_and_samples_are_probabilities_or_bits():
    X = binary(200) * [1, 1, 1, 0]  # with a feature that never changes
    vae = small(X, decoder="bernoulli", steps=600, lr=0.01)
    np.testing.assert_array_equal(vae._to_unit(X), X)
    n = 20000
    p, bits = vae.sample(n, rng(1)), vae.sample(n, rng(1), noise=True)
    assert ((p >= 0) & (p <= 1)).all() and set(np.unique(bits)) == {0.0, 1.0}
    sd = np.sqrt(np.mean(p * (1 - p), axis=0) / n)
    assert (np.abs(bits.mean(axis=0) - p.mean(axis=0)) < 5 * sd + 1e-12).all()
    np.testing.assert_allclose(bits.mean(axis=0), X.mean(axis=0), atol=0.12)


def test_logits_of_a_thousand_are_finite():
    X = binary()
    vae = with_weights(VAE(2, (4,), decoder="bernoulli"), X, precise=False)
    vae.network_.decoder[2].bias = [1000.0, -1000.0, 1000.0, -1000.0]
    vae.network_.flat().grad.fill(0)
    loss = loss_of(vae, X.astype(np.float32), rng())
    loss.backward()
    assert np.isfinite(loss.item()) and np.isfinite(vae.network_.flat().grad).all()
    assert np.isfinite(vae.elbo(X, rng())).all() and np.isfinite(vae.iwae(X, rng(), 3)).all()
    np.testing.assert_array_equal(np.round(vae.decode([[0.0, 0.0]])), [[1, 0, 1, 0]])


# Its face -------------------------------------------------------------------------------------------------------------


def small(X, seed=4, **settings):
    return VAE(**{"latent": 3, "hidden": (8,), "steps": 40, "batch_size": 16, **settings}).fit(X, rng=rng(seed))


@BOTH
@pytest.mark.parametrize("latent", [1, 2, 5])
def test_shapes(posterior, latent):
    X = table(20)
    vae = small(X, latent=latent, posterior=posterior)
    mean, spread = vae.encode(X)
    assert mean.shape == (20, latent)
    assert spread.shape == ((20, latent) if posterior == "diagonal" else (20, latent, latent))
    assert vae.decode(mean).shape == (20, 4)
    assert vae.sample(7, rng()).shape == (7, 4)
    assert vae.elbo(X, rng(), draws=2).shape == (20,)
    assert vae.decoder_sd_.shape == (4,)
    assert len(vae.history_.loss) == 40 and not vae.network_.training


def test_seeds():
    X = table(40)
    one, same, other = (small(X, seed=seed) for seed in (1, 1, 2))
    for name, array in one.network_.state_dict().items():
        np.testing.assert_array_equal(array, same.network_.state_dict()[name])
    assert (one.sample(5, rng()) != other.sample(5, rng())).all()
    np.testing.assert_array_equal(one.sample(5, rng(3)), one.sample(5, rng(3)))
    assert (one.sample(5, rng(3)) != one.sample(5, rng(4))).all()
    np.testing.assert_array_equal(one.elbo(X, rng(3)), one.elbo(X, rng(3)))
    assert (one.elbo(X, rng(3)) != one.elbo(X, rng(4))).any()


def test_samples_are_decoded_from_the_prior_and_noise_has_the_decoders_sd():
    vae = small(table(40), steps=200)
    n = 20000
    mean, noisy = vae.sample(n, rng(5)), vae.sample(n, rng(5), noise=True)
    np.testing.assert_allclose(mean, vae.decode(rng(5).standard_normal((n, 3), np.float32)), rtol=1e-6)
    noise = (noisy - mean) / vae.decoder_sd_
    assert (np.abs(noise.mean(axis=0)) < 5 / np.sqrt(n)).all()
    assert (np.abs(noise.std(axis=0) - 1) < 5 / np.sqrt(2 * n)).all()
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 5 / np.sqrt(n)


def test_a_fixed_decoder_sd_is_in_data_units():
    vae = small(50 * table(40), decoder_sd=20.0)
    np.testing.assert_array_equal(vae.decoder_sd_, np.full(4, 20.0))
    assert "log_sd" not in vae.network_.state_dict()


def test_lists_float32_integers_and_tensors_are_data_too():
    X = rng(6).integers(-9, 9, (40, 4))
    expected = small(X.astype(float))
    for convert in (np.ndarray.tolist, np.float32, np.asarray, lambda a: tensor(a.astype(float))):
        vae = small(convert(X))
        np.testing.assert_array_equal(vae.sample(3, rng()), expected.sample(3, rng()))
        np.testing.assert_array_equal(vae.encode(convert(X))[0], expected.encode(X)[0])


def test_beta_presses_the_divergence_down():
    X = table(400) / 2.0
    divergence = []
    for beta in (0.1, 1.0, 100.0):
        vae = small(X, beta=beta, steps=600, lr=0.01)
        divergence.append(kl_to_prior(*posterior_of(vae, X)).mean())
    assert divergence[0] > 2 * divergence[1] > 40 * divergence[2]


def test_fitting_again_starts_afresh():
    vae = VAE(latent=3, hidden=(8,), steps=40, batch_size=16)
    vae.fit(table(30)[:, :2], rng=rng(9))
    np.testing.assert_array_equal(vae.fit(table(40), rng=rng(4)).sample(3, rng()), small(table(40)).sample(3, rng()))


@BOTH
def test_generated_pendulums_obey_physics_and_are_as_varied_as_the_data(posterior):
    generator = rng(17)
    data = datasets.pendulum_trajectories(1000, generator, view=50, noise=False)
    vae = VAE(4, (64, 64), posterior=posterior, steps=1500, batch_size=64).fit(data.theta, rng=generator)
    fit = metrics.physics_residual(vae.sample(200, generator), data.t)
    control = metrics.physics_residual(metrics.shuffled_control(data.theta, generator)[:100], data.t)
    assert np.median(fit.residual) < 0.03
    assert np.median(fit.residual) < np.median(control.residual) / 15
    match = metrics.factor_match(fit.factors, data.factors)
    assert max(match.values()) < 0.4, match
    rebuilt = vae.decode(vae.encode(data.theta)[0])
    assert np.sqrt(np.mean((rebuilt - data.theta) ** 2)) < 0.06  # the RMS amplitude is 0.83


# Misuse ---------------------------------------------------------------------------------------------------------------

X = table(20)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: VAE(posterior="fll"), "posterior='fll'; expected one of diagonal, full"),
        (lambda: VAE(0), "latent=0; expected a whole number"),
        (lambda: VAE(hidden=64), "hidden=64; expected a list of widths"),
        (lambda: VAE(activation="rely"), "activation='rely'; expected one of identity, tanh"),
        (lambda: VAE(decoder_sd=-1), 'decoder_sd=-1; expected a positive number or "learned"'),
        (lambda: VAE(decoder_sd="learnt"), "decoder_sd='learnt'"),
        (lambda: VAE(decoder_sd=np.inf), "decoder_sd=inf"),
        (lambda: VAE(beta=-1), "beta=-1; expected a number of 0 or more"),
        (lambda: VAE(beta=np.nan), "beta=nan"),
        (lambda: VAE(steps=0), "steps=0"),
        (lambda: VAE(batch_size=2.5), "VAE got batch_size=2.5; expected a whole number, 1 or more"),
        (lambda: VAE(lr=0), "VAE got lr=0; expected a positive number"),
        (lambda: VAE(decoder="poisson"), "decoder='poisson'; expected one of gaussian, bernoulli"),
        (lambda: VAE(decoder="bernoulli", decoder_sd=0.1), "decoder_sd=0.1 for a Bernoulli decoder, which has no SD"),
        (lambda: VAE(warmup=-1), "warmup=-1; expected a whole number, 0 or more"),
        (lambda: VAE(warmup=0.5), "warmup=0.5"),
        (lambda: VAE(capacity=-1), "capacity=-1; expected a number of 0 or more"),
        (lambda: VAE(free_bits=np.inf), "free_bits=inf"),
        (lambda: VAE(free_bits=0.1, capacity=3.0), "capacity=3.0 and free_bits=0.1.*give one"),
        (
            lambda: VAE(decoder="bernoulli", steps=2).fit(X, rng=rng()),
            r"VAE got data from .* in \[0, 1\]: scale",
        ),
        (lambda: small(binary(), decoder="bernoulli").elbo(2 * binary(), rng()), r"VAE got data from 0 to 2"),
        (lambda: small(binary(), decoder="bernoulli").decoder_sd_, "a Bernoulli decoder has no SD"),
        (lambda: small(binary(), decoder="bernoulli", hidden=()).log_prob(binary()), r'decoder="bernoulli": iwae'),
        (lambda: small(X).log_prob(X), r"exact for hidden=\(\) and a Gaussian decoder; this one has hidden=\(8,\)"),
        (lambda: VAE().log_prob(X), "not been fitted yet"),
        (lambda: VAE().iwae(X, rng()), "not been fitted yet"),
        (lambda: small(X).iwae(X, rng(), draws=0), r"VAE.iwae\(\) got draws=0"),
        (lambda: small(X).iwae(X[:, :3], rng()), r"VAE.iwae\(\) got X of shape \(20, 3\); expected \(n, 4\)"),
        (lambda: VAE(steps=2).fit(X[0], rng=rng()), r"X of shape \(4,\); expected \(n, d\)"),
        (lambda: VAE(steps=2).fit(X[:0], rng=rng()), r"shape \(0, 4\); expected at least one row"),
        (lambda: VAE(steps=2).fit(X + np.nan, rng=rng()), r"80 value\(s\) that are NaN or infinite"),
        (lambda: VAE().sample(3, rng()), r"not been fitted yet; call fit\(X, rng=...\) first"),
        (lambda: VAE().encode(X), "not been fitted yet"),
        (lambda: VAE().decode(X), "not been fitted yet"),
        (lambda: VAE().elbo(X, rng()), "not been fitted yet"),
        (lambda: VAE().decoder_sd_, "not been fitted yet"),
        (lambda: small(X).encode(X[:, :3]), r"VAE.encode\(\) got X of shape \(20, 3\); expected \(n, 4\)"),
        (lambda: small(X).elbo(X[0], rng()), r"VAE.elbo\(\) got X of shape \(4,\); expected \(n, 4\)"),
        (lambda: small(X).decode(X), r"VAE.decode\(\) got Z of shape \(20, 4\); expected \(n, 3\)"),
        (lambda: small(X).sample(0, rng()), r"VAE.sample\(\) got n=0; expected a whole number, 1 or more"),
        (lambda: small(X).sample(-2, rng()), "n=-2"),
        (lambda: small(X).elbo(X, rng(), draws=0), "draws=0"),
    ],
)
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "call",
    [
        lambda vae: vae.fit(X, rng=0),
        lambda vae: vae.sample(3, None),
        lambda vae: vae.elbo(X, np.random.RandomState(0)),
        lambda vae: vae.iwae(X, 3),
    ],
)
def test_randomness_comes_from_a_generator(call):
    with pytest.raises(TypeError, match=r"expected a numpy.random.Generator: pass rng=numpy\.random\.default_rng"):
        call(small(X))
