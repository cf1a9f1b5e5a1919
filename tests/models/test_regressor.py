"""Does a regressor find a known line and a known noise, and do its density, SD and draws tell the same story?"""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from minigen import tensor
from minigen.models import Regressor

SLOPES = np.array([[2.0, -1.0], [0.5, 3.0], [0.0, 1.0]])
NOISE = np.array([0.5, 2.0])


def rng(seed=0):
    return np.random.default_rng(seed)


def line(n, generator):
    """Inputs (n, 3), their line's values (n, 2), and those with noise of SD 0.5 and 2."""
    X = generator.uniform(-1, 1, (n, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 0.0]
    values = X @ SLOPES + [100.0, -7.0]
    return X, values, values + NOISE * generator.standard_normal(values.shape)


@pytest.fixture(scope="module", params=["point", "gaussian"])
def fitted(request):
    X, _, Y = line(2000, rng(1))
    return Regressor((), head=request.param, steps=1000, lr=0.02).fit(X, Y, rng=rng(2))


@pytest.fixture(scope="module")
def spread():
    """A likelihood head on y = 3 + noise of SD exp(x / 2)."""
    generator = rng(3)
    X = generator.uniform(-2, 2, (4000, 1))
    Y = 3 + np.exp(X / 2) * generator.standard_normal(X.shape)
    return Regressor((16,), head="gaussian", steps=1000).fit(X, Y, rng=generator)


# Known answers --------------------------------------------------------------------------------------------------------


def test_both_heads_find_the_line_and_the_noise(fitted):
    X, values, _ = line(500, rng(4))
    mean, sd = fitted.predict(X, return_sd=True)
    assert mean.shape == sd.shape == (500, 2)
    error = np.sqrt(np.mean((mean - values) ** 2, axis=0))
    assert (error < 0.12 * NOISE).all(), error
    assert (np.abs(np.log(sd / NOISE)).mean(axis=0) < 0.1).all(), sd.mean(axis=0)
    assert mean.dtype == sd.dtype == np.float64 and sd.flags.writeable


def test_the_gaussian_head_finds_a_noise_that_grows(spread):
    X = np.linspace(-1.8, 1.8, 50)[:, None]
    mean, sd = spread.predict(X, return_sd=True)
    assert np.abs(mean - 3).max() < 0.3
    assert np.abs(np.log(sd) - X / 2).max() < 0.2


def test_the_point_head_reports_the_root_mean_square_of_its_residuals():
    X, _, Y = line(300, rng(5))
    fitted = Regressor((), steps=50).fit(X, Y, rng=rng(6))  # far from converged: the residuals have a mean
    residuals = Y - fitted.predict(X)
    np.testing.assert_allclose(fitted.sd_, np.sqrt(np.mean(residuals**2, axis=0)), rtol=1e-6)
    best = stats.norm.logpdf(Y, fitted.predict(X), fitted.sd_).sum()
    np.testing.assert_allclose(fitted.log_prob(X, Y).sum(), best, rtol=1e-6)
    for factor in (0.98, 1.02):  # of all constant SDs the most likely one
        assert stats.norm.logpdf(Y, fitted.predict(X), factor * fitted.sd_).sum() < best


def test_held_out_likelihood_is_near_the_best_there_is(spread):
    generator = rng(7)
    X = generator.uniform(-2, 2, (2000, 1))
    Y = 3 + np.exp(X / 2) * generator.standard_normal(X.shape)
    truth = stats.norm.logpdf(Y, 3, np.exp(X / 2)).sum(axis=1)
    gap = np.mean(truth - spread.log_prob(X, Y))
    assert -0.01 < gap < 0.02, gap


# One distribution, told three ways ------------------------------------------------------------------------------------


def test_log_prob_is_the_normal_density_at_what_predict_gives(fitted):
    X, _, Y = line(40, rng(8))
    mean, sd = fitted.predict(X, return_sd=True)
    np.testing.assert_allclose(fitted.log_prob(X, Y), stats.norm.logpdf(Y, mean, sd).sum(axis=1), rtol=1e-9)


def test_the_density_integrates_to_one(spread):
    grid = np.linspace(-40, 46, 40001)
    for x in (-1.5, 0.0, 1.5):
        density = np.exp(spread.log_prob(np.full((grid.size, 1), x), grid))
        mean, sd = spread.predict([[x]], return_sd=True)
        assert abs(trapezoid(density, grid) - 1) < 1e-6
        assert abs(trapezoid(density * grid, grid) - mean[0, 0]) < 1e-6
        assert abs(trapezoid(density * (grid - mean[0, 0]) ** 2, grid) - sd[0, 0] ** 2) < 1e-5


def test_draws_have_the_predicted_mean_and_sd(fitted):
    n = 20000
    X = np.tile(line(1, rng(9))[0], (n, 1))
    draws = fitted.sample(X, rng(10))
    mean, sd = (value[0] for value in fitted.predict(X[:1], return_sd=True))
    assert draws.shape == (n, 2)
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * sd / np.sqrt(n)).all()
    assert (np.abs(draws.std(axis=0) / sd - 1) < 5 / np.sqrt(2 * n)).all()
    assert (stats.kstest((draws - mean) / sd, stats.norm.cdf).pvalue > 1e-4).all()
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.05


