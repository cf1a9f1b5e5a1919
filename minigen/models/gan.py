"""The generative adversarial network: a generator trained against a critic that tells its samples from the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import (
    Betas,
    Count,
    Fitted,
    Fraction,
    LikeData,
    LikeLatents,
    NotNegative,
    Positive,
    Rng,
    Rows,
    Widths,
    checked,
    one_of,
    settings,
)
from ..compile import compile as compiled
from ..nn.module import Flat
from ..tape import Tensor, no_grad, tensor
from ..training import Callback, History, Networks, descend, run
from ..watching import act
from .gan_losses import LOSSES, Examples, input_gradient, interpolates, packed, unit_norm_penalty, zero_centred_penalty
from .networks import ActivationName, mlp
from .scaling import overall

LEAST_TRUNCATION = 0.01  # in SDs: below it drawing again takes too long
ADVICE = "A smaller lr, or a penalty such as r1=0.1, may help"

LossName = Annotated[str, one_of(LOSSES)]


@settings
class GAN(Fitted):
    """A generator of `latent` standard normal variables and a critic, both MLPs (Goodfellow et al., 2014).

    Data are brought to mean 0 and one SD for all features inside; whatever is said of the critic's inputs is meant in
    that scale. `leaky_relu` has the slope 0.2.

    Parameters
    ----------
    latent : number of latent variables k.
    hidden, activation : widths of the generator's hidden layers, and what follows each.
    critic_hidden, critic_activation : the same for the critic.
    loss : "minimax", "non_saturating", "maximum_likelihood", "hinge" or "wasserstein"; `models.gan_losses` has the
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
        (Sonderby et al., 2017).
    average : decay of a running average of the generator's weights, which `sample` then uses; 0 for none.
    steps, batch_size : steps of the generator, and examples, not packs, in each minibatch.
    lr, critic_lr, betas, cosine_decay : Adam's step sizes for generator and critic (None: the same), its betas, and
        whether the step sizes fall to 0 along half a cosine.
    record_every : each so many steps an entry is made in `history_`, the first step among them.

    After `fit`: `generator_`, `critic_`, `scale_`, `average_`, an `optim.WeightAverage` or None, and `history_`, with
    "generator" and "critic", the losses without the penalties (the critic's is the last of the step), and
    "gradient_norm", the mean norm of the critic's gradient at the step's real examples, in scaled data and without
    instance noise.
    """

    learned = "history_"

    latent: Count = 8
    hidden: Widths = (128, 128)
    activation: ActivationName = "relu"
    _: KW_ONLY
    critic_hidden: Widths = (128, 128)
    critic_activation: ActivationName = "leaky_relu"
    loss: LossName = "non_saturating"
    gp: NotNegative = 0.0
    one_sided: bool = False
    r1: NotNegative = 0.0
    r2: NotNegative = 0.0
    clip: Positive | None = None
    spectral: bool = False
    packing: Count = 1
    critic_steps: Count = 1
    instance_noise: NotNegative = 0.0
    average: Fraction = 0.0
    steps: Count = 5000
    batch_size: Count = 128
    lr: Positive = 1e-3
    critic_lr: Positive | None = None
    betas: Betas = (0.5, 0.9)
    cosine_decay: bool = True
    record_every: Count = 10

    def agree(self) -> None:
        """Refuse settings that go with others only."""
        who = type(self).__name__
        if self.clip is not None and self.loss != "wasserstein":
            raise ValueError(
                f'{who} got clip={self.clip!r} with loss={self.loss!r}; clipping goes with loss="wasserstein"'
            )
        if self.one_sided and not self.gp:
            raise ValueError(f"{who} got one_sided=True without the penalty it belongs to; give its weight, as gp=10")
        if self.loss == "wasserstein" and not (self.gp or self.r1 or self.r2 or self.clip or self.spectral):
            raise ValueError(
                f'{who} got loss="wasserstein" and nothing that limits the critic, whose loss then has no least '
                "value; give one of gp=10, r1=0.1, r2, clip=0.01, spectral=True"
            )
        if self.batch_size % self.packing:
            raise ValueError(
                f"{who} got batch_size={self.batch_size} and packing={self.packing}; a batch must be a whole number of "
                f"packs, such as {self.packing * math.ceil(self.batch_size / self.packing)}"
            )

    @checked
    def fit(
        self,
        X: Rows,
        *,
        rng: Rng,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        checkpoint_every: Count = 1000,
        resume: bool = False,
        progress: bool | None = None,
    ) -> GAN:
        """Learn from X (n, d); returns the GAN.

        `callbacks` are called with a `training.StepInfo` after each step, whose `model` can be asked for samples;
        `checkpoint` and `resume` are those of `training.run`, as is what Ctrl-C does.

        Raises FloatingPointError when a loss or its gradient is not finite: before the weights that it was to change
        are touched, so that both networks are still finite.
        """
        if len(X) < self.packing:
            raise ValueError(
                f"{type(self).__name__}.fit() got {len(X)} rows, fewer than one pack of {self.packing}; give more data"
            )
        self.scale_, d = overall(X), X.shape[1]
        data = self.scale_.to_unit(X).astype(np.float32)
        linear = nn.SpectralLinear if self.spectral else nn.Linear
        self.generator_ = mlp([self.latent, *self.hidden, d], self.activation, rng)
        self.critic_ = mlp([self.packing * d, *self.critic_hidden, 1], self.critic_activation, rng, linear)
        self.average_ = optim.WeightAverage(self.generator_, self.average) if self.average else None
        self.history_ = History()
        game = self._game(rng)
        whole_packs = len(data) - len(data) % self.packing
        run(
            game.play,
            (data,),
            parts=game.parts(),
            model=self,
            rng=rng,
            steps=self.steps,
            batch_size=min(self.batch_size, whole_packs),
            minibatches=self.critic_steps,
            record_every=self.record_every,
            note=game.note,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
            label=type(self).__name__,
            history=self.history_,
        )
        return self

    @checked
    def sample(
        self, n: Count, rng: Rng, *, truncation: Positive | None = None, temperature: Positive = 1.0
    ) -> np.ndarray:
        """n draws (n, d), by the averaged generator if there is one.

        Parameters
        ----------
        truncation : each latent variable beyond +-truncation is drawn again: more typical examples, and fewer kinds of
            them (Brock et al., 2019, "the truncation trick").
        temperature : variance of the latent variables, which below 1 does much the same.
        """
        self._check_fitted()
        Z = rng.standard_normal((n, self.latent), np.float32)
        if truncation is not None:
            limit = truncation / math.sqrt(temperature)
            if limit < LEAST_TRUNCATION:
                raise ValueError(
                    f"{type(self).__name__}.sample() got truncation={truncation!r}, in which hardly a latent variable "
                    f"falls; give at least {LEAST_TRUNCATION * math.sqrt(temperature):.3g}"
                )
            while (beyond := np.abs(Z) > limit).any():
                Z[beyond] = rng.standard_normal(np.count_nonzero(beyond), np.float32)
        return self.generate(Z * math.sqrt(temperature))

    @checked
    def generate(self, Z: LikeLatents) -> np.ndarray:
        """What the generator that `sample` uses makes of latent points Z (n, k): (n, d)."""
        with no_grad():
            return self.scale_.from_unit(self.sampling_generator()(Z.astype(np.float32)).data)

    @checked
    def discriminate(self, X: LikeData) -> np.ndarray:
        """The critic's value for each row of X (n, d): (n,).

        For the losses "minimax", "non_saturating" and "maximum_likelihood" it is the logit of being real, which for the
        best critic is log(p(x) / q(x)), p the law of the data and q of the samples; for "hinge" and
        "wasserstein" a number without a unit.
        With packing m, n is a multiple of m, and there is one value for each m consecutive rows: (n / m,).
        """
        if len(X) % self.packing:
            raise ValueError(
                f"{type(self).__name__}.discriminate() got {len(X)} rows; this critic sees packs of {self.packing}: "
                "give a multiple of it"
            )
        with no_grad():
            return self.critic_(packed(self.scale_.to_unit(X).astype(np.float32), self.packing)).data[:, 0]

    def sampling_generator(self) -> nn.Module:
        """The generator that samples are made by: with the averaged weights, in a copy, if there are any."""
        self._check_fitted()
        # There is no average before the first update, as after a fit that failed in its first step.
        if self.average_ is None or self.average_.average is None:
            return self.generator_
        return self.average_.network()

    def _game(self, rng: np.random.Generator) -> Game:
        return Game(self, rng)


class Game:
    """What the two players do in one step: `play`, which is compiled, and `note`, what is looked at now and then."""

    def __init__(self, gan: GAN, rng: np.random.Generator):
        self.gan, self.rng, self.loss = gan, rng, LOSSES[gan.loss]
        self.generator, self.critic = gan.generator_, gan.critic_
        self.for_generator = self.adam(self.generator, gan.lr, gan.steps)
        critic_lr = gan.lr if gan.critic_lr is None else gan.critic_lr
        self.for_critic = self.adam(self.critic, critic_lr, gan.steps * gan.critic_steps)
        self.slope = compiled(self._slope, strict=False)

    def adam(self, module: nn.Module, lr: float, steps: int) -> optim.Adam:
        """The optimiser of one player."""
        return optim.Adam(module, optim.cosine_decay(lr, steps) if self.gan.cosine_decay else lr, betas=self.gan.betas)

    def parts(self) -> dict[str, object]:
        """What changes in a step, for a checkpoint."""
        return {
            "module": Networks(generator=self.generator, critic=self.critic),
            "optimizer": self.for_generator,
            "average": self.gan.average_,
            "critic_optimizer": self.for_critic,
        }

    def play(self, number: np.ndarray, *real: np.ndarray) -> dict[str, Tensor]:
        """A step of the critic for each minibatch of real examples, then one of the generator: their losses."""
        noise_sd = self.gan.instance_noise * (1.0 - number / self.gan.steps)
        for x in real:
            critic_loss = self.critic_step(x, noise_sd, number)
        losses = self.generator_step(len(real[-1]), noise_sd, number)
        if self.gan.average_ is not None:
            self.gan.average_.update()
        return {"critic": critic_loss, **losses}

    def critic_step(self, real: Examples, noise_sd: np.ndarray, number: np.ndarray) -> Tensor:
        """Teach the critic to tell real examples from fakes: its loss, without the penalties."""
        gan = self.gan
        with no_grad():
            made = self.fakes(len(real)).data
        real, fake = self.shown(real, noise_sd), self.shown(made, noise_sd)
        at_real, at_fake = tensor(real, requires_grad=gan.r1 > 0), tensor(fake, requires_grad=gan.r2 > 0)
        on_real, on_fake = self.critic(at_real), self.critic(at_fake)
        total = loss = self.loss.critic(on_real, on_fake)
        if gan.r1:
            total = total + gan.r1 * zero_centred_penalty(input_gradient(on_real, at_real))
        if gan.r2:
            total = total + gan.r2 * zero_centred_penalty(input_gradient(on_fake, at_fake))
        if gan.gp:
            between = tensor(interpolates(real, fake, self.rng), requires_grad=True)
            gradient = input_gradient(self.critic(between), between)
            total = total + gan.gp * unit_norm_penalty(gradient, gan.one_sided)
        descend(total, number, self.for_critic, name="critic's loss", advice=ADVICE)
        if gan.clip is not None:
            flat = self.critic.flat()
            act(_clip, flat, gan.clip, changes=(flat.data,))
        return loss

    def generator_step(self, n: int, noise_sd: np.ndarray, number: np.ndarray) -> dict[str, Tensor]:
        """Teach the generator to make n examples that the critic takes for real: losses by name, its own first."""
        loss = self.loss.generator(self.critic(self.shown(self.fakes(n), noise_sd)))
        descend(loss, number, self.for_generator, name="generator's loss", advice=ADVICE)
        return {"generator": loss}

    def fakes(self, n: int) -> Tensor:
        """n examples by the generator as it is now, in scaled data."""
        return self.generator(ops.normal(self.rng, (n, self.gan.latent)))

    def shown(self, x: Examples, noise_sd: np.ndarray) -> Examples:
        """Examples as the critic sees them: with instance noise, and packed."""
        if self.gan.instance_noise:
            x = x + noise_sd * ops.normal(self.rng, x.shape)
        return packed(x, self.gan.packing)

    def note(self, *real: np.ndarray) -> dict[str, float]:
        """What is recorded beside the losses."""
        return {"gradient_norm": self.slope(real[-1]).item()}

    def _slope(self, real: np.ndarray) -> Tensor:
        """Mean norm of the critic's gradient at the real examples."""
        x = tensor(packed(real, self.gan.packing), requires_grad=True)
        return ops.mean(ops.norm(input_gradient(self.critic(x), x).detach(), axis=1))


def _clip(flat: Flat, limit: float) -> None:
    np.clip(flat.data, -limit, limit, out=flat.data)
    flat.changed()
