"""The command line: one small file per command, imported when the command is used.

In: the words of a command line. Out: calls of all this, text, an exit code: no logic. Must not know: ``scoring``,
``checking``.
"""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Any

import click

from evalkit.cli.streams import ReaderGone, streams
from evalkit.version import __version__

_COMMANDS = {
    "tasks": "List tasks, or show one card whole.",
    "models": "List the families and names that --model takes.",
    "inspect": "Show the items of a task, as the embedder gets them.",
    "embed": "Embed items of a JSON-lines file.",
    "run": "Evaluate models on tasks.",
    "demo": "See it work: tiny models on a miniature of all 41 tasks.",
    "report": "Make an HTML page and Markdown of runs.",
    "compare": "Compare two runs, query by query.",
    "gate": "Is the new run worse than the base? For CI.",
    "baseline": "Keep a run as what later ones are held to.",
    "check": "Does this embedder behave?",
    "new": "Begin a task of your own, with files that run at once.",
    "data": "Make the miniature, a drawn stand-in for all 41 tasks.",
    "doctor": "What is installed, which device, which FAISS.",
}


class _Lazy(click.Group):
    """Commands that are imported when they are asked for, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"evalkit.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  evalkit run --model random --tasks example --data evalkit/example/data --out runs",
)
@click.version_option(__version__, prog_name="evalkit")
def cli() -> None:
    """How good is this multimodal embedder? MMEB (36 image tasks) and SCaR (5 visual-interactive tasks).

    Exit codes: 0 done; 1 the answer is no; 2 bad usage or input; 3 not comparable; 4 the work failed;
    130 interrupted.
    """


def main(args: list[str] | None = None) -> Any:
    """Entry point of the ``evalkit`` command."""
    # Pillow's warning at the pixel limit; evalkit refuses such an image with an error of its own.
    warnings.filterwarnings("ignore", "Image size .* exceeds limit", module="PIL")
    with streams() as delivery:
        code = _run(args)
        with suppress(ReaderGone):
            sys.stdout.flush()
        if delivery.lost is not None:
            click.echo(f"evalkit: standard output cannot be written: {delivery.lost}", err=True)
    # An answer that nobody got is none, and 1 would say that the answer is no.
    sys.exit(4 if delivery.gone or delivery.lost is not None else code)


def _run(args: list[str] | None) -> int:
    """Run a command line; its exit code."""
    from evalkit.errors import EvalkitError
    from evalkit.terminal import one_line

    try:
        code = cli.main(args=args, prog_name="evalkit", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EvalkitError as error:
        click.echo(f"evalkit: {one_line(str(error))}", err=True)
        return error.exit_code
    except ReaderGone:
        return 4
    except Exception:  # noqa: BLE001
        # A fault of evalkit or of an embedder; Python would exit with 1, which says that the answer is no.
        for line in traceback.format_exc().splitlines():
            # The words of the error are a stranger's; the indents are Python's.
            click.echo(line[: len(line) - len(line.lstrip())] + one_line(line), err=True)
        return 4
