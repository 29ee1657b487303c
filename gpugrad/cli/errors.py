"""Exit codes of the command line, and the exception that ends a subcommand with one of them.

The codes are documented for users in the help text of `gpugrad.cli`.
"""

FAILED = 1
WRONG_OPTION = 2
DIVERGED = 3
REGRESSED = 4
INTERRUPTED = 130  # what shells use for a process that SIGINT ended


class CommandError(Exception):
    """Ends a subcommand with one line on stderr and an exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
