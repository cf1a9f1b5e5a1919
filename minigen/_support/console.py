"""How does a program end that a person runs in a terminal? With one line that says why, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import NoReturn, TypeGuard

# The disk is full, read-only, broken or not ours: nothing that a traceback would explain.
WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


def write_any_sign() -> None:
    """A terminal that lacks a sign shows a question mark; words for an output that was closed go nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, for as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def is_bar_hidden(show: bool | None) -> bool | None:
    """What tqdm calls `disable`; `show` None shows a bar on a terminal alone, and without standard error there is none.

    A program without a console window has no standard error.
    """
    if sys.stderr is None or getattr(sys.stderr, "closed", False):
        return True
    return None if show is None else not show


def is_about_writing(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether an error says that something could not be written."""
    return isinstance(error, OSError) and error.errno in WRITING


def cannot_write(error: OSError) -> str:
    """The one line that says what could not be written and why."""
    what = "the output" if error.filename is None else repr(str(error.filename))
    return f"minigen: cannot write {what}: {error.strerror}"


def say(line: str) -> None:
    """Write a line to the terminal, if it can be written there."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def say_interrupted() -> None:
    """The one line after Ctrl-C."""
    say("minigen: interrupted")


def leave(code: int) -> NoReturn:
    """End the process now.

    Without what Python does at its end: libraries stopped in the middle of something would have their word there, and
    where an interrupt has left code made from text, as numba's is, Python would end by the signal instead of the code.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        give_up_output()
    os._exit(code)


def give_up_output() -> None:
    """Write nothing more to standard output, not even what is still in its buffer: there is no place for it."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a file of the system has nothing to lose
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explained_end(error: BaseException) -> int | None:
    """The exit code of a program that ends by this error, after one line that says why; None if it needs more words."""
    if _is_interrupt(error):
        say_interrupted()
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader has gone, as in `minigen lessons | head -1`
        give_up_output()
        return 1
    if is_about_writing(error):
        say(cannot_write(error))
        give_up_output()
        return 1
    return None


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C was pressed, also where Python made another error of it."""
    return isinstance(error, KeyboardInterrupt) or (error is not None and _is_interrupt(error.__cause__))


def explain_ends_of_scripts() -> None:
    """From now on Ctrl-C and a full disk end the running script with one line and exit code 130 or 1."""
    usual = sys.excepthook

    def hook(kind, error, trace):
        code = explained_end(error)
        if code is None:
            usual(kind, error, trace)
            return
        leave(code)

    sys.excepthook = hook
