"""What the README shows is what one gets: its Python blocks run, and print what it says they print."""

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")


def blocks():
    """The README's Python blocks, in order."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def printed(source):
    """What a block prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(source, "README.md", "exec"), {"__name__": "readme"})
    return out.getvalue()


def test_the_ten_lines_print_what_the_readme_says():
    shown = re.search(r"prints\n\n```\n(.*?)```", README, re.DOTALL)[1]
    got = printed(blocks()[0])
    assert NUMBER.sub("#", got) == NUMBER.sub("#", shown)
    # Another processor rounds otherwise, and 5000 steps make that visible: so the numbers are held to what they mean.
    residual, amplitude, *nats = map(float, NUMBER.findall(got))
    assert residual < 0.004 and abs(amplitude - 0.83) < 0.01
    assert sum(value > 1 for value in nats) == 3, "three latents carry the three degrees of freedom"


def test_the_engine_block_prints_its_comment():
    source = blocks()[1]
    assert printed(source).strip() == re.search(r"print\(.*\)\s*# (.*)", source)[1]


def test_a_model_of_ones_own_learns_and_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    last, first = map(float, NUMBER.findall(printed(blocks()[2])))
    assert last < 0.02 * first
    assert (tmp_path / "skip.npz").stat().st_size > 0


def test_a_compiled_step_learns_and_shows_its_program():
    loss, *program = printed(blocks()[3]).splitlines()
    assert float(loss) < 0.005
    assert program[0].startswith("operation") and any("bias_tanh" in line for line in program)


def test_the_chains_print_the_readmes_table_and_find_the_means():
    shown = re.findall(r"prints\n\n```\n(.*?)```", README, re.DOTALL)[1]
    got = printed(blocks()[4])
    words = lambda text: re.sub(r"-?\d+(\.\d+)?", "#", text).split()  # another processor rounds otherwise
    assert words(got) == words(shown)
    for name, mean, sd in (("a", 0.0, 1.0), ("b", 0.5, 1.5**0.5)):
        row = next(line.split() for line in got.splitlines() if line.startswith(name))
        assert abs(float(row[1]) - mean) < 4 * float(row[2]) and abs(float(row[3]) - sd) < 4 * float(row[4])


def test_the_example_of_a_new_operation_passes_its_check():
    source = blocks()[5]
    try:
        assert printed(source) == ""
    finally:
        sys.modules["minigen.tape"].OPERATIONS.pop("cube", None)


def test_the_commands_are_those_the_continuous_integration_runs():
    command = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest"
    assert command in README
    assert command in (Path(__file__).parents[1] / ".ci" / "run").read_text(encoding="utf-8")
