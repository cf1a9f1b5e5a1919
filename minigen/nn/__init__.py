"""Layers: modules with named parameters that live in one flat buffer."""

from . import init
from .layers import MLP, Activation, BatchNorm1d, Dropout, LayerNorm, Linear, Sequential
from .module import Module
from .spectral import SpectralLinear

__all__ = [
    "MLP",
    "Activation",
    "BatchNorm1d",
    "Dropout",
    "LayerNorm",
    "Linear",
    "Module",
    "Sequential",
    "SpectralLinear",
    "init",
]
