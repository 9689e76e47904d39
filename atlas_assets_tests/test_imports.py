"""What starting up may import: a heavy library belongs in the function that needs it.

Times are measured by the benchmarks (docs/performance.md); here, the cause of most of them.
"""

from __future__ import annotations

import json
import subprocess
import sys

#: seconds to import, each, and never needed to say what there is
HEAVY = {
    "datasets",
    "huggingface_hub",
    "jinja2",
    "matplotlib",
    "numba",
    "pandas",
    "PIL",
    "pyarrow",
    "requests",
    "scipy",
    "tokenizers",
    "torch",
    "tqdm",
    "transformers",
}
#: what looking at help needs none of either
DATA = {"dagster", "fsspec", "h5py", "numpy", "polars", "pydantic", "upath"}

DEFINITIONS = """
from atlas_assets.definitions import build_definitions
from atlas_assets.settings import AtlasSettings
definitions = build_definitions(AtlasSettings())
definitions.resolve_asset_graph()
for job in ("atlas", "sweep", "analyses"):
    definitions.resolve_job_def(job)
"""
HELP = """
import sys
from atlas_assets.cli import main
from atlas_assets.cli.app import atlas
for arguments in (["--help"], ["--version"], *([name, "--help"] for name in atlas.commands)):
    sys.argv = ["atlas", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""
PACKAGE = """
import atlas_assets
assert {*atlas_assets.__all__} <= {*dir(atlas_assets)}
assert not hasattr(atlas_assets, "no_such_name")
"""
MASKS = "from atlas_assets import masks, open_atlas"
LOADERS = """
import resource
import atlas_assets.io
# of the processor, so that a busy machine does not matter; the bar is 0.5 s, with some slack
assert resource.getrusage(resource.RUSAGE_SELF).ru_utime < 1.0
"""


def imported(code: str) -> set[str]:
    """Top-level modules that a fresh process holds after running the code."""
    code += "\nimport json, sys\nprint(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_help_of_every_command_imports_next_to_nothing() -> None:
    assert not imported(HELP) & (HEAVY | DATA)


def test_the_package_imports_what_a_name_needs_when_it_is_asked_for() -> None:
    assert not imported(PACKAGE) & (HEAVY | DATA)
    assert not imported(MASKS) & (HEAVY | {"dagster"})


def test_the_loaders_import_what_they_read_with() -> None:
    assert not imported(LOADERS) & (HEAVY | {"dagster"})


def test_the_definitions_load_without_what_the_assets_compute_with() -> None:
    assert not imported(DEFINITIONS) & HEAVY
