"""Reverse-mode automatic differentiation: tensors, the tape they leave behind, and the sweep back over it.

An operation is made by `primitive`. Called on raw arrays it just computes; called on tensors it also records a `Node`.
Its rules of differentiation are written in operations again, so a sweep that hands them raw arrays gives numbers and a
sweep that hands them tensors (`create_graph=True`) records itself: gradients of gradients need nothing more.

The survey by Baydin et al. (2018), "Automatic differentiation in machine learning", section 3.2, has the mathematics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from typing import Any, TypeAlias, overload

import numpy as np

from ._support import explain
from .dtypes import OPERATIONS, PLAIN, WIDENED, as_operands, settled, settled_result, wider
from .operators import Operators
from .watching import add_to, constant, refuse, shown, watcher

_ids = count()
_pauses: ContextVar[tuple[list, ...]] = ContextVar("pauses", default=())  # the no_grad() begun here; ended ones are []


class Node:
    """One step of a computation: the operation, its raw inputs, the nodes those came from, and the raw result.

    A leaf (a tensor made with `requires_grad=True`) has no operation; it keeps the gradient that `backward` adds up.
    A node never refers to the tensor it belongs to, so there are no reference cycles.
    """

    __slots__ = ("gradient", "id", "line", "op", "parents", "raw", "static", "value")
    gradient: np.ndarray | None
    line: tuple[str, int] | None

    def __init__(self, op: Any, raw: Sequence, static: dict | None, parents: Sequence, value: np.ndarray):
        self.op, self.raw, self.static, self.parents, self.value = op, raw, static, parents, value
        self.id = next(_ids)


class Tensor(Operators):
    """A NumPy array that remembers how it was computed. Make one with `minigen.tensor`.

    `data` is the raw array. `node` is its place on the tape, None for a constant. Operators, methods and NumPy's
    functions are in `minigen.operators`.
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
        return shown(self.node.gradient) if self.node is not None and self.node.op is None else None

    @grad.setter
    def grad(self, value: np.ndarray | Tensor | None) -> None:
        if self.node is None or self.node.op is not None:
            raise explain.no_leaf()
        refuse("a gradient was set through .grad; use zero_grad(), or set it outside the step")
        value = value.data if type(value) is Tensor else value
        if value is not None and (type(value) is not np.ndarray or value.shape != self.data.shape):
            raise explain.wrong_gradient(self.data.shape, value)
        self.node.gradient = value

    def __reduce__(self):
        # A copy, or one read by another process, gets a node of its own: two nodes of one id would be taken for one.
        if self.node is None:
            return Tensor, (self.data,)
        if self.node.op is not None:
            raise explain.no_copy()
        return leaf, (self.data, self.node.gradient)

    def detach(self) -> Tensor:
        """The same values as a constant: no gradient flows through it. Shares memory with this tensor."""
        return Tensor(self.data)

    def backward(self, leaves: Iterable[Tensor] | None = None, gradient: Cotangent = None) -> None:
        """Add the gradient of this scalar to `.grad` of every leaf it was computed from, or of the given ones alone.

        With `leaves`, such as the parameters of one of two networks, nothing is computed for the others. A tensor that
        is no scalar needs `gradient`, of its own shape: the gradient, by this tensor, of the scalar meant.
        """
        root = _root(self, gradient, "backward()")
        if root is None:
            raise explain.nothing_to_learn()
        needed, wanted = None, set()
        if leaves is not None:
            wanted = {each.node.id for each in leaves if each.node is not None and each.node.op is None}
            needed = nodes_between(root, wanted)
            if not needed:
                raise explain.none_of_the_leaves()
        by = watcher.get()
        for node, part in _sweep(root, _seed(root, gradient, False), needed, wanted):
            if node.gradient is None:
                node.gradient = np.asarray(OPERATIONS["astype"](part, node.value.dtype))  # a copy
            elif by is None:
                add_to(node.gradient, part)
            else:
                by.act(add_to, (node.gradient, part), (node.gradient,))


def tensor(data: Any, requires_grad: bool = False) -> Tensor:
    """A tensor holding a copy of `data` (array, number or nested list).

    Python floats become float32; float32 and float64 arrays keep their dtype. With `requires_grad` it is a leaf of the
    tape, which takes floats only.

    Raises TypeError for data that are not real numbers, and for integers that ask for a gradient.
    """
    data = data.data if type(data) is Tensor else data
    try:
        # An operation makes the copy of an array, so that a watcher sees it.
        array = OPERATIONS["astype"](data, data.dtype) if isinstance(data, np.ndarray) else np.array(data)
    except ValueError as error:
        raise explain.ragged(f"tensor() got rows of unequal length: {error}") from None
    if array.dtype.kind not in "iub" and array.dtype not in (np.float32, np.float64):
        raise explain.no_reals("tensor()", array.dtype)
    if array.dtype.kind == "f" and not isinstance(data, (np.ndarray, np.generic)):
        array = array.astype(np.float32)
    if requires_grad and array.dtype.kind != "f":
        raise explain.no_floats(array.dtype)
    return leaf(array) if requires_grad else Tensor(array)


