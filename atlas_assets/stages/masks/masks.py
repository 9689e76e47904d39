"""Stage 13: from activations to masks, and from pair masks to universal masks (docs/science.md §3).

A neuron is in a unit's mask when it is strong and consistent on that unit's prompts::

    mask = (sums / n > ε) & (float32(counts) / n >= C)        in float32 arithmetic

A concept's universal mask is the intersection of the masks of all its pairs: what stays active
whatever the concept is paired with (paper §5, card "Stage 13").
"""

from __future__ import annotations

import difflib
import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import ArtifactError, unsound
from atlas_assets.stages import columns as col
from atlas_assets.stages.activations.activations import Activations, payload_digest
from atlas_assets.stages.concepts import Kind, kinds_of, pairs_of_concepts, split_concept
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.masks.thresholds import fewest_prompts, weakest_sums
from atlas_assets.stages.schema import Column, Rule, TableSchema
from atlas_assets.stages.setting import Setting

if TYPE_CHECKING:
    from atlas_assets.stages.masks.packed import PackedMasks

Bits = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]

_unsound = partial(unsound, "the masks are not sound")
#: units of masks that an error names where none is near
_SHOWN_NAMES = 5
#: the layer of the published numbers and of the Jaccard matrices in mask files
JACCARD_LAYER = 4


def _neurons_are_a_mask() -> pl.Expr:
    neurons = pl.col("neurons")
    ascending = neurons.list.diff(null_behavior="drop").list.min().fill_null(1) > 0
    inside = (neurons.list.first().fill_null(0) >= 0) & (
        neurons.list.last().fill_null(0) < pl.col("width")
    )
    return ascending & inside & (neurons.list.len() == pl.col("size"))


#: columns of the tidy table of universal masks; ``neurons`` are the sorted indices of a mask
UNIVERSAL_SCHEMA = TableSchema(
    columns=(
        col.EPSILON,
        col.CONSISTENCY,
        col.concept("concept", "ast__{node}, builtin__{name}, or own__{concept}"),
        col.KIND,
        col.LAYER,
        col.count("width", "neurons per layer of the model (d_model)", minimum=1),
        col.count("size", "number of neurons in the mask"),
        Column("neurons", pl.List(pl.Int32()), "the mask's neurons: sorted indices, from 0"),
    ),
    key=("epsilon", "consistency", "concept", "layer"),
    rules=(
        Rule(
            "`size` ascending indices from 0 to width - 1",
            ("size", "width", "neurons"),
            _neurons_are_a_mask(),
        ),
    ),
    may_be_empty=False,
)


