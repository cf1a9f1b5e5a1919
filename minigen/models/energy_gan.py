"""The energy GAN: a critic that is an energy, a generator that seeks low energy and high entropy, chains in its z."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .. import ops
from .._support.arguments import check_positive, check_rng, check_size, check_sizes
from ..tape import grad, no_grad, tensor
from .chains import ends, in_data_units, named_kernel
from .entropy import ENTROPIES, exact_entropy, noise_entropy
from .gan import GAN, Game
from .scaling import rows


class Entropy(NamedTuple):
    """Entropies in nats, in data units: `exact` of G(z) with its `standard_error`, `estimate` of G(z) with noise.

    `exact` is per area of the surface on which the samples lie (see `entropy.exact_entropy`), so that the two can be
    compared where there are as many latents as features; None where there are fewer features than latents. `estimate`
    is what the entropy network found, None without one.
    """

    exact: float | None
    standard_error: float | None
    estimate: float | None


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

    def __init__(
        self,
        latent: int = 2,
        hidden: Sequence[int] = (128, 128, 128),
        activation: str = "tanh",
        *,
        entropy: str | None = "jsd",
        entropy_weight: float = 0.03,
        entropy_hidden: Sequence[int] = (128, 128),
        noise_sd: float = 0.05,
        critic_hidden: Sequence[int] = (128, 128, 128),
        critic_activation: str = "leaky_relu",
        r1: float = 0.02,
        critic_steps: int = 5,
        average: float = 0.998,
        steps: int = 10_000,
        batch_size: int = 128,
        lr: float = 2e-3,
        critic_lr: float | None = None,
        betas: tuple[float, float] = (0.5, 0.9),
        cosine_decay: bool = True,
        record_every: int = 100,
    ):
        if entropy is not None and entropy not in ENTROPIES:
            raise ValueError(f"EnergyGAN got entropy={entropy!r}; choose one of {', '.join(ENTROPIES)}, or None")
        self.entropy, self.entropy_hidden = entropy, check_sizes(entropy_hidden, "entropy_hidden", "EnergyGAN")
        self.entropy_weight = check_positive(entropy_weight, "entropy_weight", "EnergyGAN")
        self.noise_sd = check_positive(noise_sd, "noise_sd", "EnergyGAN")
        super().__init__(
            latent,
            hidden,
            activation,
            critic_hidden=critic_hidden,
            critic_activation=critic_activation,
            loss="wasserstein",
            r1=check_positive(r1, "r1", "EnergyGAN"),
            critic_steps=critic_steps,
            average=average,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            critic_lr=critic_lr,
            betas=betas,
            cosine_decay=cosine_decay,
            record_every=record_every,
        )

    def _game(self, rng):
        d = len(self.scale_.mean)
        kind = ENTROPIES.get(self.entropy)
        self.entropy_ = None if kind is None else kind(d, self.latent, self.entropy_hidden, rng=rng)
        return Game(self, rng) if kind is None else _EnergyGame(self, rng)

    def energy(self, X) -> np.ndarray:
        """U at each row of X (n, d): (n,). Its zero has no meaning, and its scale is that of the penalty."""
        return -self.discriminate(X)

    def score(self, X) -> np.ndarray:
        """-grad U at each row of X, (n, d), per data unit."""
        self._check_fitted()
        X = rows(X, "X", self._caller("score"), len(self.scale_.mean))
        x = tensor(self.scale_.to_unit(X).astype(np.float32), requires_grad=True)
        return grad(ops.sum(self.critic_(x)), x).data / self.scale_.sd

    def log_density(self, temperature: float = 1.0) -> Callable:
        """log p of points (n, d) in data units up to a constant, -U(x) / T: for `samplers.mala` and its like.

        A function of float32 tensors, of the weights as they are at the call.
        """
        self._check_fitted()
        temperature = check_positive(temperature, "temperature", self._caller("log_density"))
        return in_data_units(copy.deepcopy(self.critic_), self.scale_, temperature)

    def latent_log_density(self, temperature: float = 1.0, prior: bool = True) -> Callable:
        """log p of latent points (n, k) up to a constant, -U(G(z)) / T - |z|^2 / 2: for `samplers.mala` and its like.

        The temperature T is that of the energy alone. As T grows the chain comes to draw as the generator does.
        Without the `prior`, the second term, nothing keeps z where the generator has learned, and the chain may drift.
        exp(-U(G(z)) / T) N(z) is the energy's own density in x only where G already draws from it but for the factor
        that U adds (Che et al., 2020, "Your GAN is secretly an energy-based model"). A function of float32 tensors, of
        the weights as they are at the call.
        """
        self._check_fitted()
        beta = 1 / check_positive(temperature, "temperature", self._caller("latent_log_density"))
        generator, critic = copy.deepcopy(self.generator_), copy.deepcopy(self.critic_)
        if self._averages():
            generator.flat().data = self.average_.average

        def log_density(z):
            value = critic(generator(z))[:, 0] * np.float32(beta)
            if not prior:
                return value
            return value - ops.sum(ops.square(z), axis=1) * np.float32(0.5)

        return log_density

    def latent_chain(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        kernel: str = "mala",
        steps: int = 100,
        step_size: float | None = None,
        temperature: float = 1.0,
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
        caller = self._caller("latent_chain")
        check_rng(rng, caller)
        n, steps = check_size(n, "n", caller), check_size(steps, "steps", caller)
        moves = named_kernel(kernel, self.latent_log_density(temperature, prior), step_size, caller)
        return ends(moves, rng.standard_normal((n, self.latent), np.float32), steps, rng, progress)

    def likeliest_temperature(self, X, n: int, rng: np.random.Generator) -> float:
        """The temperature for `latent_chain` at which X (m, d) are likeliest, found from n samples of the generator.

        Best from data that the training has not seen: the energy of what it has seen may be too low. It weighs samples
        by one number; what else is wrong with them, such as the shares of modes, may become worse.
        """
        return likeliest_temperature(self.energy(X), self.energy(self.sample(n, rng)))

    def measure_entropy(self, n: int, rng: np.random.Generator) -> Entropy:
        """The entropy of the generator from n of its samples: the exact one, and what the entropy network says.

        Of the generator with the weights of the last step, which that network saw, not with their average.
        """
        self._check_fitted()
        caller = self._caller("measure_entropy")
        check_rng(rng, caller)
        Z = rng.standard_normal((check_size(n, "n", caller), self.latent), np.float32)
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


class _EnergyGame(Game):
    """A game whose generator steps down its energy less its entropy, together with the network that sees the latter."""

    def __init__(self, gan: EnergyGAN, rng: np.random.Generator):
        super().__init__(gan, rng)
        self.for_entropy = self.adam(gan.entropy_, gan.lr, gan.steps)

    def generator_step(self, n, noise_sd):
        gan = self.gan
        self.for_generator.zero_grad()
        self.for_entropy.zero_grad()
        z = ops.normal(self.rng, (n, gan.latent))
        x = self.generator(z)
        energy = self.loss.generator(self.critic(x))
        blurred = x + ops.normal(self.rng, x.shape) * np.float32(gan.noise_sd)
        # Both players seek its minimum: the network, to see the entropy; the generator, to have it.
        entropy = gan.entropy_(blurred, z)
        total = energy + entropy * np.float32(gan.entropy_weight)
        self.learn(total, "generator", self.for_generator, self.for_entropy)
        return energy, entropy
