"""A small share of ``make reliability``, in a process of its own, which forks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reliability.rows import FAULTS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("part", "cases"),
    [
        ("writes", 36),
        ("races", 2),
        pytest.param("jobs", 3, marks=pytest.mark.slow),
        pytest.param("ticks", 8, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_lost_torn_or_left_hanging(part: str, cases: int, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    command = [
        sys.executable,
        "-m",
        "reliability",
        part,
        f"--cases={cases}",
        f"--results={results}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert results.is_file(), done.stderr
    rows = json.loads(results.read_text())["parts"][part]["rows"]
    assert sum(row["cases"] for row in rows) >= cases
    for fault in FAULTS:
        assert sum(row[fault] for row in rows) == 0, done.stderr