@dataclass(frozen=True, eq=False)
class Masks:
    """Which neurons belong to each unit (pair or concept), per layer.

    Attributes:
        names: The unit names, sorted, each once; there may be none.
        bits: bool ``[units, layers, width]``, at least one layer and one neuron.

    Raises:
        ArtifactError: Names are not sorted and unique, or ``bits`` has another dtype or shape.
    """

    names: tuple[str, ...]
    bits: Bits

    def __post_init__(self) -> None:
        for left, right in pairwise(self.names):
            if left >= right:
                raise _unsound("unit names", "sorted, each once", f"{right!r} after {left!r}")
        if self.bits.dtype != np.bool_:
            raise _unsound("bits", "dtype bool", f"dtype {self.bits.dtype}")
        shape = self.bits.shape
        if len(shape) != 3 or shape[0] != len(self.names) or 0 in shape[1:]:
            expected = f"shape ({len(self.names)}, layers ≥ 1, width ≥ 1)"
            raise _unsound("bits", expected, f"shape {shape}")

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.bits.shape[1])

    @property
    def width(self) -> int:
        """The number of neurons per layer (the model's d_model)."""
        return int(self.bits.shape[2])

    def whole(self) -> Masks:
        """Return these masks, which have a byte for each neuron."""
        return self

    def loaded(self) -> Masks:
        """Return these masks, which are in memory."""
        return self

    def of_layer(self, layer: int) -> Masks:
        """Return the masks of one layer; that there is no such layer is an ArtifactError."""
        if not 0 <= layer < self.n_layers:
            raise ArtifactError(
                "the masks lack a layer",
                where=f"layer {layer}",
                expected=f"a layer from 0 to {self.n_layers - 1}",
                found=f"{self.n_layers} layers",
                remedy="name one of these",
            )
        return Masks(self.names, self.bits[:, layer : layer + 1])

    def sizes(self) -> npt.NDArray[np.int64]:
        """Return the number of neurons in each mask, int64 ``[units, layers]``."""
        sizes: npt.NDArray[np.int64] = np.count_nonzero(self.bits, axis=2).astype(np.int64)
        return sizes

    def neurons(self, name: str) -> list[list[int]]:
        """Return the neurons of a unit's mask: for each layer their numbers, from 0 and ascending.

        That there is no such unit is an ArtifactError that names near matches.
        """
        return [np.flatnonzero(layer).tolist() for layer in self.bits[self.index(name)]]

    def index(self, name: str) -> int:
        """Return the position of a unit along the first axis.

        That there is no such unit is an ArtifactError that names near matches.
        """
        position = bisect_left(self.names, str(name))
        if position == len(self.names) or self.names[position] != name:
            near = ", ".join(difflib.get_close_matches(str(name), self.names))
            some = f"the nearest: {near}" if near else f"as {', '.join(self.names[:_SHOWN_NAMES])}"
            raise ArtifactError(
                "the masks lack a unit",
                where=str(name),
                expected="one of the units of these masks",
                found=f"{len(self.names)} units, {some}" if self.names else "no units",
                remedy="name one of these; masks are of the units whose prompts were read",
            )
        return position

    def select(self, names: Iterable[str]) -> Masks:
        """Return the masks of some units, in sorted order; a missing one is an ArtifactError."""
        kept = tuple(sorted(set(names)))
        rows = np.array([self.index(name) for name in kept], dtype=np.intp)
        return Masks(kept, self.bits[rows])

    def of_kind(self, kind: Kind) -> Masks:
        """Return the masks of the concepts of one kind."""
        rows = [split_concept(name)[0] == kind for name in self.names]
        names = tuple(name for name, kept in zip(self.names, rows, strict=True) if kept)
        return Masks(names, self.bits[np.array(rows, dtype=np.bool_)])

    def digest(self) -> str:
        """Return a SHA-256 over names, shape and bits: equal exactly for equal contents."""
        return payload_digest(self.names, {"bits": self.bits})


@dataclass(frozen=True, eq=False)
class ObjectMasks:
    """All masks of the object prompts at one setting: what one ``13_object_masks_*`` file holds.

    Attributes:
        setting: The (ε, C) that the masks were made at.
        pairs: The masks of the pairs, packed where their activations come in blocks, or ``None``
            when only the universal part was read.
        universal: The masks of the concepts, named ``ast__X`` and ``builtin__Y``.
        matrices: The Jaccard matrices by kind of concept (``ast`` and ``builtin``, or ``own``):
            float64 ``[n, n]``, universal masks at ``JACCARD_LAYER``, sorted names.

    Raises:
        ArtifactError: The parts have different layers, widths, concepts or matrix sizes.
    """

    setting: Setting
    pairs: Masks | PackedMasks | None
    universal: Masks
    matrices: Mapping[Kind, Matrix]

    def __post_init__(self) -> None:
        kinds = kinds_of(self.universal.names)
        if set(self.matrices) != set(kinds):
            raise _unsound("Jaccard matrices", " and ".join(kinds), " and ".join(self.matrices))
        for kind, matrix in self.matrices.items():
            n = len(self.universal.of_kind(kind).names)
            if matrix.dtype != np.float64 or matrix.shape != (n, n):
                found = f"{matrix.dtype} {matrix.shape}"
                raise _unsound(f"jaccard_{kind}", f"float64 {(n, n)}", found)
        if self.pairs is None:
            return
        require_same_layers(self.universal, self.pairs, "universal masks", "pair masks")
        wanted = tuple(pairs_of_concepts(self.pairs.names))
        if wanted != self.universal.names:
            others = ", ".join(sorted(set(wanted) ^ set(self.universal.names)))
            found = f"other ones: {others}"
            raise _unsound("universal masks", "the concepts that the pairs are made of", found)

    def whole_pairs(self) -> Masks:
        """Return the pair masks; ArtifactError where only the universal part was read."""
        return self.any_pairs().whole()

    def any_pairs(self) -> Masks | PackedMasks:
        """Return the pair masks as they are, packed or not; errors as for `whole_pairs`."""
        if self.pairs is None:
            raise ArtifactError(
                "object masks cannot be used without their pair masks",
                where=str(self.setting),
                expected="pair masks and universal masks",
                found="the universal part only",
                remedy="read the whole file, or materialise object_masks again",
            )
        return self.pairs

    def digest(self) -> str:
        """Return a SHA-256 over the pair masks, the universal masks and the matrices."""
        matrices = payload_digest(
            self.universal.names, {str(k): m for k, m in self.matrices.items()}
        )
        parts = f"{self.any_pairs().digest()}\n{self.universal.digest()}\n{matrices}\n"
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class CheckerMasks:
    """The masks of the checker (or token-checker) prompts at one setting, by testable concept."""

    setting: Setting
    masks: Masks

    def __post_init__(self) -> None:
        for name in self.masks.names:
            split_concept(name)

    def digest(self) -> str:
        """Return a SHA-256 over the masks."""
        return self.masks.digest()


