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

All carry ``provenance`` and ``format_version`` in ``/metadata``. Files of the release lack these
and some of the counts and lists; the spelling of C varies; both are accepted on reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from atlas_assets.errors import ArtifactError, SettingsError
from atlas_assets.files.locations import Source, label
from atlas_assets.stages.activations.activations import payload_digest
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import JACCARD_LAYER, CheckerMasks, Masks, ObjectMasks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codec import instance_of, within
from atlas_assets.storage.hdf5.metadata import (
    CONSISTENCY_SPELLINGS,
    Hdf5Codec,
    concept_lists,
    provenance_attributes,
    read_setting,
    require_count,
    whole_number,
)
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import METADATA, Array, Hdf5Writer
from atlas_assets.storage.provenance import Provenance

UNIVERSAL = "universal"

_PAIRS, _UNIVERSALS, _CHECKERS = "pair_masks", "universal_masks", "token_checker_masks"
_LAYER = re.compile(r"layer_(\d+)")
_MATRICES = {"ast": "metrics/jaccard_ast_matrix", "builtin": "metrics/jaccard_builtin_matrix"}


@dataclass(frozen=True)
class ObjectMasksFile(Hdf5Codec[ObjectMasks]):
    """Pair masks, universal masks and their Jaccard matrices at one setting.

    Its parts are ``universal``, and every layer alone (`layer_part`).
    """

    parts = (UNIVERSAL,)

    def check(self, value: ObjectMasks, *, where: str) -> None:
        """Requires the pair masks; `ObjectMasks` itself checks the rest when it is made."""
        instance_of(value, ObjectMasks, where=where)
        if value.pairs is None:
            raise ArtifactError(
                "object masks cannot be written without their pair masks",
                where=where,
                expected="pair masks and universal masks",
                found="the universal part only",
                remedy="write the value that science.masks.object_masks returns",
            )

    def payload_digest(self, value: ObjectMasks) -> str:
        """SHA-256 (hex) over all masks and matrices."""
        return value.digest()

    def part_digests(self, value: ObjectMasks, part: str | None = None) -> dict[str, str]:
        """Digests of the pair masks and of the universal masks of each layer, and of the matrices.

        Their names are ``pairs/layer_L``, ``universal/layer_L`` and ``metrics``.
        """
        matrices: dict[str, Array] = {"ast": value.jaccard_ast, "builtin": value.jaccard_builtin}
        digests = {"metrics": payload_digest(value.ast_nodes + value.builtins, matrices)}
        alone = part is not None and _LAYER.fullmatch(part) is not None
        for position in range(value.universal.n_layers):
            layer = part if alone else layer_part(position)
            for kind, masks in (("universal", value.universal), ("pairs", value.pairs)):
                if masks is not None:
                    digests[f"{kind}/{layer}"] = _of_layer(masks, position).digest()
        return digests

    def describe(self, value: ObjectMasks) -> dict[str, int | float | str]:
        """Numbers of pairs and concepts, mean mask sizes, and concepts without any neuron."""
        pairs = value.pairs
        return {
            "setting": str(value.setting),
            "pairs": len(pairs.names) if pairs else 0,
            "mean_pair_size": _mean_size(pairs) if pairs else 0.0,
            **_describe_concepts(value.universal),
        }

    def encode(self, value: ObjectMasks, provenance: Provenance) -> bytes:
        """Returns the bytes of an HDF5 file that holds the masks and their provenance."""
        pairs = value.pairs or Masks((), value.universal.bits[:0])
        writer = Hdf5Writer()
        _write(writer, _PAIRS, pairs)
        _write(writer, _UNIVERSALS, value.universal)
        writer.matrices(
            "metrics",
            {
                "jaccard_ast_matrix": value.jaccard_ast,
                "jaccard_builtin_matrix": value.jaccard_builtin,
            },
        )
        attributes = _attributes(value.setting, value.universal, CONSISTENCY_SPELLINGS[0])
        attributes = {**attributes, "n_pairs": len(pairs.names)}
        writer.metadata(
            {**attributes, **provenance_attributes(provenance)},
            {"ast_nodes": value.ast_nodes, "builtin_objs": value.builtins},
        )
        return writer.finish()

    def has_part(self, part: str) -> bool:
        """Whether ``part`` is ``universal`` or names a layer, there or not in a given file."""
        return super().has_part(part) or _LAYER.fullmatch(part) is not None

    def decode(self, source: Source, *, part: str | None = None) -> ObjectMasks:
        """Reads the masks of a file, or a part of them.

        Part ``universal`` leaves ``pairs`` unread (``None``). With a layer as part, pair masks and
        universal masks are those of that layer, the only one they have.

        Raises:
            SettingsError: the file has no such layer.
        """
        with Hdf5Reader(source) as reader:
            layer = _layer_of(reader, part)
            with within(label(source)):
                return self._decode(reader, part, layer)

    def _decode(self, reader: Hdf5Reader, part: str | None, layer: int | None) -> ObjectMasks:
        universal = _read(reader, _UNIVERSALS)
        _require_listed(reader, universal)
        matrices = {kind: _matrix(reader, universal, kind) for kind in _MATRICES}
        pairs = None
        if part != UNIVERSAL:
            pairs = _read(reader, _PAIRS, layer)
            require_count(reader, _PAIRS, len(pairs.names))
        if layer is not None:
            universal = _of_layer(universal, layer)
        return ObjectMasks(
            setting=_setting(reader),
            pairs=pairs,
            universal=universal,
            jaccard_ast=matrices["ast"],
            jaccard_builtin=matrices["builtin"],
        )


