"""Chains that grope about: a random jump, accepted by the ratio of densities. No gradient; the baseline."""

from __future__ import annotations

from .._support.arguments import Positive, checked
from .density import Density, LogProb
from .kernel import Kernel, Scale, State


@checked
def random_walk(
    log_prob: LogProb,
    step_size: Positive | None = None,
    *,
    temperature: Positive = 1.0,
    scale: Scale = 1.0,
    compile: bool = True,
) -> Kernel:
    """Random-walk Metropolis: y = x + step_size * sqrt(temperature) * scale * noise, a jump that knows nothing of p.

    It is accepted with (p(y) / p(x))^(1 / temperature). `step_size` is the standard deviation of a jump; None is left
    to `adapt`, which aims at acceptance 0.234. A NumPy pair may be (log_prob, None). The other parameters are those of
    `ula`.

    Metropolis et al. (1953); Roberts, Gelman and Gilks (1997) for 0.234.
    """
    density = Density(log_prob, compile)

    def propose(state, noise, step_size, temperature, scale):
        position = state.position + step_size * temperature**0.5 * scale * noise
        proposal = State(position, density.value(position))
        return proposal, (proposal.log_prob - state.log_prob) / temperature

    return Kernel("random_walk", density, propose, step_size, temperature, scale, target=0.234, needs_grad=False)
