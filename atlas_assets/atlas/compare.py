"""What differs between two atlases, ``b`` against ``a``.

Of one circuit (concept and layer, at one setting), the neurons *gained* are those of ``b`` that
``a`` lacks, ``b ∖ a``; those *lost* are ``a ∖ b``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from atlas_assets.files.locations import content
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage.folder import file_names, partitions_present, settings_present
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.store import AtlasStore

if TYPE_CHECKING:
    from atlas_assets.stages.report.claims import ClaimResult

#: values of ``files.difference``
ONLY_A, ONLY_B, DIFFERS, UNKNOWN = "only in a", "only in b", "differs", "not compared"

_NAMED = {"field": pl.String(), "a": pl.String(), "b": pl.String()}
_SETTING = {"epsilon": pl.Float64(), "consistency": pl.Float64()}
_FILES = {"file": pl.String(), "artifact": pl.String(), **_SETTING, "difference": pl.String()}
_CIRCUITS = {
    **_SETTING,
    **dict.fromkeys(("concepts", "circuits", "changed", "gained", "lost"), pl.Int64()),
    "mean_jaccard": pl.Float64(),
}
_NEURONS = {
    **_SETTING,
    "concept": pl.String(),
    "type": pl.String(),
    **dict.fromkeys(("layer", "size_a", "size_b", "gained", "lost"), pl.Int64()),
    "jaccard": pl.Float64(),
    **dict.fromkeys(("neurons_gained", "neurons_lost"), pl.List(pl.Int32())),
}
_CONCEPTS = {**_SETTING, "concept": pl.String(), "only_in": pl.String()}
_CLAIMS = {
    **dict.fromkeys(("id", "statement", "expected", "observed_a", "observed_b"), pl.String()),
    **dict.fromkeys(("holds_a", "holds_b", "flips"), pl.Boolean()),
}


@dataclass(frozen=True, eq=False)
class AtlasDiff:
    """What differs between two atlases; every frame but ``circuits`` is empty where nothing does.

    Attributes:
        made_with: ``field``, ``a``, ``b``: model, readout, grid, settings, shape, origin, and the
            code version of every artifact that both have; null where it is not recorded.
        files: ``file``, ``artifact``, ``epsilon``, ``consistency``, ``difference``: one of
            ``only in a``, ``only in b``, ``differs`` (its content does) and ``not compared`` (HDF5
            files of the release record no digest of their content).
        circuits: one row per common setting: ``concepts`` in both, their ``circuits`` (concept ×
            layer), how many ``changed``, neurons ``gained`` and ``lost`` in all, and
            ``mean_jaccard`` of all circuits (1 for a circuit that is empty in both).
        neurons: one row per circuit that changed, by setting, concept and layer: sizes, neurons
            gained and lost (numbers, and the neurons themselves), Jaccard.
        concepts: ``concept``, ``only_in``: per setting, the concepts that only one of them has.
        claims: the published claims whose verdict or value differs; a claim ``flips`` when it
            holds in one atlas and not in the other. ``None`` if the claims were not evaluated.
        not_comparable: why the circuits could not be compared, if so.
    """

    made_with: pl.DataFrame
    files: pl.DataFrame
    circuits: pl.DataFrame
    neurons: pl.DataFrame
    concepts: pl.DataFrame
    claims: pl.DataFrame | None
    not_comparable: str | None

    @property
    def identical(self) -> bool:
        """Whether nothing was found to differ."""
        frames = [getattr(self, field.name) for field in fields(self) if field.name != "circuits"]
        differences = [frame for frame in frames if isinstance(frame, pl.DataFrame)]
        return self.not_comparable is None and all(frame.is_empty() for frame in differences)


def compare(a: AtlasStore, b: AtlasStore, *, claims: bool = True) -> AtlasDiff:
    """Compare two atlases, ``b`` against ``a``; with ``claims``, also what they show of each claim.

    Raises ArtifactError where a file of an atlas is damaged.
    """
    there = [settings_present(store.root, "object_masks") for store in (a, b)]
    common = sorted(set.intersection(*map(set, there)))
    universal = [{at: _universal(store, at) for at in common} for store in (a, b)]
    shapes = [_shapes(masks.values()) for masks in universal]
    obstacle = None
    if any(there) and not common:
        obstacle = "they have no setting in common"
    elif shapes[0] != shapes[1] or len(shapes[0]) > 1:
        obstacle = f"{', '.join(shapes[0])} in a, {', '.join(shapes[1])} in b"
    pairs = [] if obstacle else [(at, universal[0][at], universal[1][at]) for at in common]
    circuits, neurons, concepts = compare_masks(pairs)
    records = [_records(store) for store in (a, b)]
    both = sorted(records[0].keys() & records[1].keys())
    sides = zip(there, shapes, records, map(_origins, (a, b)), strict=True)
    left, right = (_made_with(*side, both) for side in sides)
    return AtlasDiff(
        made_with=_differing(left, right),
        files=_files(a, b),
        circuits=circuits,
        neurons=neurons,
        concepts=concepts,
        claims=_evaluated(a, b) if claims else None,
        not_comparable=obstacle,
    )


def compare_masks(
    pairs: Sequence[tuple[Setting, Masks, Masks]],
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Compare universal masks of one number of layers and one width, setting by setting.

    The result is ``circuits``, ``neurons`` and ``concepts`` of `AtlasDiff`.
    """
    return (
        _frame(_CIRCUITS, (_totals(*pair) for pair in pairs)),
        _frame(_NEURONS, (row for pair in pairs for row in _changed(*pair))),
        _frame(_CONCEPTS, (row for pair in pairs for row in _unshared(*pair))),
    )


