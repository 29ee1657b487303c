"""Training of classifiers: data, the loop, metrics, checkpoints and pictures.

`gpugrad train` is built from these parts, and so can other programs be. Packages of the extra
`gpugrad[train]` are imported when a part first needs them; importing this module needs NumPy only.
"""

from gpugrad.train.augment import Augmentation
from gpugrad.train.checkpoint import CheckpointError, load_weights, read_weights, save_weights
from gpugrad.train.data import Examples, batches, epoch_order
from gpugrad.train.datasets import DataError, ImageData, load_data, load_digits
from gpugrad.train.extras import MissingExtraError
from gpugrad.train.metrics import accuracy, confusion_matrix
from gpugrad.train.mlp import ACTIVATIONS, mlp
from gpugrad.train.rundir import RunFolder
from gpugrad.train.trainer import DivergedError, EpochMetrics, Score, Trainer

__all__ = [
    "ACTIVATIONS",
    "Augmentation",
    "CheckpointError",
    "DataError",
    "DivergedError",
    "EpochMetrics",
    "Examples",
    "ImageData",
    "MissingExtraError",
    "RunFolder",
    "Score",
    "Trainer",
    "accuracy",
    "batches",
    "confusion_matrix",
    "epoch_order",
    "load_data",
    "load_digits",
    "load_weights",
    "mlp",
    "read_weights",
    "save_weights",
]
