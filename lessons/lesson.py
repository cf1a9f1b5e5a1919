"""What do the lessons share? The command line, tables, claims, and figures in one style.

A lesson starts with `lesson = Lesson("NN_name")` and ends with `lesson.end()`. In between it uses

* `lesson.rng`, where all its randomness comes from, and `lesson.same_dice()`, to do a
  thing twice alike;
* `lesson.pick(full=5000, quick=1200)`: a number for the full run, a smaller one for `--quick`;
* `lesson.show(...)` for a number, `lesson.table(...)` for several beside each other;
* `lesson.claim(...)` for a sentence, a measured number and the limit that it must keep;
* `lesson.same(...)` for our numbers beside the library's;
* `with lesson.figure("energy", panels=2) as (left, right):` for a picture.
"""

import os
import signal
import sys

IN_NOTEBOOK = "ipykernel" in sys.modules


def _end(number, frame):
    print("minigen: interrupted", file=sys.stderr)
    os._exit(130)


# While the rest is imported, where a traceback would explain nothing.
if not IN_NOTEBOOK and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)

import argparse
import io
import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from minigen._support import blas, console, syllabus
from minigen._support.atomic import why_not_writable, write_whole
from minigen._support.interrupt import interrupt_ends_program

console.write_any_sign()
if not IN_NOTEBOOK:
    console.explain_ends_of_scripts()
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Claim:
    """A sentence, what was measured, and the limits it was held against (None: no such limit)."""

    sentence: str
    measured: float | list
    unit: str
    above: float | list | None
    below: float | list | None
    near: float | list | None
    within: float | list | None
    holds: bool


