"""Do the entropy networks order generators as their exact entropies do, and how much noise does it take?

    python tests/benchmarks/entropy_estimates.py [--seeds 5] [--noise 0 0.02 0.05 0.1] [--steps 1000] [--quick]

Twelve random generators of two latents and two outputs, of two kinds. "waves": twice a random linear map and
u + 0.8 sin(u) in each coordinate, then a third map. Each part is one-to-one, so the whole is, and H(z) + E ln |det J|
is its entropy without any but the Monte-Carlo error. "networks": random networks of 2-32-32-2 units with tanh. They
fold the plane here and there, where the formula counts both layers as if they lay apart. There the reference is the
entropy of a fine histogram, and printed is by how much the formula exceeds it. In both kinds the SDs of the output go
from 0.05 to 1 in equal ratios, as an `EnergyGAN` scales its data to SD 1.

For each generator, noise SD and kind of network, a network learns on the fixed generator, and is judged on fresh pairs.
It sees the outputs with their noise either "as they are" or "in units of their SD", which leaves the mutual information
what it is. Printed is how the estimates follow the exact entropy over the twelve: Spearman's rank correlation, mean and
least over seeds, and the slope of a straight line, in nats per nat, mean over seeds:

    JSD value      -forward() of JSDInformation, what the generator of an EnergyGAN is taught
    JSD nats       its information()
    squared error  -forward() of InfoGANBound, what the generator is taught
    Gaussian bound its information()

Goal: at noise SD 0.05 a mean correlation above 0.9 for all four on the one-to-one generators. Where a fold brings two
distant z to one x, a normal guess of z lies between them and misses both, and the encoder's two estimates order less
well. At noise SD 0 there is nothing to measure: the mutual information of a one-to-one generator is infinite, whatever
its volume. A network that sees the outputs as they are may still put the generators in the right order, because it is
not sharp enough for small outputs, as if it added noise of its own; in units of their SD that help is gone.
"""

import argparse
import os
import time

import numpy as np

GENERATORS, SMALLEST = 12, 0.05
ESTIMATES = ("JSD value", "JSD nats", "squared error", "Gaussian bound")
GOAL, GOAL_NOISE = 0.9, 0.05


def waves(rng):
    """A random one-to-one map of the plane: tensors (n, 2) to (n, 2)."""
    from minigen import ops

    turn = lambda: np.linalg.qr(rng.standard_normal((2, 2)))[0]
    maps = []
    for _ in range(3):
        stretch = np.exp(rng.uniform(0, np.log(3)) / 2)
        maps.append(np.float32(turn() @ np.diag([stretch, 1 / stretch]) @ turn()))

    def generator(z):
        for matrix in maps[:-1]:
            z = ops.matmul(z, matrix)
            z = ops.add(z, ops.multiply(ops.sin(z), np.float32(0.8)))
        return ops.matmul(z, maps[-1])

    return generator


def network(rng):
    """A random network of tanh, of which little is folded: tensors (n, 2) to (n, 2)."""
    from minigen import nn

    return nn.MLP([2, 32, 32, 2], "tanh", rng=rng)


def outputs(generator, Z):
    """Arrays (n, 2) to (n, 2)."""
    from minigen import no_grad, tensor

    with no_grad():
        return generator(tensor(Z)).data


def scaled(generator, sd, rng):
    """The generator times a number, such that its outputs have this SD."""
    from minigen import ops

    x = outputs(generator, rng.standard_normal((20_000, 2), np.float32))
    factor = np.float32(sd / np.sqrt(np.mean(np.var(x, axis=0))))
    return lambda z: ops.multiply(generator(z), factor)


