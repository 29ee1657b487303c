"""Optional packages of the training command, imported when a feature first needs them.

Nothing here is imported by `import gpugrad`; a missing package becomes one error that gives the command to
install it.
"""

from __future__ import annotations

import importlib
from types import ModuleType

INSTALL_COMMAND = 'pip install "gpugrad[train]"'


class MissingExtraError(ImportError):
    """A package of an optional extra is needed and not installed; the message gives the install command."""


def require(module: str, *, package: str, purpose: str) -> ModuleType:
    """Import `module`, or say which package is missing, what for, and how to install it.

    Args:
        module: dotted name to import, such as `"sklearn.datasets"`.
        package: name of the distribution that provides it, such as `"scikit-learn"`.
        purpose: what needs it, completing "... is needed to".

    Returns:
        The imported module.

    Raises:
        MissingExtraError: the package (or a module of that name) is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"[train] {package} is needed to {purpose} and is not installed (no module {error.name!r}); "
            f"install it with: {INSTALL_COMMAND}"
        ) from error