def _frame(schema: Mapping[str, pl.DataType], rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=pl.Schema(schema), orient="row")


def _universal(store: AtlasStore, setting: Setting) -> Masks:
    masks: Masks = store.read("object_masks", setting, part="universal").universal
    return masks


def _shapes(masks: Iterable[Masks]) -> list[str]:
    return sorted({f"{m.n_layers} layers of {m.width} neurons" for m in masks})


def _totals(setting: Setting, a: Masks, b: Masks) -> tuple[Any, ...]:
    """The row of ``circuits`` at a setting."""
    common = sorted(set(a.names) & set(b.names))
    left, right = a.select(common).bits, b.select(common).bits
    shared, union = (left & right).sum(axis=2), (left | right).sum(axis=2)
    similarity = np.divide(shared, union, out=np.ones(shared.shape), where=union > 0)
    return (
        *(setting.epsilon, setting.consistency, len(common), shared.size),
        int((shared != union).sum()),
        *(int((right & ~left).sum()), int((left & ~right).sum())),
        float(similarity.mean()) if similarity.size else None,
    )


def _changed(setting: Setting, a: Masks, b: Masks) -> Iterator[tuple[Any, ...]]:
    """The rows of ``neurons`` at a setting."""
    for name in sorted(set(a.names) & set(b.names)):
        for layer, pair in enumerate(
            zip(a.bits[a.index(name)], b.bits[b.index(name)], strict=True)
        ):
            left, right = pair
            gained, lost = np.flatnonzero(right & ~left), np.flatnonzero(left & ~right)
            if len(gained) or len(lost):
                yield (
                    *(setting.epsilon, setting.consistency, name, split_concept(name)[0], layer),
                    *(int(left.sum()), int(right.sum()), len(gained), len(lost)),
                    float((left & right).sum() / (left | right).sum()),
                    *(gained.tolist(), lost.tolist()),
                )


def _unshared(setting: Setting, a: Masks, b: Masks) -> Iterator[tuple[Any, ...]]:
    """The rows of ``concepts`` at a setting."""
    for name in sorted(set(a.names) ^ set(b.names)):
        yield setting.epsilon, setting.consistency, name, "a" if name in a.names else "b"


def _records(store: AtlasStore) -> dict[str, Provenance | None]:
    """The record of the first file of every artifact that has one."""
    return {key: store.provenance(key, setting) for key, setting in _first_cells(store)}