@dataclass(frozen=True)
class CheckerMasksFile(Hdf5Codec[CheckerMasks]):
    """Checker or token-checker masks at one setting.

    The card implies that checker files look like object files, the release writes the group
    ``/token_checker_masks``; we write the release's, and read either.
    """

    def check(self, value: CheckerMasks, *, where: str) -> None:
        """Checks the type; `CheckerMasks` itself checks the rest when it is made."""
        instance_of(value, CheckerMasks, where=where)

    def payload_digest(self, value: CheckerMasks) -> str:
        """SHA-256 (hex) over all masks."""
        return value.digest()

    def describe(self, value: CheckerMasks) -> dict[str, int | float | str]:
        """Number of concepts, shape, mean mask size, and concepts without any neuron."""
        return {"setting": str(value.setting), **_describe_concepts(value.masks)}

    def encode(self, value: CheckerMasks, provenance: Provenance) -> bytes:
        """Returns the bytes of an HDF5 file that holds the masks and their provenance."""
        writer = Hdf5Writer()
        _write(writer, _CHECKERS, value.masks)
        attributes = _attributes(value.setting, value.masks, CONSISTENCY_SPELLINGS[1])
        writer.metadata({**attributes, **provenance_attributes(provenance)}, {})
        return writer.finish()

    def decode(self, source: Source, *, part: str | None = None) -> CheckerMasks:  # noqa: ARG002
        """Reads all masks of a file."""
        with Hdf5Reader(source) as reader, within(label(source)):
            as_on_the_card = not reader.has(_CHECKERS) and reader.has(_UNIVERSALS)
            masks = _read(reader, _UNIVERSALS if as_on_the_card else _CHECKERS)
            return CheckerMasks(_setting(reader), masks)


@dataclass(frozen=True)
class UniversalMasksFile(Hdf5Codec[Masks]):
    """Universal masks of one setting, standalone.

    Attributes:
        setting: the (ε, C) the file is about by definition.
    """

    setting: Setting

    def check(self, value: Masks, *, where: str) -> None:
        """Requires every unit to be a concept."""
        instance_of(value, Masks, where=where)
        with within(where):
            concept_lists(value.names)

    def payload_digest(self, value: Masks) -> str:
        """SHA-256 (hex) over all masks."""
        return value.digest()

    def describe(self, value: Masks) -> dict[str, int | float | str]:
        """Number of concepts, shape, mean mask size, and concepts without any neuron."""
        return {"setting": str(self.setting), **_describe_concepts(value)}

    def setting_of(self, value: Masks) -> Setting | None:  # noqa: ARG002
        """The (ε, C) that the file is about by definition."""
        return self.setting

    def encode(self, value: Masks, provenance: Provenance) -> bytes:
        """Returns the bytes of an HDF5 file that holds the masks and their provenance."""
        writer = Hdf5Writer()
        _write(writer, _UNIVERSALS, value)
        attributes = _attributes(self.setting, value, CONSISTENCY_SPELLINGS[0])
        writer.metadata(
            {**attributes, **provenance_attributes(provenance)}, concept_lists(value.names)
        )
        return writer.finish()

    def decode(self, source: Source, *, part: str | None = None) -> Masks:  # noqa: ARG002
        """Reads all masks of a file; refuses a file that names another setting."""
        with Hdf5Reader(source) as reader, within(label(source)):
            found = read_setting(reader)
            if found not in (None, self.setting):
                reader.fail(f"/{METADATA} epsilon", str(self.setting), str(found))
            masks = _read(reader, _UNIVERSALS)
            _require_listed(reader, masks)
            return masks


def _write(writer: Hdf5Writer, group: str, masks: Masks) -> None:
    writer.vectors(group, masks.names, masks.bits)


def layer_part(layer: int) -> str:
    """The name of the part of an object mask file that is one layer, such as ``layer_3``."""
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


def _of_layer(masks: Masks, position: int) -> Masks:
    """The masks of one layer."""
    return Masks(masks.names, masks.bits[:, position : position + 1])


def _read(reader: Hdf5Reader, group: str, layer: int | None = None) -> Masks:
    names, bits = reader.vectors(
        group,
        np.bool_,
        n_layers=whole_number(reader, "n_layers"),
        width=whole_number(reader, "width"),
        layer=layer,
    )
    return Masks(names, bits)


def _attributes(setting: Setting, masks: Masks, consistency: str) -> dict[str, Any]:
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


def _matrix(reader: Hdf5Reader, universal: Masks, kind: str) -> Array:
    """The stored matrix; computed from the masks where the file has none."""
    stored = reader.matrix(_MATRICES[kind])
    if stored is None:
        layer = min(JACCARD_LAYER, universal.n_layers - 1)
        of_kind = [split_concept(name)[0] == kind for name in universal.names]
        return jaccard(universal.bits[np.array(of_kind, dtype=np.bool_), layer])
    if not (np.isfinite(stored).all() and (stored >= 0).all() and (stored <= 1).all()):
        reader.fail(f"/{_MATRICES[kind]}", "values between 0 and 1", "others")
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
    empty = int((masks.sizes().sum(axis=1) == 0).sum())
    return {
        "concepts": len(masks.names),
        "layers": masks.n_layers,
        "width": masks.width,
        "mean_concept_size": _mean_size(masks),
        "concepts_without_neurons": empty,
    }


def _mean_size(masks: Masks) -> float:
    return round(float(masks.sizes().mean()), 2) if masks.names else 0.0
