"""How long do a hundred gradients of a chain take, in minigen's samplers and in their peers?

    python tests/benchmarks/samplers.py [--peers torch,jax] [--rows ULA,MALA,HMC] [--rounds 15] [--cores one,all]
                                        [--out table.json]

256 chains on the energy [2, 128, 128, 1] SiLU in float32: 100 steps of ULA, 100 of MALA, and 10 of HMC with 10 leapfrog
steps, random draws included. minigen makes its steps one by one through `kernel.step(state, rng)`; PyTorch in a loop,
with autograd and with the gradient written out by hand; JAX all of them in one jitted scan. "Bare products" are
the steps' matrix products alone through NumPy. How times are taken, and how it is checked that all compute the same,
is in steps.py.

Everything is measured twice: with all processes held to one core, and with the threads that each library takes by
itself. Beside the clock stands processor time, summed over threads: on one core it does not see what else the machine
does, so there it decides whether a goal is met. On all cores the clock decides; there processor time counts threads
that wait, and a busy machine makes them wait for one another.

The second table is about draws worth having: effective samples per second of processor, on one core, of the narrower
coordinate of exp(-U(x) - |x|^2 / 2), the step sizes of MALA and HMC adapted. ULA's draws come cheaply and from a law
that is not quite this one.
"""

import argparse
import json
import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import steps
import steps_minigen
from rows import CHAINS, COMPILED, LEAPFROG, TORCH_COMPILED, row
from timing import cores

from minigen import ops, samplers
from minigen._support import blas

PEERS = ("torch", "jax")
CLOCK, PROCESSOR = "ratios", "ratios of processor time"


@contextmanager
def one_core():
    """Inside the block this process and those it starts run on one core, with one thread."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before, allowed = dict(os.environ), os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    os.environ.update(dict.fromkeys(names, "1"))
    if allowed:
        os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        if allowed:
            os.sched_setaffinity(0, allowed)


def compare(peers, names, rounds, deciding):
    """Print and return the tables of these rows; the goals belong to the ratios called `deciding`."""
    report = {**steps.header(peers), "rows": []}
    for name in names:
        table = steps.measure(peers, name, rounds, leave_out={TORCH_COMPILED})
        show(table, deciding)
        report["rows"].append(table)
    return report


def show(table, deciding):
    """Print one row: times by the clock and of processor, and minigen's over the others'."""
    print(f"\n{table['row']}  {table['title']}\n{'':22}{'clock':>9}   (10 to 90 %){'':12}processor")
    for name, found in table["contestants"].items():
        low, middle, high, used = (steps.in_units(found[key]) for key in ("10 %", "median", "90 %", "processor"))
        print(f"    {name:18}{middle:>9}   {f'({low} to {high})':24}{used:>9}")
    for by_clock, of_processor in zip(table[CLOCK], table[PROCESSOR]):
        if by_clock["of"] == COMPILED:
            each = by_clock if deciding == CLOCK else of_processor
            goal = f"   goal: at most {each['goal']}, {'met' if each['met'] else 'MISSED'}" if "goal" in each else ""
            pair = f"{each['of']} / {each['to']}"
            found = f"{by_clock['median']:5.2f} by the clock, {of_processor['median']:5.2f} of processor"
            print(f"    {pair:36}{found}{goal}", flush=True)


def effective(draws=400, warmup=300):
    """Effective samples per second of processor by name of the kernel; prints them."""
    nets = SimpleNamespace(**steps_minigen.networks(row("ULA")))

    def log_prob(x):
        return -nets.energy(x)[:, 0] - 0.5 * ops.sum(ops.square(x), axis=1)

    kernels = {
        "ULA": samplers.ula(log_prob, 0.2),
        "MALA": samplers.mala(log_prob),
        "HMC": samplers.hmc(log_prob, leapfrog_steps=LEAPFROG),
    }
    (position,), found = row("ULA").data, {}
    print(f"effective samples per second of processor, {len(position)} chains, {draws} draws from each")
    for name, kernel in kernels.items():
        rng = np.random.default_rng(0)
        if kernel.step_size is None:
            kernel, position = samplers.adapt(kernel, position, rng, warmup, progress=False)
        samplers.sample(kernel, position, 12, rng, progress=False)  # records, and compares the recording
        start = time.process_time()
        x, infos = samplers.sample(kernel, position, draws, rng, progress=False)
        seconds = time.process_time() - start
        size = float(np.min(samplers.ess_bulk(x)))
        found[name] = {"ess": size, "seconds": seconds, "step_size": kernel.step_size}
        print(
            f"    {name:6}{size / seconds:12,.0f} a second: {size:8,.0f} of {x.shape[0] * x.shape[1]:,} draws in "
            f"{steps.in_units(seconds)}, step {kernel.step_size:.3g}, acceptance {infos.acceptance_rate.mean():.2f}",
            flush=True,
        )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments, peers = steps.parsed(parser, peers=PEERS, rows=CHAINS, cores=("one", "all"))
    report = {}
    if "one" in arguments.cores:
        print("one core, one thread each")
        with one_core():
            report["one core"] = compare(peers, arguments.rows, arguments.rounds, PROCESSOR)
    if "all" in arguments.cores:
        print(f"all {cores()} cores, the threads that each library takes by itself")
        report["all cores"] = compare(peers, arguments.rows, arguments.rounds, CLOCK)
    with blas.one_thread(), one_core():  # in this order: one_thread() leaves alone what the environment says
        report["effective"] = effective()
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
