"""Do generated samples cover all modes of a mixture, in the right shares, and nothing between them?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.arguments import Column, Positive, Rows, checked
from .._support.arrays import as_floats, as_matrix
from .neighbours import check_same_width, nearest_neighbours


@dataclass(frozen=True, eq=False)
class ModeCoverage:
    """How samples fall on the modes of a mixture; see `mode_coverage`.

    Attributes
    ----------
    captured : int
        Modes with at least one high-quality sample.
    modes : int
        How many there are.
    high_quality : float
        Share of all samples within the radius of the nearest centre.
    counts : (modes,)
        High-quality samples of each mode.
    reverse_kl : float
        KL divergence from the samples' histogram over modes to the true weights, in nats; 0 is best, and a generator
        that keeps to one of k equal modes scores log k.
    """

    captured: int
    modes: int
    high_quality: float
    counts: np.ndarray
    reverse_kl: float


@checked
def mode_coverage(
    samples: Any, modes: Rows, sd: Positive, *, weights: Column | None = None, radius: Positive = 3.0
) -> ModeCoverage:
    """Modes captured, share of high-quality samples, and reverse KL of the mode histogram.

    The conventions of the published tables, which draw 2500 samples: every sample belongs to the centre nearest to it;
    it is of high quality if it lies within 3 standard deviations of it; a mode is captured if at least one high-quality
    sample belongs to it; and the histogram counts every sample, of whatever quality. In two dimensions a perfect
    sampler has a share of 1 - exp(-9/2) = 98.9 %, not 100 %. Its reverse KL from n samples of k equal modes is not 0
    either but about (k - 1) / 2n.

    Parameters
    ----------
    samples : array_like of shape (n, d)
        A sample that is not finite belongs to no mode and counts as of low quality.
    modes : array_like of shape (k, d)
        Centres, such as `datasets.ring().modes`.
    sd : float
        Standard deviation of each mode in each direction.
    weights : array_like of shape (k,), optional
        Probabilities of the modes; equal unless given.
    radius : float
        In standard deviations.

    Raises
    ------
    ValueError
        If shapes do not match, no sample is finite, or the weights are no probabilities above 0.

    Source: Srivastava et al., VEEGAN (2017), section 4.1; Lin et al., PacGAN (2018), section 4.1.
    """
    finite = _finite_rows(samples)
    check_same_width("mode_coverage()", samples=finite, modes=modes)
    k = len(modes)
    weights = np.full(k, 1 / k) if weights is None else weights
    if weights.shape != (k,) or not np.all(weights > 0) or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"mode_coverage() got weights of shape {weights.shape} that add up to {weights.sum():.6g}; expected {k} "
            "probabilities above 0 that add up to 1"
        )
    distance, nearest = (a[:, 0] for a in nearest_neighbours(finite, modes, 1))
    counts = np.bincount(nearest[distance <= radius * sd], minlength=k)
    share = np.bincount(nearest, minlength=k) / len(finite)
    seen = share > 0
    reverse_kl = np.sum(share[seen] * np.log(share[seen] / weights[seen]))
    high_quality = counts.sum() / len(samples)
    return ModeCoverage(int(np.sum(counts > 0)), k, float(high_quality), counts, max(float(reverse_kl), 0.0))


def _finite_rows(samples) -> np.ndarray:
    """The samples (n, d) that are finite."""
    samples = as_floats(samples, "samples", "mode_coverage()")
    kept = samples[np.isfinite(samples).all(axis=1)] if samples.ndim == 2 else samples
    if samples.size and not kept.size:
        raise ValueError(f"mode_coverage(): none of the {len(samples)} samples is finite; the generator has diverged")
    return as_matrix(kept, "samples", "mode_coverage()")
