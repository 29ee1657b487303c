"""The same suites on a CUDA device, and the elementwise kernels against the measured bandwidth of a copy.

    python -m benchmarks.gpu.run [--quick] [--suite mlp,bandwidth] [--only REGEX]

Times come from device events (`benchmarks/libs/`). Without a device it says what is missing: code 2.
"""

from __future__ import annotations

import sys

from benchmarks import paired

SUITES = "mlp,tape,elementwise,operations,convolution,adam,memory,bandwidth"
LIBRARIES = "torch,gpugrad,jax,cupy"


def missing_device() -> str | None:
    """Why no device can be used, in one line; None where one answers."""
    try:
        import gpugrad as gg
    except ImportError as error:
        return f"gpugrad cannot be imported ({error})"
    if gg.cuda.is_available():
        return None
    try:
        gg.device("cuda:0")
        gg.zeros(1, device="cuda:0")
    except Exception as error:
        return " ".join(str(error).split())
    return "gpugrad.cuda.is_available() is False"


def main(arguments: list[str] | None = None) -> int:
    """Runs the paired runner on the device; 2 where there is none."""
    reason = missing_device()
    if reason is not None:
        print(f"benchmarks.gpu.run: no CUDA device answers: {reason}", file=sys.stderr)
        return 2
    given = sys.argv[1:] if arguments is None else arguments
    defaults = ["--device", "cuda"]
    if not any(option.startswith("--suite") for option in given):
        defaults += ["--suite", SUITES]
    if not any(option.startswith("--libs") for option in given):
        defaults += ["--libs", LIBRARIES]
    return paired.main([*defaults, *given])


if __name__ == "__main__":
    sys.exit(main())
