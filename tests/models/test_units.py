"""In another unit, or far from zero, a model learns the same: nothing over- or underflows, nothing is lost."""

import math

import numpy as np
import pytest

from minigen import models, samplers, tensor


def rng(seed=0):
    return np.random.default_rng(seed)


X = rng(0).standard_normal((100, 2)) @ [[1.0, 0.3], [0.0, 0.5]]
SHORT = {"steps": 30, "batch_size": 32}


def regressor(x, unit, offset):
    model = models.Regressor((8,), **SHORT).fit(x, x[:, 0], rng=rng(1))
    mean, sd = model.predict(x[:3], return_sd=True)
    return (mean - offset) / unit, sd / unit, model.log_prob(x[:3], x[:3, 0]) + math.log(unit)


def gaussian_regressor(x, unit, offset):
    model = models.Regressor((8,), head="gaussian", **SHORT).fit(x, x[:, 0], rng=rng(1))
    mean, sd = model.predict(x[:3], return_sd=True)
    return (mean - offset) / unit, sd / unit, (model.sample(x[:3], rng(2)) - offset) / unit


def vae(x, unit, offset):
    model = models.VAE(2, (), **SHORT).fit(x, rng=rng(1))
    densities = model.log_prob(x[:3]), model.elbo(x[:3], rng(2)), model.iwae(x[:3], rng(2), draws=3)
    draws = model.sample(3, rng(2), noise=True)
    return (draws - offset) / unit, model.decoder_sd_ / unit, *(each + 2 * math.log(unit) for each in densities)


def gan(x, unit, offset):
    model = models.GAN(2, (8,), critic_hidden=(8,), average=0.5, **SHORT).fit(x, rng=rng(1))
    return (model.sample(3, rng(2)) - offset) / unit, model.discriminate(x[:3])


def energy_gan(x, unit, offset):
    model = models.EnergyGAN(2, (8,), critic_hidden=(8,), critic_steps=1, **SHORT).fit(x, rng=rng(1))
    exact = model.measure_entropy(50, rng(2)).exact - 2 * math.log(unit)
    return (
        model.energy(x[:3]),
        model.score(x[:3]) * unit,
        [exact],
        model.latent_chain(3, rng(3), steps=3, progress=False),
    )


def energy_model(x, unit, offset):
    model = models.EnergyModel((8,), chains=16, **SHORT).fit(x, rng=rng(1))
    draws = model.sample(3, rng(2), steps=3, progress=False)
    found = model.energy(x[:3]), model.score(x[:3]) * unit, (model.chains_[:3] - offset) / unit, (draws - offset) / unit
    return *found, model.log_prob(x[:3]) + 2 * math.log(unit), model.log_density()(tensor(x[:3])).data


def ensemble(x, unit, offset):
    model = models.Ensemble(models.Regressor((8,), **SHORT), 2).fit(x, x[:, :1], rng=rng(1))
    mean, sd = model.predict(x[:3], return_sd=True)
    return (mean - offset) / unit, sd / unit, model.disagreement(x[:3]) / unit


EACH = pytest.mark.parametrize("learn", [regressor, gaussian_regressor, vae, gan, energy_gan, energy_model, ensemble])


@EACH
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("power", [-1000, -565, -40, 40, 515, 1000])
def test_in_another_unit_it_learns_the_same_to_rounding(learn, power):
    unit = 2.0**power
    for ours, theirs in zip(learn(X * unit, unit, 0.0), learn(X, 1.0, 0.0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@EACH
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("offset", [1e6, -(2.0**33)])
def test_far_from_zero_it_learns_the_same_to_what_the_data_hold(learn, offset):
    x = np.round(X * 2.0**10) / 2.0**10  # so that the offset takes nothing away
    for ours, theirs in zip(learn(x + offset, 1.0, offset), learn(x, 1.0, 0.0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=2e-3)


def test_data_that_no_float_can_hold_the_differences_of_are_refused():
    for make in (models.Regressor, models.VAE, models.GAN, models.EnergyModel):
        x = np.column_stack([np.repeat([1.7e308, -1.7e308], [9, 1]), np.arange(10)])
        with pytest.raises(ValueError, match=r"up to 1.7e\+308 .*another unit"):
            make(steps=1).fit(x, *([x[:, 1]] if make is models.Regressor else []), rng=rng())


def test_a_density_is_not_asked_in_float32_of_what_float32_cannot_tell_apart():
    for x in (X + 1e8, X * 1e-40, X * 1e60):
        model = models.EnergyModel((8,), chains=16, **SHORT).fit(x, rng=rng(1))
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"float32 points.*float64 positions"):
            model.log_density()(tensor(x.astype(np.float32)))
        kernel = samplers.mala(model.log_density(), 0.1 * float(np.min(model.scale_.sd)) ** 2)
        draws, _ = samplers.sample(kernel, x[:4], 5, rng(), progress=False)
        assert np.isfinite(model.energy(draws.reshape(-1, 2))).all() and draws.dtype == np.float64
