"""How parameters learn: optimisers over the flat buffer, learning-rate schedules, clipping, weight averaging.

An optimiser takes a module, reads the gradients that `loss.backward()` left in its buffer, and changes the weights with
one kernel call. `lr` is a number or a schedule: a function of the number of steps done so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager

import numpy as np

from . import kernels
from ._support.arguments import check_fraction, check_positive
from .nn.module import Flat, Module
from .watching import act

Schedule = Callable[[int], float]


def _check_module(module, caller: str) -> None:
    if not isinstance(module, Module):
        raise TypeError(
            f"{caller} got a {type(module).__name__}; expected a module, such as nn.MLP(...): put loose parameters "
            "into a Module as attributes"
        )


class Optimizer:
    """What the optimisers share: the module, the step count, and moment vectors as long as the parameters."""

    moment_names: tuple[str, ...] = ()

    def __init__(self, module: Module, lr: float | Schedule):
        _check_module(module, type(self).__name__)
        if not callable(lr):
            check_positive(lr, "lr", type(self).__name__)
        self.module, self.lr, self.steps = module, lr, 0
        data = module.flat().data
        self.moments = {name: np.zeros_like(data) for name in self.moment_names}

    def current_lr(self) -> float:
        """The learning rate of the next step; ValueError if a schedule gives anything but a number of 0 or more."""
        if not callable(self.lr):
            return float(self.lr)
        lr = self.lr(self.steps)
        if not (type(lr) is float and 0 <= lr < math.inf):
            check_positive(lr, "lr from its schedule", f"{type(self).__name__} at step {self.steps}", zero=True)
        return float(lr)

    def zero_grad(self) -> None:
        """Set the gradients to zero; call it before each `backward`."""
        self.module.zero_grad()

    def step(self) -> None:
        """Change the weights by one step along the gradients."""
        flat = self.module.flat()
        for moment in self.moments.values():
            if moment.shape != flat.data.shape or moment.dtype != flat.data.dtype:
                raise ValueError(
                    f"{type(self).__name__}: the network had {moment.size} {moment.dtype} parameters when the "
                    f"optimiser was made and has {flat.data.size} {flat.data.dtype} now; make the optimiser after the "
                    "network is complete"
                )
        act(self._advance, flat, changes=(self, flat.data, *self.moments.values()))

    def _advance(self, flat: Flat) -> None:
        lr = self.current_lr()
        self.steps += 1
        self._update(flat.data, flat.grad, lr)
        flat.changed()

    def _update(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """Step count and moment vectors, copied."""
        return {"steps": np.array(self.steps), **{name: moment.copy() for name, moment in self.moments.items()}}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over a state; nothing is changed unless all of it fits. Raises ValueError naming what does not."""
        expected = {"steps", *self.moments}
        if set(state) != expected:
            raise ValueError(
                f"{type(self).__name__} keeps {sorted(expected)}, the state has {sorted(state)}; "
                "load it into the kind of optimiser that saved it"
            )
        for name, moment in self.moments.items():
            if np.shape(state[name]) != moment.shape:
                raise ValueError(
                    f"{type(self).__name__}: {name} has shape {moment.shape}, the state has {np.shape(state[name])}; "
                    "the network must be the one that was saved"
                )
        steps = np.asarray(state["steps"])
        if steps.shape != () or steps.dtype.kind not in "iu" or steps < 0:
            raise ValueError(f"{type(self).__name__}: steps is {state['steps']!r}, expected a whole number, 0 or more")
        given = {name: np.asarray(state[name], moment.dtype) for name, moment in self.moments.items()}
        for name, moment in self.moments.items():
            moment[...] = given[name]
        self.steps = int(steps)


