"""Can a lesson be read? What can be counted of that; a reader is the judge.

Held are the lessons that have been unfolded. Those of parts 5 and 6 follow.
"""

import ast
import re
from pathlib import Path

import pytest

from minigen._support import syllabus

FOLDER = Path(__file__).parents[2] / "lessons"
EXISTING = {lesson.number for lesson in syllabus.lessons_in(FOLDER)}
LESSONS = [lesson for lesson in syllabus.lessons_in(FOLDER) if lesson.number <= 20]
LIMITS = {"above", "below", "near", "exactly"}
DRAWS = re.compile(r"lesson\.figure\(|lesson\.save\(|^def draw_", re.MULTILINE)


def cells_of(text):
    """The cells of a lesson: (is it text, what it holds, the number of its first line)."""
    cells = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# %%"):
            cells.append(("[markdown]" in line, [], number + 1))
        elif cells:
            cells[-1][1].append(line)
    return [(is_text, "\n".join(lines), first) for is_text, lines, first in cells]


def lines_of_code(code):
    return [line for line in code.splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.fixture(params=LESSONS, ids=lambda lesson: lesson.path.stem)
def lesson(request):
    return request.param


@pytest.fixture
def text(lesson):
    return lesson.path.read_text(encoding="utf-8")


@pytest.fixture
def nodes(text):
    return list(ast.walk(ast.parse(text)))


def test_it_begins_with_its_number_its_part_its_time_and_a_question(lesson, text):
    assert text.startswith(f"# %% [markdown]\n# # {lesson.number}. ")
    assert lesson.part and lesson.minutes
    assert "# **The question.**" in text and "# **Afterwards you can**" in text
    code = [code for is_text, code, _ in cells_of(text) if not is_text]
    start = f'from lesson import Lesson\n\nlesson = Lesson("{lesson.path.stem}")\n'
    assert code[0].startswith(start), "Ctrl-C and a wrong --out are heard before the rest is imported"
    assert code[-1].rstrip().endswith("lesson.end()")


def test_it_ends_with_exercises_and_sources(lesson, text):
    exercises = syllabus.exercises_of(lesson.path)
    assert [exercise.number for exercise in exercises] == list(range(1, len(exercises) + 1))
    assert len(exercises) >= 3
    for heading in ("# # What it means", "# # Exercises", "# # Sources"):
        assert re.search(rf"^{re.escape(heading)}$", text, re.MULTILINE), heading


def test_it_asks_before_it_tells(text):
    assert "# > **Predict.**" in text


def test_no_line_is_above_100_columns(text):
    assert not [line for line in text.splitlines() if len(line) > 100]


def test_no_cell_but_one_that_draws_is_above_20_lines(text):
    for is_text, code, first in cells_of(text):
        if not is_text and not DRAWS.search(code):
            assert len(lines_of_code(code)) <= 20, f"the cell at line {first}"


def test_no_walrus_no_named_lambda_no_nested_comprehension(nodes):
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for node in nodes:
        assert not isinstance(node, ast.NamedExpr), f"a walrus in line {node.lineno}"
        if isinstance(node, ast.Assign):
            assert not isinstance(node.value, ast.Lambda), f"a lambda with a name in line {node.lineno}"
        if isinstance(node, comprehensions):
            inner = [each for each in ast.walk(node) if isinstance(each, comprehensions) and each is not node]
            assert not inner and len(node.generators) == 1, f"a nested comprehension in line {node.lineno}"


def test_every_claim_has_a_limit_and_its_sentence_is_the_same_in_every_run(nodes):
    claims = [
        node
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "claim"
    ]
    assert claims
    for claim in claims:
        assert LIMITS & {keyword.arg for keyword in claim.keywords}, f"no limit in line {claim.lineno}"
        formatted = [node for node in ast.walk(claim.args[0]) if isinstance(node, ast.FormattedValue)]
        assert not [node for node in formatted if node.format_spec], f"a measured number in line {claim.lineno}?"


def test_every_part_has_a_figure(text):
    parts = re.split(r"^# # Part \d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(parts) >= 2
    for part in parts:
        title = part.splitlines()[0]
        assert re.search(r"lesson\.figure\(|lesson\.save\(", part), f"no figure in the part {title!r}"


def test_it_names_only_lessons_that_exist(text):
    named = re.findall(r"\b[Ll]essons? (\d+(?:(?:, | and | to | or )\d+)*)", text)
    numbers = {int(number) for each in named for number in re.findall(r"\d+", each)}
    assert numbers <= EXISTING
