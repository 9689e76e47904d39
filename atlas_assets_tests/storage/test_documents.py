"""Documents: UTF-8 text with its provenance beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.codec import Codec
from atlas_assets.storage.documents import HtmlFile, MarkdownFile
from atlas_assets_tests.storage.samples import provenance

TEXT = "<p>|A∖B| / |A|, ε = 0.5</p>\n"


@pytest.mark.parametrize("file", [HtmlFile(), MarkdownFile()])
def test_a_text_is_written_as_utf_8(tmp_path: Path, file: Codec[str]) -> None:
    record = provenance("atlas_report", payload_sha256=file.payload_digest(TEXT))
    assert file.write(tmp_path / "report", TEXT, record) == len(TEXT.encode())
    assert (tmp_path / "report").read_bytes() == TEXT.encode()
    assert file.describe(TEXT) == {"n_lines": 1, "n_characters": len(TEXT)}


@pytest.mark.parametrize("text", ["", " \n", "\ud800"])
def test_what_is_no_text_is_not_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(ArtifactError, match="document is not sound"):
        HtmlFile().write(tmp_path / "report", text, provenance("atlas_report"))
    assert not list(tmp_path.iterdir())


def test_an_edited_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report"
    HtmlFile().write(path, TEXT, provenance(payload_sha256=HtmlFile().payload_digest(TEXT)))
    path.write_text(f"{TEXT}edited")
    with pytest.raises(ArtifactError, match="edited after it was written"):
        HtmlFile().read(path)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ArtifactError, match="document is not sound"):
        HtmlFile().decode(b"\xff\xfe\x00")
