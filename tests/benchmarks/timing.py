"""What the benchmarks share: functions timed in turns, and the bare matrix products of a step as its floor."""

import itertools
import os
import time

import numpy as np


def products(sizes, batch, passes="forward weights inner"):
    """Pairs of arrays whose products an MLP of these sizes computes on a batch, layer by layer, in the named passes.

    forward : each layer's output. weights : the gradient by each weight. inputs : the gradient by each layer's input;
    inner : the same without the first layer, whose input is data. second : both gradients of the pass `inputs`, which a
    penalty on the gradient by the input needs (the last layer's pass begins with constants, so it has one).
    """
    rng, passes, pairs = np.random.default_rng(0), set(passes.split()), []
    layers = list(itertools.pairwise(sizes))
    for i, (n_in, n_out) in enumerate(layers):
        x, w, g = (rng.standard_normal(s).astype(np.float32) for s in ((batch, n_in), (n_out, n_in), (batch, n_out)))
        pairs += [(x, w.T)] * (("forward" in passes) + ("second" in passes and i < len(layers) - 1))
        pairs += [(g.T, x)] * (("weights" in passes) + ("second" in passes))
        pairs += [(g, w)] * ("inputs" in passes or ("inner" in passes and i > 0))
    return pairs


def bare(pairs):
    """A function that computes the products of these pairs into arrays made beforehand, and nothing else."""
    jobs = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in pairs]

    def run():
        for a, b, out in jobs:
            np.dot(a, b, out=out)

    return run


def interleaved(functions, rounds, repeats=100):
    """Seconds per call, (rounds, len(functions)), the functions taking turns in every round."""
    times = np.empty((rounds, len(functions)))
    for row in times:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            for _ in range(repeats):
                function()
            row[i] = (time.perf_counter() - start) / repeats
    return times


def cores():
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def note_core_type():
    """Say so when NumPy's products are held to kernels for another processor; PyTorch's are not."""
    core = os.environ.get("OPENBLAS_CORETYPE")
    if core:
        print(f"OPENBLAS_CORETYPE={core} is set: NumPy's products may be slower than they could be")
