"""docs/interop.md is a program: its Python runs in order; what needs PyTorch or JAX is marked `peers`."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "interop.md").read_text("utf-8")


def run(*kinds: str) -> None:
    namespace: dict[str, object] = {}
    blocks = re.findall(r"^```python ?(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for number, (kind, block) in enumerate(blocks, start=1):
        if kind in ("", *kinds):
            exec(compile(block, f"docs/interop.md, block {number}", "exec"), namespace)
    assert "energy" in namespace, "the last block ran"


def test_the_page_runs() -> None:
    run()


@pytest.mark.peers
@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_the_page_runs_with_its_peers(peer: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(peer)
    run(peer)
