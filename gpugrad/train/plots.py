"""The pictures of a run as Matplotlib figures: curves, learned features, confusion matrix, and all in one.

Figures are drawn without pyplot, so no window opens and no global state is touched; nothing is imported until
a figure is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpugrad.train.checkpoint import write_atomically
from gpugrad.train.extras import require
from gpugrad.train.trainer import EpochMetrics

TRAIN_COLOUR = "#1f6feb"
TEST_COLOUR = "#d1580b"
FRAME_COLOUR = "#aeb6c0"
GRID = {"color": "#d9dde3", "linewidth": 0.8}
DOTS_PER_INCH = 110


@dataclass(frozen=True)
class Example:
    """An example and what layers make of it.

    Attributes:
        title: what stands above it.
        image: `(channels, height, width)`, pixels in [0, 1].
        maps: for each layer by name `(channels, height, width)`.
    """

    title: str
    image: NDArray[Any]
    maps: dict[str, NDArray[Any]]


def curves(history: Sequence[EpochMetrics], *, loss_label: str = "cross entropy (nats)") -> Any:
    """Loss and accuracy over the epochs, training and test.

    Args:
        history: the metrics of each epoch; at least one.
        loss_label: label of the loss axis.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    figure = _figure(10.0, 4.0)
    loss, accuracy = figure.subplots(1, 2)
    _draw_loss(loss, history, loss_label)
    _draw_accuracy(accuracy, history)
    return figure


def features(weights: NDArray[Any], *, at_most: int = 64) -> Any:
    """What each unit of the first layer looks for: its incoming weights as an image.

    Args:
        weights: `(units, channels, height, width)`: the weights of a unit, or the filters of a convolution.
        at_most: units shown; of more, those with the largest weights (by 2-norm) are.

    Returns:
        A `matplotlib.figure.Figure`: of one channel, red weighs for a unit, blue against it, on one scale that is
        symmetric about 0; three channels are red, green and blue around grey; of any other number, the mean.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    figure = _figure(6.8, 5.9)
    axes = figure.subplots()
    shown = _draw_features(axes, weights, at_most)
    if weights.shape[1] != 3:
        figure.colorbar(shown, ax=axes, label="weight", shrink=0.8)
    return figure


def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> Any:
    """The confusion matrix of the test part, with the counts written in.

    Args:
        matrix: `(classes, classes)` counts, row the true class, column the prediction.
        classes: their names.

    Returns:
        A `matplotlib.figure.Figure`; colours show shares of a row, so that rare classes count as much.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    figure = _figure(6.4, 5.8)
    axes = figure.subplots()
    shown = _draw_confusion(axes, matrix, classes)
    bar = figure.colorbar(shown, ax=axes, label="share of the true class", shrink=0.85)
    bar.ax.yaxis.set_major_formatter(_matplotlib(".ticker").PercentFormatter(1.0, decimals=0))
    return figure


