"""Where does an array lie, how is it laid out, and which results can share one block of memory?

An array's numbers may lie in any order: reversed, transposed, with gaps, all in one place. Sums and products round
differently in another order, so a replay lays everything out as the recording did, stride by stride.
"""

from __future__ import annotations

import numpy as np

CACHE_LINE = 64


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one looks at."""
    while isinstance(base := array.base, np.ndarray):
        array = base
    return array


def address(array: np.ndarray) -> int:
    """Where the first element lies."""
    return array.__array_interface__["data"][0]


def is_laid_out_as(array: np.ndarray, other: np.ndarray) -> bool:
    """Whether the elements of two arrays of one shape follow each other in the same way."""
    strides = zip(array.shape, array.strides, other.strides)
    return all(size == 1 or one == two for size, one, two in strides)


def empty_as(array: np.ndarray) -> np.ndarray:
    """New memory of the shape, dtype and strides of an array."""
    if array.flags.c_contiguous:
        return np.empty(array.shape, array.dtype)
    reach = [(size - 1) * stride for size, stride in zip(array.shape, array.strides)]
    before = -sum(step for step in reach if step < 0)
    after = sum(step for step in reach if step > 0)
    memory = np.empty(before + after + array.itemsize, np.uint8)
    return np.ndarray(array.shape, array.dtype, memory, before, array.strides)


def in_place_of(array: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """The array that looks at `memory` as this one looks at the memory of its owner."""
    if not array.size:  # a reversed view of nothing begins before its memory
        return np.empty(array.shape, array.dtype)
    return np.ndarray(array.shape, array.dtype, memory, address(array) - address(owner(array)), array.strides)


def aligned(size: int) -> np.ndarray:
    """Bytes that begin at a multiple of a cache line."""
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -address(memory) % CACHE_LINE
    return memory[start : start + size]


class Blocks:
    """Blocks of memory given out one after another, as registers are by a linear scan (Poletto and Sarkar, 1999)."""

    def __init__(self):
        self.sizes: list[int] = []
        self._free: list[int] = []

    def take(self, size: int) -> int:
        """A free block of this size: the smallest that has it, or the largest made larger, or a new one."""
        fitting = [block for block in self._free if self.sizes[block] >= size]
        if fitting:
            block = min(fitting, key=self.sizes.__getitem__)
        elif self._free:
            block = max(self._free, key=self.sizes.__getitem__)
        else:
            self.sizes.append(size)
            return len(self.sizes) - 1
        self._free.remove(block)
        self.sizes[block] = max(self.sizes[block], size)
        return block

    def give_back(self, block: int) -> None:
        """Nobody reads this block any more."""
        self._free.append(block)


def share_memory(
    calls: list, live: list[int], needs: list[list[int]], targets: dict[int, np.ndarray], kept: set
) -> tuple[dict[int, int], list[int]]:
    """A block of memory for each result, used again after the last call that reads it; and the blocks' sizes."""
    last = {need: i for i in live for need in needs[i]}
    ending: dict[int, list[int]] = {}
    for made, i in last.items():
        if made not in kept:
            ending.setdefault(i, []).append(made)
    blocks, block_of = Blocks(), {}
    for i in live:
        if calls[i].value is not None and i not in targets:
            block_of[i] = blocks.take(owner(calls[i].value).nbytes)
            if i not in last and i not in kept:
                blocks.give_back(block_of[i])
        for made in ending.get(i, ()):
            if made in block_of:
                blocks.give_back(block_of[made])
    return block_of, blocks.sizes
