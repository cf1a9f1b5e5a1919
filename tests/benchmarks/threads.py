"""From what size on is a matrix product faster on all threads than on one?

    python tests/benchmarks/threads.py [--rounds 200]

The three products of a linear layer, forward and back, in float32: batch x n_in times n_in x n_out and the two of its
gradients; microseconds a product, medians of alternating rounds. OpenBLAS itself keeps products of up to 64^3
multiplications on one thread; the table says whether that line is well drawn on this machine.
"""

import argparse

import numpy as np
import timing

from minigen._support import blas

SIZES = [
    *((16, 16, 16), (32, 32, 32), (64, 64, 32), (64, 64, 64), (64, 64, 80), (64, 100, 128), (128, 128, 128)),
    *((128, 256, 128), (256, 256, 256), (512, 512, 512)),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    most = blas.threads()
    if most is None or most < 2:
        raise SystemExit("NumPy's products run on one thread here, or its BLAS is not the OpenBLAS of its wheels")
    timing.note_core_type()
    print(f"{'batch x in x out':>20}{'multiplications':>18}{'1 thread':>12}{most:>4} threads   ratio (10 to 90 %)")
    for batch, n_in, n_out in SIZES:
        layer = timing.bare(timing.products((n_in, n_out), batch, "forward weights inputs"))
        repeats = max(1, 2_000_000 // (batch * n_in * n_out))
        times = np.empty((rounds, 2))
        for row in times:
            with blas.one_thread():
                row[0] = timing.interleaved([layer], 1, repeats)[0, 0]
            row[1] = timing.interleaved([layer], 1, repeats)[0, 0]
        one, all_ = np.median(times, axis=0) * 1e6 / 3
        low, middle, high = np.quantile(times[:, 1] / times[:, 0], (0.1, 0.5, 0.9))
        print(
            f"{f'{batch} x {n_in} x {n_out}':>20}{batch * n_in * n_out:18,}{one:9.1f} µs{all_:9.1f} µs   "
            f"{middle:.2f} ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
