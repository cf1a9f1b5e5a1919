"""How close do the claims of the lessons come to their limits, over seeds and processors?

    python tests/benchmarks/lesson_claims.py [--lessons 1 2 ...] [--seeds 0 1 2 3 4] [--quick] [--keep FOLDER]

Runs each lesson for every seed, once with the processor's own kernels and once as on a processor without AVX-512. For
each claim it prints the median of the measured number, its limit, and the worst run: how much of the way from the
median to the limit it has gone. Above a third a claim sits on luck. `--keep` keeps what was measured, and what is
already there is not run again. An hour and a half for all of them on two cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

LESSONS = Path(__file__).resolve().parents[2] / "lessons"
PROCESSORS = {
    "native": {},
    "haswell": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
}
A_THIRD = 1 / 3


def main() -> None:
    options = read_options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [
            path for path in sorted(LESSONS.glob("[0-9]*.py")) if not options.lessons or number(path) in options.lessons
        ]
        runs = [(path, seed, processor) for path in paths for seed in options.seeds for processor in PROCESSORS]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda run: measure(*run, folder, options.quick), runs))
        for path in paths:
            report(path.stem, folder, options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="how close the claims of the lessons come to their limits")
    parser.add_argument("--lessons", type=int, nargs="+", default=[], help="their numbers (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--quick", action="store_true", help="in quick mode")
    parser.add_argument("--jobs", type=int, default=2, help="lessons at a time (default 2)")
    parser.add_argument("--keep", type=Path, help="folder for what was measured")
    parser.add_argument("--all", action="store_true", help="print every claim, not the closest of each lesson")
    return parser.parse_args()


def number(path: Path) -> int:
    return int(path.stem[:2])


def measure(path: Path, seed: int, processor: str, folder: Path, quick: bool) -> None:
    """One run of a lesson; its claims go to a file in the folder."""
    result = folder / f"{path.stem}-{seed}-{processor}.json"
    if result.exists():
        return
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"} | PROCESSORS[processor]
    command = [sys.executable, path, "--seed", str(seed), "--out", folder / "figures", "--json", result]
    ran = subprocess.run(
        command + ["--quick"] * quick, env=environment, capture_output=True, encoding="utf-8", errors="replace"
    )
    if not result.exists():
        print(f"{path.stem}, seed {seed}, {processor}: ended without claims\n{ran.stderr[-2000:]}", flush=True)


def report(name: str, folder: Path, options: argparse.Namespace) -> None:
    """Print the closest call of a lesson, every claim that sits on luck, and every claim that failed."""
    measured = defaultdict(list)
    seconds = []
    for path in sorted(folder.glob(f"{name}-*.json")):
        kept = json.loads(path.read_text())
        seconds.append(kept["seconds"])
        for claim in kept["claims"]:
            measured[claim["sentence"]].append(claim)
    if not seconds:
        return
    runs = len(seconds)
    print(f"\n{name}: {runs} runs, {len(measured)} claims, {np.median(seconds):.0f} s (at most {max(seconds):.0f} s)")
    rows = []
    for sentence, claims in measured.items():
        if len(claims) != runs:
            print(f"  in {len(claims)} of {runs} runs only: {sentence}")
        failures = sum(not claim["holds"] for claim in claims)
        if failures:
            print(f"  FAILS in {failures} of {len(claims)} runs: {sentence}")
        rows += [(*row, sentence) for row in towards_limits(claims)]
    rows.sort(key=lambda row: -row[0])
    for i, (gone, median, limit, lowest, highest, sentence) in enumerate(rows):
        if options.all or i == 0 or gone > A_THIRD:
            spread = f"{lowest:.4g} to {highest:.4g}"
            print(f"  {gone:5.2f} of the way: {sentence}: {median:.4g}, {limit}, {spread}")


def towards_limits(claims: list[dict]) -> list[tuple]:
    """For each limit of a claim: (share of the way gone by the worst run, median, limit, lowest, highest)."""
    values = [np.ravel(np.asarray(claim["measured"], dtype=float)) for claim in claims]
    limits = []
    if claims[0]["above"] is not None:
        low = [np.min(value) for value in values]
        limits.append((low, -1, [np.max(claim["above"]) for claim in claims], "above"))
    if claims[0]["below"] is not None:
        high = [np.max(value) for value in values]
        limits.append((high, 1, [np.min(claim["below"]) for claim in claims], "below"))
    if claims[0]["near"] is not None:
        # Each run has a goal of its own: what counts is how far from it a run has come.
        off = [value - np.ravel(claim["near"]) for value, claim in zip(values, claims)]
        within = [np.min(claim["within"]) for claim in claims]
        if all(len(each) == 1 for each in off):
            single = [each[0] for each in off]
            limits.append((single, 1, within, "off, below"))
            limits.append((single, -1, [-each for each in within], "off, above"))
        else:
            limits.append(([np.max(np.abs(each)) for each in off], 1, within, "off, below"))
    return [gone_towards(*limit) for limit in limits]


def gone_towards(values: list, sign: int, limits: list, word: str) -> tuple:
    """How far the worst run has gone from the median run to the limit."""
    values = np.asarray(values)
    limit = np.median(limits)
    median = np.median(values)
    way = sign * (limit - median)
    worst = np.max(sign * (values - median))
    gone = 0.0 if worst <= 0 else (worst / way if way > 0 else np.inf)
    return gone, median, f"{word} {limit:.4g}", values.min(), values.max()


if __name__ == "__main__":
    main()
