"""One atlas of the cut grid, built once in a run of the tests, for all modules and workers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from atlas_assets_tests.frozen.calls import CUT, Workplace


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a `Workplace` in which Dagster's command line has built the cut grid.

    Its atlas is in ``data``, the instance that remembers the run in ``dagster``. It is only to be
    read: who changes something, or runs what might, copies it first.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which is that of all workers
    built = folder / "built"
    with FileLock(folder / "built.lock"):
        if not built.exists():
            workplace = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
            Workplace(workplace, CUT).build()
            workplace.rename(built)
    return built
