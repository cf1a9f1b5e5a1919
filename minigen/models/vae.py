"""The variational autoencoder: a generator with latent variables, trained by a bound on the likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import check_positive, check_rng, check_size, check_sizes, is_number
from ..distributions import MultivariateNormal
from ..tape import leaf, no_grad
from ..training import History, fit
from ..watching import act, shown
from .scaling import Scale, overall, rows

POSTERIORS = ("diagonal", "full")
DECODERS = ("gaussian", "bernoulli")


class _Network(nn.Module):
    """Encoder, decoder and the decoder's log-SD per feature, in one parameter buffer."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, log_sd: np.ndarray | None):
        self.encoder, self.decoder = encoder, decoder
        self.log_sd = None if log_sd is None else leaf(log_sd)


class VAE:
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

    def __init__(
        self,
        latent: int = 6,
        hidden: Sequence[int] = (256, 128),
        activation: str = "relu",
        *,
        posterior: str = "diagonal",
        decoder: str = "gaussian",
        decoder_sd: str | float = "learned",
        beta: float = 1.0,
        capacity: float | None = None,
        warmup: int = 0,
        free_bits: float = 0.0,
        steps: int = 5000,
        batch_size: int = 128,
        lr: float = 2e-3,
    ):
        if posterior not in POSTERIORS:
            raise ValueError(f"VAE got posterior={posterior!r}; choose one of {', '.join(POSTERIORS)}")
        if decoder_sd != "learned" and not (is_number(decoder_sd) and 0 < decoder_sd < math.inf):
            raise ValueError(f'VAE got decoder_sd={decoder_sd!r}; expected "learned" or a positive number')
        if decoder not in DECODERS:
            raise ValueError(f"VAE got decoder={decoder!r}; choose one of {', '.join(DECODERS)}")
        if decoder == "bernoulli" and decoder_sd != "learned":
            raise ValueError(
                f"VAE got decoder_sd={decoder_sd!r} for a Bernoulli decoder, which has no SD; leave it out"
            )
        if isinstance(warmup, bool) or not isinstance(warmup, (int, np.integer)) or warmup < 0:
            raise ValueError(f"VAE got warmup={warmup!r}; expected a whole number of steps, 0 or more")
        if capacity is not None:
            check_positive(capacity, "capacity", "VAE", zero=True)
        if check_positive(free_bits, "free_bits", "VAE", zero=True) and capacity is not None:
            raise ValueError(
                f"VAE got capacity={capacity!r} and free_bits={free_bits!r}; both keep the KL up: give one"
            )
        self.latent = check_size(latent, "latent", "VAE")
        nn.Activation(activation)  # raises here, and not only in fit(), for a name that is not known
        self.hidden, self.activation, self.posterior = check_sizes(hidden, "hidden", "VAE"), activation, posterior
        self.decoder, self.decoder_sd = decoder, decoder_sd
        self.beta = check_positive(beta, "beta", "VAE", zero=True)
        self.capacity, self.warmup, self.free_bits = capacity, int(warmup), free_bits
        self.steps, self.batch_size = check_size(steps, "steps", "VAE"), check_size(batch_size, "batch_size", "VAE")
        self.lr = check_positive(lr, "lr", "VAE")

    def fit(self, X, *, rng: np.random.Generator, progress: bool | None = None) -> VAE:
        """Learn from X (n, d); returns the VAE. ValueError for a Bernoulli decoder and data outside [0, 1]."""
        check_rng(rng, "VAE.fit()")
        X = self._checked(rows(X, "X", "VAE.fit()"), "VAE.fit()")
        self.scale_ = overall(X) if self.decoder == "gaussian" else Scale(np.zeros(X.shape[1]), 1.0)
        d, k = X.shape[1], self.latent
        below_diagonal = k * (k - 1) // 2 if self.posterior == "full" else 0
        self._below = np.tril_indices(k, -1)
        self.network_ = _Network(
            nn.MLP([d, *self.hidden, 2 * k + below_diagonal], self.activation, rng=rng),
            nn.MLP([k, *reversed(self.hidden), d], self.activation, rng=rng),
            np.zeros(d, np.float32) if self.decoder == "gaussian" and self.decoder_sd == "learned" else None,
        )
        # An array, so that a compiled step reads the count of now and not that of its recording.
        self._steps_done = np.zeros((), np.float32)

        def loss(x):
            value = self._loss(x, rng)
            if self.warmup:
                act(_count, self._steps_done, changes=(self._steps_done,))
            return value

        self.history_: History = fit(
            self.network_,
            loss,
            (self.scale_.to_unit(X),),
            rng=rng,
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=optim.Adam(self.network_, optim.cosine_decay(self.lr, self.steps)),
            progress=progress,
            label="VAE",
        )
        return self

    def encode(self, X):
        """Posterior of each row of X (n, d): mean (n, k), and SD (n, k) or, if full, Cholesky factor (n, k, k)."""
        with no_grad():
            mean, log_sd, below = self._posterior(self._unit(X, "VAE.encode()"))
        if below is None:
            return mean.data, np.exp(log_sd.data)
        factor = np.zeros((*mean.data.shape, self.latent), mean.data.dtype)
        factor[:, self._below[0], self._below[1]] = below.data
        factor[:, np.arange(self.latent), np.arange(self.latent)] = np.exp(log_sd.data)
        return mean.data, factor

    def decode(self, Z) -> np.ndarray:
        """Mean of the data at latent points Z (n, k): (n, d); probabilities for a Bernoulli decoder."""
        self._check_fitted()
        Z = rows(Z, "Z", "VAE.decode()", self.latent).astype(self.network_.flat().data.dtype)
        with no_grad():
            out = self.network_.decoder(Z).data
        return self.scale_.from_unit(out) if self.decoder == "gaussian" else ops.sigmoid(out)

    def sample(self, n: int, rng: np.random.Generator, noise: bool = False) -> np.ndarray:
        """n draws (n, d): the decoder's mean at latent points from the prior, with its observation noise if asked."""
        self._check_fitted()
        check_rng(rng, "VAE.sample()")
        n = check_size(n, "n", "VAE.sample()")
        mean = self.decode(rng.standard_normal((n, self.latent), np.float32))
        if not noise:
            return mean
        if self.decoder == "bernoulli":
            return (rng.random(mean.shape) < mean).astype(mean.dtype)
        return mean + self.decoder_sd_ * rng.standard_normal(mean.shape)

    def elbo(self, X, rng: np.random.Generator, draws: int = 1) -> np.ndarray:
        """Evidence lower bound of log p(x) for each row of X in data units, averaged over `draws` latent draws: (n,).

        The bound itself, whatever `beta` the model was trained with.
        """
        check_rng(rng, "VAE.elbo()")
        x = self._unit(X, "VAE.elbo()")
        total = np.zeros(len(x))
        with no_grad():
            for _ in range(check_size(draws, "draws", "VAE.elbo()")):
                reconstruction, kl = self._terms(x, rng)
                total -= reconstruction.data + kl.data
        # A density in unit scale becomes one in data units: divide by the unit, once per feature.
        return total / draws - x.shape[1] * math.log(self.scale_.sd)

    def iwae(self, X, rng: np.random.Generator, draws: int = 50) -> np.ndarray:
        """Importance-weighted lower bound of log p(x) for each row of X in data units: (n,).

        log of the mean over `draws` of p(x | z) p(z) / q(z | x) (Burda et al., 2016, eq. 8). In expectation one draw
        gives the evidence lower bound, and more draws never a lower value; the limit is log p(x).
        """
        check_rng(rng, "VAE.iwae()")
        draws = check_size(draws, "draws", "VAE.iwae()")
        x = self._unit(X, "VAE.iwae()")
        total = np.full(len(x), -np.inf)
        with no_grad():
            posterior = self._posterior(x)
            log_sd = np.sum(posterior[1].data, axis=1, dtype=np.float64)
            for _ in range(draws):
                z, eps = self._draw(*posterior, rng)
                # log p(z) - log q(z | x), of which the powers of 2 pi cancel.
                prior = (np.sum(eps**2 - z.data**2, axis=1, dtype=np.float64)) / 2 + log_sd
                total = np.logaddexp(total, prior - self._reconstruction(x, z).data)
        return total - math.log(draws) - x.shape[1] * math.log(self.scale_.sd)

    def log_prob(self, X) -> np.ndarray:
        """Exact log p(x) for each row of X in data units, (n,): for hidden=() and a Gaussian decoder.

        Then x = b + W z + noise, so p(x) = N(b, W W^T + diag(decoder_sd^2)): probabilistic PCA if all SDs are equal
        (Tipping and Bishop, 1999, eq. 8), factor analysis if not. Raises ValueError for any other decoder.
        """
        self._check_fitted()
        X = rows(X, "X", "VAE.log_prob()", len(self.scale_.mean))
        if self.hidden or self.decoder != "gaussian":
            raise ValueError(
                f"VAE.log_prob() is exact for hidden=() and a Gaussian decoder; this one has hidden={self.hidden} and "
                f'decoder="{self.decoder}": iwae(X, rng) bounds it from below'
            )
        layer = self.network_.decoder[0]
        weight = self.scale_.sd * layer.weight.data.astype(np.float64)
        mean = self.scale_.from_unit(layer.bias.data.astype(np.float64))
        covariance = weight @ weight.T + np.diag(self.decoder_sd_.astype(np.float64) ** 2)
        return MultivariateNormal.from_covariance(mean, covariance).log_prob(X)

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

    def _loss(self, x, rng):
        """Mean over the batch of the reconstruction term, summed over features, and the penalty on the KL."""
        posterior = self._posterior(x)
        z, _ = self._draw(*posterior, rng)
        n, d = x.shape
        out = self.network_.decoder(z)
        if self.decoder == "gaussian":
            per_feature = ops.gaussian_nll(out, x, self._log_var(d))
        else:
            per_feature = ops.binary_cross_entropy_with_logits(out, x)
        return per_feature * float(d) + self._penalty(*posterior, n)

    def _penalty(self, mean, log_sd, below, n):
        """What the loss adds for the KL, per example, at the present step of the warm-up."""
        if self.free_bits:
            kl = ops.sum(self._kl_of_latents(mean, log_sd, below), axis=0)
            total = ops.sum(ops.maximum(kl, n * self.free_bits))
        else:
            kl, correlation = self._kl(mean, log_sd, below)
            total = ops.sum(kl) if correlation is None else ops.sum(kl) + ops.sum(correlation)
        if self.capacity is None:
            return total * self._climbed(self.beta / n)
        return ops.abs(total * (1 / n) - self._climbed(self.capacity)) * self.beta

    def _climbed(self, full):
        """What a number has come to at this step if it climbs from 0 to `full` during the warm-up."""
        if not self.warmup:
            return full
        return ops.minimum(shown(self._steps_done) * (1 / self.warmup), 1.0) * full

    def _terms(self, x, rng):
        """Per example, (n,) each: -log p(x | z) at one draw of z, and KL(q(z | x) || N(0, I)) in closed form."""
        posterior = self._posterior(x)
        z, _ = self._draw(*posterior, rng)
        kl, correlation = self._kl(*posterior)
        kl = ops.sum(kl, axis=1)
        if correlation is not None:
            kl = kl + correlation
        return self._reconstruction(x, z), kl

    def _reconstruction(self, x, z):
        """-log p(x | z) of each example in unit scale, summed over features: (n,)."""
        out = self.network_.decoder(z)
        if self.decoder == "bernoulli":
            return ops.sum(ops.softplus(out) - out * x, axis=1)
        log_var = self._log_var(x.shape[1])
        scaled = ops.square(x - out) * ops.exp(-log_var)
        return ops.sum(scaled + log_var + math.log(2 * math.pi), axis=1) * 0.5

    def _log_var(self, d):
        """Log-variance of the decoder per feature, (d,), in unit scale."""
        if self.network_.log_sd is None:
            return np.full(d, 2 * math.log(self.decoder_sd / self.scale_.sd), np.float32)
        return self.network_.log_sd * 2.0

    def _draw(self, mean, log_sd, below, rng):
        """One reparameterised draw z (n, k), and the standard normal eps (n, k) that it was made of."""
        eps = ops.normal(rng, mean.shape, mean.dtype)
        z = mean + ops.exp(log_sd) * eps
        if below is None:
            return z, eps
        # z_i gains the L_ij eps_j, j < i.
        return (z + below * eps[:, self._below[1]] @ self._to_row(eps.dtype), eps)

    def _kl(self, mean, log_sd, below):
        """The KL term of each latent (n, k) as if they were independent, and what correlations add to the KL of each
        example (n,), None for a diagonal posterior.

        With Cholesky factor L, KL = (tr L L^T + |mu|^2 - k) / 2 - sum log L_ii, so an entry below the diagonal adds
        half its square.
        """
        kl = ops.standard_normal_kl(mean, log_sd)
        return (kl, None if below is None else ops.sum(ops.square(below), axis=1) * 0.5)

    def _kl_of_latents(self, mean, log_sd, below):
        """What each latent adds to the KL, (n, k): by the chain rule the mean KL of z_i given the latents before it."""
        kl = ops.standard_normal_kl(mean, log_sd)
        if below is None:
            return kl
        return kl + ops.square(below) @ self._to_row(mean.dtype) * 0.5

    def _to_row(self, dtype):
        """The matrix that sums entries below the diagonal of L into the row they stand in."""
        return (self._below[0][:, None] == np.arange(self.latent)).astype(dtype)

    def _posterior(self, x):
        """Mean and log-SD (n, k) each, and the entries below the diagonal of the Cholesky factor, or None."""
        k = self.latent
        out = self.network_.encoder(x)
        below = out[:, 2 * k :] if self.posterior == "full" else None
        return out[:, :k], out[:, k : 2 * k], below

    def _unit(self, X, caller):
        self._check_fitted()
        X = self._checked(rows(X, "X", caller, len(self.scale_.mean)), caller)
        return self.scale_.to_unit(X).astype(self.network_.flat().data.dtype)

    def _checked(self, X, caller):
        if self.decoder == "bernoulli" and not (X.min() >= 0 and X.max() <= 1):
            raise ValueError(
                f"{caller} got data from {X.min():.3g} to {X.max():.3g} for a Bernoulli decoder; expected values in "
                '[0, 1]: scale them, or take decoder="gaussian"'
            )
        return X

    def _check_fitted(self):
        if not hasattr(self, "history_"):
            raise ValueError("this VAE has not been fitted yet; call fit(X, rng=...) first")


def _count(steps: np.ndarray) -> None:
    """One step more, in place."""
    steps += 1
