"""Operations that move numbers without changing them: shapes, axes, pieces, order."""

import itertools

import numpy as np

from .. import kernels
from ..dtypes import as_array
from ..tape import primitive

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
    return x.sum(axis=tuple(range(extra)) + stretched, keepdims=True).reshape(shape)


def _sum_to_into(out, x, shape):
    extra = x.ndim - len(shape)
    if extra == 1 and x.ndim == 2 and x.shape[1:] == shape:
        return kernels.sum_rows.into(out, x)
    stretched = tuple(extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1)
    kept = out.reshape((1,) * extra + shape)
    return [(np.add.reduce, (x, tuple(range(extra)) + stretched, None, kept, True))]


sum_to = primitive("sum_to", _sum_to, lambda g, y, x, shape: broadcast_to(g, x.shape), into=_sum_to_into)


_SEQUENCES = (list, tuple, range, np.ndarray)  # inside an index: an array of positions, one of which may come twice


def _index_arrays(index) -> list:
    return [part for part in (index if type(index) is tuple else (index,)) if isinstance(part, _SEQUENCES)]


def _getitem(x, index):
    for part in _index_arrays(index):
        if np.asarray(part).dtype.kind not in "iu" and np.size(part):
            raise TypeError(
                f"an index array must hold integers, got {np.asarray(part).dtype}; "
                "for a condition use where(), or np.flatnonzero() to turn it into integers"
            )
    return (np.asarray(x) if isinstance(x, (list, tuple)) else x)[index]


def _place(g, index, shape):
    """Zeros of the given shape with g added at an index; where the index repeats, the values add up."""
    out = np.zeros(shape, np.asarray(g).dtype)
    if _index_arrays(index):
        np.add.at(out, index, g)
    else:
        out[index] = g
    return out


getitem = primitive("getitem", _getitem, lambda g, y, x, index: place(g, index, x.shape))


def _place_into(out, g, index, shape):
    put = (np.add.at, (out, index, g)) if _index_arrays(index) else (out.__setitem__, (index, g))
    return [(out.fill, (0,)), put]


place = primitive("place", _place, lambda u, y, g, index, shape: getitem(u, index), into=_place_into)


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

argsort = primitive("argsort", lambda x, axis=-1: np.argsort(x, axis=axis, kind="stable"), None)


def sort(x, axis=-1):
    """Values in increasing order along one axis."""
    return take_along_axis(x, argsort(x, axis), axis)


def check_axis(axis, ndim: int, caller: str) -> int:
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


def concatenate(arrays, axis=0):
    """Join a sequence of arrays along an axis that they have; with `axis=None`, flattened."""
    arrays = list(arrays)
    if not arrays:
        raise ValueError("concatenate() got no arrays; give at least one")
    if axis is None:
        arrays, axis = [reshape(array, (-1,)) for array in arrays], 0
    return _concatenate(*arrays, axis=axis)


def stack(arrays, axis=0):
    """Join a sequence of arrays of one shape along a new axis."""
    arrays = list(arrays)
    shapes = sorted({np.shape(array) for array in arrays})
    if len(shapes) != 1:
        raise ValueError(f"stack() got arrays of shapes {shapes or 'none'}; give one or more of a single shape")
    return _concatenate(*(expand_dims(array, axis) for array in arrays), axis=axis)


def split(x, sections, axis=0):
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


def pad(x, pad_width, value=0.0):
    """x with a border of a constant. `pad_width` as in NumPy: a number, (before, after), or such a pair per axis."""
    x = as_array(x, "pad")
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


def diagonal(x, offset=0, axis1=0, axis2=1):
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
