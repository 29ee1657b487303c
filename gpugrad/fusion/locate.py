"""Where the CUDA sources are: one locator for a wheel, an editable install and a checkout.

A wheel carries the top-level folder `kernels/` as `gpugrad/kernels`; in an editable install and in a checkout
it lies beside the package. This module finds and reads the sources; it compiles nothing.
"""

import functools
from pathlib import Path, PurePosixPath

__all__ = ["kernel_dir", "read_kernel"]

_PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def kernel_dir() -> Path:
    """Return the folder that holds the CUDA sources of this gpugrad.

    Returns:
        The absolute path of `gpugrad/kernels` in an installed wheel, or of `kernels/` beside the package in
        an editable install and in a checkout.

    Raises:
        FileNotFoundError: Neither folder is there; the message names both.

    Example:
        >>> kernel_dir().name
        'kernels'
    """
    shipped, beside = _PACKAGE / "kernels", _PACKAGE.parent / "kernels"
    if shipped.is_dir():
        return shipped
    # Beside an installed package lies site-packages, where a folder `kernels` would be somebody else's.
    if beside.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return beside
    raise FileNotFoundError(
        f"[kernel_dir] no CUDA sources: neither {shipped} (a wheel) nor {beside} (a checkout, with "
        "pyproject.toml beside it) is there; this copy of gpugrad is incomplete: install it again with "
        "`pip install --force-reinstall gpugrad`"
    )


@functools.cache
def read_kernel(name: str) -> str:
    """Return the text of one CUDA source, read once in the life of the process.

    Args:
        name: The file's path relative to `kernel_dir()`, with forward slashes, such as `"softmax.cu"`.

    Returns:
        The source, decoded from UTF-8.

    Raises:
        ValueError: `name` is absolute or climbs out of the folder with `..`.
        FileNotFoundError: There is no such source; the message lists those that there are, and says where it
            looked.

    Example:
        >>> read_kernel("no_such_kernel.cu")
        Traceback (most recent call last):
        ...
        FileNotFoundError: [read_kernel] no CUDA source, name = 'no_such_kernel.cu', in ...
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(
            f"[read_kernel] the name leads out of the folder of CUDA sources, name = {name!r}; expected a "
            f"path relative to {kernel_dir()}, such as 'softmax.cu'"
        )
    path = kernel_dir() / relative
    if not path.is_file():
        there = ", ".join(_names()) or "nothing"
        raise FileNotFoundError(f"[read_kernel] no CUDA source, name = {name!r}, in {kernel_dir()}; there is: {there}")
    return path.read_text(encoding="utf-8")


def _names() -> list[str]:
    root = kernel_dir()
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*.cu*") if p.is_file())
