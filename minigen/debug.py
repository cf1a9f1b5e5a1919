"""Where did that NaN come from, and what is on the tape? `find_nan` and `describe`.

`find_nan` watches every operation and stops at the first NaN or Inf, forward or backward, with the line of the program
that made it. `describe` writes a tape down as text; `minigen.plots.graph` draws it.
"""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from . import tape
from .dtypes import operands
from .nn.module import Module
from .tape import Node, Tensor
from .watching import Watcher, watch

_PACKAGE = os.path.dirname(__file__) + os.sep


@contextmanager
def find_nan() -> Iterator[None]:
    """Inside the block the first NaN or Inf raises FloatingPointError with the operation and the line that called it.

    Forward it names the operation that made the value from finite arguments, or the argument that held it already;
    backward the operation and the argument whose gradient it is. Every operation is looked at: some times slower. Only
    what this thread computes is watched. A step compiled by `minigen.compile` runs uncompiled inside.
    """
    with watch(_Finder()):
        yield


class _Finder(Watcher):
    def run(self, op: Any, raw: Sequence, static: dict) -> Any:
        with np.errstate(all="ignore"):
            value = op.forward(*raw, **static)
        if _trouble(value) and not _in_sweep():
            raise FloatingPointError(_forward_message(op, raw, value))
        return value

    def rules(self, rules: Callable, *args: Any) -> Sequence:
        with np.errstate(all="ignore"):
            return rules(*args)

    def recorded(self, node: Node) -> None:
        node.line = _users_line()

    def contributed(self, node: Node, index: int, gradient: Any) -> None:
        trouble = _trouble(gradient.data if type(gradient) is Tensor else gradient)
        if trouble:
            raise FloatingPointError(
                f"backward: {node.op.__name__}() gave {trouble} as the gradient of its argument {index} "
                f"({_span(node.raw[index])}); {_shown(getattr(node, 'line', None))}"
            )


def _trouble(array: Any) -> str:
    """'NaN' or 'Inf' if the array holds one, else nothing."""
    if getattr(np.asarray(array).dtype, "kind", "") != "f" or np.isfinite(array).all():
        return ""
    return "NaN" if np.isnan(array).any() else "Inf"


def _forward_message(op: Any, raw: Sequence, value: Any) -> str:
    where = _shown(_users_line())
    for i, arg in enumerate(raw):
        if isinstance(arg, (float, np.ndarray, np.generic)) and _trouble(arg):
            return (
                f"forward: {op.__name__}() was given {_trouble(arg)}: its argument {i} of shape {np.shape(arg)} holds "
                f"it already and no operation made it, so it is in the data; {where}"
            )
    given = ", ".join(_span(arg) for arg in raw if isinstance(arg, (float, int, np.ndarray, np.generic)))
    return f"forward: {op.__name__}() made {_trouble(value)} from finite arguments ({given}); {where}"


def _span(arg: Any) -> str:
    if np.ndim(arg) == 0:
        return f"value {float(arg):.6g}"
    return f"shape {arg.shape}" + (f", from {arg.min():.6g} to {arg.max():.6g}" if arg.size else "")


def _in_sweep() -> bool:
    """Whether a rule is running: a value inside it may be infinite and yet not reach the gradient."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not tape._sweep.__code__:
        frame = frame.f_back
    return frame is not None


def _users_line() -> tuple[str, int] | None:
    """File and line of the innermost call that was not made by minigen itself."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def _shown(line: tuple[str, int] | None) -> str:
    if line is None:
        return "computed outside debug.find_nan(), so its line is not known"
    return f"computed at {line[0]}:{line[1]}:\n    {linecache.getline(*line).strip()}"


# What is on the tape?


@dataclass
class Step:
    """One value on a tape, or one array that it was computed from."""

    kind: str  # "operation", "leaf" or "constant"
    title: str  # what made it: an operation with its settings, or its name
    value: np.ndarray
    inputs: list[int]  # the places of what it was computed from, in the order of the arguments
    ordered: bool = False  # whether the order of the inputs matters
    gradient: np.ndarray | None = None
    name: str = ""  # what the user calls it


def describe(y: Tensor, names: Module | Mapping | None = None, *, gradients: bool = False) -> str:
    """The tape that y was computed on, one line a value: its number, what made it of which others, shape and value.

    `names` and `gradients` as for `steps_of`. Print it.
    """
    lines = []
    for i, step in enumerate(steps_of(y, names, gradients=gradients)):
        made = step.title + (f" of {', '.join(map(str, step.inputs))}" if step.inputs else "")
        named = f"{step.name} = " if step.name and step.kind == "operation" else ""
        slope = "" if step.gradient is None else f"gradient {spelled(step.gradient)}"
        lines.append((str(i), named + made, f"{step.value.shape}", spelled(step.value), slope))
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(part.ljust(width) for part, width in zip(line, widths)).rstrip() for line in lines)


