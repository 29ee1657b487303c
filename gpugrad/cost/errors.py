"""The errors of the cost room: what cannot be measured, predicted or drawn, in one line that says what to do."""

from __future__ import annotations

import importlib
from typing import Any


class CostError(RuntimeError):
    """Something cannot be measured or predicted; the message says what, and what to do."""


class MissingExtraError(ImportError):
    """A package of an optional extra is needed and not installed; the message gives the install command."""


def matplotlib(module: str = "") -> Any:
    """Matplotlib or one of its modules, such as `".figure"`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"[cost] Matplotlib is needed to draw the pictures and is not installed (no module {error.name!r}); "
            'install it with: pip install "gpugrad[train]", or ask for the table and the JSON only'
        ) from error
