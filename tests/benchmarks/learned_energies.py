"""Do chains on a learned energy improve a generator's samples, and at which temperature?

    python tests/benchmarks/learned_energies.py [--seeds 3] [--target ring grid] [--jobs 2] [--quick]

For the ring of 8 and the grid of 25 an `EnergyGAN` is trained twice: "weak", stopped early with bridges between its
modes (300 steps on the ring, 1200 on the grid), and "trained", 6000 steps. Then each way to draw is judged as in
mode_coverage.py, by 2500 samples of the generator or 500 chains: modes captured, share of high quality (within 3 SD of
a centre), reverse KL in nats, and width, the SD of the high-quality samples about their mode's mean over the target's.
The ways:

    generator    its own samples; also with truncation and with another variance of its latents ("temperature")
    MALA in x    100 steps on U / T, started at those samples, after 100 that find the step
    MALA in z    the same on U(G(z)) / T + |z|^2 / 2, started at N(0, I)
    ULA in z     MALA in z without its refusals, at the same step and at a tenth of it
    no prior     MALA in z on U(G(z)) / T alone, with the step found with the prior
    calibrated   an `EnergyModel` trained by contrastive divergence: chains in x on U / T started at data, whose right
                 temperature is 1; and its own `sample`, which starts at noise

|z|^2 / k is its mean over the chains, 1 for N(0, I). The energy's scale is set by the penalty, so no T is right in
itself. The last lines say for each generator which T gave most high quality, and what it cost.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from mode_coverage import WIDTHS, judged

from minigen import models, samplers, targets

DATA, SAMPLES, CHAINS, STEPS = 100_000, 2500, 500, 100
TEMPERATURES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SETTINGS = {"entropy_weight": 0.03, "noise_sd": 0.02, "hidden": WIDTHS, "critic_hidden": WIDTHS}
TRAININGS = {"weak": {"ring": 300, "grid": 1200}, "trained": {"ring": 6000, "grid": 6000}}
DRIFT = (100, 1000)  # steps after which |z|^2 / k is asked


def moved(kernel, position, rng, steps):
    """Ends of the chains, their mean acceptance in %, and the kernel with the step that was found."""
    if kernel.step_size is None:
        kernel, position = samplers.adapt(kernel, position, rng, steps, progress=False)
    draws, infos = samplers.sample(kernel, position, 1, rng, thin=steps, progress=False)
    return draws[:, 0], 100 * float(np.mean(infos.acceptance_rate)), kernel


def of_gan(target, gan, rng, steps):
    """Rows (name, T, modes, quality, reverse KL, width, |z|^2 / k, acceptance) of everything done with one GAN."""
    rows = []

    def add(name, temperature, samples, z=None, acceptance=np.nan):
        length = np.nan if z is None else float(np.mean(z**2))
        rows.append((name, temperature, *judged(samples, target), length, acceptance))

    own = gan.sample(SAMPLES, rng)
    add("generator", np.nan, own)
    for limit in (2.0, 1.5, 1.0, 0.5):
        add("  truncation", limit, gan.sample(SAMPLES, rng, truncation=limit))
    for variance in (0.3, 0.7, 2.0, 4.0):
        add("  latent temperature", variance, gan.sample(SAMPLES, rng, temperature=variance))
    for t in TEMPERATURES[2:]:
        x, acceptance, _ = moved(samplers.mala(gan.log_density(t)), own[:CHAINS].astype(np.float32), rng, steps)
        add("MALA in x", t, x, acceptance=acceptance)
    start, found = rng.standard_normal((CHAINS, gan.latent), np.float32), {}
    for t in TEMPERATURES:
        z, acceptance, found[t] = moved(samplers.mala(gan.latent_log_density(t)), start, rng, steps)
        add("MALA in z", t, gan.generate(z), z, acceptance)
    for divisor, name in ((1, "ULA in z"), (10, "ULA in z, step / 10")):
        for t in TEMPERATURES[2:]:
            kernel = samplers.ula(gan.latent_log_density(t), found[t].step_size / divisor)
            z, acceptance, _ = moved(kernel, start, rng, steps)
            add(name, t, gan.generate(z), z, acceptance)
    for prior in (True, False):
        kernel, z, done = samplers.mala(gan.latent_log_density(1.0, prior), found[1.0].step_size), start[:200], 0
        for total in DRIFT:
            z, acceptance, _ = moved(kernel, z, rng, max(1, (total - done) * steps // STEPS))
            done = total
            add(f"{'prior' if prior else 'no prior'}, {total} steps", 1.0, gan.generate(z), z, acceptance)
    return rows


def of_calibrated(target, data, rng, quick):
    """The same rows of an energy that was trained by contrast with its own chains."""
    model = models.EnergyModel(
        method="contrastive_divergence", chain_steps=5, lr=0.02, steps=100 if quick else 2000
    ).fit(data, rng=rng, progress=False)
    steps, rows = 5 if quick else STEPS, []
    kernel, start = samplers.mala(model.log_density()), data[:CHAINS].astype(np.float32)
    for t in TEMPERATURES[1:]:
        x, acceptance, _ = moved(kernel.replace(temperature=t), start, rng, steps)
        rows.append(("from data", t, *judged(x, target), np.nan, acceptance))
    own = model.sample(CHAINS, rng, steps=steps, progress=False)
    rows.append(("its own sample", 1.0, *judged(own, target), np.nan, np.nan))
    return rows


def study(name, kind, seed, quick):
    """All rows of one training, and its seconds of processor."""
    target, rng = getattr(targets, name)(), np.random.default_rng(seed)
    data, start = target.sample(DATA, rng), time.process_time()
    if kind == "calibrated":
        return of_calibrated(target, data, rng, quick), time.process_time() - start
    average = 0.99 if quick or kind == "weak" else 0.998
    gan = models.EnergyGAN(2, steps=100 if quick else TRAININGS[kind][name], average=average, **SETTINGS)
    gan.fit(data, rng=rng, progress=False)
    return of_gan(target, gan, rng, 5 if quick else STEPS), time.process_time() - start


def table(title, studies):
    """Print the means over seeds, with the least and greatest high quality; returns name, T and means of each row."""
    print(f"\n{title}: means over {len(studies)} seeds")
    print(f"  {'':22}      T  modes  high quality % (least, most)   reverse KL  width  |z|^2/k  acceptance %")
    means = []
    for rows in zip(*studies, strict=True):
        name, t = rows[0][:2]
        values = np.array([row[2:] for row in rows], float)
        mean, (least, most) = values.mean(axis=0), (values[:, 1].min(), values[:, 1].max())
        forms = ("5.1f", "14.1f", "11.3f", "5.2f", "7.2f", "12.0f")
        modes, quality, *others = (shown(number, form) for number, form in zip(mean, forms, strict=True))
        print(f"  {name:22} {shown(t, '6g')}  {modes}  {quality} ({least:5.1f}, {most:5.1f})", *others, sep="  ")
        means.append((name, t, *mean))
    return means


def shown(number, form):
    """A number, or a dash of the same width for one that was not measured."""
    return "-".rjust(int(form.split(".")[0].rstrip("g") or 1)) if np.isnan(number) else format(number, form)


def verdict(title, means):
    """Say where chains helped most, and where they hurt."""
    own = means[0]
    for way in ("MALA in x", "MALA in z", "ULA in z", "ULA in z, step / 10"):
        rows = [row for row in means if row[0] == way]
        best, worst, lost = (choose(rows, key=lambda row, k=k: row[k]) for choose, k in ((max, 3), (min, 3), (max, 4)))
        print(
            f"  {title}, {way}: high quality {own[3]:.1f} %, at best {best[3]:.1f} % (T = {best[1]:g}, reverse KL "
            f"{own[4]:.3f} -> {best[4]:.3f}, width {shown(best[5], '.2f')}), at worst {worst[3]:.1f} % "
            f"(T = {worst[1]:g}); reverse KL up to {lost[4]:.3f} (T = {lost[1]:g})"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target", nargs="+", choices=("ring", "grid"), default=("ring", "grid"))
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, each on one thread")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything, only to see that it runs")
    arguments = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # the processes below read it when they load NumPy
        os.environ[variable] = "1"
    seconds = 0.0
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        pending = {
            (name, kind): [pool.submit(study, name, kind, s, arguments.quick) for s in range(arguments.seeds)]
            for name in arguments.target
            for kind in (*TRAININGS, "calibrated")
        }
        found = {}
        for (name, kind), futures in pending.items():
            results = [future.result() for future in futures]
            seconds += sum(busy for _, busy in results)
            found[name, kind] = table(f"{name}, {kind}", [rows for rows, _ in results])
    print()
    for (name, kind), means in found.items():
        if kind in TRAININGS:
            verdict(f"{name}, {kind}", means)
    print(f"{seconds:.0f} s of processor")


if __name__ == "__main__":
    main()
