"""What is a step of a chain? The state of all chains, the rule by which a step is accepted, and what it reports.

A kernel is a pair: `init(position)` gives a state, `step(rng, state)` the next one and an info. All chains move as one
batch, an array (chains, d). Every kernel here has two parts: it proposes, and the Metropolis-Hastings rule (1953, 1970)
decides for each chain by itself. The kernels differ in what they propose and in the ratio that belongs to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import kernels, ops
from .._support.arguments import check_positive, check_rng
from .density import Density, as_position


class State(NamedTuple):
    """Where all chains are: `position` (chains, d), its `log_prob` (chains,), and the `grad` of that (chains, d).

    `grad` is None for a kernel that asks for no gradient. log p is that of the kernel's density, not of its tempering.
    """

    position: np.ndarray
    log_prob: np.ndarray
    grad: np.ndarray | None = None


class Info(NamedTuple):
    """What a step did, each (chains,).

    `acceptance_rate` is the probability with which the proposal was accepted, `is_accepted` whether it was, and
    `is_divergent` whether log p or its gradient was not finite there, or the integration had gone astray: such a
    proposal is always rejected.
    """

    acceptance_rate: np.ndarray
    is_accepted: np.ndarray
    is_divergent: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """`init(position)` and `step(rng, state)`; made by `ula`, `mala`, `hmc` and `random_walk`.

    Attributes
    ----------
    name : of the function that made it.
    density : log p and its gradient.
    propose : (state, noise, step_size, temperature, scale) to (proposal, log_ratio), where the proposal is a State, the
        noise (chains, d) is from N(0, 1), and log_ratio (chains,) is the logarithm of the Metropolis-Hastings ratio
        p(y) q(x | y) / (p(x) q(y | x)).
    step_size, temperature, scale : as given; `step_size` None waits for `adapt`.
    target : the mean acceptance rate that `adapt` aims at; None if every finite proposal is accepted.
    """

    name: str
    density: Density
    propose: Callable
    step_size: float | None
    temperature: float = 1.0
    scale: float | np.ndarray = 1.0
    target: float | None = None
    needs_grad: bool = True

    def __post_init__(self):
        caller = f"{self.name}()"
        if self.step_size is None and self.target is None:
            raise ValueError(f"{caller} has no acceptance to adapt its step size by; give step_size")
        for name in ("step_size", "temperature"):  # Python floats let the arrays keep their dtype
            value = getattr(self, name)
            if value is not None or name == "temperature":
                object.__setattr__(self, name, float(check_positive(value, name, caller)))
        scale = np.asarray(self.scale)
        if scale.ndim > 1 or scale.dtype.kind not in "fiu" or not np.all((scale > 0) & (scale < np.inf)):
            raise ValueError(f"{caller} got scale={self.scale!r:.80}; expected a positive number, or one for each axis")
        object.__setattr__(self, "scale", float(scale) if scale.ndim == 0 else scale.astype(np.float64))

    def replace(self, **settings) -> Kernel:
        """The same kernel with another `step_size`, `temperature` or `scale`."""
        return dataclasses.replace(self, **settings)

    def init(self, position) -> State:
        """The state of chains at these positions (chains, d).

        Raises ValueError if they have another shape, or if log p or its gradient is not finite at one of them, and
        TypeError if they are float64 and the weights of log_prob float32, or the other way round.
        """
        caller = f"{self.name}()"
        position = as_position(position, caller)
        if not isinstance(self.scale, float) and self.scale.shape != position.shape[1:]:
            raise ValueError(
                f"{caller} has a scale of shape {self.scale.shape} and got positions of shape {position.shape}; give "
                f"one number for each of the {position.shape[1]} axes"
            )
        try:
            with np.errstate(all="ignore"):
                log_prob, grad = self.density(position) if self.needs_grad else (self.density.value(position), None)
        except TypeError as error:
            if "two dtypes" not in str(error):
                raise
            other = "float32" if position.dtype == np.float64 else "float64"
            raise TypeError(
                f"{caller}: log_prob does not take {position.dtype} positions: {error}; give them the dtype of its "
                f"weights and data: position.astype(np.{other})"
            ) from error
        for name, found in (("log_prob", log_prob[:, None]), ("its gradient", grad)):
            bad = () if found is None else np.flatnonzero(~np.isfinite(found).all(axis=1))
            if len(bad):
                at = np.array2string(position[bad[0]], precision=4, threshold=6)
                raise ValueError(
                    f"{caller}: {name} is not finite at the start of {len(bad)} of {len(position)} chains, such as "
                    f"chain {bad[0]} at {at}; start where the density is positive"
                )
        return State(position, log_prob, grad)

    def step(self, rng: np.random.Generator, state: State) -> tuple[State, Info]:
        """Move all chains once: the next state, and what happened."""
        check_rng(rng, f"{self.name}.step()")
        chains, dtype = state.log_prob.shape, state.position.dtype
        noise = ops.normal(rng, state.position.shape, dtype)
        return self.transition(state, noise, None if self.target is None else ops.uniform(rng, chains, dtype))

    def transition(self, state: State, noise: np.ndarray, uniform: np.ndarray | None = None) -> tuple[State, Info]:
        """The step that these draws lead to: `noise` (chains, d) from N(0, 1), `uniform` (chains,) from [0, 1).

        A chain accepts its proposal if `uniform` is below the acceptance rate min(1, ratio); without `uniform` it
        accepts whatever is finite. One that does not accept stays where it is, and that counts as its next state.
        """
        if self.step_size is None:
            raise ValueError(f"{self.name}() has no step_size yet; give one, or let samplers.adapt() find it")
        scale = self.scale if type(self.scale) is float else self.scale.astype(state.position.dtype)
        with np.errstate(all="ignore"):
            proposal, log_ratio = self.propose(state, noise, self.step_size, self.temperature, scale)
            is_finite = np.isfinite(log_ratio)
            if uniform is None:
                accepted, rate = is_finite, is_finite.astype(log_ratio.dtype)
            else:
                rate = np.where(is_finite, np.exp(np.minimum(log_ratio, 0.0)), np.zeros_like(log_ratio))
                accepted = uniform < rate
        info = Info(rate, accepted, ~is_finite)
        if np.count_nonzero(accepted) == len(accepted):
            return proposal, info
        state = State(
            kernels.choose_rows(accepted, proposal.position, state.position),
            np.where(accepted, proposal.log_prob, state.log_prob),
            None if state.grad is None else kernels.choose_rows(accepted, proposal.grad, state.grad),
        )
        return state, info

    def __repr__(self):
        step_size = "to be adapted" if self.step_size is None else f"{self.step_size:.4g}"
        return f"{self.name}(step_size={step_size}, temperature={self.temperature:.4g})"
