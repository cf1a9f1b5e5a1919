"""Which generator has learned the pendulum? All of them see the same data and are judged by the same yardsticks.

`ROWS` lists the generators. To enter another one, write a function and add a `Row`: scores, table, figure and overview
follow.
"""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from . import datasets, metrics, plots
from ._support import blas
from ._support.atomic import make_writable_folder, write_whole
from ._support.console import is_bar_hidden
from ._support.interrupt import interrupt_ends_program
from .datasets import PendulumTrajectories
from .physics import pendulum

Rng = np.random.Generator

VIEW = 100  # points of a trajectory, over 5 s
NOISE = 0.1  # growth of the observation noise's SD in rad/s

PENALISED = {"critic_hidden": (512,), "r1": 0.1}  # the critics of the two GANs
CLIPPED = {"critic_hidden": (128, 128, 128), "loss": "wasserstein", "clip": 0.001, "critic_steps": 5}
# Adam with beta1 = 0 is RMSprop, but for a correction of the first steps.
CLIPPED |= {"betas": (0.0, 0.99), "lr": 5e-5, "cosine_decay": False}
ENERGY = {"critic_hidden": (512,), "r1": 10.0, "critic_steps": 1, "entropy_weight": 0.01, "entropy_hidden": (128,)}
ENERGY |= {"betas": (0.0, 0.9), "lr": 1e-3, "batch_size": 64, "average": 0.999}
FINER = 4  # integration steps from point to point of a trajectory
CHAIN = 100  # steps of each latent chain, and as many before them to find its step size


class Data(NamedTuple):
    """Three sets of pendulums that share no trajectory: to learn from, to be rows themselves, and to compare with."""

    train: PendulumTrajectories
    held_out: PendulumTrajectories
    fresh: PendulumTrajectories


class Samples(NamedTuple):
    """What a generator made.

    `theta` (n, steps), in rad: without observation noise where the generator can tell noise from motion. `noise_sd`
    (steps,) or (n, steps), in rad: the SD of the noise it assumes, or None if it has no idea of noise.
    """

    theta: np.ndarray
    noise_sd: np.ndarray | None = None


class Row(NamedTuple):
    """One line of the scoreboard, under a name of at most 23 letters.

    `generate(data, rng, quick, progress)` trains, if there is anything to train, and returns `Samples`, as many as
    `data.held_out` has, at the times `data.train.t`. All its randomness comes from `rng`; `progress` is handed on to
    `fit`. `given` says in a few words what the generator had to learn from. `model` asks for its time and a figure of
    its own; `noisy` says that the samples carry observation noise, so that their neighbours are sought among the
    observations. `learn` is for rows that share a model: `learn(data, rng, quick, progress)` trains it, once for all
    rows with the same `learn`, and `generate` is given it as a fifth argument.
    """

    name: str
    given: str
    generate: Callable[..., Samples]
    model: bool = True
    noisy: bool = False
    learn: Callable[[Data, np.random.Generator, bool, bool | None], object] | None = None


class Result(NamedTuple):
    """A row's samples and what was measured on them."""

    row: Row
    samples: Samples
    fit: metrics.PhysicsFit
    match: dict[str, float]
    ratio: float
    seconds: float


