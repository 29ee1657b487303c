"""Debug mode reports the first value that is not finite with operation, shapes, statistics and the user's line."""

import warnings

import numpy as np
import pytest

import gpugrad as gg


@gg.elementwise
def shifted_log(x, a=0.0):
    return gg.log(x - a) * a


@gg.custom_vjp
def custom(x):
    return x * 2.0


custom.defvjp(lambda x: (x * 2.0, None), lambda kept, g: (g * np.inf,))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (gg.log, "log"),
        (lambda x: x / (x * 0.0), "divide"),
        (lambda x: shifted_log(x, 1.0), "shifted_log"),
        (lambda x: gg.linalg.inv(x.reshape(1, 2) * gg.ones(2, 1) * np.inf), "multiply"),
    ],
)
def test_forward_names_the_operation_its_operands_statistics_and_the_line(operation, name):
    x = gg.tensor([0.0, 1.0], requires_grad=True)
    with (
        gg.detect_anomaly(),
        pytest.raises(gg.AnomalyError, match=rf"\[{name}\].*shape.*\[.*\], mean .*test_anomaly_reports.py:\d+"),
    ):
        operation(x)


def test_backward_names_a_custom_operation_and_its_line():
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    with gg.detect_anomaly():
        y = custom(x)
        with pytest.raises(gg.AnomalyError, match=r"nan or infinite.*kept.*test_anomaly_reports.py:\d+: y = custom"):
            y.sum().backward()


def test_backward_names_an_operation_of_a_module_and_what_it_kept():
    class Root(gg.nn.Module):
        def forward(self, x):
            return gg.sqrt(x)

    x = gg.tensor([0.0, 4.0], requires_grad=True)
    with gg.detect_anomaly():
        y = Root()(x)
        with pytest.raises(gg.AnomalyError, match=r"\[sqrt\].*kept \(2,\) float32 \[0, 2\], mean 1; .*return gg.sqrt"):
            y.sum().backward()
