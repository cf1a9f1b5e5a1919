"""Is a step of the energy game what the formulas say, and do its chains keep the law they are said to keep?"""

import copy

import numpy as np
import pytest
from test_gan import Twin

from minigen import metrics, samplers, targets, tensor
from minigen.models import GAN, EnergyGAN
from minigen.models.energy_gan import EnergyGame, likeliest_temperature
from minigen.models.entropy import ENTROPIES, exact_entropy

EACH = pytest.mark.parametrize("entropy", [None, *ENTROPIES])


def rng(seed=0):
    return np.random.default_rng(seed)


def table(n=64, seed=1):
    """Correlated data (n, 3) of unlike means."""
    return rng(seed).standard_normal((n, 3)) @ rng(2).standard_normal((3, 3)) * 2.0 + [0.0, 10.0, -3.0]


def small(X=None, seed=4, **settings):
    sizes = {"latent": 2, "hidden": (8,), "critic_hidden": (9,), "entropy_hidden": (7,), "steps": 30, "batch_size": 16}
    return EnergyGAN(**{**sizes, **settings}).fit(table() if X is None else X, rng=rng(seed), progress=False)


# --- a step of the game


class EnergyTwin(Twin):
    """The same game in PyTorch, fed the same draws."""

    def __init__(self, torch, model, seed):
        super().__init__(torch, model, seed)
        ours = model.entropy_.statistics if model.entropy == "jsd" else model.entropy_.encoder
        self.observer = self.network(ours)
        self.adams.append(torch.optim.Adam(self.observer.parameters(), lr=model.lr, betas=model.betas))

    def entropy_loss(self, x, z):
        torch = self.torch
        if self.model.entropy == "infogan":
            return ((z - self.observer(x)) ** 2).sum(1).mean() / 2
        log_sigmoid = torch.nn.functional.logsigmoid
        joint, product = (self.observer(torch.hstack([x, latent])) for latent in (z, z.roll(-1, 0)))
        return -log_sigmoid(joint).mean() - log_sigmoid(-product).mean()

    def network(self, ours):
        if not any(getattr(layer, "name", "") == "silu" for layer in ours.layers):
            return super().network(ours)
        ours, silu = copy.deepcopy(ours), self.torch.nn.SiLU()
        for layer in ours.layers:
            if not hasattr(layer, "weight"):
                layer.name = "tanh"
        made = super().network(ours)
        return self.torch.nn.Sequential(*(silu if isinstance(each, self.torch.nn.Tanh) else each for each in made))

    def step(self, *batches):
        torch, model = self.torch, self.model
        for real in map(torch.tensor, batches):
            fake = self.generator(self.normal(len(real), model.latent)).detach()
            loss = self.critic(fake).mean() - self.critic(real).mean()
            self.update(1, loss + model.r1 / 2 * (self.slopes(real) ** 2).sum(1).mean())
        z = self.normal(len(batches[0]), model.latent)
        x = self.generator(z)
        energy = -self.critic(x).mean()
        entropy = self.entropy_loss(x + model.noise_sd * self.normal(*x.shape), z)
        self.observer.zero_grad()
        self.generator.zero_grad()
        (energy + model.entropy_weight * entropy).backward()
        self.adams[0].step()
        self.adams[2].step()
        return loss.item(), energy.item(), entropy.item()


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_three_steps_agree_with_pytorch(entropy):
    torch = pytest.importorskip("torch")
    settings = {"average": 0.0, "cosine_decay": False, "critic_lr": 5e-3, "critic_steps": 2, "entropy_weight": 0.7}
    model = small(steps=1, entropy=entropy, noise_sd=0.3, **settings)
    networks = model.generator_, model.critic_, model.entropy_
    for network in networks:
        network.astype(np.float64).train()
    game, twin = EnergyGame(model, rng(9)), EnergyTwin(torch, model, 9)
    for i in range(3):
        real = [rng(10 * i + j).standard_normal((8, 3)) for j in range(2)]
        losses = game.play(np.asarray(0.0), *real)
        ours = [losses[name].item() for name in ("critic", "generator", "entropy")]
        np.testing.assert_allclose(ours, twin.step(*real), rtol=2e-6)
    for ours, theirs in zip(networks, (twin.generator, twin.critic, twin.observer), strict=True):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=2e-5, atol=2e-7)