def truth(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """Held-out pendulums without noise: what a perfect generator would score."""
    return Samples(data.held_out.clean)


def observations(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """Held-out pendulums as they were observed."""
    return Samples(data.held_out.theta)


def physicist(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """The equation of motion, with factors drawn from their known distributions."""
    return Samples(_draw(len(data.held_out), rng, noise=False).clean, NOISE * data.train.t)


def regressor(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """A network from (t, theta0, omega0, g/L) to theta, asked along t for factors drawn anew."""
    return _regress("point", data, rng, quick, progress)


def probabilistic_regressor(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """The same with a Gaussian head, which learns the noise beside the motion. Judged by its mean."""
    return _regress("gaussian", data, rng, quick, progress)


def clipped_wgan(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """A GAN whose critic is held flat: all its parameters within 0.001, steps by RMSprop (Arjovsky et al., 2017)."""
    return _play(CLIPPED, 300 if quick else 2000, data, rng, progress)


def gan(data: Data, rng: Rng, quick: bool, progress: bool | None, steps: int = 12_000) -> Samples:
    """A network that learns from a critic to draw what nobody can tell from the data, so with their noise."""
    return _play(PENALISED, 1500 if quick else steps, data, rng, progress)


def learn_energy_gan(
    data: Data, rng: Rng, quick: bool, progress: bool | None, steps: int = 12_000, latent: int = 128
) -> Any:
    """A generator, its critic as an energy, and a network that sees its entropy (Kumar et al., 2019)."""
    from .models import EnergyGAN

    model = EnergyGAN(latent, (128, 128), "silu", steps=1500 if quick else steps, **ENERGY)
    return model.fit(data.train.theta, rng=rng, progress=progress)


def energy_gan(data: Data, rng: Rng, quick: bool, progress: bool | None, model: Any) -> Samples:
    """A GAN whose critic is an energy, and whose generator is paid for entropy. It draws the noise, too."""
    return Samples(model.sample(len(data.held_out), rng))


def energy_gan_mala(data: Data, rng: Rng, quick: bool, progress: bool | None, model: Any) -> Samples:
    """The same, from latents that have walked towards low energy: a chain with density N(z) exp(-U(G(z)) / T).

    The penalty sets the scale of the energy, and so T has to be found: from training data, by likelihood.
    """
    n = len(data.held_out)
    temperature = model.likeliest_temperature(data.train.theta, 4 * n, rng)
    Z = model.latent_chain(n, rng, steps=CHAIN, temperature=temperature, progress=False)
    return Samples(model.generate(Z))


def vae(data: Data, rng: Rng, quick: bool, progress: bool | None, beta: float = 1.0) -> Samples:
    """A network that is shown nothing but noisy trajectories. Judged by the mean of its decoder."""
    from .models import VAE

    model = VAE(steps=800 if quick else 5000, beta=beta)
    model.fit(data.train.theta, rng=rng, progress=progress)
    return Samples(model.sample(len(data.held_out), rng), model.decoder_sd_)


def vae_beta_10(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """The same, pressed to say what it must in as few nats as it can (Higgins et al., 2017)."""
    return vae(data, rng, quick, progress, beta=10.0)


def shuffled(data: Data, rng: Rng, quick: bool, progress: bool | None) -> Samples:
    """Each moment's angles shuffled over the pendulums: every distribution in time is right, and no motion."""
    return Samples(metrics.shuffled_control(data.train.clean, rng)[: len(data.held_out)])


ROWS = [
    Row("data, true motion", "held-out pendulums", truth, model=False),
    Row("data, as observed", "the same with noise", observations, model=False, noisy=True),
    Row("physicist", "the equation of motion", physicist),
    Row("regressor", "noisy angles and factors", regressor),
    Row("probabilistic regressor", "noisy angles and factors", probabilistic_regressor),
    Row("clipped WGAN", "noisy angles only", clipped_wgan, noisy=True),
    Row("GAN", "noisy angles only", gan, noisy=True),
    Row("energy GAN", "noisy angles only", energy_gan, noisy=True, learn=learn_energy_gan),
    Row("energy GAN + MALA", "that energy GAN", energy_gan_mala, noisy=True, learn=learn_energy_gan),
    Row("VAE", "noisy angles only", vae),
    Row("VAE beta 10", "noisy angles only", vae_beta_10),
    Row("shuffled control", "each moment by itself", shuffled, model=False),
]


class NotSaved(OSError):
    """The tour was made, but something could not be written; `scores` is the scoreboard all the same."""

    def __init__(self, error: OSError, scores: dict):
        super().__init__(error.errno, error.strerror, error.filename)
        self.scores = scores


def run(out: str | os.PathLike, *, seed: int = 0, quick: bool = False, progress: bool | None = None) -> dict:
    """Run every row and write the figures and `scoreboard.json` into the folder `out`, which is made if need be.

    The same seed gives the same numbers, times apart, and a row's numbers do not depend on which other rows there are.
    `progress` shows bars; default: only on a terminal. Returns the scoreboard, which `table` puts into words. On Ctrl-C
    raises KeyboardInterrupt at once. Raises OSError if `out` cannot be written to, NotSaved if that shows only later.
    """
    out = Path(out)
    make_writable_folder(out)
    total = 3 + 2 * len(ROWS) + sum(row.model for row in ROWS)
    hidden = is_bar_hidden(progress)
    start = time.perf_counter()
    with (
        interrupt_ends_program(),
        blas.one_thread(),
        tqdm(total=total, disable=hidden, leave=False, bar_format="{desc:<36}|{bar:30}| {elapsed}") as bar,
    ):

        def stage(description, work, *args):
            bar.set_description_str(description)
            result = work(*args)
            bar.update()
            return result

        data = stage("data", make_data, np.random.default_rng(seed), quick)
        stage("kernels (the first time: compile)", warm_up, data)
        results, learned = [], {}
        for row in ROWS:
            began = time.perf_counter()
            samples = stage(row.name, generate, row, data, seed, quick, progress, learned)
            seconds = time.perf_counter() - began
            results.append(stage(f"{row.name}: scores", judge, row, samples, data, seconds))
        scores = _scoreboard(results, data, seed, quick)
        try:
            for result in results:
                if result.row.model:
                    stage(f"{result.row.name}: figure", _save_portrait, result, data, out)
            stage("overview", _save_overview, results, scores, data, out)
            _save_scores(scores, start, out)
        except OSError as error:
            raise NotSaved(error, scores | {"seconds": time.perf_counter() - start}) from error
    return scores


def _save_scores(scores: dict, start: float, out: Path) -> None:
    scores["seconds"] = round(time.perf_counter() - start, 3)
    text = json.dumps(scores, indent=2, allow_nan=False) + "\n"
    write_whole(out / "scoreboard.json", text.encode())


def generate(row: Row, data: Data, seed: int, quick: bool, progress: bool | None, learned: dict) -> Samples:
    """The samples of a row; the models that rows share are kept in `learned`, by what trains them."""
    # Seeded by its name, so that a new row leaves the others as they are.
    rng = np.random.default_rng([seed, *row.name.encode()])
    if row.learn is None:
        return row.generate(data, rng, quick, progress)
    if row.learn not in learned:
        learned[row.learn] = row.learn(data, np.random.default_rng([seed, *b"shared"]), quick, progress)
    return row.generate(data, rng, quick, progress, learned[row.learn])


def table(scores: dict, width: int = 80) -> str:
    """The scoreboard as text no wider than `width`, at least 80; from 106 on it also says what each row was given."""
    width = max(width, 80)
    given = 26 if width >= 106 else 0
    factors = list(scores["factors"])
    lines = [
        ("", "", "residual", *("KS of" for _ in factors), "KS", "neighbour", "time"),
        ("generator", "given", "rad", *(_SHORT[name] for name in factors), "mean", "ratio", "s"),
        *((row["name"], row["given"], *_cells(row)) for row in scores["rows"]),
    ]
    text = []
    for name, origin, residual, *ks, ratio, seconds in lines:
        start = f"{name:<24}" + (f"{origin:<{given}}" if given else "")
        text.append(f"{start}{residual:>9}{''.join(f'{cell:>8}' for cell in ks)}{ratio:>10}{seconds:>5}".rstrip())
    rule = "-" * len(text[0])
    notes = [textwrap.fill(note, len(rule), subsequent_indent="  ") for note in scores["notes"]]
    return "\n".join([*text[:2], rule, *text[2:], rule, *notes])


_SHORT = {"theta0": "theta0", "omega0": "omega0", "g_over_l": "g/L", "damping": "c/m"}
_SYMBOLS = {"theta0": r"$\theta_0$", "omega0": r"$\omega_0$", "g_over_l": "$g/L$", "damping": "$c/m$"}
_UNITS = {"theta0": "rad", "omega0": "rad/s", "g_over_l": "1/s^2", "damping": "1/s"}


def _cells(row: dict) -> list[str]:
    """The numbers of a row as text: residual, one KS statistic per factor, their mean, ratio, seconds."""
    residual, ratio, seconds = row["residual_median_rad"], row["neighbour_ratio"], row["seconds"]
    return [
        "no fit" if residual is None else f"{residual:.4f}" if residual >= 5e-5 else f"{residual:.0e}",
        *(f"{value:.3f}" for value in [*row["factor_ks"].values(), row["factor_ks_mean"]]),
        "inf" if ratio is None else f"{ratio:.2f}",
        "" if not row["model"] else f"{seconds:.1f}" if seconds >= 0.05 else "<0.1",
    ]


def _draw(n: int, rng: np.random.Generator, noise: float | bool = NOISE) -> PendulumTrajectories:
    return datasets.pendulum_trajectories(n, rng, view=VIEW, noise=noise)


def make_data(rng: np.random.Generator, quick: bool, noise: float | bool = NOISE) -> Data:
    """4000 trajectories to learn from and 1000 for each of the other sets; in quick mode 1000 and 200."""
    n, rest = (1000, 200) if quick else (4000, 1000)
    everything = _draw(n + 2 * rest, rng, noise)
    return Data(*(everything.take(slice(*ends)) for ends in ((0, n), (n, n + rest), (n + rest, None))))


def _regress(head: str, data: Data, rng, quick, progress) -> Samples:
    from .models import Regressor

    model = Regressor(head=head, steps=1500 if quick else 10_000, batch_size=512)
    model.fit(_inputs(data.train), data.train.theta.reshape(-1, 1), rng=rng, progress=progress)
    drawn = _draw(len(data.held_out), rng, noise=False)
    mean, sd = model.predict(_inputs(drawn), return_sd=True)
    return Samples(mean.reshape(drawn.theta.shape), sd.reshape(drawn.theta.shape))


def _play(settings: dict, steps: int, data: Data, rng, progress) -> Samples:
    """A GAN with as many latent variables as it takes to give each angle a noise of its own."""
    from .models import GAN

    model = GAN(128, (256,), "tanh", steps=steps, batch_size=64, **settings)
    model.fit(data.train.theta, rng=rng, progress=progress)
    return Samples(model.sample(len(data.held_out), rng))


def _inputs(data: PendulumTrajectories) -> np.ndarray:
    """Rows (t, theta0, omega0, g/L), one for each point of each trajectory: (n * steps, 4)."""
    factors = np.column_stack(list(data.factors.values()))
    return np.column_stack([np.tile(data.t, len(data)), np.repeat(factors, data.t.size, axis=0)])


def warm_up(data: Data) -> None:
    """Compile, or load from the cache, what the rows will run, so that their times are their own."""
    from .models import VAE, Regressor

    rng = np.random.default_rng(0)
    few = data.train.take(slice(0, 8))
    metrics.physics_residual(few.clean, few.t)
    for head in ("point", "gaussian"):
        Regressor(head=head, steps=1).fit(_inputs(few), few.theta.reshape(-1, 1), rng=rng, progress=False)
    VAE(steps=1).fit(few.theta, rng=rng, progress=False)
    for critic in (PENALISED, CLIPPED):
        _play(critic, 1, Data(few, few, few), rng, progress=False)
    few = Data(few, few, few)
    energy_gan_mala(few, rng, True, False, learn_energy_gan(few, rng, False, False, steps=1))


def judge(row: Row, samples: Samples, data: Data, seconds: float) -> Result:
    """Samples by the three yardsticks: physics residual, distributions of the factors, distance to training data."""
    fit = metrics.physics_residual(samples.theta, data.train.t)
    match = metrics.factor_match(fit.factors, data.train.factors)
    train, fresh = (each.theta if row.noisy else each.clean for each in (data.train, data.fresh))
    return Result(row, samples, fit, match, metrics.nearest_neighbour_ratio(samples.theta, train, fresh), seconds)


MEANINGS = {
    "residual": "rad; root mean square over a trajectory, then median and percentiles over the samples",
    "factor_ks": "Kolmogorov-Smirnov statistic from 0, the same distribution, to 1, apart",
    "neighbour_ratio": "median distance to the nearest training trajectory, over that of fresh data",
    "seconds": "s; of a row: training and sampling",
}


def _scoreboard(results: list[Result], data: Data, seed: int, quick: bool) -> dict:
    from . import __version__
    from .kernels.jit import USE_NUMBA

    n, m = len(data.held_out), len(data.train)
    noise = math.sqrt(np.mean((data.train.theta - data.train.clean) ** 2))
    chance = 1.36 * math.sqrt(1 / n + 1 / m)
    return {
        "minigen": __version__,
        "kernels": "numba" if USE_NUMBA else "numpy",
        "seed": seed,
        "quick": quick,
        "training_trajectories": m,
        "samples": n,
        "factors": {name: _UNITS[name] for name in data.train.factors},
        "units": MEANINGS,
        "noise_rms_rad": noise,
        "factor_ks_chance": chance,
        "rows": [_scores_of(result) for result in results],
        "notes": _notes(n, noise, chance),
    }


def _scores_of(result: Result) -> dict:
    """A row of the scoreboard; None stands for what is not finite, as JSON has no infinity."""
    finite = lambda x: float(x) if math.isfinite(x) else None
    residual = result.fit.residual
    return {
        "name": result.row.name,
        "given": result.row.given,
        "model": result.row.model,
        "residual_median_rad": finite(np.median(residual)),
        "residual_5_95_rad": [finite(x) for x in np.percentile(residual, (5, 95), method="nearest")],
        "factor_ks": result.match,
        "factor_ks_mean": float(np.mean(list(result.match.values()))),
        "neighbour_ratio": finite(result.ratio),
        "seconds": round(result.seconds, 3),
    }


def _notes(n: int, noise: float, chance: float) -> list[str]:
    return [
        f"residual: RMS distance from the nearest pendulum's motion, median over {n} samples. The models learned "
        f"from noisy angles (RMS {noise:.2f} rad) and are judged by the means they generate; the residual of "
        "'as observed' is that noise. A GAN draws noise too and has no mean: for it 'as observed' is the mark to "
        "meet, not 0.",
        "KS: largest gap between the distributions of a factor, fitted to the samples and true; "
        f"0 the same, 1 apart, below {chance:.2f} perhaps chance.",
        "ratio: distance to the nearest training trajectory, over that of fresh data; 1 like fresh, 0 copied, "
        "above 1 off the data.",
    ]


def _save_portrait(result: Result, data: Data, out: Path) -> None:
    row, samples, fit, match, *_ = result
    good = np.isfinite(fit.residual)
    if not good.any():
        return
    t, theta = data.train.t, samples.theta[good]
    error = theta - _nearest(fit, good, t)
    noise_sd, data_noise_sd, observed = None, NOISE * t, None
    if row.noisy:
        noise_sd, data_noise_sd = error.std(axis=0), scatter(data.held_out.theta, t)
    elif samples.noise_sd is not None:
        each = np.broadcast_to(samples.noise_sd, samples.theta.shape)[good]
        noise_sd = each.mean(axis=0)
        observed = theta[0] + each[0] * np.random.default_rng(0).standard_normal(t.size)
    figure = plots.generator(
        t,
        theta,
        error,
        {name: values[good] for name, values in fit.factors.items()},
        data.train.factors,
        match,
        title=f"{row.name[0].upper()}{row.name[1:]}, given {row.given}",
        observed=observed,
        noise_sd=noise_sd,
        data_noise_sd=data_noise_sd,
        noisy=row.noisy,
    )
    plots.save(figure, out / f"{re.sub(r'[^a-z0-9]+', '_', row.name.lower())}.png")


def scatter(theta: np.ndarray, t: np.ndarray) -> np.ndarray:
    """SD over trajectories (n, steps) of their difference from the nearest pendulum, (steps,), in rad.

    For noisy trajectories that is their noise, less what the fit follows and more by what it is led astray.
    """
    fit = metrics.physics_residual(theta, t)
    good = np.isfinite(fit.residual)
    return (theta[good] - _nearest(fit, good, t)).std(axis=0)


def _nearest(fit: metrics.PhysicsFit, good: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The motions of the fitted pendulums at times t: (n, steps)."""
    theta0, omega0, g_over_l = (fit.factors[name][good] for name in ("theta0", "omega0", "g_over_l"))
    dt = (t[1] - t[0]) / FINER
    # A rod of 1 m and gravity of the fitted size: together the fitted g/L, which may be 0.
    motion = pendulum.simulate(theta0, omega0, 1.0, gravity=g_over_l, steps=FINER * (t.size - 1) + 1, dt=dt)
    return motion.theta[:, ::FINER]


def _save_overview(results: list[Result], scores: dict, data: Data, out: Path) -> None:
    symbols = [_SYMBOLS[name] for name in scores["factors"]]
    noisy = [result.row.name for result in results if result.row.noisy]
    ring = ["dots instead of lines, rings instead of dots: samples that carry noise."] if noisy else []
    headings = ["median\nrad", *(f"KS\n{symbol}" for symbol in symbols), "KS\nmean", "neighbour\nratio", "time\ns"]
    figure = plots.overview(
        data.train.t,
        {result.row.name: result.samples.theta for result in results},
        {result.row.name: result.fit.factors["g_over_l"] for result in results},
        {result.row.name: result.fit.residual for result in results},
        list(zip(headings, zip(*map(_cells, scores["rows"])))),
        title=f"Who has learned the pendulum from {len(data.train)} noisy trajectories?",
        subtitles={result.row.name: result.row.given for result in results},
        notes=[line for note in [*scores["notes"], *ring] for line in textwrap.wrap(note, 136)],
        dots=noisy,
    )
    plots.save(figure, out / "overview.png")
