"""Has Ctrl-C been pressed? So that a long loop can end after the step under way and return what it has."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .console import INTERRUPTED, say_interrupted

_flags: list[list[bool]] = []  # of the loops under way in the main thread
_before: list = []  # what Ctrl-C did before the first of them
_ends_program = False


def interrupt_ends_command() -> None:
    """If this program is the `minigen` of a terminal, Ctrl-C from now on ends it at once, with one line.

    Until `interrupt_raises`. Called before anything large is imported: there is nothing yet that could be lost.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if _is_ours() and in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _is_ours() -> bool:
    """Whether this program is `minigen` or `python -m minigen`."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        return "minigen" in sys.orig_argv
    return os.path.basename(program).partition(".")[0] in ("minigen", "minigen-script")


def interrupt_raises() -> None:
    """Ctrl-C raises KeyboardInterrupt again, after `interrupt_ends_command`."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    say_interrupted()
    os._exit(INTERRUPTED)


@contextmanager
def interrupt_ends_program() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt at once, also in loops that else would return what they have so far.

    For lessons, the tour and the doctor, which have no use for a model that is half trained.
    """
    global _ends_program
    before, _ends_program = _ends_program, True
    try:
        yield
    finally:
        _ends_program = before


@contextmanager
def interrupt_flag() -> Iterator[list[bool]]:
    """A list that is empty until Ctrl-C is pressed; the second Ctrl-C raises KeyboardInterrupt as usual.

    Of several loops the one that began last is told. The handler from before comes back when the last of them ends, in
    whatever order they end, as generators may.
    """
    pressed: list[bool] = []
    if _ends_program:
        yield pressed
        return
    # Only the main thread may have a handler; a process that ignores Ctrl-C goes on ignoring it.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield pressed
        return
    if signal.getsignal(signal.SIGINT) is not _press:  # not so where another thread has ended the last loop
        before = signal.signal(signal.SIGINT, _press)
        _before[:] = [signal.SIG_DFL if before is None else before]
    _flags.append(pressed)
    try:
        yield pressed
    finally:
        _flags[:] = [flag for flag in _flags if flag is not pressed]
        is_ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _press
        if not _flags and is_ours:  # else the program has put a handler of its own in place meanwhile
            signal.signal(signal.SIGINT, _before[0])


def _press(number, frame):
    if not _flags or _flags[-1]:
        raise KeyboardInterrupt
    _flags[-1].append(True)
