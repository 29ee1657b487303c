"""Optimizers and learning-rate schedules, under PyTorch's names.

`lr_scheduler` has the schedules; clipping of gradients is in `gpugrad.nn.utils`.
"""

from . import schedules as lr_scheduler
from .adaptive import Adadelta, Adagrad, Adamax, NAdam, RAdam
from .optimizer import Optimizer
from .rules import SGD, Adam, AdamW, RMSprop
from .schedules import CosineAnnealingLR, ExponentialLR, LambdaLR, LinearLR, LRScheduler, MultiStepLR, StepLR

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "CosineAnnealingLR", "ExponentialLR", "LRScheduler",
    "LambdaLR", "LinearLR", "MultiStepLR", "NAdam", "Optimizer", "RAdam", "RMSprop", "StepLR", "lr_scheduler",
]  # fmt: skip
