"""What do the latents of a model carry? Traversals, active units, and scores against factors known to be behind data.

Codes are the posterior means `vae.encode(X)[0]`, an array (n, k). Factors are what the data were made from: a dict from
names to arrays (n,), or an array (n, f).

The mean of a latent that is not active still moves a little, and bins and standardised columns enlarge what little that
is: score the latents in use, codes[:, active_units(codes)].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._support.arguments import Column, Rows, checked, is_whole
from .._support.arrays import as_floats, as_matrix, as_vector, check_finite

BINS = 20  # of equal width, as in Chen et al. (2018)
ACTIVE = 0.01  # variance of the posterior mean, as in Burda et al. (2016)


class Autoencoder(Protocol):
    """A fitted model with `latent` latents, such as a VAE: `encode(X)` gives means and spreads, `decode(Z)` data."""

    latent: int

    def encode(self, X: Any) -> tuple[np.ndarray, np.ndarray]: ...

    def decode(self, Z: Any) -> np.ndarray: ...


@checked
def traversal(vae: Autoencoder, latent: int, values: Column, *, x: Any = None, z: Any = None) -> np.ndarray:
    """What the decoder makes of a base code when one latent takes each of `values`: (len(values), d).

    The base is a code `z` (k,), or the posterior mean of a data row `x` (d,). Raises ValueError unless exactly one of
    them is given and `latent` is from 0 to k - 1.
    """
    if (x is None) == (z is None):
        raise ValueError("traversal() takes a base: give either x=, a row of data, or z=, a code")
    if z is None:
        base = vae.encode(as_vector(x, "x", "traversal()")[None])[0][0]
    else:
        base = as_vector(z, "z", "traversal()", vae.latent)
    if not is_whole(latent) or latent >= vae.latent:
        raise ValueError(f"traversal() got latent={latent!r}; expected a whole number from 0 to {vae.latent - 1}")
    codes = np.repeat(base[None], len(values), axis=0)
    codes[:, latent] = values
    return vae.decode(codes)


@checked
def active_units(mean: Rows) -> np.ndarray:
    """Which latents the encoder uses, (k,) of bool: those whose posterior mean (n, k) varies over the data.

    The variance must be above 0.01 (Burda et al., 2016, section 4.1). Raises ValueError for fewer than two rows.
    """
    _check_several(mean, "active_units()")
    return mean.var(axis=0) > ACTIVE


@checked
def kl_per_latent(mean: Rows, spread: Any) -> np.ndarray:
    """Nats that each latent carries, (k,): its share of KL(q(z | x) || N(0, I)), averaged over the data.

    Takes what `encode` gives: means (n, k), and SDs (n, k) or Cholesky factors (n, k, k). With Cholesky factors, a
    latent's share is the KL of z_i given the latents before it; in either case the shares add up to the KL. Raises
    ValueError for shapes that do not belong together and for SDs that are not positive.
    """
    spread = as_floats(spread, "spread", "kl_per_latent()")
    if spread.shape not in (mean.shape, (*mean.shape, mean.shape[1])):
        raise ValueError(
            f"kl_per_latent() got mean of shape {mean.shape} and spread of shape {spread.shape}; expected both as "
            "encode() gives them, (n, k) and (n, k) or (n, k, k)"
        )
    check_finite(spread, "spread", "kl_per_latent()")
    sd, explained = spread, 0.0
    if spread.ndim == 3:
        sd = np.diagonal(spread, axis1=1, axis2=2)
        explained = np.sum((spread * (1 - np.eye(mean.shape[1]))) ** 2, axis=2)  # by the latents before
    if not (sd > 0).all():
        raise ValueError(f"kl_per_latent() got an SD of {sd.min()}; expected positive ones, as encode() gives them")
    # (mean^2 + variance - 1) / 2 - log sd, written as a sum of terms that are never negative.
    return np.mean((mean**2 + explained + (sd - 1) ** 2) / 2 + _beyond_logarithm(sd), axis=0)


def _beyond_logarithm(x: np.ndarray) -> np.ndarray:
    """x - 1 - log x of positive numbers, which is never negative, without loss of digits near 1."""
    u = x - 1
    near = np.where(np.abs(u) < 0.1, u, 0.0)
    # u^2 (1/2 - u/3 + u^2/4 - ...), by Horner's rule; the first term left out is below 1e-17 of the first.
    series = np.zeros_like(near)
    for k in range(18, 1, -1):
        series = 1 / k - near * series
    return np.where(np.abs(u) < 0.1, near**2 * series, np.maximum(u - np.log(x), 0.0))


def mutual_information(codes: Any, factors: Any) -> np.ndarray:
    """Which latent carries which factor: their mutual information in nats, (k, f), factors in the order given.

    Each column is cut into 20 bins of equal width between its least and largest value, so no relation is too bent to be
    seen. Counts overstate it: independent columns come out at about (a - 1)(b - 1) / (2 n), where a and b are the bins
    that are in use (Miller, 1955); 0.018 nats with all bins in use and 10 000 rows. A constant column has none.
    """
    codes, _, factors = _codes_and_factors(codes, factors, "mutual_information()")
    return _information(_binned(codes), _binned(factors))


def mutual_information_gap(codes: Any, factors: Any) -> np.ndarray:
    """How much one latent knows of a factor beyond the next best, in units of the factor's entropy: (f,).

    Their mean is the MIG (Chen et al., 2018, eq. 6): 1 if each factor has a latent to itself that tells its bin, 0 if
    the two best know as much. Columns are binned as in `mutual_information`. The bias of the counts, where it stands
    there for the second best, keeps the gap of a perfect latent below 1 by its share of the entropy (0.006 for 10 000
    rows of a uniform factor); codes that know nothing have it in both and a gap near 0. Raises ValueError for a single
    latent and for a constant factor.
    """
    caller = "mutual_information_gap()"
    codes, names, factors = _codes_and_factors(codes, factors, caller, at_least=2)
    _check_varying(names, factors, caller)
    factors = _binned(factors)
    information = np.sort(_information(_binned(codes), factors), axis=0)
    entropies = [_information(f[:, None], f[:, None])[0, 0] for f in factors.T]
    return (information[-1] - information[-2]) / entropies


class Dci(NamedTuple):
    """What `dci` finds: `importance` (k, f), `disentanglement`, `completeness`, and `informativeness` (f,)."""

    importance: np.ndarray
    disentanglement: float
    completeness: float
    informativeness: np.ndarray


def dci(codes: Any, factors: Any) -> Dci:
    """Disentanglement, completeness and informativeness of codes (Eastwood and Williams, 2018, section 2).

    Each factor is regressed on all latents, and R_ij says how much latent i matters for factor j. Rows of R that are
    concentrated mean disentanglement (a latent serves one factor), concentrated columns completeness (a factor is in
    one latent): 1 less the entropy, in base f or k, with latents weighted by their share of R, factors equally.
    Informativeness is the R^2 of the regression for rows that were left out of it, one at a time: 1 is perfect, 0 no
    better than the mean, and it may be a little below.

    The regressor is least squares on standardised columns, and R_ij the size of the coefficient. It is the paper's
    lasso without its penalty: there is nothing to tune, leaving out a row has a closed form, and equal latents share
    equally. What it sees are linear relations; compare with `mutual_information`, which sees the others too. Where
    informativeness is low, R is made of noise and the other two numbers say nothing.

    Raises ValueError for fewer than two latents or factors, a constant factor, or fewer than k + 3 rows.
    """
    codes, names, factors = _codes_and_factors(codes, factors, "dci()", at_least=2)
    n, k = codes.shape
    if factors.shape[1] < 2:
        raise ValueError("dci() got a single factor; a latent can be disentangled only between two or more")
    if n < k + 3:
        raise ValueError(f"dci() got {n} rows for {k} latents; a regression needs at least {k + 3}")
    _check_varying(names, factors, "dci()")
    inputs, targets = _standardised(codes), _standardised(factors)
    u, s, vt = np.linalg.svd(inputs, full_matrices=False)
    kept = s > s.max() * n * np.finfo(float).eps  # constant latents and copies of others add no direction
    u, s, vt = u[:, kept], s[kept], vt[kept]
    coefficients = vt.T @ ((u.T @ targets) / s[:, None])
    # A row that is left out is missed by its residual over 1 - h, h its leverage; 1 / n of that is the intercept's.
    leverage = np.sum(u**2, axis=1) + 1 / n
    missed = (targets - inputs @ coefficients) / np.maximum(1 - leverage, np.finfo(float).eps)[:, None]
    importance = np.abs(coefficients)
    of_latents, total = importance.sum(axis=1), importance.sum()
    weights = of_latents / total if total > 0 else np.full(k, 1 / k)
    return Dci(
        importance,
        float(weights @ _concentration(importance)),
        float(np.mean(_concentration(importance.T))),
        1 - np.mean(missed**2, axis=0),
    )


def _concentration(importance):
    """1 less the entropy of each row of (a, b) in base b; 0 for a row of zeros."""
    total = importance.sum(axis=1, keepdims=True)
    p = np.divide(importance, total, out=np.full_like(importance, 1 / importance.shape[1]), where=total > 0)
    return 1 + np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1) / np.log(importance.shape[1])


def _standardised(x):
    """Columns of mean 0 and SD 1; zeros for a constant one."""
    x = _to_unit_interval(x)
    centred = x - x.mean(axis=0)
    return centred / np.where(_varies(x), centred.std(axis=0), np.inf)


def _to_unit_interval(x):
    """Each column from 0, its least value, to 1, its largest; zeros for a constant one. No unit or offset is left."""
    x = np.ldexp(x, -np.frexp(np.abs(x).max(axis=0))[1])  # exact, and now differences and squares do not overflow
    return (x - x.min(axis=0)) / np.where(_varies(x), np.ptp(x, axis=0), np.inf)


def _varies(x):
    """Which columns vary by more than the rounding of their values."""
    return np.ptp(x, axis=0) > 8 * np.finfo(float).eps * np.abs(x).max(axis=0)


def _check_varying(names, factors, caller):
    for name, varies in zip(names, _varies(factors)):
        if not varies:
            raise ValueError(
                f"{caller} got a factor {name!r} that is constant; there is nothing to know of it, leave it out"
            )


def _binned(x):
    """The number of the bin, from 0, of each value of (n, m), with bins of equal width in each column."""
    return np.minimum(_to_unit_interval(x) * BINS, BINS - 1).astype(np.int64)


def _information(a, b):
    """Mutual information in nats, (k, f), of columns of bin numbers (n, k) and (n, f)."""
    result = np.empty((a.shape[1], b.shape[1]))
    for i, of_a in enumerate(a.T):
        for j, of_b in enumerate(b.T):
            joint = np.bincount(of_a * BINS + of_b, minlength=BINS**2).reshape(BINS, BINS) / len(a)
            independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
            seen = joint > 0
            result[i, j] = np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))
    return np.maximum(result, 0.0)  # rounding may leave less


def _codes_and_factors(codes, factors, caller, at_least=1):
    """Codes (n, k), names of the factors, and factors (n, f), as float64."""
    codes = as_matrix(codes, "codes", caller)
    _check_several(codes, caller)
    if codes.shape[1] < at_least:
        raise ValueError(f"{caller} got codes of a single latent; it compares latents: give {at_least} or more")
    if isinstance(factors, Mapping):
        if not factors:
            raise ValueError(f"{caller} got no factors; give at least one, as {{'length': array of shape (n,)}}")
        columns = [as_vector(x, f"factors[{name!r}]", caller, len(codes)) for name, x in factors.items()]
        return codes, list(factors), np.column_stack(columns)
    found = as_matrix(factors, "factors", caller)
    if len(found) != len(codes):
        raise ValueError(f"{caller} got {len(codes)} codes and factors of {len(found)}; give one row for each code")
    return codes, list(range(found.shape[1])), found


def _check_several(x, caller):
    if len(x) < 2:
        raise ValueError(f"{caller} got a single row; what varies over the data needs two or more")
