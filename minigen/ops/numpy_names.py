"""NumPy's functions applied to tensors: which operation each is, and which of NumPy's settings none has."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..operators import Operators

SYNONYMS = {
    "absolute": "abs",
    "true_divide": "divide",
    "amax": "max",
    "amin": "min",
    "remainder": "mod",
    "rint": "round",
    "around": "round",
}

# NumPy's settings that no operation has. As positional arguments, dtype and out come third in its reductions.
_ABSENT = {"out", "where", "dtype", "casting", "order", "subok", "signature", "initial"}
_REDUCTIONS = {"sum", "mean", "max", "min", "amax", "amin", "prod", "std", "var", "cumsum"}
_BOUNDS = {"a_min": "low", "min": "low", "a_max": "high", "max": "high"}

# The methods of a tensor that are operations, so that an array of a compiled step can have them too.
METHODS = [
    name
    for name, method in vars(Operators).items()
    if callable(method) and not name.startswith("_") and name not in ("item", "numpy", "sort")
]


def call_as_numpy(ops: ModuleType, spelled: str, inputs: tuple, settings: dict[str, Any]) -> Any:
    """What NumPy's function `spelled`, such as "np.add" or "np.linalg.norm", is among the operations, called.

    Raises TypeError for a function, or a setting of one, that no operation has.
    """
    name = spelled.rpartition(".")[2] if spelled.count(".") == 1 or spelled == "np.linalg.norm" else spelled
    if name in ("shape", "ndim", "size"):
        return getattr(inputs[0], name)
    op = _reciprocal if name == "reciprocal" else getattr(ops, SYNONYMS.get(name, name), None)
    inputs, settings, absent = _translated(spelled, name, inputs, settings)
    if not callable(op) or absent:
        raise TypeError(
            f"{spelled}{' with ' if absent else ''}{' and '.join(absent)} cannot work on a tensor; see minigen.ops for "
            "the operations there are, or leave the tape with .detach().numpy()"
        )
    return op(*inputs, **settings)


def _reciprocal(x):
    """What NumPy makes of x**-1."""
    return 1.0 / x


def _translated(spelled: str, name: str, inputs: tuple, settings: dict) -> tuple[tuple, dict, list[str]]:
    """The arguments as the operation calls them, and those that it has not."""
    absent = [f"{setting}=" for setting in sorted(_ABSENT & settings.keys())]
    if spelled == "np.linalg.norm" and (len(inputs) > 1 or settings.pop("ord", None) is not None):
        absent.append("ord")
    if name == "where" and len(inputs) == 1:
        absent.append("a condition alone")
    if name in _REDUCTIONS and len(inputs) > 2:
        absent.append("a third positional argument")
    if name == "clip":
        settings = {_BOUNDS.get(setting, setting): bound for setting, bound in settings.items()}
    if name == "pad":
        mode = inputs[2] if len(inputs) > 2 else settings.pop("mode", "constant")
        if mode != "constant":
            absent.append(f"mode={mode!r}")
        inputs, settings = inputs[:2], {"value": settings.pop("constant_values", 0.0), **settings}
    return inputs, settings, absent