def _origins(store: AtlasStore) -> set[str]:
    return {store.origin(key, setting) for key, setting in _first_cells(store)}


def _first_cells(store: AtlasStore) -> Iterator[tuple[str, Partition | None]]:
    for key, artifact in ARTIFACTS.items():
        settings = partitions_present(store.root, key) if artifact.partitioned else (None,)
        for setting in settings[:1]:
            if store.exists(key, setting):
                yield key, setting


def _made_with(
    settings: Sequence[Setting],
    shapes: Sequence[str],
    records: Mapping[str, Provenance | None],
    origins: Iterable[str],
    both: Sequence[str],
) -> dict[str, str | None]:
    """What the files of an atlas say of their making; of the computation, the first that knows."""
    known: dict[str, str | None] = {
        "settings": "; ".join(map(str, settings)),
        "shape": "; ".join(shapes),
        "origin": "; ".join(sorted(origins)),
        **{f"code version of {key}": r.code_version for key in both if (r := records[key])},
    }
    for record in records.values():
        if record is not None and record.lineage is not None:
            for field, value in _leaves(record.lineage.model_dump(mode="json")):
                known[field] = known.get(field) or value
    return known


def _differing(a: Mapping[str, str | None], b: Mapping[str, str | None]) -> pl.DataFrame:
    """The fields that differ. An empty, an absent and a ``None`` value all count as not known."""
    rows = [(name, a.get(name) or None, b.get(name) or None) for name in sorted({**a, **b})]
    return _frame(_NAMED, [row for row in rows if row[1] != row[2]])


def _leaves(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, None if value is None else str(value)


def _files(a: AtlasStore, b: AtlasStore) -> pl.DataFrame:
    left, right = set(file_names(a.root)), set(file_names(b.root))
    rows = []
    for name in sorted(left | right):
        found = artifact_of_file(name)
        if found is None:
            continue
        artifact, setting = found
        if name in left and name in right:
            difference = _difference(a, b, artifact.key, setting)
        else:
            difference = ONLY_A if name in left else ONLY_B
        if difference is not None:
            at: tuple[float | None, float | None] = (None, None)
            if isinstance(setting, Setting):
                at = (setting.epsilon, setting.consistency)
            rows.append((name, artifact.key, *at, difference))
    return _frame(_FILES, rows)


def _difference(a: AtlasStore, b: AtlasStore, key: str, setting: Partition | None) -> str | None:
    one, two = a.provenance(key, setting), b.provenance(key, setting)
    if one and two:
        return None if one.payload_sha256 == two.payload_sha256 else DIFFERS
    if content(a.path(key, setting)) == content(b.path(key, setting)):
        return None
    if ARTIFACTS[key].schema is None:
        return UNKNOWN
    return None if a.read(key, setting).equals(b.read(key, setting)) else DIFFERS


def _evaluated(a: AtlasStore, b: AtlasStore) -> pl.DataFrame:
    # brings the whole analysis along, which a comparison without claims does not need
    from atlas_assets.soundness.evaluate import evaluate_claims

    return differing_claims(evaluate_claims(a), evaluate_claims(b))


def differing_claims(a: Iterable[ClaimResult], b: Iterable[ClaimResult]) -> pl.DataFrame:
    """The claims that come out differently on two atlases, as `AtlasDiff.claims`.

    They are in the order of ``a``, then come those that only ``b`` has.
    """
    left, right = {claim.id: claim for claim in a}, {claim.id: claim for claim in b}
    rows = []
    for name in {**left, **right}:
        one, two = left.get(name), right.get(name)
        said = one or two
        verdicts = (one.holds if one else None, two.holds if two else None)
        observed = (one.observed if one else None, two.observed if two else None)
        if said and (verdicts[0] != verdicts[1] or observed[0] != observed[1]):
            flips = None not in verdicts and verdicts[0] != verdicts[1]
            rows.append((name, said.statement, said.expected, *observed, *verdicts, flips))
    return _frame(_CLAIMS, rows)