def steps_of(y: Tensor, names: Module | Mapping | None = None, *, gradients: bool = False) -> list[Step]:
    """The values on the tape of y and the arrays they were computed from, each after what it was computed from.

    Parameters
    ----------
    y : a tensor on the tape.
    names : a module, whose parameters are then called by their names; or a dict from names to tensors, arrays and
        modules, such as {"x": x, "net": net}.
    gradients : whether each value is given the derivative of y, a scalar, by it. Else a leaf has the gradient that
        `backward` has left, and other values none.

    Raises TypeError if y is no tensor, ValueError if it is not on the tape.
    """
    if type(y) is not Tensor:
        raise TypeError(f"a tape belongs to a Tensor; got a {type(y).__name__}")
    if y.node is None:
        raise ValueError(
            "this tensor is not on the tape: nothing that requires a gradient went into it, or it was computed in "
            "no_grad()"
        )
    nodes = _ancestors(y.node)
    named = _names(names)
    slopes = _slopes(y, nodes) if gradients else {}
    steps: list[Step] = []
    places: dict[int, int] = {}  # of nodes and arrays, by their id()
    for node in nodes:
        if node.op is None:
            slope = node.gradient if not gradients else slopes[id(node)]
            name = named.get(id(node), "")
            steps.append(Step("leaf", name or "leaf", node.value, [], gradient=slope, name=name))
        else:
            inputs = [_place(raw, parent, steps, places, named) for raw, parent in _operands(node)]
            found = [place for place in inputs if place is not None]
            step = Step("operation", _title(node), node.value, found, node.op.__name__ not in SYMMETRIC)
            step.gradient, step.name = slopes.get(id(node)), named.get(id(node), "")
            steps.append(step)
        places[id(node)] = len(steps) - 1
    return steps


SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "power": "**", "matmul": "@"}
SYMMETRIC = {"add", "multiply", "maximum", "minimum", "concatenate", "stack", "linear"}  # linear: its places are clear


def spelled(array: np.ndarray) -> str:
    """The numbers of a small array; of a larger one its range."""
    if array.size == 1:
        return f"{array.item():.4g}"
    if 0 < array.size <= 3 and array.ndim == 1:
        return "[" + ", ".join(f"{x:.3g}" for x in array) + "]"
    if not array.size or array.dtype.kind not in "fiu":
        return ""
    low, high = array.min(), array.max()
    return f"all {low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"


def _ancestors(root: Node) -> list[Node]:
    """The root and all it was computed from, leaves first, then in the order of the computation."""
    found, seen = [root], {id(root)}
    for node in found:  # which grows meanwhile
        for parent in node.parents:
            if parent is not None and id(parent) not in seen:
                seen.add(id(parent))
                found.append(parent)
    return sorted(found, key=lambda node: (node.op is not None, node.id))


def _slopes(y: Tensor, nodes: list[Node]) -> dict[int, np.ndarray]:
    found = tape.grad(y, [Tensor(node.value, node) for node in nodes])
    return {id(node): each.data for node, each in zip(nodes, found)}


def _names(names: Module | Mapping | None) -> dict[int, str]:
    """By id() of nodes and arrays."""
    if names is None:
        return {}
    if isinstance(names, Module):
        names = {"": names}
    found: dict[int, str] = {}
    for name, thing in names.items():
        if isinstance(thing, Module):
            inner = thing.named_parameters().items()
            found.update((id(each.node), f"{name}.{below}" if name else below) for below, each in inner)
        elif type(thing) is Tensor:
            found[id(thing.node if thing.node is not None else thing.data)] = name
        else:
            found[id(thing)] = name
    return found


def _operands(node: Node) -> list[tuple[Any, Node | None]]:
    """Pairs (raw, parent) of the arguments that are arrays, not settings."""
    return list(zip(operands(node.op, node.raw), node.parents))


def _place(
    raw: Any, parent: Node | None, steps: list[Step], places: dict[int, int], named: dict[int, str]
) -> int | None:
    """Where an argument stands among the steps; an array that was not on the tape is put there. None for a number."""
    if parent is not None:
        return places[id(parent)]
    if not isinstance(raw, np.ndarray) or raw.size == 1:
        return None
    if id(raw) not in places:
        name = named.get(id(raw), "")
        steps.append(Step("constant", name or "constant", raw, [], name=name))
        places[id(raw)] = len(steps) - 1
    return places[id(raw)]


def _title(node: Node) -> str:
    """An operation with the numbers and settings it was given, such as "1 − ·", "linear tanh" or "sum axis=1"."""
    op, given = node.op, _operands(node)
    sign = SIGNS.get(op.__name__)
    numbers = [
        "·" if parent is not None or np.size(raw) != 1 or raw is None else f"{np.asarray(raw).item():.4g}"
        for raw, parent in given
    ]
    if sign:
        return sign if set(numbers) == {"·"} else f" {sign} ".join(numbers)
    if op.__name__ == "getitem":
        return f"[{_index(node.raw[1])}]"
    parameters = list(inspect.signature(op.forward).parameters) if callable(op.forward) and not _is_ufunc(op) else []
    settings = dict(zip(parameters[len(given) :], node.raw[len(given) :])) | (node.static or {})
    shown = [_setting(name, value) for name, value in settings.items()]
    return " ".join([op.__name__, *(number for number in numbers if number != "·"), *filter(None, shown)])


def _is_ufunc(op: Any) -> bool:
    return isinstance(op.forward, np.ufunc)


def _setting(name: str, value: Any) -> str:
    """A setting as one writes it; nothing for one that is left out or too long to read."""
    if value is None or value is False or isinstance(value, np.ndarray):
        return ""
    if name == "activation":
        return "" if value == "identity" else str(value)
    return f"{name}={value}" if len(str(value)) <= 16 else ""


def _index(index: Any) -> str:
    """An index as one writes it, arrays in it by their shape."""
    if isinstance(index, tuple):
        return ", ".join(map(_index, index))
    if isinstance(index, slice):
        ends = ["" if end is None else str(end) for end in (index.start, index.stop, index.step)]
        return ":".join(ends if index.step is not None else ends[:2])
    if index is Ellipsis or index is None:
        return "…" if index is Ellipsis else "None"
    return str(index) if np.ndim(index) == 0 else f"{np.asarray(index).dtype} {np.shape(index)}"
