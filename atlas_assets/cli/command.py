"""What every command shares: ``--json``, exit codes, and errors without a traceback.

A command returns an `Answer`; how it is shown is decided here, once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click

from atlas_assets.errors import AtlasError, SettingsError

OK, FINDING, USAGE, UNREADABLE = 0, 1, 2, 3
_JSON = "--json"


@dataclass(frozen=True)
class Answer:
    """What a command found.

    Attributes:
        schema: name and version of ``document``'s layout, as ``atlas.show/1``; the version goes up
            when a key is removed or changes its meaning.
        document: the answer as JSON values.
        text: gives the lines of the answer for people; called only when they are printed.
        exit_code: `OK`, `FINDING` or `UNREADABLE`.
    """

    schema: str
    document: dict[str, Any]
    text: Callable[[], Iterable[str]]
    exit_code: int = OK


class AnsweringCommand(click.Command):
    """A command whose function returns an `Answer`.

    Args:
        exit_codes: what exit codes other than 0, 2 and 3 mean, for ``--help``.
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
            **(exit_codes or {}),
        }
        lines = [f"  {code}  {meanings[code]}" for code in sorted(meanings)]
        self.epilog = "\b\nExit codes:\n" + "\n".join(lines)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; remembers whether JSON is wanted even if the rest is wrong."""
        ctx.meta[_JSON] = _JSON in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _explain(ctx, AtlasError(error.format_message()), USAGE, show=False)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, prints its answer and ends with its exit code."""
        try:
            answer: Answer = super().invoke(ctx)
        except AtlasError as error:
            code = USAGE if isinstance(error, SettingsError) else UNREADABLE
            _explain(ctx, error, code)
            ctx.exit(code)
        if ctx.meta[_JSON]:
            click.echo(_dump({"schema": answer.schema, **answer.document}))
        else:
            for line in answer.text():
                click.echo(line)
        ctx.exit(answer.exit_code)


def _explain(ctx: click.Context, error: AtlasError, code: int, *, show: bool = True) -> None:
    """The error in words on standard error, and as JSON where that is wanted."""
    if show:
        click.echo(f"Error: {error}", err=True)
    if ctx.meta[_JSON]:
        fields = ("what", "where", "expected", "found", "remedy")
        document = {
            "schema": "atlas.error/1",
            "exit_code": code,
            "kind": type(error).__name__,
            "error": {field: getattr(error, field) for field in fields},
        }
        click.echo(_dump(document))


def _dump(document: dict[str, Any]) -> str:
    try:
        return json.dumps(document, indent=1, allow_nan=False)
    except ValueError:
        # JSON has no such numbers: "not a number" is null there
        return json.dumps(_finite(document), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
