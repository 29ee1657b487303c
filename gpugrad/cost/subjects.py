"""What `gpugrad bench` measures: a model, a batch and a loss, built in or from a user's function.

The networks are those of `gpugrad.nn.models`; sizes and data are decided here. Inputs are random, which costs as much
as real ones.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..backend import DeviceError, is_array
from ..nn import Linear, Module, ReLU, Sequential, models
from ..nn.functional import cross_entropy, mse_loss
from ..ops.random import manual_seed, randint, randn
from ..tensor import Tensor
from .errors import CostError


@dataclass(frozen=True)
class Subject:
    """Something to measure.

    Attributes:
        name: in words; `settings` are the sizes.
        model: the network.
        batch: what it is called with, and its targets if there are any.
        loss: `loss(*batch)`, a scalar.
    """

    name: str
    model: Any
    batch: tuple[Any, ...]
    loss: Callable[..., Any]
    settings: dict[str, Any] = field(default_factory=dict)


def mlp(depth: int = 5, width: int = 512, batch: int = 128, device: Any = None, classes: int | None = None) -> Subject:
    """A multilayer perceptron of `depth` affine layers, all `width` wide, with relu between them."""
    layers: list[Module] = []
    for _ in range(depth - 1):
        layers += [Linear(width, width), ReLU()]
    model = Sequential(*layers, Linear(width, classes or width)).to(device)
    return classifier("mlp", model, (batch, width), classes or width, device, {"depth": depth, "width": width})


def classifier(
    name: str, model: Module, shape: tuple[int, ...], classes: int, device: Any, settings: dict[str, Any]
) -> Subject:
    """A model with a batch of normal inputs of `shape`, uniform labels, and cross entropy."""
    x, labels = randn(*shape, device=device), randint(0, classes, (shape[0],), device=device)
    return Subject(name, model, (x, labels), loss_of(model), {"batch": shape[0], **settings})


def loss_of(model: Any) -> Callable[..., Any]:
    """`model` with cross entropy on whole-number targets, mean squared error on others; its own output without any."""

    def loss(x: Any, *target: Any) -> Any:
        out = model(x)
        if not target:
            return out
        return mse_loss(out, target[0]) if target[0].dtype.kind in "fc" else cross_entropy(out, target[0])

    return loss


def lenet5(batch: int = 64, device: Any = None) -> Subject:
    """LeNet-5 on images of handwritten digits' size."""
    return classifier("lenet5", models.LeNet5().to(device), (batch, 1, 28, 28), 10, device, {})


def convnet(width: int = 32, batch: int = 32, device: Any = None) -> Subject:
    """Six convolutions with batch normalisation, `width` channels in the first stage."""
    return classifier(
        "convnet", models.ConvNet(width=width).to(device), (batch, 3, 32, 32), 10, device, {"width": width}
    )


def resnet18(width: int = 64, batch: int = 16, device: Any = None) -> Subject:
    """ResNet-18 for small images, `width` channels in the first stage."""
    return classifier(
        "resnet18",
        models.resnet18(10, small_images=True, width=width).to(device),
        (batch, 3, 32, 32),
        10,
        device,
        {"width": width},
    )


def transformer(depth: int = 4, width: int = 256, batch: int = 8, device: Any = None) -> Subject:
    """A decoder of text of 128 tokens out of 1,000, a head for every 64 units of the width."""
    length, vocabulary = 128, 1000
    model = models.Transformer(vocabulary, depth=depth, width=width, length=length).to(device)
    tokens, labels = (randint(0, vocabulary, (batch, length), device=device) for _ in range(2))
    settings = {"batch": batch, "depth": depth, "width": width}

    def loss(tokens: Any, labels: Any) -> Any:
        return cross_entropy(model(tokens).reshape(-1, vocabulary), labels)

    return Subject("transformer", model, (tokens, labels.reshape(-1)), loss, settings)


BUILT_IN: dict[str, Callable[..., Subject]] = {
    "mlp": mlp,
    "lenet5": lenet5,
    "convnet": convnet,
    "resnet18": resnet18,
    "transformer": transformer,
}


def find(name: str, *, device: Any = None, seed: int = 0, **sizes: int | None) -> Subject:
    """A built-in subject by name, or the one that a user's `module:function` makes.

    Args:
        name: a key of `BUILT_IN`, or `module:function`; the function returns a model and a batch: `(model, x)` where
            the model gives a loss, or `(model, (x, target))`. It is given those of `device`, `batch` and the other
            sizes that it has parameters for.
        device: where the model and the batch live.
        seed: of the random numbers.
        **sizes: batch, depth, width; None for the subject's own choice.

    Raises:
        CostError: there is no such model, module or function, or it returns something else.
    """
    manual_seed(seed)
    given = {key: value for key, value in sizes.items() if value is not None}
    if ":" in name:
        return _users(name, {**given, "device": device})
    if name not in BUILT_IN:
        raise CostError(f"[bench] model = {name!r}; expected {', '.join(BUILT_IN)}, or module:function")
    make = BUILT_IN[name]
    unknown = [key for key in given if key not in inspect.signature(make).parameters]
    if unknown:
        raise CostError(f"[bench] {name} has no {unknown[0]} to set; leave out --{unknown[0]}")
    return make(device=device, **given)


def _users(name: str, given: dict[str, Any]) -> Subject:
    where, _, what = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(where)
    except ImportError as error:
        raise CostError(f"[bench] {name}: module {where!r} cannot be imported ({error})") from None
    function = getattr(module, what, None)
    if not callable(function):
        raise CostError(f"[bench] {name}: module {where!r} has no function {what!r}")
    parameters = inspect.signature(function).parameters
    unknown = [key for key, value in given.items() if value is not None and key not in parameters and key != "device"]
    if unknown:
        raise CostError(f"[bench] {name}: the function takes no {unknown[0]}; leave out --{unknown[0]}")
    given = {key: value for key, value in given.items() if key in parameters}
    try:
        inspect.signature(function).bind(**given)
    except TypeError as error:
        raise CostError(f"[bench] {name}: the function wants more than the sizes ({error})") from None
    made = function(**given)
    if not isinstance(made, tuple) or len(made) != 2 or not callable(made[0]):
        raise CostError(
            f"[bench] {name} returned {_described(made)}; expected a model and a batch: (model, x) where the model "
            "gives a loss, or (model, (x, target))"
        )
    model, batch = made
    batch = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    wrong = [b for b in batch if not isinstance(b, Tensor) and not is_array(b)]
    if not batch or len(batch) > 2 or wrong:
        raise CostError(
            f"[bench] {name}: the batch is {_described(batch)}; expected x or (x, target), tensors or arrays"
        )
    devices = {str(b.device) for b in batch if isinstance(b, Tensor)}
    if len(devices) > 1:
        raise DeviceError(f"[bench] {name}: the batch lies on {' and '.join(sorted(devices))}; move it to one device")
    settings = {key: value for key, value in given.items() if value is not None and key != "device"}
    return Subject(name, model, batch, loss_of(model), settings)


def _described(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(type(v).__name__ for v in value) + ")"
    return type(value).__name__
