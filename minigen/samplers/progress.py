"""The bar that a terminal shows while chains run."""

from __future__ import annotations

from tqdm import tqdm

from .._support.console import is_bar_hidden


def progress_bar(label: str, steps: int, progress: bool) -> tqdm:
    """A bar of so many steps, which shows on a terminal alone; none without `progress`."""
    return tqdm(
        total=steps, desc=label, disable=is_bar_hidden(None if progress else False), leave=False, mininterval=0.2
    )
