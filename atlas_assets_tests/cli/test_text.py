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


@given(st.lists(st.text(alphabet="ab c", min_size=1), min_size=1, max_size=5))
def test_wrapped_tables_keep_every_word(cells: list[str]) -> None:
    lines = text.table(("h",), [(cell,) for cell in cells], {"h": 6})
    kept = "".join("".join(lines[1:]).split())
    assert kept == "".join("".join(cells).split())
