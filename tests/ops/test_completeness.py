"""No operation without a row, no row that does not do what it says, and a checker that catches wrong rules."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.primitive import ELEMENTWISE, REGISTRY, Primitive
from gpugrad.tensor import apply
from tests.ops.harness import recorded
from tests.ops.table import Row, rows

ROWS = rows()
# Their result lives on another device, or is random: tested where those things are.
ELSEWHERE = {"to_device", "dropout"}
OURS = {name for name, primitive in REGISTRY.items() if primitive.forward.__module__.startswith("gpugrad.")}


@pytest.mark.parametrize("name", sorted((OURS | set(ELEMENTWISE)) - ELSEWHERE))
def test_operation_has_a_row(name: str) -> None:
    assert any(name in row.covered for row in ROWS), f"add a row that covers {name} to tests/ops/rows_<family>.py"


@pytest.mark.parametrize("row", [row for row in ROWS if row.order], ids=lambda row: row.name)
def test_row_records_what_it_says_to_cover(row: Row) -> None:
    assert set(row.covered) <= recorded(row)


# ---- planted errors


@pytest.fixture
def planted() -> Iterator[Callable[..., Any]]:
    """Makes x * x * y (per element) with a rule of the test's choice; the registry is left as it was."""
    made: list[str] = []

    def plant(rule: Callable[..., Any], name: str = "planted") -> Callable[..., Any]:
        primitive = Primitive(name, lambda needs, x, y: (x * x * y, ()), rule, keeps=((0, 1), (0,)))
        made.append(name)
        return lambda x, y: apply(primitive, (x, y), {})

    yield plant
    for name in made:
        del REGISTRY[name]


XY = (np.array([[0.5, -1.2, 2.0], [1.1, 0.3, -0.7]]), np.array([[1.5, 0.4, -0.6], [0.9, -1.3, 0.8]]))


def right(g: Any, needs: Any, x: Any, y: Any) -> Any:
    return g * 2 * x * y, g * x * x


WRONG = {
    "sign": lambda g, needs, x, y: (g * -2 * x * y, g * x * x),
    "factor": lambda g, needs, x, y: (g * x * y, g * x * x),
    "small factor": lambda g, needs, x, y: (g * 2.0002 * x * y, g * x * x),
    "missing term": lambda g, needs, x, y: (g * 2 * x * y, g * 0),
    "swapped": lambda g, needs, x, y: (g * x * x, g * 2 * x * y),
    "mixed up elements": lambda g, needs, x, y: ((g * 2 * x * y)[::-1], g * x * x),
    "one element": lambda g, needs, x, y: (g * 2 * x * y, g * x * x + np.eye(2, 3) * 0.01),
}


def test_checker_passes_a_right_rule(planted: Callable[..., Any]) -> None:
    gg.check_grads(planted(right), XY, order=2)


@pytest.mark.parametrize("error", WRONG)
def test_checker_catches_a_wrong_rule(error: str, planted: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match=r"\[check_grads\] order 1"):
        gg.check_grads(planted(WRONG[error]), XY, order=1)


def test_checker_catches_a_rule_that_is_wrong_only_at_the_second_order(planted: Callable[..., Any]) -> None:
    def cut(g: Any, needs: Any, x: Any, y: Any) -> Any:
        constant = x.detach() if hasattr(x, "detach") else x  # its own derivative is lost
        return g * 2 * constant * y, g * x * x

    function = planted(cut)
    gg.check_grads(function, XY, order=1)
    with pytest.raises(AssertionError, match=r"\[check_grads\] order 2"):
        gg.check_grads(function, XY, order=2)


def test_rule_of_a_wrong_shape_is_refused_by_name(planted: Callable[..., Any]) -> None:
    function = planted(lambda g, needs, x, y: ((g * x).T, g * x * x), "misshapen")
    with pytest.raises(gg.GradientError, match=r"\[misshapen\].*\(3, 2\).*\(2, 3\)"):
        gg.check_grads(function, XY, order=1)


def test_rule_with_too_few_cotangents_is_refused_by_name(planted: Callable[..., Any]) -> None:
    function = planted(lambda g, needs, x, y: (g * x,), "short")
    with pytest.raises(gg.GradientError, match=r"\[short\].*1 cotangents for 2"):
        gg.check_grads(function, XY, order=1)
