"""How do two players with opposite aims settle, by choosing best mixtures or by following gradients?

Two kinds of game. In a matrix game the payoff table A says what the row player, who chooses the row and maximises,
receives from the column player, who minimises. In a continuous game x is moved to make f(x, y) small and y to make it
large, as a generator and a discriminator do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from ._support.arguments import ArrayKind, Count, NotNegative, Positive, checked
from ._support.arrays import as_floats, check_finite
from .tape import Tensor, grad, tensor


def _as_start(place, name: str, caller: str) -> np.ndarray:
    place = np.atleast_1d(as_floats(place, name, caller))
    if place.ndim != 1 or not np.all(np.isfinite(place)):
        raise ValueError(f"{caller} got {name} of shape {place.shape}; expected finite numbers, (d,)")
    return place


def _as_table(payoff, name: str, caller: str) -> np.ndarray:
    payoff = as_floats(payoff, name, caller)
    if payoff.ndim != 2 or not payoff.size:
        raise ValueError(f"{caller} got {name} of shape {payoff.shape}; expected a table (rows, columns), not empty")
    return check_finite(payoff, name, caller)


Table = Annotated[Any, ArrayKind(_as_table)]  # payoffs (rows, columns)
Start = Annotated[Any, ArrayKind(_as_start)]  # a number, or (d,)


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Mixed strategies for both players of a matrix game, and how good they are.

    Attributes
    ----------
    row, column : (m,), (n,)
        Probabilities of the rows and of the columns.
    lower, upper : float
        What `row` receives at least whatever the column player does, and what `column` pays at most. The value of the
        game lies between them.
    """

    row: np.ndarray
    column: np.ndarray
    lower: float
    upper: float

    @property
    def gap(self) -> float:
        """What the two could gain by deviating, together; 0 at the equilibrium."""
        return self.upper - self.lower

    @property
    def value(self) -> float:
        """Middle between the bounds, at most half a gap from the value of the game."""
        return self.lower / 2 + self.upper / 2


@checked
def pure_values(payoff: Table) -> tuple[float, float]:
    """What each player can be sure of without mixing: the row player's maximin and the column player's minimax.

    Maximin is never above minimax; they are equal where there is a saddle point. `payoff` has shape `(m, n)`.
    """
    return float(payoff.min(axis=1).max()), float(payoff.max(axis=0).min())


@checked
def saddle_points(payoff: Table) -> np.ndarray:
    """Rows and columns `(k, 2)` of entries that are smallest in their row and largest in their column; often none."""
    return np.argwhere((payoff == payoff.min(axis=1, keepdims=True)) & (payoff == payoff.max(axis=0)))


def _equilibrium(payoff: np.ndarray, row: np.ndarray, column: np.ndarray) -> Equilibrium:
    return Equilibrium(row, column, float((row @ payoff).min()), float((payoff @ column).max()))


def equilibrium(payoff: Table) -> Equilibrium:
    """Optimal mixed strategies of a zero-sum game `(m, n)`: `linear_programming` with SciPy, else `fictitious_play`."""
    try:
        import scipy.optimize  # noqa: F401
    except ImportError:
        return fictitious_play(payoff)
    return linear_programming(payoff)


@checked
def linear_programming(payoff: Table) -> Equilibrium:
    """Optimal mixed strategies of a zero-sum game, exact to about 1e-7 of the range of its payoffs; needs SciPy.

    The row player's are the p that maximise v subject to p A >= v in every column; the column player's follow from the
    same problem for -A transposed.

    Raises ImportError without SciPy, ValueError if the payoffs are no finite table.

    Source: Dantzig (1951); see Chvátal, Linear Programming (1983), chapter 15.
    """
    try:
        from scipy.optimize import linprog
    except ImportError:
        raise ImportError("linear_programming() needs SciPy: pip install scipy, or use fictitious_play()") from None
    scaled = payoff / (np.abs(payoff).max() or 1.0)
    scaled = scaled - scaled.min()
    scaled = scaled / (scaled.max() or 1.0)  # the solver's tolerances are absolute

    def best_mixture(table):
        m, n = table.shape
        found = linprog(
            np.append(np.zeros(m), -1.0),
            A_ub=np.column_stack([-table.T, np.ones(n)]),
            b_ub=np.zeros(n),
            A_eq=np.append(np.ones(m), 0.0)[None],
            b_eq=[1.0],
            bounds=[(0, None)] * m + [(None, None)],
        )
        p = np.clip(found.x[:m], 0, None)
        return p / p.sum()

    return _equilibrium(payoff, best_mixture(scaled), best_mixture(-scaled.T))


