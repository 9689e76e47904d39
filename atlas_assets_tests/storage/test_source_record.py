"""A record of where a file came from is about one content, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.storage import source_record
from atlas_assets.storage.source_record import SourceRecord

REPO = "somebody/atlas"


def test_a_record_speaks_of_one_content(tmp_path: Path) -> None:
    path = tmp_path / "14_summary.csv"
    path.write_text("a\n")
    assert source_record.read(path) is None
    digest = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"
    record = SourceRecord(
        repository=REPO, revision="0" * 40, path="t/14_summary.csv", sha256=digest, size=2
    )
    source_record.write(path, record)
    assert source_record.read(path) == record
    path.write_text("b\n")
    assert source_record.read(path) is None
    assert source_record.noted(path) == record
    path.write_text("a\n")
    beside = source_record.record_path(path)
    of_the_paper = beside.read_text().replace(REPO, source_record.PAPER_REPOSITORIES[0])
    plain = record.model_dump_json()
    for damaged in ("{}", "null", of_the_paper, plain, plain.replace(":2,", ":77,")):
        beside.write_text(damaged)
        with pytest.raises(ArtifactError, match="record of a file's source is damaged"):
            source_record.noted(path)
        assert source_record.source_of(path) is None
    told = record.model_dump(exclude={"on_main_branch"}) | {"format_version": 1}
    beside.write_text(json.dumps(told))  # as earlier versions wrote it
    assert source_record.noted(path) == record.model_copy(update={"format_version": 1})
    assert str(record) == f"{REPO}@{'0' * 12}"
