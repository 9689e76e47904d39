"""Machine code that numba keeps between processes, wherever that is and whatever became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PASS = """
import numpy as np
from atlas_assets.models import cpu_kernels
row = "int32[::1]"
kernel = cpu_kernels.compiled(cpu_kernels.pass_where_selected, f"void({row},{row},{row})")
out = np.zeros(4, np.int32)
kernel(np.array([0, 7, 0, -7], np.int32), np.arange(1, 5, dtype=np.int32), out)
print(out.tolist())
"""
PASSED = "[0, 2, 0, 4]"


def passed(kept: Path) -> str:
    """What a fresh process passes on that keeps its machine code in a folder."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(kept)}
    ran = subprocess.run(
        [sys.executable, "-c", PASS], env=env, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_code_that_another_process_kept_and_damaged_code_compute_alike(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert passed(kept) == PASSED
    code = sorted(file for file in kept.rglob("*") if file.is_file())
    assert {file.suffix for file in code} == {".nbi", ".nbc"}
    made = {file: file.stat().st_mtime_ns for file in code}
    assert passed(kept) == PASSED
    assert {file: file.stat().st_mtime_ns for file in code} == made  # it was read
    for suffix in (".nbc", ".nbi"):
        for file in code:
            if file.suffix == suffix:
                file.write_bytes(b"damaged")
        assert passed(kept) == PASSED


def test_where_code_cannot_be_kept_it_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert passed(tmp_path / "file" / "folder") == PASSED
