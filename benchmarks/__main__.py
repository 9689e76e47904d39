"""Runs the benchmarks and prints one table: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

import click

from benchmarks import clone, sweep
from benchmarks.measure import Measurement

BENCHMARKS = {"sweep": sweep.measure, "clone": clone.measure}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(BENCHMARKS)))
def main(names: tuple[str, ...]) -> None:
    """Measure the named benchmarks (default: all) and print what was seen against its bar."""
    rows: list[Measurement] = []
    for name in names or sorted(BENCHMARKS):
        click.echo(f"measuring {name} ...", err=True)
        rows += BENCHMARKS[name]()
    click.echo(f"{platform.platform()}, {platform.processor() or platform.machine()}")
    packages = ("torch", "dagster", "h5py", "numpy", "polars")
    click.echo(
        f"Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )
    click.echo("| what | seen | bar | |\n|---|---|---|---|")
    for row in rows:
        click.echo(f"| {row.what} | {row.seen:.4g} {row.unit} | {row.bar} | {row.verdict} |")
    sys.exit(0 if all(row.met for row in rows) else 1)


if __name__ == "__main__":
    main()
