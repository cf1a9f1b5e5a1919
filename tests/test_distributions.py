"""Densities, draws, entropies and divergences against SciPy, against quadrature, and closed forms against draws."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import integrate, special, stats

import minigen
from minigen import check, ops
from minigen.distributions import (
    Bernoulli,
    Categorical,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    Uniform,
    kl_divergence,
    sampled_entropy,
)


def rng(seed=0):
    return np.random.default_rng(seed)


MEAN = np.array([0.4, -1.3, 2.2])
SD = np.array([0.7, 1.9, 0.2])
HIGH = MEAN + np.array([0.5, 2.0, 1.1])
LOGITS = np.array([0.3, -2.1, 1.4])
FACTOR = np.array([[0.9, 0.0, 0.0], [-0.4, 1.3, 0.0], [0.7, 0.2, 0.5]])
COVARIANCE = FACTOR @ FACTOR.T

# A distribution with three numbers to a point, and SciPy's own for each of them.
DIAGONAL = {
    "normal": (Normal(MEAN, SD), stats.norm(MEAN, SD)),
    "laplace": (Laplace(MEAN, SD), stats.laplace(MEAN, SD)),
    "uniform": (Uniform(MEAN, HIGH), stats.uniform(MEAN, HIGH - MEAN)),
    "bernoulli": (Bernoulli(LOGITS), stats.bernoulli(special.expit(LOGITS))),
}


@pytest.mark.parametrize("name", DIAGONAL)
def test_diagonal_families_against_scipy(name):
    p, reference = DIAGONAL[name]
    x = reference.rvs((50, 3), random_state=rng(1))
    if not p.discrete:
        x[:5] += 1.5  # outside the uniform's support too
    log_prob = (reference.logpmf if p.discrete else reference.logpdf)(x).sum(1)
    np.testing.assert_allclose(p.log_prob(x), log_prob, rtol=1e-12)
    assert p.entropy() == pytest.approx(reference.entropy().sum(), rel=1e-12)
    np.testing.assert_allclose(p.mean, reference.mean(), rtol=1e-12)
    np.testing.assert_allclose(p.var, reference.var(), rtol=1e-12)


def test_multivariate_normal_against_scipy():
    p, reference = MultivariateNormal(MEAN, FACTOR), stats.multivariate_normal(MEAN, COVARIANCE)
    x = rng(2).standard_normal((40, 3)) * 2
    np.testing.assert_allclose(p.log_prob(x), reference.logpdf(x), rtol=1e-11)
    np.testing.assert_allclose(MultivariateNormal.from_covariance(MEAN, COVARIANCE).log_prob(x), p.log_prob(x))
    assert p.entropy() == pytest.approx(reference.entropy(), rel=1e-12)
    np.testing.assert_allclose(p.covariance, COVARIANCE, rtol=1e-12)
    np.testing.assert_allclose(p.var, np.diag(COVARIANCE), rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_multivariate_normal_in_other_dimensions(d):
    root = rng(d).standard_normal((d, d + 3))
    covariance, mean = root @ root.T, rng(3).standard_normal(d)
    x = rng(4).standard_normal((7, d))
    reference = stats.multivariate_normal(mean, covariance).logpdf(x)
    np.testing.assert_allclose(MultivariateNormal.from_covariance(mean, covariance).log_prob(x), reference, rtol=1e-9)


def test_a_batch_of_multivariate_normals_is_each_of_them():
    means, factors = rng(5).standard_normal((4, 3)), FACTOR * rng(6).uniform(0.5, 2, (4, 1, 1))
    batch, x = MultivariateNormal(means, factors), rng(7).standard_normal((6, 4, 3))
    shared = MultivariateNormal(means, FACTOR)
    assert batch.batch_shape == shared.batch_shape == (4,)
    for i in range(4):
        one = MultivariateNormal(means[i], factors[i])
        np.testing.assert_allclose(batch.log_prob(x)[:, i], one.log_prob(x[:, i]))
        np.testing.assert_allclose(batch.entropy()[i], one.entropy())
        np.testing.assert_allclose(batch.var[i], one.var)
        np.testing.assert_allclose(shared.log_prob(x)[:, i], MultivariateNormal(means[i], FACTOR).log_prob(x[:, i]))
        expected = kl_divergence(one, MultivariateNormal(means[i], FACTOR)).value
        np.testing.assert_allclose(kl_divergence(batch, shared).value[i], expected, rtol=1e-9)
    draws = batch.sample(20000, rng(8))
    assert draws.shape == (20000, 4, 3) and shared.sample((2, 5), rng(8)).shape == (2, 5, 4, 3)
    for i in range(4):
        covariance = factors[i] @ factors[i].T
        np.testing.assert_allclose(np.cov(draws[:, i].T), covariance, atol=0.05 * np.max(covariance))


def test_categorical_against_scipy():
    p, probabilities = Categorical(LOGITS), special.softmax(LOGITS)
    np.testing.assert_allclose(p.log_prob([2, 0, 1, 1]), np.log(probabilities[[2, 0, 1, 1]]), rtol=1e-12)
    assert p.entropy() == pytest.approx(stats.entropy(probabilities), rel=1e-12)
    logits = rng(9).standard_normal((5, 4))
    x = rng(10).integers(0, 4, (6, 5))
    expected = np.log(special.softmax(logits, axis=1))[np.arange(5), x]
    np.testing.assert_allclose(Categorical(logits).log_prob(x), expected, rtol=1e-12)
    assert Categorical(logits).sample((6,), rng()).shape == (6, 5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["normal", "laplace", "uniform"])
def test_draws_follow_scipys_distribution_functions(name, seed):
    p, reference = DIAGONAL[name]
    x = p.sample(20000, rng(seed))
    assert x.shape == (20000, 3) and x.dtype == np.float64
    for j in range(3):
        cdf = lambda values, j=j: reference.cdf(np.stack([values] * 3, 1))[:, j]
        assert stats.kstest(x[:, j], cdf).pvalue > 1e-4
    # Features do not go together: a correlation of n draws has SD 1 / sqrt(n).
    correlation = np.corrcoef(x.T)[np.triu_indices(3, 1)]
    assert np.all(np.abs(correlation) < 4.5 / math.sqrt(20000))


@pytest.mark.parametrize("seed", range(3))
def test_discrete_draws_have_their_frequencies(seed):
    n = 20000
    x = Bernoulli(LOGITS).sample(n, rng(seed))
    p = special.expit(LOGITS)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert np.all(np.abs(x.mean(0) - p) < 4.5 * np.sqrt(p * (1 - p) / n))
    classes = Categorical(LOGITS).sample(n, rng(seed))
    assert stats.chisquare(np.bincount(classes, minlength=3), n * special.softmax(LOGITS)).pvalue > 1e-4


class Highest(np.random.Generator):
    """Draws the largest uniform number there is."""

    def random(self, size=None, dtype=np.float64, out=None):
        return np.full(size, np.nextafter(dtype(1), dtype(0)))


def test_a_class_of_probability_zero_is_never_drawn():
    """Not even where the sum of the other probabilities is rounded to less than the uniform number."""
    top = Highest(np.random.PCG64(0))
    for seed in range(100):
        logits = np.append(rng(seed).standard_normal(20), -2000.0)
        assert Categorical(logits).sample((), top) < 20


@pytest.mark.parametrize("seed", range(3))
def test_multivariate_draws_have_their_mean_and_covariance(seed):
    n = 20000
    x = MultivariateNormal(MEAN, FACTOR).sample(n, rng(seed))
    assert np.all(np.abs(x.mean(0) - MEAN) < 4.5 * np.sqrt(np.diag(COVARIANCE) / n))
    # Whitened by the truth, they are N(0, I): the Mahalanobis distance follows chi^2.
    distance = np.einsum("ni,ij,nj->n", x - MEAN, np.linalg.inv(COVARIANCE), x - MEAN)
    assert stats.kstest(distance, stats.chi2(3).cdf).pvalue > 1e-4


COMPONENTS = [(0.2, -1.0, 0.5), (0.5, 0.3, 0.1), (0.3, 2.0, 1.4)]


def line_mixture():
    """Weights, means, SDs of a mixture on a line, and its density by SciPy."""
    p = Mixture([Normal(m, s) for _, m, s in COMPONENTS], weights=[w for w, _, _ in COMPONENTS])
    return p, lambda x: sum(w * stats.norm(m, s).pdf(x) for w, m, s in COMPONENTS)


def integral(f):
    return integrate.quad(f, -12, 14, points=[-1, 0, 0.3, 0.6, 2], limit=400)[0]


def test_mixture_against_scipy_and_quadrature():
    p, density = line_mixture()
    x = rng(11).uniform(-4, 6, 50)
    np.testing.assert_allclose(p.log_prob(x), np.log(density(x)), rtol=1e-11)
    np.testing.assert_allclose(p.weights, [0.2, 0.5, 0.3])
    mean = integral(lambda x: x * density(x))
    assert p.mean == pytest.approx(mean, rel=1e-8)
    assert p.var == pytest.approx(integral(lambda x: (x - mean) ** 2 * density(x)), rel=1e-8)
    cdf = lambda x: sum(w * stats.norm(m, s).cdf(x) for w, m, s in COMPONENTS)
    for seed in range(3):
        assert stats.kstest(p.sample(20000, rng(seed)), cdf).pvalue > 1e-4


def test_mixture_of_points_with_several_numbers():
    p = Mixture([Normal(MEAN, SD), MultivariateNormal(-MEAN, FACTOR)], logits=[0.0, math.log(3)])
    x = rng(12).standard_normal((20, 3))
    log_terms = [stats.norm(MEAN, SD).logpdf(x).sum(1), stats.multivariate_normal(-MEAN, COVARIANCE).logpdf(x)]
    expected = special.logsumexp(log_terms, b=[[0.25], [0.75]], axis=0)
    np.testing.assert_allclose(p.log_prob(x), expected, rtol=1e-11)
    draws = p.sample(40000, rng(13))
    assert draws.shape == (40000, 3)
    assert np.all(np.abs(draws.mean(0) - p.mean) < 4.5 * np.sqrt(p.var / 40000))
    np.testing.assert_allclose(draws.var(0), p.var, rtol=0.04)


def test_a_point_far_from_every_component_has_a_finite_density():
    p = Mixture([Normal(-1.0, 0.01), Normal(1.0, 0.01)])
    x = np.array([-50.0, 0.0, 300.0])
    expected = special.logsumexp([stats.norm(m, 0.01).logpdf(x) for m in (-1, 1)], axis=0) - math.log(2)
    np.testing.assert_allclose(p.log_prob(x), expected, rtol=1e-12)
    assert p.log_prob(x.astype(np.float32)).dtype == np.float32
    holes = Mixture([Uniform(0.0, 1.0), Uniform(3.0, 4.0)])
    np.testing.assert_allclose(holes.log_prob([0.5, 2.0, 3.1]), [-math.log(2), -math.inf, -math.log(2)])


lower = lambda a: ops.multiply(a, np.tril(np.ones((3, 3))))
X = rng(14).standard_normal((4, 3))
BITS = (X > 0).astype(float)

LOG_PROBS = {
    "normal": (lambda x, m, s: Normal(m, s).log_prob(x), X, MEAN, SD),
    "laplace": (lambda x, m, s: Laplace(m, s).log_prob(x), X, MEAN, SD),
    "uniform": (lambda low, high: Uniform(low, high).log_prob(MEAN + 0.2), MEAN, HIGH),
    "bernoulli": (lambda l: Bernoulli(l).log_prob(BITS), LOGITS),
    "categorical": (lambda l: Categorical(l).log_prob([2, 0, 0, 1]), LOGITS),
    "multivariate": (lambda x, m, a: MultivariateNormal(m, lower(a)).log_prob(x), X, MEAN, FACTOR),
    "multivariate batch": (
        lambda x, m, a: MultivariateNormal(m, ops.multiply(lower(a), np.ones((4, 3, 3)))).log_prob(x), X, X, FACTOR
    ),
    "mixture": (
        lambda x, m, s, a, l: Mixture([Normal(m, s), MultivariateNormal(m, lower(a))], logits=l).log_prob(x),
        *(X, MEAN, SD, FACTOR, LOGITS[:2]),
    ),
    "mixture weights": (
        lambda x, l: Mixture([Normal(0.0, 1.0), Laplace(1.0, 2.0)], weights=ops.softmax(l)).log_prob(x), X, LOGITS[:2]
    ),
}  # fmt: skip
ENTROPIES = {
    "normal": (lambda s: Normal(MEAN, s).entropy(), SD),
    "laplace": (lambda s: Laplace(MEAN, s).entropy(), SD),
    "uniform": (lambda low, high: Uniform(low, high).entropy(), MEAN, HIGH),
    "bernoulli": (lambda l: Bernoulli(l).entropy(), np.array([0.0, -2.0, 1.1])),
    "categorical": (lambda l: Categorical(l).entropy(), LOGITS),
    "multivariate": (lambda a: MultivariateNormal(MEAN, lower(a)).entropy(), FACTOR),
}
DRAWS = {
    "normal": (lambda m, s: Normal(m, s).sample(5, rng(15)), MEAN, SD),
    "laplace": (lambda m, s: Laplace(m, s).sample(5, rng(15)), MEAN, SD),
    "uniform": (lambda low, high: Uniform(low, high).sample(5, rng(15)), MEAN, HIGH),
    "multivariate": (lambda m, a: MultivariateNormal(m, lower(a)).sample((5, 2), rng(15)), MEAN, FACTOR),
    "mixture": (lambda m, s: Mixture([Normal(m, s), Laplace(s, s)]).sample(5, rng(15)), MEAN, SD),
}
OTHER = (MEAN[::-1] / 2, SD[::-1] * 1.5)
KLS = {
    "normal": (lambda m, s, n, t: kl_divergence(Normal(m, s), Normal(n, t)).value, MEAN, SD, *OTHER),
    "laplace": (lambda m, s, n, t: kl_divergence(Laplace(m, s), Laplace(n, t)).value, MEAN, SD, *OTHER),
    "uniform": (lambda low, high: kl_divergence(Uniform(MEAN, HIGH), Uniform(low, high)).value, MEAN - 0.3, HIGH + 2),
    "bernoulli": (lambda l, k: kl_divergence(Bernoulli(l), Bernoulli(k)).value, LOGITS, OTHER[0]),
    "categorical": (lambda l, k: kl_divergence(Categorical(l), Categorical(k)).value, LOGITS, OTHER[0]),
    "multivariate": (
        lambda m, a, n, b: kl_divergence(MultivariateNormal(m, lower(a)), MultivariateNormal(n, lower(b))).value,
        *(MEAN, FACTOR, OTHER[0], FACTOR @ np.diag(SD)),
    ),
    "normal to multivariate": (
        lambda m, s, n, b: kl_divergence(Normal(m, s), MultivariateNormal(n, lower(b))).value, MEAN, SD, MEAN, FACTOR
    ),
}  # fmt: skip
# The same where the two nearly agree, which has forms of its own.
NEAR_BY = {
    name: (KLS[name][0], *inputs)
    for name, inputs in {
        "normal": (MEAN, SD, MEAN + 0.1, SD * 1.1),
        "laplace": (MEAN, SD, MEAN + 0.05, SD * 0.9),
        "bernoulli": (LOGITS, LOGITS + 0.2),
        "categorical": (LOGITS, LOGITS + np.array([0.2, 0.0, -0.1])),
        "multivariate": (MEAN, FACTOR, MEAN + 0.1, FACTOR * 1.1),
    }.items()
}
DERIVATIVES = {"kl nearby": NEAR_BY, "log_prob": LOG_PROBS, "entropy": ENTROPIES, "draw": DRAWS, "kl": KLS}


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, table in DERIVATIVES.items() for name in table])
def test_derivatives_against_finite_differences(what, name):
    f, *inputs = DERIVATIVES[what][name]
    check.gradient(f, *inputs, rng=rng(16), tolerance=1e-5)


def test_gradients_through_draws_tell_the_parameters():
    """E[x^2] = mean^2 + sd^2, so its gradients are 2 mean and 2 sd, within the error of the draws."""
    m, s = (minigen.tensor(a, requires_grad=True) for a in (MEAN, SD))
    n = 100_000
    x = Normal(m, s).sample(n, rng(17))
    by_mean, by_sd = minigen.grad(ops.sum(ops.square(x)) / n, [m, s])
    assert np.all(np.abs(by_mean.data - 2 * MEAN) < 4.5 * 2 * SD / math.sqrt(n))
    # 2 (m + s eps) eps has variance 4 (m^2 + 2 s^2).
    assert np.all(np.abs(by_sd.data - 2 * SD) < 4.5 * 2 * np.sqrt((MEAN**2 + 2 * SD**2) / n))


PAIRS = {
    "normal": (Normal(MEAN, SD), Normal(*OTHER)),
    "laplace": (Laplace(MEAN, SD), Laplace(*OTHER)),
    "uniform": (Uniform(MEAN, HIGH), Uniform(MEAN - 0.3, HIGH * 1.5 + 2)),
    "bernoulli": (Bernoulli(LOGITS), Bernoulli(LOGITS[::-1])),
    "categorical": (Categorical(LOGITS), Categorical(LOGITS[::-1])),
    "multivariate": (MultivariateNormal(MEAN, FACTOR), MultivariateNormal(MEAN / 2, FACTOR @ np.diag(SD + 0.5))),
    "normal to multivariate": (Normal(MEAN, SD), MultivariateNormal(MEAN / 2, FACTOR)),
    "multivariate to normal": (MultivariateNormal(MEAN, FACTOR), Normal(MEAN / 2, SD)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_closed_forms_against_draws(name):
    p, q = PAIRS[name]
    closed = kl_divergence(p, q)
    assert closed.standard_error == 0 and closed.value > 0.01
    assert kl_divergence(p, p).value == pytest.approx(0, abs=1e-12)
    for seed in range(3):
        x = p.sample(20000, rng(seed))
        ratio = p.log_prob(x) - q.log_prob(x)
        error = ratio.std() / math.sqrt(len(ratio))
        assert abs(ratio.mean() - closed.value) < 4.5 * error + 1e-12
        entropy = sampled_entropy(p, rng=rng(seed), n=20000)
        assert abs(entropy.value - p.entropy()) < 4.5 * entropy.standard_error + 1e-12


def test_estimated_divergences_and_their_errors_against_quadrature():
    p, density = line_mixture()
    q = Normal(0.5, 1.5)
    truth = integral(lambda x: density(x) * (np.log(density(x)) - stats.norm(0.5, 1.5).logpdf(x)))
    entropy = integral(lambda x: -density(x) * np.log(density(x)))
    estimates = [kl_divergence(p, q, rng=rng(seed), n=500) for seed in range(200)]
    z = np.array([(value - truth) / error for value, error in estimates])
    # Standard errors that are right make z an N(0, 1): its mean and SD over 200 are this uncertain.
    assert abs(z.mean()) < 4 / math.sqrt(200)
    assert abs(z.std() - 1) < 4 / math.sqrt(400)
    z = [(value - entropy) / error for value, error in (sampled_entropy(p, rng=rng(s), n=500) for s in range(200))]
    assert abs(np.mean(z)) < 4 / math.sqrt(200) and abs(np.std(z) - 1) < 4 / math.sqrt(400)


def test_divergence_is_infinite_where_only_the_first_has_probability():
    assert kl_divergence(Uniform(0.0, 2.0), Uniform(0.0, 1.0)).value == math.inf
    estimate = kl_divergence(Normal(0.0, 1.0), Uniform(-1.0, 1.0), rng=rng(18), n=1000)
    assert estimate == (math.inf, math.inf)
    estimate = kl_divergence(Uniform(MEAN, HIGH), Normal(MEAN, SD), rng=rng(19), n=2)
    assert np.isfinite(estimate.value) and estimate.standard_error > 0


def test_extreme_parameters_stay_finite():
    for dtype in (np.float32, np.float64):
        logits = np.array([1000, -1000, 30], dtype)
        p = Bernoulli(logits)
        ones, zeros = np.array([1, 0, 1], dtype), np.array([0, 1, 0], dtype)
        np.testing.assert_allclose(p.log_prob(ones), -np.log1p(np.exp(-30.0)), rtol=1e-6)
        np.testing.assert_allclose(p.log_prob(zeros), -2030, rtol=1e-6)
        assert p.entropy() == pytest.approx(stats.bernoulli(special.expit(-30)).entropy(), rel=1e-5)
        assert kl_divergence(p, Bernoulli(-logits)).value == pytest.approx(2030, rel=1e-6)
        np.testing.assert_array_equal(p.sample(1000, rng())[:, :2], np.tile([1, 0], (1000, 1)))
        c = Categorical(logits)
        np.testing.assert_allclose(c.log_prob([0, 1, 2]), [0, -2000, -970], atol=1e-30)
        assert c.entropy() == 0 and np.all(c.sample(1000, rng()) == 0)
        assert kl_divergence(c, Categorical(-logits)).value == pytest.approx(2000)
        narrow = np.full(3, 1e-15, dtype)  # a variance of 1e-30
        mean = np.array([1.0, 0.0, -2.0], dtype)
        for q in (Normal(mean, narrow), Laplace(mean, narrow), MultivariateNormal(mean, np.diag(narrow))):
            assert np.isfinite(q.entropy())
            np.testing.assert_allclose(q.log_prob(mean), q.log_prob(q.mean), rtol=1e-6)
            assert np.all(np.isfinite(q.log_prob(mean + np.array([1e-6, 0, 0], dtype))))
            assert kl_divergence(q, q).value == pytest.approx(0, abs=1e-4)
            assert np.all(np.isfinite(q.sample(10, rng(20))))
    assert Normal(0.0, 1e-15).log_prob(np.zeros(1)) == pytest.approx(stats.norm(0, 1e-15).logpdf(0))


def test_gradients_are_finite_at_extreme_logits():
    l = minigen.tensor(np.array([1000.0, -1000.0, 0.0]), requires_grad=True)
    kl = kl_divergence(Bernoulli(l), Bernoulli(-LOGITS)).value
    value = Bernoulli(l).log_prob(np.array([0.0, 1.0, 1.0])) + Categorical(l).log_prob(1) + Categorical(l).entropy()
    assert np.all(np.isfinite(minigen.grad(value + kl + Bernoulli(l).entropy(), l).data))


@pytest.mark.filterwarnings("ignore:invalid value")  # inf times 0, which the density makes up for
def test_infinite_points_have_no_density_and_nan_is_named():
    for p in (Normal(MEAN, SD), MultivariateNormal(MEAN, FACTOR), Laplace(MEAN, SD), Uniform(MEAN, HIGH)):
        x = np.stack([MEAN + 0.1, [np.inf, 0, 0], [0, -np.inf, np.inf]])
        assert np.isfinite(p.log_prob(x)[0])
        np.testing.assert_array_equal(p.log_prob(x)[1:], -math.inf)
        x[1, 2] = np.nan
        with pytest.raises(ValueError, match="NaN in 1 of 3 rows, the first of them 1"):
            p.log_prob(x)


def test_shapes_and_dtypes():
    r = rng(21)
    assert Normal(0.0, 1.0).event_shape == () and Normal(MEAN, 1.0).event_shape == (3,)
    assert Normal(X, SD).batch_shape == (4,) and Normal(X, SD).sample((), r).shape == (4, 3)
    assert Normal(0.0, 1.0).log_prob(X).shape == (4, 3) and Normal(MEAN, 1.0).log_prob(X).shape == (4,)
    # One SD for three features counts three times.
    assert Normal(MEAN, 2.0).entropy() == pytest.approx(Normal(MEAN, np.full(3, 2.0)).entropy(), rel=1e-12)
    for p in (Normal(MEAN, 2.0), MultivariateNormal(MEAN, FACTOR), Bernoulli(LOGITS), Mixture([Normal(MEAN, SD)])):
        assert p.sample(0, r).shape == (0, 3) and p.log_prob(np.empty((0, 3))).shape == (0,)
        assert p.sample(1, r).shape == (1, 3) and p.sample((), r).shape == (3,)
    assert Categorical(LOGITS).log_prob(np.empty(0, int)).shape == (0,)
    for p in (Normal(0, 1), Laplace(0.0, 0.1), Uniform(0.0, 0.3), Bernoulli(0.5)):
        assert p.sample((2, 3), r).dtype == np.float32
        assert p.log_prob(np.ones(4, np.float32)).dtype == np.float32
        assert p.log_prob(np.ones(4)).dtype == np.float64
    t = minigen.tensor([0.1, 0.2, 0.3])
    draws = Normal(t, SD).sample(2, r)
    assert type(draws) is minigen.Tensor and draws.dtype == np.float32
    assert Normal(t, 1.0).log_prob(X).dtype == np.float32


def test_a_factor_on_the_tape_gets_no_gradient_above_its_diagonal():
    factor = minigen.tensor(FACTOR, requires_grad=True)
    p = MultivariateNormal(MEAN, factor)
    with minigen.no_grad():
        p.log_prob(X)
    gradient = minigen.grad(ops.mean(p.log_prob(X)), factor).data
    np.testing.assert_array_equal(np.triu(gradient, 1), 0)
    by_draws = minigen.grad(ops.sum(p.sample(3, rng(23))), factor).data
    np.testing.assert_array_equal(np.triu(by_draws, 1), 0)
    assert np.all(by_draws[np.tril_indices(3)] != 0)
    # d/dL of the mean log-density: L^-T (S - I) with S the scatter of the whitened points, below the diagonal.
    z = np.linalg.solve(FACTOR, (X - MEAN).T)
    expected = np.tril(np.linalg.solve(FACTOR.T, z @ z.T / 4)) - np.diag(1 / np.diag(FACTOR))
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)


def test_a_compiled_step_draws_and_checks_anew():
    mean = minigen.tensor(MEAN.astype(np.float32), requires_grad=True)
    r = rng(22)

    def step(x, bits, classes):
        p = Normal(mean, ops.exp(mean))
        q = Mixture([p, Laplace(mean, 1.0), MultivariateNormal(mean, np.eye(3, dtype=np.float32))], logits=mean)
        loss = (
            ops.mean(q.log_prob(ops.concatenate([x, p.sample(4, r)])))
            + kl_divergence(p, Normal(0.0, 1.0 + 0 * x[0])).value
        )
        loss = loss + ops.mean(Bernoulli(mean).log_prob(bits)) + ops.mean(Categorical(mean).log_prob(classes))
        return loss, minigen.grad(loss, mean), q.sample(5, r), Categorical(mean).sample(5, r)

    compiled = minigen.compile(step, check=True)
    for seed in range(3):
        x = rng(seed).standard_normal((4, 3)).astype(np.float32)
        results = compiled(x, (x > 0).astype(np.float32), rng(seed).integers(0, 3, 6))
        assert all(np.all(np.isfinite(np.asarray(result))) for result in results)
    with pytest.raises(ValueError, match="points that hold NaN"):
        compiled(x * np.float32(np.nan), (x > 0).astype(np.float32), np.array([0, 1, 2, 0, 1, 2]))


MISTAKES = [
    (lambda: Normal(MEAN, -SD), ValueError, ["sd down to -1.9", "positive", "softplus"]),
    (lambda: Normal(MEAN, np.array([1, np.nan, 1])), ValueError, ["sd", "NaN"]),
    (lambda: Normal(MEAN, np.ones(4)), ValueError, ["mean (3,)", "sd (4,)", "one shape"]),
    (lambda: Normal("a", 1.0), TypeError, ["mean", "real numbers"]),
    (lambda: Normal([[1.0], [1.0, 2.0]], 1.0), TypeError, ["unequal length"]),
    (lambda: Normal(minigen.tensor(MEAN), minigen.tensor([1.0, 1.0, 1.0])), TypeError, ["float32 and float64"]),
    (lambda: Normal(MEAN, SD).log_prob(np.ones((5, 1))), ValueError, ["(5, 1)", "(..., 3)"]),
    (lambda: Normal(X, SD).log_prob(np.ones((5, 3))), ValueError, ["(5,) and (4,)"]),
    (lambda: Normal(MEAN, SD).sample(4, 0), TypeError, ["Generator", "default_rng"]),
    (lambda: Normal(MEAN, SD).sample(-1, rng()), ValueError, ["shape=-1", "number of draws"]),
    (lambda: Normal(MEAN, SD).sample(2.5, rng()), ValueError, ["shape=2.5"]),
    (lambda: Laplace(0.0, 0.0), ValueError, ["scale down to 0.0"]),
    (lambda: Uniform(HIGH, MEAN), ValueError, ["low < high"]),
    (lambda: Uniform(0.0, math.inf), ValueError, ["high", "inf"]),
    (lambda: Bernoulli(LOGITS).log_prob(X), ValueError, ["0 and 1", "binary_cross_entropy_with_logits"]),
    (lambda: Bernoulli(np.array([0.0, np.inf])), ValueError, ["logits", "finite"]),
    (lambda: Categorical(0.3), ValueError, ["()", "(..., k)"]),
    (lambda: Categorical(LOGITS).log_prob([0.0, 1.0]), TypeError, ["float64", "integers"]),
    (lambda: Categorical(LOGITS).log_prob([0, 3]), ValueError, ["from 0 to 3", "0 to 2"]),
    (lambda: MultivariateNormal(MEAN, COVARIANCE), ValueError, ["above the diagonal", "from_covariance"]),
    (lambda: MultivariateNormal(MEAN, -FACTOR), ValueError, ["diagonal", "positive"]),
    (lambda: MultivariateNormal(MEAN, SD), ValueError, ["(3,)", "(..., d, d)"]),
    (lambda: MultivariateNormal.from_covariance(MEAN, np.ones((3, 3))), ValueError, ["positive definite", "add"]),
    (lambda: MultivariateNormal.from_covariance(MEAN, FACTOR), ValueError, ["not symmetric"]),
    (lambda: MultivariateNormal.from_covariance(MEAN, minigen.tensor(COVARIANCE)), TypeError, ["Cholesky factor"]),
    (lambda: Mixture([]), ValueError, ["at least one"]),
    (lambda: Mixture(Normal(0.0, 1.0)), TypeError, ["Normal", "list of distributions"]),
    (lambda: Mixture([Normal(0.0, 1.0), 3.0]), TypeError, ["3.0", "list of distributions"]),
    (lambda: Mixture([Normal(0.0, 1.0), Normal(MEAN, SD)]), ValueError, ["[(), (3,)]", "one event shape"]),
    (lambda: Mixture([Normal(0.0, 1.0), Bernoulli(0.0)]), ValueError, ["discrete and not"]),
    (lambda: Mixture([Normal(X, SD)]), ValueError, ["batch shapes [(4,)]"]),
    (lambda: Mixture([Normal(0.0, 1.0)] * 2, weights=[0.5, 0.6]), ValueError, ["sum 1.1", "divide by the sum"]),
    (lambda: Mixture([Normal(0.0, 1.0)] * 2, weights=[1.0, 0.0]), ValueError, ["leave out"]),
    (lambda: Mixture([Normal(0.0, 1.0)] * 2, logits=[0.0, 0.1, 0.2]), ValueError, ["2 components", "(3,)"]),
    (lambda: Mixture([Normal(0.0, 1.0)] * 2, weights=[0.5, 0.5], logits=[0.0, 0.0]), ValueError, ["one of them"]),
    (lambda: Mixture([Normal(0.0, 1.0)]).entropy(), ValueError, ["sampled_entropy"]),
    (lambda: kl_divergence(Normal(0.0, 1.0), Laplace(0.0, 1.0)), ValueError, ["Normal and Laplace", "rng= and n="]),
    (lambda: kl_divergence(Normal(0.0, 1.0), Normal(MEAN, SD)), ValueError, ["() and (3,)", "same points"]),
    (lambda: kl_divergence(Normal(MEAN, SD), Bernoulli(LOGITS)), ValueError, ["discrete: False and True"]),
    (lambda: kl_divergence(Categorical(LOGITS), Categorical([0.0, 1.0])), ValueError, ["3 and 2 classes"]),
    (lambda: kl_divergence(Normal(0.0, 1.0), Laplace(0.0, 1.0), rng=rng(), n=1), ValueError, ["n=1", "at least 2"]),
    (lambda: kl_divergence(Normal(0.0, 1.0), Laplace(0.0, 1.0), rng=3, n=10), TypeError, ["Generator"]),
    (lambda: kl_divergence(Normal(0.0, 1.0), 3), TypeError, ["kl_divergence()", "q=3", "a distribution, such as"]),
    (lambda: sampled_entropy(np.ones(3), rng=rng(), n=9), TypeError, ["p=array", "a distribution, such as"]),
]


@pytest.mark.parametrize("i", range(len(MISTAKES)))
def test_mistakes_are_named(i):
    call, error, words = MISTAKES[i]
    with pytest.raises(error) as caught:
        call()
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


# Nothing cancels ------------------------------------------------------------------------------------------------------

getcontext().prec = 60


def kl_of_numbers(name, a, b, c, d):
    """KL of one number, in 60 digits, from float parameters taken as exact."""
    a, b, c, d = map(Decimal, (a, b, c, d))
    if name == "normal":
        return (d / b).ln() + ((b / d) ** 2 + ((a - c) / d) ** 2 - 1) / 2
    if name == "laplace":
        r = abs(a - c)
        return (d / b).ln() + r / d + b / d * (-r / b).exp() - 1
    if name == "bernoulli":
        p, q = 1 / (1 + (-a).exp()), 1 / (1 + (-c).exp())
        return p * (p / q).ln() + (1 - p) * ((1 - p) / (1 - q)).ln()
    return (d - c).ln() - (b - a).ln()  # uniform


def solved(factor, right):
    """x of L x = right for a lower triangular L, in 60 digits."""
    x = []
    for row, value in zip(factor, right):
        x.append((value - sum(a * b for a, b in zip(row, x))) / row[len(x)])
    return x


STEPS = [0.0, 1e-15, 1e-9, 1e-5, 0.01, 0.2, 0.26, 0.6, 3.0, 40.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["normal", "laplace", "bernoulli", "uniform"])
def test_divergences_of_distributions_that_nearly_agree(name, dtype):
    """Relative to the value itself, however small it is; the differences of the parameters are exact floats."""
    family = {"normal": Normal, "laplace": Laplace, "uniform": Uniform}.get(name, lambda a, b: Bernoulli(a))
    for base in (-30.0, -0.3, 0.0, 2.0, 25.0):
        for step in STEPS:
            for other in STEPS:
                a, b = dtype(base), dtype(base + 1.5 if name == "uniform" else 1.25)
                c, d = (
                    dtype(a - dtype(step)),
                    dtype(b + abs(b) * dtype(other) if name == "uniform" else b * (1 + other)),
                )
                got = kl_divergence(*(family(np.array([u]), np.array([v])) for u, v in ((a, b), (c, d)))).value
                if name == "uniform" and d < b:
                    assert got == math.inf
                    continue
                expected = float(kl_of_numbers(name, float(a), float(b), float(c), float(d)))
                # exp and log of a logit of 30 have 30 units of its rounding
                tolerance = np.finfo(dtype).eps * (200 if name == "bernoulli" else 20)
                assert got >= 0 and abs(got - expected) <= tolerance * abs(expected), (a, b, c, d, got, expected)


def test_divergences_of_points_with_several_numbers_that_nearly_agree():
    exact = lambda a: [exact(part) for part in a] if np.ndim(a) else Decimal(float(a))
    for size in (1e-13, 1e-8, 1e-3, 1.0):
        r = rng(24)
        factors = FACTOR, FACTOR * (1 + size * r.uniform(-0.5, 0.5, (3, 3)))
        means = MEAN, MEAN * (1 + size * r.standard_normal(3))
        got = kl_divergence(MultivariateNormal(means[0], factors[0]), MultivariateNormal(means[1], factors[1])).value
        columns = [solved(exact(factors[1]), column) for column in exact(factors[0].T)]
        shift = solved(exact(factors[1]), [a - b for a, b in zip(*map(exact, means))])
        squares = sum(v**2 for column in [*columns, shift] for v in column) - 3
        expected = float(squares / 2 - sum(column[i].ln() for i, column in enumerate(columns)))
        assert abs(got - expected) < 1e-12 * expected
        logits = LOGITS, LOGITS + size * r.standard_normal(3)
        got = kl_divergence(Categorical(logits[0]), Categorical(logits[1])).value
        p, q = ([v.exp() for v in exact(each)] for each in logits)
        expected = float(sum(a / sum(p) * (a / sum(p) / (b / sum(q))).ln() for a, b in zip(p, q)))
        # log_softmax is right to rounding, of which the squared differences have what is left
        assert abs(got - expected) < 10 * (1e-16 / size) * expected + 1e-14 * expected
        assert kl_divergence(Categorical(logits[0]), Categorical(logits[0] + 7.0)).value >= 0


def test_divergences_are_never_negative():
    for seed in range(6):
        r = rng(seed)
        shape = (2000, 3)
        a, b = r.standard_normal(shape), r.uniform(0.01, 3, shape)
        near = lambda v, r=r: v * (1 + r.integers(-3, 4, v.shape) * 2.0**-52)
        for dtype in (np.float64, np.float32):
            m, s, n, t = (v.astype(dtype) for v in (a, b, near(a), near(b)))
            diagonal = lambda sd: sd[:, :, None] * np.eye(3, dtype=sd.dtype)
            for p, q in (
                (Normal(m, s), Normal(n, t)),
                (Laplace(m, s), Laplace(n, t)),
                (Bernoulli(m), Bernoulli(n)),
                (Categorical(m), Categorical(n)),
                (MultivariateNormal(m, diagonal(s)), MultivariateNormal(n, diagonal(t))),
            ):
                value = kl_divergence(p, q).value
                assert value.shape == (2000,) and np.all(value >= 0)


# When a covariance has an inverse -------------------------------------------------------------------------------------


def dependent(seed, n=60):
    """Features of which one is determined by the others, in several ways and units."""
    r = rng(seed)
    z = r.standard_normal((n, 1 + seed % 3))
    last = [z[:, :1], z @ r.standard_normal((z.shape[1], 1)) + 3, -2.5 * z[:, :1]][seed // 3 % 3]
    return np.c_[z, last] * 10.0 ** r.uniform(-8, 8, z.shape[1] + 1)


def test_covariances_of_dependent_features_are_always_refused():
    for seed in range(60):
        covariance = np.cov(dependent(seed).T)
        with pytest.raises(ValueError, match="not positive definite"):
            MultivariateNormal.from_covariance(np.zeros(len(covariance)), covariance)
        order = rng(seed).permutation(len(covariance))
        with pytest.raises(ValueError, match="not positive definite"):
            MultivariateNormal.from_covariance(np.zeros(len(covariance)), covariance[np.ix_(order, order)])


@pytest.mark.parametrize("unit", [1.0, 1e-100, 1e140])
def test_nearly_dependent_features_are_accepted_whatever_their_unit_and_order(unit):
    """At a correlation r the share of a variance that is left is 1 - r^2: here 1e-12 is taken and 1e-14 is not."""
    for share, taken in ((1e-12, True), (1e-14, False)):
        correlation = np.sqrt(1 - share)
        for sd in (np.array([1.0, 1.0]), np.array([1e-4, 300.0])):
            covariance = unit * (sd[:, None] * sd) * [[1, correlation], [correlation, 1]]
            if taken:
                p = MultivariateNormal.from_covariance(np.zeros(2), covariance)
                np.testing.assert_allclose(p.covariance, covariance, rtol=1e-12)
            else:
                with pytest.raises(ValueError, match="positive definite"):
                    MultivariateNormal.from_covariance(np.zeros(2), covariance)


def test_symmetry_does_not_depend_on_units():
    sd = np.array([1e-6, 1.0, 1e6])
    good = sd[:, None] * sd * (np.eye(3) + 0.5)
    assert MultivariateNormal.from_covariance(np.zeros(3), good).event_shape == (3,)
    good[0, 1] *= 1.01
    with pytest.raises(ValueError, match="not symmetric"):
        MultivariateNormal.from_covariance(np.zeros(3), good)


def test_integers_of_any_kind_are_points_and_parameters():
    expected = stats.norm(5, 2).logpdf([3, 250])
    for dtype in (np.uint8, np.int16, np.uint64):
        x = np.array([3, 250], dtype)
        np.testing.assert_allclose(Normal(np.array(5, dtype), 2).log_prob(x), expected, rtol=1e-6)
        np.testing.assert_allclose(Laplace(np.array(5, dtype), 2).log_prob(x), stats.laplace(5, 2).logpdf([3, 250]))
        np.testing.assert_array_equal(Uniform(np.array(2, dtype), 4).log_prob(x), [-math.log(2), -math.inf])
    with pytest.raises(ValueError, match="masked"):
        Normal(np.ma.array([1.0, 2.0], mask=[0, 1]), 1.0)


def test_points_and_parameters_of_objects_and_masked_points():
    x = np.array([0.5, 3, -1], object)
    np.testing.assert_allclose(Normal(0.0, 1.0).log_prob(x), stats.norm.logpdf([0.5, 3, -1]))
    np.testing.assert_allclose(Normal(np.array([1, 2.5], object), 1.0).mean, [1, 2.5])
    np.testing.assert_allclose(
        Categorical(LOGITS).log_prob(np.array([2, 0], np.uint8)), Categorical(LOGITS).log_prob([2, 0])
    )
    for p in (Normal(0.0, 1.0), MultivariateNormal(MEAN, FACTOR), Mixture([Normal(MEAN, SD)])):
        with pytest.raises(ValueError, match="masked"):
            p.log_prob(np.ma.masked_greater(np.ones((2, 3)), 0.5))
        with pytest.raises(TypeError, match="real numbers"):
            p.log_prob([["a", "b", "c"]])
        with pytest.raises(ValueError, match="missing"):
            p.log_prob(np.array([[None, 1.0, 2.0]]))


def test_covariances_in_float32_are_judged_by_its_rounding():
    r = rng(26)
    z = r.standard_normal((60, 1)).astype(np.float32)
    for last in (z, 2.5 * z, -z + np.float32(3)):
        covariance = np.cov(np.c_[z, last].T).astype(np.float32)
        with pytest.raises(ValueError, match="positive definite"):
            MultivariateNormal.from_covariance(np.zeros(2), covariance)
    good = np.array([[1, 0.999], [0.999, 1]], np.float32)
    p = MultivariateNormal.from_covariance(np.zeros(2, np.float32), good)
    assert p.factor.dtype == np.float32
    np.testing.assert_allclose(p.covariance, good, rtol=1e-6)
