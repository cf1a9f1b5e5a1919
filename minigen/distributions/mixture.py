"""What is a draw of one of several distributions, chosen at random? Mixtures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from .. import ops
from ..watching import live_check
from .families import Categorical
from .parameters import Real, Shape, Values, as_operand, as_real, draws_shape, raw


class Mixture:
    """A draw is one of a component chosen at random: p(x) = sum_k w_k p_k(x).

    Parameters
    ----------
    components : K distributions of one event shape and no batch, all of densities or all of probabilities.
    weights : (K,) positive numbers of sum 1; equal ones if neither these nor logits are given.
    logits : (K,) instead of weights: their logarithms plus any constant, as for a Categorical.

    Gradients flow through draws to the components, not to the weights, so draws are not reparameterised as a whole.
    """

    batch_shape = ()

    def __init__(self, components: Sequence, *, weights: Real | None = None, logits: Real | None = None):
        self.components = _components(components)
        self.event_shape = self.components[0].event_shape
        self.discrete = self.components[0].discrete
        self._choice = Categorical(_logits(weights, logits, len(self.components)))
        if self._choice.logits.shape != (len(self.components),):
            raise ValueError(
                f"Mixture got {len(self.components)} components and weights or logits of shape "
                f"{self._choice.logits.shape}; give one for each component"
            )

    @property
    def weights(self) -> Values:
        return ops.softmax(self._choice.logits)

    @property
    def mean(self) -> Values:
        return self._average([component.mean for component in self.components])

    @property
    def var(self) -> Values:
        mean = self.mean
        return self._average([c.var + ops.square(c.mean - mean) for c in self.components])

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """Draws from every component, of which each point keeps one: (*shape, *event_shape)."""
        shape = draws_shape(shape, rng, self)
        chosen = self._choice.sample(shape, rng)
        chosen = ops.reshape(chosen, shape + (1,) * len(self.event_shape))
        draws = self.components[0].sample(shape, rng)
        for k, component in enumerate(self.components[1:], start=1):
            draws = ops.where(ops.equal(chosen, k), component.sample(shape, rng), draws)
        return draws

    def log_prob(self, x: Real) -> Values:
        """Log-density of points (*, *event_shape): (*,), by log-sum-exp over the components."""
        terms = ops.stack([component.log_prob(x) for component in self.components], -1)
        log_weights = ops.astype(ops.log_softmax(self._choice.logits), terms.dtype)
        return ops.logsumexp(terms + log_weights, -1)

    def entropy(self) -> NoReturn:
        """Raises ValueError: there is no closed form."""
        raise ValueError("the entropy of a Mixture has no closed form; use sampled_entropy(mixture, rng=rng, n=10000)")

    def _average(self, values):
        weights = ops.reshape(self.weights, (-1,) + (1,) * len(self.event_shape))
        return ops.sum(ops.stack([as_operand(value) for value in values]) * weights, 0)


def _components(given) -> list:
    """The components as a list; raises unless they are distributions of the same points, without a batch."""
    components: list[Any] = list(given) if isinstance(given, Iterable) else [None]
    if not components:
        raise ValueError("Mixture got no components; give a list of at least one distribution")
    if not all(hasattr(component, "event_shape") for component in components):
        raise TypeError(
            f"Mixture got components={given!r:.80}; expected a list of distributions, such as "
            "[Normal(0.0, 1.0), Normal(3.0, 0.5)]"
        )
    shapes = {component.event_shape for component in components}
    kinds = {component.discrete for component in components}
    batches = {component.batch_shape for component in components}
    if len(shapes) > 1 or len(kinds) > 1 or batches != {()}:
        raise ValueError(
            f"Mixture got components of event shapes {sorted(shapes)} and batch shapes {sorted(batches)}"
            f"{', discrete and not' if len(kinds) > 1 else ''}; expected one event shape, no batch, and one kind"
        )
    return components


def _logits(weights, logits, k: int):
    """Logarithms of the weights, up to a constant, from whichever is given."""
    if weights is not None and logits is not None:
        raise ValueError("Mixture got weights and logits; give one of them")
    if weights is not None:
        weights = as_real(weights, "weights", "Mixture")
        live_check(_check_weights, raw(weights))
        return ops.log(weights)
    return np.zeros(k) if logits is None else logits


def _check_weights(weights):
    # A weight of 0 would have the logarithm -inf, and no gradient.
    total = np.sum(weights)
    if not (np.all(weights > 0) and abs(total - 1) < 1e-5 * max(1, np.size(weights))):
        raise ValueError(
            f"Mixture got weights of sum {total} from {np.min(weights, initial=np.inf)}; expected positive numbers of "
            "sum 1: divide by the sum, and leave out components of weight 0"
        )
