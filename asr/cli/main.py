"""The `asr` command: one file per subcommand, errors as one line, exit codes 0, 1 and 2."""

from __future__ import annotations

import importlib
import os
import sys

import typer

from asr.errors import AsrError, UsageError
from asr.progress import console

app = typer.Typer(
    name="asr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train three speech recognisers on the same hours, see where their curves cross, use the best.",
)

# each module in asr/cli/ holds one function named like its command; bench first: it is the main job
COMMANDS = (
    "bench",
    "prepare",
    "train",
    "evaluate",
    "transcribe",
    "align",
    "compare",
    "score",
    "check",
    "show",
)
for name in COMMANDS:
    app.command(name)(getattr(importlib.import_module(f"asr.cli.{name}"), name))


def main() -> None:
    """Run the command line; with ``--debug`` anywhere an error shows its traceback."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    try:
        code = app(args=arguments, standalone_mode=False)
    except AsrError as e:
        if debug:
            raise
        console.print(f"asr: error: {e}", style="bold red", soft_wrap=True, markup=False)
        sys.exit(2 if isinstance(e, UsageError) else 1)
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as e:
        # usage errors of click (an unknown option, say) carry their own exit code and message
        show = getattr(e, "show", None)
        if show is not None:
            show()
            sys.exit(getattr(e, "exit_code", 2))
        if debug:
            raise
        console.print(
            f"asr: internal error: {type(e).__name__}: {e} (run again with --debug)",
            style="bold red",
            markup=False,
        )
        sys.exit(1)
    sys.exit(code or 0)
