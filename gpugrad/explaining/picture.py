"""A recorded graph as a picture: by Graphviz where it is installed, else by a layered layout of our own.

Each box stands one layer below its lowest input; within a layer boxes are ordered by the mean place of their
neighbours, which takes out most crossings. An edge that passes layers gets a place in each of them.
"""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .texts import LEAF, OPERATION, lines_of

if TYPE_CHECKING:
    from .graph import Step

LETTER, LINE, GAP, LAYER_GAP, MARGIN = 7.2, 16.0, 24.0, 34.0, 12.0  # points
SWEEPS = 8  # of the ordering within layers


def graphviz(source: str, form: str) -> str | None:
    """What Graphviz's program `dot` makes of its language; None where it is not installed."""
    found = _graphviz(source, form)
    return None if found is None else found.decode()


def graphviz_png(source: str) -> bytes | None:
    """The same as the bytes of a PNG."""
    return _graphviz(source, "png")


def _graphviz(source: str, form: str) -> bytes | None:
    program = shutil.which("dot")
    if program is None:
        return None
    done = subprocess.run([program, f"-T{form}"], input=source.encode(), capture_output=True, check=True)
    return done.stdout


@dataclass
class _Place:
    """A box, or the point where an edge passes a layer."""

    width: float
    layer: int
    lines: list[str] = field(default_factory=list)
    leaf: bool = False
    x: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


class Layout:
    """Where boxes and edges go.

    Attributes:
        places: the boxes by number of step, then the points that edges pass.
        edges: for each edge the places that it runs through, from input to operation.
        tops: where each layer begins, and its height.
        width: of the picture.
        height: of the picture.
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.places = self._boxes(steps)
        self.edges: list[list[int]] = []
        for s in steps:
            for p in s.parents:
                self._connect(p, s.number)
        layers: list[list[int]] = [[] for _ in range(1 + max(p.layer for p in self.places))]
        for i, place in enumerate(self.places):
            layers[place.layer].append(i)
        self._order(layers)
        self._spread(layers)
        self.tops, y = [], MARGIN
        for layer in layers:
            height = LINE * max(len(self.places[i].lines) for i in layer) + 12
            self.tops.append((y, height))
            y += height + LAYER_GAP
        self.height = y - LAYER_GAP + MARGIN
        self.width = MARGIN + max(p.x + p.width / 2 for p in self.places)

    def _boxes(self, steps: tuple[Step, ...]) -> list[_Place]:
        depth: list[int] = []
        for s in steps:
            depth.append(1 + max((depth[p] for p in s.parents), default=-1))
        children = [s for s in steps if not s.leaf]
        for s in steps:  # a leaf stands just above the first operation that reads it
            if s.leaf:
                depth[s.number] = min((depth[c.number] for c in children if s.number in c.parents), default=1) - 1
        found = []
        for s in steps:
            lines = lines_of(s)
            found.append(_Place(LETTER * max(map(len, lines)) + 16, depth[s.number], lines, s.leaf))
        return found

    def _connect(self, start: int, stop: int) -> None:
        run = [start]
        for layer in range(self.places[start].layer + 1, self.places[stop].layer):
            self.places.append(_Place(4.0, layer))
            run.append(len(self.places) - 1)
        run.append(stop)
        for a, b in itertools.pairwise(run):
            self.places[a].below.append(b)
            self.places[b].above.append(a)
        self.edges.append(run)

    def _order(self, layers: list[list[int]]) -> None:
        rank = {i: float(k) for layer in layers for k, i in enumerate(layer)}
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for layer in layers if down else layers[::-1]:
                for i in layer:
                    near = self.places[i].above if down else self.places[i].below
                    if near:
                        rank[i] = sum(rank[j] for j in near) / len(near)
                layer.sort(key=rank.__getitem__)
                rank.update({i: float(k) for k, i in enumerate(layer)})

    def _spread(self, layers: list[list[int]]) -> None:
        for sweep in range(SWEEPS):
            for layer in layers if sweep % 2 == 0 else layers[::-1]:
                wish = []
                for i in layer:
                    place = self.places[i]
                    near = place.above if sweep % 2 == 0 else place.below
                    wish.append(sum(self.places[j].x for j in near) / len(near) if near else place.x)
                self._settle(layer, wish)
        left = min(p.x - p.width / 2 for p in self.places)
        for p in self.places:
            p.x += MARGIN - left

    def _settle(self, layer: list[int], wish: list[float]) -> None:
        """Put a layer's places where they wish, side by side without overlap, and move all to the mean wish."""
        at = float("-inf")
        for i, x in zip(layer, wish, strict=True):
            place = self.places[i]
            place.x = max(x, at + place.width / 2)
            at = place.x + place.width / 2 + GAP
        shift = sum(x - self.places[i].x for i, x in zip(layer, wish, strict=True)) / len(layer)
        for i in layer:
            self.places[i].x += shift

    def route(self, edge: list[int]) -> list[tuple[float, float]]:
        """The points that an edge runs through: out of the box below, through each layer, onto the box above."""
        points = []
        for k, i in enumerate(edge):
            top, height = self.tops[self.places[i].layer]
            own = LINE * len(self.places[i].lines) + 12 if self.places[i].lines else height
            x = self.places[i].x
            if k == 0:
                points.append((x, top + own))
            elif k == len(edge) - 1:
                points.append((x, top))
            else:
                points += [(x, top), (x, top + height)]
        return points