class Lesson:
    """One run of a lesson script.

    `quick` (bool) asks for fewer steps, `seed` (int) and `rng` (numpy.random.Generator) are
    where all randomness comes from, `out` (Path) is where the figures go, and `results`
    (list of `Claim`) is what was claimed so far.
    """

    def __init__(self, name: str):
        self.name = name
        parser = self._parser()
        # In a notebook sys.argv belongs to the notebook, not to the lesson.
        options = parser.parse_args([] if IN_NOTEBOOK else None)
        if options.seed < 0:
            parser.error(f"argument --seed: {options.seed} is negative; give 0 or more")
        self.quick = options.quick
        self.seed = options.seed
        self.out = options.out
        self.in_windows = options.show
        self.json = options.json
        self.rng = np.random.default_rng(self.seed)
        self.results: list[Claim] = []
        self._figures: list[str] = []
        self._unsaved = 0
        self._setting = ExitStack()
        # The networks are small: one thread of matrix products is fast, and steady
        # whatever else the machine does.
        self._setting.enter_context(blas.one_thread())
        if not IN_NOTEBOOK:
            self._as_a_program(parser)
        self._start = time.perf_counter()

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=self.name, description=f"minigen lesson {self.name}"
        )
        parser.add_argument(
            "--quick",
            action="store_true",
            help="fewer steps, the same claims where they can hold",
        )
        parser.add_argument(
            "--seed",
            type=int,
            default=0,
            help="seed of the random generator (default 0)",
        )
        parser.add_argument(
            "--out",
            type=Path,
            default=Path("figures"),
            help="folder for figures (default figures/)",
        )
        parser.add_argument(
            "--json",
            type=Path,
            metavar="FILE",
            help="where to write what was claimed and measured",
        )
        parser.add_argument(
            "--show", action="store_true", help="open each figure in a window"
        )
        return parser

    def _as_a_program(self, parser: argparse.ArgumentParser) -> None:
        """Find out now whether all can be saved; let Ctrl-C end the lesson at once."""
        why = why_not_writable(self.out)
        if why is not None:
            parser.exit(2, f"{self.name}: argument --out: {why}\n")
        if self.json is not None:
            try:
                write_whole(self.json, b"", dry_run=True)
            except OSError as error:
                why = error.strerror or error
                where = f"cannot write {str(self.json)!r}: {why}; give another file"
                parser.exit(2, f"{self.name}: argument --json: {where}\n")
        self._setting.enter_context(interrupt_ends_program())
        if not self.in_windows:
            import matplotlib

            matplotlib.use("Agg")

    # ---------------------------------------------------------------- running it

    def pick(self, *, full, quick):
        """`full` in the full run, `quick` if the lesson was started with --quick."""
        return quick if self.quick else full

    def same_dice(self) -> np.random.Generator:
        """A generator that gives the same numbers each time you ask for one."""
        return np.random.default_rng(self.seed)

    def end(self) -> None:
        """Say how many claims hold and what to try next; exit with code 1 if something failed."""
        self._setting.close()
        seconds = time.perf_counter() - self._start
        failed = sum(not claim.holds for claim in self.results)
        print(
            f"\n{self.name}: {len(self.results) - failed} of {len(self.results)} claims hold, "
            f"{seconds:.1f} s"
        )
        self._write_json(seconds)
        for line in syllabus.what_to_try_next(Path(__file__).parent, self.name):
            print(line)
        sys.stdout.flush()
        if failed:
            sys.exit(f"{failed} claim(s) of lesson {self.name} failed")
        if self._unsaved:
            sys.exit(
                f"{self._unsaved} file(s) of lesson {self.name} could not be saved"
            )

    def _write_json(self, seconds: float) -> None:
        if self.json is None:
            return
        kept = {
            "lesson": self.name,
            "seed": self.seed,
            "quick": self.quick,
            "seconds": seconds,
            "claims": [asdict(claim) for claim in self.results],
            "figures": self._figures,
        }
        self._save(self.json, json.dumps(kept, indent=1).encode(), "claims")

    # ---------------------------------------------------------------- saying what came out

    def show(self, what: str, measured, unit: str = "") -> None:
        """Print a number (or several) that has no limit to keep."""
        print(f"{what}: {_with_unit(measured, unit)}")

    def table(self, title: str, rows: dict[str, dict]) -> None:
        """Print results beside each other; `rows`: {name of the row: {column: number or text}}."""
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        lines = [["", *columns]]
        for name, row in rows.items():
            lines.append([name, *(shown(row.get(column, "")) for column in columns)])
        first, *widths = (max(map(len, cells)) for cells in zip(*lines))
        print(f"\n{title}")
        for name, *cells in lines:
            aligned = [f"{cell:>{width}}" for cell, width in zip(cells, widths)]
            print("  ".join([f"  {name:<{first}}", *aligned]))
        print()

    def claim(
        self,
        sentence: str,
        measured,
        *,
        above=None,
        below=None,
        near=None,
        within=None,
        percent=None,
        exactly=None,
        unit: str = "",
    ) -> bool:
        """Say something and hold the measured number (each, if there are several) against a limit.

            lesson.claim("the draws are far from any pendulum", 0.31, above=0.1, unit="rad")
            lesson.claim("two-sigma coverage", 95.2, above=93, below=97, unit="%")
            lesson.claim("RK4: order", 3.99, near=4, within=0.1)
            lesson.claim("Euler: growth of the energy in 20 s", 7.04, near=7.11, percent=5)
            lesson.claim("modes that the generator reaches", 8, exactly=8)

        A sentence carries no measured number: it is the same in every run, and its name in
        `lesson.results`. Returns whether it holds. Raises ValueError without a limit, without
        anything measured, and for a sentence said before.
        """
        values = np.asarray(measured, dtype=float)
        if values.size == 0:
            raise ValueError(f"the claim {sentence!r} has nothing measured")
        if exactly is not None:
            near, within = exactly, 0
        if percent is not None:
            within = np.abs(near) * percent / 100
        if (near is None) != (within is None):
            raise ValueError(
                f"the claim {sentence!r}: near= goes with within= or percent="
            )
        if above is None and below is None and near is None:
            raise ValueError(
                f"the claim {sentence!r} has no limit: "
                "give above=, below=, near= and within=, or exactly="
            )
        limits = []
        holds = True
        if above is not None:
            limits.append(f"above {shown(above)}")
            holds = holds and bool(np.all(values > above))
        if below is not None:
            limits.append(f"below {shown(below)}")
            holds = holds and bool(np.all(values < below))
        if near is not None:
            limits.append(_nearness(near, within, percent))
            holds = holds and bool(np.all(np.abs(values - near) <= within))
        as_data = map(_plain, (measured, unit, above, below, near, within))
        line = f"{sentence}: {_with_unit(measured, unit)} ({' and '.join(limits)})"
        return self._keep(Claim(sentence, *as_data, holds), line)

    def same(self, what: str, ours, theirs, limit: float = 0.0) -> bool:
        """Claim that two arrays (or lists or dictionaries of them) differ by at most `limit`."""
        if isinstance(ours, dict):
            if ours.keys() != theirs.keys():
                raise ValueError(
                    f"{what}: one has {list(ours)}, the other {list(theirs)}"
                )
            theirs = [theirs[key] for key in ours]
            ours = list(ours.values())
        if not isinstance(ours, list):
            ours, theirs = [ours], [theirs]
        if len(ours) != len(theirs):
            raise ValueError(f"{what}: {len(ours)} beside {len(theirs)}")
        largest = []
        for one, other in zip(ours, theirs):
            one = np.asarray(one)
            other = np.asarray(other)
            if one.shape != other.shape:
                raise ValueError(f"{what}: shapes {one.shape} and {other.shape}")
            largest.append(np.max(np.abs(one - other)))
        return self.claim(
            f"{what}: largest difference", np.max(largest), near=0, within=limit
        )

    def verdict(self, sentence: str, holds: bool) -> bool:
        """A claim of the lessons from 21 on: the sentence carries its number and its limit."""
        claim = Claim(sentence, float(holds), "", None, None, 1.0, 0.0, bool(holds))
        return self._keep(claim, sentence)

    def _keep(self, claim: Claim, line: str) -> bool:
        """Keep a claim and print the line that states it; returns whether it holds."""
        others = [each for each in self.results if each.sentence != claim.sentence]
        if (
            len(others) < len(self.results) and not IN_NOTEBOOK
        ):  # there a cell may run again
            raise ValueError(
                f"the claim {claim.sentence!r} was made before: say in which case this one is"
            )
        self.results = [*others, claim]
        print(f"CLAIM {'holds' if claim.holds else 'FAILS'}: {line}")
        return claim.holds

    # ---------------------------------------------------------------- pictures

    @contextmanager
    def figure(
        self,
        name: str = "",
        panels: int = 1,
        rows: int = 1,
        *,
        width: float = 4.6,
        height: float = 3.8,
        **how,
    ):
        """An empty picture in the course's style, saved when the block ends.

        Gives one axes, a tuple of `panels` axes, or a tuple of rows of them; `width` and
        `height` (inches) are those of one panel, `how` goes to `matplotlib.pyplot.subplots`.
        An axes with labels gets a legend. The file is `<out>/<lesson>_<name>.png`.
        """
        import matplotlib.pyplot as plt

        from minigen import plots

        with plots.style():
            size = (width * panels, height * rows)
            picture, axes = plt.subplots(
                rows, panels, figsize=size, layout="constrained", squeeze=False, **how
            )
            by_row = tuple(tuple(row) for row in axes)
            if rows > 1:
                yield by_row
            else:
                yield by_row[0] if panels > 1 else by_row[0][0]
            for ax in axes.flat:
                if ax.get_legend() is None and ax.get_legend_handles_labels()[0]:
                    ax.legend()
            self.save(picture, name)

    def save(self, picture, name: str = "") -> None:
        """Save a figure made elsewhere as `<out>/<lesson>_<name>.png` and say where it is."""
        import matplotlib.pyplot as plt

        file = io.BytesIO()
        picture.savefig(file, dpi=130, bbox_inches="tight")
        path = self.out / (f"{self.name}_{name}.png" if name else f"{self.name}.png")
        if self._save(path, file.getvalue(), "figure"):
            self._figures.append(path.name)
            print(f"figure: {path}")
        if self.in_windows or IN_NOTEBOOK:
            plt.show()
        plt.close(picture)

    def _save(self, path: Path, content: bytes, what: str) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:  # the claims are worth more than the file
            console.say(
                f"{what}: cannot write {str(path)!r}: {error.strerror or error}"
            )
            self._unsaved += 1
            return False
        return True


