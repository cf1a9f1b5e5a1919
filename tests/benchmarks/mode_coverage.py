"""Does the GAN find every mode of the ring of 8 and the grid of 25, and how many of its samples lie on them?

    python tests/benchmarks/mode_coverage.py [--seeds 5] [--target ring grid] [--config plain best] [--jobs 2] [--quick]

Each training sees 100 000 exact draws of the target, then 2500 samples are judged by `metrics.mode_coverage`: modes
captured, share of high quality (within 3 SD of a centre) and reverse KL in nats; "width" is the SD of the high-quality
samples about their mode's mean, over the target's. Mean and SD over seeds 0, 1, ..., beside the published figures and
exact draws. Goals for "best": 8 of 8 with 97 % and 25 of 25 with 94 %, each training at most 300 s. They are held to
the seconds of processor: each training has one thread, so on an idle core the clock shows the same.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from minigen import metrics, models, targets

DATA, SAMPLES = 100_000, 2500
WIDTHS = (128, 128, 128)
CONFIGS = {
    # What models.GAN does by default: cross-entropy, one step of each player, nothing against collapse.
    "plain": {"steps": 40_000},
    # A critic without a bound, five steps ahead, with slopes held near 0 at the data. A generator of tanh has its modes
    # in place, with narrow bridges between them, in a third of the steps that one of ReLU takes. The average over its
    # last weights takes out how the modes swing about their places.
    "best": {
        "loss": "wasserstein",
        "r1": 0.02,
        "activation": "tanh",
        "critic_steps": 5,
        "steps": 16_000,
        "lr": 2e-3,
        "average": 0.999,
    },
}
# Modes and share of high quality in %, from the table of Lin et al. (2018), "PacGAN".
PUBLISHED = {
    "ring": {"GAN, published": (6.3, 98.2), "PacGAN, published": (7.9, 95.6)},
    "grid": {"GAN, published": (17.3, 94.8), "PacGAN, published": (24.8, 93.6)},
}
GOALS = {"ring": (8, 97), "grid": (25, 94)}
LONGEST = 300  # seconds


def judged(samples, target):
    """Modes, high quality in %, reverse KL, width."""
    found = metrics.mode_coverage(samples, target.modes, target.sd)
    distance = np.linalg.norm(samples[:, None] - target.modes, axis=2)
    nearest = np.where(distance.min(axis=1) <= 3 * target.sd, distance.argmin(axis=1), -1)
    inside = [samples[nearest == k] for k in range(len(target.modes))]
    squares = [np.sum((x - x.mean(axis=0)) ** 2) for x in inside if len(x) > 1]
    freedom = sum(x.size - x.shape[1] for x in inside if len(x) > 1)
    width = np.sqrt(sum(squares) / freedom) / target.sd if freedom else np.nan
    return found.captured, 100 * found.high_quality, found.reverse_kl, width


def training(name, config, seed, quick):
    """What `judged` says of one trained GAN, and the seconds its training took: on the clock, and of processor time."""
    target, rng = getattr(targets, name)(), np.random.default_rng(seed)
    settings = CONFIGS[config] | ({"steps": 200} if quick else {})
    gan = models.GAN(2, WIDTHS, critic_hidden=WIDTHS, record_every=100, **settings)
    start = time.process_time()
    gan.fit(target.sample(DATA, rng), rng=rng, progress=False)
    busy = time.process_time() - start
    return *judged(gan.sample(SAMPLES, rng), target), gan.history_.seconds, busy


def line(name, rows):
    """Mean +- SD of modes, high quality, reverse KL, width, and where they were measured the two kinds of seconds."""
    formats = ("5.2f", "5.2f", "6.2f", "5.2f", "7.4f", "6.4f", "5.2f", "4.2f", "4.0f", "3.0f", "4.0f", "3.0f")
    mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1 if len(rows) > 1 else 0)
    cells = [f"{m:{formats[2 * i]}} ± {s:{formats[2 * i + 1]}}" for i, (m, s) in enumerate(zip(mean, sd, strict=True))]
    return f"  {name:17}  " + "  ".join(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--target", nargs="+", choices=tuple(GOALS), default=tuple(GOALS))
    parser.add_argument("--config", nargs="+", choices=tuple(CONFIGS), default=tuple(CONFIGS))
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, each on one thread")
    parser.add_argument("--quick", action="store_true", help="200 steps each, only to see that it runs")
    arguments = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # the processes below read it when they load NumPy
        os.environ[variable] = "1"
    tables = {}
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        pending = [
            (name, config, seed, pool.submit(training, name, config, seed, arguments.quick))
            for name in arguments.target
            for config in arguments.config
            for seed in range(arguments.seeds)
        ]
        for name, config, seed, future in pending:
            row = future.result()
            tables.setdefault((name, config), []).append(row)
            modes, share, kl, width, clock, busy = row
            print(
                f"{name}, {config}, seed {seed}: {modes} modes, {share:.2f} % of high quality, reverse KL {kl:.4f}, "
                f"width {width:.2f}, {clock:.0f} s ({busy:.0f} s of processor)",
                flush=True,
            )
    for name in arguments.target:
        target, goal = getattr(targets, name)(), GOALS[name]
        print(f"\n{name}, {len(target.modes)} modes: mean ± SD over {arguments.seeds} seeds")
        print(f"{'':21}modes          high quality %  reverse KL         width        seconds    processor s")
        for source, (modes, share) in PUBLISHED[name].items():
            print(f"  {source:17}  {modes:5.1f}          {share:6.1f}")
        for config in arguments.config:
            print(line(f"minigen, {config}", tables[name, config]))
        exact = [judged(target.sample(SAMPLES, np.random.default_rng(s)), target) for s in range(arguments.seeds)]
        print(line("exact draws", exact))
        if "best" in arguments.config and not arguments.quick:
            modes, share = np.mean(tables[name, "best"], axis=0)[:2]
            longest = max(row[5] for row in tables[name, "best"])
            verdict = "reached" if modes >= goal[0] and share >= goal[1] and longest <= LONGEST else "MISSED"
            print(
                f"  goal: {goal[0]} modes with {goal[1]} %, {LONGEST} s of processor at most "
                f"(the longest took {longest:.0f} s): {verdict}"
            )


if __name__ == "__main__":
    main()
