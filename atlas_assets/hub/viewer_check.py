"""Loads every configuration of a repository with ``datasets``, as its users do, and reports.

Run as a program of its own (`atlas_assets.hub.verify` does): caches, credentials and the Hub's
address are then its own, and nothing of ``datasets`` stays behind in the process that publishes.
Standard input holds, as a JSON list, the file that the report (JSON) is written to, the repository
or folder, and the revision.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from atlas_assets.hub.viewer import SPLIT, RowsDigest
from atlas_assets.hub_client.transport import install

_BATCH = 1000


def main(report: str, source: str, revision: str | None) -> None:
    """Write what ``datasets`` makes of the repository (or folder) ``source`` to a file.

    ``{"default": name, "tables": {name: {"full": …, "streaming": …}}}``, each of the two with
    splits, rows, columns and digest, or with an error.
    """
    import datasets

    # no request without a timeout
    install()
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    names = datasets.get_dataset_config_names(source, revision=revision)
    ways = {"full": False, "streaming": True}
    tables = {
        name: {how: _loaded(source, name, revision, streaming) for how, streaming in ways.items()}
        for name in names
    }
    default = datasets.get_dataset_default_config_name(source, revision=revision)
    found = json.dumps({"default": default, "tables": tables})
    Path(report).write_text(found, encoding="utf-8")
    # Past Python's own end of the process: a thread of Arrow's that still reads ahead in a stream
    # (of a damaged table, say) would abort it there, report or no report.
    os._exit(0)


def _loaded(source: str, name: str, revision: str | None, streaming: bool) -> dict[str, Any]:
    import datasets

    rows = RowsDigest()
    try:
        found = datasets.load_dataset(source, name, revision=revision, streaming=streaming)
        table = found[SPLIT]
        columns = {column: _dtype(feature) for column, feature in table.features.items()}
        for batch in table.iter(batch_size=_BATCH):
            rows.add(zip(*(batch[column] for column in columns), strict=True))
    except Exception as error:  # the report says whatever went wrong, in any library
        return {"error": f"{type(error).__name__}: {error}"}
    splits = sorted(map(str, found))
    return {"splits": splits, "rows": rows.count, "columns": columns, "digest": rows.hex}


def _dtype(feature: Any) -> str:
    """``Value("int64")`` → ``int64``; ``List(Value("int32"))`` → ``list<int32>``."""
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return f"list<{_dtype(inner)}>"
    return str(getattr(feature, "dtype", feature))


if __name__ == "__main__":
    main(*json.load(sys.stdin))
