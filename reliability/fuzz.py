"""Mutated files for every reader: each gives the value that was written, or an error in our words.

A worker reads many inputs one after the other and says what each has shown; one that ends, or says
nothing for too long, is counted with the input it was at, and another one goes on after it.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from atlas_assets.atlas import versions
from atlas_assets.errors import AtlasError
from atlas_assets.files.locations import Fetched
from atlas_assets.hub import card
from atlas_assets.hub.manifest import FileRecord, Manifest, manifest_of
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.packed import object_masks_of
from atlas_assets.storage import source_record
from atlas_assets.storage.codecs import codec_named
from atlas_assets.storage.masks import layer_part
from atlas_assets.storage.sidecar import FOLDER
from atlas_assets_tests.storage import samples
from reliability import children, inputs, mutations
from reliability.rows import Row, Seen, draw

#: seconds that the reading of one input may take: more than the product gives a child process that
#: reads foreign content, ten seconds of processor time and twenty times that by the clock
LIMIT = 240.0
#: bytes of memory that a worker may take beyond what it holds at its start
MEMORY = 6 << 30
_SHA = "a" * 40
_LABELS = {"where", "expected", "found", "what to do"}
#: a kind of fault is told so often
_TOLD = 3


@dataclass(frozen=True)
class Subject:
    """Something that is read.

    Attributes:
        name: for the table.
        share: of a hundred thousand cases, how many.
        mutate: makes another content of the one that the product wrote.
        make: writes what is read into a folder; returns the file that is mutated.
        read: reads it there, given the content of that file; returns what it holds.
        has_digest: whether a value that differs has to be noticed.
        is_equal: whether two such values are the same.
    """

    name: str
    share: int
    mutate: mutations.Mutation
    make: Callable[[Path], Path]
    read: Callable[[Path, bytes], Any]
    has_digest: bool = False
    is_equal: Callable[[Any, Any], bool] = lambda left, right: bool(left == right)


def subjects() -> list[Subject]:
    """Return everything that is tried."""
    text, spoken = mutations.of_text, mutations.of_json
    return [
        _artifact("HDF5, object masks", 1500, mutations.of_hdf5, "object_masks"),
        _artifact("HDF5, universal masks", 1500, mutations.of_hdf5, "universal_masks"),
        _artifact("HDF5, activations", 1500, mutations.of_hdf5, "object_activations"),
        _by_layer("HDF5, activations by layer", 3000, "object_activations"),
        _by_layer("HDF5, packed masks", 3000, "object_masks"),
        _by_layer("HDF5, a layer of packed masks", 1500, "object_masks", layer_part(2)),
        _artifact("HDF5, Jaccard matrices", 1500, mutations.of_hdf5, "jaccard_matrices"),
        _artifact("parquet", 2000, mutations.of_parquet, "object_prompts"),
        _artifact("parquet, circuits", 1500, mutations.of_parquet, "circuits"),
        _artifact("PNG of a figure", 1500, mutations.of_png, "figure_sweep"),
        _artifact("PNG without a record", 4000, mutations.of_png, "figure_sweep", file="released"),
        _artifact("PDF of a figure", 2000, mutations.of_bytes, "figure_sweep", file="pdf"),
        _artifact("CSV and its record", 4000, text, "target_checker"),
        _artifact("CSV without a record", 14000, text, "target_checker", file="released"),
        _artifact("record of a CSV", 14000, spoken, "target_checker", file="record"),
        _artifact("Markdown", 2000, text, "claims_report"),
        _artifact("Markdown without a record", 2000, text, "claims_report", file="released"),
        Subject("record of a source", 12000, spoken, _make_source, _read_source),
        Subject("manifest", 10000, spoken, _make_manifest, _read_manifest),
        Subject("pin", 10000, spoken, _make_pin, _read_pin),
        Subject("card", 4000, text, _make_card, _read_card),
        *(
            Subject(name, share, mutate, make, read)
            for name, (share, mutate, make, read) in inputs.brought().items()
        ),
    ]


def run(seed: int, cases: int | None, until: float, only: str = "") -> list[Row]:
    """Mutate the files of all subjects (with ``only`` in their name), each by its share."""
    chosen = [subject for subject in subjects() if only in subject.name]
    share = 1.0 if cases is None else cases / sum(subject.share for subject in chosen)
    return [_run(subject, seed, max(4, round(subject.share * share)), until) for subject in chosen]


def _run(subject: Subject, seed: int, cases: int, until: float) -> Row:
    row, started = Row("a mutated file is the same or refused in words", subject.name), time.time()
    count = min(cases, len(os.sched_getaffinity(0)))
    with children.folder() as place:
        workers = [_Worker(subject, seed, place, (n, cases, count), until) for n in range(count)]
        running = list(workers)
        while running:
            ready, _, _ = select.select([worker.back for worker in running], [], [], 1.0)
            for worker in list(running):
                spoke = worker.back in ready
                if (spoke or worker.is_late) and not worker.hear(spoke):
                    running.remove(worker)
    kinds: dict[str, int] = {}
    for case, seen in sorted((found for worker in workers for found in worker.found), key=_case_of):
        row.add(case, seen)
        row.notes[len(row.notes) - len(seen.faults) :] = []
        for fault, note in seen.faults:
            kind = f"{fault}: {note[:60]}"
            kinds[kind] = kinds.get(kind, 0) + 1
            if kinds[kind] <= _TOLD:
                row.notes.append(f"{subject.name}, case {case}: {fault}: {note}")
    row.seconds = time.time() - started
    return row


def _case_of(found: tuple[int, Seen]) -> int:
    return found[0]


class _Worker:
    """A forked process that reads every so-many-th case, begun anew where it ends too early."""

    def __init__(
        self, subject: Subject, seed: int, place: Path, which: tuple[int, int, int], until: float
    ) -> None:
        self._work = partial(_read_cases, subject, seed, place / f"worker{which[0]}")
        self._next, self._end, self._step = which
        self._until = until
        self.found: list[tuple[int, Seen]] = []
        self._pid, self._rest, self._is_ready = 0, b"", False
        self._start()

    @property
    def is_late(self) -> bool:
        """Whether its present input takes too long."""
        return time.monotonic() > self._due

    def hear(self, is_ready: bool) -> bool:
        """Take what it says; return False when it is through."""
        block = os.read(self.back, 1 << 16) if is_ready else b""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            peak, faults = json.loads(line)
            self._is_ready = True
            if peak is not None:
                self.found.append((self._next, Seen([(f, n) for f, n in faults], peak)))
                self._next += self._step
            self._due = time.monotonic() + LIMIT
        if block:
            return True
        if is_ready:
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            fault, note = "aborts", f"the reading process ended with {status}"
        else:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            status, fault, note = -signal.SIGKILL, "hangs", f"more than {LIMIT:.0f} s"
        os.close(self.back)
        if status == 0:
            return False
        if not self._is_ready:
            raise RuntimeError(f"the harness itself failed: {note}; see RELIABILITY_LOUD")
        self.found.append((self._next, Seen([(fault, note)])))
        self._next += self._step
        if self._next >= self._end:
            return False
        self._start()
        return True

    def _start(self) -> None:
        self.back, to = os.pipe()
        self._rest, self._is_ready = b"", False
        self._due = time.monotonic() + 120  # it has to make its files first
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.close(self.back)
                self._work(range(self._next, self._end, self._step), self._until, to)
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        os.close(to)


def _read_cases(
    subject: Subject, seed: int, place: Path, cases: range, until: float, to: int
) -> None:
    """Say a line per case: peak in MB and faults; first one without a peak, when it is ready."""
    if not os.environ.get("RELIABILITY_LOUD"):
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
    warnings.simplefilter("ignore")
    logging.disable()
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))
    here = place / str(cases.start)
    here.mkdir(parents=True)
    sound = Sound(subject, here)
    os.write(to, b"[null, []]\n")
    for case in cases:
        if time.monotonic() >= until:
            break
        seen = sound.mutated(seed, case)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(to, json.dumps([peak, seen.faults]).encode() + b"\n")


class Sound:
    """What a subject has written into a folder, of which mutated contents are read."""

    def __init__(self, subject: Subject, here: Path) -> None:
        self._subject, self._here = subject, here
        self._path = subject.make(here)
        self._data = self._path.read_bytes()
        self._value = subject.read(here, self._data)

    def mutated(self, seed: int, case: int) -> Seen:
        """Read the content of a case."""
        draws = draw(seed, f"fuzz/{self._subject.name}", case)
        data = mutations.mutated(self._subject.mutate, self._data, draws)
        self._path.write_bytes(data)
        return judged(self._subject, self._here, self._value, data)


def judged(subject: Subject, here: Path, value: Any, data: bytes) -> Seen:
    """Read a content; note what else it gives than the value or an error that says what to do."""
    seen = Seen()
    try:
        found = subject.read(here, data)
        if subject.has_digest and found is not None and not subject.is_equal(found, value):
            seen.note("silent", "another value than was written")
    except AtlasError as error:
        missing = _LABELS - error.said.keys()
        if missing:
            seen.note("foreign", f"an error without {sorted(missing)}: {error.what}")
        try:
            str(error).encode()
        except UnicodeEncodeError:
            seen.note("foreign", f"an error that cannot be printed: {error.what}")
    except BaseException as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        ours = [each.f_code for each in frames if "/atlas_assets/" in each.f_code.co_filename]
        place = ours[-1].co_qualname if ours else "what was read"
        text = f"{type(error).__name__} in {place}: {str(error)[:150]}"
        seen.note("foreign", ascii(text))
    return seen


def _artifact(
    name: str, share: int, mutate: mutations.Mutation, key: str, file: str = ""
) -> Subject:
    """A file of an artifact; or the PDF or record beside it, or the file without its record."""
    setting = samples.cells(key)[-1]
    codec = codec_named(key)

    def make(here: Path) -> Path:
        store = samples.store_at(here)
        value = samples.objects().universal if key == "universal_masks" else samples.sample(key)
        store.write(key, value, setting, inputs={})
        path = Path(store.path(key, setting).path)
        if file == "record":
            return next((path.parent / FOLDER).glob("*.json"))
        return path.with_suffix(".pdf") if file == "pdf" else path

    def read(here: Path, data: bytes) -> Any:
        if file == "released":
            value = codec.read(data, part="png" if codec.kind == "png" else None)[0]
            return codec.describe(value) and value
        path = Path(samples.store_at(here).path(key, setting).path)
        taken = Fetched(path, path.read_bytes() if file else data)
        value, record = codec.read(taken)
        return None if record is None else value

    return Subject(name, share, mutate, make, read, file != "released", samples.equal)


def _by_layer(name: str, share: int, key: str, part: str | None = None) -> Subject:
    """A file, or a part of it, that holds a dataset per layer and is read where it lies."""
    codec, setting = codec_named(key), samples.cells(key)[-1]

    def make(here: Path) -> Path:
        store, kept = samples.store_at(here), samples.in_blocks()
        value = kept if setting is None else object_masks_of(kept, samples.SETTING)
        return Path(store.write(key, value, setting, inputs={}).path.path)

    def read(here: Path, data: bytes) -> Any:
        del data
        value, record = codec.read(samples.store_at(here).path(key, setting), part=part)
        return codec.describe(value) and None if record is None else value

    return Subject(
        name, share, mutations.of_hdf5, make, read, has_digest=True, is_equal=samples.equal
    )


def _make_source(here: Path) -> Path:
    path = here / "file.csv"
    path.write_bytes(b"content")
    digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    record = source_record.SourceRecord(
        repository="someone/atlas", revision=_SHA, path=path.name, sha256=digest, size=7
    )
    source_record.write(path, record)
    return here / FOLDER / "file.csv.source.json"


def _read_source(here: Path, data: bytes) -> Any:
    del data
    return source_record.read(here / "file.csv")


def _manifest() -> Manifest:
    files = [
        FileRecord(
            path=ARTIFACTS[key].filename,
            sha256="c" * 64,
            size=3,
            blob_id="b" * 40,
            asset=key,
            provenance=samples.provenance(key) if key == "summary" else None,
        )
        for key in ("summary", "object_prompts")
    ]
    return manifest_of(files, [("model", "embedded"), ("readout", "last_token")])


def _make_manifest(here: Path) -> Path:
    (here / "atlas.json").write_bytes(_manifest().to_bytes())
    return here / "atlas.json"


def _read_manifest(here: Path, data: bytes) -> Any:
    return Manifest.from_bytes(data, where=str(here / "atlas.json")).version


def _settings(here: Path) -> AtlasSettings:
    return AtlasSettings.build(data_dir=str(here), name="atlas", model="someone/model")


def _make_pin(here: Path) -> Path:
    versions.seen(_settings(here), _SHA)
    versions.seen(_settings(here), "b" * 40)
    return Path(versions.pin_path(_settings(here)).path)


def _read_pin(here: Path, data: bytes) -> Any:
    del data
    return versions.pin_of(_settings(here))


def _make_card(here: Path) -> Path:
    front = "---\nlicense: mit\n# ours\ntags:\n- a\n- 'b'\nother: {x: [1, 2]}\n---\n"
    text = card.render(f"{front}# Title\n\n```py\nx = 1\n```\n", _manifest(), "someone/atlas")
    (here / card.NAME).write_text(text)
    return here / card.NAME


def _read_card(here: Path, data: bytes) -> Any:
    del here
    text = card.render(data.decode("utf-8", "surrogateescape"), _manifest(), "someone/atlas")
    return text.encode("utf-8", "surrogateescape")
