"""Classical mechanics that makes the data: step rules for equations of motion and the systems they move."""

from minigen.physics import integrators, pendulum

__all__ = ["integrators", "pendulum"]