def test_without_entropy_it_is_the_gan_with_a_penalty():
    settings = {"hidden": (8,), "activation": "tanh", "critic_hidden": (9,), "steps": 30, "batch_size": 16}
    settings |= {"average": 0.9, "critic_steps": 2, "lr": 1e-3, "r1": 0.3}
    ours = EnergyGAN(2, entropy=None, **settings).fit(table(), rng=rng(4))
    other = GAN(2, loss="wasserstein", **settings).fit(table(), rng=rng(4))
    np.testing.assert_array_equal(ours.sample(9, rng()), other.sample(9, rng()))
    np.testing.assert_array_equal(ours.energy(table()), -other.discriminate(table()))
    assert ours.entropy_ is None and "entropy" not in ours.history_.losses


@EACH
@pytest.mark.filterwarnings("error")
def test_compiled_and_not_compiled_are_equal_to_the_last_bit(entropy, monkeypatch):
    runs = []
    for switch in "10":
        monkeypatch.setenv("MINIGEN_COMPILE", switch)
        model = small(entropy=entropy, record_every=1)
        history = model.history_
        runs.append([*history.losses.values(), model.sample(5, rng(1))])
        names = ["critic", "generator", *([] if entropy is None else ["entropy"]), "gradient_norm"]
        assert list(history.losses) == names and len(history["critic"]) == 30
    for compiled, eager in zip(*runs):
        np.testing.assert_array_equal(compiled, eager)


def test_a_gradient_that_is_not_finite_leaves_both_players_as_they_were():
    model = small(steps=1, average=0.0)
    model.entropy_.statistics[0].weight = np.full(model.entropy_.statistics[0].weight.shape, np.nan)
    before = [network.flat().data.copy() for network in (model.generator_, model.entropy_)]
    with pytest.raises(FloatingPointError, match="the generator's loss is nan at step 1"):
        EnergyGame(model, rng()).generator_step(4, None, np.asarray(0, np.float32))
    for network, weights in zip((model.generator_, model.entropy_), before):
        np.testing.assert_array_equal(network.flat().data, weights)


# --- entropy


def test_measured_entropy_is_in_data_units():
    model = small(X=5 * table()[:, :2], average=0.0)
    Z = rng(3).standard_normal((300, 2), np.float32)
    found = model.measure_entropy(300, rng(3))
    expected, error = exact_entropy(lambda z: model.generator_(z) * np.float32(model.scale_.sd), Z)
    assert abs(found.exact - expected) < 1e-4 and abs(found.standard_error - error) < 1e-5
    assert np.isfinite(found.estimate)


def test_a_surface_in_space_has_an_exact_entropy_and_a_crowded_line_none():
    model = small(average=0.0)
    Z = rng(3).standard_normal((300, 2), np.float32)
    expected, _ = exact_entropy(lambda z: model.generator_(z) * np.float32(model.scale_.sd), Z)
    assert abs(model.measure_entropy(300, rng(3)).exact - expected) < 1e-4
    assert small(X=table()[:, :1]).measure_entropy(50, rng()).exact is None
    assert small(entropy=None).measure_entropy(50, rng()).estimate is None


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_the_entropy_term_spreads_the_samples(entropy):
    """Where the energy hardly counts, samples are spread by it: the mean of three runs."""

    def spread(weight, seed):
        settings = {"steps": 500, "r1": 10.0, "lr": 5e-3, "average": 0.0, "entropy_weight": weight}
        return small(seed=seed, entropy=entropy, **settings).measure_entropy(300, rng()).exact

    with_it, without = (np.mean([spread(weight, seed) for seed in range(3)]) for weight in (30.0, 1e-6))
    assert with_it > without + 0.5


