"""What does `minigen` understand on the command line?

`tour`, `lessons`, `lesson NUMBER` and `doctor`. Bad arguments get one line and exit code 2, Ctrl-C one line and 130.
What a command needs is imported when it runs, so that help and the list of lessons come at once.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from . import __version__
from ._support import console, syllabus
from ._support.atomic import why_not_writable
from ._support.interrupt import interrupt_ends_program, interrupt_raises

PACKAGE = Path(__file__).resolve().parent
LESSON_FOLDERS = (PACKAGE / "lessons", PACKAGE.parent / "lessons")  # as installed; in a checkout


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which says so when its help cannot be written."""

    def _print_message(self, message, file=None):
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def program() -> NoReturn:
    """The `minigen` of a terminal: `main` for a process that has nothing else to do."""
    interrupt_raises()
    code = main()
    if code == console.INTERRUPTED:
        console.leave(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and return its exit code."""
    console.write_any_sign()
    try:
        with interrupt_ends_program():
            return _run(arguments)
    except (KeyboardInterrupt, Exception) as error:
        code = console.explained_end(error)
        if code is None:
            raise
        return code


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
        code = options.run(options) if options.command else print(parser.format_help(), end="")
        return code or 0
    finally:
        sys.stdout.flush()  # so that a full disk is found while there is somebody to say so


COMMANDS = """\
Learn generative modelling by building it.

commands:
  tour           train every generator on the pendulum and compare them
  lessons        list the lessons
  lesson NUMBER  run one of them
  doctor         show versions, threads and kernels, and time a training step"""


def _parser() -> _Parser:
    # Options are the same before and after the command. Suppressed defaults keep the latter from undoing the former.
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--seed", type=_seed, metavar="N", help="where all randomness comes from (default 0)")
    shared.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default tour, or figures)")
    shared.add_argument("--quick", action="store_true", help="fewer steps and data")
    shared.add_argument("--show", action="store_true", help="open the figures in windows as well")
    parser = _Parser(
        prog="minigen",
        usage="minigen COMMAND [options]",
        description=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"minigen {__version__}", help="show the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="minigen", help=argparse.SUPPRESS)
    for name, run in (("tour", _tour), ("lessons", _lessons), ("lesson", _lesson), ("doctor", _doctor)):
        command = commands.add_parser(name, parents=[shared], allow_abbrev=False)
        command.set_defaults(run=run, error=command.error)
        if name == "lesson":
            command.add_argument("number", metavar="NUMBER", help="as `minigen lessons` prints it")
            command.add_argument("--json", type=Path, metavar="FILE", help="where to write what was claimed")
    return parser


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)


def _tour(options) -> None:
    out = _writable(options, "tour")
    from . import tour

    unsaved = None
    try:
        scores = tour.run(out, seed=_get(options, "seed", 0), quick=_get(options, "quick", False))
    except tour.NotSaved as error:
        unsaved, scores = error, error.scores
    print(tour.table(scores, shutil.get_terminal_size().columns))
    if unsaved is not None:
        raise unsaved
    print(f"\n{scores['seconds']:.0f} s; figures and scoreboard.json are in {out}{os.sep}, see overview.png first")
    if _get(options, "show", False):
        _show(sorted(out.glob("*.png")))


def _lessons(options) -> None:
    width = max(shutil.get_terminal_size().columns, 40)
    lessons = find_lessons()
    part = 0
    for lesson in lessons:
        if lesson.part != part:
            part = lesson.part
            print(f"\nPart {part}: {lesson.part_title}")
        minutes = f"{lesson.minutes} min" if lesson.minutes else ""
        title = textwrap.shorten(lesson.title, width - 5 - len(minutes), placeholder=" ...")
        print(f"{lesson.number:2}  {title:{width - 5 - len(minutes)}} {minutes}".rstrip())
        print(f"    {textwrap.shorten(lesson.summary, width - 4, placeholder=' ...')}")
    where = f"They are in {lessons[0].path.parent}" if lessons else "There are none"
    print(f"\nminigen lesson NUMBER runs one. {where}")


def _lesson(options) -> None:
    lessons = {str(lesson.number): lesson for lesson in find_lessons()}
    chosen = lessons.get(options.number.lstrip("0"))
    if chosen is None:
        _refuse(options, f"there is no lesson {options.number!r}, only {', '.join(lessons) or 'none at all'}")
    arguments = ["--out", str(_writable(options, "figures")), "--seed", str(_get(options, "seed", 0))]
    arguments += [f"--{name}" for name in ("quick", "show") if _get(options, name, False)]
    if options.json is not None:
        arguments += ["--json", str(options.json)]
    before = sys.argv, sys.path[:]
    # What `python lessons/NN_name.py` would do: lessons import the module that lies beside them.
    sys.argv, sys.path[:0] = [str(chosen.path), *arguments], [str(chosen.path.parent)]
    try:
        runpy.run_path(str(chosen.path), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before


def _doctor(options) -> None:
    from . import doctor

    wrap = textwrap.TextWrapper(
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * doctor.INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in doctor.report(seed=_get(options, "seed", 0), quick=_get(options, "quick", False)):
        print(wrap.fill(line), flush=True)


def _get(options, name: str, default):
    return getattr(options, name, default)


def _refuse(options, why: str) -> NoReturn:
    """End with one line and exit code 2, as for arguments that cannot be read."""
    options.error(why)
    raise SystemExit(2)


def _writable(options, default: str) -> Path:
    """The folder of `--out`, made if need be; ends with exit code 2 if nothing can be written there."""
    out = _get(options, "out", Path(default))
    why = why_not_writable(out)
    if why is not None:
        _refuse(options, f"argument --out: {why}")
    return out


def _show(paths: list[Path]) -> None:
    """Open pictures in windows and wait until they are closed."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":
        print("there is no display to show them on", file=sys.stderr)
        return
    for path in paths:
        picture = plt.imread(path)
        height, width = picture.shape[:2]
        figure = plt.figure(path.stem, figsize=(width / 160, height / 160))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(picture)
        axes.axis("off")
    plt.show()


def find_lessons() -> list[syllabus.LessonFile]:
    """The lessons that exist, in order, with what their first cell says about them."""
    folder = next((folder for folder in LESSON_FOLDERS if folder.is_dir()), None)
    return syllabus.lessons_in(folder) if folder else []
