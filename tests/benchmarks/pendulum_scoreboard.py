"""How do minigen's generators of pendulum trajectories compare, with and without noise in what they learn from?

    python tests/benchmarks/pendulum_scoreboard.py [--seeds 5] [--quick] [--rows GAN "energy GAN"]

Trains the tour's rows on 4000 trajectories in the 100-step view, the GANs for longer than the tour has time for, and
prints the same yardsticks: means over the seeds, with the SD from seed to seed. For noisy data it also prints how far
each generator's noisy samples lie from the nearest pendulum, at several times: a GAN draws the noise with the motion.
The seconds of "energy GAN + MALA" are those of its chains.
"""

import argparse
import functools
import os
import sys
import time

import numpy as np

GAN_STEPS = 20_000
ROWS = ("data, true motion", "data, as observed", "shuffled control", "regressor", "clipped WGAN", "GAN")
ROWS += ("energy GAN", "energy GAN + MALA", "VAE", "VAE beta 10")
GOAL = 0.02  # rad; for the GAN's median residual without noise


def measure(noise, seed, quick, names=ROWS):
    """By row: its numbers; and for noisy data (residual, SD in each second) of samples with their noise."""
    from minigen import metrics, tour

    data = tour.make_data(np.random.default_rng(seed), quick, noise)
    by_name = {row.name: row for row in tour.ROWS}
    by_name["GAN"] = by_name["GAN"]._replace(generate=functools.partial(tour.gan, steps=GAN_STEPS))
    learn = functools.partial(tour.learn_energy_gan, steps=GAN_STEPS)
    by_name |= {name: by_name[name]._replace(learn=learn) for name in ("energy GAN", "energy GAN + MALA")}
    numbers, noises, learned = {}, {}, {}
    for name in names:
        if name == "data, as observed" and not noise:
            continue  # the same as the row before
        row, rng = by_name[name], np.random.default_rng(seed)
        start = time.process_time()
        samples = tour.generate(row, data, seed, quick, False, learned)
        seconds = time.process_time() - start
        result = tour.judge(row, samples, data, seconds)
        low, median, high = np.percentile(result.fit.residual, (10, 50, 90))
        numbers[name] = [median, low, high, *result.match.values(), result.ratio, seconds]
        print(f"seed {seed}, {name}: {median:.4f} rad, {seconds:.1f} s", file=sys.stderr, flush=True)
        if noise and (row.noisy or name.startswith("VAE")):
            theta = samples.theta
            if not row.noisy:
                theta = theta + samples.noise_sd * rng.standard_normal(theta.shape)
            median = np.median(metrics.physics_residual(theta, data.train.t).residual)
            noises[name] = [median, *tour.scatter(theta, data.train.t).reshape(5, -1).mean(axis=1)]
    return numbers, noises


def together(measured):
    """By row: means over the seeds and SDs from seed to seed."""
    stacked = {name: np.array([each[name] for each in measured]) for name in measured[0]}
    return {name: (values.mean(axis=0), values.std(axis=0)) for name, values in stacked.items()}


def print_scores(measured):
    heads = {"": 18, "median residual": 17, "10 to 90 %": 18, "KS theta0": 14, "KS omega0": 14, "KS g/L": 14}
    heads |= {"neighbours": 14, "CPU s": 8}
    print("\n  " + "".join(f"{head:>{width}}" for head, width in heads.items()))
    small = lambda x: f"{x:.4f}" if x >= 5e-5 else f"{x:.0e}"
    for name, (mean, sd) in together(measured).items():
        median, low, high, *ks, ratio, seconds = mean
        cells = [f"{small(median)} ±{small(sd[0])}".rjust(17), f"{small(low)} - {small(high)}".rjust(18)]
        cells += [f"{value:.3f} ±{off:.3f}".rjust(14) for value, off in zip(ks, sd[3:6])]
        print(f"  {name:18}" + "".join(cells) + f"{ratio:.2f} ±{sd[6]:.2f}".rjust(14) + f"{seconds:8.1f}", flush=True)


def print_noise(measured, t):
    print("\n  with their noise: median residual, and SD about the nearest pendulum in each second (rad)")
    print(f"  {'':18}{'residual':>14}" + "".join(f"{f'{k} to {k + 1} s':>14}" for k in range(5)))
    print(f"  {'0.1 t':18}{'':14}" + "".join(f"{x:>14.3f}" for x in 0.1 * t.reshape(5, -1).mean(axis=1)))
    for name, (mean, sd) in together(measured).items():
        cells = (f"{value:.3f} ±{off:.3f}".rjust(14) for value, off in zip(mean, sd))
        print(f"  {name:18}" + "".join(cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="less data and fewer steps")
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS, metavar="ROW", help="only these, by name")
    arguments = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from minigen import tour
    from minigen._support import blas

    with blas.one_thread():
        tour.warm_up(tour.make_data(np.random.default_rng(0), quick=True))
        for title, noise in (("noise-free", False), ("noisy", tour.NOISE)):
            print(f"\n{title} training data", flush=True)
            both = [measure(noise, seed, arguments.quick, arguments.rows) for seed in range(arguments.seeds)]
            numbers, noises = ([each[k] for each in both] for k in (0, 1))
            print_scores(numbers)
            if noise:
                print_noise(noises, tour.make_data(np.random.default_rng(0), True).train.t)
            elif not arguments.quick and {"GAN", "VAE", "VAE beta 10"} <= set(arguments.rows):
                medians = {name: [each[name][0] for each in numbers] for name in ("GAN", "VAE", "VAE beta 10")}
                worst = max(medians["GAN"])
                print(f"\n  the GAN's largest median residual {worst:.4f} rad (goal: at most {GOAL}: ", end="")
                print("met)" if worst <= GOAL else "missed)", end="")
                cleaner = all(max(medians[name]) < min(medians["GAN"]) for name in ("VAE", "VAE beta 10"))
                print(f"; both VAEs cleaner than it for every seed: {'yes' if cleaner else 'no'}", flush=True)


if __name__ == "__main__":
    main()