def sweep_masks(
    activations: Activations, settings: Iterable[Setting]
) -> Iterator[tuple[Setting, Masks]]:
    """Make the masks of every unit at each setting, one setting at a time.

    Sums and counts are compared with the thresholds that the means and rates have, so that no array
    of means or rates is made (`thresholds`). Only the bits that the caller keeps stay alive: a
    sweep needs memory for three arrays of one byte per value, however many settings it has.

    The masks are those that float32 comparisons decide (docs/science.md §3). Settings come in the
    order wanted; consecutive ones of one ε share half the work.
    """
    n_prompts, unit = np.unique(activations.n_prompts, return_inverse=True)
    # one threshold per unit, for all its layers and neurons
    unit = unit[:, np.newaxis, np.newaxis]
    counts = activations.counts.astype(np.min_scalar_type(int(n_prompts.max(initial=0))))
    epsilon, strong = None, np.empty(0, dtype=np.bool_)
    for setting in settings:
        if setting.epsilon != epsilon:
            weakest = weakest_sums(n_prompts, setting.epsilon)
            epsilon, strong = setting.epsilon, activations.sums >= weakest[unit]
        fewest = fewest_prompts(n_prompts, setting.consistency).astype(counts.dtype)
        bits = counts >= fewest[unit]
        bits &= strong
        yield setting, Masks(activations.names, bits)


def threshold(activations: Activations, setting: Setting) -> Masks:
    """Return the masks of every unit at one setting (docs/science.md §3)."""
    _, masks = next(sweep_masks(activations, [setting]))
    return masks


def universal(pairs: Masks) -> Masks:
    """Return the universal masks of all concepts: the AND of each one's pair masks.

    Pairs are named ``{ast}__{builtin}``, else it is a StimulusError; concepts ``ast__X`` and
    ``builtin__Y`` (or ``own__X``). A concept with a single pair has that pair's mask.
    """
    members = pairs_of_concepts(pairs.names)
    bits = np.empty((len(members), pairs.n_layers, pairs.width), dtype=np.bool_)
    for mask, rows in zip(bits, members.values(), strict=True):
        np.logical_and.reduce(pairs.bits[rows], axis=0, out=mask)
    return Masks(tuple(members), bits)


def with_universals(setting: Setting, pairs: Masks | PackedMasks) -> ObjectMasks:
    """Complete pair masks with their universal masks and the Jaccard matrices."""
    concepts = universal(pairs) if isinstance(pairs, Masks) else pairs.universal()
    layer = published_layer(pairs.n_layers)
    matrices = {
        kind: jaccard(concepts.of_kind(kind).bits[:, layer]) for kind in kinds_of(concepts.names)
    }
    return ObjectMasks(setting, pairs, concepts, matrices)


