"""The `rapt` command. Each module in `rapt/commands` brings an `app`: a named group, or plain commands.

Modules in `rapt/commands` import what is heavy inside their functions, so that help and completion are quick.
"""

import importlib
import logging
import pkgutil
import sys
import traceback
from dataclasses import dataclass
from typing import Annotated

import typer

from rapt import commands

OURS = {"rapt", "pipelines", "components", "inference", "monitoring", "wire", "interest"}


@dataclass
class Run:
    """The global options of one run of the command."""

    debug: bool = False


app = typer.Typer(
    name="rapt",
    help="Real-time video engagement prediction: train, serve, experiment and watch.",
    epilog="Settings: RAPT_* variables, ./rapt.toml, $RAPT_HOME/config.toml.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for found in pkgutil.iter_modules(commands.__path__):
    app.add_typer(importlib.import_module(f"rapt.commands.{found.name}").app)


def print_version(wanted: bool) -> None:
    """Print the installed version and end."""
    if wanted:
        from importlib.metadata import version

        print(f"rapt {version('rapt')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Real-time video engagement prediction: train, serve, experiment and watch."""
    context.ensure_object(Run).debug = debug
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if debug else logging.WARNING, force=True)


def main() -> None:
    """Run the command line; a failure is one line on stderr and exit code 1, wrong usage is 2, Ctrl-C 130."""
    run = Run()
    try:
        app(obj=run)
    except Exception as error:  # noqa: BLE001 - the program's last resort: told on stderr, with a code
        if run.debug:
            traceback.print_exc()
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def one_line(error: Exception) -> str:
    """The message of one of our named errors as it is; of any other also its class and how to see more."""
    message = " ".join(str(error).split())
    if type(error).__module__.partition(".")[0] in OURS:
        return message
    return f"unexpected {type(error).__name__}: {message} (run `rapt --debug ...` to see where)"
