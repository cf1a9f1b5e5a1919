"""Who looks on while operations run? The finder of NaN does, and so does the recorder of a compiled step.

`watcher.get()` is the one who watches now, or None. The tape tells it of every operation. Whoever changes an array in
place, or asks for one by name, says so here, by `act`, `relies`, `shown` or `refuse`, so that a replay does it again.

Each thread has its own watcher: what one thread trains is not seen by the recorder of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np


class Watcher:
    """Sees every operation as it runs, and every change of an array in place."""

    records = False  # whether what it sees shall be done again by a replay

    def given(self, args: Sequence) -> None:
        """The arguments of the operation that runs next, tensors among them."""

    def run(self, op: Any, raw: Sequence, static: dict) -> Any:
        """Compute the operation; the default just does."""
        return op.forward(*raw, **static)

    def run_on(self, op: Callable, args: Sequence, raw: Sequence, static: dict) -> Any:
        """Compute the operation on `args`, whose raw arrays are `raw`."""
        self.given(args)
        return self.run(op, raw, static)

    def recorded(self, node: Any) -> None:
        """A node has been put on the tape."""

    def rules(self, rules: Callable, *args: Any) -> Sequence:
        """Let the rules of an operation compute the gradients of its arguments; the default just does."""
        return rules(*args)

    def contributed(self, node: Any, index: int, gradient: Any) -> None:
        """The rule of `node` has given the gradient of its argument `index`."""

    def all_contributed(self, node: Any, gradients: Sequence) -> None:
        """The rules of `node` have given these gradients of its arguments, None where none was wanted."""
        for index, gradient in enumerate(gradients):
            if gradient is not None and node.parents[index] is not None:
                self.contributed(node, index, gradient)

    def act(self, action: Callable, args: Sequence, changes: Sequence) -> Any:
        """Do what is no operation: something that changes arrays, generators or objects in place."""
        return action(*args)

    def constant(self, array: np.ndarray) -> np.ndarray:
        """An array the engine has made that is the same in every run."""
        return array

    def shown(self, array: np.ndarray) -> np.ndarray:
        """An array that the program asks for by name, such as a gradient."""
        return array

    def all_shown(self, values: Sequence) -> list:
        """What a rule is given of an operation's arguments."""
        return [self.shown(value) if type(value) is np.ndarray else value for value in values]

    def relies(self, thing: object, name: str) -> None:
        """What happens depends on an attribute of an object."""

    def refuse(self, what: str) -> None:
        """Something was done that this watcher may not be able to see."""


watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_watchers: ContextVar[tuple[list, ...]] = ContextVar("watchers", default=())


@contextmanager
def watch(by: Watcher | None) -> Iterator[Watcher | None]:
    """Let `by` see every operation of this thread inside the block; with None, nobody."""
    entry = [by]  # the same watcher may be on the stack twice
    _watchers.set((*_watchers.get(), entry))
    watcher.set(by)
    try:
        yield by
    finally:  # blocks may end in another order than they began, as those of two generators do
        left = tuple(each for each in _watchers.get() if each is not entry)
        _watchers.set(left)
        watcher.set(left[-1][0] if left else None)


def act(action: Callable, *args: Any, changes: Sequence = ()) -> Any:
    """Do `action(*args)`, which changes the things in `changes` in place, in sight of whoever watches."""
    by = watcher.get()
    return action(*args) if by is None else by.act(action, args, changes)


def relies(thing: object, name: str) -> Any:
    """The attribute `name` of an object, such as the mode of a layer, in sight of whoever watches."""
    by = watcher.get()
    if by is not None:
        by.relies(thing, name)
    return getattr(thing, name)


def shown(array: np.ndarray | None) -> np.ndarray | None:
    """An array handed to the program, in sight of whoever watches."""
    by = watcher.get()
    return array if by is None or array is None else by.shown(array)


def constant(array: np.ndarray) -> np.ndarray:
    """An array that is the same in every run, in sight of whoever watches."""
    by = watcher.get()
    return array if by is None else by.constant(array)


def refuse(what: str) -> None:
    """Tell whoever watches of a change that only the program's own lines can make."""
    by = watcher.get()
    if by is not None:
        by.refuse(what)


def live_check(check: Callable, *args: Any) -> None:
    """Do `check(*args)`, which changes nothing and may raise, in sight of whoever watches: a replay checks again."""
    act(check, *args)


def add_to(total: np.ndarray, part: np.ndarray) -> None:
    """Add an array to another in place."""
    np.add(total, part, out=total)


def clear(total: np.ndarray) -> None:
    """Set an array to zero in place."""
    total.fill(0)
