"""Gradients for NumPy and CuPy code, with a training stack on top."""

from . import backend
from ._version import __version__
from .backend import Device, DeviceError, device, set_default_device
from .fusion import FormulaError
from .tape import GradientError, detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .tensor import Tensor
from .ops import elementwise as _e, linalg as _l, cast as _c
from .ops.creation import *
from .ops.random import *
from .ops.core import elementwise
from .primitive import FUNCTIONS as _F
from . import cpu
globals().update(_F)
from .transforms import check_grads, grad, value_and_grad, vjp
