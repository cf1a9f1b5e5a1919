"""The layers: linear, activations, dropout, normalisation, and how they follow one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from .. import ops
from .._support.arguments import check_rng, check_size, is_number
from ..ops.fused import ACTIVATIONS
from ..tape import leaf
from ..watching import act, relies, shown
from . import init
from .module import Module


class Linear(Module):
    """y = x weight^T + bias: (..., n_in) -> (..., n_out), with weight (n_out, n_in) and bias (n_out,).

    `initial(rng, shape)` draws the weights; the default and the bias are uniform on +-1 / sqrt(n_in), as in PyTorch.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        rng: np.random.Generator,
        bias: bool = True,
        initial: Callable | None = None,
    ):
        n_in, n_out = check_size(n_in, "n_in", "Linear"), check_size(n_out, "n_out", "Linear")
        check_rng(rng, "Linear")
        weight = np.asarray((initial or init.fan_in_uniform)(rng, (n_out, n_in)))
        if weight.shape != (n_out, n_in):
            raise ValueError(f"Linear: initial() gave shape {weight.shape}; expected (n_out, n_in) = {(n_out, n_in)}")
        self.weight = leaf(weight)
        self.bias = leaf(init.fan_in_uniform(rng, (n_out, n_in))[:, 0].copy()) if bias else None

    def forward(self, x, activation: str = "identity", **settings):
        if self.bias is None:
            x = x if hasattr(x, "ndim") else np.asarray(x)
            _check_width(x, self.weight.data.shape[1], "Linear")
            y = x @ ops.transpose(self.weight)
            return y if activation == "identity" else getattr(ops, activation)(y, **settings)
        return ops.linear(x, self.weight, self.bias, activation=activation, **settings)

    def __repr__(self):
        n_out, n_in = self.weight.data.shape
        return f"Linear({n_in}, {n_out}{'' if self.bias is not None else ', bias=False'})"


_SETTINGS = {"leaky_relu": ("slope", 1.0), "elu": ("alpha", math.inf)}  # what an activation takes, and up to how much


class Activation(Module):
    """An operation of one argument as a layer: `Activation("leaky_relu", slope=0.2)`."""

    NAMES = ("identity", "tanh", "sigmoid", "relu", "leaky_relu", "elu", "silu", "gelu", "softplus")

    def __init__(self, name: str, **settings):
        if name not in self.NAMES:
            raise ValueError(f"activation {name!r} is not known; choose one of {', '.join(self.NAMES)}")
        setting, largest = _SETTINGS.get(name, ("no setting", 0.0))
        for given, value in settings.items():
            if given != setting:
                raise TypeError(f"activation {name!r} got the setting {given!r}; it takes {setting}")
            if not 0 <= value <= largest:
                raise ValueError(f"activation {name!r} got {setting}={value!r}; expected a number in [0, {largest:g}]")
        self.name, self.settings = name, settings

    def forward(self, x):
        return x if self.name == "identity" else getattr(ops, self.name)(x, **self.settings)

    def __repr__(self):
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"Activation({self.name!r}{settings})"


class Sequential(Module):
    """Layers one after the other. Parameters are named by position: `0.weight`, `0.bias`, `2.weight`, ...

    A linear layer followed by an activation that can be fused runs as one operation.
    """

    def __init__(self, *layers: Module):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(
                    f"Sequential got {layer!r} at position {i}; expected layers, such as nn.Linear(...) or "
                    'nn.Activation("tanh")'
                )
        self.layers = layers

    def children(self):
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def forward(self, x):
        layers, i = self.layers, 0
        while i < len(layers):
            layer, i = layers[i], i + 1
            if type(layer) is Linear and i < len(layers):
                following = layers[i]
                if type(following) is Activation and following.name in ACTIVATIONS:
                    x, i = layer.forward(x, following.name, **following.settings), i + 1
                    continue
            x = layer(x)
        return x

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, index):
        return self.layers[index]

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


