"""``atlas where``."""

from __future__ import annotations

from pathlib import Path

from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME


def test_where(made: Path, tmp_path: Path, call: Call) -> None:
    names = [file["name"] for file in call(made, "where", "--json").json["files"]]
    assert names == sorted(path.name for path in (made / NAME).iterdir() if path.is_file())
    nothing = call(tmp_path, "where")
    assert (nothing.code, nothing.err) == (0, "")
    assert "no files yet" in nothing.out
