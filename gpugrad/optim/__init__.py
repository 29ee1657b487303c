"""Optimizers and learning-rate schedules, under PyTorch's names.

`lr_scheduler` has the schedules; clipping of gradients is in `gpugrad.nn.utils`.
"""

from . import lr_scheduler
from .adaptive import Adadelta, Adagrad, Adamax, NAdam, RAdam
from .lbfgs import LBFGS
from .lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, LinearLR, LRScheduler, MultiStepLR, StepLR
from .optimizer import Optimizer
from .rules import SGD, Adam, AdamW, RMSprop

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "CosineAnnealingLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "NAdam", "Optimizer", "RAdam", "RMSprop", "StepLR",
    "lr_scheduler",
]  # fmt: skip
