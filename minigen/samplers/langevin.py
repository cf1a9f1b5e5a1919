"""Chains that drift uphill and are shaken: Langevin dynamics, without and with the Metropolis correction.

With the energy U = -log p, both propose

    y = x - step grad U(x) + sqrt(2 step temperature) noise,       noise from N(0, I),

whose steps, when small, keep exp(-U / temperature). Texts also write it with half that step: drift -(h / 2) grad U and
noise sqrt(h) is the same at step = h / 2. The two must not be mixed: drift -h grad U with noise sqrt(h) is temperature
1/2, and samples exp(-2 U): for N(0, 1) the variance is 1 / (2 - h), about half of what it should be.

With `scale` s, the coordinate x_i takes the step `step s_i^2`: the chain runs as if every s_i were 1 in x_i / s_i.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import kernels, ops
from .._support.arguments import Positive, checked
from ..tape import grad, tensor
from ..watching import shown
from .density import Density, LogProb
from .kernel import Kernel, Scale, State

SMALL = 2.0**-32  # gradients times this can be squared in float32


@checked
def ula(
    log_prob: LogProb,
    step_size: Positive | None,
    *,
    temperature: Positive = 1.0,
    scale: Scale = 1.0,
    compile: bool = True,
) -> Kernel:
    """Unadjusted Langevin algorithm: every finite proposal is accepted, so the law it keeps is not quite exp(-U).

    Drift `-step_size * grad U`, noise `sqrt(2 * step_size * temperature)`; other texts write h / 2 and sqrt(h), where
    h = 2 * step_size. On N(0, 1) it keeps variance 1 / (1 - step_size / 2): the error is linear in the step. Drift
    `-h grad U` with noise `sqrt(h)`, a common slip, samples exp(-2 U).

    Parameters
    ----------
    log_prob : -U of points (n, d): a function of tensors, or a pair of NumPy functions (log_prob, gradient); see
        `Density`. For an energy give `from_energy(energy)`.
    scale : typical width of each axis, (d,): the preconditioner is the square of it. A number for all axes alike.
    compile : record log_prob and its gradient once and replay them (see `minigen.compile`), with the same results.

    Where the next point, log p or its gradient is not finite, a chain stays in its last state and is divergent.
    Roberts and Tweedie (1996), "Exponential convergence of Langevin distributions and their discrete approximations".
    """
    density = Density(log_prob, compile)

    def propose(state, noise, step_size, temperature, scale):
        proposal = _move(density, state, noise, step_size, temperature, scale)
        return proposal, 0.0 * (kernels.row_dot(proposal.position, proposal.grad) + proposal.log_prob)  # 0, or NaN

    return Kernel("ula", density, propose, step_size, temperature, scale)


@checked
def mala(
    log_prob: LogProb,
    step_size: Positive | None = None,
    *,
    temperature: Positive = 1.0,
    scale: Scale = 1.0,
    compile: bool = True,
) -> Kernel:
    """Metropolis-adjusted Langevin algorithm: the proposal of `ula`, accepted so that exp(-U / temperature) is exact.

    Drift `-step_size * grad U`, noise `sqrt(2 * step_size * temperature)`; other texts write h / 2 and sqrt(h), where
    h = 2 * step_size. The acceptance ratio must use the density of this very proposal: without it the chain keeps
    another law. On N(0, 1) acceptance is 1 - (2 / pi) asin(h^2 / sqrt((h^2 + 2 h) (h^2 - 2 h + 4))), h = `step_size`.

    Parameters are those of `ula`; a `step_size` of None is left to `adapt`, which aims at acceptance 0.574, best in
    high dimension. With one leapfrog step `hmc` of step size sqrt(2 h) is the same chain.

    Roberts and Tweedie (1996); Roberts and Rosenthal (1998), "Optimal scaling of discrete approximations to Langevin
    diffusions", for 0.574.
    """
    density = Density(log_prob, compile)

    def propose(state, noise, step_size, temperature, scale):
        proposal = _move(density, state, noise, step_size, temperature, scale)
        return proposal, mala_log_ratio(state, proposal, step_size, temperature, scale)

    return Kernel("mala", density, propose, step_size, temperature, scale, target=0.574)


def _move(density: Density, state: State, noise: np.ndarray, step_size: float, temperature: float, scale) -> State:
    drift, spread = step_size * scale**2, langevin_sd(step_size, temperature) * scale
    position = kernels.langevin_move(state.position, drift, state.grad, spread, noise)
    return State(position, *density(position))


def langevin_sd(step_size: float, temperature: float = 1.0) -> float:
    """Standard deviation of the noise in one step."""
    return math.sqrt(2 * step_size * temperature)


def mala_log_ratio(
    x: State,
    y: State,
    step_size: float | np.ndarray,
    temperature: float = 1.0,
    scale: float | np.ndarray = 1.0,
    row_dot: Callable = kernels.row_dot,
) -> np.ndarray:
    """log of p(y)^(1/T) q(x | y) / (p(x)^(1/T) q(y | x)), (chains,): the step from x to y is accepted with it or 1."""
    higher = y.log_prob - x.log_prob
    if temperature != 1:
        higher = higher / temperature
    return higher + log_proposal_ratio(x, y, step_size, temperature, scale, row_dot)


def log_proposal_ratio(
    x: State,
    y: State,
    step_size: float | np.ndarray,
    temperature: float = 1.0,
    scale: float | np.ndarray = 1.0,
    row_dot: Callable = kernels.row_dot,
) -> np.ndarray:
    """log of q(x | y) / q(y | x), (chains,), where log q(y | x) = -|y - x - h grad log p(x)|^2 / (4 h T) + constant.

    In the difference of the two squares |y - x|^2 / (4 h T) cancels. Without it, and with the gradients g_x and g_y,
    what remains is -(g_x + g_y) . (y - x + (h / 2) (g_y - g_x)) / (2 T). `row_dot` is the inner product of rows.
    """
    moved = y.position - x.position + scale**2 / 2 * step_size * (y.grad - x.grad)
    return row_dot(x.grad + y.grad, moved) / (-2 * temperature)


def truncated_mala(
    log_prob: Callable, position: np.ndarray, steps: int, step_size: float | np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) moved by `steps` steps of MALA at temperature 1: (n, d), and the share of proposals accepted.

    For short chains inside a compiled training step: all in operations, nothing on the tape; `step_size` may be an
    array () that changes from call to call. The proposal is that of `mala`, except that no drift is longer than
    sqrt(2 step_size d), the usual length of the noise. Else a chain that begins on a steep slope overshoots, is
    rejected for ever, and as a false witness of the model drives the training astray. A chain whose proposal has no
    finite density stays where it is.

    `log_prob` is a function of tensors, (n, d) to (n,) or (n, 1).
    Roberts and Tweedie (1996), section 1.4.2: the truncated algorithm, MALTA.
    """
    step_size = shown(np.asarray(step_size))
    # Of a gradient, whose drift is then sqrt(2 h d); in a unit in which float32 can hold its square.
    longest = ops.sqrt(2.0 * position.shape[1] / step_size) * SMALL
    spread = ops.sqrt(step_size * 2.0)
    x, shares = _truncated_state(log_prob, position, longest), []
    for _ in range(steps):
        noise = ops.normal(rng, position.shape, position.dtype)
        y = _truncated_state(log_prob, x.position + x.grad * step_size + noise * spread, longest)
        log_ratio = mala_log_ratio(x, y, step_size, row_dot=_recorded_row_dot)
        rate = ops.exp(ops.minimum(log_ratio, 0.0))
        uniform = ops.uniform(rng, x.log_prob.shape, x.log_prob.dtype)
        accepted = (uniform < rate) * (log_ratio < np.inf)  # False where the ratio is NaN
        rows = ops.reshape(accepted, (-1, 1))
        x = State(
            ops.where(rows, y.position, x.position),
            ops.where(accepted, y.log_prob, x.log_prob),
            ops.where(rows, y.grad, x.grad),
        )
        shares.append(ops.mean(accepted))
    return x.position, sum(shares[1:], shares[0]) * (1 / steps)


def _truncated_state(log_prob: Callable, position: np.ndarray, longest: np.ndarray) -> State:
    """The state at these positions, with each row of the gradient cut to a norm of `longest / SMALL`."""
    point = tensor(position, requires_grad=True)
    values = log_prob(point)
    values = values if values.ndim == 1 else ops.reshape(values, (-1,))
    gradient = grad(ops.sum(values), point).data
    small = gradient * SMALL
    norm = ops.sqrt(_recorded_row_dot(small, small, keepdims=True))
    return State(position, values.data, gradient * (longest / ops.maximum(norm, longest)))


def _recorded_row_dot(a: np.ndarray, b: np.ndarray, keepdims: bool = False) -> np.ndarray:
    """`kernels.row_dot` in operations, which a recorder sees."""
    return ops.sum(a * b, axis=1, keepdims=keepdims)
