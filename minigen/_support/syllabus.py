"""Which lessons are there, in which part, how long does each take, and what comes after it?

All of it stands in the first cell of a lesson and in its section of exercises:

    # # 14. Games: two players who want opposite things
    #
    # *Part 4: adversaries. 45 minutes.*
    #
    # **The question.** ...

    # # Exercises
    #
    # **1. Rock twice as often** (5 minutes). ...
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ABOUT = re.compile(r"# \*Part (\d+): (.+?)\. (\d+) minutes\b")
EXERCISE = re.compile(r"# \*\*(\d+)\. (.+?)\*\* \((\d+) minutes\)")


class LessonFile(NamedTuple):
    """A lesson as `minigen lessons` shows it; `part` is 0 and `minutes` None where the file does not say."""

    number: int
    title: str
    part: int
    part_title: str
    minutes: int | None
    summary: str
    path: Path


class Exercise(NamedTuple):
    """An exercise at the end of a lesson."""

    number: int
    title: str
    minutes: int


def lessons_in(folder: Path) -> list[LessonFile]:
    """The lessons in a folder, in order."""
    return [_describe(path) for path in _paths(folder)]


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def _describe(path: Path) -> LessonFile:
    """What the first cell of a lesson says; the rest of the file is not read."""
    number, _, name = path.stem.partition("_")
    title = name.replace("_", " ")
    part, part_title, minutes = 0, "", None
    words: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in map(str.rstrip, lines):
            about = ABOUT.match(line)
            if line.startswith("# # "):
                title = re.sub(r"^\d+\.\s*", "", line[4:])
            elif about:
                part, part_title, minutes = int(about[1]), about[2], int(about[3])
            elif re.match(r"# [^%*]|# \*\*", line):
                words.append(re.sub(r"[*$`]", "", line[2:]))
            elif words:
                break
    summary = re.sub(r"^(The question\.|At the end you can) ", "", " ".join(words))
    summary = summary[:1].upper() + summary[1:]
    return LessonFile(int(number), title, part, part_title, minutes, summary, path)


def exercises_of(path: Path) -> list[Exercise]:
    """The exercises at the end of a lesson."""
    found = map(EXERCISE.match, path.read_text(encoding="utf-8").splitlines())
    return [Exercise(int(match[1]), match[2].rstrip("."), int(match[3])) for match in found if match]


def what_to_try_next(folder: Path, name: str) -> list[str]:
    """Lines that name a lesson's exercises and the lesson that follows; none for a lesson that is not there."""
    paths = _paths(folder)
    here = folder / f"{name}.py"
    if here not in paths:
        return []
    lines = []
    exercises = exercises_of(here)
    if exercises:
        lines.append("Try next, at the end of the lesson:")
    for exercise in exercises:
        lines.append(f"  exercise {exercise.number}: {exercise.title} ({exercise.minutes} minutes)")
    after = paths[paths.index(here) + 1 :]
    if after:
        following = _describe(after[0])
        lines.append(f"Then: minigen lesson {following.number}, {following.title}")
    return lines
