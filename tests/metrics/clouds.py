"""Samples and generators that the tests of the metrics share."""

import numpy as np

SEEDS = range(4)


def rng(seed=0):
    return np.random.default_rng(seed)


def cloud(seed, n, d=2):
    """Samples of one distribution that is neither round nor centred."""
    return rng(seed).standard_normal((n, d)) * np.linspace(1, 2, d) + 3
