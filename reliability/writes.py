"""Kills inside single writes of every format: afterwards the earlier or the later content is there.

A case writes over a sound file, is killed at a drawn touch of the disk or after a drawn share of
the time that an undisturbed write takes, and is then read by the product's own reader. The next
write must succeed and leave the folder as an undisturbed one does.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from atlas_assets.atlas import versions
from atlas_assets.errors import ArtifactError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.masks.packed import object_masks_of
from atlas_assets.stages.setting import Setting
from atlas_assets.storage import source_record
from atlas_assets.storage.codecs import codec_named
from atlas_assets.storage.sidecar import FOLDER
from atlas_assets_tests.storage import samples
from reliability import children
from reliability.children import Ready
from reliability.rows import Row, Seen, draw

CASES = 2800
#: format → an artifact of it
ARTIFACTS_OF = {
    "HDF5, object masks": "object_masks",
    "HDF5, universal masks": "universal_masks",
    "HDF5, activations": "object_activations",
    "parquet": "object_prompts",
    "CSV and its record": "target_checker",
    "CSV with an index": "summary",
    "PNG and PDF": "figure_sweep",
    "HTML": "atlas_report",
    "Markdown": "claims_report",
}
#: the same of those that hold a dataset per layer
BY_LAYER = {
    "HDF5, activations by layer": "object_activations",
    "HDF5, packed masks": "object_masks",
}


@dataclass(frozen=True)
class Subject:
    """Something that is written.

    Attributes:
        name: for the table.
        write: writes in a folder; the flag says whether the earlier or the later content, the
            function is called when the content is there and the write begins.
        state: what a reader finds in the folder, validated; None where nothing is there.
    """

    name: str
    write: Callable[[Path, bool, Ready], object]
    state: Callable[[Path], str | None]

    @property
    def is_set(self) -> bool:
        """Whether it lies in more files than one."""
        return " and " in self.name


@dataclass(frozen=True)
class Known:
    """What an undisturbed write is like: states before and after, touches, files, seconds."""

    states: tuple[str, str]
    steps: int
    files: list[str]
    seconds: float


def subjects() -> list[Subject]:
    """Return everything that is tried."""
    release = partial(_state_of_artifact, "target_checker")
    of_artifacts = [
        Subject(name, partial(_write_artifact, key), partial(_state_of_artifact, key))
        for name, key in ARTIFACTS_OF.items()
    ]
    by_layer = [
        Subject(name, partial(_write_by_layer, key), partial(_state_of_artifact, key))
        for name, key in BY_LAYER.items()
    ]
    return [
        *of_artifacts,
        *by_layer,
        Subject("CSV and its record over a CSV without one", _write_over_release, release),
        Subject("JSON, a pin", _write_pin, _state_of_pin),
        Subject("JSON, a source record", _write_source, _state_of_source),
    ]


def run(seed: int, cases: int | None, until: float, only: str = "") -> list[Row]:
    """Kill the writes of all subjects (with ``only`` in their name), an even share each."""
    chosen = [subject for subject in subjects() if only in subject.name]
    share = -(-(cases or CASES) // len(chosen))
    return [_run(subject, seed, share, until) for subject in chosen]


def _run(subject: Subject, seed: int, cases: int, until: float) -> Row:
    row = Row("a killed write leaves the old or the new", subject.name)
    with children.folder() as place:
        start, known = place / "start", undisturbed(subject, place)

        def case(number: int) -> Seen:
            here = place / f"case{number}"
            shutil.copytree(start, here)
            try:
                return _case(subject, here, known, draw(seed, f"writes/{subject.name}", number))
            finally:
                shutil.rmtree(here, ignore_errors=True)

        return children.spread(row, cases, case, until=until)


def undisturbed(subject: Subject, place: Path) -> Known:
    """Return what a whole write takes and leaves, in the median time of three."""

    def prepare(_: Ready) -> None:
        subject.write(place / "start", False, lambda: None)

    def write(here: Path, ready: Ready) -> Any:
        shutil.copytree(place / "start", here)
        before = subject.state(here)

        def begin() -> None:
            children.killer(here, 0)
            ready()

        subject.write(here, True, begin)
        steps = children.steps_taken()
        return before, subject.state(here), steps, files_in(here)

    children.run(prepare).must()
    runs = [children.run(partial(write, place / f"whole{i}")) for i in range(3)]
    before, after, steps, files = runs[0].must()
    if before in (None, after) or after is None:
        raise RuntimeError(f"{subject.name}: no two contents to tell apart")
    return Known((before, after), steps, files, sorted(ended.ready for ended in runs)[1])


def _case(subject: Subject, here: Path, known: Known, draws: random.Random) -> Seen:
    seen, by_step = Seen(), draws.random() < 0.5
    step = draws.randint(1, known.steps) if by_step else 0
    number, after = children.signal_of(draws), draws.random() * known.seconds

    def write(ready: Ready) -> None:
        def begin() -> None:
            if by_step:
                children.killer(here, step)
            ready()

        subject.write(here, True, begin)

    ended = children.run(write, kill=None if by_step else (number, after))
    if ended.status == 0 or not ended.in_time:  # not killed: it was through, or it caught it
        ended.judge(seen, "the write")
    at = f"step {step}" if by_step else f"signal {number} after {after:.4f} s"
    verdict = children.run(lambda _: judged(subject, here, known))
    verdict.judge(seen, f"reading after a kill at {at}")
    if verdict.error and verdict.ours:
        seen.note("foreign", f"{at}: {verdict.error}")
    for fault, what in verdict.answer or ():
        seen.note(fault, f"{at}: {what}")
    return seen


def judged(subject: Subject, here: Path, known: Known) -> list[tuple[str, str]]:
    """Return what is wrong in the folder of a killed write, and with the next write."""
    found = []
    try:
        state = subject.state(here)
        if state is None:
            # no writer removes a file that is in place: what is there instead would tell who did
            there = f"the folder holds {', '.join(files_in(here)) or 'nothing'}"
            found.append(("lost", f"there is nothing; {there}; then {subject.state(here)}"))
        elif state not in known.states:
            found.append(("silent", f"content of neither write: {state}"))
    except ArtifactError as error:
        found.append(("mixed" if subject.is_set else "torn", str(error)))
    subject.write(here, True, lambda: None)
    if subject.state(here) != known.states[1]:
        found.append(("silent", "the next write is not there"))
    more = sorted(set(files_in(here)) - set(known.files))
    if more:
        found.append(("left", f"the next write leaves {', '.join(more)}"))
    return found


def files_in(folder: Path) -> list[str]:
    """Return the paths of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _value(key: str, new: bool) -> Any:
    value = samples.sample(key)
    if not new:
        return value
    if isinstance(value, pl.DataFrame):
        return value.slice(1) if len(value) > 1 else samples.sample(key, Setting(0.001, 0.8))
    if isinstance(value, Drawing):
        return samples.drawing("black")
    if isinstance(value, str):
        return f"{value}\nMore.\n"
    return {
        "object_masks": lambda: samples.objects(seed=2),
        "universal_masks": lambda: samples.objects(Setting(0.001, 0.8), seed=2).universal,
        "object_activations": lambda: samples.activations(seed=2),
    }[key]()


