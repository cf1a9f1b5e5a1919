"""Models: learned generators and predictors with one face, `fit`, `sample`, and what each can tell beside."""

from .classifiers import GaussianDiscriminant, LogisticRegression
from .energy import EnergyModel
from .energy_gan import EnergyGAN
from .ensemble import Ensemble
from .gan import GAN
from .mixture import GaussianMixture
from .regressor import Regressor
from .vae import VAE

__all__ = [
    "GAN",
    "VAE",
    "EnergyGAN",
    "EnergyModel",
    "Ensemble",
    "GaussianDiscriminant",
    "GaussianMixture",
    "LogisticRegression",
    "Regressor",
]
