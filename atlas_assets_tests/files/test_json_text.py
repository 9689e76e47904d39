"""JSON from elsewhere is read, or refused with a ValueError whatever it is."""

from __future__ import annotations

import json

import pytest

from atlas_assets.files.json_text import read_json, sealed, unsealed


def test_a_document_is_read() -> None:
    assert read_json(b'{"a": [1, "\xc3\xa9", "\\ud83d\\ude00"]}') == {"a": [1, "é", "😀"]}


@pytest.mark.parametrize(
    "text",
    ["", "{", b"\xff", "[" * 10_000 + "]" * 10_000, '"\\ud800"', '{"\\udfff": 1}', "9" * 5_000],
)
def test_what_cannot_be_used_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        read_json(text)


def test_an_edit_of_a_sealed_document_is_noticed() -> None:
    fields = {"b": [1, 0.1, None], "a": {"é": "x"}}
    text = json.dumps(sealed(fields))
    assert unsealed(read_json(text), since=2) == fields
    for edited in (text.replace("0.1", "0.2"), text.replace('"b"', '"c"'), text[:-3] + '0"}'):
        with pytest.raises(ValueError, match="edited after it was written"):
            unsealed(read_json(edited), since=2)


def test_only_documents_of_earlier_versions_may_have_no_digest() -> None:
    earlier = {"format_version": 1, "a": "x"}
    assert unsealed(earlier, since=2) == earlier
    for document in ({"a": "x"}, {**earlier, "format_version": 2}, {"format_version": True}):
        with pytest.raises(ValueError, match="is missing"):
            unsealed(document, since=2)
    assert unsealed(None, since=2) is None
