"""`gg.explain`: the recorded graph with what each operation holds, in every form, and its picture without overlaps."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.explaining import picture


def residual_network():
    model = gg.nn.Sequential(gg.nn.Conv2d(3, 4, 3, stride=2, padding=1), gg.nn.ReLU(), gg.nn.Conv2d(4, 4, 1))
    x = gg.tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32))
    h = model[1](model[0](x))
    return model, x, h, (model[2](h) + h).sum()


def test_every_operation_is_there_once_in_the_order_of_recording_and_leaves_go_by_their_names():
    model, _, _, loss = residual_network()
    steps = gg.explain(loss, model.named_parameters()).steps
    assert [s.name for s in steps] == [
        "0.weight", "0.bias", "2.weight", "2.bias", "conv", "relu", "conv", "add", "sum",
    ]  # fmt: skip
    assert [s.number for s in steps] == list(range(9))
    assert [s.parents for s in steps if not s.leaf] == [(0, 1), (4,), (5, 2, 3), (6, 5), (7,)]
    assert all(p < s.number for s in steps for p in s.parents)


def test_what_is_held_is_counted_in_bytes_and_memory_that_two_operations_keep_once():
    x = gg.tensor(np.ones(100), requires_grad=True)
    y = gg.exp(x)
    found = gg.explain((y * y + gg.sin(x)).sum(), {"x": x})
    held = {s.name: s.held_bytes for s in found.steps}
    assert held == {"x": 0, "exp": 800, "multiply": 0, "sin": 800, "add": 0, "sum": 0}
    assert found.held_bytes == 1600
    assert "held for the way back: 1.6 KiB" in str(found)


def test_a_convolution_states_its_geometry_and_debug_mode_the_line():
    with gg.detect_anomaly():
        model, _, _, loss = residual_network()
    found = gg.explain(loss, model.named_parameters())
    first = next(s for s in found.steps if s.name == "conv")
    assert first.note == "kernel 3x3, stride 2x2, padding 1x1, by im2col"
    assert "test_explain.py" in first.line
    assert "kernel 3x3, stride 2x2" in found.text()
    assert "test_explain.py" in found.text()


def test_a_convolution_names_the_algorithm_that_computed_it(monkeypatch):
    monkeypatch.setenv("GPUGRAD_NUMBA", "0")
    images = gg.tensor(np.ones((8, 64, 16, 16), np.float32), requires_grad=True)
    square, deep = gg.ones(64, 64, 3, 3), gg.ones(64, 1, 3, 3)
    y = gg.conv2d(images, square, padding=1)
    with gg.cpu.convolution("im2col"):
        y = gg.conv2d(y, square)
    y = gg.conv_transpose2d(gg.conv2d(y, deep, groups=64), square)
    found = gg.explain(y)
    assert [s.note for s in found.steps if not s.leaf] == [
        "kernel 3x3, padding 1x1, by winograd2", "kernel 3x3, by im2col", "kernel 3x3, 64 groups, by shifted",
        "kernel 3x3, by winograd2",
    ]  # fmt: skip
    for form in (found.text(), found.dot(), found.mermaid(), found.svg()):
        assert "by winograd2" in form
        assert "by shifted" in form


def test_after_a_backward_pass_nothing_is_held():
    _, _, _, loss = residual_network()
    loss.backward()
    found = gg.explain(loss)
    assert found.held_bytes == 0
    assert [s.freed for s in found.steps if not s.leaf] == [True] * 5
    assert "freed" in found.text()


def test_dot_and_mermaid_have_every_box_and_edge():
    model, _, _, loss = residual_network()
    found = gg.explain(loss, model.named_parameters())
    edges = [(p, s.number) for s in found.steps for p in s.parents]
    assert all(f"n{a} -> n{b}" in found.dot() for a, b in edges)
    assert all(f"n{a} --> n{b}" in found.mermaid() for a, b in edges)
    assert found.dot().count("label=") == found.mermaid().count('"') // 2 == len(found.steps)


def test_the_picture_is_a_drawing_with_every_name_and_no_two_boxes_overlap():
    model, _, _, loss = residual_network()
    found = gg.explain(loss, model.named_parameters())
    drawing = ET.fromstring(picture.svg(found.steps))
    words = {t.text for t in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {s.name for s in found.steps} <= words
    plan = picture.Layout(found.steps)
    boxes = [(p, plan.tops[p.layer]) for p in plan.places if p.lines]
    for (a, (top_a, height_a)), (b, (top_b, height_b)) in itertools.combinations(boxes, 2):
        beside = abs(a.x - b.x) >= (a.width + b.width) / 2
        above = top_a + height_a <= top_b or top_b + height_b <= top_a
        assert beside or above, (a.lines, b.lines)
    assert all(p.x - p.width / 2 >= 0 and p.x + p.width / 2 <= plan.width for p in plan.places)


def test_edges_run_from_their_input_down_to_their_operation():
    model, _, _, loss = residual_network()
    plan = picture.Layout(gg.explain(loss, model.named_parameters()).steps)
    for edge in plan.edges:
        heights = [y for _, y in plan.route(edge)]
        assert heights == sorted(heights)


@pytest.mark.parametrize("ending", [".svg", ".png", ".dot", ".mmd", ".txt"])
def test_files_are_written_in_the_form_their_ending_names(ending, tmp_path):
    if ending == ".png":
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = gg.explain(residual_network()[3]).save(tmp_path / f"graph{ending}")
    begins = {".svg": b"<", ".png": b"\x89PNG", ".dot": b"digraph", ".mmd": b"flowchart", ".txt": b" #"}[ending]
    assert path.read_bytes().startswith(begins)


def test_what_has_no_graph_is_refused():
    for wrong in (gg.ones(3), [np.ones(3)]):
        with pytest.raises(ValueError, match=r"\[explain\].*nothing was recorded"):
            gg.explain(wrong)
    with pytest.raises(ValueError, match="ending"):
        gg.explain(residual_network()[3]).save("graph.gif")


def test_operations_with_several_outputs_show_each():
    a = gg.tensor(np.diag([1.0, 2.0, 3.0]), requires_grad=True)
    w, v = gg.linalg.eigh(a)
    steps = gg.explain((w.sum() * v.sum()).sum()).steps
    assert [s.name for s in steps][:4] == ["leaf", "eigh", "output 0", "output 1"]
    assert steps[1].shape == ((3,), (3, 3))
