"""Values that were read from files, kept to be handed over again while the files do not change."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from upath import UPath

from atlas_assets.files.locations import State, file_state
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.masks.masks import ObjectMasks
from atlas_assets.stages.masks.packed import PackedMasks

Value = TypeVar("Value")
#: how many values are kept
_MOST = 128
#: bytes of the arrays of a value that is kept, at most
_SMALL = 2**24
#: bytes of the arrays and tables of all values that a store keeps, at most
MOST_BYTES = 2**28
#: nanoseconds: two changes of a file within so long may leave it the same times
_GRAIN = 20_000_000


@dataclass(frozen=True)
class States:
    """The `file_state` of each of some files, and whether all of them had been so for a moment.

    A file that has changed just now may change again without showing it in its times.
    """

    of_files: tuple[State | None, ...]
    settled: bool = field(default=True, compare=False)


class Held(NamedTuple, Generic[Value]):
    """A value, which may be None, of files in these states."""

    states: States
    value: Value


class Kept(Generic[Value]):
    """The values of files, by any name; those put in first go first.

    Args:
        most_bytes: of the arrays and tables of all of them; a value of more is not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._held: dict[Hashable, Held[Value]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._most_bytes = most_bytes
        self._changing = threading.Lock()

    def of(self, name: Hashable, states: States) -> Held[Value] | None:
        """Return what is kept under a name, if it is of files in these states."""
        held = self._held.get(name)
        return held if held is not None and held.states == states else None

    def put(self, name: Hashable, states: States, value: Value) -> None:
        """Keep a value that files in these states hold, if these are known and settled."""
        if not states.settled or None in states.of_files:
            return
        size = _size_of(value)
        with self._changing:
            self._drop(name)
            if size > self._most_bytes:
                return
            self._held[name], self._sizes[name] = Held(states, value), size
            while len(self._held) > _MOST or sum(self._sizes.values()) > self._most_bytes:
                self._drop(next(iter(self._held)))

    def _drop(self, name: Hashable) -> None:
        self._held.pop(name, None)
        self._sizes.pop(name, None)


def states_of(files: Sequence[UPath | Path]) -> States:
    """Return the state of each file."""
    now, found = time.time_ns(), tuple(map(file_state, files))
    return States(found, all(state is None or _is_settled(state, now) for state in found))


def _is_settled(state: State, now: int) -> bool:
    """Of a remote file its store tells a digest; of a local one the last is the time it changed."""
    changed = state[-1]
    return isinstance(changed, str) or now - changed > _GRAIN


def is_small(value: Any) -> bool:
    """Whether a value is in memory, and its arrays small enough for it to be kept (16 MiB)."""
    blocks = value.pairs if isinstance(value, ObjectMasks) else value
    in_memory = not isinstance(blocks, StoredActivations | PackedMasks)
    return in_memory and sum(array.nbytes for array in _arrays_of(value)) <= _SMALL


def read_only(value: Any) -> Any:
    """Return the value, whose arrays nobody can write to any more."""
    for array in _arrays_of(value):
        array.flags.writeable = False
    return value


def _size_of(value: Any) -> int:
    """Bytes of what a value holds, as far as it is arrays or a table."""
    if isinstance(value, pl.DataFrame):
        return int(value.estimated_size())
    return sum(array.nbytes for array in _arrays_of(value))


def _arrays_of(value: Any) -> Iterator[npt.NDArray[Any]]:
    if isinstance(value, np.ndarray):
        yield value
        return
    parts = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    for part in parts.values():
        yield from _arrays_of(part)


def readers_own(value: Any) -> Any:
    """Return the value; of a table or a mapping in it a copy, which its reader may change."""
    if isinstance(value, pl.DataFrame):
        return value.clone()
    mappings = {
        name: dict(part)
        for name, part in getattr(value, "__dict__", {}).items()
        if isinstance(part, dict)
    }
    if not mappings:
        return value
    own = copy(value)
    vars(own).update(mappings)
    return own
