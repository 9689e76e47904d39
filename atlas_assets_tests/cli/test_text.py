"""Tables and texts for a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.cli import text


@given(st.text())
def test_what_is_printed_steers_no_terminal(typed: str) -> None:
    shown = text.printable(typed)
    assert text.printable(shown) == shown
    assert shown.isprintable() or not typed.isprintable()
    assert text.printable("a\x1b[1m\tb\n", keep="\n\t") == "a\\x1b[1m\tb\n"


def test_tables_align_numbers_right_and_text_left() -> None:
    rows = [("a", 1, 0.5, None), ("long name", 200, -1.25, "x y")]
    assert text.table(("name", "n", "value", "note"), rows) == [
        "  name         n    value  note",
        "  a            1   0.5000  –",
        "  long name  200  -1.2500  x y",
    ]
    assert text.table(("a",), []) == []


def test_tables_wrap_what_is_too_long() -> None:
    lines = text.table(("a", "b"), [("one two three", "x")], {"a": 8})
    assert lines == ["  a        b", "  one two  x", "  three"]


@given(st.lists(st.text(alphabet="ab c", min_size=1), min_size=1, max_size=5))
def test_wrapped_tables_keep_every_word(cells: list[str]) -> None:
    lines = text.table(("h",), [(cell,) for cell in cells], {"h": 6})
    kept = "".join("".join(lines[1:]).split())
    assert kept == "".join("".join(cells).split())


def test_sizes_and_counts() -> None:
    shown = [text.size(n_bytes) for n_bytes in (0, 999, 1500, 86294901)]
    assert shown == ["0 B", "999 B", "1.5 kB", "86.3 MB"]
    assert [text.count(n, "file") for n in (0, 1, 1276)] == ["0 files", "1 file", "1,276 files"]
