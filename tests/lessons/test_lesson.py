"""`lessons/lesson.py`: what is claimed is measured, kept, and cannot pass by accident."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "lessons"


@pytest.fixture
def lesson(monkeypatch, tmp_path):
    """A lesson that runs here, writing into a folder of its own."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["01_here.py", "--out", str(tmp_path), "--json", str(tmp_path / "claims.json")])
    from lesson import Lesson

    hook = sys.excepthook
    yield Lesson("01_here")
    sys.excepthook = hook
    sys.modules.pop("lesson", None)


@pytest.mark.parametrize(
    ("measured", "limit", "holds"),
    [
        (0.3, {"above": 0.1}, True),
        (0.1, {"above": 0.1}, False),
        (0.3, {"below": 0.1}, False),
        (0.3, {"above": 0.1, "below": 0.4}, True),
        (0.5, {"above": 0.1, "below": 0.4}, False),
        ([0.2, 0.5], {"above": 0.1, "below": 0.4}, False),
        (3.99, {"near": 4, "within": 0.1}, True),
        (4.2, {"near": 4, "within": 0.1}, False),
        ([1.0, 2.0], {"near": [1, 2], "within": 0}, True),
        ([1.0, 2.0], {"near": [2, 1], "within": 0}, False),
        (7.4, {"near": 7, "percent": 5}, False),
        (-7.3, {"near": -7, "percent": 5}, True),
        (8, {"exactly": 8}, True),
        (7, {"exactly": 8}, False),
        (np.nan, {"above": 0}, False),
        (np.nan, {"below": 0}, False),
        (np.nan, {"near": 0, "within": np.inf}, False),
        ([1, np.nan], {"above": 0}, False),
        (np.inf, {"above": 0}, True),
    ],
)
def test_a_claim_holds_where_every_number_keeps_the_limit(lesson, capsys, measured, limit, holds):
    assert lesson.claim("it is so", measured, **limit) is holds
    assert capsys.readouterr().out.startswith("CLAIM holds: it is so: " if holds else "CLAIM FAILS: it is so: ")
    assert lesson.results[-1].sentence == "it is so" and lesson.results[-1].holds is holds


@pytest.mark.parametrize(
    ("measured", "limit", "complaint"),
    [
        (1, {}, "no limit"),
        ([], {"above": 0}, "nothing measured"),
        (1, {"near": 1}, "within"),
        (1, {"within": 1}, "near"),
    ],
)
def test_a_claim_that_could_not_fail_is_refused(lesson, measured, limit, complaint):
    with pytest.raises(ValueError, match=complaint):
        lesson.claim("it is so", measured, **limit)
    assert not lesson.results


def test_a_sentence_is_said_once(lesson):
    lesson.claim("it is so", 1, above=0)
    with pytest.raises(ValueError, match="was made before"):
        lesson.claim("it is so", -1, above=0)


@pytest.mark.parametrize(
    ("ours", "theirs", "limit", "holds"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.0]), 0, True),
        (np.array([1.0, 2.0]), np.array([1.0, 2.1]), 0.2, True),
        (np.array([1.0, 2.0]), np.array([1.0, 2.1]), 0.05, False),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), 1, False),
        ([np.ones(2), 3.0], [np.ones(2), 4.0], 0.5, False),
        ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, 0, True),
    ],
)
def test_same_compares_the_largest_difference(lesson, ours, theirs, limit, holds):
    assert lesson.same("ours and theirs", ours, theirs, limit) is holds


def test_same_refuses_what_does_not_belong_together(lesson):
    with pytest.raises(ValueError, match="shapes"):
        lesson.same("ours and theirs", np.ones(2), np.ones((2, 1)))  # they would broadcast
    with pytest.raises(ValueError, match="beside"):
        lesson.same("ours and theirs", [1.0], [1.0, 2.0])


def test_what_was_claimed_is_written_as_data(lesson, tmp_path):
    lesson.claim("numbers", [1.0, 2.0], near=[1, 2], within=0.5, unit="rad")
    lesson.claim("without end", np.inf, above=np.float32(3))
    with lesson.figure("two", panels=2) as (left, right):
        left.plot([0, 1], label="a line")
        right.plot([1, 0])
    assert left.get_legend() is not None and right.get_legend() is None
    lesson.end()
    kept = json.loads((tmp_path / "claims.json").read_text())
    assert kept["lesson"] == "01_here" and kept["figures"] == ["01_here_two.png"]
    first, second = kept["claims"]
    assert (first["measured"], first["near"], first["within"], first["unit"]) == ([1, 2], [1, 2], 0.5, "rad")
    assert (second["measured"], second["above"], second["holds"]) == ("inf", 3, True)


def test_a_lesson_with_a_claim_that_fails_ends_with_code_1_and_its_numbers(lesson, tmp_path):
    lesson.claim("it is so", 1, above=2)
    with pytest.raises(SystemExit, match="1 claim"):
        lesson.end()
    assert json.loads((tmp_path / "claims.json").read_text())["claims"][0]["holds"] is False


def test_a_table_takes_rows_with_gaps_and_words(lesson, capsys):
    lesson.table("two rows", {"a": {"x": 1, "how": "well"}, "longer": {"x": 0.123456, "y": 2e-7}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:5] == [
        "two rows",
        "              x   how        y",
        "  a           1  well         ",
        "  longer  0.123        2.0e-07",
    ]


def test_a_file_for_claims_that_cannot_be_written_is_found_at_the_start(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r})\nfrom lesson import Lesson\n"
    code += "Lesson('01_here')\nprint('too late')\n"
    ran = subprocess.run(
        [sys.executable, "-c", code, "--json", "nowhere/claims.json"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert ran.returncode == 2 and ran.stdout == "" and "argument --json: cannot write" in ran.stderr


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("module", ["numpy", "minigen.ops", "matplotlib.pyplot", "minigen.samplers"])
def test_an_interrupt_while_modules_are_imported_is_one_line(module, tmp_path):
    script = tmp_path / "01_here.py"
    script.write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class CtrlC:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, CtrlC())\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "from lesson import Lesson\n"
        "lesson = Lesson('01_here')\n"
        "import matplotlib.pyplot\n"
        "from minigen import models, samplers\n"
        "print('too late')\n"
    )
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "minigen: interrupted\n")
