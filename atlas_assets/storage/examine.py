"""The program that reads foreign files for other processes, so that harm is done to it alone.

`storage.trust` starts it and sends requests on standard input, each a length (4 bytes) and then
format, seconds, bytes of memory and path, separated by NUL. For each it reads all that is in the
file and answers ``done``, whether the file was in order or a Python error said what is wrong with
it: the asking process will say so better. ``memory`` means that the memory did not suffice. No
answer means that this process is gone.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

#: seconds without a request after which the process ends
IDLE = 30


def main() -> None:
    """Answer requests until there are none."""
    # the libraries are loaded before any limit is set
    import atlas_assets.storage.codecs  # noqa: F401
    from atlas_assets.storage import trust

    trust.examine_nothing()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    while select.select([requests], [], [], IDLE)[0]:
        length = requests.read(4)
        if not length or len(length) < 4:
            return
        request = b""
        while len(request) < int.from_bytes(length, "big"):
            request += requests.read(int.from_bytes(length, "big") - len(request)) or b""
        kind, seconds, memory, path = os.fsdecode(request).split("\0")
        answers.write(_read(kind, Path(path), int(seconds), int(memory)))


def _read(kind: str, path: Path, seconds: int, memory: int) -> bytes:
    """Read a whole file within the limits; return the answer."""
    _limit(seconds, memory)
    try:
        _READERS.get(kind, _bytes)(path)
    except MemoryError:
        return b"memory\n"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # of a damaged parquet file polars raises one that is no Exception
        return b"done\n"  # the asking process meets the same error and says what it is about
    return b"done\n"


def _limit(seconds: int, memory: int) -> None:
    """Allow this much more processor time and memory, where the system knows such limits."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))


def _hdf5(path: Path) -> None:
    import h5py

    from atlas_assets.storage.hdf5 import structure
    from atlas_assets.storage.hdf5.heaps import require_heaps_that_end

    require_heaps_that_end(path)
    with h5py.File(path, "r", locking=False) as file:
        most, groups, seen = structure.most_values(file.id), [file.id], set()
        while groups:
            group = groups.pop()
            address = h5py.h5o.get_info(group).addr
            if address in seen:  # a group may be a member of itself
                continue
            seen.add(address)
            dict(h5py.Group(group).attrs)
            for name in map(str.encode, structure.names(group)):
                if h5py.h5o.get_info(group, name).type == h5py.h5o.TYPE_GROUP:
                    groups.append(h5py.h5g.open(group, name))
                    continue
                dataset = h5py.Dataset(structure.dataset(group, name)[0])
                structure.require_room(dataset.shape, dataset.dtype, most)
                dict(dataset.attrs)
                dataset[()]


def _parquet(path: Path) -> None:
    import polars as pl

    data = path.read_bytes()
    pl.read_parquet_metadata(io.BytesIO(data))
    pl.read_parquet(io.BytesIO(data))


def _csv(path: Path) -> None:
    text = path.read_bytes().decode("utf-8-sig")
    # all rows at once, as the table's reader has them
    list(csv.reader(io.StringIO(text, newline=""), strict=True))


def _png(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()


def _bytes(path: Path) -> None:
    path.read_bytes()


_READERS: Mapping[str, Callable[[Path], None]] = {
    "hdf5": _hdf5,
    "parquet": _parquet,
    "csv": _csv,
    "png": _png,
}

if __name__ == "__main__":
    main()
    sys.exit(0)
