"""What is a step of a chain? The state of all chains, the rule by which a step is accepted, and what it reports.

A kernel is a pair: `init(position)` gives a state, `step(state, rng)` the next one and an info. All chains move as one
batch, an array (chains, d). Every kernel here has two parts: it proposes, and the Metropolis-Hastings rule (1953, 1970)
decides for each chain by itself. The kernels differ in what they propose and in the ratio that belongs to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import kernels, ops
from .._support.arguments import Inside, Kind, Positive, Rng, kinds_of, settings, taken
from .density import Density


def _is_scale(value: Any) -> bool:
    try:
        scale = np.asarray(value)
    except ValueError:
        return False
    return (
        scale.ndim <= 1
        and scale.size > 0
        and scale.dtype.kind in "fiu"
        and bool(np.all((scale > 0) & (scale < np.inf)))
    )


def _kept_scale(value: Any) -> float | np.ndarray:
    scale = np.asarray(value, np.float64)
    return float(scale) if scale.ndim == 0 else scale


Scale = Annotated[
    float | np.ndarray,
    Kind("a positive number, or one for each axis", _is_scale, _kept_scale),
]  # the typical width of each axis


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


@settings
class Kernel:
    """`init(position)` and `step(state, rng)`; made by `ula`, `mala`, `hmc` and `random_walk`.

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
    step_size: Positive | None
    temperature: Positive = 1.0
    scale: Scale = 1.0
    target: Inside | None = None
    needs_grad: bool = True

    def agree(self) -> None:
        if self.step_size is None and self.target is None:
            raise ValueError(f"{self.name}() has no acceptance to adapt its step size by; give step_size")

    def replace(self, **settings: Any) -> Kernel:
        """The same kernel with another `step_size`, `temperature` or `scale`."""
        return dataclasses.replace(self, **settings)

    def init(self, position: ArrayLike) -> State:
        """The state of chains at these positions (chains, d); for their dtype see `Density.start`.

        Raises ValueError if they have another shape, or if log p or its gradient is not finite at one of them, and
        TypeError if they are float64 and the weights of log_prob float32, or the other way round.
        """
        state = State(*self.density.start(position, f"{self.name}()", self.needs_grad))
        shape = state.position.shape
        if not isinstance(self.scale, float) and self.scale.shape != shape[1:]:
            raise ValueError(
                f"{self.name}() has a scale of shape {self.scale.shape} and got positions of shape {shape}; give one "
                f"number for each of the {shape[1]} axes"
            )
        self._check_start("log_prob", state.position, np.isfinite(state.log_prob))
        if state.grad is not None:
            self._check_start("its gradient", state.position, np.isfinite(state.grad).all(axis=1))
        return state

    def _check_start(self, name: str, position: np.ndarray, is_finite: np.ndarray) -> None:
        bad = np.flatnonzero(~is_finite)
        if len(bad):
            at = np.array2string(position[bad[0]], precision=4, threshold=6)
            raise ValueError(
                f"{self.name}(): {name} is not finite at the start of {len(bad)} of {len(position)} chains, such as "
                f"chain {bad[0]} at {at}; start where the density is positive"
            )

    def step(self, state: State, rng: np.random.Generator) -> tuple[State, Info]:
        """Move all chains once: the next state, and what happened."""
        if not isinstance(rng, np.random.Generator):  # checked by hand, as this runs in every step
            taken(rng, kinds_of(Rng), "rng", f"{self.name}.step()")
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

    def __repr__(self) -> str:
        step_size = "to be adapted" if self.step_size is None else f"{self.step_size:.4g}"
        return f"{self.name}(step_size={step_size}, temperature={self.temperature:.4g})"
