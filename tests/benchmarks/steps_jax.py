"""JAX's side of steps.py: each row's whole step in one jitted function, parameters and optimiser state donated."""

import math

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from rows import BETAS, EPS, JAX, LEAPFROG, LR, PENALTY, SLOPE
from timing import cores
from worker import Job, serve

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, SLOPE),
}


def mlp(layers, x, activation):
    *hidden, last = layers
    for weight, bias in hidden:
        x = ACTIVATIONS[activation](x @ weight + bias)
    return x @ last[0] + last[1]


def bce(logits, target):
    """Binary cross entropy with logits for one target, 0 or 1."""
    return jnp.mean(jax.nn.softplus(-logits if target else logits))


# One loss for each optimiser of a row; it takes the parameters, then the data, then the draws.


def regression(p, x, y):
    return jnp.mean((mlp(p["net"], x, "tanh") - y) ** 2)


def discriminator(p, real, noise, _):
    fakes = mlp(p["generator"], noise, "relu")
    judge = lambda x: mlp(p["discriminator"], x, "leaky_relu")
    return bce(judge(real), 1) + bce(judge(fakes), 0)


def generator(p, real, _, noise):
    return bce(mlp(p["discriminator"], mlp(p["generator"], noise, "relu"), "leaky_relu"), 1)


def vae(p, x, noise):
    mean, log_sd = jnp.split(mlp(p["encoder"], x, "relu"), 2, axis=1)
    sd = jnp.exp(log_sd)
    kl = 0.5 * jnp.sum(mean**2 + sd**2 - 2 * log_sd - 1)
    error = (x - mlp(p["decoder"], mean + sd * noise, "relu")) * jnp.exp(-p["log_sd"])
    n, d = x.shape
    return (0.5 * jnp.sum(error**2) + kl) / n + jnp.sum(p["log_sd"]) + 0.5 * d * math.log(2 * math.pi)


def energy(p, real, fakes):
    u = lambda x: mlp(p["energy"], x, "silu")
    values, back = jax.vjp(u, real)
    (gradient,) = back(jnp.ones_like(values))
    penalty = jnp.mean(jnp.sum(gradient**2, axis=1))
    return jnp.mean(values) - jnp.mean(u(fakes)) + PENALTY * penalty


def classifier(p, x, labels):
    logits = mlp(p["net"], x, "relu")
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


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
    gradient = jax.grad(lambda x: jnp.sum(mlp(p["energy"], x, "silu")))(x)
    return (x - h * gradient + math.sqrt(2 * h) * noise,)


def mala_start(p, z):
    """The state of the chains: z, the potential U(G(z)) + |z|^2 / 2 or U(z), its gradient."""

    def potential(z):
        if "generator" not in p:
            return mlp(p["energy"], z, "silu")[:, 0]
        return mlp(p["energy"], mlp(p["generator"], z, "relu"), "silu")[:, 0] + 0.5 * jnp.sum(z**2, axis=1)

    values, back = jax.vjp(potential, z)
    return z, values, back(jnp.ones_like(values))[0]


def mala(p, h, z, potential, gradient, noise, uniform):
    proposal, new_potential, new_gradient = mala_start(p, z - h * gradient + math.sqrt(2 * h) * noise)
    there = 0.5 * jnp.sum(noise**2, axis=1)  # -log q(proposal | z) up to a constant
    back = jnp.sum((z - proposal + h * new_gradient) ** 2, axis=1) / (4 * h)
    accepted = jnp.log1p(-uniform) < potential - new_potential + there - back
    return chosen(accepted, (proposal, new_potential, new_gradient), (z, potential, gradient))


def hmc(p, h, x, potential, gradient, noise, uniform):
    def leap(phase, _):
        y, momentum, _, slope = phase
        momentum = momentum - h / 2 * slope
        y, value, slope = mala_start(p, y + h * momentum)
        return (y, momentum - h / 2 * slope, value, slope), None

    (y, momentum, new_potential, new_gradient), _ = jax.lax.scan(leap, (x, noise, potential, gradient), length=LEAPFROG)
    kinetic = 0.5 * jnp.sum(momentum**2 - noise**2, axis=1)
    accepted = jnp.log1p(-uniform) < potential - new_potential - kinetic
    return chosen(accepted, (y, new_potential, new_gradient), (x, potential, gradient))


def chosen(accepted, new, old):
    """The new state of the chains that accepted, the old one of the others."""
    (z, potential, gradient), rows = old, accepted[:, None]
    proposal, new_potential, new_gradient = new
    return (
        jnp.where(rows, proposal, z),
        jnp.where(accepted, new_potential, potential),
        jnp.where(rows, new_gradient, gradient),
    )


