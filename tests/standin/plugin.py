"""A pytest plugin that rehearses the tests marked `gpu` without a GPU: `pytest -p tests.standin.plugin -m gpu`.

They then run on the stand-in. It shows that the tests themselves are in order before a device is at hand. With
STANDIN_GPUS=2 in the environment there are two GPUs, and the tests that need them run too.
"""

import os
from typing import Any

import pytest

from . import installed

_here: list[Any] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Put the stand-in in CuPy's place for the whole run."""
    context = installed(int(os.environ.get("STANDIN_GPUS", "1")), cudnn=True)
    context.__enter__()
    _here.append(context)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take it away again."""
    while _here:
        _here.pop().__exit__(None, None, None)


def pytest_report_header(config: pytest.Config) -> str:
    """Say so at the top: nothing of this run happened on a device."""
    return "rehearsal: the stand-in for CuPy is in place, no test of this run uses a GPU"
