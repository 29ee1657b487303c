"""The scaling study as a table, as pictures and as a page that says what they mean."""

from __future__ import annotations

import html
from typing import Any

from . import pictures
from .machine import summary
from .page import document, html_table
from .scaling import Growth, Study
from .table import columns, scaled

_RULE = {
    "depth": "Each layer does the same work again, forward and backward: the cost is linear in their number.",
    "width": (
        "A layer of n units has n squared weights, each multiplied and added once for every row: the cost is quadratic "
        "in the width."
    ),
    "batch": "Every row of a batch is multiplied with every weight: the cost is linear in the batch.",
}
_RATIO = (
    "One multiply-add for each weight and row forward, two backward: the gradient of the weights is one matrix "
    "product, the gradient of the layer's input another. So a backward pass costs about two forward passes, one less "
    "for the first layer, whose input needs no gradient."
)
_JACOBIAN = (
    "The derivative of a map from n to m numbers is a matrix of m times n. A layer of a network may have half a "
    "million numbers on each side, and nobody can hold that matrix. Backpropagation never makes it: it multiplies one "
    "cotangent with it, which costs about as much as the layer itself."
)
_RECOMPUTE = (
    "The tape holds what the backward pass needs of every layer. Cut into segments, only their inputs are kept, and "
    "each segment is computed once more when the backward pass comes to it: for the square root of the depth many "
    "segments the memory falls to about that fraction, for one forward pass more, a third of a step."
)


def lines(study: Study) -> str:
    """The study as text for a terminal."""
    rows = [["grows with", "exponent", "95 % interval", "rule", "fitted from", "bwd/fwd", "verdict"]]
    for growth in study.growths:
        law = growth.law
        rows.append(
            [
                growth.what,
                f"{law.exponent:.3f}",
                f"{law.low:.3f} to {law.high:.3f}",
                f"{growth.expected:g} +- {growth.allowed:g}",
                str(growth.fitted_from),
                f"{growth.points[-1].ratio:.2f}",
                "holds" if growth.holds else "departs",
            ]
        )
    parts = [columns(rows), ""]
    parts += [f"{growth.what}: {why}" for growth in study.growths for why in departures(growth, study)]
    parts += [_jacobian_line(study.jacobian)]
    if study.recompute:
        parts.append(_recompute_line(study.recompute))
    parts += ["", summary(study.machine)]
    if study.interrupted:
        parts.append("interrupted: sizes are missing")
    return "\n".join(parts)


def departures(growth: Growth, study: Study) -> list[str]:
    """Where the hardware departs from the rule, and why."""
    found = []
    best = study.ceilings
    slow = []
    for point in growth.points:
        flops = point.forward_flops + point.backward_flops
        if flops / point.seconds < 0.5 * best.flops_per_s:
            slow.append((point, flops / point.seconds))
    if slow:
        sizes = ", ".join(str(point.size) for point, _ in slow)
        point, rate = slow[0]
        found.append(
            f"at {sizes} the step reaches less than half the rate of a large matrix product ({scaled(rate, 'flop/s')} "
            f"of {scaled(best.flops_per_s, 'flop/s')} at {point.size}): products that small do not fill the machine, "
            "and what each call of an operation costs, and reading and writing activations, weigh more than arithmetic"
        )
    if not growth.holds:
        law = growth.law
        if law.low <= growth.expected <= law.high:
            why = "the rule lies inside the interval: the points are too few or too noisy to tell"
        elif law.exponent < growth.expected:
            why = "part of the cost does not grow with the size"
        else:
            why = "larger sizes fall out of a cache"
        found.append(f"the exponent is {law.exponent:.2f} where the rule says {growth.expected:g}; {why}")
    return found


def _jacobian_line(values: dict[str, Any]) -> str:
    large, small = values["large"], values["small"]
    return (
        f"Jacobian of 32x32x512 to 32x32x512 numbers: {large['outputs']:,} x {large['inputs']:,} of 4 bytes, "
        f"{scaled(large['bytes'], 'B')}; a vector-Jacobian product holds {scaled(large['vjp_bytes'], 'B')}. At "
        f"{small['inputs']} to {small['outputs']} the whole Jacobian takes {small['times']:.0f} times one product"
    )


def _recompute_line(values: dict[str, Any]) -> str:
    keep, again = values["keep"], values["recompute"]
    return (
        f"recomputing in {values['segments']} segments: {scaled(again['peak_bytes'], 'B')} in place of "
        f"{scaled(keep['peak_bytes'], 'B')} ({again['peak_bytes'] / keep['peak_bytes']:.0%}), "
        f"{again['seconds'] / keep['seconds']:.2f} times the time"
    )


