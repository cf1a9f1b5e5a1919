"""What the lessons share: reading the command line, saving a figure, stating a claim.

A lesson starts with `lesson = Lesson("NN_name")`, takes `lesson.quick` and `lesson.rng`, and ends with `lesson.end()`.
"""

import argparse
import io
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigen._support import blas, console
from minigen._support.atomic import make_writable_folder, write_whole
from minigen._support.interrupt import interrupt_ends_program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN_NOTEBOOK = "ipykernel" in sys.modules

console.write_any_sign()
if not IN_NOTEBOOK:
    console.explain_ends_of_scripts()


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
        arguments = parser.parse_args([] if IN_NOTEBOOK else None)
        if arguments.seed < 0:
            parser.error(f"argument --seed: {arguments.seed} is negative; give 0 or more")
        self.quick, self.seed, self.out, self.show = arguments.quick, arguments.seed, arguments.out, arguments.show
        self.rng = np.random.default_rng(self.seed)
        self._failed: list[str] = []
        self._unsaved = 0
        self._setting = ExitStack()
        # The networks are small: one thread of matrix products is fast, and steady whatever else the machine does.
        self._setting.enter_context(blas.one_thread())
        if not IN_NOTEBOOK:
            self._as_a_program(parser)
        self._start = time.perf_counter()

    def _as_a_program(self, parser: argparse.ArgumentParser) -> None:
        """Find out now whether figures can be saved, and let Ctrl-C end the lesson instead of a training alone."""
        try:
            make_writable_folder(self.out)
        except OSError as error:
            reason = "it is a file" if self.out.is_file() else error.strerror
            out = str(self.out)
            parser.exit(2, f"{self.name}: argument --out: cannot write into {out!r}: {reason}; give another folder\n")
        self._setting.enter_context(interrupt_ends_program())
        if not self.show:
            import matplotlib

            matplotlib.use("Agg")

    def figure(self, fig: "Figure", suffix: str = "") -> Path:
        """Save a matplotlib figure as `<out>/<lesson name><suffix>.png` and say where it is."""
        import matplotlib.pyplot as plt

        path = self.out / f"{self.name}{suffix}.png"
        picture = io.BytesIO()
        fig.savefig(picture, dpi=130, bbox_inches="tight")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            write_whole(path, picture.getvalue())
            print(f"figure: {path}")
        except OSError as error:  # the claims are worth more than the figure
            console.say(f"figure: cannot write {str(path)!r}: {error.strerror or error}")
            self._unsaved += 1
        if self.show or IN_NOTEBOOK:
            plt.show()
        plt.close(fig)
        return path

    def claim(self, sentence: str, holds: bool) -> None:
        """State a claim; the sentence carries the measured number and what it is held against."""
        print(f"CLAIM {'holds' if holds else 'FAILS'}: {sentence}")
        if not holds:
            self._failed.append(sentence)

    def end(self) -> None:
        """Print the time taken; exit with code 1 if a claim failed or a figure could not be saved."""
        self._setting.close()
        print(f"{self.name}: {time.perf_counter() - self._start:.1f} s", flush=True)
        if self._failed:
            sys.exit(f"{len(self._failed)} claim(s) of lesson {self.name} failed")
        if self._unsaved:
            sys.exit(f"{self._unsaved} figure(s) of lesson {self.name} could not be saved")