class SGD(Optimizer):
    """Gradient descent with momentum: v = momentum v + g; w -= lr v (Sutskever et al., 2013, for Nesterov's form)."""

    moment_names = ("velocity",)

    def __init__(
        self,
        module: Module,
        lr: float | Schedule = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        super().__init__(module, lr)
        check_fraction(momentum, "momentum", "SGD")
        if nesterov and momentum == 0:
            raise ValueError("SGD got nesterov=True with momentum=0; Nesterov's look-ahead needs a positive momentum")
        self.momentum, self.nesterov = momentum, nesterov
        self.weight_decay = check_positive(weight_decay, "weight_decay", "SGD", zero=True)

    def _update(self, w, g, lr):
        kernels.sgd(w, g, self.moments["velocity"], lr, self.momentum, self.weight_decay, self.nesterov)


class RMSprop(Optimizer):
    """Steps divided by the running root mean square of the gradient (Tieleman and Hinton, 2012)."""

    moment_names = ("square",)

    def __init__(self, module: Module, lr: float | Schedule = 0.01, *, alpha: float = 0.99, eps: float = 1e-8):
        super().__init__(module, lr)
        self.alpha, self.eps = check_fraction(alpha, "alpha", "RMSprop"), check_positive(eps, "eps", "RMSprop")

    def _update(self, w, g, lr):
        kernels.rmsprop(w, g, self.moments["square"], lr, self.alpha, self.eps)


def check_betas(betas, caller: str) -> tuple[float, float]:
    """Adam's two betas themselves, as a tuple; ValueError unless they are two numbers in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"{caller} got betas={betas!r}; expected two numbers in [0, 1)")
    return tuple(check_fraction(beta, "a beta", caller) for beta in betas)


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, 2015, algorithm 1). `weight_decay` is added to the gradient."""

    moment_names = ("mean", "square")
    decoupled = False

    def __init__(
        self,
        module: Module,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        name = type(self).__name__
        super().__init__(module, lr)
        self.betas = check_betas(betas, name)
        self.eps = check_positive(eps, "eps", name)
        self.weight_decay = check_positive(weight_decay, "weight_decay", name, zero=True)

    def _update(self, w, g, lr):
        beta1, beta2 = self.betas
        l2, decay = (0.0, lr * self.weight_decay) if self.decoupled else (self.weight_decay, 0.0)
        kernels.adam(
            w,
            g,
            self.moments["mean"],
            self.moments["square"],
            lr / (1 - beta1**self.steps),
            beta1,
            beta2,
            self.eps,
            1 / math.sqrt(1 - beta2**self.steps),
            l2,
            decay,
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly (Loshchilov and Hutter, 2019, algorithm 2)."""

    decoupled = True

    def __init__(self, module: Module, lr: float | Schedule = 1e-3, *, weight_decay: float = 0.01, **settings):
        super().__init__(module, lr, weight_decay=weight_decay, **settings)


def cosine_decay(lr: float, steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """From `lr` to `final` along half a cosine until step `steps`, after a linear warm-up.

    Loshchilov and Hutter (2017), "SGDR", eq. 5.
    """
    check_positive(lr, "lr", "cosine_decay")
    check_positive(final, "final", "cosine_decay", zero=True)
    if not 0 <= warmup < steps:
        raise ValueError(f"cosine_decay got warmup={warmup} and steps={steps}; expected 0 <= warmup < steps")

    def schedule(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        done = min(1.0, (step - warmup) / (steps - warmup))
        return final + (lr - final) * (1 + math.cos(math.pi * done)) / 2

    return schedule


def exponential_decay(lr: float, half_life: int) -> Schedule:
    """`lr` halved every `half_life` steps, smoothly."""
    check_positive(lr, "lr", "exponential_decay")
    check_positive(half_life, "half_life", "exponential_decay")
    return lambda step: lr * 0.5 ** (step / half_life)


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """`lr` times `factor` after every `every` steps."""
    check_positive(lr, "lr", "step_decay")
    check_positive(every, "every", "step_decay")
    check_positive(factor, "factor", "step_decay")
    return lambda step: lr * factor ** (step // every)


def clip_grad_norm(module: Module, max_norm: float) -> float:
    """Scale all gradients so that their joint Euclidean norm is at most `max_norm`; returns the norm before."""
    _check_module(module, "clip_grad_norm")
    if max_norm != math.inf:  # which only measures
        check_positive(max_norm, "max_norm", "clip_grad_norm")
    grad = module.flat().grad
    return act(_clip, grad, max_norm, changes=(grad,))


def _clip(grad: np.ndarray, max_norm: float) -> float:
    norm = math.sqrt(kernels.sum_of_squares(grad))
    if norm > max_norm:
        grad *= max_norm / norm
    return norm


class WeightAverage:
    """Running average of a module's weights: average += (1 - decay) (weights - average) at each `update`.

    The first update takes the weights as they are. `with average.applied(): ...` gives the module the averaged weights.
    """

    def __init__(self, module: Module, decay: float = 0.999):
        _check_module(module, "WeightAverage")
        self.module, self.decay = module, check_fraction(decay, "decay", "WeightAverage")
        self.average: np.ndarray | None = None

    def update(self) -> None:
        """Take the current weights into the average."""
        average = () if self.average is None else (self.average,)
        act(self._take_in, self._flat().data, changes=(self, *average))

    def _take_in(self, weights: np.ndarray) -> None:
        if self.average is None:
            self.average = weights.copy()
        else:
            self.average += (1 - self.decay) * (weights - self.average)

    def _flat(self):
        flat = self.module.flat()
        if self.average is not None and self.average.shape != flat.data.shape:
            raise ValueError(
                f"WeightAverage began with {self.average.size} parameters, the network has {flat.data.size} now; make "
                "the average after the network is complete"
            )
        return flat

    @contextmanager
    def applied(self):
        """Inside the block the module has the averaged weights; afterwards its own again."""
        if self.average is None:
            raise ValueError("WeightAverage has no average yet; call update() after each training step")
        own = self._flat().data.copy()
        self._put(self.average)
        try:
            yield self.module
        finally:
            self._put(own)

    def _put(self, weights: np.ndarray) -> None:
        flat = self._flat()  # asked for anew: the parameters may have moved into a larger network's buffer
        flat.data[...] = weights
        flat.changed()
