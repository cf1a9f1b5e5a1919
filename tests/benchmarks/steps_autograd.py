"""autograd's (HIPS) side of steps.py: each row's step on NumPy, with an Adam in NumPy that works in place.

Activations are written so that float32 stays float32; autograd's rules of `maximum` and `where` would bring float64 in.
"""

import math
from importlib.metadata import version

import autograd.numpy as anp
import numpy as np
from autograd import elementwise_grad, value_and_grad
from rows import AUTOGRAD, BETAS, EPS, LR, PENALTY, SLOPE
from worker import Job, serve

import minigen._support.blas

ACTIVATIONS = {
    "tanh": anp.tanh,
    "relu": lambda x: x * (x > 0),
    "silu": lambda x: x / (1 + anp.exp(-x)),
    "leaky_relu": lambda x: x * np.where(anp.greater(x, 0), np.float32(1), np.float32(SLOPE)),
}


def mlp(layers, x, activation):
    *hidden, last = layers
    for weight, bias in hidden:
        x = ACTIVATIONS[activation](anp.dot(x, weight) + bias)
    return anp.dot(x, last[0]) + last[1]


def bce(logits, target):
    """Binary cross entropy with logits for one target, 0 or 1."""
    return anp.mean(anp.logaddexp(np.float32(0), -logits if target else logits))


# One loss for each optimiser of a row; it takes the parameters, then the data, then the draws.


def regression(p, x, y):
    return anp.mean((mlp(p["net"], x, "tanh") - y) ** 2)


def discriminator(p, real, noise, _):
    fakes = mlp(p["generator"], noise, "relu")
    judge = lambda x: mlp(p["discriminator"], x, "leaky_relu")
    return bce(judge(real), 1) + bce(judge(fakes), 0)


def generator(p, real, _, noise):
    return bce(mlp(p["discriminator"], mlp(p["generator"], noise, "relu"), "leaky_relu"), 1)


def vae(p, x, noise):
    out, k = mlp(p["encoder"], x, "relu"), noise.shape[1]
    mean, log_sd = out[:, :k], out[:, k:]
    sd = anp.exp(log_sd)
    kl = 0.5 * anp.sum(mean**2 + sd**2 - 2 * log_sd - 1)
    error = (x - mlp(p["decoder"], mean + sd * noise, "relu")) * anp.exp(-p["log_sd"])
    n, d = x.shape
    return (0.5 * anp.sum(error**2) + kl) / n + anp.sum(p["log_sd"]) + 0.5 * d * math.log(2 * math.pi)


def energy(p, real, fakes):
    u = lambda x: mlp(p["energy"], x, "silu")
    penalty = anp.mean(anp.sum(elementwise_grad(u)(real) ** 2, axis=1))
    return anp.mean(u(real)) - anp.mean(u(fakes)) + PENALTY * penalty


def classifier(p, x, labels):
    logits = mlp(p["net"], x, "relu")
    logits = logits - np.max(getattr(logits, "_value", logits), axis=1, keepdims=True)
    right = labels[:, None] == np.arange(logits.shape[1])
    return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=1)) - anp.sum(logits * right, axis=1))


LOSSES = {
    "W1": [(["net"], regression)],
    "W2": [(["discriminator"], discriminator), (["generator"], generator)],
    "W3": [(["encoder", "decoder", "log_sd"], vae)],
    "W4": [(["energy"], energy)],
    "W8": [(["net"], classifier)],
}


def ula_start(p, x):
    return (x,)


def ula(p, h, x, noise):
    gradient = elementwise_grad(lambda x: mlp(p["energy"], x, "silu"))(x)
    return (x - h * gradient + math.sqrt(2 * h) * noise,)


def mala_start(p, z):
    """The state of the chains: z, the potential U(G(z)) + |z|^2 / 2, its gradient."""

    def total(z):
        values = mlp(p["energy"], mlp(p["generator"], z, "relu"), "silu")[:, 0] + 0.5 * anp.sum(z**2, axis=1)
        found.append(values._value)
        return anp.sum(values)

    found = []
    _, gradient = value_and_grad(total)(z)
    return z, found[0], gradient


def mala(p, h, z, potential, gradient, noise, uniform):
    proposal, new_potential, new_gradient = mala_start(p, z - h * gradient + math.sqrt(2 * h) * noise)
    there = 0.5 * np.sum(noise**2, axis=1)  # -log q(proposal | z) up to a constant
    back = np.sum((z - proposal + h * new_gradient) ** 2, axis=1) / (4 * h)
    accepted = np.log1p(-uniform) < potential - new_potential + there - back
    rows = accepted[:, None]
    return (
        np.where(rows, proposal, z),
        np.where(accepted, new_potential, potential),
        np.where(rows, new_gradient, gradient),
    )


SAMPLERS = {"W5": (ula_start, ula), "W6": (mala_start, mala)}


def adam(t, p, g, mean, square):
    """Step t on one array of parameters and its moments, in place."""
    mean *= BETAS[0]
    mean += (1 - BETAS[0]) * g
    square *= BETAS[1]
    square += (1 - BETAS[1]) * g**2
    scale = np.sqrt(square)
    scale *= 1 / math.sqrt(1 - BETAS[1] ** t)
    scale += EPS
    p -= LR / (1 - BETAS[0] ** t) * mean / scale


def leaves(tree):
    """The arrays of a nest of dicts, tuples and lists, in order."""
    if isinstance(tree, np.ndarray):
        return [tree]
    return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in leaves(part)]


def parameters(row):
    """The initial parameters, weights as (in, out)."""
    nets = {name: [(w.T.copy(), b.copy()) for w, b in net.layers] for name, net in row.nets.items()}
    return nets | {name: value.copy() for name, value in row.free.items()}


def drawing(row):
    """A function that makes the draws of one step."""
    rng = np.random.default_rng(2)
    draw = {"normal": rng.standard_normal, "uniform": rng.random}
    return lambda: [draw[kind](shape, np.float32) for kind, shape in row.draws]


def training(row):
    """The whole training step of a row."""
    p, draw, done = parameters(row), drawing(row), [0]
    initial = [each.copy() for each in leaves(p)]
    moments = {name: [[np.zeros_like(each) for each in leaves(p[name])] for _ in range(2)] for name in p}

    def reset():
        done[0] = 0
        for each, value in zip(leaves(p), initial):
            each[...] = value
        for each in leaves(moments):
            each.fill(0)

    def one(*noise):
        done[0] += 1
        losses = []
        for names, loss_of in LOSSES[row.name]:
            loss, gradients = value_and_grad(lambda own, f=loss_of: f({**p, **own}, *row.data, *noise))(
                {name: p[name] for name in names}
            )
            for name in names:
                for each in zip(leaves(p[name]), leaves(gradients[name]), *moments[name]):
                    adam(done[0], *each)
            losses.append(float(loss))
        return losses

    return Job(reset, lambda: one(*draw()), one)


def sampling(row):
    """Many steps of all chains of a row."""
    start, step = SAMPLERS[row.name]
    p, draw, state = parameters(row), drawing(row), []

    def reset():
        state[:] = start(p, *row.data)

    def one(*noise):
        state[:] = step(p, row.step_size, *state, *noise)
        return state[0]

    def steps():
        for _ in range(row.steps):
            one(*draw())

    return Job(reset, steps, one)


if __name__ == "__main__":
    serve(
        {AUTOGRAD: lambda row: (training if row.name in LOSSES else sampling)(row)},
        {"autograd": f"{version('autograd')}, NumPy {np.__version__}", "threads": minigen._support.blas.threads()},
    )
