"""The options of `gpugrad train`: their names, defaults and help.

What values they take is checked in `gpugrad.cli.values`; what they do is in `gpugrad.cli.train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, NoReturn

from gpugrad.cli.errors import WRONG_OPTION, CommandError
from gpugrad.cli.values import (
    data_source,
    example_numbers,
    fraction,
    layer_sizes,
    non_negative_integer,
    non_negative_number,
    positive_integer,
    positive_number,
    seed,
)
from gpugrad.train import ACTIVATIONS
from gpugrad.train.datasets import SOURCES
from gpugrad.train.networks import NETWORKS

NAME = "train"
SUMMARY = "train a network on real handwritten digits, MNIST or CIFAR-10"
DESCRIPTION = """\
Train a network to recognise images: by default a multilayer perceptron on
scikit-learn's 1,797 scanned digits of 8x8 pixels, 1,437 to learn from and 360 to
test on, a split that is always the same. Shows progress, prints the result as a
table, and writes metrics.jsonl, config.json, weights.safetensors and pictures
into the run's folder. The same seed gives the same weights, bit for bit."""

LEARNING_RATES = {"adam": 3e-3, "adamw": 3e-3, "sgd": 0.05, "rmsprop": 1e-3}
SGD_MOMENTUM = 0.9

# What an option comes to, where it is not given, for each network.
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "mlp": {"hidden": (256, 128), "activation": "relu", "dropout": 0.2, "epochs": 40, "shift": 0},
    "lenet5": {"dropout": 0.0, "epochs": 30, "shift": 0},
    "convnet": {"dropout": 0.2, "epochs": 30, "shift": 1},
    "resnet18": {"dropout": 0.0, "epochs": 30, "shift": 0},
}


def complete(arguments: argparse.Namespace) -> None:
    """Fill in what depends on other options, and refuse what does not go with them.

    Raises:
        CommandError: an option of another network, optimizer or data set.
    """
    defaults = DEFAULTS[arguments.model]
    for name in ("hidden", "activation", "dropout", "epochs", "shift"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, 0 if name == "shift" and arguments.crop else defaults.get(name))
        elif name not in defaults:
            _refuse(f"--{name}", f"is for --model mlp, not {arguments.model}")
    if arguments.momentum is not None and arguments.optimizer != "sgd":
        _refuse("--momentum", f"is for --optimizer sgd, not {arguments.optimizer}")
    if arguments.data == "digits":
        for option in ("download", "mirror"):
            if getattr(arguments, option) is not None:
                _refuse(f"--{option}", "is for --data idx:FOLDER or cifar10:FOLDER; the digits come with scikit-learn")
    if arguments.show is not None and (arguments.model == "mlp" or arguments.no_plots):
        _refuse("--show", "is for pictures of networks with convolutions")


def _refuse(option: str, why: str) -> NoReturn:
    raise CommandError(f"argument {option}: {why} (see gpugrad train --help)", WRONG_OPTION)


