"""Writing the results of a measurement, and saying where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write(files: dict[str, Path], values: dict[str, Any], save_html: Callable[[Path], object]) -> None:
    """Write `values` as JSON to `files["json"]` and the page to `files["html"]`, where these are asked for.

    Raises:
        OSError: a file cannot be written.
    """
    if "json" in files:
        files["json"].write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    if "html" in files:
        save_html(files["html"])
    for path in files.values():
        print(f"wrote {path}")
