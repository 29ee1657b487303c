"""The command `gpugrad`: its subcommands, its exit codes, and errors as one line.

What a subcommand does is in the module of its name; heavy packages are imported there, when it runs, so that
`--help` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from gpugrad._version import __version__
from gpugrad.cli import bench, bench_options, check, info, train, train_options
from gpugrad.cli.errors import DIVERGED, FAILED, INTERRUPTED, REGRESSED, WRONG_OPTION, CommandError

EXIT_CODES = f"""exit codes:
  0    done
  {FAILED}    could not be done: a package, a device or a file is missing or cannot be used
  {WRONG_OPTION}    an option or its value is wrong
  {DIVERGED}    training diverged: the loss became infinite or NaN
  {REGRESSED}    bench: a figure grew by more than the baseline allows
  {INTERRUPTED}  interrupted by Ctrl-C; training has saved its weights and said where, bench reports what it measured
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage of every option before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_OPTION, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; omitted, those of the process.

    Returns:
        The exit code, as `gpugrad --help` lists them. Wrong options and `--help` raise SystemExit, as
        argparse does.
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except CommandError as error:
        return _fail(arguments, str(error), error.code)
    except KeyboardInterrupt:
        return _fail(arguments, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe has gone, as in `gpugrad info | head -1`; Python would complain once more when
        # it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gpugrad",
        description="Gradients, training and cost measurements for NumPy and CuPy.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gpugrad {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module, run in ((train_options, train.run), (bench_options, bench.run), (info, info.run), (check, check.run)):
        command = commands.add_parser(
            module.NAME,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_options(command)
        command.set_defaults(run=run, prog=command.prog)
    return parser


def _fail(arguments: argparse.Namespace, message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"{arguments.prog}: {'' if code == INTERRUPTED else 'error: '}{line}", file=sys.stderr)
    return code
