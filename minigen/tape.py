"""Reverse-mode automatic differentiation: tensors, the tape they leave behind, and the sweep back over it.

An operation is made by `primitive`. Called on raw arrays it just computes; called on tensors it also records a `Node`.
Its rules of differentiation are written in operations again, so a sweep that hands them raw arrays gives numbers and a
sweep that hands them tensors (`create_graph=True`) records itself: gradients of gradients need nothing more.

The survey by Baydin et al. (2018), "Automatic differentiation in machine learning", section 3.2, has the mathematics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter

import numpy as np

from .explain import explained

OPERATIONS: dict[str, Callable] = {}  # every primitive by its name

_ids = count()
_recording = True
_watcher: Watcher | None = None


class Node:
    """One step of a computation: the operation, its raw inputs, the nodes those came from, and the raw result.

    A leaf (a tensor made with `requires_grad=True`) has no operation; it keeps the gradient that `backward` adds up.
    A node never refers to the tensor it belongs to, so there are no reference cycles.
    """

    __slots__ = ("gradient", "id", "line", "op", "parents", "raw", "static", "value")

    def __init__(self, op, raw, static, parents, value):
        self.op, self.raw, self.static, self.parents, self.value = op, raw, static, parents, value
        self.id = next(_ids)


class Tensor:
    """A NumPy array that remembers how it was computed. Make one with `minigen.tensor`.

    `data` is the raw array. `node` is its place on the tape, None for a constant. Operators, methods and NumPy's
    functions are given to this class by `minigen.ops`.
    """

    __slots__ = ("data", "node")

    def __init__(self, data: np.ndarray, node: Node | None = None):
        self.data, self.node = data, node

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient can flow to or through this tensor."""
        return self.node is not None

    @property
    def grad(self) -> np.ndarray | None:
        """The gradient that `backward` has added up on this leaf, a raw array of its shape; None before the first."""
        gradient = self.node.gradient if self.node is not None and self.node.op is None else None
        return shown(gradient)

    @grad.setter
    def grad(self, value: np.ndarray | Tensor | None) -> None:
        if self.node is None or self.node.op is not None:
            raise ValueError("grad can be set only on a leaf: a tensor made with requires_grad=True")
        refuse("a gradient was set through .grad; use zero_grad(), or set it outside the step")
        value = value.data if type(value) is Tensor else value
        if value is not None and (type(value) is not np.ndarray or value.shape != self.data.shape):
            raise ValueError(
                f"grad of this leaf is a NumPy array of shape {self.data.shape} or None; got "
                f"{f'shape {value.shape}' if type(value) is np.ndarray else type(value).__name__}"
            )
        self.node.gradient = value

    def __reduce__(self):
        # A copy, or one read by another process, gets a node of its own: two nodes of one id would be taken for one.
        if self.node is None:
            return Tensor, (self.data,)
        if self.node.op is not None:
            raise TypeError("a tensor that was computed on the tape cannot be copied or pickled; detach() it first")
        return leaf, (self.data, self.node.gradient)

    def detach(self) -> Tensor:
        """The same values as a constant: no gradient flows through it. Shares memory with this tensor."""
        return Tensor(self.data)

    def backward(self, leaves: Iterable[Tensor] | None = None) -> None:
        """Add the gradient of this scalar to `.grad` of every leaf it was computed from, or of the given ones alone.

        With `leaves`, such as the parameters of one of two networks, nothing is computed for the others.
        """
        root = _scalar_root(self, "backward()")
        if root is None:
            raise ValueError(
                "backward(): this value does not depend on any tensor that requires a gradient; make the inputs to "
                "learn with minigen.tensor(data, requires_grad=True) and compute the loss outside no_grad()"
            )
        needed = wanted = None
        if leaves is not None:
            wanted = {leaf.node.id for leaf in leaves if leaf.node is not None and leaf.node.op is None}
            needed = _between(root, wanted) if wanted else ()
            if not needed:
                raise ValueError(
                    "backward(): this value depends on none of the leaves it was given; give tensors that require a "
                    "gradient, such as network.parameters(), from which it was computed without detach()"
                )
        for leaf, gradient in _sweep(root, _seed(root), needed, wanted):
            if leaf.gradient is None:
                leaf.gradient = np.asarray(OPERATIONS["astype"](gradient, leaf.value.dtype))  # a copy
            else:
                act(add_to, leaf.gradient, gradient, changes=(leaf.gradient,))


