"""Does a type checker accept the package and a user's program, and find the mistakes in another?"""

import importlib.util
import re
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api")
ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent / "typing"


def errors(*arguments):
    """Pairs (file, line) of the errors, and all that mypy says."""
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--no-incremental", "--cache-dir", "/dev/null"]
    out, problems, _ = api.run([*settings, *map(str, arguments)])
    assert not problems, problems
    return [(Path(name).name, int(line)) for name, line in re.findall(r"^(.+?):(\d+): error", out, re.M)], out


@pytest.fixture(scope="module")
def checked():
    """One run over the package as a user's programs see it."""
    return errors(HERE / "accepted.py", HERE / "rejected.py")


@pytest.mark.skipif(importlib.util.find_spec("minigen.operators") is None, reason="Tensor's operators cannot be seen")
def test_a_right_program_is_accepted(checked):
    found, out = checked
    assert not [each for each in found if each[0] == "accepted.py"], out


def test_every_mistake_is_found_and_nothing_else(checked):
    found, out = checked
    lines = (HERE / "rejected.py").read_text(encoding="utf-8").splitlines()
    wrong = {i for i, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert {line for name, line in found if name == "rejected.py"} == wrong, out
