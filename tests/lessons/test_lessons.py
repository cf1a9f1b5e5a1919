"""Every lesson runs from top to bottom as a plain script, and its claims hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

LESSONS = sorted((Path(__file__).parents[2] / "lessons").glob("[0-9]*.py"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_claims_hold_in_quick_mode(path, tmp_path):
    # One BLAS thread: on a busy machine several of them would wait for one another, and seconds become minutes.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    ran = subprocess.run(
        [sys.executable, path, "--quick", "--out", tmp_path / "figures", "--json", tmp_path / "claims.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    kept = json.loads((tmp_path / "claims.json").read_text())
    assert kept["claims"] and all(claim["holds"] for claim in kept["claims"])
    assert ran.stdout.count("CLAIM ") == ran.stdout.count("CLAIM holds: ") == len(kept["claims"])
    figures = list((tmp_path / "figures").glob("*.png"))
    assert figures and sorted(figure.name for figure in figures) == sorted(kept["figures"])
    for figure in figures:
        assert figure.stem.startswith(path.stem)
        height, width, _ = (picture := matplotlib.image.imread(figure)).shape
        assert 300 <= height <= 3000 and 400 <= width <= 3000
        assert picture[..., :3].std() > 0.02, f"{figure.name} is nearly blank"
    assert {entry.name for entry in tmp_path.iterdir()} == {"figures", "claims.json"}, (
        "a lesson writes only where it is told to"
    )


def test_there_are_lessons():
    assert LESSONS
