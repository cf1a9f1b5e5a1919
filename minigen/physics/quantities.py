"""What may a physical quantity be? Numbers in its unit, finite, and within the bounds that physics sets."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from .._support.arguments import ArrayKind
from .._support.arrays import as_floats


def as_quantity(
    value: Any, name: str, caller: str, unit: str = "", above: float | None = None, least: float | None = None
) -> np.ndarray:
    """A number or an array of numbers as float64; raises unless all are finite and within the bounds."""
    array = as_floats(value, name, caller)
    expected, in_unit = "finite numbers", unit and f" {unit}"
    good = np.isfinite(array)
    if above is not None:
        expected, good = f"finite numbers above {above:g}", good & (array > above)
    if least is not None:
        expected, good = f"finite numbers of at least {least:g}", good & (array >= least)
    if not good.all():
        raise ValueError(f"{caller} got {name}={float(array[~good].flat[0])!r}{in_unit}; expected {expected}{in_unit}")
    return array


def quantity(unit: str, above: float | None = None, least: float | None = None) -> Any:
    """The hint of an argument that holds a quantity in this unit."""
    return Annotated[Any, ArrayKind(lambda value, name, caller: as_quantity(value, name, caller, unit, above, least))]


Angle = quantity("rad")
AngularVelocity = quantity("rad/s")
Length = quantity("m", above=0)
Mass = quantity("kg", above=0)
Drag = quantity("kg/s", least=0)
Gravity = quantity("m/s^2", least=0)


def together(caller: str, **quantities: Any) -> list[np.ndarray]:
    """Quantities, given by their names, broadcast to one shape; ValueError where that cannot be."""
    try:
        return list(np.broadcast_arrays(*(np.asarray(x, float) for x in quantities.values())))
    except ValueError:
        names, shapes = ", ".join(quantities), ", ".join(str(np.shape(x)) for x in quantities.values())
        raise ValueError(
            f"{caller} got {names} of shapes {shapes}, which do not broadcast; give each either one number or one "
            "number per pendulum"
        ) from None