def test_draws_are_a_function_of_the_generator(fitted):
    X = line(5, rng(11))[0]
    np.testing.assert_array_equal(fitted.sample(X, rng(1)), fitted.sample(X, rng(1)))
    assert (fitted.sample(X, rng(1)) != fitted.sample(X, rng(2))).all()


# Units, dtypes, seeds -------------------------------------------------------------------------------------------------


def short(X, Y, head="gaussian", seed=3, **settings):
    return Regressor((8,), head=head, steps=60, batch_size=32).fit(X, Y, rng=rng(seed), **settings)


@pytest.mark.parametrize("head", ["point", "gaussian"])
def test_other_units_give_the_same_answer_in_those_units(head):
    X, _, Y = line(200, rng(12))
    ours, theirs = short(X, Y, head), short(X * 1e3 - 5, Y * 0.01 + 3, head)
    mean, sd = ours.predict(X, return_sd=True)
    other_mean, other_sd = theirs.predict(X * 1e3 - 5, return_sd=True)
    np.testing.assert_allclose(other_mean, mean * 0.01 + 3, rtol=1e-4)
    np.testing.assert_allclose(other_sd, sd * 0.01, rtol=1e-4)
    jacobian = 2 * np.log(0.01)  # of the two outputs
    np.testing.assert_allclose(theirs.log_prob(X * 1e3 - 5, Y * 0.01 + 3), ours.log_prob(X, Y) - jacobian, atol=1e-3)


def test_lists_float32_integers_and_tensors_are_data_too():
    X = rng(13).integers(-5, 5, (60, 2))
    Y = X @ [[1], [2]] + 7
    expected = short(X.astype(float), Y.astype(float)).predict(X)
    for convert in (np.ndarray.tolist, np.float32, np.asarray, lambda a: tensor(a.astype(float))):
        np.testing.assert_allclose(short(convert(X), convert(Y)).predict(convert(X)), expected, rtol=1e-6)


def test_targets_may_be_flat():
    X, _, Y = line(60, rng(14))
    flat, column = short(X, Y[:, 0]), short(X, Y[:, :1])
    assert flat.predict(X).shape == (60, 1)
    np.testing.assert_array_equal(flat.predict(X), column.predict(X))
    np.testing.assert_array_equal(flat.log_prob(X, Y[:, 0]), column.log_prob(X, Y[:, :1]))


def test_a_constant_input_and_a_constant_target_do_no_harm():
    X, _, Y = line(100, rng(15))
    X[:, 1], Y[:, 0] = 0.1, 42.0
    mean, sd = short(X, Y).predict(X, return_sd=True)
    assert np.isfinite(mean).all() and (sd > 0).all()
    assert np.abs(mean[:, 0] - 42).max() < 1.0


def test_the_sd_has_a_floor_where_there_is_no_noise():
    X = rng(16).uniform(-1, 1, (200, 1))
    fitted = Regressor((16,), head="gaussian", min_sd=0.05, steps=1500).fit(X, 4 * X, rng=rng(17))
    sd = fitted.predict(X, return_sd=True)[1]
    floor = 0.05 * np.std(4 * X)
    assert (sd > 0.999 * floor).all() and np.median(sd) < 1.2 * floor