def tensor(data, requires_grad: bool = False) -> Tensor:
    """A tensor holding a copy of `data` (array, number or nested list).

    Python floats become float32; float32 and float64 arrays keep their dtype. With `requires_grad` it is a leaf of the
    tape, which takes floats only.

    Raises TypeError for data that are not real numbers, and for integers that ask for a gradient.
    """
    if type(data) is Tensor:
        data = data.data
    try:
        # An operation makes the copy of an array, so that a watcher sees it.
        array = OPERATIONS["astype"](data, data.dtype) if isinstance(data, np.ndarray) else np.array(data)
    except ValueError as error:
        raise TypeError(f"tensor() got rows of unequal length: {error}; give every row the same length") from None
    if array.dtype.kind not in "iub" and array.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"tensor() got data of type {array.dtype}; expected real numbers: float32, float64, integers or booleans"
        )
    if array.dtype.kind == "f" and not isinstance(data, (np.ndarray, np.generic)):
        array = array.astype(np.float32)
    if not requires_grad:
        return Tensor(array)
    if array.dtype.kind != "f":
        raise TypeError(
            f"tensor() got {array.dtype} with requires_grad=True; a gradient needs floating-point numbers: "
            "write 1.0 for 1, or convert with .astype(np.float32)"
        )
    return leaf(array)


def leaf(array: np.ndarray, gradient: np.ndarray | None = None) -> Tensor:
    """A leaf tensor on this very array (no copy); `gradient`, if given, is where `backward` adds."""
    node = Node(None, (), None, (), array)
    node.gradient = gradient
    return Tensor(array, node)


def mark_changed(leaves: Iterable[Tensor]) -> None:
    """Say that these leaves were changed in place: a graph recorded before can no longer be swept, and says so."""
    for each in leaves:
        each.node.id = next(_ids)


class Watcher:
    """Sees every operation as it runs, and every change of an array in place. The finder of NaN is one, and so is the
    recorder of a compiled step."""

    def given(self, args: Sequence) -> None:
        """The arguments of the operation that runs next, tensors among them."""

    def run(self, op: Callable, raw: Sequence, static: dict):
        """Compute the operation; the default just does."""
        return op.forward(*raw, **static)

    def recorded(self, node: Node) -> None:
        """A node has been put on the tape."""

    def contributed(self, node: Node, index: int, gradient) -> None:
        """The rule of `node` has given the gradient of its argument `index`."""

    def act(self, action: Callable, args: Sequence, changes: Sequence):
        """Do what is no operation: something that changes arrays, generators or objects in place."""
        return action(*args)

    def constant(self, array: np.ndarray) -> np.ndarray:
        """An array the engine has made that is the same in every run."""
        return array

    def shown(self, array: np.ndarray) -> np.ndarray:
        """An array that the program asks for by name, such as a gradient."""
        return array

    def relies(self, thing, name: str) -> None:
        """What happens depends on an attribute of an object."""

    def refuse(self, what: str) -> None:
        """Something was done that this watcher may not be able to see."""


def act(action: Callable, *args, changes: Sequence = ()):
    """Do `action(*args)`, which changes the things in `changes` in place, in sight of whoever watches."""
    return action(*args) if _watcher is None else _watcher.act(action, args, changes)


def relies(thing, name: str):
    """The attribute `name` of an object, such as the mode of a layer, in sight of whoever watches."""
    if _watcher is not None:
        _watcher.relies(thing, name)
    return getattr(thing, name)


def shown(array: np.ndarray | None) -> np.ndarray | None:
    """An array handed to the program, in sight of whoever watches."""
    return array if _watcher is None or array is None else _watcher.shown(array)


def refuse(what: str) -> None:
    """Tell whoever watches of a change that only the program's own lines can make."""
    if _watcher is not None:
        _watcher.refuse(what)


def add_to(total: np.ndarray, part: np.ndarray) -> None:
    """Add an array to another in place."""
    np.add(total, part, out=total)


def clear(total: np.ndarray) -> None:
    """Set an array to zero in place."""
    total.fill(0)


