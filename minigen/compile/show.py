"""The plan of a step as a table: which kernel runs on which arrays, and how long that takes."""

from __future__ import annotations

import time

import numpy as np

from .plan import Plan, name_of
from .state import putting_back
from .trees import tree_arrays


def table(plan: Plan, rounds: int) -> str:
    """A line for each call: operation, kernel, bytes of its arrays, least microseconds of some rounds, shapes."""
    least = microseconds(plan, rounds)
    lines = [f"{'operation':24}{'kernel':24}{'bytes':>12}{'µs':>9}  arrays"]
    for name, (function, args), changed, time_taken in zip(plan.names, plan.calls, plan.changes, least):
        taken = tree_arrays(args) or changed
        shapes = " ".join("x".join(map(str, array.shape)) or "()" for array in taken)
        size = sum(array.nbytes for array in taken)
        lines.append(f"{name[:23]:24}{name_of(function)[:23]:24}{size:12,}{time_taken:9.2f}  {shapes}")
    lines.append(f"{len(plan.calls)} calls, {least.sum():.1f} µs; {plan.bytes:,} bytes of intermediate results")
    return "\n".join(lines)


def microseconds(plan: Plan, rounds: int) -> np.ndarray:
    """The least time of each call; what the calls change is put back."""
    before = [putting_back(thing) for thing in plan.changed]
    times = np.zeros((rounds, len(plan.calls)))
    for row in times:
        for i, (function, args) in enumerate(plan.calls):
            start = time.perf_counter()
            function(*args)
            row[i] = time.perf_counter() - start
    for put_back in before:
        put_back()
    return times.min(axis=0) * 1e6
