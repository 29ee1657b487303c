"""The multilayer perceptron that the training command builds from its options.

Only the names of activations and the stacking of layers live here; the layers are those of `gpugrad.nn`.
"""

from __future__ import annotations

from collections.abc import Sequence

import gpugrad as gg

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "softplus": "Softplus",
    "sigmoid": "Sigmoid",
    "log_sigmoid": "LogSigmoid",
    "tanh": "Tanh",
    "hardtanh": "Hardtanh",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "softsign": "Softsign",
    "relu6": "ReLU6",
    "maxout": "Maxout",
}


def mlp(
    inputs: int, hidden: Sequence[int], outputs: int, *, activation: str = "relu", dropout: float = 0.0
) -> gg.nn.Sequential:
    """A multilayer perceptron: for each hidden layer Linear, activation and dropout, then a last Linear.

    Args:
        inputs: features of an example.
        hidden: units of each hidden layer; empty for a linear model.
        outputs: units of the last layer, whose outputs are logits.
        activation: a key of `ACTIVATIONS`.
        dropout: probability in [0, 1) of zeroing a hidden unit in training; 0 switches it off.

    Returns:
        The network, in training mode, `(batch, inputs)` to `(batch, outputs)`; its first layer is
        `network[0]`.

    Raises:
        ValueError: the activation is not known.

    Example:
        >>> network = mlp(64, [32], 10, activation="tanh")
        >>> [tuple(p.shape) for p in network.parameters()]
        [(32, 64), (32,), (10, 32), (10,)]
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"[mlp] activation = {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
    layers: list[gg.nn.Module] = []
    for units in hidden:
        if activation == "maxout":  # an affine map and its activation in one, with two pieces for each unit
            layers.append(gg.nn.Maxout(inputs, units))
        else:
            layers += [gg.nn.Linear(inputs, units), getattr(gg.nn, ACTIVATIONS[activation])()]
        # Something always stands in this place, so that weights have the same names with dropout and without.
        layers.append(gg.nn.Dropout(dropout) if dropout > 0 else gg.nn.Identity())
        inputs = units
    return gg.nn.Sequential(*layers, gg.nn.Linear(inputs, outputs))
