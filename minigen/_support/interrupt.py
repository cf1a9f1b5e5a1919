"""Has Ctrl-C been pressed? So that a long loop can end after the step under way and return what it has."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interrupt_flag():
    """A list that is empty until Ctrl-C is pressed; the second Ctrl-C raises KeyboardInterrupt as usual."""
    pressed: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread may have a handler; a process that ignores Ctrl-C goes on ignoring it.
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield pressed
        return

    def press(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
