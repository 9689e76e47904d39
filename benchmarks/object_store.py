"""What an atlas in an object store costs: requests, bytes, and events of its run.

``make bench-s3`` runs it where `s3fs` is installed, against a server that speaks S3 on 127.0.0.1,
which `ATLAS_TEST_S3_SERVER` names. A proxy between counts requests and, for ``atlas status``,
answers each 20 ms later, as a store elsewhere would.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import dagster as dg

from atlas_assets_tests.remote.conftest import SERVER, server
from atlas_assets_tests.remote.proxy import Seen, in_front_of
from atlas_assets_tests.remote.test_s3 import JOB, run, variables
from benchmarks import report
from benchmarks.measure import Findings, Measurement, Table

#: seconds by which a store elsewhere answers later
DELAY = 0.02
METHODS = ("HEAD", "GET", "POST", "PUT", "DELETE")
REPEATS = 3


def measured(command: str, folder: Path) -> Findings:
    """Build an atlas of nine pairs on the disk and in a store, and look at both."""
    with (
        server(command, folder) as store,
        in_front_of(store.environment["AWS_ENDPOINT_URL"]) as (near, near_seen),
        in_front_of(store.environment["AWS_ENDPOINT_URL"], delay=DELAY) as (far, far_seen),
    ):
        on_disk = variables(store, folder / "home", str(folder / "data"))
        remote = {
            **variables(store, folder / "remote", "s3://atlas/data"),
            "AWS_ENDPOINT_URL": near,
        }
        elsewhere = {**remote, "AWS_ENDPOINT_URL": far}
        run(on_disk, *JOB)
        build = _asked(near_seen, lambda: run(remote, *JOB))
        status = _asked(far_seen, lambda: run(elsewhere, "atlas", "status"))
        claims = _asked(far_seen, lambda: run(elsewhere, "atlas", "claims"))
        show = _asked(far_seen, lambda: run(elsewhere, "atlas", "show", "For"))
        times = [
            (
                _seconds(lambda: run(on_disk, "atlas", "status")),
                _seconds(lambda: run(elsewhere, "atlas", "status")),
            )
            for _ in range(REPEATS)
        ]
    files = [path for path in (folder / "data" / "tiny").iterdir() if path.is_file()]
    with dg.DagsterInstance.from_config(str(folder / "home")) as instance:
        events = max(len(instance.all_logs(each.run_id)) for each in instance.get_runs())
    here, there = (statistics.median(column) for column in zip(*times, strict=True))
    return Findings(
        [
            Measurement(
                "requests of atlas status, per file",
                sum(status[: len(METHODS)]) / len(files),
                "",
                3,
            ),
            Measurement("atlas status on the disk", here, "s"),
            Measurement("atlas status in the store, 20 ms away", there, "s"),
            Measurement("of which the ratio", statistics.median(b / a for a, b in times), "×"),
            Measurement("events of the run of job atlas", float(events), ""),
        ],
        [
            Table(
                f"Requests and bytes of an atlas of {len(files)} files, "
                f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB",
                ("what", *METHODS, "sent (MB)", "received (MB)"),
                (
                    ("job atlas", *build),
                    ("atlas status", *status),
                    ("atlas claims", *claims),
                    ("atlas show For", *show),
                ),
            )
        ],
    )


def _asked(seen: Seen, work: Callable[[], object]) -> tuple[float, ...]:
    """How many requests of each method some work makes, and the MB sent and received."""
    before = Seen(seen.requests.copy(), seen.sent, seen.received)
    work()
    counts = [seen.requests[method] - before.requests[method] for method in METHODS]
    return *counts, (seen.sent - before.sent) / 1e6, (seen.received - before.received) / 1e6


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@click.command()
@click.option("--server", "command", envvar=SERVER, default="moto_server", show_default=True)
def main(command: str) -> None:
    """Print the tables, and what was seen against its bar."""
    found_command = shutil.which(command)
    if found_command is None:
        raise click.UsageError(f"there is no {command}; `make bench-s3` installs a server")
    with tempfile.TemporaryDirectory() as name:
        found = measured(found_command, Path(name))
    sections = {"object store": "what an atlas in an object store costs"}
    document = report.merged({"sections": {}}, {"object store": found}, sections)
    click.echo(report.markdown(document, sections))
    sys.exit(0 if all(one.met for one in found.measurements) else 1)


if __name__ == "__main__":
    main()
