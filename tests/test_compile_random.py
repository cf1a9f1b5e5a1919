"""Random training steps, compiled, give bit for bit what they give uncompiled.

Each seed makes a small network and a step out of what a program may do with it: weights used as they are, transposed,
reversed, twice or not at all, batches in any memory layout, noise, gradients of gradients, clipping, any optimiser.
Everything is square where it can be, so that an array put in another's place by its shape alone shows.
"""

import numpy as np
import pytest

import minigen
from minigen import nn, ops, optim
from minigen.tape import leaf

N = 3  # rows and features
PROGRAMS = 320
CALLS = 5


class Network(nn.Module):
    """Square weights, a vector, and layers; which of them a step uses is its own affair."""

    def __init__(self, rng, dtype):
        self.first, self.second = nn.Linear(N, N, rng=rng, bias=False), nn.Linear(N, N, rng=rng)
        self.norm = nn.LayerNorm(N)
        self.square = leaf(rng.standard_normal((N, N)).astype(np.float32))
        self.vector = leaf(rng.standard_normal(N).astype(np.float32))
        self.noise = rng
        self.astype(dtype)


STAGES = {  # from hidden values h (N, N), the network and the batch x to hidden values
    "layer without bias": lambda h, net, x: net.first(h),
    "layer": lambda h, net, x: net.second(h),
    "weight": lambda h, net, x: h @ net.square,
    "weight transposed": lambda h, net, x: h @ net.square.T,
    "weight from the left": lambda h, net, x: net.square @ h,
    "transposed from the left": lambda h, net, x: net.square.T @ h,
    "layer's weight as it is": lambda h, net, x: h @ net.first.weight,
    "weight times itself": lambda h, net, x: h + net.square @ net.square.T,
    "weight elementwise": lambda h, net, x: h * net.square,
    "transposed elementwise": lambda h, net, x: h * net.square.T,
    "weight reversed": lambda h, net, x: h * net.square[::-1],
    "columns reversed": lambda h, net, x: h + net.square[:, ::-1],
    "permuted": lambda h, net, x: h + ops.transpose(ops.reshape(net.square, (1, N, N)), (2, 0, 1))[:, 0],
    "diagonal": lambda h, net, x: h * ops.diagonal(net.square),
    "part of a weight": lambda h, net, x: h[:, :2] @ net.square[:2],
    "vector": lambda h, net, x: h * net.vector,
    "vector down": lambda h, net, x: h + ops.reshape(net.vector, (N, 1)),
    "vector reversed": lambda h, net, x: h - net.vector[::-1],
    "tanh": lambda h, net, x: ops.tanh(h),
    "relu": lambda h, net, x: ops.relu(h),
    "softmax": lambda h, net, x: ops.softmax(h),
    "norm of the layer": lambda h, net, x: net.norm(h),
    "axes changed": lambda h, net, x: ops.transpose(h),
    "swapped and back": lambda h, net, x: ops.tanh(h.T).T,
    "reversed": lambda h, net, x: h[::-1],
    "in another shape": lambda h, net, x: ops.reshape(ops.reshape(h.T, (N * N,)) * 0.5, (N, N)),
    "apart and together": lambda h, net, x: ops.concatenate([h[:, 1:], h[:, :1]], axis=1),
    "the batch": lambda h, net, x: h * x,
    "the batch transposed": lambda h, net, x: h + x.T,
    "a product with the batch": lambda h, net, x: h @ (x.T @ x),
    "where": lambda h, net, x: ops.where(x > 0, h, h * 0.1),
    "noise": lambda h, net, x: h + 0.1 * ops.normal(net.noise, (N, N), h.dtype),
    "sums": lambda h, net, x: h - ops.mean(h, axis=0) + ops.sum(h, axis=1, keepdims=True),
    "twice": lambda h, net, x: h + h.T,
}
LOSSES = {
    "square": lambda h, net: ops.mean(ops.square(h)),
    "logsumexp": lambda h, net: ops.sum(ops.logsumexp(h, axis=1)),
    "linear": lambda h, net: ops.sum(ops.tanh(h) * net.square.T),
    "decayed": lambda h, net: ops.mean(ops.square(h - 1.0)) + 0.01 * ops.sum(ops.square(net.square.T)),
}
LAYOUTS = {  # other memory, the same numbers
    "C": lambda x: x,
    "F": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "columns reversed": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    "gaps": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "one row": lambda x: np.broadcast_to(x[0], (N, N)),
}
OPTIMIZERS = [
    lambda net: optim.SGD(net, 0.05),
    lambda net: optim.SGD(net, 0.05, momentum=0.5, nesterov=True),
    lambda net: optim.RMSprop(net, 0.01),
    lambda net: optim.Adam(net, optim.cosine_decay(0.02, 10)),
    lambda net: optim.AdamW(net, 0.02),
]


def choose(rng, table):
    return table[list(table)[rng.integers(len(table))]]


def program(seed):
    """A step, the batches it is given, and what it changes."""
    rng = np.random.default_rng(seed)
    dtype = np.float32 if rng.random() < 0.7 else np.float64
    net = Network(np.random.default_rng(seed + 1), dtype)
    learning = {name: stage for name, stage in STAGES.items() if name.split()[0] in ("layer", "weight", "transposed")}
    stages = [choose(rng, learning), *[choose(rng, STAGES) for _ in range(rng.integers(0, 5))]]
    loss_of, laid_out = choose(rng, LOSSES), choose(rng, LAYOUTS)
    optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))](net)
    penalised, clipped, forgetful, looks = rng.random(4) < (0.25, 0.3, 0.15, 0.3)
    batches = [laid_out(x.astype(dtype)) for x in rng.standard_normal((CALLS, N, N))]
    dead = rng.random() < 0.2  # batches of zeros have no gradient, in the calls that are compared too

    def step(x):
        if not forgetful:
            optimizer.zero_grad()
        h = start = minigen.tensor(x, requires_grad=bool(penalised))
        for stage in stages:
            h = stage(h, net, x)
        loss = loss_of(h, net)
        if penalised:
            slope = minigen.grad(loss + 0.0 * ops.sum(start), start, create_graph=True)
            loss = loss + 0.1 * ops.mean(ops.square(slope.T))
        loss.backward()
        norm = optim.clip_grad_norm(net, 0.5) if clipped else None
        seen = minigen.tensor(net.square.grad) if looks else None
        optimizer.step()
        return {"loss": loss, "norm": norm, "gradient": seen, "hidden": h.T}

    if dead:
        batches[:2] = [np.zeros_like(batches[0])] * 2
    return step, batches, lambda: [net.state_dict(), optimizer.state_dict(), net.noise.bit_generator.state["state"]]


def flat(tree) -> list:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        return [leaf for part in tree for leaf in flat(part)]
    return [tree.data if type(tree) is minigen.Tensor else tree]


def run(seed, compile):
    step, batches, state = program(seed)
    step = compile(step)
    return flat([[step(x) for x in batches], state()])


@pytest.mark.parametrize("start", range(0, PROGRAMS, 20))
def test_random_training_steps_are_the_same_compiled(start):
    for seed in range(start, start + 20):
        with np.errstate(all="ignore"):
            expected, found = run(seed, lambda step: step), run(seed, minigen.compile)
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert np.asarray(one).dtype == np.asarray(other).dtype
            np.testing.assert_array_equal(one, other, err_msg=f"program {seed}")
