"""`python -m tests.emulator FOLDER ARGUMENTS...` runs Python with these arguments, CuPy on the emulated runtime."""

import os
import sys
from pathlib import Path

from .build import built


def main(arguments: list[str]) -> None:
    """Takes the place of this process."""
    if not arguments or arguments[0].startswith("-"):
        sys.exit(__doc__)
    folder = Path(arguments[0]).resolve()
    paths = built(folder)
    before = os.environ.get("PYTHONPATH")
    found = [*map(str, paths.packages), os.getcwd(), *([before] if before else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join(found)
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, paths.libraries))
    # CuPy's reductions by CUB are compiled against the real runtime.
    os.environ |= {"CUPY_ACCELERATORS": "", "CUPY_CACHE_DIR": str(folder / "kernels")}
    os.execv(sys.executable, [sys.executable, *arguments[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
