"""What all commands share: help, JSON, exit codes, errors."""

from __future__ import annotations

import json
import math
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.cli import main, text
from atlas_assets.cli.command import Answer, AnsweringCommand
from atlas_assets.errors import ArtifactError, AtlasError, SettingsError
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import environment


@pytest.mark.parametrize(
    ("option", "command"),
    [("--to", "publish"), ("--source", "fetch"), ("--revision", "fetch"), ("--into", "fetch")],
)
def test_a_wrong_option_is_named_as_such(made: Path, call: Call, option: str, command: str) -> None:
    for value in ("", "no owner") if option in ("--to", "--source") else ("",):
        shown = call(made, command, option, value, "--json")
        assert shown.code == 2
        assert shown.json["error"]["where"] == option
        assert shown.json["error"]["found"].startswith(repr(value))
        assert "option" in shown.json["error"]["remedy"]


def test_numbers_that_json_does_not_have_become_null() -> None:
    @click.command(cls=AnsweringCommand)
    def numbers() -> Answer:
        document = {"a": [1.5, math.nan], "b": {"c": math.inf}, "d": (2,)}
        return Answer("test/1", document, list)

    result = CliRunner().invoke(numbers, ["--json"])
    expected = {"schema": "test/1", "a": [1.5, None], "b": {"c": None}, "d": [2]}
    assert json.loads(result.output) == expected


def failing_with(error: BaseException) -> AnsweringCommand:
    @click.command(cls=AnsweringCommand)
    def failing() -> Answer:
        raise error

    return failing


@pytest.mark.parametrize(("kind", "code"), [(SettingsError, 2), (ArtifactError, 3)])
def test_errors_end_with_the_code_of_their_kind(kind: type[AtlasError], code: int) -> None:
    error = kind("it failed", where="here", remedy="do this")
    result = CliRunner().invoke(failing_with(error), [])
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "Error: it failed\n  where: here\n  what to do: do this\n"


@pytest.mark.parametrize("error", [KeyError("path"), RecursionError("deep"), OSError(5, "disk")])
def test_a_defect_is_not_taken_for_a_finding(error: Exception) -> None:
    shown = CliRunner().invoke(failing_with(error), [])
    assert (shown.exit_code, shown.stdout) == (70, "")
    assert "Traceback" in shown.stderr
    assert "Error: this is a defect of the program" in shown.stderr
    assert f"found: {type(error).__name__}: " in shown.stderr
    document = CliRunner().invoke(failing_with(error), ["--json"])
    assert document.exit_code == 70
    found = json.loads(document.stdout)
    assert (found["schema"], found["exit_code"]) == ("atlas.error/1", 70)
    assert found["kind"] == type(error).__name__


def test_a_defect_tells_no_secret_and_steers_no_terminal() -> None:
    secret = "hf_" + "a" * 34
    error = ValueError(f"{secret} at https://cdn/x?X-Amz-Signature=1 \x1b[2J")
    for arguments in ([], ["--json"]):
        shown = CliRunner().invoke(failing_with(error), arguments)
        assert shown.exit_code == 70
        assert secret not in shown.output
        assert "Signature" not in shown.output
        assert "\x1b" not in shown.output


def test_a_defect_in_what_is_printed_is_one_too() -> None:
    @click.command(cls=AnsweringCommand)
    def failing() -> Answer:
        return Answer("test/1", {}, lambda: [str({}["a"])])

    assert CliRunner().invoke(failing, []).exit_code == 70
    assert CliRunner().invoke(failing, ["--json"]).exit_code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.Abort(), 1),
        (click.ClickException("x"), 1),
        (click.exceptions.Exit(4), 4),
    ],
)
def test_how_click_ends_a_command_is_no_defect(error: Exception, code: int) -> None:
    assert CliRunner().invoke(failing_with(error), []).exit_code == code


def ending(made: Path, arguments: tuple[str, ...], output: int) -> tuple[int, str]:
    """How a command ends, and what it says, where its output is an open file."""
    done = subprocess.run(
        [sys.executable, "-m", "atlas_assets", *arguments],
        env=environment(made),
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(output)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [("where",), ("where", "--json"), ("show", "--help")])
def test_an_output_that_takes_nothing_is_no_defect(made: Path, arguments: tuple[str, ...]) -> None:
    code, told = ending(made, arguments, os.open("/dev/full", os.O_WRONLY))
    assert code == 3
    assert told.startswith("Error: the answer cannot be written\n  where: standard output\n")
    assert told.count("No space left") == 1
    reader, writer = os.pipe()
    os.close(reader)
    assert ending(made, arguments, writer) == (141, "")  # as a shell says of one that SIGPIPE ends


