"""Does the energy GAN find every mode of the ring of 8 and the grid of 25, and what is its entropy term for?

    python tests/benchmarks/energy_gan.py [--part coverage study] [--entropy jsd infogan none] [--target ring grid]
                                          [--seeds 5] [--study-seeds 2] [--jobs 2] [--quick]

coverage: long trainings of `models.EnergyGAN` with the entropy seen by "jsd", by "infogan" and not at all, else alike,
judged as in `mode_coverage.py`. Goals, for "jsd": 8 of 8 modes with 96 % of high quality and 25 of 25 with 93 %, each
training at most 300 s of processor, on one thread.

study: short trainings with and without the entropy term, over penalties r1, critic steps, and generators that start
as usual or collapsed on one mode. What is said of the term at the end is worked out from the table. "entropy" there is
the exact one of the generator at its last step, in nats; a collapse onto points sends it to minus infinity.

All of it takes some 45 minutes of processor, the study alone 11.
"""

import argparse
import itertools
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from mode_coverage import DATA, LONGEST, SAMPLES, judged, line

from minigen import models, targets

GOALS = {"ring": (8, 96), "grid": (25, 93)}
# The noise has the SD of a mode (0.014 of the overall SD in the ring, 0.018 in the grid), so that how wide modes are
# can be seen through it. With five critic steps a weight of 0.1 already costs quality, as the study shows.
LONG = {"steps": 10_000, "average": 0.998}
KINDS = {
    "jsd": {"entropy": "jsd", "entropy_weight": 0.03, "noise_sd": 0.02},
    "infogan": {"entropy": "infogan", "entropy_weight": 0.03, "noise_sd": 0.02},
    "none": {"entropy": None},
}
SHORT = {"steps": 2000, "average": 0.99, "entropy": "jsd", "noise_sd": 0.02}
WEIGHTS = (0, 0.03, 0.1)  # of the entropy
CASES = [  # of the study: target, start, critic steps, r1
    *itertools.product(("grid",), ("usual",), (1, 5), (0.005, 0.02, 0.1, 0.5)),
    *itertools.product(("grid",), ("collapsed",), (1, 5), (0.02, 0.5)),
    *itertools.product(("ring",), ("usual",), (1,), (0.02, 0.5)),
]
SHRINK = 100  # by so much a collapsed generator's spread is reduced
ENTROPY_DRAWS = 2000
# A difference is said to count when it is beyond all that seeds differ by, and at least so large.
LEAST_MODES, LEAST_SHARE = 2, 5


class Collapse:
    """A callback that, after the first step, draws all that the generator makes together on the target's first mode."""

    def __init__(self, target):
        self.centre = target.modes[:1]

    def __call__(self, info):
        if info.step == 1:
            generator = info.model.generator_
            last = generator.layers[-1]
            last.weight.data[...] /= SHRINK
            last.bias.data[...] = info.model.scale_.to_unit(self.centre)[0]
            generator.flat().changed()


def training(name, settings, seed, collapsed=False):
    """What `judged` says of one EnergyGAN, the seconds of its training (clock, processor), and its exact entropy."""
    target, rng = getattr(targets, name)(), np.random.default_rng(seed)
    gan = models.EnergyGAN(**settings)
    start = time.process_time()
    gan.fit(target.sample(DATA, rng), rng=rng, progress=False, callbacks=[Collapse(target)] if collapsed else [])
    busy = time.process_time() - start
    entropy = gan.measure_entropy(ENTROPY_DRAWS, rng).exact
    return *judged(gan.sample(SAMPLES, rng), target), gan.history_.seconds, busy, entropy


def coverage(pool, names, kinds, seeds, quick):
    """The long trainings: a line for each, a table for each target, and whether the goals were reached."""
    settings = LONG | ({"steps": 200} if quick else {})
    pending = [
        (name, kind, seed, pool.submit(training, name, settings | KINDS[kind], seed))
        for name in names
        for kind in kinds
        for seed in range(seeds)
    ]
    tables = {}
    for name, kind, seed, future in pending:
        row = future.result()
        tables.setdefault((name, kind), []).append(row)
        modes, share, kl, width, clock, busy, entropy = row
        print(
            f"{name}, {kind}, seed {seed}: {modes} modes, {share:.2f} % of high quality, reverse KL {kl:.4f}, "
            f"width {width:.2f}, {clock:.0f} s ({busy:.0f} s of processor), entropy {entropy:.2f}",
            flush=True,
        )
    for name in names:
        target, goal = getattr(targets, name)(), GOALS[name]
        print(f"\n{name}, {len(target.modes)} modes: mean ± SD over {seeds} seeds")
        print(f"{'':21}modes          high quality %  reverse KL         width        seconds    processor s")
        for kind in kinds:
            print(line(f"entropy: {kind}", [row[:6] for row in tables[name, kind]]))
        print(
            line(
                "exact draws", [judged(target.sample(SAMPLES, np.random.default_rng(s)), target) for s in range(seeds)]
            )
        )
        if "jsd" in kinds and not quick:
            modes, share = np.mean(tables[name, "jsd"], axis=0)[:2]
            longest = max(row[5] for row in tables[name, "jsd"])
            verdict = "reached" if modes >= goal[0] and share >= goal[1] and longest <= LONGEST else "MISSED"
            print(
                f"  goal for jsd: {goal[0]} modes with {goal[1]} %, {LONGEST} s of processor at most "
                f"(the longest took {longest:.0f} s): {verdict}"
            )