def shown(value) -> str:
    """A number as a reader wants it: three or four digits; of many numbers their range."""
    if isinstance(value, str):
        return value
    if np.ndim(value) > 0:
        values = np.ravel(np.asarray(value, dtype=float))
        if len(values) > 6:
            return f"{shown(values.min())} to {shown(values.max())}"
        return ", ".join(map(shown, values))
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    size = abs(float(value))
    if size == 0 or not np.isfinite(size):
        return f"{float(value):g}"
    if size < 1e-3 or size >= 1e6:
        return f"{float(value):.1e}"
    return f"{float(value):.4g}" if size >= 100 else f"{float(value):.3g}"


def _with_unit(value, unit: str) -> str:
    return f"{shown(value)} {unit}".rstrip()


def _nearness(near, within, percent) -> str:
    if percent is not None:
        return f"{shown(near)} within {shown(percent)} %"
    if np.all(np.asarray(within) == 0):
        return f"exactly {shown(near)}"
    return f"{shown(near)} within {shown(within)}"


def _plain(value):
    """A value as JSON can hold it: numbers and lists of them, NaN and infinities as text."""
    if value is None or isinstance(value, str):
        return value
    if np.ndim(value) > 0:
        return [_plain(each) for each in np.asarray(value, dtype=float)]
    number = float(value)
    return number if np.isfinite(number) else str(number)