def histogram_entropy(generator, rng, side=400, n=4_000_000):
    """Entropy in nats from counts in cells of equal size, with the bias of counts taken off (Miller, 1955)."""
    low, high, counts = None, None, 0.0
    for _ in range(n // 100_000):
        x = outputs(generator, rng.standard_normal((100_000, 2), np.float32)).astype(float)
        if low is None:
            spread = np.ptp(x, axis=0)
            low, high = x.min(axis=0) - 0.2 * spread, x.max(axis=0) + 0.2 * spread
        counts = counts + np.histogram2d(*x.T, bins=side, range=np.stack([low, high], axis=1))[0]
    p = counts[counts > 0] / counts.sum()
    return -np.sum(p * np.log(p)) + (len(p) - 1) / (2 * counts.sum()) + np.sum(np.log((high - low) / side))


def learn(network, Z, X, noise_sd, steps, rng):
    """Train an entropy network on pairs of a fixed generator, with fresh noise at each step."""
    import minigen
    from minigen import ops, optim

    adam = optim.Adam(network, optim.cosine_decay(3e-3, steps))

    @minigen.compile
    def step(x, z):
        adam.zero_grad()
        noise = ops.multiply(ops.normal(rng, x.shape), np.float32(noise_sd))
        loss = network(ops.add(x, noise), z)
        loss.backward(network.parameters())
        adam.step()
        return loss

    for _ in range(steps):
        batch = rng.integers(len(Z), size=256)
        step(X[batch], Z[batch])
    return network


def measured(generator, noise_sd, in_units, steps, rng):
    """The four estimates for one generator."""
    from minigen import no_grad
    from minigen.models.entropy import ENTROPIES

    Z, fresh = (rng.standard_normal((n, 2), np.float32) for n in (50_000, 20_000))
    X, shown = outputs(generator, Z), outputs(generator, fresh)
    unit = np.sqrt(np.mean(np.var(X, axis=0)) + noise_sd**2).astype(np.float32) if in_units else np.float32(1)
    X, shown, noise_sd = X / unit, shown / unit, noise_sd / unit
    shown = shown + np.float32(noise_sd) * rng.standard_normal(shown.shape, np.float32)
    found = []
    for kind in ENTROPIES.values():
        net = learn(kind(2, 2, (64, 64), rng=rng), Z, X, noise_sd, steps, rng)
        with no_grad():
            found += [-net(shown, fresh).item(), net.information(shown, fresh)]
    return found


def ranks_agree(a, b):
    """Spearman's rank correlation; no two values are equal."""
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.02, 0.05, 0.1])
    parser.add_argument("--steps", type=int, default=1000, help="of each entropy network")
    parser.add_argument("--quick", action="store_true", help="one seed, 100 steps, only to see that it runs")
    arguments = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products; read when NumPy makes its first
    from minigen.models.entropy import exact_entropy, noise_entropy

    seeds, steps = (1, 100) if arguments.quick else (arguments.seeds, arguments.steps)
    makers, start = {"waves": waves, "networks": network}, time.process_time()
    sizes = np.geomspace(SMALLEST, 1, GENERATORS)
    agreement = {}  # (kind, noise): rows of four, one for each seed
    for kind, make in makers.items():
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            generators = [scaled(make(rng), sd, rng) for sd in sizes]
            exact = [exact_entropy(g, rng.standard_normal((20_000, 2), np.float32)) for g in generators]
            entropies = np.array([value for value, _ in exact])
            if kind == "networks" or seed == 0:
                n = 400_000 if arguments.quick else 4_000_000
                off = entropies - np.array([histogram_entropy(g, rng, n=n) for g in generators])
                print(
                    f"{kind}, seed {seed}: formula from {entropies.min():.2f} to {entropies.max():.2f} nats, standard "
                    f"error at most {max(error for _, error in exact):.3f}; less that of a histogram {off.min():+.3f} "
                    f"to {off.max():+.3f}, median {np.median(off):+.3f}"
                )
            if kind == "networks":
                entropies = entropies - off
            for noise, in_units in [(noise, in_units) for noise in arguments.noise for in_units in (False, True)]:
                found = np.array([measured(g, noise, in_units, steps, rng) for g in generators]).T
                row = [(ranks_agree(entropies, values), np.polyfit(entropies, values, 1)[0]) for values in found]
                condition = f"{kind:9} noise SD {noise:<5g} {'in units of their SD' if in_units else 'as they are':21}"
                agreement.setdefault((condition, noise), []).append(row)
                cells = ", ".join(f"{name} {rank:.2f}" for name, (rank, _) in zip(ESTIMATES, row, strict=True))
                print(f"  {condition}seed {seed}: {cells}", flush=True)
                if seed == 0:
                    for name, values in zip(("exact", *ESTIMATES), (entropies, *found), strict=True):
                        print(f"    {name:15}" + " ".join(f"{value:6.2f}" for value in values))
                    if noise:
                        print(f"    add H(x|z) = {noise_entropy(2, noise):.2f} to nats and bound for estimates of H(x)")
    print(f"\nOver {GENERATORS} generators, {seeds} seeds, {steps} steps: rank correlation, mean (least); slope")
    print(" " * 46 + "".join(f"{name:>20}" for name in ESTIMATES))
    for (condition, noise), rows in agreement.items():
        ranks, slopes = np.moveaxis(np.array(rows), -1, 0)
        cells = zip(ranks.mean(axis=0), ranks.min(axis=0), slopes.mean(axis=0), strict=True)
        print(condition + "".join(f"{f'{mean:.2f} ({least:.2f}) {slope:+.2f}':>20}" for mean, least, slope in cells))
        if noise == GOAL_NOISE and condition.startswith("waves") and not arguments.quick:
            verdict = "reached" if (ranks.mean(axis=0) > GOAL).all() else "MISSED"
            print(f"{'':11}goal: all above {GOAL}: {verdict}")
    print(f"{time.process_time() - start:.0f} s of processor")


if __name__ == "__main__":
    main()
