"""Random draws as operations, so that whoever watches the operations sees them too. They have no gradient."""

import numpy as np

from .. import kernels
from ..tape import primitive


def _normal(rng, shape, dtype=np.float32):
    """Draws from N(0, 1) of the given shape, as a raw array."""
    return kernels.standard_normal(rng, np.empty(shape, dtype))


normal = primitive("normal", _normal)


def _dropout_mask(rng, shape, rate, dtype=np.float32):
    """An array that is 0 with probability `rate` and 1 / (1 - rate) otherwise."""
    return (rng.random(shape, dtype) >= rate).astype(dtype) / np.asarray(1 - rate, dtype)


dropout_mask = primitive("dropout_mask", _dropout_mask)
