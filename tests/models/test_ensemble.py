"""Is an ensemble the equal mixture of its members, and do they disagree where there were no data?"""

import signal

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from minigen.models import Ensemble, Regressor


def rng(seed=0):
    return np.random.default_rng(seed)


def curve(n, generator):
    X = generator.uniform(-1, 1, (n, 2))
    clean = np.column_stack([np.sin(3 * X[:, 0]), X[:, 0] * X[:, 1]])
    return X, clean + 0.1 * generator.standard_normal(clean.shape)


@pytest.fixture(scope="module", params=["point", "gaussian"])
def fitted(request):
    """Members that learned little, so that they differ much."""
    return Ensemble(Regressor((16,), head=request.param, steps=150), 4).fit(*curve(300, rng(1)), rng=rng(2))


@pytest.fixture(scope="module")
def predictions(fitted):
    """Means and SDs of the members, (4, 25, 2) each, and where they were asked."""
    X, Y = curve(25, rng(3))
    each = [member.predict(X, return_sd=True) for member in fitted.members_]
    return X, Y, *(np.array(values) for values in zip(*each))


def test_members_have_weights_of_their_own_and_leave_the_pattern_alone(fitted):
    weights = [member.network_.flat().data for member in fitted.members_]
    assert len(weights) == 4
    for i in range(4):
        for j in range(i):
            assert (weights[i] != weights[j]).all()
    assert not hasattr(fitted.regressor, "network_")


def test_the_moments_are_those_of_the_mixture(fitted, predictions):
    X, _, means, sds = predictions
    mean, sd = fitted.predict(X, return_sd=True)
    np.testing.assert_allclose(mean, means.sum(axis=0) / 4)
    # Var = E(m^2 + s^2) - (E m)^2
    np.testing.assert_allclose(sd**2, (means**2 + sds**2).sum(axis=0) / 4 - mean**2, rtol=1e-6)
    np.testing.assert_array_equal(fitted.predict(X), mean)
    assert (sd**2 > (sds**2).mean(axis=0)).all()


def test_disagreement_is_the_sd_of_the_means(fitted, predictions):
    X, _, means, _ = predictions
    spread = fitted.disagreement(X)
    assert spread.shape == (25, 2) and (spread > 0).all()
    pairs = (means[:, None] - means[None]) ** 2  # the variance is half the mean squared difference of two of them
    np.testing.assert_allclose(spread**2, pairs.mean(axis=(0, 1)) / 2)


def test_log_prob_is_that_of_the_mixture(fitted, predictions):
    X, Y, means, sds = predictions
    density = np.mean(stats.norm.pdf(Y, means, sds).prod(axis=2), axis=0)
    np.testing.assert_allclose(fitted.log_prob(X, Y), np.log(density), rtol=1e-8)


def test_log_prob_far_from_the_data_does_not_underflow(fitted, predictions):
    X, _, means, sds = predictions
    far = np.full((25, 2), 1e3)
    each = stats.norm.logpdf(far, means, sds).sum(axis=2)
    assert np.isfinite(fitted.log_prob(X, far)).all()
    np.testing.assert_allclose(fitted.log_prob(X, far), each.max(axis=0), atol=np.log(4))


def test_the_density_has_the_moments_that_predict_gives():
    X, Y = curve(200, rng(4))
    ensemble = Ensemble(Regressor((8,), head="gaussian", steps=100), 3).fit(X, Y[:, 0], rng=rng(5))
    grid = np.linspace(-15, 15, 20001)
    density = np.exp(ensemble.log_prob(np.tile([2.0, -2.0], (20001, 1)), grid))
    mean, sd = (value.item() for value in ensemble.predict([[2.0, -2.0]], return_sd=True))
    assert abs(trapezoid(density, grid) - 1) < 1e-8
    np.testing.assert_allclose(trapezoid(density * grid, grid), mean, atol=1e-7)
    np.testing.assert_allclose(trapezoid(density * (grid - mean) ** 2, grid), sd**2, rtol=1e-6)


