"""The layers: linear, activations, dropout, normalisation, and how they follow one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any, TypeAlias

import numpy as np

from .. import ops
from .._support.arguments import Count, Fraction, NotNegative, Rng, Share, Sizes, checked, is_number, one_of
from ..ops.fused import ACTIVATIONS
from ..tape import Tensor, leaf
from ..watching import act, relies, shown
from . import init
from .module import Module, children_among

Array: TypeAlias = Tensor | np.ndarray


class Linear(Module):
    """y = x weight^T + bias: (..., n_in) -> (..., n_out), with weight (n_out, n_in) and bias (n_out,).

    `initial(shape, rng)` draws the weights; the default and the bias are uniform on +-1 / sqrt(n_in), as in PyTorch.
    """

    @checked
    def __init__(
        self, n_in: Count, n_out: Count, *, rng: Rng, bias: bool = True, initial: Callable | None = None
    ) -> None:
        weight = np.asarray((initial or init.fan_in_uniform)((n_out, n_in), rng))
        if weight.shape != (n_out, n_in):
            raise ValueError(f"Linear: initial() gave shape {weight.shape}; expected (n_out, n_in) = {(n_out, n_in)}")
        self.weight = leaf(weight)
        self.bias = leaf(init.fan_in_uniform((n_out, n_in), rng)[:, 0].copy()) if bias else None
        self._start(rng)

    def _start(self, rng: np.random.Generator) -> None:
        """Make what a kind of linear layer has beside weight and bias."""

    def forward(self, x: Array) -> Any:
        return self.affine(x, self.weight)

    def affine(self, x: Array, weight: Tensor, activation: str = "identity", **settings: float) -> Tensor:
        """activation(x weight^T + bias) with this layer's bias, as one operation."""
        if self.bias is not None:
            return ops.linear(x, weight, self.bias, activation=activation, **settings)
        x = x if hasattr(x, "ndim") else np.asarray(x)
        _check_width(x, weight.shape[1], "Linear")
        y = x @ ops.transpose(weight)
        return y if activation == "identity" else getattr(ops, activation)(y, **settings)

    def __repr__(self) -> str:
        n_out, n_in = self.weight.data.shape
        return f"Linear({n_in}, {n_out}{'' if self.bias is not None else ', bias=False'})"


_SETTINGS = {"leaky_relu": ("slope", 1.0), "elu": ("alpha", math.inf)}  # what an activation takes, and up to how much
_NAMES = ("identity", "tanh", "sigmoid", "relu", "leaky_relu", "elu", "silu", "gelu", "softplus")


class Activation(Module):
    """An operation of one argument as a layer: `Activation("leaky_relu", slope=0.2)`."""

    NAMES = _NAMES

    @checked
    def __init__(self, name: Annotated[str, one_of(_NAMES)], **settings: float) -> None:
        setting, largest = _SETTINGS.get(name, ("no setting", 0.0))
        for given, value in settings.items():
            if given != setting:
                raise TypeError(f"activation {name!r} got the setting {given!r}; it takes {setting}")
            if not is_number(value) or not 0 <= value <= largest:
                raise ValueError(f"activation {name!r} got {setting}={value!r}; expected a number in [0, {largest:g}]")
        self.name = name
        self._settings = tuple(settings.items())

    @property
    def settings(self) -> dict[str, float]:
        """What was set, by name."""
        return dict(self._settings)

    def forward(self, x: Array) -> Any:
        return x if self.name == "identity" else getattr(ops, self.name)(x, **self.settings)

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"Activation({self.name!r}{settings})"