# --- energies and chains


MODEL = small()


def test_score_is_the_gradient_of_minus_energy():
    X, h = table(5), 1e-2
    direction = rng(3).standard_normal(X.shape)
    slope = (MODEL.energy(X - h * direction) - MODEL.energy(X + h * direction)) / (2 * h)
    np.testing.assert_allclose(np.sum(MODEL.score(X) * direction, axis=1), slope, rtol=0.02, atol=2e-3)


def test_the_density_in_data_units_is_minus_the_energy_over_the_temperature():
    X = table(5).astype(np.float32)
    np.testing.assert_allclose(MODEL.log_density(0.2)(tensor(X)).data[:, 0], -5 * MODEL.energy(X), rtol=1e-4, atol=1e-5)
    samplers.check_gradient(MODEL.log_density(0.2), X, rng())


@pytest.mark.parametrize("prior", [True, False])
def test_the_latent_density_is_that_of_the_averaged_generator(prior):
    Z = rng(2).standard_normal((6, 2)).astype(np.float32)
    found = MODEL.latent_log_density(0.5, prior)(tensor(Z)).data
    expected = -2 * MODEL.energy(MODEL.generate(Z)) - prior * np.sum(Z**2, axis=1) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_density_keeps_the_weights_it_was_made_with():
    model = small(steps=2)
    Z = rng().standard_normal((4, 2), np.float32)
    density = model.latent_log_density()
    before = density(tensor(Z)).data.copy()
    model.generator_.flat().data[...] = 0
    model.critic_.flat().data[...] = 0
    np.testing.assert_array_equal(density(tensor(Z)).data, before)


def test_latent_chains_keep_the_law_of_a_grid():
    """Means of functions of z under exp(-U(G(z)) / T) N(z): from the chains, and from a sum over a grid."""
    temperature = 0.02  # at which the energy has a say in this small model
    density = MODEL.latent_log_density(temperature)
    axis = np.linspace(-5, 5, 201)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)
    log_p = density(tensor(grid)).data.astype(np.float64)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    assert abs(p @ np.sum(grid**2, axis=1) - 2) > 0.1 or np.abs(p @ grid).max() > 0.1  # not the prior
    z = MODEL.latent_chain(4000, rng(5), steps=60, temperature=temperature, progress=False)
    for function in (lambda z: z[:, 0], lambda z: z[:, 1], lambda z: np.sum(z**2, axis=1), lambda z: z[:, 0] * z[:, 1]):
        expected = p @ function(grid.astype(np.float64))
        values = function(z.astype(np.float64))
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values))


def test_a_hot_latent_chain_draws_as_the_generator_does():
    z = MODEL.latent_chain(4000, rng(5), steps=40, temperature=1e6, progress=False)
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(4000)
    assert abs(z.var() - 1) < 5 * np.sqrt(2 / 8000)


def test_without_the_prior_the_chain_goes_where_the_generator_never_learned():
    far = [
        np.mean(MODEL.latent_chain(500, rng(5), steps=300, step_size=0.5, prior=prior, progress=False) ** 2)
        for prior in (True, False)
    ]
    assert far[0] < 2 and far[1] > 5


def test_likeliest_temperature_is_that_by_which_the_data_were_drawn():
    # Samples from N(0, 1) and U = 3 x: exp(-U / T) moves their mean to -3 / T.
    dice = rng()
    at_samples = 3 * dice.standard_normal(200_000)
    for mean in (-0.2, -0.5, -1.0):
        found = likeliest_temperature(3 * (dice.standard_normal(200_000) + mean) + 7, at_samples + 7)
        assert found == pytest.approx(-3 / mean, rel=0.05)
    assert likeliest_temperature(at_samples + 1, at_samples) > 1000  # such data ask for no T
    assert np.isfinite(likeliest_temperature(np.zeros(3), np.zeros(3)))


