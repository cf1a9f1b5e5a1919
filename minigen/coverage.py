"""Do generated samples cover the data: all modes, no others, no copies, and nothing that tells the two apart?

Samples are arrays `(n, d)` of finite numbers. Distances are Euclidean, so bring features of different units to one
scale first. The functions are found under `minigen.metrics` too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import erfc, isqrt, sqrt

import numpy as np

from minigen._support.arguments import check_positive, check_rng, check_size

BLOCK = 1 << 22


def _check_samples(caller: str, **sets) -> list[np.ndarray]:
    """The sets of samples in float64; ValueError unless all are `(n, d)` with one d, finite and not empty."""
    arrays = {name: np.asarray(values, float) for name, values in sets.items()}
    shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
    if any(a.ndim != 2 or not a.size for a in arrays.values()) or len({a.shape[1] for a in arrays.values()}) > 1:
        raise ValueError(
            f"{caller} got shapes {shapes}; expected samples in rows, (n, d), with the same d, and not none"
        )
    for name, a in arrays.items():
        if not np.all(np.abs(a) < 1e100):
            raise ValueError(f"{caller}: {name} holds NaN, infinite or huge values; remove those samples first")
    return list(arrays.values())


def _blocks(n: int, width: int):
    """Slices over n rows, of so many rows that a block with `width` columns stays in memory."""
    rows = max(1, BLOCK // width)
    return (slice(start, start + rows) for start in range(0, n, rows))


def nearest_neighbours(samples, among, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, k), increasing, and indices (n, k) of the k nearest rows of `among`."""
    samples, among = np.asarray(samples), np.asarray(among)
    distances, indices = np.empty((len(samples), k)), np.empty((len(samples), k), int)
    centre = np.median(among, axis=0)  # where single outliers do not cost the others their precision
    shifted = among - centre
    half_norm = 0.5 * np.sum(shifted**2, axis=1)
    for rows in _blocks(len(samples), len(among)):
        # |a - b|^2 = |a|^2 - 2 (a.b - |b|^2 / 2) finds them; their distances are then taken without cancellation.
        far = half_norm - (samples[rows] - centre) @ shifted.T
        near = np.argpartition(far, k - 1, axis=1)[:, :k] if k < len(among) else np.argsort(far, axis=1)
        exact = np.linalg.norm(samples[rows, None] - among[near], axis=2)
        order = np.argsort(exact, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
        indices[rows] = np.take_along_axis(near, order, axis=1)
    return distances, indices


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


def mode_coverage(samples, modes, sd: float, *, weights=None, radius: float = 3.0) -> ModeCoverage:
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
    samples = np.asarray(samples, float)
    kept = samples[np.all(np.abs(samples) < 1e100, axis=1)] if samples.ndim == 2 else samples
    if samples.size and not kept.size:
        raise ValueError(f"mode_coverage(): none of the {len(samples)} samples is finite; the generator has diverged")
    kept, modes = _check_samples("mode_coverage()", samples=kept, modes=modes)
    check_positive(sd, "sd", "mode_coverage()")
    check_positive(radius, "radius", "mode_coverage()")
    k = len(modes)
    weights = np.full(k, 1 / k) if weights is None else np.asarray(weights, float)
    if weights.shape != (k,) or not np.all(weights > 0) or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"mode_coverage() got weights of shape {weights.shape} that add up to {weights.sum():.6g}; expected {k} "
            "probabilities above 0 that add up to 1"
        )

    distance, nearest = (a[:, 0] for a in nearest_neighbours(kept, modes, 1))
    counts = np.bincount(nearest[distance <= radius * sd], minlength=k)
    share = np.bincount(nearest, minlength=k) / len(kept)
    seen = share > 0
    reverse_kl = np.sum(share[seen] * np.log(share[seen] / weights[seen]))
    return ModeCoverage(int(np.sum(counts > 0)), k, float(counts.sum() / len(samples)), counts, float(reverse_kl))


