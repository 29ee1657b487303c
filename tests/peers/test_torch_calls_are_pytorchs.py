"""The signatures of `nn.torch_calls` are PyTorch's own."""

import inspect
import re

import pytest

from gpugrad.nn import functional
from gpugrad.nn.torch_calls import CONSTRUCTORS, THEIRS

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers

# PyTorch's own functions that are written in C++ tell their arguments in the first line of their docstring only.
UNTOLD = {"input", "args", "kwargs"}
# By name only: of pooling what PyTorch's docstring leaves out, of batch_norm what its layer counts outside.
OURS_TOO = {"divisor_override", "num_batches_tracked"}


def arguments(function):
    names = list(inspect.signature(function).parameters) if not inspect.isbuiltin(function) else ["args"]
    if not set(names) <= UNTOLD:
        return names
    told = re.search(r"\w+\(([^)]*)\)", function.__doc__)
    return [part.split("=")[0].strip() for part in told.group(1).split(",") if part.strip() not in ("*", "/")]


@pytest.mark.parametrize("name", THEIRS)
def test_the_arguments(name):
    assert list(inspect.signature(THEIRS[name]).parameters) == arguments(getattr(torch.nn.functional, name))


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_the_arguments_of_a_loss(name):
    theirs = inspect.signature(getattr(torch.nn, name).__init__).parameters
    ours = inspect.signature(CONSTRUCTORS[name]).parameters
    assert [(n, p.default) for n, p in ours.items()] == [(n, p.default) for n, p in theirs.items()]


def test_all_others_have_arguments_of_the_same_names_in_the_same_order():
    for name in functional.__all__:
        theirs = getattr(torch.nn.functional, name, None)
        if theirs is None or name in THEIRS:
            continue
        own, expected = inspect.signature(getattr(functional, name)).parameters.values(), arguments(theirs)
        placed = [p.name for p in own if p.kind is not p.KEYWORD_ONLY and p.name not in OURS_TOO]
        assert placed == expected[: len(placed)], name
        assert {p.name for p in own} <= {*expected, *OURS_TOO}, name
