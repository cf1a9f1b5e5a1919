"""How does a generator's output move as its latents walk from one place to another?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._support.arguments import Count, Rows, checked
from .._support.arrays import as_floats, check_finite
from .neighbours import lengths


@checked
def linear_interpolation(start: Rows, end: Rows, steps: Count) -> np.ndarray:
    """Straight lines from `start` to `end`, both `(n, d)`, at `steps` + 1 evenly spaced points: `(steps + 1, n, d)`."""
    _check_same_shape("linear_interpolation()", start, end)
    t = _times(steps)
    return (1 - t) * start + t * end


@checked
def spherical_interpolation(start: Rows, end: Rows, steps: Count) -> np.ndarray:
    """Arcs from `start` to `end`, both `(n, d)`, at `steps` + 1 evenly spaced points: `(steps + 1, n, d)`.

    The angle grows evenly. Between points of one norm the norm stays, as it nearly does for draws from a Gaussian of
    many dimensions, whose straight connections pass through a middle where hardly any draws lie.

    Raises ValueError for shapes that differ, a zero vector, or opposite vectors, between which no arc is the shortest.

    Source: Shoemake (1985); White, "Sampling generative networks" (2016).
    """
    _check_same_shape("spherical_interpolation()", start, end)
    norms = [lengths(a)[:, None] for a in (start, end)]
    if not (norms[0].all() and norms[1].all()):
        raise ValueError("spherical_interpolation() got a zero vector, which has no direction; draw another")
    u, v = start / norms[0], end / norms[1]
    # Exact at small angles, where the arc cosine of the product is not.
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))[:, None]
    if np.any(angle > np.pi - 1e-7):
        raise ValueError("spherical_interpolation() got opposite vectors, between which no arc is the shortest")
    # sin(t angle) / sin(angle), written so that it is t where the angle is 0.
    part = lambda t: t * np.sinc(t * angle / np.pi) / np.sinc(angle / np.pi)
    t = _times(steps)
    return part(1 - t) * start + part(t) * end


def _check_same_shape(caller: str, start: np.ndarray, end: np.ndarray) -> None:
    if start.shape != end.shape:
        raise ValueError(f"{caller} got start of shape {start.shape} and end of shape {end.shape}; expected the same")


def _times(steps: int) -> np.ndarray:
    """From 0 to 1, (steps + 1, 1, 1)."""
    return np.linspace(0, 1, steps + 1)[:, None, None]


def interpolation_smoothness(decode: Callable[[np.ndarray], Any], path: Any) -> np.ndarray:
    """Mean squared speed of the decoded output along each path: how far it moves, squared, per squared step of t.

    On a path whose output moves evenly this is the squared distance between its decoded ends; whatever is added is
    detours and uneven speed. A jump of size J adds J^2 times the number of steps, so a decoder that tears its output
    shows by a value that grows with the steps.

    Parameters
    ----------
    decode : callable
        Latent arrays (m, d) to outputs (m, ...).
    path : array_like of shape (steps + 1, n, d)
        Such as `spherical_interpolation(start, end, steps)`, t going evenly from 0 to 1.

    Returns
    -------
    array of shape (n,)

    Source: the path length of Karras et al., StyleGAN (2019), equation 2, with the squared Euclidean distance between
    outputs and steps as long as those of the path.
    """
    caller = "interpolation_smoothness()"
    path = as_floats(path, "path", caller)
    if path.ndim != 3 or len(path) < 2:
        raise ValueError(
            f"{caller} got a path of shape {path.shape}; expected (steps + 1, n, d), such as linear_interpolation gives"
        )
    check_finite(path, "path", caller)
    steps, n = len(path) - 1, path.shape[1]
    outputs = as_floats(decode(path.reshape(-1, path.shape[2])), "what decode gave", caller)
    if outputs.ndim < 1 or len(outputs) != (steps + 1) * n:
        raise ValueError(
            f"{caller}: decode gave shape {outputs.shape} for {(steps + 1) * n} latent rows; expected one output each"
        )
    moves = np.diff(outputs.reshape(steps + 1, n, -1), axis=0)
    return steps * np.sum(moves**2, axis=(0, 2))