@checked
def fictitious_play(payoff: Table, rounds: Count = 10_000) -> Equilibrium:
    """Nearly optimal mixed strategies: each round both players answer best to what the other has played so far.

    The best bounds met on the way are kept, with the strategies that gave them; the `gap` says how far they may be from
    the optimum. It shrinks about as one over the square root of the rounds. Ties go to the lower index, so the play is
    the same every time.

    Parameters
    ----------
    payoff : array_like of shape (m, n)
    rounds : int

    Source: Brown (1951); Robinson, Annals of Mathematics 54, 296 (1951).
    """
    rows, columns = np.zeros(payoff.shape[0]), np.zeros(payoff.shape[1])
    received, paid = np.zeros_like(rows), np.zeros_like(columns)  # by each choice, against all of the other's so far
    lower, upper = -np.inf, np.inf
    for played in range(1, rounds + 1):
        i, j = np.argmax(received), np.argmin(paid)
        rows[i] += 1
        columns[j] += 1
        received += payoff[:, j]
        paid += payoff[i]
        if paid.min() / played > lower:
            lower, best_row = paid.min() / played, rows / played
        if received.max() / played < upper:
            upper, best_column = received.max() / played, columns / played
    return _equilibrium(payoff, best_row, best_column)


Payoff = Callable[[Tensor, Tensor], Tensor]


@checked
def simultaneous(f: Payoff, x: Start, y: Start, *, lr: Positive, steps: Count) -> tuple[np.ndarray, np.ndarray]:
    """Both players step at once: x against its gradient of f, y along its own.

    On f = x y the distance from the equilibrium grows by sqrt(1 + lr^2) every step: it never converges.

    Parameters
    ----------
    f : callable
        Tensors of shapes (d_x,) and (d_y,) to a scalar tensor that depends on both.
    x, y : array_like of shapes (d_x,), (d_y,)
        Where they start; a number is taken for one dimension.
    lr : float
        Size of the steps.
    steps : int

    Returns
    -------
    x : array of shape (steps + 1, d_x)
    y : array of shape (steps + 1, d_y)
        The start and the place after each step, in float64.

    Raises
    ------
    ValueError
        If a setting is out of bounds, f does not depend on both players, or they leave the finite numbers.
    """

    def step(x, y):
        gx, gy = _gradients(f, x, y)
        return x - lr * gx, y + lr * gy

    return _play("simultaneous()", step, x, y, lr, steps)


@checked
def alternating(f: Payoff, x: Start, y: Start, *, lr: Positive, steps: Count) -> tuple[np.ndarray, np.ndarray]:
    """x steps first, and y answers to where x then is. Arguments and results as for `simultaneous`.

    On f = x y it circles for ever: x^2 + y^2 - lr x y stays what it was, which bounds both while lr < 2.

    Source: Gidel et al., "Negative momentum for improved game dynamics" (2019), without momentum.
    """

    def step(x, y):
        x = x - lr * _gradients(f, x, y)[0]
        return x, y + lr * _gradients(f, x, y)[1]

    return _play("alternating()", step, x, y, lr, steps)


@checked
def extragradient(f: Payoff, x: Start, y: Start, *, lr: Positive, steps: Count) -> tuple[np.ndarray, np.ndarray]:
    """Both look one simultaneous step ahead, and step from here with the gradients found there.

    Arguments and results as for `simultaneous`. On f = x y the distance from the equilibrium shrinks by
    sqrt((1 - lr^2)^2 + lr^2) every step, for lr < 1.

    Source: Korpelevich (1976).
    """

    def step(x, y):
        gx, gy = _gradients(f, x, y)
        gx, gy = _gradients(f, x - lr * gx, y + lr * gy)
        return x - lr * gx, y + lr * gy

    return _play("extragradient()", step, x, y, lr, steps)


@checked
def consensus(
    f: Payoff, x: Start, y: Start, *, lr: Positive, steps: Count, strength: NotNegative = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous steps, with both players also descending `strength` times half the squared norm of all gradients.

    Arguments and results as for `simultaneous`. It takes gradients of gradients. On f = x y the distance from the
    equilibrium shrinks by sqrt((1 - lr strength)^2 + lr^2) every step where that is below 1. Any stationary point
    attracts it, maxima of the wrong player among them, if the strength is large.

    Source: Mescheder, Nowozin and Geiger, "The numerics of GANs" (2017), section 4.
    """

    def step(x, y):
        tx, ty = tensor(x, requires_grad=True), tensor(y, requires_grad=True)
        gx, gy = grad(f(tx, ty), [tx, ty], create_graph=True)
        # The last term is 0: it lets a player be differentiated by on whom no gradient depends.
        disagreement = 0.5 * ((gx * gx).sum() + (gy * gy).sum()) + 0.0 * (tx.sum() + ty.sum())
        px, py = grad(disagreement, [tx, ty])
        return x - lr * (gx.data + strength * px.data), y + lr * (gy.data - strength * py.data)

    return _play("consensus()", step, x, y, lr, steps)


def _gradients(f: Payoff, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tx, ty = tensor(x, requires_grad=True), tensor(y, requires_grad=True)
    gx, gy = grad(f(tx, ty), [tx, ty])
    return gx.data, gy.data


def _play(caller: str, step: Callable, x, y, lr: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of both players from the start on."""
    xs, ys = np.empty((steps + 1, x.size)), np.empty((steps + 1, y.size))
    xs[0], ys[0] = x, y
    for k in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):
            xs[k + 1], ys[k + 1] = step(xs[k], ys[k])
        if not (np.all(np.isfinite(xs[k + 1])) and np.all(np.isfinite(ys[k + 1]))):
            raise ValueError(
                f"{caller} left the finite numbers at step {k + 1} with lr={lr}; take smaller or fewer steps"
            )
    return xs, ys
