"""What should a person read when the engine cannot use what it was given? Its errors, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# What to do about the commonest messages that come from NumPy.
_ADVICE = {
    "broadcast": "counted from the last, axes must be equal or 1; use reshape or expand_dims",
    "not aligned": "the last axis of the first and the rows of the second must be equal; is a transpose missing?",
    "ufunc": "give tensors, arrays or numbers",
    "unsupported operand": "give tensors, arrays or numbers",
    "has no attribute": "give tensors or arrays",
}


def explained(name: str, raw: Sequence, error: Exception) -> Exception:
    """The same kind of error, with the operation's name, what it was given and what to do."""
    text = str(error).rstrip()
    if getattr(error, "explained", False) or text.startswith(f"{name}() "):
        return error
    kind = next((kind for kind in (IndexError, ValueError) if isinstance(error, kind)), TypeError)
    given = ", ".join(f"array of shape {a.shape}" if isinstance(a, np.ndarray) else repr(a)[:60] for a in raw)
    advice = next((f"; {advice}" for sign, advice in _ADVICE.items() if sign in text), "")
    found: Any = kind(f"{name}() cannot use ({given}): {text}{advice}")
    found.explained = True
    return found


def refused(name: str, args: Sequence, error: Exception) -> Exception:
    """What to raise where an operation cannot use what it was given and nothing of that was a list."""
    return error if type(error) is TypeError else explained(name, args, error)


def ragged(what: str) -> TypeError:
    return TypeError(f"{what}; give every row the same length")


def no_reals(caller: str, dtype: np.dtype) -> TypeError:
    return TypeError(
        f"{caller} got data of type {dtype}; expected real numbers: float32, float64, integers or booleans"
    )


def no_floats(dtype: np.dtype) -> TypeError:
    return TypeError(
        f"tensor() got {dtype} with requires_grad=True; a gradient needs floating-point numbers: write 1.0 for 1, or "
        "convert with .astype(np.float32)"
    )


def two_dtypes(name: str, dtypes: Iterable) -> TypeError:
    found = " and ".join(sorted(map(str, dtypes)))
    return TypeError(f"{name}() got tensors of two dtypes, {found}; convert one of them with .astype()")


def name_taken(name: str) -> ValueError:
    return ValueError(f"there is an operation named {name!r} already; choose another name")


def no_leaf() -> ValueError:
    return ValueError("grad can be set only on a leaf: a tensor made with requires_grad=True")


def wrong_gradient(shape: tuple, value: Any) -> ValueError:
    given = f"shape {value.shape}" if type(value) is np.ndarray else type(value).__name__
    return ValueError(f"grad of this leaf is a NumPy array of shape {shape} or None; got {given}")


def no_copy() -> TypeError:
    return TypeError("a tensor that was computed on the tape cannot be copied or pickled; detach() it first")


def nothing_to_learn() -> ValueError:
    return ValueError(
        "backward(): this value does not depend on any tensor that requires a gradient; make the inputs to learn with "
        "minigen.tensor(data, requires_grad=True) and compute the loss outside no_grad()"
    )


def none_of_the_leaves() -> ValueError:
    return ValueError(
        "backward(): this value depends on none of the leaves it was given, such as the parameters of a network; was "
        "it computed by another network, under no_grad(), or through detach()?"
    )


def check_targets(targets: list, tensor_type: Any) -> None:
    """Raise unless these are tensors that a gradient can be taken by."""
    if not targets:
        raise ValueError("grad() got an empty list to differentiate by; give at least one tensor")
    for i, x in enumerate(targets):
        if type(x) is not tensor_type:
            raise TypeError(
                f"grad() by argument {i}, a {type(x).__name__}: it must be a Tensor; make it with minigen.tensor"
            )
        if x.node is None:
            raise ValueError(
                f"grad() by argument {i} of shape {x.data.shape}, which does not require a gradient: make it with "
                "minigen.tensor(data, requires_grad=True) before computing y"
            )


def no_path(i: int, shape: tuple) -> ValueError:
    return ValueError(
        f"grad(): y does not depend on argument {i} of shape {shape}; was y computed from another tensor, under "
        "no_grad(), or through detach()? A gradient can be differentiated again if it was taken with "
        "create_graph=True, and if it is not constant, as the second derivative of x * x is"
    )