def precision_recall(generated, real, k: int = 3) -> tuple[float, float]:
    """Share of generated samples that lie where real ones do, and of real samples that lie where generated ones do.

    A set's region is the union of balls, one around each of its samples, each reaching to that sample's k-th nearest
    neighbour in its own set. Low precision: samples off the data. Low recall: data left out. Two samples of one
    distribution do not score 1 but what `precision_recall` of two real sets scores; compare with that. A sample far off
    has a ball so large that it may hold all of the other set, so a few strays raise the other share.

    Parameters
    ----------
    generated, real : array_like of shapes (n, d), (m, d)
        Both of more than k samples, best of equally many.
    k : int

    Returns
    -------
    precision, recall : float

    Source: Kynkäänniemi et al. (2019), equations 1 and 2; they use k = 3.
    """
    generated, real = _check_samples("precision_recall()", generated=generated, real=real)
    check_size(k, "k", "precision_recall()")
    if k >= min(len(generated), len(real)):
        raise ValueError(
            f"precision_recall() got k={k} for {len(generated)} and {len(real)} samples; give more than k of each"
        )
    return _share_inside(generated, real, k), _share_inside(real, generated, k)


def _share_inside(samples: np.ndarray, region: np.ndarray, k: int) -> float:
    """Share of the samples that lie in at least one ball of the region."""
    reach = nearest_neighbours(region, region, k + 1)[0][:, k] ** 2  # the nearest is the sample itself
    centre = np.median(region, axis=0)
    region, samples = region - centre, samples - centre
    norms = np.sum(region**2, axis=1)
    inside = 0
    for rows in _blocks(len(samples), len(region)):
        block = samples[rows]
        size = np.sum(block**2, axis=1)[:, None] + norms
        # The difference of large numbers: what rounding leaves of a distance of 0 still counts as inside a ball of 0.
        inside += np.sum(np.any(size - 2 * block @ region.T <= reach + 1e-14 * size, axis=1))
    return float(inside / len(samples))


@dataclass(frozen=True)
class MemorisationTest:
    """Result of `memorisation_test`.

    Attributes
    ----------
    closer : float
        Probability that a generated sample is closer to the training set than a held-out one is; 1/2 for a generator
        that is as far from it as fresh data, 1 for one that copies, below 1/2 for one that stays away.
    z : float
        The same as a standard normal score; large when generated samples are too close.
    p_value : float
        Probability of so large a score if generated samples were fresh data.
    """

    closer: float
    z: float
    p_value: float


def memorisation_test(generated, training, held_out) -> MemorisationTest:
    """Are generated samples closer to the training set than fresh data are, beyond chance?

    Mann and Whitney's test, one-sided, of the distances to the nearest training sample: those of generated samples
    against those of held-out samples. Given the training set these are two independent samples, of one distribution if
    the generator is perfect. Samples off the data lie far from the training set and can hide copies; read the result
    beside `precision_recall`. `metrics.nearest_neighbour_ratio` gives the size of the effect in distances.

    Parameters
    ----------
    generated, training, held_out : array_like of shapes (n, d), (m, d), (k, d)
        n and k of at least 10, for the score to be normal.

    Source: Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models" (2020),
    without the division into cells.
    """
    generated, training, held_out = _check_samples(
        "memorisation_test()", generated=generated, training=training, held_out=held_out
    )
    n, m = len(generated), len(held_out)
    if min(n, m) < 10:
        raise ValueError(f"memorisation_test() got {n} generated and {m} held_out samples; give at least 10 of each")
    distances = np.concatenate([nearest_neighbours(a, training, 1)[0][:, 0] for a in (generated, held_out)])
    _, place, ties = np.unique(distances, return_inverse=True, return_counts=True)
    rank = np.cumsum(ties) - (ties - 1) / 2  # equal distances share the middle of their ranks
    N = n + m
    closer = 1 - (rank[place[:n]].sum() - n * (n + 1) / 2) / (n * m)
    variance = (N + 1 - np.sum(ties**3.0 - ties) / (N * (N - 1))) / (12 * n * m)
    z = (closer - 0.5) / sqrt(variance) if variance > 0 else 0.0
    return MemorisationTest(float(closer), float(z), erfc(z / sqrt(2)) / 2)


@dataclass(frozen=True)
class ClassifierTest:
    """Result of `classifier_two_sample_test`.

    Attributes
    ----------
    accuracy : float
        On held-out samples; 1/2 if the two sets cannot be told apart.
    standard_error : float
        Of that accuracy.
    p_value : float
        Probability of so high an accuracy if both sets came from one distribution.
    """

    accuracy: float
    standard_error: float
    p_value: float


