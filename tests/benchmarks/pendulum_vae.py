"""How long does the VAE's training take beside PyTorch's?

    python tests/benchmarks/pendulum_vae.py [--rounds 7]

4000 noise-free trajectories in the 100-step view; the same network, data, batch and optimiser in both: seconds per
step, in alternating rounds. Needs torch. How good the VAE is: pendulum_scoreboard.py.
"""

import argparse
import itertools
import math

import numpy as np
from timing import bare, interleaved, note_core_type, products

from minigen import datasets, models, optim, training


def torch_training(X, latent=6, hidden=(256, 128), batch_size=128, lr=2e-3):
    """A function that runs a number of steps of the same training in PyTorch."""
    import torch

    def mlp(sizes):
        layers = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    d = X.shape[1]
    encoder, decoder = mlp([d, *hidden, 2 * latent]), mlp([latent, *hidden[::-1], d])
    log_sd = torch.nn.Parameter(torch.zeros(d))
    parameters = [*encoder.parameters(), *decoder.parameters(), log_sd]
    optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
    data = torch.from_numpy(X.astype(np.float32))

    def run(steps):
        for _ in range(steps):
            x = data[torch.randint(len(data), (batch_size,))]
            mean, log_scale = encoder(x).chunk(2, dim=1)
            scale = log_scale.exp()
            z = mean + scale * torch.randn_like(mean)
            kl = 0.5 * (mean**2 + scale**2 - 2 * log_scale - 1).sum(dim=1)
            error = (x - decoder(z)) * torch.exp(-log_sd)
            loss = (0.5 * (error**2).sum(dim=1) + log_sd.sum() + 0.5 * d * math.log(2 * math.pi) + kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    return run


def compare(rounds, steps):
    """Seconds per step, (rounds, 3), of minigen, PyTorch and the bare matrix products."""
    rng = np.random.default_rng(0)
    data = datasets.pendulum_trajectories(4000, rng, view=100, noise=False)
    X = (data.theta - data.theta.mean(axis=0)) / data.theta.std()
    theirs = torch_training(X)
    vae = models.VAE(steps=1).fit(X, rng=rng)
    settings = {"rng": rng, "batch_size": 128, "optimizer": optim.Adam(vae.network_, 2e-3)}
    pairs = products((100, 256, 128, 12), 128) + products((6, 128, 256, 100), 128, "forward weights inputs")
    once = bare(pairs)

    def ours(n):
        training.fit(vae.network_, lambda x: vae.loss(np.asarray(0, np.float32), x, rng), (X,), steps=n, **settings)

    def floor(n):
        for _ in range(n):
            once()

    runs = [lambda run=run: run(steps) for run in (ours, theirs, floor)]
    interleaved(runs, 1, repeats=1)
    return interleaved(runs, rounds, repeats=1) / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200, help="steps per round of the comparison")
    arguments = parser.parse_args()
    note_core_type()
    times = compare(arguments.rounds, arguments.steps)
    mini, peer, bare = np.median(times, axis=0) * 1e6
    ratio = np.median(times[:, 0] / times[:, 1])
    print(
        f"training step: minigen {mini:.0f} µs, PyTorch {peer:.0f} µs, bare products {bare:.0f} µs, "
        f"median ratio {ratio:.2f} (goal: at most 0.5)"
    )


if __name__ == "__main__":
    main()