def no_tensor(y: Any, caller: str) -> TypeError:
    return TypeError(f"{caller} needs a Tensor, got {type(y).__name__}")


def check_cotangent(array: np.ndarray, cotangent, caller: str) -> None:
    """Raise unless a value is a floating-point scalar, or has a cotangent of its shape."""
    name = "gradient" if caller == "backward()" else "cotangent"
    if cotangent is None and array.size != 1:
        raise ValueError(
            f"{caller} needs a scalar, got shape {array.shape}; reduce it first, for example with .sum() or .mean(), "
            f"or give {name}=, an array of that shape"
        )
    if array.dtype.kind != "f":
        raise TypeError(f"{caller} needs a floating-point scalar, got {array.dtype}")
    if cotangent is not None:
        given = cotangent.data if hasattr(cotangent, "node") else as_numbers(cotangent, caller)
        if given.shape != array.shape:
            raise ValueError(f"{caller} got {name} of shape {given.shape}; expected that of the value, {array.shape}")


def as_numbers(x, caller: str) -> np.ndarray:
    """An array of real numbers; TypeError unless it is one."""
    try:
        array = np.asarray(x)
    except ValueError:
        raise ragged(f"{caller} got rows of unequal length") from None
    if array.dtype.kind not in "fiub":
        raise no_reals(caller, array.dtype)
    return array


def wrong_rule(name: str, gradient: Any) -> TypeError:
    if type(gradient) is tuple:
        return TypeError(
            f"a rule of {name}() gave a tuple; primitive() takes one rule per argument, each giving one gradient, or a "
            "joint= rule that gives them all"
        )
    return TypeError(
        f"the rule of {name}() gave a {type(gradient).__name__} for tensors; write it in minigen.ops, so that it can "
        "be differentiated again"
    )


def check_part(node, parent, part, expected: type) -> None:
    """Refuse what a node's rule gave for a parent that has changed since, and what is no single gradient."""
    if parent.id >= node.id:
        raise changed_since(parent.value.shape, node.op.__name__)
    if type(part) is tuple or not isinstance(part, expected):
        raise wrong_rule(node.op.__name__, part)


def changed_since(shape: tuple, name: str) -> ValueError:
    return ValueError(
        f"a parameter of shape {shape} was changed after {name}() had used it, so its gradient would be wrong; compute "
        "the loss again after each optimiser step"
    )


def no_rule(name: str, index: int) -> NotImplementedError:
    return NotImplementedError(
        f"{name}() has no derivative by its argument {index}; give primitive() a rule for it, or detach() that argument"
    )


def leaf_in_place(name: str, sign: str, shape: tuple) -> TypeError:
    return TypeError(
        f"in-place {name} ({sign}=) on a leaf of shape {shape} would bind the name to what is computed from it, and "
        f"the leaf be lost; write y = x {sign} ... for a new tensor, or change a leaf's numbers through x.data outside "
        "the computation"
    )


def not_one_number(shape: tuple) -> ValueError:
    return ValueError(f"item() needs a tensor with one element, got shape {shape}; reduce or index it first")


def no_array() -> TypeError:
    return TypeError("this tensor is on the tape and NumPy would lose its gradient; use .detach().numpy() or .data")


def no_assignment(shape: tuple) -> TypeError:
    return TypeError(
        f"the elements of a tensor of shape {shape} cannot be assigned, because the tape would not know; build the new "
        "value with minigen.ops.where() or concatenate()"
    )


def no_length() -> TypeError:
    return TypeError("a tensor of shape () is one number and has no length; take it with .item()")


def no_truth(shape: tuple) -> ValueError:
    return ValueError(
        f"a tensor of shape {shape} is neither true nor false; choose element by element with minigen.ops.where(), or "
        "ask its .data.any() or .data.all()"
    )


def no_index(dtype: np.dtype) -> TypeError:
    return TypeError(f"an index array must hold integers or booleans, got {dtype}; convert it, or compare for a mask")


def live_mask() -> str:
    return (
        "a mask computed in the step, or given to it, was used as an index: the result would have another shape in "
        "each call; use minigen.ops.where(), multiply by the mask, or index outside the step"
    )
