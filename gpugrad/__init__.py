"""Gradients for NumPy and CuPy code, with a training stack on top."""

from . import backend
from ._version import __version__
from .backend import Device, DeviceError, device, set_default_device
from .fusion import FormulaError
from .gradmode import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .tape import GradientError
from .tensor import Tensor
from .ops import elementwise as _e, linalg as _l, cast as _c
from .ops.creation import *
from .ops.random import *
from .ops.core import elementwise
from .primitive import FUNCTIONS as _F
from . import cpu
from . import fusion
import numpy as _np
float16, float32, float64, int64 = _np.float16, _np.float32, _np.float64, _np.int64
globals().update(_F)
from .transforms import check_grads, grad, value_and_grad, vjp
