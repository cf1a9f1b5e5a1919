"""How an energy learns without its partition function: what each way minimises, its chains, and the training step.

An `energy` is a module, or any function of tensors, from points (n, d) to numbers (n,) or (n, 1), and p(x) is
exp(-energy(x)) / Z. Losses are means over the examples of the batch, and are minimised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import check_rng
from ..tape import grad, tensor
from ..training import not_finite
from ..watching import act, shown
from .adversarial import input_gradient

FIRST_STEP = 0.05  # of the chains in training, where the search for their step size begins
ACCEPTANCE = 0.6  # what that search aims at


def two_phase_gradient(energy: nn.Module, positive, negative, weights=None) -> np.ndarray:
    """Gradient of -mean log p(data) by all parameters, as one vector in the order of `energy.flat()`.

    It is the mean of grad U at the data, the positive phase, minus that under the model, the negative phase: for
    -log p = U + log Z, and the gradient of log Z is -E[grad U]. The parameters' own gradients are not touched.

    Parameters
    ----------
    positive : data (n, d).
    negative : points (m, d) that stand for the model: its samples, or all points of a grid with their probabilities.
    weights : of the negative points, (m,), of sum 1; None for equal ones.

    Raises ValueError for shapes that do not fit, and weights that are negative or do not sum to 1.

    Hinton (2002), "Training products of experts by minimizing contrastive divergence", eq. 4.
    """
    parameters = energy.parameters()
    dtype = energy.flat().data.dtype
    positive, negative = np.asarray(positive, dtype), np.asarray(negative, dtype)
    if positive.ndim != 2 or negative.ndim != 2 or positive.shape[1] != negative.shape[1]:
        raise ValueError(
            f"two_phase_gradient() got points of shape {positive.shape} and {negative.shape}; expected (n, d) and "
            "(m, d)"
        )
    if weights is not None:
        weights = np.asarray(weights, dtype)
        if weights.shape != negative.shape[:1] or not (weights.min() >= 0 and abs(weights.sum() - 1) < 1e-3):
            raise ValueError(
                f"two_phase_gradient() got weights of shape {weights.shape} and sum {weights.sum():.6g}; expected one "
                f"for each of the {len(negative)} negative points, none negative, of sum 1"
            )
    loss = contrast(values(energy, positive), values(energy, negative), weights)
    return np.concatenate([gradient.data.ravel() for gradient in grad(loss, list(parameters))])


def values(energy: Callable, x):
    """The energies of points (n, d) as (n,)."""
    u = energy(x)
    return u if u.ndim == 1 else ops.reshape(u, (-1,))


def contrast(positive, negative, weights=None):
    """Mean energy of the data minus that of the model's points: a loss that has the two-phase gradient.

    Its value is no likelihood: log Z is missing from it.
    """
    under_model = ops.mean(negative) if weights is None else ops.sum(negative * weights)
    return ops.mean(positive) - under_model


def size_penalty(positive, negative):
    """mean U(data)^2 + mean U(model)^2, which keeps energies from running off: Du and Mordatch (2019), section 3.3."""
    return ops.mean(ops.square(positive)) + ops.mean(ops.square(negative))


def mala_chain(energy: Callable, x: np.ndarray, steps: int, step_size, rng: np.random.Generator):
    """Points (n, d) moved by `steps` steps of MALA at temperature 1: (n, d), and the share of proposals accepted.

    The proposal is that of `samplers.mala`, except that no drift is longer than sqrt(2 step_size d), the usual length
    of the noise. Else a chain that begins on a steep slope overshoots, is rejected for ever, and as a false witness of
    the model drives the training astray. A chain whose proposal has no finite energy stays where it is.

    For chains inside a compiled step: all in operations, nothing on the tape; `step_size` is an array ().
    Roberts and Tweedie (1996), section 1.4.2: the truncated algorithm, MALTA.
    """
    step_size = shown(np.asarray(step_size))
    longest = ops.sqrt(2.0 * x.shape[1] / step_size)  # of a gradient: its drift is then sqrt(2 h d)
    u, gradient = _energy_and_drift(energy, x, longest)
    spread, half = (ops.sqrt(step_size * 2.0), step_size * 0.5)
    rates = []
    for _ in range(steps):
        noise = ops.normal(rng, x.shape, x.dtype) * spread
        y = x - gradient * step_size + noise
        u_y, gradient_y = _energy_and_drift(energy, y, longest)
        # log p(y) q(x | y) / (p(x) q(y | x)); see samplers.langevin.log_proposal_ratio.
        moved = y - x - (gradient_y - gradient) * half
        proposals = ops.sum((gradient + gradient_y) * moved, axis=1) * 0.5
        rate = ops.exp(ops.minimum(u - u_y + proposals, 0.0))
        accepted = ops.uniform(rng, u.shape, u.dtype) < rate  # False where the rate is NaN
        rows = ops.reshape(accepted, (-1, 1))
        x, gradient, u = ops.where(rows, y, x), ops.where(rows, gradient_y, gradient), ops.where(accepted, u_y, u)
        rates.append(ops.mean(accepted))
    return (x, sum(rates[1:], rates[0]) * (1 / steps))


def _energy_and_drift(energy, x, longest):
    """U (n,), and its gradient (n, d) with each row cut to a norm of `longest`."""
    point = tensor(x, requires_grad=True)
    u = values(energy, point)
    gradient = grad(ops.sum(u), point).data
    norm = ops.sqrt(ops.sum(ops.square(gradient), axis=1, keepdims=True))
    return (u.data, gradient * ops.minimum(longest / ops.maximum(norm, 1e-30), 1.0))


def denoising_loss(energy: Callable, x, noise_sd: float, rng: np.random.Generator):
    """Mean of |noise_sd grad U(x + noise_sd e) - e|^2 / 2 over the examples (n, d), e from N(0, I).

    Least where -grad U is the score of the data blurred by N(0, noise_sd^2): of e, given the blurred point, it then
    tells the mean. Vincent (2011), "A connection between score matching and denoising autoencoders", eq. 9, with the
    weight noise_sd^2 of Song and Ermon (2019).
    """
    check_rng(rng, "denoising_loss()")
    noise = ops.normal(rng, x.shape, x.dtype)
    blurred = tensor(x + noise * noise_sd, requires_grad=True)
    slope = input_gradient(values(energy, blurred), blurred)
    error = slope * noise_sd - noise
    return ops.mean(ops.sum(ops.square(error), axis=1)) * 0.5


class GaussianNoise(NamedTuple):
    """The distribution N(0, factor factor^T) that noise-contrastive estimation tells the data from: arrays (d, d)."""

    factor: np.ndarray
    whitening: np.ndarray  # its inverse

    @classmethod
    def fitted(cls, x: np.ndarray) -> GaussianNoise:
        """With the covariance of x (n, d), whose mean is 0; a little wider, so that it exists for constant features."""
        factor = np.linalg.cholesky(x.T @ x / len(x) + 1e-4 * np.eye(x.shape[1]))
        return cls(factor.astype(np.float32), np.linalg.inv(factor).astype(np.float32))

    def draw(self, rng: np.random.Generator, n: int):
        """n points (n, d)."""
        return ops.normal(rng, (n, len(self.factor))) @ np.ascontiguousarray(self.factor.T)

    def log_prob(self, x):
        """Log-density of points (n, d): (n,)."""
        d = len(self.factor)
        log_volume = float(np.sum(np.log(np.diag(self.factor)))) + d / 2 * math.log(2 * math.pi)
        white = x @ np.ascontiguousarray(self.whitening.T)
        return ops.sum(ops.square(white), axis=1) * -0.5 - log_volume


def noise_contrastive_loss(energy: Callable, log_Z, x, noise: GaussianNoise, ratio: int, rng: np.random.Generator):
    """Cross-entropy of telling data (n, d) from `ratio` times as many points of `noise`, per example of the data.

    The logit of being data is -U(x) - log_Z - log q(x) - log(ratio), q the noise's density. With the best energy it is
    log p / (ratio q), so that log_Z, a parameter like any other, comes to be the logarithm of the partition function.
    Gutmann and Hyvarinen (2010, 2012), "Noise-contrastive estimation of unnormalized statistical models", eq. 8.
    """
    fake = noise.draw(rng, ratio * x.shape[0])

    def logit(points):
        known = noise.log_prob(points) + math.log(ratio)
        return -(values(energy, points) + log_Z + known)

    missed = ops.mean(ops.softplus(-logit(x)))
    return missed + ops.mean(ops.softplus(logit(fake))) * float(ratio)


class Lesson:
    """One training step, `with_chains` or `without`: what is compiled. `count` is the number of steps done."""

    def __init__(self, model, data: np.ndarray, rng: np.random.Generator):
        self.model, self.network, self.data, self.rng, self.count = model, model.network_, data, rng, 0
        self.optimizer = optim.Adam(self.network, optim.cosine_decay(model.lr, model.steps))
        # An array, so that a compiled step reads the size of now and not that of its recording.
        model.step_size_ = np.asarray(model.step_size or FIRST_STEP, np.float32)
        self.noise = GaussianNoise.fitted(data) if model.method == "noise_contrastive" else None

    def starts(self, real):
        """Where the chains of this step begin (n, d), and which of the kept ones they are, or None."""
        model, n = self.model, len(real)
        if model.method == "contrastive_divergence":
            return None, real
        moved = self.rng.choice(model.chains, min(n, model.chains), replace=False)
        begin = model._chains[moved]
        anew = np.flatnonzero(self.rng.random(len(begin)) < model.restart)
        if model.restart_from == "data":
            begin[anew] = self.data[self.rng.integers(len(self.data), size=len(anew))]
        else:
            begin[anew] = self.rng.standard_normal((len(anew), begin.shape[1]), np.float32)
        return moved, begin

    def with_chains(self, real, begin):
        """Let the chains go on, then learn: the loss, where the chains are, their acceptance rate."""
        model = self.model
        ends, acceptance = mala_chain(self.network, begin, model.chain_steps, model.step_size_, self.rng)
        if model.step_size is None:
            act(_adapt, model.step_size_, acceptance, changes=(model.step_size_,))
        self.optimizer.zero_grad()
        positive, negative = self.network(real), self.network(ends)
        loss = total = contrast(positive, negative)
        if model.alpha:
            total = loss + size_penalty(positive, negative) * model.alpha
        self._learn(total)
        return loss, ends, acceptance

    def without(self, real):
        """Learn from the data and from noise: the loss."""
        model = self.model
        self.optimizer.zero_grad()
        if model.method == "denoising":
            loss = denoising_loss(self.network, real, model.noise_sd, self.rng)
        else:
            loss = noise_contrastive_loss(
                self.network, self.network.log_Z, real, self.noise, model.noise_ratio, self.rng
            )
        self._learn(loss)
        return loss

    def _learn(self, loss):
        loss.backward(self.network.parameters())
        act(self._check_finite, loss.data, self.network.flat().grad)
        self.optimizer.step()

    def _check_finite(self, loss, gradient):
        if trouble := not_finite(loss, gradient):
            raise FloatingPointError(
                f"EnergyModel.fit(): {trouble} at step {self.count + 1}; the weights are those before it. "
                "A smaller lr, or alpha=0.01 for a method with chains, may help; minigen.check.debug() finds the "
                "operation"
            )


def _adapt(step_size: np.ndarray, acceptance) -> None:
    """Change the step size, in place, towards the acceptance rate that is aimed at."""
    step_size *= np.float32(math.exp(0.05 * (float(acceptance) - ACCEPTANCE)))
