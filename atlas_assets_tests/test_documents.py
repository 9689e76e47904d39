"""Pages that are made from declarations say what is declared."""

from __future__ import annotations

from tools.document_artifacts import PAGE, page


def test_the_page_of_artifacts_is_made_from_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.document_artifacts"
