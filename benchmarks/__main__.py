"""Runs the benchmarks: ``python -m benchmarks [SECTION ...] [--write]``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from benchmarks import report
from benchmarks.measure import Findings, Measurement

ROOT = Path(__file__).resolve().parents[1]
#: section → what it measures, in the order of a full run; each is a module with `measure`
SECTIONS = {
    "startup": "what starting up costs",
    "files": "reading and writing the files of an atlas, against plain h5py",
    "sweep": "nine settings and all tables, against loops over pairs, and through Dagster",
    "kernels": "sparse matrices and the selection of activations, against torch's own",
    "packing": "the smallest matrices that run packed, on the prefix tree",
    "extraction": "the prefix tree with sparse weights, against padded batches of a pair",
    "tree": "any model of transformers on the prefix tree, against its padded batches",
    "engines": "the same prompts on threads and on workers of Dask, in turns",
    "growth": "how the cost of extraction and sweep grows, beside what the machine can do",
    "memory": "peak memory of extraction at the width of the paper's model",
    "scale": "masks, summary and status of an atlas that is kept and computed in blocks",
    "atlas": "the whole job atlas with the embedded model",
    "clone": "from git clone to a finished make atlas",
}


@click.command()
@click.argument("names", metavar="[SECTION]...", nargs=-1)
@click.option("--write", is_flag=True, help="Also put the numbers into docs/performance.md.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "docs" / "performance.json",
    show_default=True,
    help="Where the numbers of all sections are kept; those measured now replace theirs.",
)
@click.option("--list", "list_them", is_flag=True, help="Name the sections.")
def main(names: tuple[str, ...], write: bool, results: Path, list_them: bool) -> None:
    """Measure the named sections (default: all) and print what was seen against the bars."""
    present = {name: told for name, told in SECTIONS.items() if _module(name) is not None}
    if list_them:
        for name, told in present.items():
            click.echo(f"{name:12}{told}")
        return
    strangers = sorted(set(names) - set(present))
    if strangers:
        raise click.UsageError(f"no such section: {', '.join(strangers)}; see --list")
    chosen = names or tuple(present)
    found = {}
    document = report.read(results)
    for name in chosen:
        click.echo(f"{name}: {SECTIONS[name]} ...", err=True)
        started = time.perf_counter()
        found[name] = _measure(name)
        click.echo(f"{name}: {time.perf_counter() - started:.0f} s", err=True)
        document = report.merged(document, {name: found[name]}, SECTIONS)
        if write:  # at once: a whole run takes most of an hour
            report.write(results, document)
            report.fill_in(ROOT / "docs" / "performance.md", report.markdown(document, SECTIONS))
    click.echo(report.markdown(document, SECTIONS, only=chosen))
    missed = [row for one in found.values() for row in one.measurements if not row.met]
    sys.exit(1 if missed else 0)


def _module(name: str) -> str | None:
    module = f"benchmarks.{'atlas_job' if name == 'atlas' else name}"
    return module if importlib.util.find_spec(module) else None


def _measure(name: str) -> Findings:
    module = importlib.import_module(str(_module(name)))
    measure: Callable[[], Findings | Sequence[Measurement]] = module.measure
    found = measure()
    return found if isinstance(found, Findings) else Findings(found)


if __name__ == "__main__":
    main()