def test_seeds():
    X, _, Y = line(60, rng(18))
    one, same, other = (short(X, Y, seed=seed).predict(X) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_fitting_again_starts_afresh():
    X, _, Y = line(60, rng(19))
    regressor = Regressor((8,), head="gaussian", steps=60, batch_size=32)
    regressor.fit(X[:, :2], Y[:, 0], rng=rng(5))
    np.testing.assert_array_equal(regressor.fit(X, Y, rng=rng(3)).predict(X), short(X, Y).predict(X))


def test_early_stopping_keeps_the_weights_that_validated_best():
    X, _, Y = line(30, rng(20))
    held_out = line(30, rng(21))[::2]
    fitted = Regressor((64,), steps=3000, batch_size=30).fit(X, Y, rng=rng(22), validation=held_out, patience=3)
    assert fitted.history_.stopped == "patience"
    error = (held_out[1] - fitted.predict(held_out[0])) / fitted.y_scale_.sd
    lowest = min(loss for _, loss in fitted.history_.validation)
    np.testing.assert_allclose(np.mean(error**2), lowest, rtol=1e-5)


def test_dropout_is_active_only_while_training():
    X, _, Y = line(60, rng(23))
    fitted = Regressor((32,), dropout=0.5, steps=20).fit(X, Y, rng=rng(24))
    np.testing.assert_array_equal(fitted.predict(X), fitted.predict(X))
    fitted.network_.train()
    assert (fitted.predict(X) != fitted.predict(X)).any()


# Misuse ---------------------------------------------------------------------------------------------------------------

X, _, Y = line(20, rng(25))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Regressor(head="median"), "head='median'; expected one of point, gaussian"),
        (lambda: Regressor(64), r"hidden=64; expected a list of widths, .*such as \(64, 64\)"),
        (lambda: Regressor((64, 0)), r"hidden=\(64, 0\); expected a list of widths, whole numbers from 1"),
        (lambda: Regressor(activation="tahn"), "activation='tahn'; expected one of identity, tanh"),
        (lambda: Regressor(dropout=1.0), r"dropout=1.0; expected a number in \[0, 1\)"),
        (lambda: Regressor(min_sd=0), "min_sd=0; expected a positive number"),
        (lambda: Regressor(steps=0), "steps=0"),
        (lambda: Regressor(batch_size=0), "Regressor got batch_size=0; expected a whole number, 1 or more"),
        (lambda: Regressor(lr=-1e-3), "Regressor got lr=-0.001; expected a positive number"),
        (lambda: short(X[:, 0], Y), r"X of shape \(20,\); expected \(n, d\): write X\[:, None\]"),
        (lambda: short(X, Y[:19]), "20 rows of X and 19 of Y"),
        (lambda: short(X, np.full_like(Y, np.nan)), r"fit\(\) got 40 value\(s\) that are NaN or infinite in Y"),
        (lambda: short(X, Y, validation=(X[:, :2], Y)), r"validation=.*X of shape \(20, 2\); expected \(n, 3\)"),
        (lambda: short(X, Y, validation=(X, Y[:, 0])), r"validation=.*Y of shape \(20, 1\); expected \(n, 2\)"),
        (lambda: short(X, Y, patience=2), "patience without validation"),
        (lambda: Regressor().predict(X), r"not been fitted yet; call fit\(X, Y, rng=...\) first"),
        (lambda: Regressor().log_prob(X, Y), "not been fitted yet"),
        (lambda: Regressor().sample(X, rng()), "not been fitted yet"),
        (lambda: short(X, Y).predict(X[:, :2]), r"X of shape \(20, 2\); expected \(n, 3\)"),
        (lambda: short(X, Y).predict(X[0]), r"X of shape \(3,\); expected \(n, 3\).*X\[None\] for a single row"),
        (lambda: short(X, Y).log_prob(X, Y[:, 0]), r"Y of shape \(20, 1\); expected \(n, 2\)"),
    ],
)
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("method", ["fit", "sample"])
def test_randomness_comes_from_a_generator(method):
    arguments = {"fit": (X, Y), "sample": (X,)}[method]
    with pytest.raises(TypeError, match=f"Regressor.{method}.. got rng=0; expected a numpy.random.Generator"):
        getattr(short(X, Y), method)(*arguments, rng=0)
