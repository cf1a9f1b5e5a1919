"""How many latents of a VAE does the pendulum keep alive, over which range of beta, and what do they carry?

    python tests/benchmarks/pendulum_latents.py [--seeds 5] [--warmup 250] [--betas 0.5 1 2 4 10 20] [--out FOLDER]

A trajectory has three degrees of freedom (theta0, omega0, g/L), with drag a fourth (c/m); the mass as such has none.
VAEs with six latents are trained on 4000 trajectories in the 100-step view, noise-free and noisy, without drag and with
c = 0.5 kg/s, and judged on 10 000 new ones. Printed: KL per latent, sorted, the mean over the seeds; how many are alive
for each seed; the range of beta over which every seed has as many as the physics; the emptiest latent alive and the
fullest dead one of that range, which should be well apart. Then for one beta, without noise: which latent carries
which factor, and with --out a figure of traversals. The ends of a range found with five seeds are soft: at beta 10, a
run on other data may lose a latent.

A latent is alive if it carries more than 0.5 nats. A Gaussian signal in Gaussian noise carries log(1 + SNR) / 2 nats,
so its mean then moves by at least 1.3 times its own uncertainty. (The common rule, a mean whose variance is above 0.01,
is shown beside it: it lets pass latents that are nearly all noise.)
"""

import argparse
import time
from pathlib import Path

import numpy as np

from minigen import datasets, metrics, models
from minigen._support import blas
from minigen.metrics import latents

ALIVE = 0.5  # nats
LATENT = 6
SETTINGS = [(noise, drag) for noise in (False, True) for drag in (0.0, 0.5)]
SYMBOLS = {"theta0": "θ₀", "omega0": "ω₀", "g_over_l": "g/L", "damping": "c/m", "mass": "m"}


def trained(noise, drag, beta, seed, arguments):
    """A VAE, and the trajectories it is judged on."""
    rng = np.random.default_rng(seed)
    data = datasets.pendulum_trajectories(4000, rng, view=100, noise=noise, drag=drag)
    test = datasets.pendulum_trajectories(10_000, rng, view=100, noise=noise, drag=drag)
    vae = models.VAE(LATENT, beta=beta, warmup=arguments.warmup, steps=arguments.steps)
    return vae.fit(data.theta, rng=rng, progress=False), test


def judged(vae, test):
    """KL per latent, sorted from the fullest; how many vary by the common rule; a table of what the living carry."""
    codes, spread = vae.encode(test.theta)
    kl = latents.kl_per_latent(codes, spread)
    order = np.argsort(-kl)
    alive = order[kl[order] > ALIVE]
    return {
        "kl": kl[order],
        "varying": int(latents.active_units(codes).sum()),
        "alive": alive,
        "codes": codes[:, alive].astype(float),
    }


def explained(codes, factor):
    """R^2, on the second half of the rows, of a cubic in all the codes fitted to the first half."""
    one = np.column_stack([np.ones(len(codes)), codes])
    k = one.shape[1]
    cubic = np.column_stack(
        [one[:, a] * one[:, b] * one[:, c] for a in range(k) for b in range(a, k) for c in range(b, k)]
    )
    half = len(codes) // 2
    weights = np.linalg.lstsq(cubic[:half], factor[:half], rcond=None)[0]
    return 1 - np.mean((factor[half:] - cubic[half:] @ weights) ** 2) / np.var(factor[half:])


def print_ranges(rows, arguments):
    """For each setting the betas for which every seed keeps as many latents as the physics, and how clear that is."""
    for noise, drag in SETTINGS:
        expected = 4 if drag else 3
        good = [
            beta for beta in arguments.betas if all(len(run["alive"]) == expected for run in rows[noise, drag, beta])
        ]
        name = f"{'noisy' if noise else 'noise-free'}, c = {drag:g} kg/s: exactly {expected} alive in every seed"
        if not good:
            print(f"{name} for none of these beta")
            continue
        kl = np.array([run["kl"] for beta in good for run in rows[noise, drag, beta]])
        print(
            f"{name} for beta {', '.join(f'{beta:g}' for beta in good)}; emptiest alive {kl[:, expected - 1].min():.2f}"
            f" nats, fullest dead {kl[:, expected].max():.2f}"
        )


def named_factors(test):
    """What a trajectory depends on, and without drag the mass, of which the latents should know nothing."""
    return test.factors if test.drag else test.factors | {"mass": test.mass}


