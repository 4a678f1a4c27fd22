"""The application: its commands, and what an error looks like."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genlens._version import __version__
from genlens.cli import (
    agreement,
    annotate,
    bias,
    compare,
    data,
    demo,
    explain,
    plan,
    rank,
    reproduce,
    runs,
    spurious,
    study,
    train_generator,
)
from genlens.errors import GenlensError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in a shell (128 + SIGINT)."""


class OneLineErrors(TyperGroup):
    """Commands whose errors are one line on stderr: 1 for the user's mistakes, 130 after Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a `GenlensError` or an error of the file system becomes a line and an exit code."""
        try:
            return super().invoke(ctx)
        except GenlensError as error:
            code, line = 1, str(error)
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.strerror is None:
                raise
            code, line = 1, f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        except KeyboardInterrupt as stop:
            code, line = INTERRUPTED, str(stop) or "Stopped."
        print(" ".join(line.split()), file=sys.stderr)
        raise typer.Exit(code)


app = typer.Typer(
    cls=OneLineErrors,
    name="genlens",
    help="Rank the concepts an image classifier relies on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(rank.rank)
app.command()(plan.plan)
app.command()(compare.compare)
app.command()(explain.explain)
app.command()(spurious.spurious)
app.command()(bias.bias)
app.command()(agreement.agreement)
app.command("train-generator")(train_generator.train_generator)
app.command()(annotate.annotate)
app.command()(runs.check)
app.command()(runs.report)
app.add_typer(data.app, name="data")
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(study.app, name="study")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"genlens {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Rank the concepts an image classifier relies on: permute them in captions, generate again, measure the fall."""


def main() -> None:
    """Entry point of the console script.

    Threads of torch that wait sleep instead of spinning: on a machine that does something else as well, spinning makes
    small models several times slower (`benchmarks/threads.py`).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
