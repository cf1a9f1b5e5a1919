"""Classical mechanics that makes the data: step rules for equations of motion and the systems they move."""

from . import integrators, pendulum

__all__ = ["integrators", "pendulum"]
