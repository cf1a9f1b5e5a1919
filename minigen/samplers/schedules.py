"""Settings that change while chains run, such as a temperature that falls: functions of the number of steps made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._support.arguments import Count, Positive, checked

Schedule = Callable[[int], float]


@checked
def geometric(first: Positive, last: Positive, steps: Count) -> Schedule:
    """A schedule from `first` to `last` in `steps` steps by equal factors, as for a temperature that falls."""
    return lambda step: first * (last / first) ** min(step / steps, 1.0)


@checked
def linear(first: Positive, last: Positive, steps: Count) -> Schedule:
    """A schedule from `first` to `last` in `steps` steps of equal size."""
    return lambda step: first + (last - first) * min(step / steps, 1.0)


def at_step(kernel: Any, changing: Mapping[str, float | Schedule], step: int) -> Any:
    """The kernel with the settings that it has at this step."""
    if not changing:
        return kernel
    return kernel.replace(**{name: value(step) if callable(value) else value for name, value in changing.items()})
