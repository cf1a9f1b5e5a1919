"""How parameters learn: optimisers over the flat buffer, learning-rate schedules, clipping, weight averaging.

An optimiser takes a module, reads the gradients that `loss.backward()` left in its buffer, and changes the weights.
Its `formula` says how, in NumPy over the whole vector; in float32 one fused kernel does the same. `lr` is a number or a
schedule: a function of the number of steps done so far.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, fields
from typing import Annotated

import numpy as np

from . import kernels
from ._support.arguments import (
    Betas,
    Fraction,
    Kind,
    NotNegative,
    Positive,
    Whole,
    as_python,
    instance_of,
    is_number,
    kinds_of,
    settings,
    taken,
)
from .nn.module import Flat, Module
from .watching import act, refuse

ModuleToTrain = Annotated[
    Module, instance_of(Module, "such as nn.MLP(...): put loose parameters into a Module as attributes")
]
Schedule = Annotated[
    Callable[[int], float],
    Kind("a schedule, a function of the number of steps done", callable, error=TypeError),
]
Rate = Positive | Schedule
Limit = Annotated[float, Kind("a positive number", lambda x: is_number(x) and x > 0, as_python)]

# Beyond this a float32 rounds 1 - beta by more than 0.3 %, and kernels, which multiply by beta, drift.
LAST_IN_FLOAT32 = 1 - 1e-5


@settings
class Optimizer:
    """What the optimisers share: the module, the step count, and moment vectors as long as the parameters.

    A subclass says in `moment_names` what it remembers, and in `formula` how it steps.
    """

    module: ModuleToTrain
    lr: Rate

    moment_names = ()

    def agree(self) -> None:
        """Begin: no step done, all moments zero."""
        weights = self.module.flat().arrays[0]
        self.steps = 0
        self.moments = {name: np.zeros_like(weights) for name in self.moment_names}

    def formula(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        """Change the weights w (n,) in place, given their gradient g; `steps` counts this step already."""
        raise NotImplementedError(f"{type(self).__name__} needs a formula(self, w, g, lr) that changes w in place")

    def fused(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        """The formula for float32, in one kernel where there is one."""
        self.formula(w, g, lr)

    def current_lr(self) -> float:
        """The learning rate of the next step; ValueError if a schedule gives anything but a number of 0 or more."""
        if not callable(self.lr):
            return float(self.lr)
        lr = self.lr(self.steps)
        if type(lr) is float and 0 <= lr < math.inf:
            return lr
        return taken(lr, kinds_of(NotNegative), f"lr of its schedule at step {self.steps}", type(self).__name__)

    def zero_grad(self) -> None:
        """Set the gradients to zero; call it before each `backward`."""
        self.module.zero_grad()

    def step(self) -> None:
        """Change the weights by one step along the gradients."""
        flat, moments = self.module.flat(), self.moments.values()
        weights = flat.arrays[0]
        for moment in moments:
            if moment.shape != weights.shape or moment.dtype != weights.dtype:
                raise ValueError(
                    f"{type(self).__name__}: the network had {moment.size} {moment.dtype} parameters when the "
                    f"optimiser was made and has {weights.size} {weights.dtype} now; make the optimiser after the "
                    "network is complete"
                )
        act(self._advance, flat, changes=(self, weights, *moments))

    def _advance(self, flat: Flat) -> None:
        lr = self.current_lr()
        self.steps += 1
        weights, gradients = flat.arrays
        if weights.dtype == np.float32:
            self.fused(weights, gradients, lr)
        else:
            self.formula(weights, gradients, lr)
        flat.changed()

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


@settings
class SGD(Optimizer):
    """Gradient descent with momentum (Sutskever et al., 2013, for Nesterov's form)."""

    lr: Rate = 0.01
    _: KW_ONLY
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0

    moment_names = ("velocity",)

    def agree(self) -> None:
        """Nesterov's look-ahead needs momentum."""
        if self.nesterov and self.momentum == 0:
            raise ValueError("SGD got nesterov=True with momentum=0; Nesterov's look-ahead needs a positive momentum")
        super().agree()

    def formula(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        """v = momentum v + g;  w -= lr v, or lr (g + momentum v) with Nesterov's look-ahead."""
        v = self.moments["velocity"]
        g = g + self.weight_decay * w
        v[...] = self.momentum * v + g
        w -= lr * (g + self.momentum * v if self.nesterov else v)

    def fused(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        kernels.sgd(w, g, self.moments["velocity"], lr, self.momentum, self.weight_decay, self.nesterov)


@settings
class RMSprop(Optimizer):
    """Steps divided by the running root mean square of the gradient (Tieleman and Hinton, 2012)."""

    lr: Rate = 0.01
    _: KW_ONLY
    alpha: Fraction = 0.99
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0

    moment_names = ("square",)

    def formula(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        """s += (1 - alpha) (g^2 - s);  w -= lr g / (sqrt(s) + eps)."""
        s = self.moments["square"]
        g = g + self.weight_decay * w
        s += (1 - self.alpha) * (g**2 - s)
        w -= lr * g / (np.sqrt(s) + self.eps)

    def fused(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        if self.alpha > LAST_IN_FLOAT32:
            return self.formula(w, g, lr)
        kernels.rmsprop(w, g, self.moments["square"], lr, self.alpha, self.eps, self.weight_decay)


@settings
class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, 2015, algorithm 1). `weight_decay` is added to the gradient."""

    lr: Rate = 1e-3
    _: KW_ONLY
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0

    moment_names = ("mean", "square")
    decoupled = False

    def formula(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        """Running means m of g and s of g^2;  w -= lr m / (sqrt(s) + eps), each mean divided by its weights' sum."""
        t, (beta1, beta2) = self.steps, self.betas
        m, s = self.moments["mean"], self.moments["square"]
        g = self._decayed(w, g, lr)
        m += (1 - beta1) * (g - m)
        s += (1 - beta2) * (g**2 - s)
        w -= lr * (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + self.eps)

    def _decayed(self, w: np.ndarray, g: np.ndarray, lr: float) -> np.ndarray:
        """The gradient to step along."""
        return g + self.weight_decay * w

    def fused(self, w: np.ndarray, g: np.ndarray, lr: float) -> None:
        t, (beta1, beta2) = self.steps, self.betas
        if max(beta1, beta2) > LAST_IN_FLOAT32:
            return self.formula(w, g, lr)
        kernels.adam(
            w,
            g,
            self.moments["mean"],
            self.moments["square"],
            lr / (1 - beta1**t),
            beta1,
            beta2,
            self.eps,
            1 / math.sqrt(1 - beta2**t),
            0.0 if self.decoupled else self.weight_decay,
            lr * self.weight_decay if self.decoupled else 0.0,
        )


@settings
class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly (Loshchilov and Hutter, 2019, algorithm 2)."""

    _: KW_ONLY
    weight_decay: NotNegative = 0.01

    decoupled = True

    def _decayed(self, w: np.ndarray, g: np.ndarray, lr: float) -> np.ndarray:
        """The gradient as it is; it is the weights that shrink."""
        w -= lr * self.weight_decay * w
        return g


class Decay:
    """A learning rate that falls: called with the number of steps done so far, it gives the rate of the next."""

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} needs a __call__(self, step) that gives the rate")

    def __repr__(self) -> str:
        values = [f"{field.name}={getattr(self, field.name)!r}" for field in fields(self)]
        return f"{type(self).__name__}({', '.join(values)})"


# In lower case, as the functions of the step that they are: Adam(net, cosine_decay(0.01, 1000)).


@settings
class cosine_decay(Decay):
    """From `lr` to `final` along half a cosine until step `steps`, after a linear warm-up.

    Loshchilov and Hutter (2017), "SGDR", eq. 5.
    """

    lr: Positive
    steps: Whole
    _: KW_ONLY
    warmup: Whole = 0
    final: NotNegative = 0.0

    def agree(self) -> None:
        """The warm-up ends before the decay does."""
        if self.warmup >= self.steps:
            raise ValueError(
                f"cosine_decay got warmup={self.warmup} and steps={self.steps}; expected 0 <= warmup < steps"
            )

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        left = max(0.0, (self.steps - step) / (self.steps - self.warmup))
        # (1 + cos(pi (1 - left))) / 2, whose 1 + cos would lose its digits towards the end
        return self.final + (self.lr - self.final) * math.sin(0.5 * math.pi * left) ** 2


@settings
class exponential_decay(Decay):
    """`lr` halved every `half_life` steps, smoothly."""

    lr: Positive
    half_life: Positive

    def __call__(self, step: int) -> float:
        return self.lr * 0.5 ** (step / self.half_life)


@settings
class step_decay(Decay):
    """`lr` times `factor` after every `every` steps."""

    lr: Positive
    every: Positive
    factor: Positive = 0.1

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


def clip_grad_norm(module: Module, max_norm: float) -> float:
    """Scale all gradients so that their joint Euclidean norm is at most `max_norm`; returns the norm before.

    With `max_norm=math.inf` it only measures.
    """
    if not isinstance(module, Module) or type(max_norm) is not float or not max_norm > 0:  # in every step: fast
        module = taken(module, kinds_of(ModuleToTrain), "module", "clip_grad_norm()")
        max_norm = taken(max_norm, kinds_of(Limit), "max_norm", "clip_grad_norm()")
    grad = module.flat().grad
    return act(_clip, grad, max_norm, changes=(grad,))


def _clip(grad: np.ndarray, max_norm: float) -> float:
    norm = _norm(grad)
    if norm > max_norm:
        if max_norm / norm >= np.finfo(grad.dtype).tiny or not np.isfinite(grad).all():
            grad *= max_norm / norm
        else:  # the factor would underflow
            grad /= np.max(np.abs(grad))
            grad *= max_norm / _norm(grad)
    return norm


def _norm(x: np.ndarray) -> float:
    """Euclidean norm of a vector, also where the squares of float64 would overflow or vanish."""
    if x.dtype == np.float64:
        largest = float(np.max(np.abs(x), initial=0.0))
        if 0 < largest < 1e-140 or 1e140 < largest < math.inf:
            return largest * math.sqrt(kernels.sum_of_squares(x / largest))
    return math.sqrt(kernels.sum_of_squares(x))


_applying = threading.RLock()  # held while averaged weights are put into a module or taken out


@settings
class WeightAverage:
    """Running average of a module's weights: average += (1 - decay) (weights - average) at each `update`.

    The first update takes the weights as they are. The sum is kept in float64, as `running`, so that it still moves
    where 1 - decay is small; `average` is that in the dtype of the weights, None before the first update.
    `average.network()` is a copy of the module with the averaged weights; `with average.applied(): ...` gives them to
    the module itself for a while.
    """

    module: ModuleToTrain
    decay: Fraction = 0.999

    def agree(self) -> None:
        """Begin with no average."""
        self.running: np.ndarray | None = None
        self._own: np.ndarray | None = None  # the module's weights, while the averaged ones are applied
        self._uses = 0  # of `applied`, under way

    @property
    def average(self) -> np.ndarray | None:
        """The averaged weights, as one vector like the module's; a copy."""
        return None if self.running is None else self.running.astype(self.module.flat().arrays[0].dtype)

    def update(self) -> None:
        """Take the current weights into the average."""
        running = () if self.running is None else (self.running,)
        act(self._take_in, self._flat().data, changes=(self, *running))

    def _take_in(self, weights: np.ndarray) -> None:
        if self.running is None:
            self.running = weights.astype(np.float64)
        else:
            self.running += (1 - self.decay) * (weights - self.running)

    def _flat(self) -> Flat:
        flat = self.module.flat()
        if self.running is not None and self.running.shape != flat.arrays[0].shape:
            raise ValueError(
                f"WeightAverage began with {self.running.size} parameters, the network has {flat.arrays[0].size} now; "
                "make the average after the network is complete"
            )
        return flat

    def network(self) -> Module:
        """A copy of the module as it is now, with the averaged weights: what to keep, and to use in any thread."""
        self._check_begun()
        twin = copy.deepcopy(self.module)
        twin.flat().data = self.average
        return twin

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """Inside the block the module has the averaged weights; afterwards its own again.

        Uses may overlap, in one thread or in several: the last to end gives the module its own weights back. Whoever
        trains or reads the module meanwhile finds the averaged ones; `network` is free of that.
        """
        self._check_begun()
        refuse("averaged weights were put into the network; use average.network(), made outside the step")
        counted = False
        try:
            with _applying:
                if self._uses == 0:
                    self._own = self._flat().data.copy()
                self._uses, counted = self._uses + 1, True
                self._put(self.average)
            yield self.module
        finally:
            with _applying:
                self._uses -= counted
                if self._uses == 0 and self._own is not None:
                    own, self._own = self._own, None
                    self._put(own)

    def __getstate__(self) -> dict:
        return {**vars(self), "_own": None, "_uses": 0}  # a copy is nobody's to put back

    def _check_begun(self) -> None:
        if self.running is None:
            raise ValueError("WeightAverage has no average yet; call update() after each training step")

    def _put(self, weights: np.ndarray) -> None:
        flat = self._flat()  # asked for anew: the parameters may have moved into a larger network's buffer
        flat.data[...] = weights
        flat.changed()