def _at(key: str) -> Setting | None:
    return samples.SETTING if ARTIFACTS[key].partitioned else None


def _write_artifact(key: str, place: Path, new: bool, ready: Ready) -> None:
    value = _value(key, new)
    # once per process polars looks numpy up, in native code that panics if it is interrupted there
    pl.Series([0.0]).to_numpy()
    ready()
    samples.store_at(place).write(key, value, _at(key), inputs={})


def _write_by_layer(key: str, place: Path, new: bool, ready: Ready) -> None:
    kept = samples.in_blocks(seed=2 if new else 0)
    value = kept if key == "object_activations" else object_masks_of(kept, samples.SETTING)
    ready()
    samples.store_at(place).write(key, value, _at(key), inputs={})


def _state_of_artifact(key: str, place: Path) -> str | None:
    store = samples.store_at(place)
    if not store.exists(key, _at(key)):
        return None
    # one call, as a reader's, so that a write in between is no change from one to the next
    value, record = codec_named(key).read(store.path(key, _at(key)), setting=_at(key))
    digest = codec_named(key).payload_digest(value)
    if record is None:
        return f"no record, {digest}"
    return digest if record.payload_sha256 == digest else "a record of another content"


def _write_over_release(place: Path, new: bool, ready: Ready) -> None:
    """First a CSV without a record; over it one of ours."""
    _write_artifact("target_checker", place, new, ready)
    if not new:
        shutil.rmtree(place / FOLDER)


def _settings(place: Path) -> AtlasSettings:
    return AtlasSettings.build(data_dir=str(place), name="atlas", model="someone/model")


def _write_pin(place: Path, new: bool, ready: Ready) -> None:
    """A version in force, and then another one."""
    ready()
    versions.seen(_settings(place), "a" * 40)
    if new:
        versions.seen(_settings(place), "b" * 40)


def _state_of_pin(place: Path) -> str | None:
    pin = versions.pin_of(_settings(place))
    return None if pin is None else pin.model_dump_json()


def _write_source(place: Path, new: bool, ready: Ready) -> None:
    sha, path = ("b" if new else "a") * 40, place / "file.csv"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    record = source_record.SourceRecord(
        repository="someone/atlas",
        revision=sha,
        path=path.name,
        sha256=hashlib.sha256(b"content").hexdigest(),
        size=7,
    )
    ready()
    source_record.write(path, record)


def _state_of_source(place: Path) -> str | None:
    record = source_record.read(place / "file.csv")
    return None if record is None else record.revision
