"""The rows of steps.py and samplers.py: what is computed, how large, from which weights and data, and how fast.

A row is handed to every library as plain NumPy arrays from one seeded generator, so that all do the same job. Sizes
are (in, ..., out); weights are (out, in) as in PyTorch, drawn uniformly on +-1 / sqrt(in).
"""

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np

LR, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8  # Adam's settings, everywhere
SLOPE = 0.2  # of the leaky ReLU
PENALTY = 0.1  # weight of the energy's squared gradient

COMPILED, EAGER, FLOOR = "minigen compiled", "minigen eager", "bare products"
TORCH, TORCH_COMPILED, JAX, AUTOGRAD = "PyTorch eager", "torch.compile", "JAX jitted", "autograd"
TORCH_BY_HAND = "PyTorch by hand"  # the energy's gradient written out, without autograd; in the chains of samplers.py
LEAPFROG = 10  # leapfrog steps of a proposal of HMC


@dataclass(frozen=True)
class Net:
    """An MLP: sizes, the activation between its layers, and its layers' (weight, bias)."""

    sizes: tuple[int, ...]
    activation: str
    layers: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Row:
    """One job, its data, and the draws of one step: ("normal" or "uniform", shape) each.

    `floor` lists (sizes, batch, passes) of one step for timing.products; `goals` maps pairs of contestants to the
    largest ratio of their times that is wanted. Samplers make `steps` steps in one timed call, from data[0].
    """

    name: str
    title: str
    nets: dict[str, Net]
    data: tuple[np.ndarray, ...]
    floor: list[tuple]
    goals: dict[tuple[str, str], float]
    draws: tuple[tuple[str, tuple[int, ...]], ...] = ()
    free: dict[str, np.ndarray] = field(default_factory=dict)  # parameters that belong to no network
    steps: int = 1
    gradients: int = 1  # of a step of a sampler, each with the products of `floor`
    step_size: float = 0.0

    def noise(self, steps):
        """The draws of some steps as arrays, the same for everyone: they show that all compute the same."""
        rng = np.random.default_rng(1)
        draw = {"normal": rng.standard_normal, "uniform": rng.random}
        return [[draw[kind](shape, np.float32) for kind, shape in self.draws] for _ in range(steps)]


def row(name, **size):
    """The row of this name; `size` may change what its function takes."""
    return {**ROWS, **CHAINS}[name](np.random.default_rng(0), **size)


def _net(rng, sizes, activation):
    bounds = [1 / math.sqrt(n_in) for n_in, _ in itertools.pairwise(sizes)]
    draw = lambda bound, *shape: rng.uniform(-bound, bound, shape).astype(np.float32)
    layers = [(draw(b, n_out, n_in), draw(b, n_out)) for b, (n_in, n_out) in zip(bounds, itertools.pairwise(sizes))]
    return Net(tuple(sizes), activation, layers)


def _normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def _goals(jax, torch, floor=None, eager=None):
    goals = {(COMPILED, JAX): jax, (COMPILED, TORCH): torch, (COMPILED, FLOOR): floor, (EAGER, TORCH): eager}
    return {pair: goal for pair, goal in goals.items() if goal is not None}


def regression(rng, batch=64):
    """Mean squared error of a small tanh network."""
    sizes = (1, 64, 64, 1)
    x = rng.uniform(-3, 3, (batch, 1)).astype(np.float32)
    return Row(
        "W1",
        f"regression MLP {list(sizes)} tanh, batch {batch}",
        {"net": _net(rng, sizes, "tanh")},
        (x, np.sin(2 * x)),
        [(sizes, batch)],
        _goals(0.9, 0.25, eager=0.6),
    )


def gan(rng, batch=64):
    """One step of the discriminator on real data and fakes, then one of the generator (non-saturating)."""
    generator, discriminator = (16, 128, 128, 100), (100, 128, 128, 1)
    return Row(
        "W2",
        f"GAN, generator {list(generator)} ReLU, discriminator {list(discriminator)} leaky ReLU, batch {batch}",
        {"generator": _net(rng, generator, "relu"), "discriminator": _net(rng, discriminator, "leaky_relu")},
        (_normal(rng, batch, 100),),
        [
            (generator, batch, "forward"),
            *[(discriminator, batch)] * 2,
            (generator, batch),
            (discriminator, batch, "forward inputs"),
        ],
        _goals(0.9, 0.5, floor=1.5, eager=0.6),
        draws=(("normal", (batch, 16)),) * 2,
    )


