"""A pytest plugin: the tests marked `gpu` on CuPy itself, over the emulated runtime; see the package's docstring."""

from typing import Any

import pytest

from . import kernels


def pytest_sessionstart(session: pytest.Session) -> None:
    """Kernels are executed from here on."""
    kernels.install()


def pytest_report_header(config: pytest.Config) -> str:
    """Say so at the top: nothing of this run happened on a device."""
    return f"emulation: CuPy {kernels.cupy.__version__} without a GPU, kernels on the host's processor"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Kernels that could not be run, which is the emulator's fault more often than theirs."""
    for text, count in sorted(kernels.failures.items(), key=lambda found: -found[1])[:20]:
        terminalreporter.write_line(f"not emulated, {count} times: {text[:1000]}")