def leaf(array: np.ndarray, gradient: np.ndarray | None = None) -> Tensor:
    """A leaf tensor on this very array (no copy); `gradient`, if given, is where `backward` adds."""
    node = Node(None, (), None, (), array)
    node.gradient = gradient
    return Tensor(array, node)


def mark_changed(leaves: Iterable[Tensor]) -> None:
    """Say that these leaves were changed in place: a graph recorded before can no longer be swept, and says so."""
    for each in leaves:
        each.node.id = next(_ids)


def is_paused() -> bool:
    """Whether this thread is inside `no_grad`."""
    return any(_pauses.get())


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside the block this thread puts nothing on the tape; other threads do. Usable as a decorator too."""
    pause = [True]
    _pauses.set((*_pauses.get(), pause))
    try:
        yield
    finally:  # in another thread, it may be, where the last reference to a generator was dropped
        pause.clear()
        _pauses.set(tuple(each for each in _pauses.get() if each))


def primitive(
    name: str, forward: Callable, *rules: Callable | None, joint: Callable | None = None, into: Callable | None = None
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
        by = watcher.get()
        try:
            value = forward(*args, **static) if by is None else by.run(op, args, static)
            if not may_wrap or value.dtype.kind == "f" or (arrays := wider(args)) is None:
                return value
        except (AttributeError, TypeError, OverflowError) as error:
            arrays = as_operands(op, args)
            if all(array is arg for array, arg in zip(arrays, args)):
                raise explain.refused(name, args, error) from error
        return op(*arrays, *args[len(arrays) :], **static)

    may_wrap, op.owner = name in WIDENED, sys._getframe(1).f_globals.get("__name__")
    if name in OPERATIONS and OPERATIONS[name].owner != op.owner:  # who made it may make it anew, as in a notebook
        raise explain.name_taken(name)
    op.__name__ = op.__qualname__ = name
    op.__doc__ = forward.__doc__
    op.forward, op.rules, op.joint, op.into = forward, rules, joint, into
    OPERATIONS[name] = op
    return op


def _apply(op, args, static):
    """Run an operation of which at least one argument is a tensor, and record it if a gradient may flow."""
    raw, parents, dtype, kinds, on_tape = [], [], None, 0, False
    # `kinds` is at most 1 where all arrays are of one floating dtype; above that the dtypes must be settled.
    for arg in args:
        node = None
        if type(arg) is Tensor:
            arg, node = arg.data, arg.node
            on_tape |= node is not None
        raw.append(arg)
        parents.append(node)
        if type(arg) is np.ndarray:
            if arg.dtype is not dtype:
                dtype = arg.dtype
                kinds += 1 + (dtype.kind != "f")
        elif type(arg) not in PLAIN:
            kinds += 2
    if kinds > 1:
        raw = settled(op, args, raw, Tensor)
    by = watcher.get()
    try:
        value = op.forward(*raw, **static) if by is None else by.run_on(op, args, raw, static)
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise explain.explained(op.__name__, raw, error) from error
    if type(value) is not np.ndarray or value.dtype is not dtype:
        value = settled_result(op, raw, value)
    if not on_tape or value.dtype.kind != "f" or any(_pauses.get()):
        return Tensor(value)
    node = Node(op, raw, static, parents, value)
    if by is not None:
        by.recorded(node)
    return Tensor(value, node)


Cotangent: TypeAlias = Tensor | np.ndarray | None


@overload
def grad(y: Tensor, xs: Tensor, create_graph: bool = False, cotangent: Cotangent = None) -> Tensor: ...
@overload
def grad(y: Tensor, xs: Sequence[Tensor], create_graph: bool = False, cotangent: Cotangent = None) -> list[Tensor]: ...
def grad(y: Any, xs: Any, create_graph: bool = False, cotangent: Cotangent = None) -> Any:
    """Gradient of the scalar `y` by `xs`: one tensor for one tensor, a list for a sequence.

    With `create_graph` the result is itself on the tape and can be differentiated again. Leaves' `.grad` are not
    touched. A `cotangent` of y's shape makes it the gradient of sum(cotangent * y), where y may have any shape.

    Raises ValueError if y does not depend on each of xs, or is no scalar and has no cotangent; TypeError if y or an x
    is no tensor.
    """
    single = type(xs) is Tensor
    targets = [xs] if single else list(xs)
    explain.check_targets(targets, Tensor)
    root = _root(y, cotangent, "grad()")
    wanted = {x.node.id for x in targets}
    needed = set() if root is None else nodes_between(root, wanted)
    for i, x in enumerate(targets):
        if x.node.id not in needed:
            raise explain.no_path(i, x.data.shape)
    seed = _seed(root, cotangent, create_graph)
    found = {node.id: gradient for node, gradient in _sweep(root, seed, needed, wanted, create_graph)}
    results = [_as_result(found.get(x.node.id), x) for x in targets]
    return results[0] if single else results


def _root(y, cotangent, caller: str) -> Node | None:
    """The node of a scalar, or of what has a cotangent; None for a constant."""
    if type(y) is not Tensor:
        raise explain.no_tensor(y, caller)
    explain.check_cotangent(y.data, cotangent, caller)
    return y.node


def _seed(root: Node, cotangent, create_graph: bool):
    """The gradient to begin with: the cotangent, or that of a value by itself."""
    y = root.value
    seed = constant(np.ones(y.shape, y.dtype)) if cotangent is None else OPERATIONS["astype"](cotangent, y.dtype)
    if (type(seed) is Tensor) == create_graph:
        return seed
    return Tensor(seed) if create_graph else seed.data


def _as_result(gradient, x: Tensor) -> Tensor:
    if type(gradient) is Tensor:
        return gradient
    # A copy: the sweep may hand the same array, or a view of it, to several inputs.
    dtype = x.data.dtype
    return Tensor(np.zeros(x.data.shape, dtype) if gradient is None else OPERATIONS["astype"](gradient, dtype))


def nodes_between(root: Node, wanted: set[int]) -> set[int]:
    """Ids of the nodes that lie on a path from `root` down to one of the wanted ids."""
    first = min(wanted, default=root.id + 1) if max(wanted, default=0) <= root.id else 0  # one has changed since
    ancestors, seen = [root], {root.id}
    for node in ancestors:  # which grows meanwhile
        for parent in node.parents:
            if parent is not None and parent.id >= first and parent.id not in seen:
                seen.add(parent.id)
                ancestors.append(parent)
    needed = set(wanted)
    for node in sorted(ancestors, key=attrgetter("id")):
        for parent in node.parents:
            if parent is not None and parent.id in needed:
                needed.add(node.id)
    return needed & seen


def _sweep(root: Node, seed, needed=None, wanted=frozenset(), create_graph=False) -> list:
    """Walk back from `root` in decreasing order of ids; return pairs (node, gradient) of the leaves and of wanted ids.

    Ids increase along the computation, so when a node comes off the heap all that was computed from it is done and its
    gradient is complete. `needed`, a set of ids, limits the walk; None walks everywhere, and gives a leaf's gradient in
    as many parts as the leaf was used. Leaves come in the order in which the walk meets them: their ids change with
    every optimiser step, and what a compiled step calls must not.
    """
    add, sum_to, by = OPERATIONS["add"], OPERATIONS["sum_to"], watcher.get()
    usual, allowed = (Tensor, Tensor) if create_graph else (np.ndarray, object)
    gradients, arrived, heap, met = {root.id: seed}, [], [(-root.id, root)], count()
    while heap:
        node = heappop(heap)[1]
        g = gradients.pop(node.id)
        if node.op is None or node.id in wanted:
            arrived.append((node, g))
        for parent, part in zip(node.parents, _parts(node, g, needed, create_graph, by) if node.parents else ()):
            if _is_unusual(node, parent, part, usual):
                explain.check_part(node, parent, part, allowed)
            if part is None or parent is None:
                continue
            if part.shape != parent.value.shape:
                part = sum_to(part, parent.value.shape)
            if parent.op is None and needed is None:
                arrived.append((parent, part))
            elif parent.id in gradients:
                gradients[parent.id] = add(gradients[parent.id], part)
            else:
                gradients[parent.id] = part
                heappush(heap, (next(met) if parent.op is None else -parent.id, parent))
    return arrived


def _is_unusual(node: Node, parent: Node | None, part, usual: type) -> bool:
    """Whether to look closer at a part: of a parent that has changed since, or of another type than they have."""
    return parent is not None and (parent.id >= node.id or (part is not None and type(part) is not usual))


def _parts(node: Node, g, needed, create_graph: bool, by) -> Sequence:
    """What the rules of a node make of its gradient g: for each parent its part, or None where none is wanted."""
    op, y, args, static = node.op, node.value, node.raw, node.static
    wants = [parent is not None and (needed is None or parent.id in needed) for parent in node.parents]
    if True not in wants:
        return ()
    if create_graph:
        y = Tensor(y, node)
        args = [a if parent is None else Tensor(a, parent) for a, parent in zip(args, node.parents)]
    elif by is not None:  # so that arithmetic on a weight's own array is seen too
        args = by.all_shown(args)
    if by is None:
        return _by_rules(op, wants, g, y, args, static)
    parts = by.rules(_by_rules, op, wants, g, y, args, static)
    by.all_contributed(node, parts)
    return parts


def _by_rules(op, wants: list, g, y, args: Sequence, static: dict) -> Sequence:
    if op.joint is not None:
        return list(op.joint(wants, g, y, *args, **static))  # it may be a generator, and shall be done here
    if True in wants[len(op.rules) :]:
        raise explain.no_rule(op.__name__, wants.index(True, len(op.rules)))
    return [rule(g, y, *args, **static) if want and rule else None for rule, want in zip(op.rules, wants)]
