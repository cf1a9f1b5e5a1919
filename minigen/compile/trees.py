"""Nests of tuples, lists and dicts: what a step may be given inside an operation, and what it may return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def tree_map(function: Callable, tree: Any) -> Any:
    """The same nest of tuples, lists and dicts with `function` applied to what is in it."""
    if isinstance(tree, (tuple, list)):
        parts = [tree_map(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if type(tree) is dict:
        return {name: tree_map(function, part) for name, part in tree.items()}
    return function(tree)


def tree_leaves(tree: Any) -> list:
    """All that is in a nest of tuples, lists and dicts."""
    found: list = []
    tree_map(found.append, tree)
    return found


def tree_arrays(tree: Any) -> list[np.ndarray]:
    """Every array in a nest."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, np.ndarray)]
