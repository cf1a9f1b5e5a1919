"""Fixtures that several test files use."""

import pytest

from minigen.tape import OPERATIONS, primitive


@pytest.fixture
def new_primitive():
    """`primitive`, undone at the end of the test so that the table of operations stays as it was."""
    before = dict(OPERATIONS)
    yield primitive
    OPERATIONS.clear()
    OPERATIONS.update(before)