def test_the_models_likeliest_temperature_is_that_of_its_energies():
    found = MODEL.likeliest_temperature(table(), 500, rng(7))
    assert found == likeliest_temperature(MODEL.energy(table()), MODEL.energy(MODEL.sample(500, rng(7))))


def test_truncation_and_temperature_shape_the_latents():
    seen = []
    model = small(steps=1)
    model.generate = lambda Z: seen.append(Z)
    model.sample(4000, rng(), truncation=0.8)
    model.sample(4000, rng(), temperature=0.25)
    model.sample(4000, rng(), temperature=0.25, truncation=0.3)
    assert np.abs(seen[0]).max() <= 0.8 and abs(np.abs(seen[0]).mean() - 0.3810) < 0.01  # of a normal cut at 0.8
    assert abs(seen[1].std() - 0.5) < 0.02
    assert np.abs(seen[2]).max() <= 0.3 + 1e-6 and seen[2].std() < 0.2


def test_it_learns_the_ring():
    target = targets.ring()
    model = EnergyGAN(hidden=(64, 64), critic_hidden=(64, 64), entropy_hidden=(32,), steps=2000, average=0.99)
    model.fit(target.sample(5000, rng(1)), rng=rng(1), progress=False)
    found = metrics.mode_coverage(model.sample(1000, rng(2)), target.modes, target.sd)
    assert found.captured == 8
    energies = model.energy(target.sample(500, rng(3))), model.energy(rng(4).uniform(-3, 3, (500, 2)))
    assert np.mean(energies[0][:, None] < energies[1]) > 0.8  # data lie in the valleys


MISUSE = [
    (lambda: EnergyGAN(entropy="mine"), ValueError, "entropy='mine'", "jsd, infogan or None"),
    (lambda: EnergyGAN(entropy_weight=0), ValueError, "entropy_weight=0", "positive"),
    (lambda: EnergyGAN(noise_sd=0), ValueError, "noise_sd=0", "positive"),
    (lambda: EnergyGAN(r1=0), ValueError, "r1=0", "positive"),
    (lambda: EnergyGAN(entropy_hidden=8), ValueError, "entropy_hidden=8"),
    (lambda: EnergyGAN(critic_steps=0), ValueError, "EnergyGAN", "critic_steps=0"),
    (lambda: EnergyGAN().energy(table()), ValueError, "this EnergyGAN has not been fitted"),
    (lambda: EnergyGAN().latent_log_density(), ValueError, "this EnergyGAN has not been fitted"),
    (lambda: EnergyGAN().fit(table() * np.inf, rng=rng()), ValueError, "EnergyGAN.fit()"),
    (lambda: MODEL.score(table()[:, :2]), ValueError, "EnergyGAN.score()", "(n, 3)"),
    (lambda: MODEL.log_density(0), ValueError, "temperature=0", "positive"),
    (lambda: MODEL.latent_chain(5, rng(), temperature=-1), ValueError, "temperature=-1", "positive"),
    (lambda: MODEL.latent_chain(5, rng(), kernel="hmc"), ValueError, "kernel='hmc'", "mala, ula"),
    (lambda: MODEL.latent_chain(5, rng(), kernel="ula"), ValueError, "give step_size"),
    (lambda: MODEL.latent_chain(5, 3), TypeError, "rng=3"),
    (lambda: MODEL.sample(5, rng(), truncation=1e-9), ValueError, "truncation=1e-09", "at least"),
    (lambda: MODEL.sample(5, rng(), temperature=0), ValueError, "temperature=0", "positive"),
    (lambda: MODEL.measure_entropy(0, rng()), ValueError, "n=0"),
]


@pytest.mark.parametrize("call, error, words", [(call, error, words) for call, error, *words in MISUSE])
def test_misuse(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
