"""docs/from-pytorch.md is a program: its Python runs in order."""

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "from-pytorch.md").read_text("utf-8")


def test_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    namespace: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/from-pytorch.md, block {number}", "exec"), namespace)