def classifier_two_sample_test(a, b, rng: np.random.Generator) -> ClassifierTest:
    """Can a classifier tell two sets of samples apart, on samples it has not seen?

    Equally many of both are taken at random and halved. The classifier asks the k nearest samples of the first halves
    for a vote, k being the odd number at or below the square root of their number; the second halves judge it. Without
    a difference its accuracy is 1/2 with variance at most 1 / (4 n_test).

    Parameters
    ----------
    a, b : array_like of shapes (n, d), (m, d)
        At least 20 of each. Of the larger set the rest is not used.
    rng : numpy.random.Generator

    Source: Lopez-Paz and Oquab (2017), section 3 and theorem 1; their k is the square root too.
    """
    check_rng(rng, "classifier_two_sample_test()")
    a, b = _check_samples("classifier_two_sample_test()", a=a, b=b)
    n = min(len(a), len(b))
    if n < 20:
        raise ValueError(f"classifier_two_sample_test() got {len(a)} and {len(b)} samples; give at least 20 of each")
    a, b = rng.permutation(a)[:n], rng.permutation(b)[:n]
    half = n // 2
    k = isqrt(2 * half)
    nearest = nearest_neighbours(
        np.concatenate([a[half:], b[half:]]), np.concatenate([a[:half], b[:half]]), k - (k % 2 == 0)
    )[1]
    says_b = np.mean(nearest >= half, axis=1) > 0.5
    is_b = np.arange(2 * (n - half)) >= n - half
    accuracy = np.mean(says_b == is_b)
    z = (accuracy - 0.5) * 2 * sqrt(is_b.size)
    return ClassifierTest(float(accuracy), sqrt(accuracy * (1 - accuracy) / is_b.size), erfc(z / sqrt(2)) / 2)


def linear_interpolation(start, end, steps: int) -> np.ndarray:
    """Straight lines from `start` to `end`, both `(n, d)`, at `steps` + 1 evenly spaced points: `(steps + 1, n, d)`."""
    start, end, t = _check_ends("linear_interpolation()", start, end, steps)
    return (1 - t) * start + t * end


def spherical_interpolation(start, end, steps: int) -> np.ndarray:
    """Arcs from `start` to `end`, both `(n, d)`, at `steps` + 1 evenly spaced points: `(steps + 1, n, d)`.

    The angle grows evenly. Between points of one norm the norm stays, as it nearly does for draws from a Gaussian of
    many dimensions, whose straight connections pass through a middle where hardly any draws lie.

    Raises ValueError for shapes that differ, a zero vector, or opposite vectors, between which no arc is the shortest.

    Source: Shoemake (1985); White, "Sampling generative networks" (2016).
    """
    start, end, t = _check_ends("spherical_interpolation()", start, end, steps)
    norms = [np.linalg.norm(a, axis=1, keepdims=True) for a in (start, end)]
    if not (norms[0].all() and norms[1].all()):
        raise ValueError("spherical_interpolation() got a zero vector, which has no direction; draw another")
    u, v = start / norms[0], end / norms[1]
    # Exact at small angles, where the arc cosine of the product is not.
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))[:, None]
    if np.any(angle > np.pi - 1e-7):
        raise ValueError("spherical_interpolation() got opposite vectors, between which no arc is the shortest")
    # sin(t angle) / sin(angle), written so that it is t where the angle is 0.
    part = lambda t: t * np.sinc(t * angle / np.pi) / np.sinc(angle / np.pi)
    return part(1 - t) * start + part(t) * end


def _check_ends(caller: str, start, end, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends in float64 and the times, `(steps + 1, 1, 1)`, from 0 to 1."""
    start, end = _check_samples(caller, start=start, end=end)
    if start.shape != end.shape:
        raise ValueError(f"{caller} got start of shape {start.shape} and end of shape {end.shape}; expected the same")
    return start, end, np.linspace(0, 1, check_size(steps, "steps", caller) + 1)[:, None, None]


def interpolation_smoothness(decode: Callable, path) -> np.ndarray:
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
    path = np.asarray(path, float)
    if path.ndim != 3 or len(path) < 2:
        raise ValueError(
            f"interpolation_smoothness() got a path of shape {path.shape}; expected (steps + 1, n, d), such as "
            "linear_interpolation gives"
        )
    steps, n = len(path) - 1, path.shape[1]
    outputs = np.asarray(decode(path.reshape(-1, path.shape[2])), float)
    if outputs.ndim < 1 or len(outputs) != (steps + 1) * n:
        raise ValueError(
            f"decode gave shape {outputs.shape} for {(steps + 1) * n} latent rows; expected one output each"
        )
    moves = np.diff(outputs.reshape(steps + 1, n, -1), axis=0)
    return steps * np.sum(moves**2, axis=(0, 2))
