"""Products that sum over an axis: matrices, batches of matrices, Einstein's convention."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import as_array, widened
from ..tape import primitive
from .reductions import sum
from .shaping import broadcast_to, expand_dims, reshape, squeeze, swapaxes, transpose

# The method of the array, `product(a, b, out)`: the BLAS call of np.matmul and np.dot with the least around it.
product = np.ndarray.dot


def _matrix_product(a, b):
    if a.ndim == 2 and b.ndim == 2:
        return product(a, b)
    return np.matmul(a, b)


# g b^T and a^T g; the tape sums over batch axes that were broadcast.
matrix_product = primitive(
    "matmul",
    _matrix_product,
    lambda g, y, a, b: matrix_product(g, swapaxes(b, -1, -2)),
    lambda g, y, a, b: matrix_product(swapaxes(a, -1, -2), g),
    into=lambda out, a, b: [(product if a.ndim == 2 and b.ndim == 2 else np.matmul, (a, b, out))],
)


def matmul(a: Any, b: Any) -> Any:
    """Matrix product with NumPy's rules: the last two axes are the matrices, the others broadcast; a 1-D argument is a
    row on the left, a column on the right, and its axis is dropped from the result."""
    try:
        if a.ndim > 1 and b.ndim > 1:
            return matrix_product(a, b)
    except AttributeError:
        pass  # of a list or a number
    a, b = as_array(a, "matmul"), as_array(b, "matmul")
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul() got shapes {a.shape} and {b.shape}; a single number has no rows: use multiply (*)")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul() got shapes {a.shape} and {b.shape}; the last axis of a and the rows of b must be equal"
        )
    y = matrix_product(expand_dims(a, 0) if a.ndim == 1 else a, expand_dims(b, 1) if b.ndim == 1 else b)
    if b.ndim == 1:
        y = squeeze(y, -1)
    return squeeze(y, -1 if b.ndim == 1 else -2) if a.ndim == 1 else y


def dot(a: Any, b: Any) -> Any:
    """NumPy's dot: a product of numbers, vectors or matrices; in general the sum over the last axis of a and the last
    but one of b."""
    a, b = widened(as_array(a, "dot")), widened(as_array(b, "dot"))
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return a @ b
    columns = transpose(b, (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1))
    y = reshape(a, (-1, a.shape[-1])) @ reshape(columns, (columns.shape[0], -1))
    return reshape(y, a.shape[:-1] + columns.shape[1:])


def outer(a: Any, b: Any) -> Any:
    """All products of an element of a with an element of b: shape (a.size, b.size)."""
    a, b = widened(as_array(a, "outer")), widened(as_array(b, "outer"))
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def _gradient_subscripts(out, other, mine):
    """Subscripts that take (g, other) back to the axes of `mine` that g or other have."""
    kept = "".join(s for s in mine if s in out or s in other)
    return f"{out},{other}->{kept}", kept


def _einsum_back(g, other, x, subscripts_of_x, out, subscripts_of_other):
    subscripts, kept = _gradient_subscripts(out, subscripts_of_other, subscripts_of_x)
    gradient = _einsum(g, other, subscripts)
    for axis, s in enumerate(subscripts_of_x):
        if s not in kept:  # summed over in x alone: every element gets the same gradient
            gradient = expand_dims(gradient, axis)
    return broadcast_to(gradient, np.broadcast_shapes(gradient.shape, x.shape))


def _einsum_by_a(g, y, a, b, subscripts):
    inputs, out = subscripts.split("->")
    of_a, of_b = inputs.split(",")
    return _einsum_back(g, b, a, of_a, out, of_b)


def _einsum_by_b(g, y, a, b, subscripts):
    inputs, out = subscripts.split("->")
    of_a, of_b = inputs.split(",")
    return _einsum_back(g, a, b, of_b, out, of_a)


_einsum = primitive(
    "einsum", lambda a, b, subscripts: np.einsum(subscripts, a, b, optimize=True), _einsum_by_a, _einsum_by_b
)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein summation: `einsum("ij,jk->ik", a, b)`, `einsum("ij->ji", a)`; several operands from left to right.

    Raises ValueError for another number of operands than terms, an ellipsis, or a subscript repeated within one.
    """
    terms = subscripts.replace(" ", "")
    inputs, arrow, out = terms.partition("->")
    parts = inputs.split(",")
    if len(parts) != len(operands) or "." in terms:
        raise ValueError(
            f"einsum() got the subscripts {subscripts!r} and {len(operands)} operand(s); it takes one operand for each "
            "term and no ellipsis, such as 'ij,jk->ik'"
        )
    if any(len(set(part)) != len(part) for part in parts):
        raise ValueError(f"einsum() got {subscripts!r} with a subscript repeated in one operand; take diagonal() first")
    if not arrow:
        out = "".join(sorted(s for s in set(inputs) - {","} if inputs.count(s) == 1))
    left, y = parts[0], as_array(operands[0], "einsum")
    if len(parts) == 1:
        return _of_one(y, left, out, subscripts)
    for i in range(1, len(parts)):
        later = {*out, *"".join(parts[i + 1 :])}  # subscripts that are still needed
        kept = out if i == len(parts) - 1 else "".join(s for s in dict.fromkeys(left + parts[i]) if s in later)
        y = _einsum(y, operands[i], f"{left},{parts[i]}->{kept}")
        left = kept
    return y


def _of_one(x, axes: str, out: str, subscripts: str):
    """Sum over the subscripts that are not in `out`; the others in its order."""
    if x.ndim != len(axes) or len(set(out)) != len(out) or not set(out) <= set(axes):
        raise ValueError(f"einsum() got the subscripts {subscripts!r} for an array of shape {x.shape}")
    kept = "".join(s for s in axes if s in out)
    summed = sum(x, tuple(i for i, s in enumerate(axes) if s not in out)) if kept != axes else x
    return transpose(summed, tuple(kept.index(s) for s in out)) if kept != out else summed
