"""What should a person read when NumPy refuses what an operation was given?"""

from __future__ import annotations

import numpy as np

# What to do about the commonest messages that come from NumPy.
_ADVICE = {
    "broadcast": "counted from the last, axes must be equal or 1; use reshape or expand_dims",
    "not aligned": "the last axis of the first and the rows of the second must be equal; is a transpose missing?",
    "ufunc": "give tensors, arrays or numbers",
    "unsupported operand": "give tensors, arrays or numbers",
    "has no attribute": "give tensors or arrays",
}


def explained(name: str, raw, error: Exception) -> Exception:
    """The same kind of error, with the operation's name, what it was given and what to do."""
    text = str(error).rstrip()
    if getattr(error, "explained", False) or text.startswith(f"{name}() "):
        return error
    kind = next((kind for kind in (IndexError, ValueError) if isinstance(error, kind)), TypeError)
    given = ", ".join(f"array of shape {a.shape}" if isinstance(a, np.ndarray) else repr(a)[:60] for a in raw)
    advice = next((f"; {advice}" for sign, advice in _ADVICE.items() if sign in text), "")
    found = kind(f"{name}() cannot use ({given}): {text}{advice}")
    found.explained = True
    return found
