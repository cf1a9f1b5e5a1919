"""The energy model: a network that gives every point an energy, low where data are, and p(x) = exp(-U(x)) / Z."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import (
    Count,
    Fitted,
    Fraction,
    LikeData,
    NotNegative,
    Positive,
    Rng,
    Rows,
    Widths,
    checked,
    settings,
)
from ..distributions import Normal
from ..nn.init import kaiming_normal
from ..samplers import GridIntegral, annealed_importance_sampling, from_energy, log_Z_on_grid
from ..samplers.langevin import truncated_mala
from ..tape import Tensor, grad, leaf, no_grad, tensor
from ..training import Callback, History, descend, run
from ..watching import act
from .chain_draws import KernelName, ends, in_data_units, kernel_of
from .energy_losses import (
    GaussianNoise,
    contrast,
    denoising_loss,
    noise_contrastive_loss,
    size_penalty,
    values,
)
from .networks import ActivationName
from .scaling import per_feature

WITH_CHAINS = ("contrastive_divergence", "persistent")
STARTS = 256  # annealed chains from which a smaller number of starts is taken
FIRST_STEP = 0.05  # of the chains in training, where the search for their step size begins
ACCEPTANCE = 0.6  # what that search aims at
ADVICE = "A smaller lr, or alpha=0.01 for a method with chains, may help"


class EnergyNetwork(nn.Module):
    """Energies (n,) of points in scaled data: an MLP on top of |x|^2 / 2; and the learned log Z, where there is one."""

    def __init__(self, sizes: Sequence[int], activation: str, log_Z: float | None, rng: np.random.Generator):
        self.mlp = nn.MLP(sizes, activation, rng=rng, initial=kaiming_normal)
        self.log_Z = None if log_Z is None else leaf(np.full(1, log_Z, np.float32))

    def forward(self, x: np.ndarray | Tensor) -> Tensor:
        """U(x) = f(x) + |x|^2 / 2."""
        return ops.reshape(self.mlp(x), (-1,)) + 0.5 * ops.sum(ops.square(x), axis=1)


@settings
class EnergyModel(Fitted):
    """p(x) = exp(-U(x)) / Z with the energy U(x) = f(x) + |x|^2 / 2, where f is an MLP (LeCun et al., 2006).

    Inside, each feature is brought to mean 0 and SD 1; x is meant in that scale. The second term makes Z finite
    whatever f learns, because f grows at most linearly: the model is N(0, I) tilted by exp(-f) (Xie et al., 2016,
    eq. 2).

    Parameters
    ----------
    hidden, activation : widths of the MLP's hidden layers, and what follows each.
    method : how it learns; `models.energy_losses` has the formulas.
        "contrastive_divergence": data are moved by `chain_steps` steps of MALA, and the energy falls where they were
        and rises where they went (Hinton, 2002). It looks only near the data.
        "persistent": the chains go on where they were, so that in time they follow the model (Tieleman, 2008). The
        shares of modes between which no chain crosses are not learned, though the chains themselves look right.
        "denoising": the score is fitted to the noise in data blurred by N(0, noise_sd^2) (Vincent, 2011), and the model
        is of those blurred data. No chains; the share of well separated modes is hard to see for it.
        "noise_contrastive": data are told from a Gaussian with their covariance (Gutmann and Hyvarinen, 2010). No
        chains; log Z is learned. Good where the Gaussian is not too different from the data: in few dimensions.
    chain_steps : steps of the chains in each training step.
    step_size : of these chains, in scaled data (see `samplers.mala`); None keeps their acceptance near 0.6.
    chains : "persistent" keeps so many, and moves a batch of them in each step: the replay buffer.
    restart : the share of a moved batch that begins anew, `restart_from` "noise", which is N(0, I), or "data".
    noise_sd : of the blur, in SDs of the data.
    noise_ratio : points of noise for each of the data.
    alpha : weight of mean U(data)^2 + mean U(chains)^2 (Du and Mordatch, 2019), for methods with chains.
    steps, batch_size, lr : of Adam, whose step size falls to 0 along half a cosine.

    After `fit`: `network_`, `scale_`, `log_Z_`, and `history_`, with "loss" and, of methods with chains, "acceptance",
    the mean acceptance rate; the loss of chains is a difference of energies, near 0 where the model has learned, and no
    likelihood. Such methods have `step_size_` too, an array (); "persistent" has `chains_`, "noise_contrastive"
    `learned_log_Z_`.
    """

    learned = "history_"

    hidden: Widths = (128, 128)
    activation: ActivationName = "silu"
    _: KW_ONLY
    method: Literal["contrastive_divergence", "persistent", "denoising", "noise_contrastive"] = "persistent"
    chain_steps: Count = 10
    step_size: Positive | None = None
    chains: Count = 1024
    restart: Fraction = 0.05
    restart_from: Literal["noise", "data"] = "noise"
    noise_sd: Positive = 0.1
    noise_ratio: Count = 4
    alpha: NotNegative = 0.0
    steps: Count = 2000
    batch_size: Count = 128
    lr: Positive = 1e-2

    def agree(self) -> None:
        """Refuse settings that go with others only."""
        if self.alpha and self.method not in WITH_CHAINS:
            raise ValueError(
                f"EnergyModel got alpha={self.alpha!r} with method={self.method!r}; it goes with "
                f"{' and '.join(WITH_CHAINS)}"
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
    ) -> EnergyModel:
        """Learn from X (n, d); returns the model.

        `validation`, rows held out, and `patience` are those of `training.fit`, for methods without chains, whose loss
        can be compared. `callbacks` are called with a `training.StepInfo` after each step; `checkpoint` and `resume`
        are those of `training.run`, as is what Ctrl-C does. Raises FloatingPointError when the loss or its gradient is
        not finite, before the weights are touched.
        """
        if validation is not None and self.method in WITH_CHAINS:
            raise ValueError(
                f"EnergyModel.fit() got validation data with method={self.method!r}, whose loss says nothing of how "
                "good the model is; leave them out, and look at samples and at log_prob()"
            )
        if patience is not None and validation is None:
            raise ValueError("EnergyModel.fit() got patience without validation data; give validation=X to watch")
        self.scale_, d = per_feature(X), X.shape[1]
        data = self.scale_.to_unit(X).astype(np.float32)
        self._bounds = np.stack([np.minimum(data.min(axis=0) - 2, -4), np.maximum(data.max(axis=0) + 2, 4)])
        # Where log Z begins: as if f were 0.
        log_Z = d / 2 * math.log(2 * math.pi) if self.method == "noise_contrastive" else None
        self.network_ = EnergyNetwork([d, *self.hidden, 1], self.activation, log_Z, rng)
        self._grid, self._buffer, self.history_ = None, None, History()
        learner = (ByChains if self.method in WITH_CHAINS else ByNoise)(self, data, rng)
        held_out = None if validation is None else self._unit(validation)
        run(
            learner.step,
            (data,),
            parts=learner.parts(),
            model=self,
            rng=rng,
            steps=self.steps,
            batch_size=self.batch_size,
            prepare=learner.prepare,
            validate=None if held_out is None else lambda _: learner.loss(held_out).item(),
            patience=patience,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
            label="energy",
            history=self.history_,
        )
        return self

    @checked
    def energy(self, X: LikeData) -> np.ndarray:
        """U at each row of X (n, d): (n,). Its zero has no meaning: log p = -U - log Z."""
        with no_grad():
            return values(self.network_, self._unit(X)).data.astype(np.float64)

    @checked
    def score(self, X: LikeData) -> np.ndarray:
        """-grad U = grad log p at each row of X, (n, d), per data unit."""
        x = tensor(self._unit(X), requires_grad=True)
        return -grad(ops.sum(values(self.network_, x)), x).data / self.scale_.sd

    @checked
    def log_density(self, temperature: Positive = 1.0) -> Callable:
        """log p of points (n, d) in data units up to a constant, -U(x) / T: for `samplers.mala` and its like.

        A function of tensors, float32 or float64, of the weights as they are at the call.
        """
        self._check_fitted()
        return in_data_units(from_energy(copy.deepcopy(self.network_)), self.scale_, temperature)

    def grid(self, bounds: Sequence[tuple[float, float]] | None = None, cells: int = 512) -> GridIntegral:
        """log Z and log p on a grid in data units, for one or two features; see `samplers.log_Z_on_grid`.

        By default it reaches two SDs beyond the data and at least four from their mean. Raises ValueError for more
        than two features.
        """
        self._check_fitted()
        d = len(self.scale_.mean)
        if d > 2:
            raise ValueError(
                f"EnergyModel has {d} features; log p on a grid takes 1 or 2. energy() gives -log p up to a constant, "
                'method="noise_contrastive" learns that constant, and '
                "samplers.annealed_importance_sampling() estimates it"
            )
        if bounds is None:
            bounds = self.scale_.from_unit(self._bounds).T
        return log_Z_on_grid((lambda x: -self.energy(x), None), bounds, cells)

    @property
    def chains_(self) -> np.ndarray:
        """Where the chains of "persistent" are now, (chains, d) in data units: nearly samples of the model."""
        self._check_fitted()
        if self._buffer is None:
            raise ValueError(f'EnergyModel with method="{self.method}" keeps no chains; "persistent" does')
        return self.scale_.from_unit(self._buffer.chains)

    @property
    def log_Z_(self) -> float:
        """log of the integral of exp(-U) in data units, from `grid()`; kept until the weights change."""
        self._check_fitted()
        weights = self.network_.flat().data
        if self._grid is None or not np.array_equal(self._grid[0], weights):
            self._grid = weights.copy(), self.grid().log_Z
        return self._grid[1]

    @property
    def learned_log_Z_(self) -> float:
        """What "noise_contrastive" learned for log Z, in data units; it can be held against `log_Z_`."""
        self._check_fitted()
        if self.network_.log_Z is None:
            raise ValueError(f'EnergyModel with method="{self.method}" learns no log Z; "noise_contrastive" does')
        return float(self.network_.log_Z.data[0]) + float(np.sum(np.log(self.scale_.sd)))

    def log_prob(self, X: LikeData) -> np.ndarray:
        """log p(x) for each row of X in data units, (n,): -U - log Z, with `log_Z_` of the grid.

        For more than two features it needs "noise_contrastive", and takes the log Z which that learned: near the truth
        where data and noise could be told apart neither too well nor too badly, but not exact. Raises ValueError for
        more than two features and another method.
        """
        energy = self.energy(X)
        learned = len(self.scale_.mean) > 2 and self.network_.log_Z is not None
        return -energy - (self.learned_log_Z_ if learned else self.log_Z_)

    @checked
    def sample(
        self,
        n: Count,
        rng: Rng,
        *,
        kernel: KernelName = "mala",
        steps: Count = 100,
        step_size: Positive | None = None,
        start: LikeData | None = None,
        progress: bool = True,
    ) -> np.ndarray:
        """n draws (n, d), each the end of a chain of its own.

        Parameters
        ----------
        kernel : "mala", or "ula", whose law is off by a term linear in the step size.
        steps : of each chain; as many more before them when the step size is to be found.
        step_size : in scaled data, see `samplers.mala`; None is found by `samplers.adapt`, for "mala" only.
        start : where the chains begin, (n, d) in data units. None leads them from N(0, I) to the model by annealed
            importance sampling and takes them by their weights, so that modes between which no chain crosses have
            their share; it warns where few weights count, as in many dimensions: then start at data.

        Ctrl-C ends the chains where they are, with a warning; while they are still led to the model it raises
        KeyboardInterrupt.
        """
        self._check_fitted()
        if start is not None and len(start) != n:
            raise ValueError(f"EnergyModel.sample() got n={n} and {len(start)} starts; give one for each chain")
        log_prob = from_energy(self.network_)
        moves = kernel_of(kernel, log_prob, step_size)
        position = self._annealed(log_prob, n, rng, progress) if start is None else self._unit(start)
        return self.scale_.from_unit(ends(moves, position, steps, rng, progress))

    def _annealed(self, log_prob, n, rng, progress) -> np.ndarray:
        """Starts (n, d) in scaled data: annealed chains, drawn by their weights (stratified resampling)."""
        base = Normal(np.zeros(len(self.scale_.mean), np.float32), 1.0)
        found = annealed_importance_sampling(log_prob, base, max(n, STARTS), rng, progress=progress)
        places = (np.arange(n) + rng.random(n)) / n
        chosen = np.searchsorted(np.cumsum(found.weights), places)
        return found.draws[rng.permutation(np.minimum(chosen, len(found.draws) - 1))]

    def _unit(self, X: np.ndarray) -> np.ndarray:
        return self.scale_.to_unit(X).astype(np.float32)


@dataclass(eq=False)
class ReplayBuffer:
    """Chains (m, d) that go on where they were; a few begin anew, at data or, without, at draws from N(0, I)."""

    chains: np.ndarray
    restart: float
    data: np.ndarray | None

    def start(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Where n of the chains begin (n, d), and which they are (n,)."""
        moved = rng.choice(len(self.chains), min(n, len(self.chains)), replace=False)
        begin = self.chains[moved]
        anew = np.flatnonzero(rng.random(len(begin)) < self.restart)
        if self.data is not None:
            begin[anew] = self.data[rng.integers(len(self.data), size=len(anew))]
        else:
            begin[anew] = rng.standard_normal((len(anew), begin.shape[1]), np.float32)
        return begin, moved


class ByChains:
    """Learning in two phases: energies fall at data and rise where chains are. `step` is compiled."""

    def __init__(self, model: EnergyModel, data: np.ndarray, rng: np.random.Generator):
        self.model, self.network, self.rng = model, model.network_, rng
        self.optimizer = optim.Adam(self.network, optim.cosine_decay(model.lr, model.steps))
        # An array, so that a compiled step reads the size of now and not that of its recording.
        model.step_size_ = self.step_size = np.asarray(model.step_size or FIRST_STEP, np.float32)
        self.buffer = None
        if model.method == "persistent":
            chains = rng.standard_normal((model.chains, data.shape[1]), np.float32)
            restart_at = data if model.restart_from == "data" else None
            model._buffer = self.buffer = ReplayBuffer(chains, model.restart, restart_at)

    def parts(self) -> dict[str, object]:
        """What changes in a step, for a checkpoint."""
        parts = {"module": self.network, "optimizer": self.optimizer, "step_size": self.step_size}
        return parts if self.buffer is None else {**parts, "chains": self.buffer.chains}

    def prepare(self, real: np.ndarray) -> tuple[np.ndarray, ...]:
        """The data, where the chains begin, and which of the kept ones they are."""
        return (real, real) if self.buffer is None else (real, *self.buffer.start(len(real), self.rng))

    def step(self, number: np.ndarray, real: np.ndarray, begin: np.ndarray, *moved: np.ndarray) -> dict[str, Tensor]:
        """Let the chains go on, then learn."""
        model = self.model
        log_prob = from_energy(self.network)
        found, acceptance = truncated_mala(log_prob, begin, model.chain_steps, self.step_size, self.rng)
        for which in moved:  # one array, or none without a buffer
            act(_put, self.buffer.chains, which, found, changes=(self.buffer.chains,))
        if model.step_size is None:
            act(_adapt, self.step_size, acceptance, changes=(self.step_size,))
        positive, negative = self.network(real), self.network(found)
        loss = total = contrast(positive, negative)
        if model.alpha:
            total = total + model.alpha * size_penalty(positive, negative)
        descend(total, number, self.optimizer, advice=ADVICE)
        return {"loss": loss, "acceptance": acceptance}


