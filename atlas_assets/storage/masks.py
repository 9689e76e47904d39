"""The mask files of stage 13 (docs/science.md §3), and the standalone universal masks.

Layouts::

    13_object_masks_*.h5         /pair_masks/layer_L/{ast}__{builtin}          bool [width]
                                 /universal_masks/layer_L/{ast|builtin}__{name}  bool [width]
                                 /metrics/jaccard_{ast,builtin}_matrix  float64, layer 4
                                 /metadata  epsilon, consistency_thresh, n_pairs, n_layers, width;
                                            datasets ast_nodes, builtin_objs
    13_checker_masks_*.h5,       /token_checker_masks/layer_L/{concept}        bool [width]
    token_checker_masks.h5       /metadata  epsilon, consistency_threshold, n_layers, width
    universal_106x50.h5          /universal_masks and /metadata as in the object files

Where activations come in blocks of pairs (`activations.py`), the pair masks are eight in a byte, as
`numpy.packbits` gives them, and ``/metadata/units`` names the rows::

    13_object_masks_*.h5         /pair_masks/layer_L          uint8 [pairs, ceil(width / 8)]

Of own prompts, pairs are ``own__{concept}__{unit}``, concepts ``own__{concept}``, and there is one
matrix, ``jaccard_own_matrix``, and one list, ``own_concepts``.

All carry ``provenance`` and ``format_version`` in ``/metadata``. Files of the release lack these
and some of the counts and lists; the spelling of C varies; both are accepted on reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain

import numpy as np

from atlas_assets.errors import SettingsError, within
from atlas_assets.stages.activations.activations import payload_digest
from atlas_assets.stages.concepts import Kind, kinds_of
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks, published_layer
from atlas_assets.stages.masks.packed import PackedMasks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.hdf5.metadata import (
    CONSISTENCY_SPELLINGS,
    UNITS,
    Hdf5Codec,
    Metadata,
    concept_lists,
    read_setting,
    read_stacked,
    read_vectors,
    require_count,
    whole_number,
)
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import METADATA, Array, Hdf5Writer
from atlas_assets.storage.provenance import Provenance

UNIVERSAL = "universal"

_PAIRS, _UNIVERSALS, _CHECKERS = "pair_masks", "universal_masks", "token_checker_masks"
_LAYER = re.compile(r"layer_(\d+)")


class ObjectMasksFile(Hdf5Codec[ObjectMasks]):
    """Pair masks, universal masks and their Jaccard matrices at one setting.

    Its parts are ``universal``, which leaves the pair masks out, and every layer alone
    (`layer_part`): pair masks and universal masks of that layer, the only one they then have.
    """

    holds = ObjectMasks
    parts = (UNIVERSAL,)

    def check(self, value: ObjectMasks, *, where: str) -> None:
        """Refuse a value without pair masks; `ObjectMasks` checks the rest when it is made."""
        super().check(value, where=where)
        with within(where):
            value.any_pairs()

    def streams(self, value: ObjectMasks) -> bool:
        """Whether the masks of pairs are packed."""
        return isinstance(value.pairs, PackedMasks)

    def part_digests(self, value: ObjectMasks, part: str | None = None) -> dict[str, str]:
        """Return digests of the pair and universal masks of each layer, and of the matrices.

        Their names are ``pairs/layer_L``, ``universal/layer_L`` and ``metrics``.
        """
        names = tuple(chain(*concept_lists(value.universal.names).values()))
        matrices = {str(kind): matrix for kind, matrix in value.matrices.items()}
        digests = {"metrics": payload_digest(names, matrices)}
        pairs = value.pairs.loaded() if value.pairs else None
        alone = part is not None and _LAYER.fullmatch(part) is not None
        for position in range(value.universal.n_layers):
            layer = part if alone else layer_part(position)
            for kind, masks in (("universal", value.universal), ("pairs", pairs)):
                if masks is not None:
                    digests[f"{kind}/{layer}"] = masks.of_layer(position).digest()
        return digests

    def describe(self, value: ObjectMasks) -> dict[str, int | float | str]:
        """Return numbers of pairs and concepts, mean sizes, and concepts without any neuron."""
        pairs = value.pairs
        return {
            "setting": str(value.setting),
            "pairs": len(pairs.names) if pairs else 0,
            "mean_pair_size": _mean_size(pairs) if pairs else 0.0,
            **_describe_concepts(value.universal),
        }

    def fill(self, writer: Hdf5Writer, value: ObjectMasks, provenance: Provenance) -> Metadata:  # noqa: ARG002
        """Add pair masks, universal masks and matrices to a file."""
        pairs = value.pairs or Masks((), value.universal.bits[:0])
        lists = concept_lists(value.universal.names)
        if isinstance(pairs, PackedMasks):
            writer.stacked(_PAIRS, pairs.words)
            lists[UNITS] = pairs.names
        else:
            writer.vectors(_PAIRS, pairs.names, pairs.bits)
        writer.vectors(_UNIVERSALS, value.universal.names, value.universal.bits)
        writer.matrices("metrics", {_matrix_name(kind): m for kind, m in value.matrices.items()})
        attributes = _attributes(value.setting, value.universal, CONSISTENCY_SPELLINGS[0])
        return {**attributes, "n_pairs": len(pairs.names)}, lists

    def has_part(self, part: str) -> bool:
        """Whether ``part`` is ``universal`` or names a layer, there or not in a given file."""
        return super().has_part(part) or _LAYER.fullmatch(part) is not None

    def extract(self, reader: Hdf5Reader, part: str | None) -> ObjectMasks:
        """Read the masks of a file, or a part of them; a layer it lacks is a SettingsError."""
        layer = _layer_of(reader, part)
        universal = _read(reader, _UNIVERSALS)
        _require_listed(reader, universal)
        matrices = {kind: _matrix(reader, universal, kind) for kind in kinds_of(universal.names)}
        pairs = None
        if part != UNIVERSAL:
            pairs = _pairs(reader, layer)
        if layer is not None:
            universal = universal.of_layer(layer)
        return ObjectMasks(_setting(reader), pairs, universal, matrices)


class CheckerMasksFile(Hdf5Codec[CheckerMasks]):
    """Checker or token-checker masks at one setting.

    The card implies that checker files look like object files, the release writes the group
    ``/token_checker_masks``; we write the release's, and read either.
    """

    holds = CheckerMasks

    def describe(self, value: CheckerMasks) -> dict[str, int | float | str]:
        """Return number of concepts, shape, mean size, and concepts without any neuron."""
        return {"setting": str(value.setting), **_describe_concepts(value.masks)}

    def fill(self, writer: Hdf5Writer, value: CheckerMasks, provenance: Provenance) -> Metadata:  # noqa: ARG002
        """Add the masks to a file."""
        writer.vectors(_CHECKERS, value.masks.names, value.masks.bits)
        return _attributes(value.setting, value.masks, CONSISTENCY_SPELLINGS[1]), {}

    def extract(self, reader: Hdf5Reader, part: str | None) -> CheckerMasks:  # noqa: ARG002
        """Read all masks of a file."""
        as_on_the_card = not reader.has(_CHECKERS) and reader.has(_UNIVERSALS)
        masks = _read(reader, _UNIVERSALS if as_on_the_card else _CHECKERS)
        return CheckerMasks(_setting(reader), masks)


@dataclass(frozen=True)
class UniversalMasksFile(Hdf5Codec[Masks]):
    """Universal masks, standalone, of the one setting that the file is about by definition."""

    holds = Masks
    setting: Setting

    def check(self, value: Masks, *, where: str) -> None:
        """Refuse units that are no concepts."""
        super().check(value, where=where)
        with within(where):
            concept_lists(value.names)

    def describe(self, value: Masks) -> dict[str, int | float | str]:
        """Return number of concepts, shape, mean size, and concepts without any neuron."""
        return {"setting": str(self.setting), **_describe_concepts(value)}

    def fill(self, writer: Hdf5Writer, value: Masks, provenance: Provenance) -> Metadata:  # noqa: ARG002
        """Add the masks to a file."""
        writer.vectors(_UNIVERSALS, value.names, value.bits)
        attributes = _attributes(self.setting, value, CONSISTENCY_SPELLINGS[0])
        return attributes, concept_lists(value.names)

    def extract(self, reader: Hdf5Reader, part: str | None) -> Masks:  # noqa: ARG002
        """Read all masks of a file; refuse a file that names another setting."""
        found = read_setting(reader)
        if found not in (None, self.setting):
            reader.fail(f"/{METADATA} epsilon", str(self.setting), str(found))
        masks = _read(reader, _UNIVERSALS)
        _require_listed(reader, masks)
        return masks


def layer_part(layer: int) -> str:
    """Return the name of the part of an object mask file that is one layer, as ``layer_3``."""
    return f"layer_{layer}"


def _layer_of(reader: Hdf5Reader, part: str | None) -> int | None:
    """The layer that ``part`` names, which the file must have; ``None`` if it names none."""
    match = _LAYER.fullmatch(part or "")
    if match is None:
        return None
    layer, n_layers = int(match[1]), len(reader.names(_PAIRS))
    if layer >= n_layers:
        raise SettingsError(
            "the atlas has no such layer",
            where=f"layer, {reader.label}",
            expected=f"0 to {n_layers - 1}",
            found=str(layer),
            remedy="correct it, or leave it out for all layers",
        )
    return layer


def _pairs(reader: Hdf5Reader, layer: int | None) -> Masks | PackedMasks:
    """The masks of the pairs; packed and not read yet, where all layers of packed ones are read."""
    found = read_stacked(reader, _PAIRS, np.uint8)
    if found is None:
        pairs = _read(reader, _PAIRS, layer)
        require_count(reader, _PAIRS, len(pairs.names))
        return pairs
    names, words = found
    width = whole_number(reader, "width") or 0
    if words.shape[2] != -(-width // 8):
        expected = f"eight of {width} neurons in a byte"
        reader.fail(f"/{_PAIRS}/layer_0", expected, f"{words.shape[2]} bytes")
    packed = PackedMasks(names, width, words)
    return packed if layer is None else packed.of_layer(layer).whole()


def _read(reader: Hdf5Reader, group: str, layer: int | None = None) -> Masks:
    return Masks(*read_vectors(reader, group, np.bool_, layer))


def _attributes(setting: Setting, masks: Masks, consistency: str) -> dict[str, int | float | str]:
    return {
        "epsilon": setting.epsilon,
        consistency: setting.consistency,
        "n_layers": masks.n_layers,
        "width": masks.width,
    }


def _setting(reader: Hdf5Reader) -> Setting:
    setting = read_setting(reader)
    if setting is None:
        reader.fail(f"/{METADATA}", "attributes epsilon and consistency_threshold", "neither")
    return setting


def _matrix_name(kind: Kind) -> str:
    return f"jaccard_{kind}_matrix"


def _matrix(reader: Hdf5Reader, universal: Masks, kind: Kind) -> Array:
    """The stored matrix; computed from the masks where the file has none."""
    key = f"metrics/{_matrix_name(kind)}"
    stored = reader.matrix(key)
    if stored is None:
        return jaccard(universal.of_kind(kind).bits[:, published_layer(universal.n_layers)])
    if not (np.isfinite(stored).all() and (stored >= 0).all() and (stored <= 1).all()):
        reader.fail(f"/{key}", "values between 0 and 1", "others")
    return stored


def _require_listed(reader: Hdf5Reader, universal: Masks) -> None:
    """The concepts that ``/metadata`` lists, where it does, are those with a universal mask."""
    for key, present in concept_lists(universal.names).items():
        listed = reader.name_list(key)
        if listed is None:
            continue
        for name in sorted(set(listed) - set(present)):
            prefix = key.partition("_")[0]
            reader.fail(
                f"/{_UNIVERSALS}/layer_0/{prefix}__{name}",
                f"a dataset, as /{METADATA}/{key} lists it",
                "none of that name",
            )
        for name in sorted(set(present) - set(listed)):
            reader.fail(f"/{METADATA}/{key}", f"{name!r}, which has a universal mask", "not listed")


def _describe_concepts(masks: Masks) -> dict[str, int | float | str]:
    return {
        "concepts": len(masks.names),
        "layers": masks.n_layers,
        "width": masks.width,
        "mean_concept_size": _mean_size(masks),
        "concepts_without_neurons": int((masks.sizes().sum(axis=1) == 0).sum()),
    }


def _mean_size(masks: Masks | PackedMasks) -> float:
    return round(float(masks.sizes().mean()), 2) if masks.names else 0.0