def test_draws_follow_the_mixture(fitted):
    n = 20000
    x = np.array([[3.0, -3.0]])  # far out, where the members differ
    draws = fitted.sample(np.repeat(x, n, axis=0), rng(6))
    mean, sd = (value[0] for value in fitted.predict(x, return_sd=True))
    assert draws.shape == (n, 2)
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * sd / np.sqrt(n)).all()
    assert (np.abs(draws.std(axis=0) / sd - 1) < 0.05).all()
    for output in range(2):
        each = [member.predict(x, return_sd=True) for member in fitted.members_]
        cdf = lambda y, o=output, each=each: np.mean([stats.norm.cdf(y, m[0, o], s[0, o]) for m, s in each], axis=0)
        assert stats.kstest(draws[:, output], cdf).pvalue > 1e-4


def test_draws_of_a_row_come_from_one_member():
    """Not the first output from one member and the second from another."""
    ensemble = Ensemble(Regressor((8,), steps=5), 2).fit(*curve(50, rng(7)), rng=rng(8))
    for member, level in zip(ensemble.members_, (-100.0, 100.0)):
        member.predict = lambda X, return_sd, level=level: (np.full((len(X), 2), level), np.ones((len(X), 2)))
    draws = ensemble.sample(np.zeros((1000, 2)), rng(9))
    assert (np.sign(draws[:, 0]) == np.sign(draws[:, 1])).all()
    assert 400 < np.sum(draws[:, 0] > 0) < 600


def test_members_disagree_outside_the_data():
    X, Y = curve(400, rng(10))
    ensemble = Ensemble(Regressor((32, 32), steps=600), 5).fit(X, Y, rng=rng(11))
    directions = rng(12).standard_normal((200, 2))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    inside, near, far = (np.median(ensemble.disagreement(radius * directions)) for radius in (0.5, 2.0, 6.0))
    assert near > 4 * inside and far > near
    sd_inside, sd_far = (np.median(ensemble.predict(radius * directions, True)[1]) for radius in (0.5, 6.0))
    assert sd_far > 1.3 * sd_inside


def test_seeds():
    def predicted(seed):
        ensemble = Ensemble(Regressor((8,), steps=20), 2).fit(*curve(50, rng(13)), rng=rng(seed))
        return ensemble.predict(curve(5, rng(14))[0])

    np.testing.assert_array_equal(predicted(1), predicted(1))
    assert (predicted(1) != predicted(2)).all()


def test_ctrl_c_ends_all_of_it(monkeypatch):
    monkeypatch.setenv("MINIGEN_COMPILE", "0")  # so that the loss runs in every step

    class Interrupted(Regressor):
        def loss(self, x, y):
            if self.history_so_far == 7:
                signal.raise_signal(signal.SIGINT)
            self.history_so_far += 1
            return super().loss(x, y)

    pattern = Interrupted((8,), steps=20)
    pattern.history_so_far = 0
    ensemble = Ensemble(pattern, 3).fit(*curve(50, rng(15)), rng=rng(16))
    assert [len(member.history_.loss) for member in ensemble.members_] == [8]
    assert ensemble.predict([[0.0, 0.0]]).shape == (1, 2)


X, Y = curve(10, rng(17))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Ensemble(Regressor), TypeError, "got regressor=<class .*Regressor'>; expected a Regressor, to copy"),
        (lambda: Ensemble(Regressor(), 0), ValueError, "members=0; expected a whole number"),
        (lambda: Ensemble(Regressor(), 2.5), ValueError, "members=2.5"),
        (lambda: Ensemble(Regressor()).predict(X), ValueError, r"not been fitted yet; call fit\(X, Y, rng=...\) first"),
        (lambda: Ensemble(Regressor()).log_prob(X, Y), ValueError, "Ensemble has not been fitted"),
        (lambda: Ensemble(Regressor()).disagreement(X), ValueError, "Ensemble has not been fitted"),
        (lambda: Ensemble(Regressor()).sample(X, rng()), ValueError, "Ensemble has not been fitted"),
        (lambda: Ensemble(Regressor()).fit(X, Y, rng=0), TypeError, "rng=0; expected a numpy.random.Generator"),
        (lambda: Ensemble(Regressor()).sample(X, None), TypeError, "rng=None; expected a numpy.random.Generator"),
        (lambda: Ensemble(Regressor(), 2).fit(X, Y[:3], rng=rng()), ValueError, "10 rows of X and 3 of Y"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_fit_that_fails_leaves_an_unfitted_ensemble():
    ensemble = Ensemble(Regressor(steps=3))
    with pytest.raises(ValueError, match="rows of X"):
        ensemble.fit(X, Y[:3], rng=rng())
    with pytest.raises(ValueError, match="not been fitted"):
        ensemble.predict(X)
