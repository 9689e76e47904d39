"""The job ``sweep`` in a process that has its definitions loaded and its instance open.

``python -m benchmarks.dagster_sweep`` runs it for the atlas that the ``ATLAS_*`` variables
describe.
"""

from __future__ import annotations

import sys
import time

import dagster as dg

from atlas_assets.definitions import build_definitions
from atlas_assets.settings import AtlasSettings


def main() -> None:
    """Run the job; says how long it took, from the request for the run to its end."""
    job = build_definitions(AtlasSettings.from_env()).resolve_job_def("sweep")
    with dg.DagsterInstance.get() as instance:
        started = time.perf_counter()
        job.execute_in_process(instance=instance)
        sys.stdout.write(f"\n{time.perf_counter() - started}\n")


if __name__ == "__main__":
    main()
