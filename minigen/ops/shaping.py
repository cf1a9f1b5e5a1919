"""Operations that move numbers without changing them: shapes, axes, pieces, order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels
from .._support import explain
from .._support.arguments import is_number
from ..dtypes import as_array
from ..tape import primitive
from ..watching import refuse
from .arithmetic import where

reshape = primitive("reshape", np.reshape, lambda g, y, x, shape: reshape(g, x.shape))


def _transpose_back(g, y, x, axes=None):
    return transpose(g, None if axes is None else tuple(int(i) for i in np.argsort([a % x.ndim for a in axes])))


transpose = primitive("transpose", np.transpose, _transpose_back)

swapaxes = primitive("swapaxes", np.swapaxes, lambda g, y, x, axis1, axis2: swapaxes(g, axis1, axis2))

expand_dims = primitive("expand_dims", np.expand_dims, lambda g, y, x, axis: reshape(g, x.shape))

squeeze = primitive("squeeze", np.squeeze, lambda g, y, x, axis=None: reshape(g, x.shape))

flip = primitive("flip", np.flip, lambda g, y, x, axis=None: flip(g, axis))

astype = primitive(
    "astype",
    lambda x, dtype: np.asarray(x).astype(dtype),
    lambda g, y, x, dtype: astype(g, x.dtype),
    into=lambda out, x, dtype: [(np.copyto, (out, x, "unsafe"))],
)


def _broadcast_to(x, shape):
    """x repeated to a larger shape, as an array of its own: the kernels want one without gaps."""
    out = np.empty(shape, np.asarray(x).dtype)
    np.copyto(out, x)
    return out


# broadcast_to needs no sum in its rule: the tape sums every gradient down to the shape of its argument.
broadcast_to = primitive(
    "broadcast_to",
    _broadcast_to,
    lambda g, y, x, shape: g,
    into=lambda out, x, shape: [(np.copyto, (out, x))],
)


def _sum_to(x, shape):
    """Sum over the axes along which `shape` was broadcast to the shape of x."""
    extra = x.ndim - len(shape)
    if extra == 1 and x.ndim == 2 and x.shape[1:] == shape:
        return kernels.sum_rows(x)
    stretched = tuple(extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1)
    return kernels.sum_axes(x, tuple(range(extra)) + stretched, True).reshape(shape)


def _sum_to_into(out, x, shape):
    extra = x.ndim - len(shape)
    if extra == 1 and x.ndim == 2 and x.shape[1:] == shape:
        return kernels.sum_rows.into(out, x)
    stretched = tuple(extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1)
    kept = out.reshape((1,) * extra + shape)
    return kernels.sum_axes.into(kept, x, tuple(range(extra)) + stretched, True)


sum_to = primitive("sum_to", _sum_to, lambda g, y, x, shape: broadcast_to(g, x.shape), into=_sum_to_into)


_SEQUENCES = (list, tuple, range, np.ndarray)  # inside an index: positions, one of which may come twice, or a mask


def _index_arrays(index) -> list:
    return [part for part in (index if type(index) is tuple else (index,)) if isinstance(part, _SEQUENCES)]


def _is_mask(index) -> bool:
    return isinstance(index, np.ndarray) and index.dtype.kind == "b"


def _getitem(x, index):
    return (np.asarray(x) if isinstance(x, (list, tuple)) else x)[index]


def _place(g, index, shape):
    """Zeros of the given shape with g added at an index; where the index repeats, the values add up."""
    out = np.zeros(shape, np.asarray(g).dtype)
    if _index_arrays(index) and not _is_mask(index):
        np.add.at(out, index, g)
    else:
        out[index] = g
    return out


_getitem_of = primitive("getitem", _getitem, lambda g, y, x, index: place(g, index, x.shape))


def _raw_index(index: Any) -> Any:
    """An index without tensors in it. TypeError for arrays of floats."""
    if type(index) is tuple:
        return tuple(map(_raw_index, index))
    index = getattr(index, "data", index) if hasattr(index, "node") else index
    if isinstance(index, _SEQUENCES):
        array = np.asarray(index)
        if array.dtype.kind not in "iub" and array.size:
            raise explain.no_index(array.dtype)
        if array.dtype.kind == "b" and isinstance(index, np.ndarray) and type(index) is not np.ndarray:
            refuse(explain.live_mask())  # an array of a compiled step
    return index


def getitem(x: Any, index: Any) -> Any:
    """x[index] with NumPy's indices: whole numbers, slices, arrays of positions, masks (arrays of True and False).

    The result of a mask has as many elements as it has True; so a compiled step takes constant masks alone.
    """
    if type(index) is int or type(index) is slice:
        return _getitem_of(x, index)
    return _getitem_of(x, _raw_index(index))


def _place_into(out, g, index, shape):
    repeats = _index_arrays(index) and not _is_mask(index)
    put = (np.add.at, (out, index, g)) if repeats else (out.__setitem__, (index, g))
    return [(out.fill, (0,)), put]


place = primitive("place", _place, lambda u, y, g, index, shape: _getitem_of(u, index), into=_place_into)


def _in_rows(x, axis) -> bool:
    return x.ndim == 2 and axis in (1, -1)


def _take_along_axis(x, indices, axis):
    if _in_rows(x, axis):
        return kernels.take_along_rows(x, np.asarray(indices))
    return np.take_along_axis(x, np.asarray(indices), axis)


def _take_along_axis_into(out, x, indices, axis):
    if _in_rows(x, axis):
        return kernels.take_along_rows.into(out, x, np.asarray(indices))
    return [(kernels.copy_result, (out, _take_along_axis, (x, indices, axis)))]


def _place_along_axis(g, indices, axis, shape):
    """Zeros of the given shape with g added at the indices along one axis."""
    if _in_rows(g, axis) and len(g) == shape[0]:
        return kernels.place_along_rows(g, np.asarray(indices), shape[1])
    out = np.zeros(shape, g.dtype)
    if axis is None:
        np.add.at(out.reshape(-1), indices, g)
        return out
    grid = list(np.ogrid[tuple(slice(n) for n in shape)])
    grid[axis] = indices
    np.add.at(out, tuple(grid), g)
    return out


take_along_axis = primitive(
    "take_along_axis",
    _take_along_axis,
    lambda g, y, x, indices, axis: place_along_axis(g, indices, axis, x.shape),
    into=_take_along_axis_into,
)


def _place_along_axis_into(out, g, indices, axis, shape):
    if _in_rows(g, axis) and len(g) == shape[0]:
        return kernels.place_along_rows.into(out, g, np.asarray(indices), shape[1])
    return [(kernels.copy_result, (out, _place_along_axis, (g, indices, axis, shape)))]


place_along_axis = primitive(
    "place_along_axis",
    _place_along_axis,
    lambda u, y, g, indices, axis, shape: take_along_axis(u, indices, axis),
    into=_place_along_axis_into,
)


def _first(position):
    return lambda x, axis=None: position(x, axis=axis)


argmax = primitive("argmax", _first(np.argmax), None)
argmin = primitive("argmin", _first(np.argmin), None)

argsort = primitive("argsort", lambda x, axis=-1: np.argsort(x, axis=axis, kind="stable"), None)


def sort(x: Any, axis: int | None = -1) -> Any:
    """Values in increasing order along one axis."""
    return take_along_axis(x, argsort(x, axis), axis)


def check_axis(axis: Any, ndim: int, caller: str) -> int:
    """The axis counted from the first; IndexError where there is no such axis."""
    if not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
        raise IndexError(f"{caller}() got axis {axis!r} for an array of {ndim} axes; they count from 0, the last is -1")
    return int(axis) % ndim


def _concatenate_back(wants, g, y, *arrays, axis=0):
    before, at = (slice(None),) * (axis % y.ndim), 0
    for want, array in zip(wants, arrays):
        width = array.shape[axis]
        yield getitem(g, (*before, slice(at, at + width))) if want else None
        at += width


_concatenate = primitive(
    "concatenate",
    lambda *arrays, axis=0: np.concatenate(arrays, axis=axis),
    joint=_concatenate_back,
    into=lambda out, *arrays, axis=0: [(np.concatenate, (arrays, axis, out))],
)


def concatenate(arrays: Sequence, axis: int | None = 0) -> Any:
    """Join a sequence of arrays along an axis that they have; with `axis=None`, flattened."""
    arrays = list(arrays)
    if not arrays:
        raise ValueError("concatenate() got no arrays; give at least one")
    if axis is None:
        arrays, axis = [reshape(array, (-1,)) for array in arrays], 0
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence, axis: int = 0) -> Any:
    """Join a sequence of arrays of one shape along a new axis."""
    arrays = list(arrays)
    shapes = sorted({np.shape(array) for array in arrays})
    if len(shapes) != 1:
        raise ValueError(f"stack() got arrays of shapes {shapes or 'none'}; give one or more of a single shape")
    return _concatenate(*(expand_dims(array, axis) for array in arrays), axis=axis)


def hstack(arrays: Sequence) -> Any:
    """Join arrays side by side: vectors one after the other, others along their second axis."""
    arrays = [ravel(array) if np.ndim(array) == 0 else array for array in arrays]
    return concatenate(arrays, 0 if arrays and np.ndim(arrays[0]) == 1 else 1)


def vstack(arrays: Sequence) -> Any:
    """Join arrays one above the other; a vector is a row."""
    return concatenate([reshape(array, (1, -1)) if np.ndim(array) < 2 else array for array in arrays], 0)


def ravel(x: Any) -> Any:
    """All numbers of x in a row."""
    return reshape(x, (-1,))


flatten = ravel


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list:
    """Cut x into a list: `sections` equal parts, or at the given positions."""
    x = as_array(x, "split")
    axis = check_axis(axis, x.ndim, "split")
    length = x.shape[axis]
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or length % sections:
            raise ValueError(
                f"split() cannot cut an axis of length {length} into {sections} equal parts; "
                "choose a divisor or give a list of positions"
            )
        sections = [length * i // sections for i in range(1, sections)]
    elif not isinstance(sections, (list, tuple, np.ndarray)):
        raise TypeError(f"split() got {sections!r}; expected a number of parts or a list of positions")
    cuts = [0, *sections, length]
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(start, stop))) for start, stop in itertools.pairwise(cuts)]


def pad(x: Any, pad_width: Any, value: float = 0.0) -> Any:
    """x with a border of a constant. `pad_width` as in NumPy: a number, (before, after), or such a pair per axis."""
    x = as_array(x, "pad")
    if not is_number(value):
        raise ValueError(f"pad() got value {value!r}; expected a number: a border of a constant is the only one")
    try:
        widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    except ValueError:
        widths = [[None]]
    if not all(isinstance(width, int) and width >= 0 for pair in widths for width in pair):
        raise ValueError(
            f"pad() got pad_width {pad_width} for an array of {x.ndim} axes; expected a whole number from 0, "
            "(before, after), or such a pair per axis: to cut, use an index"
        )
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, widths))
    index = tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths))
    padded = place(x, index, shape)
    if value == 0:
        return padded
    border = np.full(shape, value, x.dtype)
    border[index] = 0
    return padded + border


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal over two axes, as the last axis of the result."""
    x = as_array(x, "diagonal")
    axis1, axis2 = check_axis(axis1, x.ndim, "diagonal"), check_axis(axis2, x.ndim, "diagonal")
    if axis1 == axis2:
        raise ValueError(f"diagonal() got axis {axis1} twice; give two axes of {x.shape}")
    axes = [i for i in range(x.ndim) if i not in (axis1, axis2)]
    rows, columns = x.shape[axis1], x.shape[axis2]
    down, right = max(-offset, 0), max(offset, 0)
    at = np.arange(max(min(rows - down, columns - right), 0))
    return getitem(transpose(x, (*axes, axis1, axis2)), (Ellipsis, at + down, at + right))


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangle of the last two axes, with 0 above diagonal `k`."""
    x = as_array(x, "tril")
    return where(np.tri(x.shape[-2], x.shape[-1], k, dtype=bool), x, 0)


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangle of the last two axes, with 0 below diagonal `k`."""
    x = as_array(x, "triu")
    return where(np.tri(x.shape[-2], x.shape[-1], k - 1, dtype=bool), 0, x)