def print_factors(runs, drag, beta):
    """Which latent carries which factor, for the first seed; scores for all of them."""
    run, test = runs[0]
    factors = named_factors(test)
    information = latents.mutual_information(run["codes"], factors)
    columns = np.column_stack(list(factors.values()))
    squared = np.corrcoef(run["codes"].T, columns.T)[: len(run["alive"]), len(run["alive"]) :] ** 2
    names = [SYMBOLS[name] for name in factors]
    print(f"\nnoise-free, c = {drag:g} kg/s, beta {beta:g}, seed 0: mutual information in nats (squared correlation)")
    print("  latent    KL  " + "".join(f"{name:>14}" for name in names))
    for i, latent in enumerate(run["alive"]):
        cells = "".join(f"{information[i, j]:8.2f} ({squared[i, j]:.2f})" for j in range(len(names)))
        print(f"  {latent:6d}  {run['kl'][i]:4.1f}  {cells}")
    together = [[explained(r["codes"], f) for f in named_factors(t).values()] for r, t in runs]
    print("  R^2 from all living latents together (cubic, worst seed): ", end="")
    print(", ".join(f"{name} {value:.3f}" for name, value in zip(names, np.min(together, axis=0))))
    gaps = [latents.mutual_information_gap(r["codes"], t.factors) for r, t in runs]
    scores = [latents.dci(r["codes"], t.factors) for r, t in runs]
    informative = np.mean([score.informativeness for score in scores], axis=0)
    print(f"  mean over seeds: MIG {np.mean(gaps):.2f} ({listed(names, np.mean(gaps, axis=0))})")
    print(
        f"  DCI disentanglement {np.mean([score.disentanglement for score in scores]):.2f}, completeness "
        f"{np.mean([score.completeness for score in scores]):.2f}, linear informativeness {listed(names, informative)}"
    )


def listed(names, values):
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values))


def draw(chosen, beta, folder):
    """Traversals of the living latents from the centre of the prior: base, one SD of the prior up, one down."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 4, figsize=(15, 6.8), layout="constrained", sharex=True, sharey=True)
    axes[0, 3].axis("off")
    for row, (drag, (vae, run, test)) in zip(axes, chosen.items()):
        for ax, latent, kl in zip(row, run["alive"], run["kl"]):
            curves = latents.traversal(vae, latent, [0.0, 1.0, -1.0], z=np.zeros(LATENT))
            fitted = metrics.physics_residual(curves, test.t, drag=drag > 0).factors
            for curve, colour, label in zip(curves, ("#1f5fa8", "#2e7d32", "#b3261e"), ("base", "up", "down")):
                ax.plot(test.t, curve, color=colour, lw=2, label=label)
            moved = "   ".join(f"{SYMBOLS[name]} {value[1] - value[2]:+.2f}" for name, value in fitted.items())
            ax.set_title(f"latent {latent}: {kl:.1f} nats\n{moved}", fontsize=9.5)
            ax.axhline(0, color="#777", lw=0.5)
        row[0].set_ylabel(f"{'no drag' if not drag else f'drag c = {drag:g} kg/s'}\nangle (rad)")
    axes[0, 3].legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="center")
    for ax in (axes[0, 2], axes[0, 1], axes[0, 0], *axes[1]):
        ax.set_xlabel("time (s)")
    fig.suptitle(
        f"Each living latent moved from 0 by +1 and -1 (beta {beta:g}, noise-free). Above: how the fitted factors "
        "change from red to green (rad, rad/s, 1/s², 1/s)"
    )
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / "pendulum_latents.png", dpi=120)
    print(f"figure: {folder / 'pendulum_latents.png'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.5, 1, 2, 4, 10, 20])
    parser.add_argument("--warmup", type=int, default=250, help="steps over which beta climbs, the same for all beta")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--table-beta", type=float, default=4, help="the beta of the table of factors and the figure")
    parser.add_argument("--out", type=Path, help="folder for the figure; without it none is drawn")
    arguments = parser.parse_args()
    arguments.betas = sorted({*arguments.betas, arguments.table_beta})
    start, rows, chosen = time.process_time(), {}, {}
    for noise, drag in SETTINGS:
        print(f"\n{'noisy' if noise else 'noise-free'}, c = {drag:g} kg/s, warm-up {arguments.warmup} steps")
        print("  beta   KL per latent (nats, mean over seeds)     alive (above 0.5 nats)   variance above 0.01")
        for beta in arguments.betas:
            runs = []
            for seed in range(arguments.seeds):
                with blas.one_thread():
                    vae, test = trained(noise, drag, beta, seed, arguments)
                run = judged(vae, test)
                runs.append(run)
                if not noise and beta == arguments.table_beta:
                    chosen.setdefault(drag, []).append((vae, run, test))
            rows[noise, drag, beta] = runs
            kl = " ".join(f"{value:5.2f}" for value in np.mean([run["kl"] for run in runs], axis=0))
            counts = [" ".join(str(n) for n in c) for c in zip(*((len(r["alive"]), r["varying"]) for r in runs))]
            print(f"  {beta:4g}   {kl}      {counts[0]:<24} {counts[1]}", flush=True)
    print()
    print_ranges(rows, arguments)
    for drag, several in chosen.items():
        print_factors([(run, test) for _, run, test in several], drag, arguments.table_beta)
    if arguments.out:
        draw({drag: several[0] for drag, several in chosen.items()}, arguments.table_beta, arguments.out)
    print(f"\n{time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
