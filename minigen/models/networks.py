"""What the networks of models are made of: activations by name, and MLPs as models want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from .. import nn
from .._support.arguments import one_of

SLOPE = 0.2  # of leaky_relu below zero (Radford et al., 2016)

ActivationName = Annotated[str, one_of(nn.Activation.NAMES)]


def mlp(sizes: Sequence[int], activation: str, rng: np.random.Generator, linear: type = nn.Linear) -> nn.MLP:
    """An MLP of these widths, with layers of the class `linear`."""
    settings: dict[str, Any] = {"slope": SLOPE} if activation == "leaky_relu" else {}
    return nn.MLP(sizes, activation, rng=rng, linear=linear, **settings)
