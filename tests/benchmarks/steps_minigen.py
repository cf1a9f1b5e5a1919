"""minigen's side of steps.py: each row's step as a user would write it, eager and compiled, and the bare products."""

from types import SimpleNamespace

import numba
import numpy as np
import timing
from rows import BETAS, COMPILED, EAGER, EPS, FLOOR, LEAPFROG, LR, PENALTY, SLOPE
from worker import Job, serve

import minigen
from minigen import nn, ops, optim, samplers, tape
from minigen._support import blas

# One loss for each optimiser of a row; it takes the networks, then the data, then the draws.


def regression(nets, x, y):
    return ops.mse(nets.net(x), y)


def discriminator(nets, real, noise, _):
    fakes = nets.generator(noise).detach()
    ones = np.ones((len(real), 1), np.float32)
    bce = ops.binary_cross_entropy_with_logits
    return bce(nets.discriminator(real), ones) + bce(nets.discriminator(fakes), 0 * ones)


def generator(nets, real, _, noise):
    logits = nets.discriminator(nets.generator(noise))
    return ops.binary_cross_entropy_with_logits(logits, np.ones((len(real), 1), np.float32))


def vae(nets, x, noise):
    out, k = nets.encoder(x), noise.shape[1]
    mean, log_sd = out[:, :k], out[:, k:]
    z = mean + ops.exp(log_sd) * noise
    n, d = x.shape
    reconstruction = ops.gaussian_nll(nets.decoder(z), x, 2.0 * nets.log_sd) * d
    return reconstruction + ops.sum(ops.standard_normal_kl(mean, log_sd)) / n


def energy(nets, real, fakes):
    x = minigen.tensor(real, requires_grad=True)
    u = nets.energy(x)
    gradient = minigen.grad(ops.sum(u), x, create_graph=True)
    penalty = ops.mean(ops.sum(ops.square(gradient), axis=1))
    return ops.mean(u) - ops.mean(nets.energy(fakes)) + PENALTY * penalty


def classifier(nets, x, labels):
    return ops.cross_entropy(nets.net(x), labels)


LOSSES = {
    "W1": [(["net"], regression)],
    "W2": [(["discriminator"], discriminator), (["generator"], generator)],
    "W3": [(["encoder", "decoder", "log_sd"], vae)],
    "W4": [(["energy"], energy)],
    "W8": [(["net"], classifier)],
}


def ula(nets, step_size, compile):
    return samplers.ula(samplers.from_energy(nets.energy), step_size, compile=compile)


def mala_on_energy(nets, step_size, compile):
    return samplers.mala(samplers.from_energy(nets.energy), step_size, compile=compile)


def hmc(nets, step_size, compile):
    return samplers.hmc(samplers.from_energy(nets.energy), step_size, leapfrog_steps=LEAPFROG, compile=compile)


def mala(nets, step_size, compile):
    def log_prob(z):
        return -nets.energy(nets.generator(z))[:, 0] - 0.5 * ops.sum(ops.square(z), axis=1)

    return samplers.mala(log_prob, step_size, compile=compile)


KERNELS = {"W5": ula, "W6": mala, "ULA": ula, "MALA": mala_on_energy, "HMC": hmc}


class Together(nn.Module):
    """Networks and loose parameters in one buffer, for one optimiser."""

    def __init__(self, parts):
        for name, part in parts.items():
            setattr(self, name, part)


def networks(row):
    """The row's networks and loose parameters with their initial values."""
    nets = {}
    for name, net in row.nets.items():
        settings = {"slope": SLOPE} if net.activation == "leaky_relu" else {}
        nets[name] = nn.MLP(net.sizes, net.activation, rng=np.random.default_rng(0), **settings)
        for layer, (weight, bias) in zip(nets[name].layers[::2], net.layers):
            layer.weight, layer.bias = weight, bias
    return nets | {name: tape.leaf(value.copy()) for name, value in row.free.items()}


def drawing(row):
    """A function that makes the draws of one step."""
    rng = np.random.default_rng(2)
    draw = {"normal": ops.normal, "uniform": ops.uniform}
    return lambda: [draw[kind](rng, shape) for kind, shape in row.draws]


def training(row, compile):
    """The whole training step of a row; `compile` makes one function from another."""
    nets, draw = networks(row), drawing(row)
    optimizers = [
        optim.Adam(Together({name: nets[name] for name in names}), LR, betas=BETAS, eps=EPS)
        for names, _ in LOSSES[row.name]
    ]
    initial = [(each.module.state_dict(), each.state_dict()) for each in optimizers]
    parts = [(optimizer, loss) for optimizer, (_, loss) in zip(optimizers, LOSSES[row.name])]
    nets = SimpleNamespace(**nets)
    # Where a loss reaches leaves that are not to learn from it, the gradients it is for are named.
    learning = {each: each.module.parameters() if row.name in ("W2", "W4") else None for each in optimizers}

    def step(*arrays):
        losses = []
        for optimizer, loss_of in parts:
            optimizer.zero_grad()
            loss = loss_of(nets, *arrays)
            loss.backward(learning[optimizer])
            optimizer.step()
            losses.append(loss)
        return tuple(losses)

    def reset():
        for optimizer, (weights, moments) in zip(optimizers, initial):
            optimizer.module.load_state_dict(weights)
            optimizer.load_state_dict(moments)

    given, own = compile(step), compile(lambda *data: step(*data, *draw()))
    return Job(
        reset,
        lambda: [loss.item() for loss in own(*row.data)],
        lambda *noise: [loss.item() for loss in given(*row.data, *noise)],
    )


def sampling(row, compiled):
    """Many steps of all chains of a row, by the library's kernels."""
    kernel = KERNELS[row.name](SimpleNamespace(**networks(row)), row.step_size, compiled)
    rng, state = np.random.default_rng(2), []

    def reset():
        state[:] = [kernel.init(*row.data)]

    def steps():
        for _ in range(row.steps):
            state[0], _ = kernel.step(state[0], rng)
        return state[0].position

    def one(noise, *uniform):
        # The others accept below log(1 - uniform), a kernel below its logarithm.
        state[0], _ = kernel.transition(state[0], noise, *(1 - u for u in uniform))
        return state[0].position

    return Job(reset, steps, one)


def job(row, compiled):
    if row.name in KERNELS:
        return sampling(row, compiled)
    return training(row, minigen.compile if compiled else lambda step: step)


def floor(row):
    once = timing.bare([pair for chain in row.floor for pair in timing.products(*chain)])
    return Job(lambda: None, lambda: [once() for _ in range(row.steps * row.gradients)])


if __name__ == "__main__":
    serve(
        {
            EAGER: lambda row: job(row, compiled=False),
            COMPILED: lambda row: job(row, compiled=True),
            FLOOR: floor,
        },
        {
            "minigen": f"{minigen.__version__}, NumPy {np.__version__}, numba {numba.__version__}",
            "threads": blas.threads(),
        },
    )
