"""Kills of the whole job ``atlas`` on a cut grid, at any moment of it.

A folder is empty or holds an earlier atlas of other content. The job is started on it again and
again and killed each time; after each kill every file is read by the product's own reader and has
the content of the earlier or of the later atlas. At last the job runs to its end, and the folder
must equal that of an undisturbed run, byte by byte.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
from functools import partial
from pathlib import Path

import dagster as dg
import polars as pl

from atlas_assets.atlas.open import open_to_build
from atlas_assets.definitions import build_definitions
from atlas_assets.errors import ArtifactError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codecs import codec_named
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage import samples
from reliability import children
from reliability.children import Ready
from reliability.rows import Row, Seen, draw

CASES = 224
#: kills of a folder before the job may run to its end
KILLS = 8
#: of so many folders one has an instance of Dagster on the disk; the others' are in memory
ON_DISK = 8
#: seconds that a run may take
LIMIT = 240.0
#: how Python and Dagster end a run that is interrupted; Dagster answers SIGTERM as it does SIGINT
INTERRUPTED = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
CUT = {
    "name": "atlas",
    "device": "cpu",
    "ast_nodes": "For,If",
    "builtins": "list,len",
    "variations": 2,
    "permutations": 5,
    "epsilons": "0.5",
    "consistencies": "0.8",
}
States = dict[str, str]


def run(seed: int, cases: int | None, until: float) -> list[Row]:
    """Kill the job; ``cases`` counts kills."""
    children.load()
    wanted = cases or CASES
    kills = min(KILLS, wanted)
    row = Row(
        "a killed job leaves old and new files only; run again, it makes the same bytes",
        f"SIGKILL, SIGTERM, SIGINT during job atlas, {kills} times in a folder",
    )
    with children.folder() as place:
        known = Known(place)

        def case(number: int) -> Seen:
            here = place / f"case{number}"
            try:
                return _case(here, known, number, kills, draw(seed, "jobs", number))
            finally:
                shutil.rmtree(here, ignore_errors=True)

        return [children.spread(row, -(-wanted // kills), case, until=until)]


class Known:
    """An undisturbed run: its files, what is in them, its time; and an earlier atlas."""

    def __init__(self, place: Path) -> None:
        self.whole, self.earlier, self.home = place / "whole", place / "earlier", place / "home"
        # two at once, as the killed ones run
        both = [children.Child(partial(execute, at)) for at in (self.whole, place / "second")]
        ended = [child.end(limit=LIMIT) for child in both]
        for one in ended:
            one.must()
        self.seconds = sum(one.ready for one in ended) / len(ended)
        shutil.copytree(self.whole, self.earlier)
        children.run(lambda _: _alter(store_in(self.earlier))).must()
        self.home.mkdir()
        children.run(lambda _: _instance(self.home).dispose()).must()
        after, before = (
            children.run(lambda _, at=at: states(store_in(at))).must()  # type: ignore[misc]
            for at in (self.whole, self.earlier)
        )
        self.states = [before, after]
        self.files = files_of(self.whole)
        if self.files != files_of(place / "second"):
            raise RuntimeError("two undisturbed runs differ")


def settings_in(place: Path) -> AtlasSettings:
    """Return the settings of the cut grid."""
    return AtlasSettings.build(data_dir=str(place), **CUT)


def store_in(place: Path) -> AtlasStore:
    """Return the store of the atlas in a folder."""
    return open_to_build(settings_in(place))[0]


def execute(place: Path, ready: Ready, *, home: Path | None = None, job: str = "atlas") -> bool:
    """Run a job on a folder in this process; an error that it ends with is raised."""
    import torch

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)  # or threads that load the model make torch's pool anew, all at once
    ready()
    with dg.DagsterInstance.ephemeral() if home is None else _instance(home) as instance:
        definitions = build_definitions(settings_in(place))
        result = definitions.resolve_job_def(job).execute_in_process(instance=instance)
    return result.success


def states(store: AtlasStore) -> States:
    """Return the digest of every file that is there, read by the product's reader.

    What is wrong with a file stands in place of its digest.
    """
    found = {}
    for key, setting in _cells():
        if store.exists(key, setting):
            name = f"{key}@{setting}" if setting else key
            try:
                value, record = store.read(key, setting), store.provenance(key, setting)
            except ArtifactError as error:
                found[name] = f"error: {error}"
                continue
            digest = codec_named(key).payload_digest(value)
            found[name] = digest if record and record.payload_sha256 == digest else "no record"
    return found


def files_of(place: Path) -> dict[str, bytes]:
    """Return all files of the atlas in a folder, records included, with their bytes."""
    paths = (path for path in (place / "atlas").rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(paths)}


def _cells() -> list[tuple[str, Setting | None]]:
    sweep = settings_in(Path("unused")).sweep
    return [
        (key, setting)
        for key, artifact in ARTIFACTS.items()
        for setting in (sweep if artifact.partitioned else (None,))
    ]


def _alter(store: AtlasStore) -> None:
    """Writes other content of the same kind over tables, figures and texts."""
    there = [(key, setting) for key, setting in _cells() if store.exists(key, setting)]
    for key, setting in there:
        value = store.read(key, setting)
        if isinstance(value, pl.DataFrame) and len(value) > 1:
            value = value.slice(1)
        elif isinstance(value, Drawing):
            value = samples.drawing("black")
        elif isinstance(value, str):
            value = f"{value}\nEarlier.\n"
        store.write(key, value, setting)


def _instance(home: Path) -> dg.DagsterInstance:
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def _case(here: Path, known: Known, number: int, kills: int, draws: random.Random) -> Seen:
    seen, before = Seen(cases=0), States()
    if number % 2:
        shutil.copytree(known.earlier, here)
        before = known.states[0]
    else:
        here.mkdir()
    home = None
    if number % ON_DISK == ON_DISK - 1:
        home = here / "home"
        shutil.copytree(known.home, home)
    for _ in range(kills):
        kill = children.signal_of(draws), draws.random() * known.seconds
        ended = children.run(partial(execute, here, home=home), limit=LIMIT, kill=kill)
        told = kill[0] != signal.SIGKILL and (ended.error or "").startswith(INTERRUPTED)
        hit = ended.status == -kill[0] or told
        seen.cases += hit
        at = f"signal {kill[0]} after {kill[1]:.1f} s"
        if not hit or not ended.in_time:  # it was through before
            ended.judge(seen, at)
            if ended.error and ended.ours:
                seen.note("foreign", f"{at}: {ended.error}")
        reading = children.run(lambda _: states(store_in(here)), limit=LIMIT)
        reading.judge(seen, f"reading after {at}")
        if reading.error and reading.ours:
            seen.note("torn", f"{at}: {reading.error}")
        before = _compare(seen, at, before, reading.answer or {}, known.states)
    last = children.run(partial(execute, here, home=home), limit=LIMIT)
    last.judge(seen, "the last run")
    if last.error and last.ours:
        seen.note("lost", f"the last run fails: {last.error}")
    found = files_of(here)
    more = sorted(found.keys() - known.files.keys())
    if more:
        seen.note("left", f"{len(more)} files, {', '.join(more)}")
    differ = sorted(name for name in known.files if found.get(name) != known.files[name])
    if differ:
        seen.note("silent", f"after the last run other bytes in {', '.join(differ)}")
    return seen


def _compare(seen: Seen, at: str, before: States, now: States, known: list[States]) -> States:
    for name in before.keys() - now.keys():
        seen.note("lost", f"{at}: {name}")
    for name, digest in now.items():
        if digest.startswith("error") or digest == "no record":
            fault = "mixed" if name.startswith("figure_") else "torn"
            seen.note(fault, f"{at}: {name}: {digest}")
        elif digest not in {states.get(name) for states in known}:
            seen.note("silent", f"{at}: {name} is of neither atlas")
    return now
