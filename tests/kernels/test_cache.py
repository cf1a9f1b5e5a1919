"""Without a place for numba's cache everything still runs, with one warning: installed read-only, or a full disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigen
from minigen.kernels import jit

PACKAGE = Path(minigen.__file__).parent
PROGRAM = """
import errno, os, sys, warnings
if {full}:
    from numba.core.caching import IndexDataCacheFile
    def save(self, *args):
        raise OSError(errno.ENOSPC, "No space left on device")
    IndexDataCacheFile.save = save
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import numpy as np
    import minigen
    from minigen import ops
    assert ops.sigmoid(np.zeros((2, 3), np.float32)).sum() == 3
    from minigen.kernels.pendulum import simulate
assert os.path.dirname(minigen.__file__) == {package!r}, minigen.__file__
print(*(f"{{each.category.__name__}}: {{each.message}}" for each in seen), sep="\\n")
"""

pytestmark = pytest.mark.skipif(not jit.USE_NUMBA, reason="every kernel is its twin")


def run(package: Path, full: bool = False, **environment) -> list[str]:
    """The warnings of a small program with this copy of the package."""
    clean = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "MINIGEN_KERNELS")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM.format(full=full, package=str(package))],
        env={**clean, "PYTHONPATH": str(package.parent), **environment},
        cwd=package.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line]


@pytest.fixture(scope="module")
def without_a_place(tmp_path_factory):
    """A copy of the package beside which nothing can be written, for root either: a file is where the folder goes."""
    package = tmp_path_factory.mktemp("installed") / "minigen"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels" / "__pycache__").touch()
    return package


@pytest.mark.parametrize("cache", [None, "/dev/null/cache"])
def test_a_read_only_package_without_a_home_computes_and_warns_once(without_a_place, cache):
    environment = {"HOME": "/dev/null", **({"NUMBA_CACHE_DIR": cache} if cache else {})}
    (warning,) = run(without_a_place, **environment)
    assert warning.startswith("RuntimeWarning: numba finds no place") and "NUMBA_CACHE_DIR" in warning


def test_a_full_disk_costs_one_warning(tmp_path):
    (warning,) = run(PACKAGE, full=True, NUMBA_CACHE_DIR=str(tmp_path))
    assert "No space left on device" in warning and "NUMBA_CACHE_DIR" in warning


def test_with_a_place_nothing_is_said(without_a_place, tmp_path):
    assert run(without_a_place, NUMBA_CACHE_DIR=str(tmp_path)) == []
    assert list(tmp_path.rglob("*.nbc"))
