"""The variational autoencoder: a generator with latent variables, trained by a bound on the likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Literal

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import (
    Count,
    Fitted,
    LikeData,
    LikeLatents,
    NotNegative,
    Positive,
    Rng,
    Rows,
    Whole,
    Widths,
    checked,
    settings,
)
from ..distributions import MultivariateNormal
from ..tape import Tensor, leaf, no_grad
from ..training import Callback, History, fit
from .decoder_noise import BernoulliDecoder, GaussianDecoder
from .networks import ActivationName
from .posterior import POSTERIORS, Diagonal, Full
from .scaling import Scale, overall


class Autoencoder(nn.Module):
    """Encoder, decoder and the decoder's log-SD per feature, in one parameter buffer."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, log_sd: np.ndarray | None):
        self.encoder, self.decoder = encoder, decoder
        self.log_sd = None if log_sd is None else leaf(log_sd)


@settings
class VAE(Fitted):
    """Gaussian prior N(0, I) over `latent` variables, neural decoder, Gaussian posterior (Kingma and Welling, 2014).

    The loss is the mean over the batch of -log p(x | z), summed over features, plus what is made of the KL term, summed
    over latents: beta KL; with a `capacity`, beta |KL - C|; with `free_bits`, each latent counts as at least that much.

    Parameters
    ----------
    latent : number of latent variables k.
    hidden : widths of the encoder's hidden layers; the decoder has them in reverse.
    posterior : "diagonal", or "full" for a covariance with correlations through its Cholesky factor.
    decoder : "gaussian", or "bernoulli" for data in [0, 1], which are then not scaled; the network gives logits. What
        the bound says of log p(x) holds for data that are 0 or 1.
    decoder_sd : SD of the Gaussian decoder: "learned", one per feature, or a fixed number in data units.
    beta : weight of the KL term (Higgins et al., 2017); 1 gives the evidence lower bound.
    capacity : nats that the KL, its mean over the batch, is drawn to with weight beta, from above and from below
        (Burgess et al., 2018, eq. 8, where beta is called gamma); None for no such target.
    warmup : number of steps over which beta, or with a `capacity` its target C, climbs from 0 along a straight line
        (Sonderby et al., 2016).
    free_bits : nats per latent below which the batch mean of its KL is not pressed (Kingma et al., 2016, eq. 15). With
        a full posterior a latent's KL is that given the latents before it.

    After `fit`: `network_`, `history_`, `scale_`.
    """

    learned = "history_"

    latent: Count = 6
    hidden: Widths = (256, 128)
    activation: ActivationName = "relu"
    _: KW_ONLY
    posterior: Literal["diagonal", "full"] = "diagonal"
    decoder: Literal["gaussian", "bernoulli"] = "gaussian"
    decoder_sd: Positive | Literal["learned"] = "learned"
    beta: NotNegative = 1.0
    capacity: NotNegative | None = None
    warmup: Whole = 0
    free_bits: NotNegative = 0.0
    steps: Count = 5000
    batch_size: Count = 128
    lr: Positive = 2e-3

    def agree(self) -> None:
        """Refuse settings that go with others only."""
        if self.decoder == "bernoulli" and self.decoder_sd != "learned":
            raise ValueError(
                f"VAE got decoder_sd={self.decoder_sd!r} for a Bernoulli decoder, which has no SD; leave it out"
            )
        if self.capacity is not None and self.free_bits:
            raise ValueError(
                f"VAE got capacity={self.capacity!r} and free_bits={self.free_bits!r}; both keep the KL up: give one"
            )

    @checked
    def fit(
        self,
        X: Rows,
        *,
        rng: Rng,
        validation: Rows | None = None,
        patience: Count | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        checkpoint_every: Count = 1000,
        resume: bool = False,
        progress: bool | None = None,
    ) -> VAE:
        """Learn from X (n, d); returns the VAE. ValueError for a Bernoulli decoder and data outside [0, 1].

        `validation`, rows held out, whose loss is taken as it is after the warm-up, and all that follows are those of
        `training.fit`.
        """
        self._check_range(X)
        self.scale_ = overall(X) if self.decoder == "gaussian" else Scale(np.zeros(X.shape[1]), 1.0)
        d, k = X.shape[1], self.latent
        self.network_ = Autoencoder(
            nn.MLP([d, *self.hidden, POSTERIORS[self.posterior].outputs(k)], self.activation, rng=rng),
            nn.MLP([k, *reversed(self.hidden), d], self.activation, rng=rng),
            np.zeros(d, np.float32) if self.decoder == "gaussian" and self.decoder_sd == "learned" else None,
        )
        if validation is not None:
            validation = (self._to_unit(validation),)
        self.history_ = History()

        def loss(number, x):
            return self.loss(number, x, rng)

        fit(
            self.network_,
            loss,
            (self.scale_.to_unit(X),),
            numbered=True,
            model=self,
            rng=rng,
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=optim.Adam(self.network_, optim.cosine_decay(self.lr, self.steps)),
            validation=validation,
            patience=patience,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
            label="VAE",
            history=self.history_,
        )
        return self

    def loss(self, number: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Mean over the batch, in scaled data, of -log p(x | z), summed over features, and the penalty on the KL."""
        q = self.posterior_of(x)
        z, _ = q.draw(rng)
        reconstruction = self.noise().mean_nll(self.network_.decoder(z), x)
        return x.shape[1] * reconstruction + self.penalty(q, number)

    def penalty(self, q: Diagonal | Full, number: np.ndarray) -> Tensor:
        """What the loss adds for the KL, per example, after `number` steps."""
        n = q.mean.shape[0]
        kl = q.kl()
        if self.free_bits:
            total = ops.sum(ops.maximum(ops.sum(kl, axis=0) * (1 / n), self.free_bits))
        else:
            total = ops.sum(kl) * (1 / n)
        climbed = ops.minimum(number * (1 / self.warmup), 1.0) if self.warmup else 1.0
        if self.capacity is None:
            return total * (self.beta * climbed)
        return self.beta * ops.abs(total - self.capacity * climbed)

    def posterior_of(self, x: np.ndarray) -> Diagonal | Full:
        """q(z | x) for scaled data (n, d)."""
        return POSTERIORS[self.posterior].read(self.network_.encoder(x), self.latent)

    def noise(self) -> GaussianDecoder | BernoulliDecoder:
        """How scaled data scatter around what the decoder gives."""
        if self.decoder == "bernoulli":
            return BernoulliDecoder()
        if self.network_.log_sd is not None:
            return GaussianDecoder(2.0 * self.network_.log_sd)
        d = len(self.scale_.mean)
        return GaussianDecoder(np.full(d, 2 * math.log(self.decoder_sd / self.scale_.sd), np.float32))

    def terms(self, x: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Of each scaled example, (n,) each: -log p(x | z) at one draw of z, and KL(q(z | x) || N(0, I))."""
        q = self.posterior_of(x)
        z, _ = q.draw(rng)
        return self.noise().nll(self.network_.decoder(z), x), ops.sum(q.kl(), axis=1)

    @checked
    def encode(self, X: LikeData) -> tuple[np.ndarray, np.ndarray]:
        """Posterior of each row of X (n, d): mean (n, k), and SD (n, k) or, if full, Cholesky factor (n, k, k)."""
        with no_grad():
            q = self.posterior_of(self._to_unit(X))
        return q.mean.data, q.spread()

    @checked
    def decode(self, Z: LikeLatents) -> np.ndarray:
        """Mean of the data at latent points Z (n, k): (n, d); probabilities for a Bernoulli decoder."""
        with no_grad():
            out = self.network_.decoder(Z.astype(self.network_.flat().data.dtype)).data
        return self.scale_.from_unit(out) if self.decoder == "gaussian" else ops.sigmoid(out)

    @checked
    def sample(self, n: Count, rng: Rng, noise: bool = False) -> np.ndarray:
        """n draws (n, d): the decoder's mean at latent points from the prior, with its observation noise if asked."""
        self._check_fitted()
        mean = self.decode(rng.standard_normal((n, self.latent), np.float32))
        if not noise:
            return mean
        if self.decoder == "bernoulli":
            return (rng.random(mean.shape) < mean).astype(mean.dtype)
        return mean + self.decoder_sd_ * rng.standard_normal(mean.shape)

    @checked
    def elbo(self, X: LikeData, rng: Rng, draws: Count = 1) -> np.ndarray:
        """Evidence lower bound of log p(x) for each row of X in data units, averaged over `draws` latent draws: (n,).

        The bound itself, whatever `beta` the model was trained with.
        """
        x, total = self._to_unit(X), np.zeros(len(X))
        with no_grad():
            for _ in range(draws):
                reconstruction, kl = self.terms(x, rng)
                total -= reconstruction.data + kl.data
        # A density in unit scale becomes one in data units: divide by the unit, once per feature.
        return total / draws - x.shape[1] * math.log(self.scale_.sd)

    @checked
    def iwae(self, X: LikeData, rng: Rng, draws: Count = 50) -> np.ndarray:
        """Importance-weighted lower bound of log p(x) for each row of X in data units: (n,).

        log of the mean over `draws` of p(x | z) p(z) / q(z | x) (Burda et al., 2016, eq. 8). In expectation one draw
        gives the evidence lower bound, and more draws never a lower value; the limit is log p(x).
        """
        x, total = self._to_unit(X), np.full(len(X), -np.inf)
        with no_grad():
            q, noise = self.posterior_of(x), self.noise()
            log_sd = np.sum(q.log_sd.data, axis=1, dtype=np.float64)
            for _ in range(draws):
                z, eps = q.draw(rng)
                # log p(z) - log q(z | x), of which the powers of 2 pi cancel.
                prior = np.sum(eps**2 - z.data**2, axis=1, dtype=np.float64) / 2 + log_sd
                total = np.logaddexp(total, prior - noise.nll(self.network_.decoder(z), x).data)
        return total - math.log(draws) - x.shape[1] * math.log(self.scale_.sd)

    @checked
    def log_prob(self, X: LikeData) -> np.ndarray:
        """Exact log p(x) for each row of X in data units, (n,): for hidden=() and a Gaussian decoder.

        Then x = b + W z + noise, so p(x) = N(b, W W^T + diag(decoder_sd^2)): probabilistic PCA if all SDs are equal
        (Tipping and Bishop, 1999, eq. 8), factor analysis if not. Raises ValueError for any other decoder.
        """
        if self.hidden or self.decoder != "gaussian":
            raise ValueError(
                f"VAE.log_prob() is exact for hidden=() and a Gaussian decoder; this one has hidden={self.hidden} and "
                f'decoder="{self.decoder}": iwae(X, rng) bounds it from below'
            )
        # In scaled data, whose squares neither over- nor underflow; then a density in data units.
        layer, d = self.network_.decoder[0], X.shape[1]
        weight, mean = (parameter.data.astype(np.float64) for parameter in (layer.weight, layer.bias))
        covariance = weight @ weight.T + np.diag((self.decoder_sd_ / self.scale_.sd) ** 2)
        density = MultivariateNormal.from_covariance(mean, covariance)
        return density.log_prob(self.scale_.to_unit(X)) - d * math.log(self.scale_.sd)

    @property
    def decoder_sd_(self) -> np.ndarray:
        """The Gaussian decoder's SD in data units, (d,)."""
        self._check_fitted()
        if self.decoder == "bernoulli":
            raise ValueError("a Bernoulli decoder has no SD; its variance is p (1 - p) with p = decode(Z)")
        d = len(self.scale_.mean)
        if self.network_.log_sd is None:
            return np.full(d, float(self.decoder_sd))
        return np.exp(self.network_.log_sd.data) * self.scale_.sd

    def _to_unit(self, X: np.ndarray) -> np.ndarray:
        self._check_range(X)
        return self.scale_.to_unit(X).astype(self.network_.flat().data.dtype)

    def _check_range(self, X: np.ndarray) -> None:
        if self.decoder == "bernoulli" and not (X.min() >= 0 and X.max() <= 1):
            raise ValueError(
                f"VAE got data from {X.min():.3g} to {X.max():.3g} for a Bernoulli decoder; expected values in [0, 1]: "
                'scale them, or take decoder="gaussian"'
            )
