"""The energy model: a network that gives every point an energy, low where data are, and p(x) = exp(-U(x)) / Z."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import nn, ops
from .._support.arguments import check_fraction, check_positive, check_rng, check_size, check_sizes
from ..compile import compile as compiled
from ..distributions import Normal
from ..nn.init import kaiming_normal
from ..samplers import GridIntegral, annealed_importance_sampling, from_energy, log_Z_on_grid
from ..tape import grad, leaf, no_grad, tensor
from ..training import Loop, Minibatches
from .chains import ends, in_data_units, named_kernel
from .phases import Lesson, values
from .scaling import per_feature, rows

METHODS = ("contrastive_divergence", "persistent", "denoising", "noise_contrastive")
WITH_CHAINS = METHODS[:2]
STARTS = 256  # annealed chains from which a smaller number of starts is taken


@dataclass
class EnergyHistory:
    """What happened during training: `loss` of every step, and `acceptance`, the mean acceptance rate of its chains.

    The loss of chains is a difference of energies, near 0 where the model has learned, and no likelihood. `acceptance`
    is empty for a method without chains. `seconds` is the time taken, `stopped` says why training ended: "steps",
    "callback" or "interrupt".
    """

    loss: list[float] = field(default_factory=list)
    acceptance: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = "steps"


@dataclass(frozen=True)
class EnergyStep:
    """What a callback is given after each step; a callback that returns True ends the training."""

    step: int
    loss: float
    model: EnergyModel


class _Network(nn.Module):
    """Energies (n,) of points in scaled data: an MLP on top of |x|^2 / 2; and the learned log Z, where there is one."""

    def __init__(self, sizes: Sequence[int], activation: str, log_Z: float | None, rng: np.random.Generator):
        self.mlp = nn.MLP(sizes, activation, rng=rng, initial=kaiming_normal)
        self.log_Z = None if log_Z is None else leaf(np.full(1, log_Z, np.float32))

    def forward(self, x):
        return ops.reshape(self.mlp(x), (-1,)) + ops.sum(ops.square(x), axis=1) * 0.5


class EnergyModel:
    """p(x) = exp(-U(x)) / Z with the energy U(x) = f(x) + |x|^2 / 2, where f is an MLP (LeCun et al., 2006).

    Each feature is brought to mean 0 and SD 1 inside; there x is taken. The second term makes Z finite whatever f
    learns, because f grows at most linearly: the model is N(0, I) tilted by exp(-f) (Xie et al., 2016, eq. 2).

    Parameters
    ----------
    hidden, activation : widths of the MLP's hidden layers, and what follows each.
    method : how it learns; `models.phases` has the formulas.
        "contrastive_divergence": data are moved by `chain_steps` steps of MALA, and the energy falls where they were
        and rises where they went (Hinton, 2002). It looks only near the data.
        "persistent": the chains go on where they were, so that in time they follow the model (Tieleman, 2008). Of modes
        between which no chain crosses the shares are not learned, though the chains themselves look right.
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

    After `fit`: `network_`, `scale_`, `history_`, `log_Z_`; `step_size_` of methods with chains, an array (); `chains_`
    of "persistent"; `learned_log_Z_` of "noise_contrastive".
    """

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        *,
        method: str = "persistent",
        chain_steps: int = 10,
        step_size: float | None = None,
        chains: int = 1024,
        restart: float = 0.05,
        restart_from: str = "noise",
        noise_sd: float = 0.1,
        noise_ratio: int = 4,
        alpha: float = 0.0,
        steps: int = 2000,
        batch_size: int = 128,
        lr: float = 1e-2,
    ):
        if method not in METHODS:
            raise ValueError(f"EnergyModel got method={method!r}; choose one of {', '.join(METHODS)}")
        if restart_from not in ("noise", "data"):
            raise ValueError(f"EnergyModel got restart_from={restart_from!r}; choose noise or data")
        nn.Activation(activation)  # raises here, and not only in fit(), for a name that is not known
        self.hidden, self.activation, self.method = check_sizes(hidden, "hidden", "EnergyModel"), activation, method
        self.chain_steps = check_size(chain_steps, "chain_steps", "EnergyModel")
        self.step_size = None if step_size is None else check_positive(step_size, "step_size", "EnergyModel")
        self.chains, self.restart_from = check_size(chains, "chains", "EnergyModel"), restart_from
        self.restart = check_fraction(restart, "restart", "EnergyModel")
        self.noise_sd = check_positive(noise_sd, "noise_sd", "EnergyModel")
        self.noise_ratio = check_size(noise_ratio, "noise_ratio", "EnergyModel")
        self.alpha = check_positive(alpha, "alpha", "EnergyModel", zero=True)
        if alpha and method not in WITH_CHAINS:
            raise ValueError(
                f"EnergyModel got alpha={alpha!r} with method={method!r}; it goes with {' and '.join(WITH_CHAINS)}"
            )
        self.steps = check_size(steps, "steps", "EnergyModel")
        self.batch_size = check_size(batch_size, "batch_size", "EnergyModel")
        self.lr = check_positive(lr, "lr", "EnergyModel")

    def fit(
        self,
        X,
        *,
        rng: np.random.Generator,
        progress: bool | None = None,
        callbacks: Sequence[Callable[[EnergyStep], bool | None]] = (),
    ) -> EnergyModel:
        """Learn from X (n, d); returns the model.

        `progress` shows a bar, by default only on a terminal; `callbacks` are called with an `EnergyStep` after each
        step. Ctrl-C ends the training after the step under way and keeps what was learned, a second one interrupts at
        once. Raises FloatingPointError when the loss or its gradient is not finite, before the weights are touched.
        """
        check_rng(rng, "EnergyModel.fit()")
        X = rows(X, "X", "EnergyModel.fit()")
        self.scale_, d = per_feature(X), X.shape[1]
        data = self.scale_.to_unit(X).astype(np.float32)
        self._bounds = np.stack([np.minimum(data.min(axis=0) - 2, -4), np.maximum(data.max(axis=0) + 2, 4)])
        # Where log Z begins: as if f were 0.
        log_Z = d / 2 * math.log(2 * math.pi) if self.method == "noise_contrastive" else None
        self.network_ = _Network([d, *self.hidden, 1], self.activation, log_Z, rng)
        self._grid, self.history_ = None, EnergyHistory()
        self._chains = rng.standard_normal((self.chains, d), np.float32) if self.method == "persistent" else None
        lesson = Lesson(self, data, rng)
        learn = compiled(lesson.with_chains if self.method in WITH_CHAINS else lesson.without, strict=False)
        batches = Minibatches(len(data), self.batch_size, rng)
        with Loop(self.steps, self.history_, "energy", progress, callbacks) as loop:
            while loop.goes_on():
                real = np.take(data, batches.draw(), axis=0)
                if self.method in WITH_CHAINS:
                    moved, begin = lesson.starts(real)
                    loss, ends, acceptance = learn(real, begin)
                    if moved is not None:
                        self._chains[moved] = ends
                    self.history_.acceptance.append(acceptance.item())
                else:
                    loss = learn(real)
                loss = loss.item()
                self.history_.loss.append(loss)
                lesson.count += 1
                loop.count(loss=loss)
                loop.look_round(EnergyStep, loop.step, loss, self)
        return self

    def energy(self, X) -> np.ndarray:
        """U at each row of X (n, d): (n,). Its zero has no meaning: log p = -U - log Z."""
        x = self._unit(X, "EnergyModel.energy()")
        with no_grad():
            return values(self.network_, x).data.astype(np.float64)

    def score(self, X) -> np.ndarray:
        """-grad U = grad log p at each row of X, (n, d), per data unit."""
        x = tensor(self._unit(X, "EnergyModel.score()"), requires_grad=True)
        return -grad(ops.sum(values(self.network_, x)), x).data / self.scale_.sd

    def log_density(self, temperature: float = 1.0) -> Callable:
        """log p of points (n, d) in data units up to a constant, -U(x) / T: for `samplers.mala` and its like.

        A function of float32 tensors, of the weights as they are at the call.
        """
        self._check_fitted()
        temperature = check_positive(temperature, "temperature", "EnergyModel.log_density()")
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
        if self._chains is None:
            raise ValueError(f'EnergyModel with method="{self.method}" keeps no chains; "persistent" does')
        return self.scale_.from_unit(self._chains)

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

    def log_prob(self, X) -> np.ndarray:
        """log p(x) for each row of X in data units, (n,): -U - log Z, with `log_Z_` of the grid.

        For more than two features it needs "noise_contrastive", and takes the log Z which that learned: near the truth
        where data and noise could be told apart neither too well nor too badly, but not exact. Raises ValueError for
        more than two features and another method.
        """
        energy = self.energy(X)
        learned = len(self.scale_.mean) > 2 and self.network_.log_Z is not None
        return -energy - (self.learned_log_Z_ if learned else self.log_Z_)

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        kernel: str = "mala",
        steps: int = 100,
        step_size: float | None = None,
        start=None,
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
        caller = "EnergyModel.sample()"
        self._check_fitted()
        check_rng(rng, caller)
        n, steps = check_size(n, "n", caller), check_size(steps, "steps", caller)
        log_prob = from_energy(self.network_)
        moves = named_kernel(kernel, log_prob, step_size, caller)
        if start is None:
            position = self._annealed(log_prob, n, rng, progress)
        else:
            position = self._unit(start, caller)
            if len(position) != n:
                raise ValueError(f"{caller} got n={n} and {len(position)} starts; give one for each chain")
        return self.scale_.from_unit(ends(moves, position, steps, rng, progress))

    def _annealed(self, log_prob, n, rng, progress) -> np.ndarray:
        """Starts (n, d) in scaled data: annealed chains, drawn by their weights at evenly spaced quantiles."""
        base = Normal(np.zeros(len(self.scale_.mean), np.float32), 1.0)
        found = annealed_importance_sampling(log_prob, base, max(n, STARTS), rng, progress=progress)
        places = (np.arange(n) + rng.random(n)) / n
        chosen = np.searchsorted(np.cumsum(found.weights), places)
        return found.draws[rng.permutation(np.minimum(chosen, len(found.draws) - 1))]

    def _unit(self, X, caller):
        self._check_fitted()
        X = rows(X, "X", caller, len(self.scale_.mean))
        return self.scale_.to_unit(X).astype(np.float32)

    def _check_fitted(self):
        if not hasattr(self, "history_"):
            raise ValueError("this EnergyModel has not been fitted yet; call fit(X, rng=...) first")
