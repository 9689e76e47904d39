"""The whole job ``atlas`` with the embedded model, in a fresh folder and a fresh process."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Measurement, run
from benchmarks.synthetic import environment

ROOT = Path(__file__).resolve().parents[1]


def measure() -> list[Measurement]:
    """As ``make atlas`` runs it, once everything is installed."""
    with tempfile.TemporaryDirectory() as name:
        env = environment(Path(name) / "data", dagster_home=Path(name) / "home")
        dagster = str(Path(sys.executable).with_name("dagster"))
        timed = run([dagster, "job", "execute", "-j", "atlas"], cwd=ROOT, env=env)
    return [
        Measurement("job atlas, embedded model, full grid, every check", timed.seconds, "s", 120),
        Measurement("its peak memory", timed.peak_gb, "GB", 2),
    ]
