"""The generative adversarial network: a generator trained against a critic that tells its samples from the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import check_fraction, check_positive, check_rng, check_size, check_sizes
from ..compile import compile as compiled
from ..tape import no_grad, tensor
from ..training import Loop, Minibatches, not_finite
from ..watching import act
from .adversarial import LOSSES, input_gradient, interpolates, packed, unit_norm_penalty, zero_centred_penalty
from .scaling import overall, rows

LEAST_TRUNCATION = 0.01  # in SDs: below it drawing again takes too long
SLOPE = 0.2  # of leaky_relu below zero (Radford et al., 2016)


@dataclass
class GANHistory:
    """What happened during training, for every recorded step: lists of one length.

    `generator_loss` and `critic_loss` (the last of the step) are without the penalties; `gradient_norm` is the mean
    norm of the critic's gradient at the step's real examples, in scaled data and without instance noise.
    `entropy_loss` is empty but for an `EnergyGAN`. `seconds` is the time taken, `stopped` says why training ended:
    "steps", "callback" or "interrupt".
    """

    step: list[int] = field(default_factory=list)
    generator_loss: list[float] = field(default_factory=list)
    critic_loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    entropy_loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = "steps"


@dataclass(frozen=True)
class GANStep:
    """What a callback is given after each step; a callback that returns True ends the training.

    `gan` can be asked for samples; its `history_` is that of the training so far.
    """

    step: int
    generator_loss: float
    critic_loss: float
    gan: GAN


class GAN:
    """A generator of `latent` standard normal variables and a critic, both MLPs (Goodfellow et al., 2014).

    Data are brought to mean 0 and one SD for all features inside; whatever is said of the critic's inputs is meant in
    that scale. `leaky_relu` has the slope 0.2.

    Parameters
    ----------
    latent : number of latent variables k.
    hidden, activation : widths of the generator's hidden layers, and what follows each.
    critic_hidden, critic_activation : the same for the critic.
    loss : "minimax", "non_saturating", "maximum_likelihood", "hinge" or "wasserstein"; `models.adversarial` has the
        formulas.
    gp : weight of the penalty (|g| - 1)^2 on the critic's gradient g between real and fake examples (Gulrajani et al.,
        2017). With `one_sided` it counts only where |g| > 1; in one or two dimensions that is the better choice, as
        there a critic can hardly turn its slope around without passing through slopes below 1.
    r1, r2 : weights of |g|^2 / 2 at the real and at the fake examples (Mescheder et al., 2018).
    clip : after each step of the critic its parameters are limited to [-clip, clip] (Arjovsky et al., 2017); for
        "wasserstein" only.
    spectral : critic's weights divided by their largest singular value (Miyato et al., 2018).
    packing : how many examples the critic sees side by side (PacGAN; Lin et al., 2018); it divides `batch_size`.
    critic_steps : how many steps the critic makes, each on new data, before one of the generator.
    instance_noise : SD of the normal noise added to all the critic sees, falling linearly to 0 over the training
        (Soenderby et al., 2017).
    average : decay of a running average of the generator's weights, which `sample` then uses; 0 for none.
    steps, batch_size : steps of the generator, and examples, not packs, in each minibatch.
    lr, critic_lr, betas, cosine_decay : Adam's step sizes for generator and critic (None: the same), its betas, and
        whether the step sizes fall to 0 along half a cosine.
    record_every : each so many steps an entry is made in `history_`, the first step among them.

    After `fit`: `generator_`, `critic_`, `history_`, `scale_`, and `average_`, an `optim.WeightAverage` or None.
    """

    def __init__(
        self,
        latent: int = 8,
        hidden: Sequence[int] = (128, 128),
        activation: str = "relu",
        *,
        critic_hidden: Sequence[int] = (128, 128),
        critic_activation: str = "leaky_relu",
        loss: str = "non_saturating",
        gp: float = 0.0,
        one_sided: bool = False,
        r1: float = 0.0,
        r2: float = 0.0,
        clip: float | None = None,
        spectral: bool = False,
        packing: int = 1,
        critic_steps: int = 1,
        instance_noise: float = 0.0,
        average: float = 0.0,
        steps: int = 5000,
        batch_size: int = 128,
        lr: float = 1e-3,
        critic_lr: float | None = None,
        betas: tuple[float, float] = (0.5, 0.9),
        cosine_decay: bool = True,
        record_every: int = 10,
    ):
        caller = type(self).__name__
        if loss not in LOSSES:
            raise ValueError(f"{caller} got loss={loss!r}; choose one of {', '.join(LOSSES)}")
        if clip is not None and loss != "wasserstein":
            raise ValueError(f'GAN got clip={clip!r} with loss={loss!r}; clipping goes with loss="wasserstein"')
        if one_sided and not gp:
            raise ValueError(
                f"{caller} got one_sided=True without the penalty it belongs to; give its weight, as gp=10"
            )
        self.latent = check_size(latent, "latent", caller)
        for name in (activation, critic_activation):
            nn.Activation(name)  # raises here, and not only in fit(), for a name that is not known
        self.hidden, self.activation = check_sizes(hidden, "hidden", caller), activation
        self.critic_hidden = check_sizes(critic_hidden, "critic_hidden", caller)
        self.critic_activation, self.loss, self.one_sided, self.spectral = critic_activation, loss, one_sided, spectral
        self.gp, self.r1, self.r2 = (
            check_positive(weight, name, caller, zero=True) for name, weight in (("gp", gp), ("r1", r1), ("r2", r2))
        )
        self.clip = None if clip is None else check_positive(clip, "clip", caller)
        if loss == "wasserstein" and not (self.gp or self.r1 or self.r2 or clip or spectral):
            raise ValueError(
                f'{caller} got loss="wasserstein" and nothing that limits the critic, whose loss then has no least '
                "value; give one of gp=10, r1=0.1, r2, clip=0.01, spectral=True"
            )
        self.packing = check_size(packing, "packing", caller)
        self.critic_steps = check_size(critic_steps, "critic_steps", caller)
        self.instance_noise = check_positive(instance_noise, "instance_noise", caller, zero=True)
        self.average = check_fraction(average, "average", caller)
        self.steps, self.batch_size = check_size(steps, "steps", caller), check_size(batch_size, "batch_size", caller)
        if self.batch_size % self.packing:
            raise ValueError(
                f"{caller} got batch_size={batch_size} and packing={packing}; a batch must be a whole number of packs, "
                f"such as {self.packing * math.ceil(self.batch_size / self.packing)}"
            )
        self.lr = check_positive(lr, "lr", caller)
        self.critic_lr = None if critic_lr is None else check_positive(critic_lr, "critic_lr", caller)
        self.betas, self.cosine_decay = optim.check_betas(betas, caller), cosine_decay
        self.record_every = check_size(record_every, "record_every", caller)

    def fit(
        self,
        X,
        *,
        rng: np.random.Generator,
        progress: bool | None = None,
        callbacks: Sequence[Callable[[GANStep], bool | None]] = (),
    ) -> GAN:
        """Learn from X (n, d); returns the GAN.

        `progress` shows a bar, by default only on a terminal; `callbacks` are called with a `GANStep` after each step.
        Ctrl-C ends the training after the step under way and keeps what was learned, a second one interrupts at once.

        Raises FloatingPointError when a loss or its gradient is not finite: before the weights that it was to change
        are touched, so that both networks are still finite.
        """
        caller = self._caller("fit")
        check_rng(rng, caller)
        X = rows(X, "X", caller)
        if len(X) < self.packing:
            raise ValueError(f"{caller} got {len(X)} rows, fewer than one pack of {self.packing}; give more data")
        self.scale_, d = overall(X), X.shape[1]
        data = self.scale_.to_unit(X).astype(np.float32)
        self.generator_ = _mlp([self.latent, *self.hidden, d], self.activation, nn.Linear, rng)
        linear = nn.SpectralLinear if self.spectral else nn.Linear
        self.critic_ = _mlp([self.packing * d, *self.critic_hidden, 1], self.critic_activation, linear, rng)
        self.average_ = optim.WeightAverage(self.generator_, self.average) if self.average else None
        self.history_ = history = GANHistory()
        whole_packs = len(data) - len(data) % self.packing
        batches = Minibatches(len(data), min(self.batch_size, whole_packs), rng)
        game = self._game(rng)
        play, slope = compiled(game.play, strict=False), compiled(game.slope, strict=False)
        try:
            with Loop(self.steps, history, type(self).__name__, progress, callbacks) as loop:
                while loop.goes_on():
                    noise_sd = self.instance_noise * (1 - loop.step / self.steps)
                    real = [np.take(data, batches.draw(), axis=0) for _ in range(self.critic_steps)]
                    self.critic_.train()
                    losses = [loss.item() for loss in play(np.asarray(noise_sd, np.float32), *real)]
                    critic_loss, generator_loss, *entropy_loss = losses
                    self.critic_.eval()
                    if self.average_ is not None:
                        self.average_.update()
                    if loop.step % self.record_every == 0:
                        history.step.append(loop.step + 1)
                        history.generator_loss.append(generator_loss)
                        history.critic_loss.append(critic_loss)
                        history.gradient_norm.append(slope(real[-1]).item())
                        history.entropy_loss.extend(entropy_loss)
                    game.step += 1
                    loop.count(generator=generator_loss, critic=critic_loss)
                    loop.look_round(GANStep, loop.step, generator_loss, critic_loss, self)
        finally:
            self.critic_.eval()
            self.generator_.eval()
        return self

    def sample(
        self, n: int, rng: np.random.Generator, *, truncation: float | None = None, temperature: float = 1.0
    ) -> np.ndarray:
        """n draws (n, d), by the averaged generator if there is one.

        Parameters
        ----------
        truncation : each latent variable beyond +-truncation is drawn again: more typical examples, and fewer kinds of
            them (Brock et al., 2019, "the truncation trick").
        temperature : variance of the latent variables, which below 1 does much the same.
        """
        self._check_fitted()
        caller = self._caller("sample")
        check_rng(rng, caller)
        temperature = check_positive(temperature, "temperature", caller)
        Z = rng.standard_normal((check_size(n, "n", caller), self.latent), np.float32)
        if truncation is not None:
            limit = check_positive(truncation, "truncation", caller) / math.sqrt(temperature)
            if limit < LEAST_TRUNCATION:
                raise ValueError(
                    f"{caller} got truncation={truncation!r}, in which hardly a latent variable falls; give at least "
                    f"{LEAST_TRUNCATION * math.sqrt(temperature):.3g}"
                )
            while (beyond := np.abs(Z) > limit).any():
                Z[beyond] = rng.standard_normal(np.count_nonzero(beyond), np.float32)
        return self.generate(Z * math.sqrt(temperature))

    def generate(self, Z) -> np.ndarray:
        """What the generator that `sample` uses makes of latent points Z (n, k): (n, d)."""
        self._check_fitted()
        Z = rows(Z, "Z", self._caller("generate"), self.latent).astype(np.float32)
        with no_grad(), self.average_.applied() if self._averages() else nullcontext():
            return self.scale_.from_unit(self.generator_(Z).data)

    def discriminate(self, X) -> np.ndarray:
        """The critic's value for each row of X (n, d): (n,).

        For the losses "minimax", "non_saturating" and "maximum_likelihood" it is the logit of being real, which for the
        best critic is log p(x) / q(x) of data over samples; for "hinge" and "wasserstein" a number without a unit.
        With packing m, n is a multiple of m, and there is one value for each m consecutive rows: (n / m,).
        """
        self._check_fitted()
        X = rows(X, "X", self._caller("discriminate"), len(self.scale_.mean))
        if len(X) % self.packing:
            raise ValueError(
                f"{self._caller('discriminate')} got {len(X)} rows; this critic sees packs of {self.packing}: give a "
                "multiple of it"
            )
        with no_grad():
            return self.critic_(packed(self.scale_.to_unit(X).astype(np.float32), self.packing)).data[:, 0]

    def _check_fitted(self):
        if not hasattr(self, "history_"):
            raise ValueError(f"this {type(self).__name__} has not been fitted yet; call fit(X, rng=...) first")

    def _averages(self) -> bool:
        """Whether there is an average to sample with; in the callback of the first step there is none yet."""
        return self.average_ is not None and self.average_.average is not None

    def _caller(self, method: str) -> str:
        return f"{type(self).__name__}.{method}()"

    def _game(self, rng) -> Game:
        return Game(self, rng)


def _mlp(sizes, activation, linear, rng) -> nn.MLP:
    return nn.MLP(sizes, activation, rng=rng, linear=linear, **({"slope": SLOPE} if activation == "leaky_relu" else {}))


class Game:
    """One step of both players; `play` and `slope` are what is compiled. `step` counts the steps done."""

    def __init__(self, gan: GAN, rng: np.random.Generator):
        self.gan, self.rng, self.step = gan, rng, 0
        self.generator, self.critic = gan.generator_, gan.critic_
        self.loss = LOSSES[gan.loss]

        self.for_generator = self.adam(self.generator, gan.lr, gan.steps)
        critic_lr = gan.lr if gan.critic_lr is None else gan.critic_lr
        self.for_critic = self.adam(self.critic, critic_lr, gan.steps * gan.critic_steps)

    def adam(self, module, lr, steps):
        return optim.Adam(module, optim.cosine_decay(lr, steps) if self.gan.cosine_decay else lr, betas=self.gan.betas)

    def play(self, noise_sd, *real):
        """A step of the critic for each minibatch of real examples, then one of the generator: their losses."""
        for x in real:
            critic_loss = self._critic_step(x, noise_sd)
        return critic_loss, *self.generator_step(real[-1].shape[0], noise_sd)

    def slope(self, real):
        """Mean norm of the critic's gradient at the real examples."""
        x = tensor(packed(real, self.gan.packing), requires_grad=True)
        return ops.mean(ops.norm(input_gradient(self.critic(x), x).detach(), axis=1))

    def _critic_step(self, real, noise_sd):
        gan = self.gan
        self.for_critic.zero_grad()
        with no_grad():
            fake = self._fakes(real.shape[0]).data
        real, fake = self._shown(real, noise_sd), self._shown(fake, noise_sd)
        at_real, at_fake = tensor(real, requires_grad=gan.r1 > 0), tensor(fake, requires_grad=gan.r2 > 0)
        on_real, on_fake = self.critic(at_real), self.critic(at_fake)
        total = loss = self.loss.critic(on_real, on_fake)
        if gan.r1:
            total = total + zero_centred_penalty(input_gradient(on_real, at_real)) * gan.r1
        if gan.r2:
            total = total + zero_centred_penalty(input_gradient(on_fake, at_fake)) * gan.r2
        if gan.gp:
            between = tensor(interpolates(real, fake, self.rng), requires_grad=True)
            gradient = input_gradient(self.critic(between), between)
            total = total + unit_norm_penalty(gradient, gan.one_sided) * gan.gp
        self.learn(total, "critic", self.for_critic)
        if gan.clip is not None:
            flat = self.critic.flat()
            act(_clip, flat, gan.clip, changes=(flat.data,))
        return loss

    def generator_step(self, n, noise_sd):
        """A step of the generator: a tuple of losses to be recorded, its own first."""
        self.for_generator.zero_grad()
        loss = self.loss.generator(self.critic(self._shown(self._fakes(n), noise_sd)))
        self.learn(loss, "generator", self.for_generator)
        return (loss,)

    def _fakes(self, n):
        return self.generator(ops.normal(self.rng, (n, self.gan.latent)))

    def _shown(self, x, noise_sd):
        """Examples as the critic sees them: with instance noise, and packed."""
        if self.gan.instance_noise:
            x = x + ops.normal(self.rng, x.shape) * noise_sd
        return packed(x, self.gan.packing)

    def learn(self, loss, player, *optimizers):
        """Step down the gradient of a loss; raises FloatingPointError, before, if one of the two is not finite."""
        loss.backward([p for optimizer in optimizers for p in optimizer.module.parameters()])
        for optimizer in optimizers:
            act(self._check_finite, loss.data, optimizer.module.flat().grad, player)
        for optimizer in optimizers:
            optimizer.step()

    def _check_finite(self, loss, gradient, player):
        if trouble := not_finite(loss, gradient, f"{player}'s loss"):
            raise FloatingPointError(
                f"{self.gan._caller('fit')}: {trouble} at step {self.step + 1}; the weights are those before it. "
                "A smaller lr, or a penalty such as r1=0.1, may help; minigen.check.debug() finds the operation"
            )


def _clip(flat, limit: float) -> None:
    np.clip(flat.data, -limit, limit, out=flat.data)
    flat.changed()
