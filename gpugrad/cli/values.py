"""Values of command-line options: parsed, checked, and refused in words that say what is expected.

Each function is the `type` of an argparse option; which option takes which is decided where the options are.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

LARGEST_SEED = 2**63 - 1
LARGEST_LAYER = 1_000_000


def positive_integer(text: str) -> int:
    """An integer of at least 1."""
    return _integer(text, at_least=1)


def seed(text: str) -> int:
    """An integer of at least 0 that fits into 63 bits, as generators take it."""
    return _integer(text, at_least=0, at_most=LARGEST_SEED)


def non_negative_integer(text: str) -> int:
    """An integer of at least 0."""
    return _integer(text, at_least=0)


def example_numbers(text: str) -> tuple[int, ...]:
    """Integers of at least 0 with commas between them."""
    return tuple(_integer(number, at_least=0) for number in text.split(","))


def data_source(text: str) -> str:
    """`digits`, or the name of a format and a folder."""
    kind, _, folder = text.partition(":")
    if text != "digits" and not (kind in ("idx", "cifar10") and folder):
        raise argparse.ArgumentTypeError(f"{text!r}; expected digits, idx:FOLDER or cifar10:FOLDER")
    return text


def positive_number(text: str) -> float:
    """A finite number greater than 0."""
    return _number(text, "a number greater than 0", lambda value: value > 0)


def non_negative_number(text: str) -> float:
    """A finite number of at least 0."""
    return _number(text, "a number of at least 0", lambda value: value >= 0)


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    return _number(text, "a number of at least 0 and less than 1", lambda value: 0 <= value < 1)


def percentage(text: str) -> float:
    """A fraction of at least 0, written `10%` or `0.1`."""
    number, sign, rest = text.strip().partition("%")
    if rest:
        number = text
    value = _number(number, "a percentage of at least 0, such as 10% or 0.1", lambda v: v >= 0)
    return value / 100 if sign else value


def layer_sizes(text: str) -> tuple[int, ...]:
    """Positive integers with commas between them, or nothing for no layers."""
    if not text.strip():
        return ()
    try:
        return tuple(_integer(size, at_least=1, at_most=LARGEST_LAYER) for size in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of layer sizes: {error} (examples: 256,128 or 64; '' for a linear model)"
        ) from None


def _integer(text: str, *, at_least: int, at_most: int | None = None) -> int:
    expected = f"an integer of at least {at_least}" if at_most is None else f"an integer from {at_least} to {at_most}"
    try:
        value = int(text)
    except ValueError:
        value = at_least - 1
    if value < at_least or (at_most is not None and value > at_most):
        raise argparse.ArgumentTypeError(f"{text!r}; expected {expected}")
    return value


def _number(text: str, expected: str, allowed: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not allowed(value):
        raise argparse.ArgumentTypeError(f"{text!r}; expected {expected}")
    return value
