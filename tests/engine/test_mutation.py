"""In-place changes: what the tape still needs is protected, everything else may be written."""

import numpy as np
import pytest

import gpugrad as gg


def leaf(*values):
    return gg.tensor(np.array(values), requires_grad=True)


def test_setitem_on_a_saved_constant_is_refused_by_the_operation_that_saved_it():
    x, c = leaf(1.0, 2.0), gg.tensor(np.array([3.0, 4.0]))
    y = x * c
    c[0] = 9.0
    with pytest.raises(gg.GradientError, match=r"multiply.*saved.*changed in place by setitem"):
        y.backward(np.ones(2))


def test_an_optimizers_update_of_a_saved_weight_is_refused():
    w = leaf(1.0, 2.0)
    y = w * w
    with gg.no_grad():
        w -= 0.1
    with pytest.raises(gg.GradientError, match="subtract"):
        y.backward(np.ones(2))


def test_a_change_before_recording_or_of_something_not_saved_is_fine():
    x, c = leaf(1.0, 2.0), gg.tensor(np.array([3.0, 4.0]))
    c[0] = 5.0
    y = x * c
    z = y + 1.0
    other = gg.tensor(np.zeros(2))
    other += 1.0
    z.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, [5.0, 4.0])


def test_views_of_one_buffer_are_told_apart():
    buffer = np.arange(8.0)
    left, right = gg.asarray(buffer[:4]), gg.asarray(buffer[4:])
    x = leaf(1.0, 1.0, 1.0, 1.0)
    y = x * left
    right[0] = 100.0
    y.backward(np.ones(4))
    y = x * left
    gg.asarray(buffer)[1] = -1.0
    with pytest.raises(gg.GradientError, match="setitem"):
        y.backward(np.ones(4))


def test_in_place_on_a_leaf_is_refused_while_recording():
    x = leaf(1.0, 2.0)
    with pytest.raises(gg.GradientError, match=r"leaf.*no_grad"):
        x += 1.0
    with pytest.raises(gg.GradientError, match="leaf"):
        x[0] = 3.0


def test_in_place_on_a_result_is_recorded():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2.0
    y += 1.0
    y *= 3.0
    y.backward(np.ones(3))
    np.testing.assert_array_equal(y.data, [9.0, 15.0, 21.0])
    np.testing.assert_array_equal(x.grad.data, [6.0, 6.0, 6.0])


def test_item_assignment_on_a_result_cuts_the_gradient_of_what_was_overwritten():
    x, v = leaf(1.0, 2.0, 3.0), leaf(7.0)
    y = x * 2.0
    y[1] = v[0]
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.data, [2.0, 7.0, 6.0])
    np.testing.assert_array_equal(x.grad.data, [8.0, 0.0, 24.0])
    np.testing.assert_array_equal(v.grad.data, [14.0])


def test_a_bare_write_behind_the_tape_is_found_in_debug_mode():
    x, c = leaf(1.0, 2.0), gg.tensor(np.array([3.0, 4.0]))
    with gg.detect_anomaly():
        y = gg.exp(x * c)
        c.data[0] = 0.0
        with pytest.raises(RuntimeError, match=r"multiply.*behind the tape's back"):
            y.backward(np.ones(2))


def test_debug_mode_names_the_operation_and_line_of_a_gradient_that_is_not_finite():
    x = leaf(0.0, 1.0)
    with gg.detect_anomaly(), pytest.raises(RuntimeError, match=r"\[sqrt\].*test_mutation.py"):
        gg.sqrt(x).sum().backward()
    gg.sqrt(x)  # off again


def test_a_gradient_that_is_used_in_a_graph_may_not_be_added_to_before_its_backward():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * x).backward(np.ones(2))
    y = x.grad * w
    (x * x).backward(np.ones(2))
    with pytest.raises(gg.GradientError, match=r"multiply.*changed in place by backward"):
        y.backward(np.ones(2))


def test_a_gathered_copy_may_be_written_to():
    x = leaf(1.0, 2.0, 3.0)
    y = x[np.array([0, 0, 2])]
    y += 1.0
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [8.0, 0.0, 8.0])