def vae(rng, batch=128, width=256):
    """Gaussian decoder with one learned log-SD per feature; negative ELBO with the KL in closed form."""
    d, k = 100, 6
    encoder, decoder = (d, width, width // 2, 2 * k), (k, width // 2, width, d)
    return Row(
        "W3",
        f"VAE, encoder {list(encoder)}, decoder {list(decoder)} ReLU, batch {batch}",
        {"encoder": _net(rng, encoder, "relu"), "decoder": _net(rng, decoder, "relu")},
        (_normal(rng, batch, d),),
        [(encoder, batch), (decoder, batch, "forward weights inputs")],
        _goals(0.9, 0.5, floor=1.5, eager=0.6),
        draws=(("normal", (batch, k)),),
        free={"log_sd": np.zeros(d, np.float32)},
    )


def energy(rng, batch=64):
    """Energy of real data less that of fakes, with a penalty on the gradient at the real data (double backward)."""
    sizes = (100, 128, 128, 1)
    return Row(
        "W4",
        f"energy {list(sizes)} SiLU with gradient penalty, batch {batch} + {batch}",
        {"energy": _net(rng, sizes, "silu")},
        (_normal(rng, batch, 100), 1 + _normal(rng, batch, 100)),
        [(sizes, batch), (sizes, batch, "forward inputs second weights inner")],
        _goals(0.9, 0.5, eager=0.6),
    )


def ula(rng, chains=256):
    """Unadjusted Langevin steps x <- x - h grad U(x) + sqrt(2 h) noise."""
    sizes = (2, 128, 128, 1)
    return Row(
        "W5",
        f"100 ULA steps, {chains} chains, energy {list(sizes)} SiLU",
        {"energy": _net(rng, sizes, "silu")},
        (_normal(rng, chains, 2),),
        [(sizes, chains, "forward inputs")],
        _goals(0.9, 0.5, eager=0.6),
        draws=(("normal", (chains, 2)),),
        steps=100,
        step_size=0.02,
    )


def mala(rng, chains=256):
    """Metropolis-adjusted Langevin steps in the latent space of a generator, on U(G(z)) + |z|^2 / 2."""
    generator, sizes = (16, 128, 128, 100), (100, 128, 128, 1)
    return Row(
        "W6",
        f"100 MALA steps, {chains} chains in z (16) through {list(generator)} ReLU and {list(sizes)} SiLU",
        {"generator": _net(rng, generator, "relu"), "energy": _net(rng, sizes, "silu")},
        (_normal(rng, chains, 16),),
        [(generator, chains, "forward inputs"), (sizes, chains, "forward inputs")],
        _goals(0.9, 0.5, eager=0.6),
        draws=(("normal", (chains, 16)), ("uniform", (chains,))),
        steps=100,
        step_size=0.35,
    )


def classifier(rng, batch=256):
    """Softmax cross entropy of a wide network."""
    sizes = (784, 1024, 1024, 10)
    return Row(
        "W8",
        f"MLP {list(sizes)} ReLU, batch {batch}",
        {"net": _net(rng, sizes, "relu")},
        (_normal(rng, batch, 784), rng.integers(0, 10, batch)),
        [(sizes, batch)],
        _goals(1.1, 1.0, floor=1.5),
    )


ROWS = {"W1": regression, "W2": gan, "W3": vae, "W4": energy, "W5": ula, "W6": mala, "W8": classifier}


def _on_energy(name, title, draws, steps, step_size, gradients):
    """A function that makes a row of samplers.py: the chains of W5 by another kernel, `gradients` of them a step."""

    def make(rng, chains=256):
        row = ula(rng, chains)
        return replace(
            row,
            name=name,
            title=f"{title}, {chains} chains, energy {list(row.nets['energy'].sizes)} SiLU",
            gradients=gradients,
            goals=_goals(1.0, 0.7),
            draws=row.draws + (("uniform", (chains,)),) * draws,
            steps=steps,
            step_size=step_size,
        )

    return make


CHAINS = {
    "ULA": _on_energy("ULA", "100 ULA steps", 0, 100, 0.02, 1),
    "MALA": _on_energy("MALA", "100 MALA steps", 1, 100, 0.5, 1),
    "HMC": _on_energy("HMC", f"10 HMC steps of {LEAPFROG} leapfrog steps", 1, 10, 0.5, LEAPFROG),
}