def svg(steps: tuple[Step, ...]) -> str:
    """The layout as SVG."""
    plan = Layout(steps)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{plan.width:.0f}" height="{plan.height:.0f}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,1 L8,4 L0,7 z" fill="#555"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for edge in plan.edges:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in plan.route(edge))
        parts.append(f'<polyline points="{points}" fill="none" stroke="#555" marker-end="url(#tip)"/>')
    for place in plan.places:
        if not place.lines:
            continue
        top, height = plan.tops[place.layer][0], LINE * len(place.lines) + 12
        parts.append(
            f'<rect x="{place.x - place.width / 2:.1f}" y="{top:.1f}" width="{place.width:.1f}" height="{height:.1f}" '
            f'rx="{10 if place.leaf else 4}" fill="{LEAF if place.leaf else OPERATION}" stroke="#555"/>'
        )
        for k, line in enumerate(place.lines):
            weight = ' font-weight="bold"' if k == 0 else ""
            y = top + LINE * (k + 1)
            parts.append(f'<text x="{place.x:.1f}" y="{y:.1f}" text-anchor="middle"{weight}>{escape(line)}</text>')
    return "\n".join([*parts, "</svg>"])


def png(steps: tuple[Step, ...]) -> bytes:
    """The layout drawn by matplotlib, as the bytes of a PNG."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyBboxPatch
    except ImportError:
        raise ImportError(
            '[explain] a PNG needs matplotlib or Graphviz; pip install "gpugrad[train]", or write an .svg'
        ) from None
    plan = Layout(steps)
    figure: Any = Figure(figsize=(plan.width / 72, plan.height / 72), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, plan.width), ylim=(plan.height, 0))
    axes.axis("off")
    for edge in plan.edges:
        points = plan.route(edge)
        axes.plot(*zip(*points, strict=True), color="#555555", linewidth=0.9, zorder=1)
        axes.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": "#555555"}, zorder=1)
    for place in plan.places:
        if not place.lines:
            continue
        top, height = plan.tops[place.layer][0], LINE * len(place.lines) + 12
        box = FancyBboxPatch(
            (place.x - place.width / 2 + 4, top + 4), place.width - 8, height - 8, boxstyle="round,pad=4",
            facecolor=LEAF if place.leaf else OPERATION, edgecolor="#555555", linewidth=0.8, zorder=2,
        )  # fmt: skip
        axes.add_patch(box)
        for k, line in enumerate(place.lines):
            axes.text(
                place.x, top + LINE * (k + 1) - 3, line, ha="center", va="center", fontsize=9.5, zorder=3,
                fontweight="bold" if k == 0 else "normal",
            )  # fmt: skip
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
