"""Is a step of the game what the formulas say, compiled or not, and does a small GAN learn its data?"""

import copy
import signal

import numpy as np
import pytest

from minigen import ops, optim
from minigen.models import GAN, gan
from minigen.nn import SpectralLinear


def rng(seed=0):
    return np.random.default_rng(seed)


def table(n=64, seed=1):
    """Correlated data (n, 3) of unlike means."""
    return rng(seed).standard_normal((n, 3)) @ rng(2).standard_normal((3, 3)) * 2.0 + [0.0, 10.0, -3.0]


def small(X=None, seed=4, **settings):
    sizes = {"latent": 2, "hidden": (8,), "critic_hidden": (9,), "steps": 30, "batch_size": 16}
    return GAN(**{**sizes, **settings}).fit(table() if X is None else X, rng=rng(seed))


CONFIGURATIONS = {
    "plain": {},
    "minimax, r1 and r2": {"loss": "minimax", "r1": 0.7, "r2": 0.4},
    "maximum likelihood, packed, noisy": {"loss": "maximum_likelihood", "packing": 2, "instance_noise": 0.3, "r1": 1.0},
    "hinge, spectral": {"loss": "hinge", "spectral": True, "critic_steps": 2},
    "gp": {"loss": "wasserstein", "gp": 10.0, "critic_steps": 3, "packing": 4},
    "gp, one-sided": {"loss": "wasserstein", "gp": 10.0, "one_sided": True, "critic_steps": 2, "average": 0.9},
    "clip": {"loss": "wasserstein", "clip": 0.05, "critic_steps": 2, "cosine_decay": False},
}
EACH = pytest.mark.parametrize("name", CONFIGURATIONS)


# One step -------------------------------------------------------------------------------------------------------------


