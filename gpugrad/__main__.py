"""`python -m gpugrad`: the command line without an installed script; all of it is in `gpugrad.cli`."""

import sys

from gpugrad.cli import main

if __name__ == "__main__":
    sys.exit(main())
