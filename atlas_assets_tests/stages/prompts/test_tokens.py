"""When a prompt's ids hold a keyword."""

from __future__ import annotations

from atlas_assets.stages.prompts.tokens import KeywordSearch


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
        assert not search.holds("paxss", "pass")
    assert search.last_token("xpasspassy", "pass") == 8
    assert search.last_token("  pass", "pass") == 0
    assert search.last_token("bypassing", "pass") is None
    del tokenizer.encoded[-1:]
    assert tokenizer.encoded == ["xpassy", "pass", "  pass", "bypassing", "pas", "paxss"]
