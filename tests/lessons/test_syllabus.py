"""What the first cell and the exercises of a lesson say is found, and what they do not say is not made up."""

import pytest

from minigen._support import syllabus

FULL = """\
# %% [markdown]
# # 7. Rods: longer and **longer**
#
# *Part 3: likelihood. 45 minutes. A detour for engineers: skip it without loss.*
#
# **The question.** How long is $L$,
# and why?
#
# **Afterwards you can**
#
# * measure
# # Exercises
#
# **1. Twice as long** (5 minutes). Set `length=2`.
#
# **2. Who is right?** (15 minutes) Judge.
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "07_rods.py").write_text(FULL)
    (tmp_path / "09_bare_one.py").write_text("x = 1\n")
    (tmp_path / "lesson.py").write_text("")
    return tmp_path


def test_the_first_cell_is_read(folder):
    full, bare = syllabus.lessons_in(folder)
    assert (full.number, full.title) == (7, "Rods: longer and **longer**")
    assert (full.part, full.part_title, full.minutes) == (3, "likelihood", 45)
    assert full.summary == "How long is L, and why?"
    assert (bare.number, bare.title, bare.part, bare.minutes, bare.summary) == (9, "bare one", 0, None, "")


def test_exercises_are_found_with_their_minutes(folder):
    exercises = syllabus.exercises_of(folder / "07_rods.py")
    assert exercises == [(1, "Twice as long", 5), (2, "Who is right?", 15)]
    assert syllabus.exercises_of(folder / "09_bare_one.py") == []


def test_what_comes_next_is_an_exercise_and_the_lesson_that_follows(folder):
    lines = syllabus.what_to_try_next(folder, "07_rods")
    assert lines[1:3] == ["  exercise 1: Twice as long (5 minutes)", "  exercise 2: Who is right? (15 minutes)"]
    assert lines[3] == "Then: minigen lesson 9, bare one"
    assert syllabus.what_to_try_next(folder, "09_bare_one") == []
    assert syllabus.what_to_try_next(folder, "08_not_there") == []
