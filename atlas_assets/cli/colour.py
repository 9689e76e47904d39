"""What is printed on a terminal, with states and verdicts in colour; NO_COLOR turns that off."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click

_WORDS = (
    r"(?<![\w-])(?P<good>fresh|holds)(?![\w-])",
    r"(?<![\w-])(?P<bad>missing|damaged|unreadable|foreign|broken|Error)(?![\w-])",
    r"(?<![\w-])(?P<open>stale|busy|flips|does not|not (?:evaluated|compared|verified))(?![\w-])",
    r"^(?P<name>\S[^:]*)(?=: |$)",
)
_STYLES = {
    "atlas.good": "green",
    "atlas.bad": "bold red",
    "atlas.open": "yellow",
    "atlas.name": "bold",
}


def echo(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines: on a terminal in colour, elsewhere as they are."""
    stream = sys.stderr if err else sys.stdout
    if os.environ.get("NO_COLOR") or not (stream and stream.isatty()):  # closed: there is none
        for line in lines:
            click.echo(line, err=err)
        return
    from rich.console import Console
    from rich.highlighter import RegexHighlighter
    from rich.theme import Theme

    class Words(RegexHighlighter):
        base_style = "atlas."
        highlights = list(_WORDS)  # noqa: RUF012 - rich reads it from the class

    console = Console(theme=Theme(_STYLES), highlighter=Words(), file=stream, emoji=False)
    for line in lines:
        # soft_wrap: the terminal breaks what is too long for it, as it does without colours
        console.print(line, markup=False, soft_wrap=True)
