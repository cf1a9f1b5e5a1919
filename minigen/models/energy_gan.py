"""The energy GAN: a critic that is an energy, a generator that seeks low energy and high entropy, chains in its z."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import KW_ONLY, field
from typing import Literal, NamedTuple

import numpy as np

from .. import ops
from .._support.arguments import Count, Fraction, LikeData, Positive, Rng, Widths, checked, settings
from ..tape import Tensor, grad, no_grad, tensor
from ..training import Networks, descend
from .chain_draws import KernelName, ends, in_data_units, kernel_of
from .entropy import ENTROPIES, exact_entropy, noise_entropy
from .gan import ADVICE, GAN, Game
from .networks import ActivationName


class Entropy(NamedTuple):
    """Entropies in nats, in data units: `exact` of G(z) with its `standard_error`, `estimate` of G(z) with noise.

    `exact` is per area of the surface on which the samples lie (see `entropy.exact_entropy`), so that the two can be
    compared where there are as many latents as features; None where there are fewer features than latents. `estimate`
    is what the entropy network found, None without one.
    """

    exact: float | None
    standard_error: float | None
    estimate: float | None


@settings
class EnergyGAN(GAN):
    """An energy U and a generator G of its samples, trained against each other (Kumar et al., 2019).

        U minimises  mean U(data) - mean U(G(z)) + r1 mean |grad U(data)|^2 / 2
        G minimises  mean U(G(z)) - entropy_weight H(G(z) + noise)

    It is the GAN with the loss "wasserstein" whose critic is -U, and an entropy added: U falls where data are and rises
    where samples are, until the penalty holds it. Data are scaled inside as in `GAN`. The scale of U is thereby set by
    the penalty, not by the data: exp(-U) is no calibrated density, and its temperature has to be chosen. With the true
    entropy in nats the best generator would draw from exp(-U / entropy_weight) / Z: the weight is a temperature too.

    Parameters
    ----------
    entropy : how H is seen: "jsd", by a network that tells pairs (x, z) that belong together from others; "infogan", by
        one that guesses z from x; None, not at all. `models.entropy` has the formulas.
    entropy_weight : of H, in units of the energy.
    entropy_hidden : widths of that network's hidden layers.
    noise_sd : SD, in scaled data, of the normal noise added to samples before that network sees them. The critic sees
        them without. It is the finest detail whose entropy counts; without noise the network sees no volume at all.
    latent, hidden, activation, critic_hidden, critic_activation, r1, critic_steps, average, steps, batch_size, lr,
        critic_lr, betas, cosine_decay, record_every : as in `GAN`; the entropy network steps with the generator.

    After `fit`: what a `GAN` has, and `entropy_`, the network, or None.
    """

    latent: Count = 2
    hidden: Widths = (128, 128, 128)
    activation: ActivationName = "tanh"
    _: KW_ONLY
    entropy: Literal["jsd", "infogan"] | None = "jsd"
    entropy_weight: Positive = 0.03
    entropy_hidden: Widths = (128, 128)
    noise_sd: Positive = 0.05
    critic_hidden: Widths = (128, 128, 128)
    r1: Positive = 0.02
    critic_steps: Count = 5
    average: Fraction = 0.998
    steps: Count = 10_000
    lr: Positive = 2e-3
    record_every: Count = 100
    # What a GAN can be given and this one cannot.
    loss: str = field(default="wasserstein", init=False)
    gp: float = field(default=0.0, init=False)
    one_sided: bool = field(default=False, init=False)
    r2: float = field(default=0.0, init=False)
    clip: None = field(default=None, init=False)
    spectral: bool = field(default=False, init=False)
    packing: int = field(default=1, init=False)
    instance_noise: float = field(default=0.0, init=False)

    def _game(self, rng: np.random.Generator) -> Game:
        if self.entropy is None:
            self.entropy_ = None
            return Game(self, rng)
        self.entropy_ = ENTROPIES[self.entropy](len(self.scale_.mean), self.latent, self.entropy_hidden, rng=rng)
        return EnergyGame(self, rng)

    @checked
    def energy(self, X: LikeData) -> np.ndarray:
        """U at each row of X (n, d): (n,). Its zero has no meaning, and its scale is that of the penalty."""
        return -self.discriminate(X)

    @checked
    def score(self, X: LikeData) -> np.ndarray:
        """-grad U at each row of X, (n, d), per data unit."""
        x = tensor(self.scale_.to_unit(X).astype(np.float32), requires_grad=True)
        return grad(ops.sum(self.critic_(x)), x).data / self.scale_.sd

    @checked
    def log_density(self, temperature: Positive = 1.0) -> Callable:
        """log p of points (n, d) in data units up to a constant, -U(x) / T: for `samplers.mala` and its like.

        A function of tensors, float32 or float64, of the weights as they are at the call.
        """
        self._check_fitted()
        return in_data_units(copy.deepcopy(self.critic_), self.scale_, temperature)

    @checked
    def latent_log_density(self, temperature: Positive = 1.0, prior: bool = True) -> Callable:
        """log p of latent points (n, k) up to a constant, -U(G(z)) / T - |z|^2 / 2: for `samplers.mala` and its like.

        The temperature T is that of the energy alone. As T grows the chain comes to draw as the generator does.
        Without the `prior`, the second term, nothing keeps z where the generator has learned, and the chain may drift.
        exp(-U(G(z)) / T) N(z) is the energy's own density in x only where G already draws from it but for the factor
        that U adds (Che et al., 2020, "Your GAN is secretly an energy-based model"). A function of float32 tensors, of
        the weights as they are at the call.
        """
        self._check_fitted()
        beta = np.float32(1 / temperature)
        generator, critic = copy.deepcopy(self.sampling_generator()), copy.deepcopy(self.critic_)

        def log_density(z):
            value = critic(generator(z))[:, 0] * beta
            return value - 0.5 * ops.sum(ops.square(z), axis=1) if prior else value

        return log_density

    @checked
    def latent_chain(
        self,
        n: Count,
        rng: Rng,
        *,
        kernel: KernelName = "mala",
        steps: Count = 100,
        step_size: Positive | None = None,
        temperature: Positive = 1.0,
        prior: bool = True,
        progress: bool = True,
    ) -> np.ndarray:
        """n latent points (n, k), each the end of a chain of its own from N(0, I); `generate` makes examples of them.

        Parameters
        ----------
        kernel : "mala", or "ula", whose law is off by a term linear in the step size.
        steps : of each chain; as many more before them when the step size is to be found.
        step_size : see `samplers.mala`; None is found by `samplers.adapt`, for "mala" only.
        temperature, prior : see `latent_log_density`.

        Ctrl-C ends the chains where they are, with a warning.
        """
        self._check_fitted()
        moves = kernel_of(kernel, self.latent_log_density(temperature, prior), step_size)
        return ends(moves, rng.standard_normal((n, self.latent), np.float32), steps, rng, progress)

    @checked
    def likeliest_temperature(self, X: LikeData, n: Count, rng: Rng) -> float:
        """The temperature for `latent_chain` at which X (m, d) are likeliest, found from n samples of the generator.

        Best from data that the training has not seen: the energy of what it has seen may be too low. It weighs samples
        by one number; what else is wrong with them, such as the shares of modes, may become worse.
        """
        return likeliest_temperature(self.energy(X), self.energy(self.sample(n, rng)))

    @checked
    def measure_entropy(self, n: Count, rng: Rng) -> Entropy:
        """The entropy of the generator from n of its samples: the exact one, and what the entropy network says.

        Of the generator with the weights of the last step, which that network saw, not with their average.
        """
        self._check_fitted()
        Z = rng.standard_normal((n, self.latent), np.float32)
        d = len(self.scale_.mean)
        log_units = float(np.sum(np.log(np.broadcast_to(self.scale_.sd, d))))
        exact = error = estimate = None
        if d >= self.latent:
            exact, error = exact_entropy(self.generator_, Z)
            exact += log_units * self.latent / d
        if self.entropy_ is not None:
            with no_grad():
                x = self.generator_(Z).data
            x = x + np.float32(self.noise_sd) * rng.standard_normal(x.shape, np.float32)
            estimate = self.entropy_.information(x, Z) + noise_entropy(d, self.noise_sd) + log_units
        return Entropy(exact, error, estimate)


def likeliest_temperature(at_data: np.ndarray, at_samples: np.ndarray) -> float:
    """The T > 0 for which data are likeliest under q(x) exp(-U(x) / T) / Z, given U at data and at samples of q.

    Where the likelihood is greatest the mean energy under that density, found by weighting the samples, is that of the
    data. Data of higher energy than the samples ask for no T at all; they get a very high one, which changes nothing.
    """
    unit = float(np.std(at_samples)) or 1.0
    excess = (np.asarray(at_samples, np.float64) - np.mean(at_data, dtype=np.float64)) / unit
    low, high = 1e-3, 10.0  # 1 / T, per SD of the energy
    for _ in range(40):
        middle = (low + high) / 2
        weights = np.exp(-middle * (excess - excess.min()))
        low, high = (middle, high) if weights @ excess > 0 else (low, middle)
    return unit / low


class EnergyGame(Game):
    """A game whose generator steps down its energy less its entropy, together with the network that sees the latter."""

    def __init__(self, gan: EnergyGAN, rng: np.random.Generator):
        super().__init__(gan, rng)
        self.for_entropy = self.adam(gan.entropy_, gan.lr, gan.steps)

    def parts(self) -> dict[str, object]:
        """What changes in a step, for a checkpoint."""
        networks = Networks(generator=self.generator, critic=self.critic, entropy=self.gan.entropy_)
        return {**super().parts(), "module": networks, "entropy_optimizer": self.for_entropy}

    def generator_step(self, n: int, noise_sd: np.ndarray, number: np.ndarray) -> dict[str, Tensor]:
        """Teach the generator to make examples of low energy and high entropy, and the network to see the latter."""
        gan = self.gan
        z = ops.normal(self.rng, (n, gan.latent))
        x = self.generator(z)
        energy = self.loss.generator(self.critic(x))
        blurred = x + gan.noise_sd * ops.normal(self.rng, x.shape)
        # Both players seek its minimum: the network, to see the entropy; the generator, to have it.
        entropy = gan.entropy_(blurred, z)
        total = energy + gan.entropy_weight * entropy
        descend(total, number, self.for_generator, self.for_entropy, name="generator's loss", advice=ADVICE)
        return {"generator": energy, "entropy": entropy}