class Sequential(Module):
    """Layers one after the other. Parameters are named by position: `0.weight`, `0.bias`, `2.weight`, ...

    A linear layer followed by an activation that can be fused runs as one operation.
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(
                    f"Sequential got {layer!r} at position {i}; expected layers, such as nn.Linear(...) or "
                    'nn.Activation("tanh")'
                )
        self.layers = layers

    def children(self) -> Iterator[tuple[str, Module]]:
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        yield from children_among({name: value for name, value in vars(self).items() if name != "layers"})

    def forward(self, x: Array) -> Any:
        layers, i = self.layers, 0
        while i < len(layers):
            layer, i = layers[i], i + 1
            if type(layer) is Linear and i < len(layers):
                following = layers[i]
                if type(following) is Activation and following.name in ACTIVATIONS:
                    x, i = layer.affine(x, layer.weight, following.name, **following.settings), i + 1
                    continue
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


class MLP(Sequential):
    """Linear layers of the given sizes with an activation between them: `MLP([2, 64, 64, 1], "tanh", rng=rng)`.

    Input (..., sizes[0]) -> output (..., sizes[-1]). `linear` makes the layers, such as `SpectralLinear`;
    `settings` go to the activation, such as `slope=0.2`.
    """

    @checked
    def __init__(
        self,
        sizes: Sizes,
        activation: str = "tanh",
        *,
        rng: Rng,
        initial: Callable | None = None,
        linear: Callable = Linear,
        **settings: float,
    ) -> None:
        Activation(activation, **settings)  # raises for one that is not known, even where none is needed
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

    @checked
    def __init__(self, rate: Fraction, *, rng: Rng) -> None:
        self.rate = rate
        self.rng = rng

    def forward(self, x: Array) -> Any:
        _check_array(x, "Dropout")
        if not relies(self, "training") or self.rate == 0:
            return x
        return x * ops.dropout_mask(relies(self, "rng"), x.shape, self.rate, x.dtype)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


def _check_array(x: Any, name: str) -> None:
    if not hasattr(x, "ndim"):
        raise TypeError(f"{name} takes a tensor or an array, got a {type(x).__name__}; wrap it in numpy.asarray(...)")


def _check_width(x: Any, width: int, name: str) -> None:
    _check_array(x, name)
    if x.ndim == 0 or x.shape[-1] != width:
        raise ValueError(f"{name}({width}) takes inputs whose last axis is {width}, got shape {x.shape}")


class LayerNorm(Module):
    """Each row brought to mean 0 and variance 1 over its last axis of length n, then scaled and shifted.

    Ba et al. (2016).
    """

    @checked
    def __init__(self, n: Count, *, eps: NotNegative = 1e-5) -> None:
        self.weight = leaf(np.ones(n, np.float32))
        self.bias = leaf(np.zeros(n, np.float32))
        self.n = n
        self.eps = eps

    def forward(self, x: Array) -> Any:
        _check_width(x, self.n, "LayerNorm")
        mean, var = ops.mean(x, axis=-1, keepdims=True), ops.var(x, axis=-1, keepdims=True)
        return (x - mean) / ops.sqrt(var + self.eps) * self.weight + self.bias

    def __repr__(self) -> str:
        return f"LayerNorm({self.n})"


class BatchNorm1d(Module):
    """Each feature of (batch, n) or (batch, n, length) brought to mean 0 and variance 1, then scaled and shifted.

    Ioffe and Szegedy (2015). While training the batch's own statistics, over all axes but the second, are used and
    running averages kept (`running_mean`, `running_var`, the variance unbiased); in eval mode the averages are used.
    Without `affine` nothing is scaled and shifted afterwards, and there are no parameters.
    """

    buffer_names = ("running_mean", "running_var", "num_batches_tracked")

    @checked
    def __init__(self, n: Count, *, eps: NotNegative = 1e-5, momentum: Share = 0.1, affine: bool = True) -> None:
        self.weight = leaf(np.ones(n, np.float32)) if affine else None
        self.bias = leaf(np.zeros(n, np.float32)) if affine else None
        self.running_mean = np.zeros(n, np.float32)
        self.running_var = np.ones(n, np.float32)
        self.num_batches_tracked = np.zeros((), np.int64)
        self.n = n
        self.eps = eps
        self.momentum = momentum

    def forward(self, x: Array) -> Any:
        self._check_shape(x)
        if relies(self, "training"):
            mean, var = self._statistics(x)
        else:
            mean, var = shown(relies(self, "running_mean")), shown(relies(self, "running_var"))
        along = (lambda v: v) if x.ndim == 2 else lambda v: ops.reshape(v, (-1, 1))
        y = (x - along(mean)) / ops.sqrt(along(var) + self.eps)
        return y if self.weight is None else y * along(self.weight) + along(self.bias)

    def _statistics(self, x: Array) -> tuple[Any, Any]:
        """Mean and variance of each feature, (n,); the running averages take them in."""
        count = x.shape[0] * (x.shape[2] if x.ndim == 3 else 1)
        if count < 2:
            raise ValueError(
                f"BatchNorm1d got a batch of {count} while training, which has no variance; give at least 2 rows, or "
                "call .eval()"
            )
        axes = 0 if x.ndim == 2 else (0, 2)
        mean, var = ops.mean(x, axis=axes), ops.var(x, axis=axes)
        tracked = [relies(self, name) for name in self.buffer_names]
        act(self._track, _raw(mean), _raw(var), count, changes=tracked)
        return mean, var

    def _check_shape(self, x: Any) -> None:
        _check_array(x, "BatchNorm1d")
        if x.ndim not in (2, 3) or x.shape[1] != self.n:
            raise ValueError(
                f"BatchNorm1d({self.n}) takes inputs of shape (batch, {self.n}) or (batch, {self.n}, length), got "
                f"{x.shape}; reshape to two axes, or bring the features to the second"
            )

    def _track(self, mean: np.ndarray, var: np.ndarray, n: int) -> None:
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (var * (n / (n - 1)) - self.running_var)
        self.num_batches_tracked += 1

    def __repr__(self) -> str:
        return f"BatchNorm1d({self.n}{'' if self.weight is not None else ', affine=False'})"


def _raw(x: Array) -> np.ndarray:
    return x.data if isinstance(x, Tensor) else x