def changes(without, having):
    """How the entropy term changed modes and share of high quality: 0 where not beyond what the seeds differ by."""
    difference = []
    for before, after, least in zip(without.T, having.T, (LEAST_MODES, LEAST_SHARE), strict=False):
        apart = after.min() > before.max() or after.max() < before.min()
        change = after.mean() - before.mean()
        difference.append(change if apart and abs(change) >= least else 0)
    return tuple(difference)


def study(pool, seeds, quick):
    """The short trainings: a table, and what it says of the entropy term."""
    pending, short = {}, SHORT | ({"steps": 100} if quick else {})
    for name, start, critic_steps, r1 in CASES:
        settings = short | {"critic_steps": critic_steps, "r1": r1}
        for weight in WEIGHTS:
            entropy = {"entropy_weight": weight} if weight else {"entropy": None}
            pending[(name, start, critic_steps, r1), weight] = [
                pool.submit(training, name, settings | entropy, seed, start == "collapsed") for seed in range(seeds)
            ]
    print(
        f"\nthe study: {short['steps']} steps; means over {seeds} seeds, and the modes of the worst and the best seed"
    )
    print("target  start      critic steps     r1  weight  modes            high quality %  reverse KL  width  entropy")
    tables, seconds = {}, 0
    for (case, weight), futures in pending.items():
        rows = tables[case, weight] = np.array([future.result() for future in futures])
        modes, share, kl, width, _, _, entropy = rows.mean(axis=0)
        seconds += rows[:, 5].sum()
        name, start, critic_steps, r1 = case
        print(
            f"{name:6}  {start:9}  {critic_steps:12}  {r1:5}  {weight or 'none':>6}  {modes:4.1f} "
            f"({rows[:, 0].min():2.0f} to {rows[:, 0].max():2.0f})  {share:16.1f}  {kl:10.4f}  {width:5.2f}  "
            f"{entropy:7.2f}",
            flush=True,
        )
    print(f"{seconds:.0f} s of processor")
    print(
        f"\nA change counts where all seeds with the term lie beyond all without it, and the mean changes by at least "
        f"{LEAST_MODES} modes\nor {LEAST_SHARE} points of high quality."
    )
    changed = {(case, w): changes(tables[case, 0], tables[case, w]) for case in CASES for w in WEIGHTS if w}
    verdicts = {
        "it brings modes": [key for key, (modes, _) in changed.items() if modes > 0],
        "it only raises quality": [key for key, (modes, share) in changed.items() if modes == 0 and share > 0],
        "no change counts": [key for key, change in changed.items() if change == (0, 0)],
        "it costs modes or quality": [key for key, change in changed.items() if min(change) < 0],
    }
    for verdict, keys in verdicts.items():
        print(f"{verdict}: {len(keys)} of {len(changed)} settings")
        for key in sorted(keys, key=lambda key: -abs(changed[key][0])):
            print(f"  {described(*key, tables)}")
    for name, critic_steps in dict.fromkeys((case[0], case[2]) for case in CASES):
        cases = [case for case in CASES if (case[0], case[2]) == (name, critic_steps)]
        means = (np.mean([tables[case, w][:, :2] for case in cases], axis=(0, 1)) for w in WEIGHTS)
        cells = [
            f"{modes:.1f} ({share:.1f} %) at {w or 'none'}" for w, (modes, share) in zip(WEIGHTS, means, strict=True)
        ]
        print(f"{name}, critic steps {critic_steps}, mean modes (high quality) by weight: {', '.join(cells)}")


def described(case, weight, tables):
    """A setting of the study and what it came to without and with the entropy term."""
    name, start, critic_steps, r1 = case
    (modes, share), (modes_after, share_after) = (tables[case, w][:, :2].mean(axis=0) for w in (0, weight))
    return (
        f"{name}, {start} start, critic steps {critic_steps}, r1 {r1}, weight {weight}: "
        f"modes {modes:.1f} -> {modes_after:.1f}, high quality {share:.1f} -> {share_after:.1f} %"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=("coverage", "study"), default=("coverage", "study"))
    parser.add_argument("--entropy", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--target", nargs="+", choices=tuple(GOALS), default=tuple(GOALS), help="of the coverage")
    parser.add_argument("--seeds", type=int, default=5, help="of the coverage")
    parser.add_argument("--study-seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, each on one thread")
    parser.add_argument("--quick", action="store_true", help="few steps and one seed each, only to see that it runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds = arguments.study_seeds = 1
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # the processes below read it when they load NumPy
        os.environ[variable] = "1"
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        if "coverage" in arguments.part:
            coverage(pool, arguments.target, arguments.entropy, arguments.seeds, arguments.quick)
        if "study" in arguments.part:
            study(pool, arguments.study_seeds, arguments.quick)


if __name__ == "__main__":
    main()
