"""The program that reads foreign files for other processes, so that harm is done to it alone.

`storage.trust` starts it and sends requests on standard input, each a line (format, seconds, bytes
of memory, length) and then the content. For each it reads all that is in the content and answers
``done`` where that was in order, or else with the error that says what is wrong with it, as JSON in
a line: the asking process does not look into such a content, since it is not known what would have
come after the error. ``memory`` means that the memory did not suffice. No answer means that this
process is gone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from atlas_assets.errors import AtlasError, unsound
from atlas_assets.files.locations import label

#: seconds without a request after which the process ends
IDLE = 30


def main() -> None:
    """Answer requests until there are none."""
    # the libraries are loaded before any limit is set
    import atlas_assets.storage.codecs  # noqa: F401
    from atlas_assets.storage import trust

    trust.examine_nothing()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    requests = os.fdopen(os.dup(0), "rb")
    while select.select([requests], [], [], IDLE)[0]:
        line = requests.readline()
        if not line.endswith(b"\n"):
            return
        kind, *numbers = line.split()
        seconds, memory, length = map(int, numbers)
        data = requests.read(length)
        if len(data) < length:
            return
        answers.write(_read(kind.decode(), data, seconds, memory))


def _read(kind: str, data: bytes, seconds: int, memory: int) -> bytes:
    """Read a whole content within the limits; return the answer."""
    _limit(seconds, memory)
    try:
        if kind in _READERS:  # the others are texts, which Python alone reads
            _READERS[kind](data)
    except MemoryError:
        return b"memory\n"
    except (KeyboardInterrupt, SystemExit):
        raise
    except AtlasError as error:
        return _told(error)
    except BaseException as error:  # polars raises one that is no Exception
        found = (str(error).splitlines() or [type(error).__name__])[0]
        what, expected = f"the {kind} file is damaged", f"a complete {kind} file"
        return _told(unsound(what, label(data), expected, found))
    return b"done\n"


def _told(error: AtlasError) -> bytes:
    """The answer that says an error; HDF5 speaks of too little memory as of other damage."""
    if re.search("memory|alloc", error.found or "", re.IGNORECASE):
        return b"memory\n"
    names = ("what", "where", "expected", "found", "remedy")
    told = {name: getattr(error, name) for name in names}
    return json.dumps({"kind": type(error).__name__, **told}).encode() + b"\n"


def _limit(seconds: int, memory: int) -> None:
    """Allow this much more processor time and memory, where the system knows such limits."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))


def _hdf5(data: bytes) -> None:
    from atlas_assets.storage.hdf5.reader import Hdf5Reader

    with Hdf5Reader(data) as file:
        file.read_all()


def _parquet(data: bytes) -> None:
    import polars as pl

    pl.read_parquet_metadata(io.BytesIO(data))
    pl.read_parquet(io.BytesIO(data))


def _csv(data: bytes) -> None:
    from atlas_assets.storage.tables import rows_of_csv

    rows_of_csv(data, label(data))


def _png(data: bytes) -> None:
    from atlas_assets.stages.figures.drawing import flaw_of_png

    flaw_of_png(data)


_READERS: Mapping[str, Callable[[bytes], None]] = {
    "hdf5": _hdf5,
    "parquet": _parquet,
    "csv": _csv,
    "png": _png,
}

if __name__ == "__main__":
    main()
