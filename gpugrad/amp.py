"""Mixed precision under the names of `torch.amp`, and of `torch.cuda.amp`: `gg.cuda.amp` is `cuda` here."""

from __future__ import annotations

import functools
import types

from .casting import autocast as autocast
from .optim.scaler import GradScaler as GradScaler

cuda = types.SimpleNamespace(
    autocast=functools.partial(autocast, "cuda"), GradScaler=functools.partial(GradScaler, "cuda")
)