class Twin:
    """The same game in PyTorch: the same networks, losses, penalties and optimisers, fed the same draws."""

    def __init__(self, torch, model, seed):
        self.torch, self.model, self.rng = torch, model, rng(seed)
        self.generator, self.critic = (self.network(net) for net in (model.generator_, model.critic_))
        self.adams = [
            torch.optim.Adam(net.parameters(), lr=lr, betas=model.betas)
            for net, lr in ((self.generator, model.lr), (self.critic, model.critic_lr))
        ]

    def network(self, ours):
        nn, layers = self.torch.nn, []
        for layer in ours.layers:
            if not hasattr(layer, "weight"):
                layers.append({"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.2), "tanh": nn.Tanh()}[layer.name])
                continue
            n_out, n_in = layer.weight.shape
            made = nn.Linear(n_in, n_out, dtype=self.torch.float64)
            with self.torch.no_grad():
                made.weight.copy_(self.torch.tensor(layer.weight.data))
                made.bias.copy_(self.torch.tensor(layer.bias.data))
            if isinstance(layer, SpectralLinear):
                made = nn.utils.parametrizations.spectral_norm(made)
                norm = made.parametrizations.weight[0]
                norm._u.copy_(self.torch.tensor(layer.u))
                norm._v.copy_(self.torch.tensor(layer.v))
            layers.append(made)
        return nn.Sequential(*layers)

    def normal(self, *shape):
        return self.torch.tensor(ops.normal(self.rng, shape).astype(np.float64))

    def seen(self, x, sd):
        if self.model.instance_noise:
            x = x + sd * self.normal(*x.shape)
        return x.reshape(len(x) // self.model.packing, -1)

    def slopes(self, x):
        x = x.detach().requires_grad_()
        (g,) = self.torch.autograd.grad(self.critic(x).sum(), x, create_graph=True)
        return g

    def critic_loss(self, real, fake):
        torch, loss = self.torch, self.model.loss
        if loss == "wasserstein":
            return fake.mean() - real.mean()
        if loss == "hinge":
            return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
        return -torch.nn.functional.logsigmoid(real).mean() - torch.nn.functional.logsigmoid(-fake).mean()

    def generator_loss(self, fake):
        log_sigmoid = self.torch.nn.functional.logsigmoid
        return {
            "minimax": lambda: log_sigmoid(-fake).mean(),
            "non_saturating": lambda: -log_sigmoid(fake).mean(),
            "maximum_likelihood": lambda: -fake.exp().mean(),
        }.get(self.model.loss, lambda: -fake.mean())()

    def step(self, sd, *batches):
        torch, model = self.torch, self.model
        for real in map(torch.tensor, batches):
            fake = self.generator(self.normal(len(real), model.latent)).detach()
            real, fake = self.seen(real, sd), self.seen(fake, sd)
            loss = total = self.critic_loss(self.critic(real), self.critic(fake))
            for weight, x in ((model.r1, real), (model.r2, fake)):
                if weight:
                    total = total + weight / 2 * (self.slopes(x) ** 2).sum(1).mean()
            if model.gp:
                u = torch.tensor(self.rng.random((len(real), 1)))
                excess = self.slopes(u * real + (1 - u) * fake).norm(dim=1) - 1
                total = total + model.gp * ((torch.relu(excess) if model.one_sided else excess) ** 2).mean()
            self.update(1, total)
            if model.clip:
                with torch.no_grad():
                    for p in self.critic.parameters():
                        p.clamp_(-model.clip, model.clip)
        value = self.generator_loss(self.critic(self.seen(self.generator(self.normal(len(batches[0]), 2)), sd)))
        self.update(0, value)
        return loss.item(), value.item()

    def update(self, which, loss):
        self.generator.zero_grad()
        self.critic.zero_grad()
        loss.backward()
        self.adams[which].step()


@EACH
def test_three_steps_agree_with_pytorch(name):
    torch = pytest.importorskip("torch")
    settings = {**CONFIGURATIONS[name], "average": 0.0, "cosine_decay": False, "lr": 2e-3, "critic_lr": 5e-3}
    model = small(steps=1, **settings, activation="tanh")
    for network in (model.generator_, model.critic_):
        network.astype(np.float64).train()
    game, twin = gan.Game(model, rng(9)), Twin(torch, model, 9)
    for i in range(3):
        real = [rng(10 * i + j).standard_normal((8, 3)) for j in range(model.critic_steps)]
        losses = game.play(np.asarray(0.25), *real)
        ours = [losses[name].item() for name in ("critic", "generator")]
        np.testing.assert_allclose(ours, twin.step(0.75 * model.instance_noise, *real), rtol=1e-9)
    for ours, theirs in ((model.generator_, twin.generator), (model.critic_, twin.critic)):
        state = {key: value.numpy() for key, value in theirs.state_dict().items()}
        for key, value in ours.state_dict().items():
            place, part = key.split(".")
            spectral = {"u": "0._u", "v": "0._v", "weight": "original"}
            other = f"{place}.parametrizations.weight.{spectral.get(part)}"
            np.testing.assert_allclose(value, state[other if other in state else key], rtol=1e-7, atol=1e-10)


@EACH
@pytest.mark.filterwarnings("error")
def test_compiled_and_not_compiled_are_equal_to_the_last_bit(name, monkeypatch):
    runs = []
    for switch in "10":
        monkeypatch.setenv("MINIGEN_COMPILE", switch)
        generator = rng(3)
        model = GAN(2, (8,), critic_hidden=(9,), steps=25, batch_size=16, record_every=1, **CONFIGURATIONS[name])
        model.fit(table(), rng=generator)
        history = model.history_
        runs.append(
            {
                **model.generator_.state_dict(),
                **{f"critic {key}": value for key, value in model.critic_.state_dict().items()},
                "history": [history.step, history["generator"], history["critic"], history["gradient_norm"]],
                "samples": model.sample(5, rng(1)),
                "draws": generator.random(),
            }
        )
    for key, value in runs[0].items():
        np.testing.assert_array_equal(value, runs[1][key], err_msg=key)


def test_instance_noise_falls_to_zero(monkeypatch):
    given, shown = [], gan.Game.shown

    def watched(game, x, noise_sd):
        given.append(float(noise_sd))
        return shown(game, x, noise_sd)

    monkeypatch.setenv("MINIGEN_COMPILE", "0")
    monkeypatch.setattr(gan.Game, "shown", watched)
    small(steps=8, instance_noise=0.4)
    np.testing.assert_allclose(given, np.repeat(0.4 * (1 - np.arange(8) / 8), 3), rtol=1e-6)


def test_noise_has_the_sd_it_is_given():
    game = gan.Game(small(steps=1, instance_noise=0.4), rng(1))
    noise = game.shown(np.zeros((20000, 3), np.float32), np.asarray(0.25, np.float32))
    assert abs(noise.std() - 0.25) < 5 * 0.25 / np.sqrt(2 * 60000)


def test_clipping_limits_every_parameter_of_the_critic():
    model = small(loss="wasserstein", clip=0.03, lr=0.01)
    largest = np.abs(model.critic_.flat().data).max()
    np.testing.assert_allclose(largest, 0.03, rtol=1e-6)
    assert np.abs(model.generator_.flat().data).max() > 0.1


def test_a_spectral_critic_has_slopes_of_at_most_one():
    model = small(loss="hinge", spectral=True, steps=200, lr=0.01)
    layers = [layer for layer in model.critic_.layers if hasattr(layer, "weight")]
    assert all(type(layer) is SpectralLinear for layer in layers)
    for layer in layers:
        assert np.linalg.svd(layer.normalised().data)[1][0] < 1.05
    assert max(model.history_["gradient_norm"]) < 1.05


def test_the_recorded_gradient_norm_is_the_mean_over_the_examples():
    X = table(40)
    model = small(X, steps=1, batch_size=40, instance_noise=0.5, critic_activation="tanh")
    assert model.history_.step == [1]
    step, slopes = 1e-2 * model.scale_.sd, []
    for j in range(3):
        shift = step * np.eye(3)[j]
        slopes.append((model.discriminate(X + shift).astype(float) - model.discriminate(X - shift)) / 2e-2)
    np.testing.assert_allclose(model.history_["gradient_norm"], np.linalg.norm(slopes, axis=0).mean(), rtol=1e-3)


# What it learns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_the_mean_and_the_sd_of_a_gaussian(seed):
    X = rng(10 + seed).normal(3.0, 0.7, (4000, 1))
    model = GAN(2, (32, 32), critic_hidden=(32, 32), r1=1.0, average=0.99, steps=2000).fit(X, rng=rng(seed))
    samples = model.sample(20000, rng(seed))
    assert abs(samples.mean() - 3.0) < 0.1 * 0.7
    assert abs(samples.std() / 0.7 - 1) < 0.1


def test_the_critic_finds_the_log_ratio_of_the_densities():
    # A generator without hidden layers, that hardly moves, has a normal distribution that is known.
    X = rng(5).normal(3.0, 0.7, (20000, 1))
    model = GAN(1, (), critic_hidden=(32, 32), critic_activation="tanh", lr=1e-9, critic_lr=3e-3, steps=2500)
    model.fit(X, rng=rng(6))
    layer = model.generator_[0]
    sd = abs(layer.weight.data[0, 0])
    x = np.linspace(1.6, 4.4, 50)[:, None]  # two SDs of the data to either side
    z = model.scale_.to_unit(x)[:, 0]
    ratio = -(z**2) / 2 + ((z - layer.bias.data[0]) / sd) ** 2 / 2 + np.log(sd)
    off = 1 / (1 + np.exp(-model.discriminate(x))) - 1 / (1 + np.exp(-ratio))
    assert np.abs(off).max() < 0.05


# Its face -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", [1, 2, 4])
def test_shapes(packing):
    model = small(packing=packing)
    assert model.critic_[0].weight.shape == (9, 3 * packing)
    assert model.sample(7, rng()).shape == (7, 3)
    assert model.generate(np.zeros((5, 2))).shape == (5, 3)
    assert model.discriminate(table(8)).shape == (8 // packing,)
    history = model.history_
    assert history.step == [1, 11, 21] and history.stopped == "steps" and history.seconds > 0
    assert len(history["generator"]) == len(history["critic"]) == len(history["gradient_norm"]) == 3
    assert not model.critic_.training


def test_fewer_rows_than_a_batch():
    assert small(table(7), packing=2).sample(1, rng()).shape == (1, 3)


def test_packs_are_consecutive_rows():
    model, X = small(packing=2), table(8)
    values = model.discriminate(X)
    np.testing.assert_allclose(model.discriminate(X[[4, 5, 0, 1]]), values[[2, 0]], rtol=1e-6)


def test_samples_come_from_the_averaged_weights():
    weights = []
    model = GAN(2, (8,), critic_hidden=(9,), steps=12, batch_size=16, average=0.8)
    model.fit(table(), rng=rng(4), callbacks=[lambda info: weights.append(info.model.generator_.flat().data.copy())])
    expected = weights[0]
    for each in weights[1:]:
        expected = 0.8 * expected + 0.2 * each
    np.testing.assert_allclose(model.average_.average, expected, rtol=1e-4, atol=1e-6)
    plain = small(steps=12)
    np.testing.assert_array_equal(plain.generator_.flat().data, weights[-1])  # the average has no part in the training
    with_average = model.sample(5, rng(1))
    assert (with_average != plain.sample(5, rng(1))).any()
    plain.generator_.flat().data[...] = model.average_.average
    np.testing.assert_array_equal(plain.sample(5, rng(1)), with_average)
    np.testing.assert_array_equal(model.generator_.flat().data, weights[-1])


def test_seeds():
    X = table()
    one, same, other = (small(X, seed=seed, average=0.9) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.sample(5, rng()), same.sample(5, rng()))
    np.testing.assert_array_equal(one.discriminate(X), same.discriminate(X))
    assert (one.sample(5, rng()) != other.sample(5, rng())).all()
    assert (one.sample(5, rng(3)) != one.sample(5, rng(4))).all()
    np.testing.assert_array_equal(copy.deepcopy(one).sample(5, rng()), one.sample(5, rng()))


def test_in_other_units_it_learns_the_same():
    X = table()
    np.testing.assert_allclose(
        small(32 * X - 8).sample(5, rng(1)), 32 * small(X).sample(5, rng(1)) - 8, rtol=1e-3, atol=1e-2
    )


def test_callbacks_may_sample_and_end_the_training():
    losses = []

    def callback(info):
        assert info.model.sample(3, rng()).shape == (3, 3)
        losses.append((info.losses["generator"], info.losses["critic"]))
        return info.step == 5

    model = GAN(2, (8,), steps=50, batch_size=16, spectral=True, record_every=1)
    model.fit(table(), rng=rng(), callbacks=[callback])
    assert model.history_.stopped == "callback"
    assert losses == list(zip(model.history_["generator"], model.history_["critic"]))
    assert len(losses) == 5


def test_ctrl_c_keeps_what_was_learned():
    def run(callback):
        model = GAN(2, (8,), critic_hidden=(9,), steps=50, batch_size=16)
        return model.fit(table(), rng=rng(), callbacks=[callback])

    before = signal.getsignal(signal.SIGINT)
    pressed = run(lambda info: signal.raise_signal(signal.SIGINT) if info.step == 7 else None)
    assert pressed.history_.stopped == "interrupt" and signal.getsignal(signal.SIGINT) is before
    np.testing.assert_array_equal(pressed.sample(5, rng(1)), run(lambda info: info.step == 7).sample(5, rng(1)))


@pytest.mark.parametrize("switch", ["1", "0"])
@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(switch, monkeypatch):
    monkeypatch.setenv("MINIGEN_COMPILE", switch)
    left = []

    def spoil(info):
        if info.step == 5:
            info.model.generator_.flat().data[...] = 1e30
            left.append(info.model.critic_.flat().data.copy())

    model = GAN(2, (8,), critic_hidden=(9,), steps=50, batch_size=16)
    with pytest.raises(FloatingPointError, match=r"the critic's loss is (nan|inf) at step 6; .* those before it"):
        model.fit(table(), rng=rng(), callbacks=[spoil])
    np.testing.assert_array_equal(model.critic_.flat().data, left[0])
    assert (model.generator_.flat().data == np.float32(1e30)).all()
    assert model.history_.step == [1] and not model.critic_.training


@pytest.mark.filterwarnings("ignore")
def test_the_likelihood_of_a_sure_critic_is_said_not_to_be_finite():
    model = small(loss="maximum_likelihood", steps=1)
    model.critic_[-1].bias = [1000.0]
    game = gan.Game(model, rng())
    before = model.generator_.flat().data.copy()
    with pytest.raises(FloatingPointError, match="the generator's loss is -inf at step 1"):
        game.generator_step(4, None, np.asarray(0, np.float32))
    np.testing.assert_array_equal(model.generator_.flat().data, before)


@pytest.mark.parametrize("X", [np.full((20, 2), 3.0), table(1), np.column_stack([table(20), np.full(20, 5.0)])])
def test_constant_features_and_a_single_row(X):
    assert np.isfinite(small(X, r1=0.1).sample(5, rng())).all()


MODEL = small(steps=2, packing=2)
MISUSE = [
    (lambda: GAN(loss="wgan"), ValueError, "loss='wgan'", "non_saturating"),
    (lambda: GAN(clip=0.01), ValueError, "clip=0.01", "'non_saturating'", 'loss="wasserstein"'),
    (lambda: GAN(loss="wasserstein"), ValueError, "nothing that limits", "gp=10"),
    (lambda: GAN(loss="wasserstein", clip=0), ValueError, "clip=0", "positive"),
    (lambda: GAN(one_sided=True), ValueError, "one_sided=True", "gp=10"),
    (lambda: GAN(r1=-1.0), ValueError, "r1=-1.0", "0 or more"),
    (lambda: GAN(packing=3, batch_size=128), ValueError, "batch_size=128", "packing=3", "129"),
    (lambda: GAN(packing=0), ValueError, "packing=0", "1 or more"),
    (lambda: GAN(critic_steps=1.5), ValueError, "critic_steps=1.5", "whole number"),
    (lambda: GAN(average=1.0), ValueError, "average=1.0", "[0, 1)"),
    (lambda: GAN(instance_noise=np.nan), ValueError, "instance_noise=nan", "0 or more"),
    (lambda: GAN(activation="swish"), ValueError, "'swish'", "leaky_relu"),
    (lambda: GAN(hidden=8), ValueError, "hidden=8", "(64, 64)"),
    (lambda: GAN(lr=0), ValueError, "lr=0", "positive"),
    (lambda: GAN(betas=(0.5, 1.0)), ValueError, "1.0", "[0, 1)"),
    (lambda: GAN().fit(table() * np.nan, rng=rng()), ValueError, "192 value", "NaN", "GAN.fit()"),
    (lambda: GAN().fit(table()[0], rng=rng()), ValueError, "(3,)", "X[:, None]"),
    (lambda: GAN().fit(table(), rng=0), TypeError, "rng=0", "default_rng"),
    (lambda: GAN(packing=4).fit(table(3), rng=rng()), ValueError, "3 rows", "pack of 4"),
    (lambda: GAN().sample(3, rng()), ValueError, "not been fitted", "fit(X, rng=...)"),
    (lambda: GAN().discriminate(table()), ValueError, "not been fitted", "fit(X, rng=...)"),
    (lambda: MODEL.sample(0, rng()), ValueError, "n=0", "1 or more"),
    (lambda: MODEL.sample(3, 0), TypeError, "rng=0", "default_rng"),
    (lambda: MODEL.generate(np.zeros((4, 3))), ValueError, "(4, 3)", "(n, 2)"),
    (lambda: MODEL.discriminate(table(4)[:, :2]), ValueError, "(4, 2)", "(n, 3)"),
    (lambda: MODEL.discriminate(table(3)), ValueError, "3 rows", "packs of 2"),
]


@pytest.mark.parametrize("call, error, words", [(call, error, words) for call, error, *words in MISUSE])
def test_misuse(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_the_average_is_an_optimisers():
    assert isinstance(small(average=0.5, steps=1).average_, optim.WeightAverage)
    assert small(steps=1).average_ is None
