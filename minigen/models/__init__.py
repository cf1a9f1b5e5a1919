"""Models: learned generators and predictors with one face, `fit`, `sample`, and what each can tell beside."""

from .ensemble import Ensemble
from .regressor import Regressor
from .vae import VAE

__all__ = ["VAE", "Ensemble", "Regressor"]
