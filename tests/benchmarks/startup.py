"""How long does `import minigen` take beside `import numpy`, and what does a cold kernel cache cost lesson 05?

    python tests/benchmarks/startup.py [--rounds 15]

Every import is a fresh process; rounds alternate and medians are printed, less the time of an empty interpreter beside
them. Lesson 05 runs twice with the same empty folder for the kernels' cache: first cold, then warm.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LESSON = Path(__file__).resolve().parents[2] / "lessons" / "05_network.py"


def seconds(command, **environment):
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    statements = ("pass", "import numpy", "import minigen")
    times = [[seconds([sys.executable, "-c", statement]) for statement in statements] for _ in range(rounds + 1)]
    empty, numpy, minigen = np.median(times[1:], axis=0)
    print(f"python -c pass {empty:.3f} s, import numpy {numpy:.3f} s, import minigen {minigen:.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, str(LESSON), "--quick", "--out", folder]
        cold, warm = (seconds(run, NUMBA_CACHE_DIR=folder) for _ in range(2))
    print(f"lesson 05 --quick: cold kernel cache {cold:.1f} s, warm {warm:.1f} s, difference {cold - warm:.1f} s")


if __name__ == "__main__":
    main()
