"""From ``git clone`` to a finished ``make atlas`` with the embedded model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measure import Measurement, run

ROOT = Path(__file__).resolve().parents[1]


def measure() -> list[Measurement]:
    """Clone the committed state, install (packages from pip's cache, if it has them), build."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "atlas"
        fresh = {"ATLAS_DATA_DIR": str(Path(folder) / "data")}
        cloned = run(["git", "clone", "--quiet", str(ROOT), str(checkout)], cwd=Path(folder))
        fresh["DAGSTER_HOME"] = str(checkout / ".dagster_home")
        made = run(["make", "atlas"], cwd=checkout, env=fresh)
    minutes = (cloned.seconds + made.seconds) / 60
    return [Measurement("git clone to a finished make atlas", minutes, "min", 10)]