class MLP(Sequential):
    """Linear layers of the given sizes with an activation between them: `MLP([2, 64, 64, 1], "tanh", rng=rng)`.

    Input (..., sizes[0]) -> output (..., sizes[-1]). `linear` makes the layers, such as `SpectralLinear`;
    `settings` go to the activation, such as `slope=0.2`.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "tanh",
        *,
        rng: np.random.Generator,
        initial: Callable | None = None,
        linear: Callable = Linear,
        **settings,
    ):
        if not isinstance(sizes, (Sequence, np.ndarray)) or len(sizes) < 2:
            raise ValueError(f"MLP got sizes {sizes!r}; expected at least two: the input's width and the output's")
        layers: list[Module] = []
        for n_in, n_out in pairwise(sizes):
            if layers:
                layers.append(Activation(activation, **settings))
            layers.append(linear(n_in, n_out, rng=rng, initial=initial))
        super().__init__(*layers)


class Dropout(Module):
    """While training, sets each element to zero with probability `rate` and scales the others by 1 / (1 - rate).

    Srivastava et al. (2014), in the form that leaves the expectation unchanged.
    """

    def __init__(self, rate: float, *, rng: np.random.Generator):
        if not is_number(rate) or not 0 <= rate < 1:
            raise ValueError(f"Dropout got rate={rate!r}; expected a probability in [0, 1)")
        self.rate, self.rng = rate, check_rng(rng, "Dropout")

    def forward(self, x):
        _check_array(x, "Dropout")
        if not relies(self, "training") or self.rate == 0:
            return x
        return x * ops.dropout_mask(self.rng, x.shape, self.rate, x.dtype)

    def __repr__(self):
        return f"Dropout({self.rate})"


def _check_array(x, name: str) -> None:
    if not hasattr(x, "ndim"):
        raise TypeError(f"{name} takes a tensor or an array, got a {type(x).__name__}; wrap it in numpy.asarray(...)")


def _check_number(value, name: str, caller: str, low: float, high: float) -> None:
    if not is_number(value) or not low <= value <= high:
        raise ValueError(f"{caller} got {name}={value!r}; expected a number from {low} to {high}")


def _check_width(x, width: int, name: str) -> None:
    _check_array(x, name)
    if x.ndim == 0 or x.shape[-1] != width:
        raise ValueError(f"{name}({width}) takes inputs whose last axis is {width}, got shape {x.shape}")


def _standardise(x, mean, var, eps, weight, bias):
    return (x - mean) / ops.sqrt(var + eps) * weight + bias


class LayerNorm(Module):
    """Each row brought to mean 0 and variance 1 over its last axis of length n, then scaled and shifted.

    Ba et al. (2016).
    """

    def __init__(self, n: int, *, eps: float = 1e-5):
        n = check_size(n, "n", "LayerNorm")
        _check_number(eps, "eps", "LayerNorm", 0, math.inf)
        self.weight, self.bias = leaf(np.ones(n, np.float32)), leaf(np.zeros(n, np.float32))
        self.n, self.eps = n, eps

    def forward(self, x):
        _check_width(x, self.n, "LayerNorm")
        mean, var = ops.mean(x, axis=-1, keepdims=True), ops.var(x, axis=-1, keepdims=True)
        return _standardise(x, mean, var, self.eps, self.weight, self.bias)

    def __repr__(self):
        return f"LayerNorm({self.n})"


class BatchNorm1d(Module):
    """Each feature of (batch, n) brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    Ioffe and Szegedy (2015). While training the batch's own statistics are used and running averages kept
    (`running_mean`, `running_var`, the variance unbiased); in eval mode the averages are used.
    """

    buffer_names = ("running_mean", "running_var", "num_batches_tracked")

    def __init__(self, n: int, *, eps: float = 1e-5, momentum: float = 0.1):
        n = check_size(n, "n", "BatchNorm1d")
        _check_number(eps, "eps", "BatchNorm1d", 0, math.inf)
        _check_number(momentum, "momentum", "BatchNorm1d", 0, 1)
        self.weight, self.bias = leaf(np.ones(n, np.float32)), leaf(np.zeros(n, np.float32))
        self.running_mean, self.running_var = np.zeros(n, np.float32), np.ones(n, np.float32)
        self.num_batches_tracked = np.zeros((), np.int64)
        self.n, self.eps, self.momentum = n, eps, momentum

    def forward(self, x):
        _check_width(x, self.n, "BatchNorm1d")
        if x.ndim != 2:
            raise ValueError(f"BatchNorm1d takes inputs of shape (batch, {self.n}), got {x.shape}; reshape to two axes")
        if not relies(self, "training"):
            return _standardise(x, shown(self.running_mean), shown(self.running_var), self.eps, self.weight, self.bias)
        if x.shape[0] < 2:
            raise ValueError(
                f"BatchNorm1d got a batch of {x.shape[0]} while training, which has no variance; give at least 2 rows, "
                "or call .eval()"
            )
        mean, var = ops.mean(x, axis=0), ops.var(x, axis=0)
        tracked = (self.running_mean, self.running_var, self.num_batches_tracked)
        act(self._track, _raw(mean), _raw(var), x.shape[0], changes=tracked)
        return _standardise(x, mean, var, self.eps, self.weight, self.bias)

    def _track(self, mean, var, n):
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (var * (n / (n - 1)) - self.running_var)
        self.num_batches_tracked += 1

    def __repr__(self):
        return f"BatchNorm1d({self.n})"


def _raw(x):
    return getattr(x, "data", x) if not isinstance(x, np.ndarray) else x