def overview(
    history: Sequence[EpochMetrics],
    weights: NDArray[Any],
    matrix: NDArray[np.int64],
    classes: Sequence[str],
) -> Any:
    """Accuracy curve, a few learned features and the confusion matrix side by side, as for a README.

    Args and errors are those of `curves`, `features` and `confusion`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = _figure(13.0, 4.3)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 1.0, 1.0])
    _draw_accuracy(left, history)
    _draw_features(middle, weights, 36)
    _draw_confusion(right, matrix, classes)
    return figure


def feature_maps(examples: Sequence[Example], *, at_most: int = 16) -> Any:
    """What layers make of examples: a row for each example, its image and then the maps of each layer.

    Args:
        examples: what is shown; each has maps of the same layers.
        at_most: maps of a layer shown, those with the largest spread over the first example.

    Returns:
        A `matplotlib.figure.Figure`; the brightest spot of a layer's maps is where it answers most.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    layers = list(examples[0].maps)
    figure = _figure(1.2 + 2.4 * (len(layers) + 1), 0.6 + 2.3 * len(examples))
    grid = figure.subplots(len(examples), len(layers) + 1, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    spread = {name: maps.std(axis=(1, 2)) for name, maps in examples[0].maps.items()}
    chosen = {name: np.sort(np.argsort(-values, kind="stable")[:at_most]) for name, values in spread.items()}
    for row, example in zip(grid, examples, strict=True):
        pixels = np.clip(np.moveaxis(example.image, 0, -1), 0, 1)
        row[0].imshow(pixels if pixels.shape[-1] == 3 else pixels[..., 0], cmap="gray", vmin=0, vmax=1)
        row[0].set_title(example.title, fontsize=10, fontweight="bold", loc="left")
        for axes, name in zip(row[1:], layers, strict=True):
            colours = _matplotlib().colormaps["viridis"].with_extremes(bad="white")
            axes.imshow(_sheet(example.maps[name][chosen[name]]), cmap=colours, interpolation="nearest")
            shown, count = len(chosen[name]), len(example.maps[name])
            which = f"{shown} of {count}" if shown < count else f"{count}"
            axes.set_title(f"{name}: {which} maps", fontsize=10, loc="left")
    return figure


def save(figure: Any, path: Path) -> None:
    """Write the figure as a PNG of `DOTS_PER_INCH`, in one step.

    Raises:
        OSError: the file cannot be written.
    """
    content = io.BytesIO()
    # Without the entry that names Matplotlib's version, equal figures are equal files.
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    write_atomically(path, content.getvalue())


def _matplotlib(module: str = "") -> Any:
    return require(f"matplotlib{module}", package="matplotlib", purpose="draw the pictures")


def _figure(width: float, height: float) -> Any:
    figure = _matplotlib(".figure").Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # inches
    return figure


def _style(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _draw_lines(axes: Any, history: Sequence[EpochMetrics], train: Sequence[float], test: Sequence[float]) -> None:
    epochs = [metrics.epoch for metrics in history]
    marker = "o" if len(epochs) == 1 else None  # a line of one point would be invisible
    axes.plot(epochs, train, color=TRAIN_COLOUR, linewidth=2, marker=marker, label="training")
    axes.plot(epochs, test, color=TEST_COLOUR, linewidth=2, marker=marker, label="test")
    axes.xaxis.set_major_locator(_matplotlib(".ticker").MaxNLocator(integer=True))
    axes.grid(**GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _draw_loss(axes: Any, history: Sequence[EpochMetrics], label: str) -> None:
    _draw_lines(axes, history, [m.train_loss for m in history], [m.test_loss for m in history])
    _style(axes, "Loss", "epoch", label)


def _draw_accuracy(axes: Any, history: Sequence[EpochMetrics]) -> None:
    train, test = [100 * m.train_accuracy for m in history], [100 * m.test_accuracy for m in history]
    _draw_lines(axes, history, train, test)
    _style(axes, f"Accuracy: {test[-1]:.1f} % on unseen examples", "epoch", "accuracy (%)")
    # The first epoch or two of a good run lie far below the rest, where the curves are worth reading.
    floor = 80.0 if min(test) > 80.0 and len(test) > 1 else 0.0
    axes.set_ylim(floor, 101.0 if floor else 103.0)
    axes.legend(frameon=False, loc="lower right")


def _draw_features(axes: Any, weights: NDArray[Any], at_most: int) -> Any:
    units = len(weights)
    norms = np.linalg.norm(weights.reshape(units, -1), axis=1)
    chosen = weights[np.sort(np.argsort(-norms, kind="stable")[:at_most])]
    limit = float(np.percentile(np.abs(chosen), 99.5)) or 1.0
    if weights.shape[1] == 3:
        sheet = np.stack([_sheet(np.clip(chosen[:, c] / limit / 2 + 0.5, 0, 1)) for c in range(3)], axis=-1)
        image = axes.imshow(np.where(np.isnan(sheet), 1.0, sheet), interpolation="nearest")
    else:
        colours = _matplotlib().colormaps["RdBu_r"].with_extremes(bad=FRAME_COLOUR)
        sheet = _sheet(chosen.mean(axis=1))
        image = axes.imshow(sheet, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")
    which = f"{len(chosen)} of {units} units" if len(chosen) < units else f"{units} units"
    axes.set_title(f"Learned features: {which}", fontsize=12, fontweight="bold", loc="left")
    axes.set_axis_off()
    return image


def _sheet(images: NDArray[Any], columns: int | None = None) -> NDArray[Any]:
    """Images `(n, height, width)` side by side in one array with NaN between them.

    One array draws a hundred times faster than one set of axes for each image.
    """
    count, height, width = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = int(np.ceil(count / columns))
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for place, image in enumerate(images):
        top, left = place // columns * (height + 1) + 1, place % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = image
    return sheet


def _draw_confusion(axes: Any, matrix: NDArray[np.int64], names: Sequence[str]) -> Any:
    classes = len(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for true in range(classes):
        for predicted in range(classes):
            count = int(matrix[true, predicted])
            if count:
                colour = "white" if shares[true, predicted] > 0.5 else "#b42318"
                axes.text(predicted, true, str(count), ha="center", va="center", color=colour, fontsize=9)
    wrong = int(matrix.sum() - np.trace(matrix))
    _style(axes, f"{wrong} of {int(matrix.sum())} misread", "read as", "true class")
    axes.set_xticks(range(classes), names, rotation=45 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0)
    return image
