"""Random draws as operations, so that whoever watches the operations sees them too. They have no gradient."""

import numpy as np

from .. import kernels
from ..tape import primitive


def _normal(rng, shape, dtype=np.float32):
    """Draws from N(0, 1) of the given shape, as a raw array."""
    return kernels.standard_normal(rng, np.empty(shape, dtype))


normal = primitive(
    "normal", _normal, into=lambda out, rng, shape, dtype=np.float32: kernels.standard_normal.into(out, rng)
)


def _uniform(rng, shape, dtype=np.float32):
    """Draws from the uniform distribution on [0, 1) of the given shape, as a raw array."""
    return rng.random(shape, dtype)


uniform = primitive(
    "uniform", _uniform, into=lambda out, rng, shape, dtype=np.float32: [(rng.random, (shape, dtype, out))]
)


def _dropout_mask(rng, shape, rate, dtype=np.float32):
    """An array that is 0 with probability `rate` and 1 / (1 - rate) otherwise."""
    return (rng.random(shape, dtype) >= rate).astype(dtype) / np.asarray(1 - rate, dtype)


def _dropout_mask_into(out, rng, shape, rate, dtype=np.float32):
    kept = np.empty(shape, bool)
    return [
        (rng.random, (shape, dtype, out)),
        (np.greater_equal, (out, rate, kept)),
        (np.divide, (kept, np.asarray(1 - rate, dtype), out)),
    ]


dropout_mask = primitive("dropout_mask", _dropout_mask, into=_dropout_mask_into)
