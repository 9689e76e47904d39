"""When a prompt's ids hold a keyword."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.stages.prompts.tokens import KeywordSearch, contains_run

ids = st.lists(st.integers(0, 2), max_size=12)


def spelled(numbers: list[int]) -> str:
    return "".join(f"<{number}>" for number in numbers)


@given(prompt=ids, run=ids)
def test_a_run_is_a_substring_and_not_empty(prompt: list[int], run: list[int]) -> None:
    assert contains_run(prompt, run) == (bool(run) and spelled(run) in spelled(prompt))


class Letters:
    """One id per letter, but ``  pass`` with its blanks is one id, and so is ``bypassing``."""

    WHOLE = ("  pass", "bypassing")

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, text: str, /) -> list[int]:
        self.encoded.append(text)
        return [-1 - self.WHOLE.index(text)] if text in self.WHOLE else [ord(c) for c in text]

    def decode(self, ids: list[int], /) -> str:
        return "".join(chr(i) if i >= 0 else self.WHOLE[-1 - i] for i in ids)


def test_either_rule_is_enough_and_each_text_is_encoded_once() -> None:
    tokenizer = Letters()
    search = KeywordSearch(tokenizer)
    for _ in range(2):
        assert search.holds("xpassy", "pass")  # a run of the keyword's ids
        assert search.holds("  pass", "pass")  # one id that decodes to it but for blanks
        assert not search.holds("bypassing", "pass")  # one id that only contains it
        assert not search.holds("pas", "pass")
    assert tokenizer.encoded == ["xpassy", "pass", "  pass", "bypassing", "pas"]
