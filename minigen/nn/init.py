"""How weights start: arrays of shape (n_out, n_in), drawn so that a signal keeps its size through the layers.

Each is `scheme(shape, rng)`, what a layer takes as `initial`.
"""

import math

import numpy as np

Shape = tuple[int, int]  # (n_out, n_in)

# By which factor a layer's scale must grow to make up for what its activation takes away (He et al., 2015).
GAIN = {
    "identity": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
}


def _uniform(shape: Shape, rng: np.random.Generator, bound: float) -> np.ndarray:
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def _normal(shape: Shape, rng: np.random.Generator, sd: float) -> np.ndarray:
    return (sd * rng.standard_normal(shape)).astype(np.float32)


def fan_in_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Uniform on +-1 / sqrt(n_in), what PyTorch gives a linear layer (after LeCun et al., 1998)."""
    return _uniform(shape, rng, 1 / math.sqrt(max(shape[1], 1)))


def xavier_uniform(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """Uniform with variance gain^2 2 / (n_in + n_out) (Glorot and Bengio, 2010, eq. 16)."""
    return _uniform(shape, rng, gain * math.sqrt(6 / (shape[0] + shape[1])))


def xavier_normal(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """Normal with variance gain^2 2 / (n_in + n_out) (Glorot and Bengio, 2010)."""
    return _normal(shape, rng, gain * math.sqrt(2 / (shape[0] + shape[1])))


def kaiming_uniform(shape: Shape, rng: np.random.Generator, *, gain: float = math.sqrt(2)) -> np.ndarray:
    """Uniform with variance gain^2 / n_in (He et al., 2015, eq. 10)."""
    return _uniform(shape, rng, gain * math.sqrt(3 / max(shape[1], 1)))


def kaiming_normal(shape: Shape, rng: np.random.Generator, *, gain: float = math.sqrt(2)) -> np.ndarray:
    """Normal with variance gain^2 / n_in (He et al., 2015, eq. 10)."""
    return _normal(shape, rng, gain / math.sqrt(max(shape[1], 1)))


def orthogonal(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """A matrix with orthonormal rows or columns, uniform among those (Saxe et al., 2014), times the gain."""
    rows, columns = shape
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return (gain * (q if rows >= columns else q.T)).astype(np.float32)