SAMPLERS = {
    **{name: (ula_start, ula) for name in ("W5", "ULA")},
    **{name: (mala_start, mala) for name in ("W6", "MALA")},
    "HMC": (mala_start, hmc),
}


def adam(t, p, g, mean, square):
    """Parameters and moments, trees of arrays, after step t."""
    mean = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, mean, g)
    square = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g**2, square, g)
    rate, correction = (-1 / jnp.expm1(t * math.log(beta)) for beta in BETAS)  # 1 - beta^t without cancellation
    p = jax.tree.map(lambda p, m, v: p - LR * rate * m / (jnp.sqrt(correction * v) + EPS), p, mean, square)
    return p, mean, square


def parameters(row):
    """The initial parameters, weights as (in, out)."""
    nets = {name: [(w.T.copy(), b) for w, b in net.layers] for name, net in row.nets.items()}
    return jax.tree.map(jnp.array, nets | row.free)


def draws(row, key):
    """The key of the next step and the draws of this one."""
    key, *keys = jax.random.split(key, 1 + len(row.draws))
    draw = {"normal": jax.random.normal, "uniform": jax.random.uniform}
    return key, [draw[kind](each, shape) for each, (kind, shape) in zip(keys, row.draws)]


MANY = 200_000  # parameters from which on a tree of arrays was seen to be faster than one vector


def training(row):
    """The whole training step of a row; each optimiser's parameters are one vector if there are not many."""
    p = parameters(row)
    groups = [{name: p[name] for name in names} for names, _ in LOSSES[row.name]]
    losses_of = [loss for _, loss in LOSSES[row.name]]
    if sum(leaf.size for leaf in jax.tree.leaves(groups)) < MANY:
        groups, unpack = zip(*map(ravel_pytree, groups))
    else:
        unpack = [lambda p: p] * len(groups)
    data, initial = [jnp.array(array) for array in row.data], jax.tree.map(np.array, groups)

    def objective(p, i, nets, arrays):
        return losses_of[i](nets | unpack[i](p), *arrays)

    def step(state, data, noise):
        t, groups = state[0] + 1, list(state[1])
        losses = []
        for i, (p, *moments) in enumerate(groups):
            nets = {name: net for open, group in zip(unpack, groups) for name, net in open(group[0]).items()}
            loss, g = jax.value_and_grad(objective)(p, i, nets, (*data, *noise))
            groups[i] = adam(t, p, g, *moments)
            losses.append(loss)
        return (t, groups), jnp.stack(losses)

    def drawn(state, key, data):
        key, noise = draws(row, key)
        return *step(state, data, noise), key

    def fresh():
        zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)
        return jnp.zeros(()), [(jax.tree.map(jnp.array, p), zeros(p), zeros(p)) for p in initial]

    given, own, now = jax.jit(step, donate_argnums=0), jax.jit(drawn, donate_argnums=(0, 1)), {}

    def reset():
        now.update(state=jax.block_until_ready(fresh()), key=jax.random.key(0))

    def run():
        now["state"], losses, now["key"] = own(now["state"], now["key"], data)
        return np.asarray(losses).tolist()

    def one(*noise):
        now["state"], losses = given(now["state"], data, noise)
        return np.asarray(losses).tolist()

    return Job(reset, run, one)


def sampling(row):
    """Many steps of all chains of a row, one scan in one jitted function."""
    start, step = SAMPLERS[row.name]
    p, now = parameters(row), {}

    def many(p, state, key):
        def body(carry, _):
            state, key = carry
            key, noise = draws(row, key)
            return (step(p, row.step_size, *state, *noise), key), None

        return jax.lax.scan(body, (state, key), length=row.steps)[0]

    given = jax.jit(lambda p, *arrays: step(p, row.step_size, *arrays))
    own = jax.jit(many, donate_argnums=(1, 2))

    def reset():
        now.update(state=jax.block_until_ready(start(p, jnp.array(row.data[0]))), key=jax.random.key(0))

    def run():
        now["state"], now["key"] = own(p, now["state"], now["key"])
        return np.asarray(now["state"][0])

    def one(*noise):
        now["state"] = given(p, *now["state"], *noise)
        return np.asarray(now["state"][0])

    return Job(reset, run, one)


if __name__ == "__main__":
    serve(
        {JAX: lambda row: (training if row.name in LOSSES else sampling)(row)},
        {"JAX": jax.__version__, "threads": cores()},
    )
