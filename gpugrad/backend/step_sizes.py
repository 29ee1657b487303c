"""How the step sizes of adaptive updates depend on the number of steps: bias corrections, decays, rectification.

`Schedule.at` is the host's; the kernel `step_sizes` of `kernels/optim.cu` computes the same where only the device knows
how many steps were taken.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

RULES: Final = ("adagrad", "adamax", "nadam", "radam")  # in the kernel's order
_NOTHING: Final = 1e-17  # what 1 - x does not feel


class Schedule(NamedTuple):
    """A rule and its options.

    Attributes:
        rule: one of `RULES`.
        a: adagrad's decay of the rate; the others' beta1.
        b: beta2 of nadam and radam.
        c: nadam's decay of the momentum.
        eps: added to the root by nadam and radam.
    """

    rule: str
    a: float
    b: float = 0.0
    c: float = 0.0
    eps: float = 0.0

    def at(self, step: int) -> tuple[float, float, float, float]:
        """Own, past, root and shift at a step, counted from 1; the last three are 0 where an update has none.

        The parameter moves by `-lr (own d + past m) / (root sqrt(v) + shift)`, or as `own` is used by the update.
        """
        if self.rule == "adagrad":
            return 1 / (1 + (step - 1) * self.a), 0.0, 0.0, 0.0
        if self.rule == "adamax":
            return 1 / (1 - self.a**step), 0.0, 0.0, 0.0
        return self._nadam(step) if self.rule == "nadam" else self._radam(step)

    def _nadam(self, step: int) -> tuple[float, float, float, float]:
        now, then = self.momentum(step), self.momentum(step + 1)
        product = self.product(step)
        return (1 - now) / (1 - product), then / (1 - product * then), 1 / math.sqrt(1 - self.b**step), self.eps

    def momentum(self, step: int) -> float:
        """NAdam's momentum at a step: it grows from half of beta1 to beta1."""
        return self.a * (1 - 0.5 * math.pow(0.96, step * self.c))

    def product(self, step: int) -> float:
        """The product of NAdam's momenta up to a step; less than 1e-17 counts as that."""
        product = 1.0
        for i in range(1, step + 1):
            product *= self.momentum(i)
            if product < _NOTHING:
                break
        return product

    def _radam(self, step: int) -> tuple[float, float, float, float]:
        kept, left = self.b**step, 1 - self.b**step
        most = 2 / (1 - self.b) - 1
        length = most - 2 * step * kept / left
        past = 1 / (1 - self.a**step)
        if length <= 5:  # too few gradients to know their variance: a step of momentum
            return 0.0, past, 0.0, 1.0
        rectified = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        return 0.0, past * math.sqrt(rectified * left), 1.0, self.eps
