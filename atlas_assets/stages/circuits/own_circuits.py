"""A user's own circuits: a parquet file that ``ATLAS_CIRCUITS`` names, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from atlas_assets.errors import ArtifactError, SettingsError
from atlas_assets.stages.circuits import circuits
from atlas_assets.stages.concepts import near_matches, split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts.own_file import POLARS_ERRORS, bytes_of, parquet_of

#: rows at most: every neuron of a hundred circuits of a large model
MOST_ROWS = 50_000_000
_NUMBER = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_TYPES = {
    "concept": ("text", (pl.String, pl.Categorical, pl.Enum)),
    "layer": ("whole numbers", _NUMBER),
    "neuron": ("whole numbers", _NUMBER),
}


def read_own(file: str, like: Masks) -> Masks:
    """Return the circuits in a file, empty for concepts that it does not name.

    Args:
        file: A parquet file with the columns ``concept`` (text), ``layer`` and ``neuron`` (whole
            numbers, from 0); other columns are left aside, rows may be in any order.
        like: Circuits of the atlas, whose concepts, layers and width are known.

    Raises:
        SettingsError: The file cannot be read, is too large, or is not of that form.
        ArtifactError: It is not about this atlas's concepts, layers and neurons.
    """
    return circuits.from_table(table_of(file), like, where=str(Path(file).expanduser()))


def table_of(file: str) -> pl.DataFrame:
    """Return the rows of a file of circuits, whose form is examined and nothing else.

    Returns:
        ``concept``, ``layer``, ``neuron``, as `circuits.SCHEMA` has them, in the file's order.

    Raises:
        SettingsError: The file cannot be read, is too large, or is not of that form.
    """
    path = Path(file).expanduser()
    data = parquet_of(bytes_of(path, SettingsError, _refused), path, _refused)
    try:
        schema = pl.read_parquet_schema(data)
        for name, (wanted, types) in _TYPES.items():
            if name not in schema:
                raise _refused(path, f"a column {name!r}", f"the columns {', '.join(schema)}")
            if not isinstance(schema[name], types):
                raise _refused(f"{path}, column {name!r}", wanted, f"type {schema[name]}")
        height = pl.scan_parquet(data).select(pl.len()).collect().item()
        if height > MOST_ROWS:
            raise _refused(path, f"at most {MOST_ROWS:,} rows", f"{height:,}")
        as_read = pl.read_parquet(data, columns=list(_TYPES))
    except POLARS_ERRORS as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refused(path, "a complete parquet file", found) from error
    try:
        table = as_read.cast(circuits.SCHEMA.polars)
    except POLARS_ERRORS as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refused(path, "layers and neurons by their numbers, from 0", found) from error
    for flaw, broken in (
        ("a value in every row", pl.any_horizontal(pl.all().is_null())),
        ("every neuron of a circuit once", ~pl.struct(pl.all()).is_first_distinct()),
    ):
        row = table.select(broken).to_series().arg_max() if table.height else None
        if row is not None and table.select(broken).to_series()[row]:
            raise _refused(f"{path}, row {row} (from 0)", flaw, repr(table.row(row)))
    return table


def require_concepts(table: pl.DataFrame, concepts: Iterable[str], *, where: str) -> None:
    """Refuse the rows of `table_of` that are of a concept that is none of ``concepts``.

    Raises ArtifactError, which names the one that may be meant.
    """
    known = sorted(concepts)
    # without what it begins with, as commands take it
    meant = {split_concept(name)[1].lower(): name for name in known}
    for name in table["concept"].unique().sort():
        if name not in known:
            near = [meant[name.lower()]] if name.lower() in meant else near_matches(name, known)
            raise ArtifactError(
                "the circuits are not about this atlas",
                where=f"{Path(where).expanduser()}, column 'concept'",
                expected=f"a concept of the atlas, as {known[0]!r}",
                found=repr(name),
                remedy=(f"did you mean {' or '.join(near)}? " if near else "")
                + "Correct the file, or name another one in ATLAS_CIRCUITS",
            )


def _refused(where: object, expected: str, found: str) -> SettingsError:
    return SettingsError(
        "the file of circuits cannot be read",
        where=str(where),
        expected=expected,
        found=f"{found:.300}",
        remedy="correct the file that ATLAS_CIRCUITS names, which has the columns concept, layer "
        "and neuron (docs/yardsticks.md)",
    )
