"""The options of `gpugrad train`: their names, defaults and help.

What values they take is checked in `gpugrad.cli.values`; what they do is in `gpugrad.cli.train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpugrad.cli.values import (
    fraction,
    layer_sizes,
    non_negative_number,
    positive_integer,
    positive_number,
    seed,
)
from gpugrad.train import ACTIVATIONS

NAME = "train"
SUMMARY = "train a multilayer perceptron on real handwritten digits"
DESCRIPTION = """\
Train a multilayer perceptron on scikit-learn's 1,797 scanned digits of 8x8
pixels: 1,437 to learn from and 360 to test on, a split that is always the same.
Shows progress, prints the result as a table, and writes metrics.jsonl,
config.json, weights.safetensors and pictures into the run's folder. The same
seed gives the same weights, bit for bit."""

LEARNING_RATES = {"adam": 3e-3, "adamw": 3e-3, "sgd": 0.05, "rmsprop": 1e-3}
SGD_MOMENTUM = 0.9


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gpugrad train`."""
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
    model = parser.add_argument_group("model")
    model.add_argument(
        "--hidden",
        type=layer_sizes,
        default=(256, 128),
        metavar="SIZES",
        help="units of the hidden layers, '' for a linear model (default: 256,128)",
    )
    model.add_argument(
        "--activation",
        choices=sorted(ACTIVATIONS),
        default="relu",
        metavar="NAME",
        help=f"of the hidden layers (default: relu): {', '.join(sorted(ACTIVATIONS))}",
    )
    model.add_argument("--dropout", type=fraction, default=0.2, metavar="P", help="probability (default: 0.2)")
    learning = parser.add_argument_group("learning")
    learning.add_argument(
        "--optimizer",
        choices=sorted(LEARNING_RATES),
        default="adam",
        metavar="NAME",
        help=f"(default: adam): {', '.join(sorted(LEARNING_RATES))}",
    )
    learning.add_argument("--lr", type=positive_number, metavar="RATE", help=f"learning rate (default: {rates})")
    learning.add_argument(
        "--schedule",
        choices=("constant", "cosine"),
        default="cosine",
        help="of the learning rate: down to 0 along a cosine, or constant (default: cosine)",
    )
    learning.add_argument(
        "--momentum",
        type=fraction,
        metavar="M",
        help=f"of sgd, and only there (default: {SGD_MOMENTUM})",
    )
    learning.add_argument(
        "--weight-decay",
        type=non_negative_number,
        default=5e-4,
        metavar="W",
        help="(default: 0.0005)",
    )
    learning.add_argument(
        "--label-smoothing",
        type=fraction,
        default=0.1,
        metavar="S",
        help="share of the target spread over all classes, in every reported loss (default: 0.1)",
    )
    learning.add_argument("--epochs", type=positive_integer, default=40, metavar="N", help="(default: 40)")
    learning.add_argument("--batch-size", type=positive_integer, default=64, metavar="N", help="(default: 64)")
    _add_run_options(parser.add_argument_group("run"))


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
    group.add_argument("--no-plots", action="store_true", help="draw no pictures")
    group.add_argument("--quiet", action="store_true", help="show no progress, only the result")