@given(st.text())
def test_what_is_printed_steers_no_terminal(typed: str) -> None:
    shown = text.printable(typed)
    assert text.printable(shown) == shown
    assert shown.isprintable() or not typed.isprintable()
    assert text.printable("a\x1b[1m\tb\n", keep="\n\t") == "a\\x1b[1m\tb\n"


@given(st.lists(st.text(alphabet="ab c", min_size=1), min_size=1, max_size=5))
def test_wrapped_tables_keep_every_word(cells: list[str]) -> None:
    lines = text.table(("h",), [(cell,) for cell in cells], {"h": 6})
    kept = "".join("".join(lines[1:]).split())
    assert kept == "".join("".join(cells).split())


@given(
    cells=st.lists(
        st.tuples(st.text(alphabet="ab c", min_size=1), st.integers(), st.none()),
        min_size=1,
        max_size=4,
    ),
    columns=st.integers(30, 200),
)
def test_tables_end_where_the_terminal_does(
    cells: list[tuple[str, int, None]], columns: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        lines = text.table(("name", "number", "nothing"), cells)
        patch.setenv("COLUMNS", "10000")
        wide = text.table(("name", "number", "nothing"), cells)
    # a number is never broken
    assert max(map(len, lines)) <= max(columns, max(len(str(cell[1])) for cell in cells) + 11)
    if max(map(len, wide)) <= columns:
        assert lines == wide
    counted = "".join(lines).count("number")
    assert counted == 1 or counted == len(cells)
    every = sorted("".join("".join(map(str, cell[:2])) for cell in cells).replace(" ", ""))
    assert not Counter(every) - Counter("".join(lines))


def test_what_is_too_wide_for_a_terminal_is_wrapped_and_else_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [("calibrated", "+0.210 [+0.195, +0.221]", 7), ("published", None, 12)]

    def shown(columns: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", columns)
        return text.table(("definition", "necessity", "size"), rows)

    whole = [
        "  definition  necessity                size",
        "  calibrated  +0.210 [+0.195, +0.221]     7",
        "  published   –                          12",
    ]
    assert shown("") == shown("44") == shown("no number") == whole
    assert shown("36") == [
        "  definition  necessity        size",
        "  calibrated  +0.210 [+0.195,     7",
        "              +0.221]",
        "  published   –                  12",
    ]
    assert shown("20") == [
        "  definition  calibrated",
        "  necessity   +0.210",
        "              [+0.195,",
        "              +0.221]",
        "  size        7",
        "",
        "  definition  published",
        "  necessity   –",
        "  size        12",
    ]


def test_chinese_characters_take_two_columns_and_accents_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [("条件语句", "a b", 1), ("e\u0301té", "条件 语句", 22), ("For", None, 3)]

    def shown(columns: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", columns)
        return text.table(("concept", "like", "size"), rows)

    assert shown("") == [
        "  concept   like       size",
        "  条件语句  a b           1",
        "  e\u0301té       条件 语句    22",
        "  For       –             3",
    ]
    assert shown("27") == shown("")
    assert shown("26")[2:4] == ["  e\u0301té       条件    22", "            语句"]
    assert text.table(("h",), [("条件语句" * 2,)], {"h": 7}) == [
        "  h",
        "  条件语",
        "  句条件",
        "  语句",
    ]


def on_a_terminal(*arguments: str, **changes: str) -> str:
    """What a command prints where its output is a terminal."""
    ours, theirs = pty.openpty()
    plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    try:
        subprocess.run(
            [sys.executable, "-m", "atlas_assets", *arguments],
            env={**plain, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **changes},
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=False,
        )
        return os.read(ours, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        os.close(theirs)


def test_colour_on_a_terminal_alone_and_not_with_no_color(made: Path, call: Call) -> None:
    settings = environment(made)
    plain = call(made, "show", "Fro").err
    coloured = on_a_terminal("show", "Fro", **settings)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[1;31mError" in coloured
    assert "\x1b" not in plain
    assert on_a_terminal("show", "Fro", **settings, NO_COLOR="1") == plain


def test_an_interrupt_while_commands_are_imported_ends_in_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "atlas_assets.cli.app", Slow("app"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted\n")
