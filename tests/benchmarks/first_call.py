"""What do the first and the second call of a compiled step cost, in eager steps?

    python tests/benchmarks/first_call.py [--repeats 15]

The training rows of rows.py. The kernels are compiled and everything is warm before; each repeat builds the networks
anew, does one eager step, and then records (first call), builds the plan and compares it with the step (second call).
"""

import argparse
import time

import numpy as np
import steps_minigen
from rows import row

import minigen


def seconds(function):
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for name in steps_minigen.LOSSES:
        eager = steps_minigen.job(row(name), lambda step: step)
        eager.reset()
        times = []
        for _ in range(repeats + 1):
            job = steps_minigen.job(row(name), minigen.compile)
            job.reset()
            times.append([seconds(eager.step), seconds(eager.step), seconds(job.step), seconds(job.step)])
        _, usual, first, second = np.median(times[1:], axis=0)
        first, second = first / usual, second / usual
        print(f"{name}: eager step {1e6 * usual:.0f} µs, first call {first:.1f} of these, second {second:.1f}")


if __name__ == "__main__":
    main()
