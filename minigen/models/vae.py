"""The variational autoencoder: a generator with latent variables, trained by a bound on the likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import nn, ops, optim
from ..arguments import check_positive, check_rng, check_size, check_sizes, is_number
from ..tape import leaf, no_grad
from ..training import History, fit
from .scaling import overall, rows

POSTERIORS = ("diagonal", "full")


class _Network(nn.Module):
    """Encoder, decoder and the decoder's log-SD per feature, in one parameter buffer."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, log_sd: np.ndarray | None):
        self.encoder, self.decoder = encoder, decoder
        self.log_sd = None if log_sd is None else leaf(log_sd)


class VAE:
    """Gaussian prior N(0, I) over `latent` variables, Gaussian decoder, Gaussian posterior (Kingma and Welling, 2014).

    Parameters
    ----------
    latent : number of latent variables k.
    hidden : widths of the encoder's hidden layers; the decoder has them in reverse.
    posterior : "diagonal", or "full" for a covariance with correlations through its Cholesky factor.
    decoder_sd : "learned", one SD per feature, or a fixed number in data units.
    beta : weight of the KL term (Higgins et al., 2017); 1 gives the evidence lower bound.

    After `fit`: `network_`, `history_`, `scale_`.
    """

    def __init__(
        self,
        latent: int = 6,
        hidden: Sequence[int] = (256, 128),
        activation: str = "relu",
        *,
        posterior: str = "diagonal",
        decoder_sd: str | float = "learned",
        beta: float = 1.0,
        steps: int = 5000,
        batch_size: int = 128,
        lr: float = 2e-3,
    ):
        if posterior not in POSTERIORS:
            raise ValueError(f"VAE got posterior={posterior!r}; choose one of {', '.join(POSTERIORS)}")
        if decoder_sd != "learned" and not (is_number(decoder_sd) and 0 < decoder_sd < math.inf):
            raise ValueError(f'VAE got decoder_sd={decoder_sd!r}; expected "learned" or a positive number')
        self.latent = check_size(latent, "latent", "VAE")
        nn.Activation(activation)  # raises here, and not only in fit(), for a name that is not known
        self.hidden, self.activation, self.posterior = check_sizes(hidden, "hidden", "VAE"), activation, posterior
        self.decoder_sd, self.beta = decoder_sd, check_positive(beta, "beta", "VAE", zero=True)
        self.steps, self.batch_size, self.lr = check_size(steps, "steps", "VAE"), batch_size, lr

    def fit(self, X, *, rng: np.random.Generator, progress: bool | None = None) -> VAE:
        """Learn from X (n, d); returns the VAE."""
        check_rng(rng, "VAE.fit()")
        X = rows(X, "X", "VAE.fit()")
        self.scale_ = overall(X)
        d, k = X.shape[1], self.latent
        below_diagonal = k * (k - 1) // 2 if self.posterior == "full" else 0
        self._below = np.tril_indices(k, -1)
        self.network_ = _Network(
            nn.MLP([d, *self.hidden, 2 * k + below_diagonal], self.activation, rng=rng),
            nn.MLP([k, *reversed(self.hidden), d], self.activation, rng=rng),
            np.zeros(d, np.float32) if self.decoder_sd == "learned" else None,
        )
        self.history_: History = fit(
            self.network_,
            lambda x: self._loss(x, rng),
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
        """Mean of the data at latent points Z (n, k): (n, d)."""
        self._check_fitted()
        Z = rows(Z, "Z", "VAE.decode()", self.latent).astype(self.network_.flat().data.dtype)
        with no_grad():
            return self.scale_.from_unit(self.network_.decoder(Z).data)

    def sample(self, n: int, rng: np.random.Generator, noise: bool = False) -> np.ndarray:
        """n draws (n, d): the decoder's mean at latent points from the prior, with its observation noise if asked."""
        self._check_fitted()
        check_rng(rng, "VAE.sample()")
        n = check_size(n, "n", "VAE.sample()")
        mean = self.decode(rng.standard_normal((n, self.latent), np.float32))
        return mean + self.decoder_sd_ * rng.standard_normal(mean.shape) if noise else mean

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

    @property
    def decoder_sd_(self) -> np.ndarray:
        """The decoder's SD in data units, (d,)."""
        self._check_fitted()
        d = len(self.scale_.mean)
        if self.network_.log_sd is None:
            return np.full(d, float(self.decoder_sd))
        return np.exp(self.network_.log_sd.data) * self.scale_.sd

    def _loss(self, x, rng):
        """Mean over the batch of -ELBO (with beta), each term summed over features or latents."""
        z, kl, correlation = self._encode_and_draw(x, rng)
        n, d = x.shape
        reconstruction = ops.multiply(ops.gaussian_nll(self.network_.decoder(z), x, self._log_var(d)), float(d))
        kl = ops.sum(kl) if correlation is None else ops.add(ops.sum(kl), ops.sum(correlation))
        return ops.add(reconstruction, ops.multiply(kl, self.beta / n))

    def _terms(self, x, rng):
        """Per example, (n,) each: -log p(x | z) at one draw of z, and KL(q(z | x) || N(0, I)) in closed form."""
        z, kl, correlation = self._encode_and_draw(x, rng)
        kl = ops.sum(kl, axis=1)
        if correlation is not None:
            kl = ops.add(kl, correlation)
        log_var = self._log_var(x.shape[1])
        scaled = ops.multiply(ops.square(ops.subtract(x, self.network_.decoder(z))), ops.exp(ops.negative(log_var)))
        return ops.multiply(ops.sum(ops.add(ops.add(scaled, log_var), math.log(2 * math.pi)), axis=1), 0.5), kl

    def _log_var(self, d):
        """Log-variance of the decoder per feature, (d,), in unit scale."""
        if self.network_.log_sd is None:
            return np.full(d, 2 * math.log(self.decoder_sd / self.scale_.sd), np.float32)
        return ops.multiply(self.network_.log_sd, 2.0)

    def _encode_and_draw(self, x, rng):
        """One reparameterised draw z (n, k), the KL term of each latent (n, k) as if they were independent, and what
        correlations add to the KL of each example (n,), None for a diagonal posterior.

        With Cholesky factor L, KL = (tr L L^T + |mu|^2 - k) / 2 - sum log L_ii, so an entry below the diagonal adds
        half its square.
        """
        mean, log_sd, below = self._posterior(x)
        eps = ops.normal(rng, mean.shape, mean.dtype)
        z = ops.add(mean, ops.multiply(ops.exp(log_sd), eps))
        kl = ops.standard_normal_kl(mean, log_sd)
        if below is None:
            return z, kl, None
        i, j = self._below
        to_row = (i[:, None] == np.arange(self.latent)).astype(eps.dtype)
        z = ops.add(z, ops.matmul(ops.multiply(below, eps[:, j]), to_row))  # z_i gains the L_ij eps_j, j < i
        return z, kl, ops.multiply(ops.sum(ops.square(below), axis=1), 0.5)

    def _posterior(self, x):
        """Mean and log-SD (n, k) each, and the entries below the diagonal of the Cholesky factor, or None."""
        k = self.latent
        out = self.network_.encoder(x)
        below = out[:, 2 * k :] if self.posterior == "full" else None
        return out[:, :k], out[:, k : 2 * k], below

    def _unit(self, X, caller):
        self._check_fitted()
        X = rows(X, "X", caller, len(self.scale_.mean))
        return self.scale_.to_unit(X).astype(self.network_.flat().data.dtype)

    def _check_fitted(self):
        if not hasattr(self, "history_"):
            raise ValueError("this VAE has not been fitted yet; call fit(X, rng=...) first")
