"""What the lessons share: reading the command line, saving a figure, stating a claim.

A lesson starts with `lesson = Lesson("NN_name")`, takes `lesson.quick` and `lesson.rng`, and ends with `lesson.end()`.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from minigen._support import blas


class Lesson:
    """One run of a lesson script.

    `quick` (bool) asks for fewer steps, `seed` (int) and `rng` (numpy.random.Generator) are where all randomness
    comes from, `out` (Path) is where the figures go.
    """

    def __init__(self, name: str):
        self.name = name
        parser = argparse.ArgumentParser(prog=self.name, description=f"minigen lesson {self.name}")
        parser.add_argument("--quick", action="store_true", help="fewer steps, the same claims where they can hold")
        parser.add_argument("--seed", type=int, default=0, help="seed of the random generator (default 0)")
        parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for figures (default figures/)")
        parser.add_argument("--show", action="store_true", help="open each figure in a window")
        # In a notebook sys.argv belongs to the notebook, not to the lesson.
        arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
        if arguments.seed < 0:
            parser.error(f"argument --seed: {arguments.seed} is negative; give 0 or more")
        self.quick, self.seed, self.out, self.show = arguments.quick, arguments.seed, arguments.out, arguments.show
        self.rng = np.random.default_rng(self.seed)
        self._failed: list[str] = []
        # The networks are small: one thread of matrix products is fast, and steady whatever else the machine does.
        self._threads = blas.one_thread()
        self._threads.__enter__()
        self._start = time.perf_counter()
        if not self.show and "ipykernel" not in sys.modules:
            import matplotlib

            matplotlib.use("Agg")

    def figure(self, fig, suffix: str = "") -> Path:
        """Save a matplotlib figure as `<out>/<lesson name><suffix>.png` and say where it is."""
        import matplotlib.pyplot as plt

        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.name}{suffix}.png"
        fig.savefig(path, dpi=130, bbox_inches="tight")
        print(f"figure: {path}")
        if self.show or "ipykernel" in sys.modules:
            plt.show()
        plt.close(fig)
        return path

    def claim(self, sentence: str, holds: bool) -> None:
        """State a claim; the sentence carries the measured number and what it is held against."""
        print(f"CLAIM {'holds' if holds else 'FAILS'}: {sentence}")
        if not holds:
            self._failed.append(sentence)

    def end(self) -> None:
        """Print the time taken; exit with code 1 if a claim failed."""
        self._threads.__exit__(None, None, None)
        print(f"{self.name}: {time.perf_counter() - self._start:.1f} s")
        if self._failed:
            sys.exit(f"{len(self._failed)} claim(s) of lesson {self.name} failed")
