"""Fixtures that several test files use, and the ground that all stand on."""

import signal
import threading

import pytest

from minigen.tape import OPERATIONS, primitive


def pytest_configure(config):
    """Let tests press Ctrl-C: a shell that starts the suite in the background makes it ignore that.

    Programs that tests start inherit what is ignored, and nothing else.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def new_primitive():
    """`primitive`, undone at the end of the test so that the table of operations stays as it was."""
    before = dict(OPERATIONS)
    yield primitive
    OPERATIONS.clear()
    OPERATIONS.update(before)
