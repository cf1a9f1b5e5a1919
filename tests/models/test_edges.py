"""Every model on data at the edges: finite results or one clear error, never a NaN that spreads."""

import warnings

import numpy as np
import pytest

from minigen import models


def rng(seed=0):
    return np.random.default_rng(seed)


def cloud(n, d):
    return rng(n + d).standard_normal((n, d))


DATA = {
    "one row": cloud(1, 2),
    "two equal rows": np.ones((2, 2)),
    "one feature": cloud(30, 1),
    "one constant feature": cloud(30, 2) * [1, 0] + [0, 3],
    "all constant": np.full((30, 2), -7.0),
    "a variance of 1e-30": cloud(30, 2) * 1e-15,
    "a variance of 1e-30 far from 0": cloud(30, 2) * 1e-15 + 1.0,
    "a large offset": cloud(30, 2) + 1e6,
    "large numbers": cloud(30, 2) * 1e18,
    "one far row": np.concatenate([cloud(29, 2), [[1e6, -1e6]]]),
    "whole numbers": rng(3).integers(0, 5, (30, 2)),
    "a NaN": np.where(np.arange(60).reshape(30, 2) == 7, np.nan, cloud(30, 2)),
    "an infinity": np.where(np.arange(60).reshape(30, 2) == 7, np.inf, cloud(30, 2)),
    "no rows": np.empty((0, 2)),
}
MUST_RAISE = {"a NaN", "an infinity", "no rows"}
SMALL = {"hidden": (8,), "steps": 20, "batch_size": 8}


def regressor(X):
    model = models.Regressor(head="gaussian", **SMALL).fit(X, X[:, :1], rng=rng())
    return model.predict(X, return_sd=True)


def ensemble(X):
    return models.Ensemble(models.Regressor(**SMALL), members=2).fit(X, X[:, :1], rng=rng()).predict(X)


def classifier(make):
    def of(X):
        labels = np.arange(len(X)) % 2
        model = make().fit(X, labels)
        return model.predict_proba(X)

    return of


def mixture(covariance, components=lambda n: max(1, min(3, n)), **settings):
    def of(X):
        model = models.GaussianMixture(components(len(X)), covariance_type=covariance, **settings).fit(X, rng=rng())
        points = model.sample(20, rng())
        return model.score_samples(X), model.predict_proba(X), model.score_samples(points), points, model.bic(X)

    return of


def gan(**settings):
    def of(X):
        model = models.GAN(2, (8,), critic_hidden=(8,), steps=20, batch_size=8, **settings).fit(X, rng=rng())
        return model.sample(9, rng()), model.discriminate(X), model.history_["gradient_norm"]

    return of


def energy_gan(**settings):
    def of(X):
        sizes = {"critic_hidden": (8,), "entropy_hidden": (8,), "steps": 20, "batch_size": 8}
        model = models.EnergyGAN(1, (8,), **sizes, **settings).fit(X, rng=rng())
        z = model.latent_chain(9, rng(), steps=3, temperature=0.1, progress=False)
        entropy = [number for number in model.measure_entropy(9, rng()) if number is not None]
        found = [model.sample(9, rng()), model.energy(X), model.score(X), z, model.generate(z), *entropy]
        return *found, model.history_["generator"], model.likeliest_temperature(X, 9, rng())

    return of


def vae(**settings):
    def of(X):
        model = models.VAE(2, **SMALL, **settings).fit(X, rng=rng())
        return model.sample(9, rng()), model.elbo(X, rng()), model.iwae(X, rng(), 5), *model.encode(X)

    return of


def energy_model(method, start_at_data=True, **settings):
    def of(X):
        model = models.EnergyModel((8,), method=method, steps=20, batch_size=8, chains=16, **settings).fit(X, rng=rng())
        found = [model.energy(X), model.score(X), model.log_prob(X), model.log_Z_, *model.history_.losses.values()]
        if method in ("contrastive_divergence", "persistent"):
            found.append(model.step_size_)
        if method == "persistent":
            found.append(model.chains_)
        if method == "noise_contrastive":
            found.append(model.learned_log_Z_)
        start = X if start_at_data else None
        return *found, model.sample(len(X), rng(), steps=3, start=start, progress=False)

    return of


MODELS = {
    "Regressor": regressor,
    "Ensemble": ensemble,
    "LogisticRegression": classifier(models.LogisticRegression),
    "GaussianDiscriminant": classifier(models.GaussianDiscriminant),
    "GaussianDiscriminant own": classifier(lambda: models.GaussianDiscriminant("own", reg_covar=1e-6)),
    "GaussianMixture full": mixture("full"),
    "GaussianMixture tied": mixture("tied"),
    "GaussianMixture diag": mixture("diag"),
    "GaussianMixture spherical": mixture("spherical"),
    "GaussianMixture from random points": mixture("full", init="random"),
    "GaussianMixture with one component more than rows": mixture("full", lambda n: n + 1),
    "GAN": gan(),
    "GAN with r1": gan(loss="wasserstein", r1=0.1),
    "GAN with gp": gan(loss="wasserstein", gp=1.0),
    "EnergyGAN": energy_gan(),
    "EnergyGAN by InfoGAN": energy_gan(entropy="infogan"),
    "EnergyGAN without entropy": energy_gan(entropy=None),
    "VAE": vae(),
    "VAE with a fixed SD": vae(decoder_sd=0.1),
    "EnergyModel by contrastive divergence": energy_model("contrastive_divergence"),
    "EnergyModel by persistent chains": energy_model("persistent"),
    "EnergyModel by persistent chains with a penalty": energy_model("persistent", alpha=0.01, restart_from="data"),
    "EnergyModel by denoising": energy_model("denoising"),
    "EnergyModel by denoising, sampled from noise": energy_model("denoising", start_at_data=False),
    "EnergyModel by noise contrast": energy_model("noise_contrastive"),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", MODELS)
def test_finite_or_one_clear_error(model, data):
    X = DATA[data]
    before = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", "overflow encountered in dot")  # in the question whether a gradient is finite
        try:
            results = MODELS[model](X)
        except (ValueError, FloatingPointError) as error:
            assert len(str(error)) > 40, f"not a message for people: {error}"
        else:
            assert data not in MUST_RAISE, "no error for data that nothing can be learned from"
            for result in results if isinstance(results, tuple) else (results,):
                assert np.all(np.isfinite(result))
    np.testing.assert_array_equal(X, before)
