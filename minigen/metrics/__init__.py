"""What is measured of a generator: its physics; its modes and copies; what tells it from data; what its latents carry.

Samples are arrays `(n, d)`. Distances are Euclidean, so bring features of different units to one scale first.
"""

from . import latents
from .copies import MemorisationTest, memorisation_test, nearest_neighbour_ratio
from .interpolation import interpolation_smoothness, linear_interpolation, spherical_interpolation
from .latents import Dci, active_units, dci, kl_per_latent, mutual_information, mutual_information_gap, traversal
from .modes import ModeCoverage, mode_coverage
from .neighbours import nearest_distances, nearest_neighbours
from .physics import PhysicsFit, physics_residual, shuffled_control
from .precision_recall import precision_recall
from .two_sample import ClassifierTest, classifier_two_sample_test, factor_match, ks_statistic

__all__ = [
    "ClassifierTest",
    "Dci",
    "MemorisationTest",
    "ModeCoverage",
    "PhysicsFit",
    "active_units",
    "classifier_two_sample_test",
    "dci",
    "factor_match",
    "interpolation_smoothness",
    "kl_per_latent",
    "ks_statistic",
    "latents",
    "linear_interpolation",
    "memorisation_test",
    "mode_coverage",
    "mutual_information",
    "mutual_information_gap",
    "nearest_distances",
    "nearest_neighbour_ratio",
    "nearest_neighbours",
    "physics_residual",
    "precision_recall",
    "shuffled_control",
    "spherical_interpolation",
    "traversal",
]