def _each(option: str) -> str:
    """The defaults of an option, for its help."""
    values = {name: defaults[option] for name, defaults in DEFAULTS.items() if option in defaults}
    if len(set(values.values())) == 1:
        return f"(default: {next(iter(values.values()))})"
    return f"(default: {', '.join(f'{name} {value}' for name, value in values.items())})"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gpugrad train`."""
    _add_data_options(parser.add_argument_group("data"))
    _add_model_options(parser.add_argument_group("model"))
    _add_learning_options(parser.add_argument_group("learning"))
    _add_noise_options(parser.add_argument_group("augmentation and noise, in training only"))
    _add_run_options(parser.add_argument_group("run"))


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data",
        type=data_source,
        default="digits",
        metavar="DATA",
        help="digits, idx:FOLDER (IDX files: MNIST, Fashion-MNIST) or cifar10:FOLDER (binary version) "
        "(default: digits)",
    )
    group.add_argument(
        "--download",
        nargs="?",
        const="",
        choices=("", *SOURCES),
        metavar="NAME",
        help="fetch the files that are missing in FOLDER and check them; for idx: mnist (default) or fashion-mnist",
    )
    group.add_argument(
        "--mirror",
        action="append",
        metavar="URL",
        help="where to fetch from, tried before the usual places; may be repeated ($GPUGRAD_MIRRORS: several)",
    )


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model", choices=NETWORKS, default="mlp", metavar="NAME", help=f"(default: mlp): {', '.join(NETWORKS)}"
    )
    group.add_argument(
        "--hidden",
        type=layer_sizes,
        metavar="SIZES",
        help="of an mlp: units of the hidden layers, '' for a linear model (default: 256,128)",
    )
    group.add_argument(
        "--activation",
        choices=sorted(ACTIVATIONS),
        metavar="NAME",
        help=f"of an mlp's hidden layers (default: relu): {', '.join(sorted(ACTIVATIONS))}",
    )
    group.add_argument("--dropout", type=fraction, metavar="P", help=f"probability {_each('dropout')}")


def _add_learning_options(group: argparse._ArgumentGroup) -> None:
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
    group.add_argument(
        "--optimizer",
        choices=sorted(LEARNING_RATES),
        default="adam",
        metavar="NAME",
        help=f"(default: adam): {', '.join(sorted(LEARNING_RATES))}",
    )
    group.add_argument("--lr", type=positive_number, metavar="RATE", help=f"learning rate (default: {rates})")
    group.add_argument(
        "--schedule",
        choices=("constant", "cosine"),
        default="cosine",
        help="of the learning rate: down to 0 along a cosine, or constant (default: cosine)",
    )
    group.add_argument(
        "--momentum",
        type=fraction,
        metavar="M",
        help=f"of sgd, and only there (default: {SGD_MOMENTUM})",
    )
    group.add_argument(
        "--weight-decay",
        type=non_negative_number,
        default=5e-4,
        metavar="W",
        help="(default: 0.0005)",
    )
    group.add_argument(
        "--label-smoothing",
        type=fraction,
        default=0.1,
        metavar="S",
        help="share of the target spread over all classes, in every reported loss (default: 0.1)",
    )
    group.add_argument(
        "--amp",
        choices=("float16", "bfloat16"),
        help="compute products in this type, on float32 weights; float16 with a scaled loss (default: float32)",
    )
    group.add_argument("--epochs", type=positive_integer, metavar="N", help=_each("epochs"))
    group.add_argument("--batch-size", type=positive_integer, default=64, metavar="N", help="(default: 64)")


def _add_noise_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--shift",
        type=non_negative_integer,
        metavar="K",
        help=f"move images by up to K pixels each way, black comes in {_each('shift')}",
    )
    group.add_argument(
        "--crop",
        type=non_negative_integer,
        default=0,
        metavar="K",
        help="cut images out of themselves with K mirrored pixels on each side (default: 0)",
    )
    group.add_argument("--flip", action="store_true", help="mirror one image in two")
    for name, what, kind in (
        ("input", "deviation of noise on the standardised pixels", non_negative_number),
        ("hidden", "deviation of noise on what the activations give", non_negative_number),
        ("weight", "deviation of noise on the weights, relative to their root mean square", non_negative_number),
        ("label", "share of labels that are replaced at random", fraction),
    ):
        group.add_argument(f"--{name}-noise", type=kind, default=0.0, metavar="S", help=f"{what} (default: 0)")


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="of initial weights, dropout and the order of examples; the split stays as it is (default: 0)",
    )
    group.add_argument(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda or cuda:N (default: $GPUGRAD_DEVICE, else a GPU if there is one)",
    )
    group.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder of the run, in which an earlier run is replaced (default: a new runs/DATE_TIME)",
    )
    group.add_argument(
        "--resume",
        type=Path,
        metavar="PATH",
        help="start from these weights (a .safetensors file or the folder of a run)",
    )
    group.add_argument(
        "--show",
        type=example_numbers,
        metavar="NUMBERS",
        help="test examples whose feature maps are drawn, as in 3,17 (default: the first of each of three classes)",
    )
    group.add_argument("--no-plots", action="store_true", help="draw no pictures")
    group.add_argument("--quiet", action="store_true", help="show no progress, only the result")
