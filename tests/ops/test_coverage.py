"""The coverage table is that of the code, and no public name of NumPy's is left out without a reason."""

import numpy
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp
from tests.ops import audit, coverage_table


@pytest.fixture(scope="module")
def known():
    return coverage_table.coverage()


def test_the_page_is_that_of_the_code():
    written = coverage_table.FILE.read_text("utf-8")
    assert written == coverage_table.text(), "run python -m tests.ops.coverage_table --write"


@pytest.mark.parametrize("face", coverage_table.FACES)
def test_every_function_has_a_row_or_a_reason_for_having_no_derivative(face, known):
    assert coverage_table.untested(face, known) == []


@pytest.mark.parametrize("face", coverage_table.NUMPYS)
def test_every_public_name_of_numpy_is_provided_or_has_a_reason(face):
    assert coverage_table.unaccounted(face) == []


def test_no_reason_outlives_its_cause(known):
    shown = [dict(coverage_table.functions_of(face)) for face in coverage_table.FACES]
    for name in audit.WITHOUT_DERIVATIVE:
        owners = [functions[name] for functions in shown if name in functions]
        assert owners, name
    for name in audit.NOT_PROVIDED:
        homes = [f for f, theirs in coverage_table.NUMPYS.items() if name in audit.public(theirs)]
        provided = [f for f in homes if name in coverage_table.FACES[f].__all__]
        assert not provided, f"{name} is provided by {provided}"


def test_what_the_table_says_of_an_operation_is_what_its_rows_show(known):
    assert known[id(gg.exp)].order == 2
    assert known[id(gg.argmax)].order == 0
    assert known[id(gg.matmul)].forward_mode() == "yes"
    assert known[id(coverage_table.own(gnp.trim_zeros))].mapped() == "no"
    assert known[id(coverage_table.own(gnp.real_if_close))].places() == "NumPy"


def test_a_row_less_or_a_name_more_is_noticed(known, monkeypatch):
    less = {number: entry for number, entry in known.items() if number != id(gg.tanh)}
    assert coverage_table.untested("gpugrad.numpy", less) == ["tanh"]
    monkeypatch.delitem(audit.NOT_PROVIDED, "packbits")
    assert coverage_table.unaccounted("gpugrad.numpy") == ["packbits"]


@pytest.mark.parametrize("name", sorted(n for n in audit.public(numpy) if n in audit.NOT_PROVIDED))
def test_a_function_of_numpy_that_is_not_provided_is_refused_by_name(name):
    if name == "bool":
        assert gnp.bool is gnp.bool_
        return
    with pytest.raises(AttributeError, match=rf"numpy\.{name} (has no gradient rule here|changes its argument)"):
        getattr(gnp, name)
