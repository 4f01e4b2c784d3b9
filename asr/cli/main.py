"""The `asr` command: one file per subcommand, errors as one line, exit codes 0, 1 and 2."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from asr.errors import AsrError, UsageError
from asr.progress import console

# each module in asr/cli/ holds one function named like its command; bench first: it is the main job
COMMANDS = (
    "bench", "prepare", "train", "evaluate", "stages", "transcribe", "align", "compare", "score", "check",
    "show",
)  # fmt: skip


def app(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with some of its commands; their modules are light, what they need comes when run."""
    made = typer.Typer(
        name="asr",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Train three speech recognisers on the same hours, see where their curves cross, use the best.",
    )
    made.callback()(_options)
    for name in commands:
        command = getattr(importlib.import_module(f"asr.cli.{name}"), name)
        # lines of a docstring are as wide as the code, not as the terminal; those of a list are indented
        paragraphs = re.sub(r"(?<!\n)\n(?![\n ])", " ", inspect.cleandoc(command.__doc__))
        made.command(name, help=paragraphs)(command)
    return made


def main() -> None:
    """Run the command line; with ``--debug`` anywhere an error shows its traceback."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    if "" in arguments:  # which a Path would take for the current folder
        _complain("an empty argument; a variable of the shell may be unset")
        sys.exit(2)
    named = [name for name in COMMANDS if name in arguments[:1]]
    # threads of an LSTM meet at a barrier every few microseconds, so they spin that long before they sleep;
    # longer, and those that wait take the cores of those that work
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        code = app(named or COMMANDS)(args=arguments, standalone_mode=False)
    except AsrError as e:
        if debug:
            raise
        _complain(str(e))
        sys.exit(2 if isinstance(e, UsageError) else 1)
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as e:
        # usage errors of click (an unknown option, say) carry their own exit code and message
        message = getattr(e, "format_message", None)
        if message is not None and not message():
            sys.exit(2)  # no arguments: the help has been printed
        if message is not None:
            from asr.config import plain  # pydantic takes its time, and most commands end well

            _complain(f"{plain(message()).rstrip('.')} (see `asr {' '.join([*named, '--help'])}`)")
            sys.exit(getattr(e, "exit_code", 2))
        if debug:
            raise
        if isinstance(e, OSError) and e.filename is not None:
            _complain(f"{e.filename}: {e.strerror}")
        else:
            _complain(f"internal error: {type(e).__name__}: {e} (run again with --debug)")
        sys.exit(1)
    sys.exit(code or 0)


def _complain(message: str) -> None:
    console.print(f"asr: error: {message}", style="bold red", soft_wrap=True, markup=False)


def _version(wanted: bool) -> None:
    if wanted:
        from asr import __version__

        typer.echo(f"asr {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass
