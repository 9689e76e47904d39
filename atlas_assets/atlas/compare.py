"""Two atlases side by side: opens both and gathers what `atlas_assets.atlas.diff` finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from atlas_assets.atlas import diff
from atlas_assets.files.locations import content
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.folder import file_names, settings_present
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.store import AtlasStore

FILES_SCHEMA = pl.Schema(
    {
        "file": pl.String(),
        "artifact": pl.String(),
        "epsilon": pl.Float64(),
        "consistency": pl.Float64(),
        "difference": pl.String(),
    }
)
#: values of ``files.difference``
ONLY_A, ONLY_B, DIFFERS, UNKNOWN = "only in a", "only in b", "differs", "not compared"


@dataclass(frozen=True, eq=False)
class AtlasDiff:
    """What differs between two atlases; every frame is empty where nothing does.

    Attributes:
        made_with: ``field``, ``a``, ``b``: model, readout, grid, settings, shape, origin, and the
            code version of every artifact that both have; null where it is not recorded.
        files: ``file``, ``artifact``, ``epsilon``, ``consistency``, ``difference``: one of
            ``only in a``, ``only in b``, ``differs`` (its content does) and ``not compared`` (HDF5
            files of the release record no digest of their content).
        circuits: per common setting, how many of the concepts' circuits changed and by how many
            neurons; one row per setting whether or not something changed.
        neurons: per setting, concept and layer whose circuit changed: sizes, neurons gained and
            lost (numbers, and the neurons themselves), Jaccard.
        concepts: per setting, the concepts that only one of them has.
        claims: the published claims whose verdict or value differs; ``None`` if not evaluated.
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
    """Compares two atlases, ``b`` against ``a``.

    Args:
        a: the earlier, or the reference.
        b: the other.
        claims: whether to evaluate the published claims on both.

    Raises:
        ArtifactError: a file of theirs is damaged.
    """
    common = _common_settings(a, b)
    left, right = ({s: _universal(store, s) for s in common} for store in (a, b))
    obstacle = _obstacle(a, left, b, right)
    parts = [] if obstacle else [diff.masks(s, left[s], right[s]) for s in common]
    return AtlasDiff(
        made_with=_made_with(a, left, b, right),
        files=_files(a, b),
        circuits=_concatenated(diff.CIRCUITS_SCHEMA, [part.circuits for part in parts]),
        neurons=_concatenated(diff.NEURONS_SCHEMA, [part.neurons for part in parts]),
        concepts=_concatenated(diff.CONCEPTS_SCHEMA, [part.concepts for part in parts]),
        claims=_claims(a, b) if claims else None,
        not_comparable=obstacle,
    )


def _common_settings(a: AtlasStore, b: AtlasStore) -> tuple[Setting, ...]:
    return tuple(sorted(set(_settings(a)) & set(_settings(b))))


def _obstacle(
    a: AtlasStore, masks_a: Mapping[Setting, Masks], b: AtlasStore, masks_b: Mapping[Setting, Masks]
) -> str | None:
    """What keeps the circuits from being compared; nothing where neither has any."""
    if not masks_a and (_settings(a) or _settings(b)):
        return "they have no setting in common"
    shapes_a, shapes_b = _shapes(masks_a), _shapes(masks_b)
    if shapes_a == shapes_b and len(shapes_a) < 2:
        return None
    return f"{', '.join(shapes_a)} in a, {', '.join(shapes_b)} in b"


def _settings(store: AtlasStore) -> tuple[Setting, ...]:
    return settings_present(store.root, "object_masks")


def _universal(store: AtlasStore, setting: Setting) -> Masks:
    masks: Masks = store.read("object_masks", setting, part="universal").universal
    return masks


def _shapes(masks: Mapping[Setting, Masks]) -> list[str]:
    return sorted({f"{m.n_layers} layers of {m.width} neurons" for m in masks.values()})


def _made_with(
    a: AtlasStore,
    masks_a: Mapping[Setting, Masks],
    b: AtlasStore,
    masks_b: Mapping[Setting, Masks],
) -> pl.DataFrame:
    records_a, records_b = _provenances(a), _provenances(b)
    both = sorted(records_a.keys() & records_b.keys())
    described = [
        {
            "settings": "; ".join(map(str, _settings(store))),
            "shape": "; ".join(_shapes(masks)),
            "origin": "; ".join(sorted({r.origin if r else "release" for r in records.values()})),
            **_lineage(records.values()),
            **{f"code version of {key}": _code_version(records[key]) for key in both},
        }
        for store, masks, records in ((a, masks_a, records_a), (b, masks_b, records_b))
    ]
    return diff.fields(*({f: v or None for f, v in one.items()} for one in described))


def _provenances(store: AtlasStore) -> dict[str, Provenance | None]:
    """Of the first file of every artifact that has one."""
    found = {}
    for key, artifact in ARTIFACTS.items():
        settings = settings_present(store.root, key) if artifact.partitioned else (None,)
        for setting in settings[:1]:
            if store.exists(key, setting):
                found[key] = store.provenance(key, setting)
    return found


def _code_version(provenance: Provenance | None) -> str | None:
    return provenance.code_version if provenance else None


def _lineage(provenances: Iterable[Provenance | None]) -> dict[str, str | None]:
    """What the files say of the computation, by dotted field; the first that knows speaks."""
    known: dict[str, str | None] = {}
    for provenance in provenances:
        if provenance is not None and provenance.lineage is not None:
            for field, value in _leaves(provenance.lineage.model_dump(mode="json")):
                known[field] = known.get(field) or value
    return known


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
            at = (setting.epsilon, setting.consistency) if setting else (None, None)
            rows.append((name, artifact.key, *at, difference))
    return pl.DataFrame(rows, schema=FILES_SCHEMA, orient="row")


def _difference(a: AtlasStore, b: AtlasStore, key: str, setting: Setting | None) -> str | None:
    one, two = a.provenance(key, setting), b.provenance(key, setting)
    if one and two:
        return None if one.payload_sha256 == two.payload_sha256 else DIFFERS
    left, right = content(a.path(key, setting)), content(b.path(key, setting))
    if left == right:
        return None
    if ARTIFACTS[key].kind not in ("csv", "parquet"):
        return UNKNOWN
    same = a.read(key, setting).equals(b.read(key, setting))
    return None if same else DIFFERS


def _claims(a: AtlasStore, b: AtlasStore) -> pl.DataFrame:
    # brings the whole analysis along, which a comparison without claims does not need
    from atlas_assets.soundness.evaluate import evaluate_claims

    return diff.claims(evaluate_claims(a), evaluate_claims(b))


def _concatenated(schema: pl.Schema, frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([schema.to_frame(), *frames])
