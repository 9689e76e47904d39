"""What it costs to start: the command line's help, the definitions, the loaders."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Measurement, run, seconds

ROOT = Path(__file__).resolve().parents[1]

_DEFINITIONS = (
    "from atlas_assets.definitions import build_definitions; "
    "from atlas_assets.settings import AtlasSettings; "
    "build_definitions(AtlasSettings()).resolve_asset_graph()"
)


def measure() -> list[Measurement]:
    """Wall time of fresh processes."""
    atlas = str(Path(sys.executable).with_name("atlas"))

    def fresh(*command: str) -> float:
        return seconds(lambda: run(command, cwd=ROOT), repeats=7)

    return [
        Measurement("atlas --help", fresh(atlas, "--help"), "s", 0.3),
        Measurement(
            "loading the definitions and their graph",
            fresh(sys.executable, "-c", _DEFINITIONS),
            "s",
            2,
        ),
        Measurement(
            "import atlas_assets.io", fresh(sys.executable, "-c", "import atlas_assets.io"), "s"
        ),
        Measurement("python, doing nothing", fresh(sys.executable, "-c", ""), "s"),
    ]