@contextmanager
def watch(watcher: Watcher):
    """Let `watcher` see every operation inside the block."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield watcher
    finally:
        _watcher = before


@contextmanager
def no_grad():
    """Inside the block nothing is put on the tape, by any thread of the process; usable as a decorator too."""
    global _recording
    before, _recording = _recording, False
    try:
        yield
    finally:
        _recording = before


def primitive(
    name: str,
    forward: Callable,
    *rules: Callable | None,
    joint: Callable | None = None,
    into: Callable | None = None,
) -> Callable:
    """Make a differentiable operation `op(*args, **static)` from a function on raw arrays.

    Parameters
    ----------
    name : what errors and the table of operations call it.
    forward : raw arrays -> raw array.
    rules : one for each argument that can have a gradient, `rule(g, y, *args, **static)`: from the gradient g of the
        result y to the gradient of that argument. None says that this derivative is zero everywhere. A rule uses only
        operations, so that it can be differentiated again; it need not undo broadcasting.
    joint : instead of `rules`, one function for operations whose gradients share work or that take any number of
        arguments, `joint(wants, g, y, *args, **static)`: a gradient or None per argument; `wants` says which are
        needed.
    into : `into(out, *args, **static)`, the calls that write the result into an array allocated beforehand, as a list
        of pairs (function, arguments); a compiled step makes these. A NumPy ufunc has no need of it; any other
        operation without it is replayed by computing and copying.
    """

    def op(*args, **static):
        for arg in args:
            if type(arg) is Tensor:
                return _apply(op, args, static)
        try:
            return forward(*args, **static) if _watcher is None else _watcher.run(op, args, static)
        except (AttributeError, TypeError) as error:
            arrays = [as_array(arg, name) if isinstance(arg, _LISTED) else arg for arg in _operands(op, args)]
            if all(array is arg for array, arg in zip(arrays, args)):
                if type(error) is TypeError:
                    raise
                raise explained(name, args, error) from error
        return op(*arrays, *args[len(arrays) :], **static)

    op.owner = sys._getframe(1).f_globals.get("__name__")
    if name in OPERATIONS and OPERATIONS[name].owner != op.owner:  # who made it may make it anew, as in a notebook
        raise ValueError(f"there is an operation named {name!r} already; choose another name")
    op.__name__ = op.__qualname__ = name
    op.__doc__ = forward.__doc__
    op.forward, op.rules, op.joint, op.into = forward, rules, joint, into
    OPERATIONS[name] = op
    return op


def _apply(op, args, static):
    """Run an operation of which at least one argument is a tensor, and record it if a gradient may flow."""
    raw, parents, dtype, plain, on_tape = [], [], None, True, False
    for arg in args:
        node = None
        if type(arg) is Tensor:
            arg, node = arg.data, arg.node
            if node is not None:
                on_tape = True
        raw.append(arg)
        parents.append(node)
        if type(arg) is np.ndarray:
            if dtype is None:
                dtype = arg.dtype
            elif dtype is not arg.dtype:
                plain = False
        elif type(arg) not in _PLAIN:
            plain = False
    if not plain:
        raw = _settle_dtypes(op, args, raw)
    if _watcher is not None:
        _watcher.given(args)
    try:
        value = op.forward(*raw, **static) if _watcher is None else _watcher.run(op, raw, static)
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise explained(op.__name__, raw, error) from error
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
    if value.dtype is not dtype and value.dtype == np.float64 and op.__name__ != "astype":
        value = _without_promotion(raw, value)
    if not (on_tape and _recording and value.dtype.kind == "f"):
        return Tensor(value)
    node = Node(op, raw, static, parents, value)
    if _watcher is not None:
        _watcher.recorded(node)
    return Tensor(value, node)


_PLAIN = {float, int, bool, type(None), tuple, str, slice}
_LISTED = (list, tuple, float, int)  # what becomes an array where an operation cannot use it as it is


def _settle_dtypes(op, args, raw):
    """Give plain arrays and integer tensors the dtype of the floating tensors beside them; refuse two floating dtypes.

    Only arguments with a rule take part: an index or a condition stays what it is.
    """
    operands = [i for i in range(len(args)) if op.joint or (i < len(op.rules) and op.rules[i] is not None)]
    dtypes = {raw[i].dtype for i in operands if type(args[i]) is Tensor and raw[i].dtype.kind == "f"}
    if len(dtypes) > 1:
        raise TypeError(
            f"{op.__name__}() got tensors of two dtypes, {' and '.join(sorted(map(str, dtypes)))}; "
            "convert one of them with .astype()"
        )
    if dtypes:
        (dtype,) = dtypes
        for i in operands:
            raw[i] = _as_real(op, raw[i], dtype)
    return raw


def _operands(op, args) -> tuple:
    """The arguments that are arrays of numbers; what follows them, such as a shape, is a setting."""
    return args if op.joint else args[: len(op.rules)]


def as_array(x, caller: str):
    """A tensor as it is; lists, numbers and the like as an array. TypeError unless of real numbers."""
    if type(x) is Tensor:
        return x
    try:
        array = np.asarray(x)
    except ValueError:
        raise TypeError(f"{caller}() got rows of unequal length; give every row the same length") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{caller}() got data of type {array.dtype}; expected real numbers")
    return array


def _as_real(op, value, dtype):
    """An argument beside floating tensors in their dtype; Python numbers stay as they are."""
    if type(value) in _PLAIN:
        return value
    array = as_array(value, op.__name__)
    return array if array.dtype == dtype else OPERATIONS["astype"](array, dtype)


def _without_promotion(raw, value):
    """float32 unless a float64 array took part: integers, conditions and Python numbers never bring float64 in."""
    brought = any(isinstance(a, (np.ndarray, np.generic)) and a.dtype == np.float64 for a in raw)
    return value if brought else OPERATIONS["astype"](value, np.float32)


def grad(y: Tensor, xs: Tensor | Sequence[Tensor], create_graph: bool = False):
    """Gradient of the scalar `y` by `xs`: one tensor for one tensor, a list for a sequence.

    With `create_graph` the result is itself on the tape and can be differentiated again. Leaves' `.grad` are not
    touched.

    Raises ValueError if y is not a scalar or does not depend on one of xs, TypeError if an x is not a tensor.
    """
    single = type(xs) is Tensor
    targets = [xs] if single else list(xs)
    for i, x in enumerate(targets):
        if type(x) is not Tensor:
            raise TypeError(
                f"grad() by argument {i}, a {type(x).__name__}: it must be a Tensor; make it with minigen.tensor"
            )
        if x.node is None:
            raise ValueError(
                f"grad() by argument {i} of shape {x.data.shape}, which does not require a gradient: "
                "make it with minigen.tensor(data, requires_grad=True) before computing y"
            )
    if not targets:
        raise ValueError("grad() got an empty list to differentiate by; give at least one tensor")
    root = _scalar_root(y, "grad()")
    wanted = {x.node.id for x in targets}
    needed = _between(root, wanted) if root is not None else set()
    for i, x in enumerate(targets):
        if root is None or (x.node.id not in needed):
            raise ValueError(
                f"grad(): y does not depend on argument {i} of shape {x.data.shape}; "
                "was y computed from another tensor, under no_grad(), or through detach()? A gradient can be "
                "differentiated again if it was taken with create_graph=True, and if it is not constant, as the second "
                "derivative of x * x is"
            )
    seed = _seed(root)
    arrived = _sweep(root, Tensor(seed) if create_graph else seed, needed, wanted, create_graph)
    found = {node.id: gradient for node, gradient in arrived}
    results = [_as_result(found.get(x.node.id), x) for x in targets]
    return results[0] if single else results


def _seed(root: Node) -> np.ndarray:
    """The gradient of a value by itself."""
    ones = np.ones(root.value.shape, root.value.dtype)
    return ones if _watcher is None else _watcher.constant(ones)


def _as_result(gradient, x: Tensor) -> Tensor:
    if type(gradient) is Tensor:
        return gradient
    if gradient is None:
        return Tensor(np.zeros(x.data.shape, x.data.dtype))
    # A copy: the sweep may hand the same array, or a view of it, to several inputs.
    return Tensor(OPERATIONS["astype"](gradient, x.data.dtype))


def _scalar_root(y, caller: str) -> Node | None:
    if type(y) is not Tensor:
        raise TypeError(f"{caller} needs a Tensor, got {type(y).__name__}")
    if y.data.size != 1:
        raise ValueError(
            f"{caller} needs a scalar, got shape {y.data.shape}; reduce it first, for example with .sum() or .mean()"
        )
    if y.data.dtype.kind != "f":
        raise TypeError(f"{caller} needs a floating-point scalar, got {y.data.dtype}")
    return y.node


_by_id = attrgetter("id")


def _between(root: Node, wanted: set[int]) -> set[int]:
    """Ids of the nodes that lie on a path from `root` down to one of the wanted ids."""
    first = min(wanted)
    ancestors, seen = [root], {root.id}
    for node in ancestors:  # which grows meanwhile
        for parent in node.parents:
            if parent is not None and parent.id >= first and parent.id not in seen:
                seen.add(parent.id)
                ancestors.append(parent)
    needed: set[int] = set()
    for node in sorted(ancestors, key=_by_id):
        if node.id in wanted:
            needed.add(node.id)
        else:
            for parent in node.parents:
                if parent is not None and parent.id in needed:
                    needed.add(node.id)
                    break
    return needed


def depends_on(y: Tensor, leaves: Iterable[Tensor]) -> bool:
    """Whether y was computed from at least one of these leaves."""
    wanted = {each.node.id for each in leaves}
    return y.node is not None and bool(wanted) and y.node.id in _between(y.node, wanted)


def _sweep(root: Node, seed, needed=None, wanted=None, create_graph=False) -> list:
    """Walk back from `root` in decreasing order of ids; return pairs (node, gradient) of the leaves and of wanted ids.

    Ids increase along the computation, so when a node comes off the heap all that was computed from it is done and its
    gradient is complete. `needed`, a set of ids, limits the walk; None walks everywhere, and gives a leaf's gradient in
    as many parts as the leaf was used. Leaves come in the order in which the walk meets them: their ids change with
    every optimiser step, and what a compiled step calls must not.
    """
    add, sum_to = OPERATIONS["add"], OPERATIONS["sum_to"]
    gradients, arrived, leaves = {root.id: seed}, [], []
    heap = [(-root.id, root)]
    while heap:
        node = heappop(heap)[1]
        g = gradients.pop(node.id)
        if node.op is None or (wanted is not None and node.id in wanted):
            arrived.append((node, g))
            if node.op is None:
                continue
        op, parents = node.op, node.parents
        if needed is None:
            wants = [parent is not None for parent in parents]
        else:
            wants = [parent is not None and parent.id in needed for parent in parents]
            if True not in wants:
                continue
        if create_graph:
            y = Tensor(node.value, node)
            args = [a if parent is None else Tensor(a, parent) for a, parent in zip(node.raw, parents)]
        else:
            y, args = node.value, node.raw
        if op.joint is not None:
            contributions = op.joint(wants, g, y, *args, **node.static)
        else:
            contributions = _by_rules(op, wants, g, y, args, node.static)
        for index, contribution in enumerate(contributions):
            parent = parents[index]
            if contribution is None or parent is None:
                continue
            if type(contribution) is tuple:
                raise TypeError(
                    f"a rule of {op.__name__}() gave a tuple; primitive() takes one rule per argument, each giving one "
                    "gradient, or a joint= rule that gives them all"
                )
            if create_graph and type(contribution) is not Tensor:
                raise TypeError(
                    f"the rule of {op.__name__}() gave a {type(contribution).__name__} for tensors; write it in "
                    "minigen.ops, so that it can be differentiated again"
                )
            if _watcher is not None:
                _watcher.contributed(node, index, contribution)
            if parent.id >= node.id:
                raise ValueError(
                    f"a parameter of shape {parent.value.shape} was changed after {op.__name__}() had used it, so its "
                    "gradient would be wrong; compute the loss again after each optimiser step"
                )
            if contribution.shape != parent.value.shape:
                contribution = sum_to(contribution, parent.value.shape)
            if parent.op is None and needed is None:
                arrived.append((parent, contribution))
            elif parent.id in gradients:
                gradients[parent.id] = add(gradients[parent.id], contribution)
            else:
                gradients[parent.id] = contribution
                if parent.op is None:
                    leaves.append(parent)
                else:
                    heappush(heap, (-parent.id, parent))
    return arrived + [(leaf, gradients[leaf.id]) for leaf in leaves]


def _by_rules(op, wants, g, y, args, static):
    if True in wants[len(op.rules) :]:
        raise NotImplementedError(
            f"{op.__name__}() has no derivative by its argument {wants.index(True, len(op.rules))}; give primitive() a "
            "rule for it, or detach() that argument"
        )
    return [rule(g, y, *args, **static) if want and rule is not None else None for rule, want in zip(op.rules, wants)]