def object_masks(activations: Activations, setting: Setting) -> ObjectMasks:
    """Make the masks of stage 13 for the object prompts at one setting; units are pairs."""
    return with_universals(setting, threshold(activations, setting))


def checker_masks(activations: Activations, setting: Setting) -> CheckerMasks:
    """Make the masks of checker or token-checker prompts at one setting; units are concepts."""
    return CheckerMasks(setting, threshold(activations, setting))


def universal_table(by_setting: Mapping[Setting, Masks]) -> pl.DataFrame:
    """Put the universal masks of a whole sweep into one table of the columns ``UNIVERSAL_SCHEMA``.

    There is one row per setting, concept and layer, empty masks included, in that order.
    """
    parts = [_tidy(setting, masks) for setting, masks in sorted(by_setting.items())]
    return pl.concat([UNIVERSAL_SCHEMA.polars.to_frame(), *parts])


def _tidy(setting: Setting, masks: Masks) -> pl.DataFrame:
    sizes = masks.sizes().ravel()
    neurons = np.nonzero(masks.bits)[2].astype(np.int32)
    columns = {
        "epsilon": np.full(sizes.size, setting.epsilon),
        "consistency": np.full(sizes.size, setting.consistency),
        "concept": [name for name in masks.names for _ in range(masks.n_layers)],
        "type": [split_concept(name)[0] for name in masks.names for _ in range(masks.n_layers)],
        "layer": np.tile(np.arange(masks.n_layers), len(masks.names)),
        "width": np.full(sizes.size, masks.width),
        "size": sizes,
        "neurons": np.split(neurons, np.cumsum(sizes)[:-1]) if sizes.size else [],
    }
    return pl.DataFrame(columns, schema=UNIVERSAL_SCHEMA.polars)


def universal_from_table(table: pl.DataFrame, setting: Setting) -> Masks:
    """Read the universal masks of one setting back from a table that follows its schema.

    A setting that it lacks, or rows that are not one full set of masks, are an ArtifactError.
    """
    here = {"epsilon": setting.epsilon, "consistency": setting.consistency}
    rows = table.filter(**here).sort("concept", "layer")
    if rows.is_empty():
        present = table.select("epsilon", "consistency").unique().sort("epsilon", "consistency")
        raise ArtifactError(
            "the sweep's universal masks lack a setting",
            where=str(setting),
            expected="a setting of the sweep",
            found=", ".join(str(Setting(*row)) for row in present.rows()) or "an empty table",
            remedy="the table is of another sweep than the one in force: materialise masks again, "
            "with the setting in ATLAS_EPSILONS and ATLAS_CONSISTENCIES",
        )
    names = tuple(rows["concept"].unique().sort())
    n_layers, width = rows["layer"].n_unique(), int(rows["width"][0])
    layers = np.tile(np.arange(n_layers), len(names))
    if not np.array_equal(rows["layer"], layers) or rows["width"].n_unique() != 1:
        found = f"{rows.height} rows, {len(names)} concepts, {n_layers} layers"
        raise _unsound(str(setting), "one row per concept and layer, all of one width", found)
    neurons = rows["neurons"].explode().drop_nulls().to_numpy()
    bits = np.zeros((rows.height, width), dtype=np.bool_)
    bits[np.repeat(np.arange(rows.height), rows["neurons"].list.len()), neurons] = True
    return Masks(names, bits.reshape(len(names), n_layers, width))


def require_same_layers(
    left: Masks, right: Masks | PackedMasks, left_is: str, right_is: str
) -> None:
    """Refuse (ArtifactError) to compare masks that differ in their number of layers or neurons."""
    if (left.n_layers, left.width) != (right.n_layers, right.width):
        raise ArtifactError(
            f"the {left_is} and the {right_is} are not about the same model",
            where=right_is,
            expected=f"{left.n_layers} layers of {left.width} neurons, as in the {left_is}",
            found=f"{right.n_layers} layers of {right.width} neurons",
            remedy="materialise both from activations of one model",
        )


def published_layer(n_layers: int) -> int:
    """Return the layer of the published numbers, or the last one of a shallower model."""
    return max(min(JACCARD_LAYER, n_layers - 1), 0)