def growth_picture(growth: Growth) -> Any:
    """Seconds over size with the fitted law, and the ratio of backward to forward."""
    drawn = pictures.figure(10.0, 4.2)
    left, right = drawn.subplots(1, 2, width_ratios=[1.5, 1.0])
    sizes = [p.size for p in growth.points]
    for values, colour, name in (
        ([p.forward for p in growth.points], pictures.FORWARD_COLOUR, "forward"),
        ([p.backward for p in growth.points], pictures.BACKWARD_COLOUR, "backward"),
        ([p.seconds for p in growth.points], "#30363d", "both"),
    ):
        left.plot(sizes, [v * 1e3 for v in values], "o-", color=colour, label=name, linewidth=1.2)
    fitted = [s for s in sizes if s >= growth.fitted_from]
    law = growth.law
    left.plot(
        fitted, [law.at(s) * 1e3 for s in fitted], "--", color="#8250df", linewidth=2,
        label=f"size^{law.exponent:.2f} ({law.low:.2f} to {law.high:.2f})",
    )  # fmt: skip
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    left.set_xticks(sizes, [str(s) for s in sizes], fontsize=8)
    left.minorticks_off()
    left.legend(frameon=False)
    pictures.style(left, f"Time of a step by {growth.what}", growth.what, "milliseconds")
    right.axhline(2.0, color="#8250df", linestyle="--", linewidth=1.2)
    right.plot(sizes, [p.ratio for p in growth.points], "o-", color="#30363d")
    right.set_xscale("log", base=2)
    right.set_xticks(sizes, [str(s) for s in sizes], fontsize=8, rotation=45)
    right.minorticks_off()
    right.set_ylim(0, max(3.0, 1.1 * max(p.ratio for p in growth.points)))
    pictures.style(right, "Backward by forward", growth.what, "")
    return drawn


def recompute_picture(values: dict[str, Any]) -> Any:
    """Memory and time of keeping and recomputing."""
    drawn = pictures.figure(8.0, 2.6)
    for axes, key, factor, title in zip(
        drawn.subplots(1, 2), ("peak_bytes", "seconds"), (1e-6, 1e3), ("Peak memory (MB)", "Step (ms)"), strict=True
    ):
        heights = [values["keep"][key] * factor, values["recompute"][key] * factor]
        axes.barh([0, 1], heights, color=[pictures.FORWARD_COLOUR, pictures.BACKWARD_COLOUR])
        axes.set_yticks([0, 1], ["keep", "recompute"])
        axes.invert_yaxis()
        pictures.style(axes, title, "", "")
        axes.grid(visible=False, axis="y")
    return drawn


def study_page(study: Study) -> str:
    """The page; needs Matplotlib."""
    parts = [f'<p class="note">{html.escape(summary(study.machine))}</p>', f"<p>{_RATIO}</p>"]
    for growth in study.growths:
        fixed = ", ".join(f"{name} {value}" for name, value in growth.fixed.items())
        parts += [
            f"<h2>{growth.what.capitalize()} ({fixed})</h2>",
            f"<p>{_RULE[growth.what]}</p>",
            pictures.svg(growth_picture(growth)),
            *[f"<p>{html.escape(why[0].upper() + why[1:])}.</p>" for why in departures(growth, study)],
            html_table(_rows(growth)),
        ]
    parts += [
        "<h2>The whole Jacobian</h2>",
        f"<p>{_JACOBIAN}</p>",
        f"<p>{html.escape(_jacobian_line(study.jacobian))}.</p>",
    ]
    if study.recompute:
        line = html.escape(_recompute_line(study.recompute))
        parts += ["<h2>Recompute or keep</h2>", f"<p>{_RECOMPUTE}</p>", f"<p>{line[0].upper() + line[1:]}.</p>"]
        parts.append(pictures.svg(recompute_picture(study.recompute)))
    return document("How the cost of backpropagation grows", "\n".join(parts))


def _rows(growth: Growth) -> list[list[str]]:
    rows = [[growth.what, "forward ms", "backward ms", "bwd/fwd", "forward flop", "backward flop", "flop/s"]]
    for p in growth.points:
        rate = (p.forward_flops + p.backward_flops) / p.seconds
        rows.append(
            [
                str(p.size),
                f"{p.forward * 1e3:.3f}",
                f"{p.backward * 1e3:.3f}",
                f"{p.ratio:.2f}",
                scaled(p.forward_flops),
                scaled(p.backward_flops),
                scaled(rate),
            ]
        )
    return rows
