"""Machine code that numba keeps between processes, wherever that is and whatever became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SELECT = """
import torch
from atlas_assets.models.sparsity import abs_topk
x = torch.arange(-6.0, 6.0).reshape(3, 4)
print(abs_topk(x, 2).tolist())
"""
SELECTED = "[[-6.0, -5.0, 0.0, 0.0], [-2.0, -1.0, 0.0, 0.0], [0.0, 0.0, 4.0, 5.0]]"


def selected(kept: Path) -> str:
    """What a fresh process selects that keeps its machine code in a folder."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(kept)}
    ran = subprocess.run(
        [sys.executable, "-c", SELECT], env=env, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_code_that_another_process_kept_and_damaged_code_select_alike(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert selected(kept) == SELECTED
    code = sorted(file for file in kept.rglob("*") if file.is_file())
    assert {file.suffix for file in code} == {".nbi", ".nbc"}
    made = {file: file.stat().st_mtime_ns for file in code}
    assert selected(kept) == SELECTED
    assert {file: file.stat().st_mtime_ns for file in code} == made  # it was read
    for suffix in (".nbc", ".nbi"):
        for file in code:
            if file.suffix == suffix:
                file.write_bytes(b"damaged")
        assert selected(kept) == SELECTED


def test_where_code_cannot_be_kept_it_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert selected(tmp_path / "file" / "folder") == SELECTED
