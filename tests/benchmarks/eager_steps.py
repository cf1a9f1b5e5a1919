"""How long does one eager training step take beside PyTorch's? Adam, float32, same weights, same batch, same process.

    python tests/benchmarks/eager_steps.py [--rounds 30]

Rounds of minigen and PyTorch (eager, fused Adam) alternate; the ratio is the median over rounds of minigen's time over
PyTorch's in the same round. The floor is the time of the step's bare matrix products through NumPy. Needs torch.
"""

import argparse
import itertools

import numpy as np
from timing import bare, interleaved, note_core_type, products

from minigen import nn, ops, optim

ROWS = [
    ("[1,64,64,1] tanh, batch 64", (1, 64, 64, 1), 64, 0.5),
    ("[2,32,32,1] tanh, batch 128", (2, 32, 32, 1), 128, 0.5),
    ("[2,128,128,1] tanh, batch 256", (2, 128, 128, 1), 256, 0.8),
]


def minigen_step(sizes, batch):
    """A training step of an MLP and the network it trains."""
    rng = np.random.default_rng(0)
    network = nn.MLP(sizes, "tanh", rng=rng)
    optimizer = optim.Adam(network, 1e-3)
    x, y = _batch(rng, sizes, batch)

    def step():
        optimizer.zero_grad()
        loss = ops.mse(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, network, (x, y)


def torch_step(network, sizes, data):
    """The same step in PyTorch, from the same weights."""
    import torch

    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
    twin = torch.nn.Sequential(*layers[:-1])
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in network.state_dict().items()})
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3, fused=True)
    x, y = map(torch.from_numpy, data)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(twin(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _batch(rng, sizes, batch):
    return tuple(rng.standard_normal((batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    note_core_type()
    print(f"{'step':32}{'minigen':>10}{'PyTorch':>10}{'floor':>9}   ratio (10 to 90 %)      goal")
    for name, sizes, batch, goal in ROWS:
        ours, network, data = minigen_step(sizes, batch)
        theirs = torch_step(network, sizes, data)
        for _ in range(20):
            difference = abs(ours() - theirs())
        if difference > 1e-5:
            raise SystemExit(f"{name}: the two trainings differ by {difference:.1e} after 20 steps")
        times = interleaved((ours, theirs, bare(products(sizes, batch))), rounds)
        ratios = times[:, 0] / times[:, 1]
        low, middle, high = np.quantile(ratios, (0.1, 0.5, 0.9))
        mini, torch_time, floor = np.median(times, axis=0) * 1e6
        print(
            f"{name:32}{mini:7.0f} µs{torch_time:7.0f} µs{floor:6.0f} µs   {middle:.2f} ({low:.2f} to {high:.2f})"
            f"     at most {goal}"
        )


if __name__ == "__main__":
    main()
