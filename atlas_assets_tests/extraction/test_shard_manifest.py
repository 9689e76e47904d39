"""The list of the shards of a pass: what is entered is found again, and damage is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atlas_assets.extraction.shard_manifest import NAME, Entry, Manifest


def test_what_is_entered_is_found_again(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    assert manifest.entries == {}
    manifest.enter("00001", Entry(3, 7, "b" * 64))
    manifest.enter("00000", Entry(2, 5, "a" * 64))
    found = Manifest(tmp_path)
    assert found.entries == {"00000": Entry(2, 5, "a" * 64), "00001": Entry(3, 7, "b" * 64)}
    assert found.fits("00000", "a" * 64) and found.fits("00002", "c" * 64)
    assert not found.fits("00000", "b" * 64)


def test_the_order_in_which_shards_are_entered_changes_no_byte(tmp_path: Path) -> None:
    files = []
    for order in ("012", "201"):
        folder = tmp_path / order
        manifest = Manifest(folder)
        for key in order:
            manifest.enter(key, Entry(1, int(key), key * 64))
        files.append((folder / NAME).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("damage", ["cut", "edited", "other fields"])
def test_a_damaged_list_is_begun_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    Manifest(tmp_path).enter("00000", Entry(2, 5, "a" * 64))
    path = tmp_path / NAME
    text = path.read_text()
    path.write_text(
        {
            "cut": text[:-5],
            "edited": text.replace("aaaa", "abab"),
            "other fields": json.dumps({"shards": {"00000": {"units": 2}}}),
        }[damage]
    )
    assert Manifest(tmp_path).entries == {}
    assert "damaged" in caplog.text