class ByNoise:
    """Learning from data and noise: by the score of blurred data, or by telling data from noise. `step` is compiled."""

    def __init__(self, model: EnergyModel, data: np.ndarray, rng: np.random.Generator):
        self.model, self.network, self.rng = model, model.network_, rng
        self.prepare = None  # nothing for NumPy to do beforehand
        self.optimizer = optim.Adam(self.network, optim.cosine_decay(model.lr, model.steps))
        self.noise = GaussianNoise.fitted(data) if model.method == "noise_contrastive" else None

    def parts(self) -> dict[str, object]:
        """What changes in a step, for a checkpoint."""
        return {"module": self.network, "optimizer": self.optimizer}

    def step(self, number: np.ndarray, real: np.ndarray) -> dict[str, Tensor]:
        """One step down the loss."""
        loss = self.loss(real)
        descend(loss, number, self.optimizer, advice=ADVICE)
        return {"loss": loss}

    def loss(self, real: np.ndarray) -> Tensor:
        """What the method minimises."""
        if self.noise is None:
            return denoising_loss(self.network, real, self.model.noise_sd, self.rng)
        ratio = self.model.noise_ratio
        return noise_contrastive_loss(self.network, self.network.log_Z, real, self.noise, ratio, self.rng)


def _put(chains: np.ndarray, which: np.ndarray, where: np.ndarray) -> None:
    chains[which] = where


def _adapt(step_size: np.ndarray, acceptance) -> None:
    """Change the step size, in place, towards the acceptance rate that is aimed at."""
    step_size *= np.float32(math.exp(0.05 * (float(acceptance) - ACCEPTANCE)))
