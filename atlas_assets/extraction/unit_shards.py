"""A pass whose sums stay on disk: each shard of whole units is run, added up and written at once.

Readouts of a large atlas (`stored.is_large`) do not fit one process. Its units are cut into shards
of units that share no prompt, by the prompts, layers and width alone. Whoever runs a shard, this
process or a worker, adds it up and writes it to the folder for unfinished work, which they share;
what comes back are the losses and a digest, which goes into the manifest beside the shards. So
neither the result nor the memory that this process takes depends on how many workers there are or
on how many units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from atlas_assets.errors import EngineError
from atlas_assets.extraction import plain_pass, tree_pass
from atlas_assets.extraction.engine import THREADS
from atlas_assets.extraction.passes import Doubles, Pass, Readout, UnitSums
from atlas_assets.extraction.prompts import IntArray, UnitPrompts, cut_into_shards
from atlas_assets.extraction.shard_manifest import Entry, Manifest
from atlas_assets.extraction.shards import Arrays, ShardStore, digest_of, write_shard
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress, Track

#: distinct prompts after which a shard is full, and the most bytes that its sums and counts take
#: while they are added up, unless units that share prompts take more
SHARD_PROMPTS, SHARD_BYTES = 16_384, 1 << 28
#: raise it when the plan changes
PLAN_VERSION = 1
#: bytes of a sum in float64 and a count
_ADDED_UP = 12
#: the losses of a shard, and the digest of its file
_Written = tuple[Doubles, npt.NDArray[np.uint8]]


def run(task: Pass, on_tree: bool) -> UnitSums:
    """Run a pass shard by shard; those that are written already are not run again.

    Raises:
        EngineError: workers do not write to that folder.
    """
    store = task.store(f"unit shards {PLAN_VERSION}, {SHARD_PROMPTS} prompts, {SHARD_BYTES} bytes")
    folder = store.opened()
    manifest = Manifest(folder)
    units, layers, width = task.shape
    places = np.zeros((units, 2), np.int64)
    paths: list[Path] = []
    losses = np.zeros(task.n_losses)
    number_of = {name: unit for unit, name in enumerate(task.prompts.names)}

    def shards() -> Iterator[_Shard]:
        """Give the shards that are not written, and take up the losses of the others."""
        most = max(1, SHARD_BYTES // (_ADDED_UP * layers * width))
        for number, prompts in enumerate(cut_into_shards(task.prompts, SHARD_PROMPTS, most)):
            shard = _Shard(f"{number:05d}", prompts.distinct, prompts.compact())
            chosen = [number_of[name] for name in prompts.names]
            places[chosen] = np.stack(
                [np.full(len(chosen), number), np.arange(len(chosen))], axis=1
            )
            paths.append(folder / f"{shard.key}.safetensors")
            done = store.get(shard.key, like=_nothing(replace(task, prompts=shard.prompts)))
            digest = digest_of(paths[-1]) if done else None
            if done is None or digest is None or not manifest.fits(shard.key, digest):
                yield shard
            else:
                keep(shard, done["losses"], digest)
                task.track.skip(len(shard.rows))

    def keep(shard: _Shard, found: Doubles, digest: str) -> None:
        manifest.enter(shard.key, Entry(len(shard.prompts.names), len(shard.rows), digest))
        if task.scored:
            losses[np.searchsorted(task.prompts.distinct, shard.rows)] = found

    def take(shard: _Shard, result: _Written) -> None:
        found, digest = result[0], result[1].tobytes().hex()
        if digest_of(folder / f"{shard.key}.safetensors") != digest:
            raise EngineError(
                "a worker did not write what it added up where this process looks for it",
                where=str(folder / f"{shard.key}.safetensors"),
                expected="one folder for unfinished work, at the same path on all machines",
                found="no such file, or another one",
                remedy="set ATLAS_WORK_DIR to a folder that all of them share",
            )
        keep(shard, found, digest)

    def take_elsewhere(shard: _Shard, result: _Written) -> None:
        take(shard, result)
        task.track.advance(len(shard.rows))

    work = _AddUp(task.readout, task.scored, task.budget, task.tree, on_tree, folder)
    if task.engine is THREADS:
        # one shard at a time, on all cores; what a kill leaves of it is kept as in any pass
        notes = store.beside("under_way")
        for shard in shards():
            part = replace(task, prompts=shard.prompts, shards=notes)
            take(shard, work.add_up(part, shard))
    else:
        task.engine.run(task.model, work, shards(), take_elsewhere)
    files = tuple(paths)
    return UnitSums(
        InShards(files, "sums", places, (units, layers, width), np.dtype(np.float32)),
        InShards(files, "counts", places, (units, layers, width), np.dtype(np.int32)),
        losses,
    )


@dataclass(frozen=True, eq=False)
class InShards:
    """Values ``[units, layers, width]`` that lie in the files of shards.

    Attributes:
        files: of the shards.
        name: of the values in each of them.
        places: int64 ``[units, 2]``, the shard of each unit and its row in it.
        shape: of the values.
        dtype: of the values.
    """

    files: tuple[Path, ...]
    name: str
    places: IntArray
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, units: slice, /) -> npt.NDArray[Any]:
        places = self.places[units]
        values = np.empty((len(places), *self.shape[1:]), self.dtype)
        for shard in np.unique(places[:, 0]).tolist():
            (some,) = np.nonzero(places[:, 0] == shard)
            rows = places[some, 1]
            first = int(rows.min())
            with safe_open(self.files[shard], framework="numpy") as file:
                found = file.get_slice(self.name)[first : int(rows.max()) + 1]
            values[some] = found[rows - first]
        return values


@dataclass(frozen=True, eq=False)
class _Shard:
    """Some of the units.

    Attributes:
        key: the name of the shard.
        rows: int64 ``[distinct prompts]``, their rows of the table of the whole pass.
        prompts: the units, with a table of their own.
    """

    key: str
    rows: IntArray
    prompts: UnitPrompts


@dataclass(frozen=True)
class _AddUp:
    """Runs shards of a pass and writes each to a folder."""

    readout: Readout
    scored: bool
    budget: int
    tree: bool
    on_tree: bool
    folder: Path

    @contextmanager
    def on(self, model: LoadedModel) -> Iterator[Callable[[_Shard], _Written]]:
        def run(shard: _Shard) -> _Written:
            # a worker says nothing of its progress, and keeps nothing before a shard is done
            silent = Track(Progress("adding up"), len(shard.rows), None)
            asked = (self.readout, self.scored, self.budget, ShardStore(None, "0" * 8), silent)
            return self.add_up(Pass(model, shard.prompts, *asked, tree=self.tree), shard)

        yield run

    def add_up(self, task: Pass, shard: _Shard) -> _Written:
        """Run a shard and write it; return its losses and the digest of the file's content."""
        done = tree_pass.run(task) if self.on_tree else plain_pass.run(task)
        arrays = {"sums": done.sums, "counts": done.counts, "losses": done.losses}
        whole = {name: np.asarray(array) for name, array in arrays.items()}
        digest = write_shard(self.folder / f"{shard.key}.safetensors", whole)
        return done.losses, np.frombuffer(bytes.fromhex(digest), np.uint8)


def _nothing(task: Pass) -> Arrays:
    """Return arrays of the shapes and dtypes of a shard, with undefined values."""
    return {
        "sums": np.empty(task.shape, np.float32),
        "counts": np.empty(task.shape, np.int32),
        "losses": np.empty(task.n_losses),
    }
