"""What every command shares: the option ``--json``, exit codes, and errors in words."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import click

from atlas_assets.cli.colour import echo
from atlas_assets.cli.text import printable
from atlas_assets.errors import AtlasError, SettingsError

OK, FINDING, USAGE, UNREADABLE = 0, 1, 2, 3
#: exit code of a defect of this program, EX_SOFTWARE of sysexits.h; no finding has this code
DEFECT = 70
#: exit code where an interrupt (Ctrl-C) ended the command, as of a program that SIGINT ends
INTERRUPTED = 130
#: exit code where the reader of a pipe has left, as of a program that SIGPIPE ends (128 + 13)
PIPE_CLOSED = 141
_JSON = "--json"
_HELP_WIDTH = 78
#: the commands that do what remedies name by Dagster's word
_HOW_TO_MATERIALISE = (
    "  to materialise: `atlas build` makes everything again; one artifact of these,",
    "    `dagster asset materialize -m atlas_assets.definitions --select NAME`",
)
_HOW_TO_VALIDATE = (
    "  to materialise: `dagster job execute -m atlas_assets.definitions -j validate` makes it,",
    "    `atlas build` does not; or remove the file: an atlas without it lacks nothing",
)
#: control characters that stay in what is printed, because they lay it out
_LAYOUT = "\n\t"


@dataclass(frozen=True)
class Answer:
    """What a command found; `AnsweringCommand` prints it.

    Attributes:
        schema: the name and version of ``document``'s layout, as ``atlas.show/1``; the version
            goes up when a key is removed or changes its meaning.
        document: the answer as JSON values.
        text: gives the lines of the answer for people; called only when they are printed.
        exit_code: `OK`, `FINDING` or `UNREADABLE`.
    """

    schema: str
    document: dict[str, Any]
    text: Callable[[], Iterable[str]]
    exit_code: int = OK


class AnsweringCommand(click.Command):
    """A command whose function returns an `Answer`, printed as text or as JSON.

    Args:
        exit_codes: what exit codes mean, for ``--help``, where it is not the usual thing.
    """

    def __init__(self, *args: Any, exit_codes: dict[int, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                [_JSON],
                is_flag=True,
                expose_value=False,
                help="Print JSON to standard output, and nothing else; errors too.",
            )
        )
        meanings = {
            OK: "done, nothing to report",
            USAGE: "the command or an ATLAS_* variable is wrong",
            UNREADABLE: "a file is missing or cannot be read",
            DEFECT: "a defect of this program",
            **(exit_codes or {}),
        }
        lines = [line for code in sorted(meanings) for line in _described(code, meanings[code])]
        self.epilog = "\b\nExit codes:\n" + "\n".join(lines)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; a usage error is also printed as JSON where JSON is wanted."""
        ctx.meta[_JSON] = _JSON in args
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if isinstance(error, click.NoSuchOption) and error.option_name[1:2].isdigit():
                below = next(each for each in typed if each.startswith(error.option_name))
                error = click.UsageError(f"{below} is below 0: what is numbered counts from 0", ctx)
            _explain(ctx, AtlasError(error.format_message()), USAGE, show=False)
            raise error from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, print its answer or its error, and end with its exit code.

        An OSError of standard output is left to `CommandGroup`.
        """
        lines: list[str] = []
        try:
            code, lines = self._answer(ctx)
        except AtlasError as error:
            code = USAGE if isinstance(error, SettingsError) else UNREADABLE
            _explain(ctx, error, code)
        except PermissionError as error:
            from atlas_assets.files.locations import unreadable

            code = UNREADABLE
            _explain(ctx, unreadable(error.filename or ctx.command_path, error), code)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:
            code = DEFECT
            _explain(ctx, _defect(ctx, error), code, kind=type(error).__name__)
        if ctx.meta[_JSON]:
            for line in lines:
                click.echo(line)
        else:
            echo(lines)
        ctx.exit(code)

    def _answer(self, ctx: click.Context) -> tuple[int, list[str]]:
        """The exit code, and what is to be printed."""
        answer: Answer = super().invoke(ctx)
        if ctx.meta[_JSON]:
            return answer.exit_code, [_dump({"schema": answer.schema, **answer.document})]
        return answer.exit_code, [printable(line, keep=_LAYOUT) for line in answer.text()]


class CommandGroup(click.Group):
    """The command of commands, which answers for standard output."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse as click does, which prints help."""
        with _writing():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named; an interrupt ends it in a word."""
        try:
            with _writing():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


class _Unwritten(click.ClickException):
    exit_code = UNREADABLE


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """End in words where standard output takes nothing more, and quietly where its reader left."""
    try:
        yield
    except OSError as error:
        # what is left is dropped: Python would try again as it ends, and end with another code
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            raise click.exceptions.Exit(PIPE_CLOSED) from None
        told = AtlasError(
            "the answer cannot be written",
            where="standard output",
            expected="a file, a pipe or a terminal that takes it",
            found=error.strerror or str(error),
            remedy="free some space there, or send the output elsewhere",
        )
        raise _Unwritten(str(told)) from None


def _described(code: int, meaning: str) -> list[str]:
    return textwrap.wrap(
        f"{code:<2}  {meaning}", _HELP_WIDTH, initial_indent="  ", subsequent_indent=" " * 6
    )


def _defect(ctx: click.Context, error: Exception) -> AtlasError:
    """Print the traceback, secrets redacted, and return the error that tells of the defect."""
    from atlas_assets.hub_client.client import HubClient

    redact = HubClient().redact
    click.echo(printable(redact("".join(traceback.format_exception(error))), _LAYOUT), err=True)
    return AtlasError(
        "this is a defect of the program, not of what was asked",
        where=ctx.command_path,
        found=redact(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"),
        remedy="please report it, with the lines above",
    )


def _explain(
    ctx: click.Context, error: AtlasError, code: int, *, show: bool = True, kind: str | None = None
) -> None:
    """Print the error in words to standard error and, where JSON is wanted, as JSON to output."""
    if show:
        echo(printable(f"Error: {error}", keep=_LAYOUT).split("\n"), err=True)
        if "materialise" in (error.remedy or ""):
            echo(how_to_materialise(error.where or ""), err=True)
    if ctx.meta[_JSON]:
        fields = ("what", "where", "expected", "found", "remedy")
        document = {
            "schema": "atlas.error/1",
            "exit_code": code,
            "kind": kind or type(error).__name__,
            "error": {field: getattr(error, field) for field in fields},
        }
        click.echo(_dump(document))


def how_to_materialise(where: str) -> tuple[str, ...]:
    """Return the lines that say which command makes the file again that an error is about."""
    from atlas_assets.stages.catalog import artifact_of_file

    # a path, after which may come what in the file is meant
    file = re.split("[:,] ", where)[0]
    found = artifact_of_file(PurePath(file).name)
    return _HOW_TO_VALIDATE if found is not None and found[0].on_demand else _HOW_TO_MATERIALISE


def _dump(document: dict[str, Any]) -> str:
    try:
        return json.dumps(document, indent=1, allow_nan=False)
    except ValueError:
        # a number is NaN or infinite, which JSON cannot spell: it becomes null
        return json.dumps(_finite(document), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
