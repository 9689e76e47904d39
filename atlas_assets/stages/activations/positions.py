"""What neurons did at the concept and at the builtin's name, per pair, half and layer.

Stage 12 reads the last token of a prompt. Here the same prompts are read where their concept is
(`stages.prompts.positions`): Σ|r|, and on how many prompts a neuron fires at level κ, which is
|r| > κ · s_l with the scale s_l of layer l at that position (`extraction.positions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import unsound
from atlas_assets.stages import columns as col
from atlas_assets.stages.circuits.samples import DOMAINS, Half, half_of
from atlas_assets.stages.prompts.object_prompts import names_of_pairs
from atlas_assets.stages.prompts.positions import POSITIONS, Landmarks, Position
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.schema import Column, Rule, TableSchema

HALVES: tuple[Half, ...] = get_args(Half)
#: κ of the levels at which firings are counted; at 0, |r| > 0
LEVELS = (0.0, 0.1, 0.3, 1.0)
#: the columns of the counts, a level each
COUNTS = ("firing", *(f"firing_{level:g}" for level in LEVELS[1:]))


def _of_level(name: str, level: float) -> Column:
    threshold = f"{level:g}·scale" if level else "0"
    text = f"#(|readout| > {threshold}) of every neuron"
    return Column(name, pl.List(pl.Int32), text)


SCHEMA = TableSchema(
    columns=(
        Column("position", pl.String(), "concept or name", allowed=POSITIONS),
        Column("half", pl.String(), "discovery or test, by domain", allowed=HALVES),
        col.text("pair", "pair, {ast}__{builtin}"),
        col.LAYER,
        col.count("n_prompts", "prompts that have the position", minimum=1),
        col.mean("scale", "s_l: root of the mean readout² of the layer at the position"),
        col.count("sampled", "distinct prompts from which the scale was taken", minimum=1),
        Column("sums", pl.List(pl.Float32), "Σ|readout| of every neuron"),
        *map(_of_level, COUNTS, LEVELS),
    ),
    key=("position", "half", "pair", "layer"),
    rules=(
        Rule(
            "finite sums ≥ 0",
            ("position", "pair", "layer"),
            pl.col("sums").list.eval(pl.element().is_finite() & (pl.element() >= 0)).list.all(),
        ),
        *(
            Rule(
                f"{name}: as many neurons as sums, each 0 to n_prompts",
                ("position", "pair", "layer", "n_prompts"),
                (pl.col(name).list.len() == pl.col("sums").list.len())
                & (pl.col(name).list.min() >= 0)
                & (pl.col(name).list.max() <= pl.col("n_prompts")),
            )
            for name in COUNTS
        ),
    ),
)


@dataclass(frozen=True, eq=False)
class PositionActivations:
    """What was read at one position.

    Attributes:
        position: which one.
        names: the pairs, sorted.
        n_prompts: int32 ``[halves, pairs]``, prompts that have the position; 0 of some.
        sums: float32 ``[halves, pairs, layers, width]``, Σ|r|.
        counts: int32 ``[levels, halves, pairs, layers, width]``, #(|r| > κ · s_l).
        scale: float64 ``[layers]``, s_l.
        sampled: the number of distinct prompts from which the scale was taken.
    """

    position: Position
    names: tuple[str, ...]
    n_prompts: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float64]
    sampled: int

    @property
    def left_out(self) -> tuple[str, ...]:
        """The pairs of which no prompt has the position."""
        absent = self.n_prompts.sum(axis=0) == 0
        return tuple(name for name, out in zip(self.names, absent, strict=True) if out)

    def select(self, names: Sequence[str]) -> PositionActivations:
        """Return what was read of some of the pairs, which are sorted."""
        place = {name: number for number, name in enumerate(self.names)}
        some = [place[name] for name in names]
        return replace(
            self,
            names=tuple(names),
            n_prompts=self.n_prompts[:, some],
            sums=self.sums[:, some],
            counts=self.counts[:, :, some],
        )

    @classmethod
    def of(cls, table: pl.DataFrame, position: Position) -> PositionActivations:
        """Read one position out of the table; a pair without any prompt there is left out.

        A table that lacks layers of some unit, or whose lists differ in length, is an
        ArtifactError.
        """
        rows = table.filter(pl.col("position") == position).sort("half", "pair", "layer")
        names = tuple(rows["pair"].unique().sort())
        layers = table["layer"].n_unique()
        width = len(table["sums"][0]) if len(table) else 0
        shape = (len(HALVES), len(names), layers, width)
        found = cls(
            position,
            names,
            np.zeros(shape[:2], np.int32),
            np.zeros(shape, np.float32),
            np.zeros((len(LEVELS), *shape), np.int32),
            rows["scale"].to_numpy()[:layers] if len(rows) else np.zeros(layers),
            int(rows["sampled"][0]) if len(rows) else 0,
        )
        units = rows.filter(pl.col("layer") == 0)
        whole = np.tile(np.arange(layers), len(units))
        one_width = bool((rows["sums"].list.len() == width).all())
        if not (one_width and np.array_equal(rows["layer"].to_numpy(), whole)):
            expected = f"{layers} layers of {width} neurons for each half of a pair"
            raise unsound(
                "the activations are not sound", f"position {position}", expected, "others"
            )
        half = np.searchsorted(HALVES, units["half"].to_numpy())
        pair = np.searchsorted(names, units["pair"].to_numpy())
        found.n_prompts[half, pair] = units["n_prompts"].to_numpy()
        found.sums[half, pair] = _stacked(rows["sums"], len(units), shape)
        for level, name in enumerate(COUNTS):
            found.counts[level, half, pair] = _stacked(rows[name], len(units), shape)
        return found

    def table(self) -> pl.DataFrame:
        """Return the rows of the table, without those of halves of pairs that have no prompt."""
        half, pair = np.nonzero(self.n_prompts)
        layers = self.sums.shape[2]
        lists = {"sums": self.sums[half, pair]}
        lists |= {name: self.counts[level, half, pair] for level, name in enumerate(COUNTS)}
        n_rows = len(half) * layers
        return pl.DataFrame(
            {
                "position": [self.position] * n_rows,
                "half": np.repeat(np.asarray(HALVES)[half], layers),
                "pair": np.repeat(np.asarray(self.names, dtype=str)[pair], layers),
                "layer": np.tile(np.arange(layers), len(half)),
                "n_prompts": np.repeat(self.n_prompts[half, pair], layers),
                "scale": np.tile(self.scale, len(half)),
                "sampled": [self.sampled] * n_rows,
                **{
                    name: pl.Series(of.reshape(n_rows, self.sums.shape[3]))
                    for name, of in lists.items()
                },
            }
        ).cast(SCHEMA.polars)


def _stacked(lists: pl.Series, units: int, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Lists, a layer each, as ``[units, layers, width]``."""
    return lists.explode(empty_as_null=False).to_numpy().reshape(units, *shape[2:])


def table_of(found: Iterable[PositionActivations]) -> pl.DataFrame:
    """Return the table of several positions, sorted by its key."""
    return pl.concat([each.table() for each in found]).sort(SCHEMA.key)


@dataclass(frozen=True, eq=False)
class Placed:
    """Where object prompts are read.

    Attributes:
        names: the pairs, sorted.
        texts: the prompts, in their order.
        units: int64 ``[prompts]``, half · (number of pairs) + pair.
        ends: by position, for each prompt the number of characters up to the end of what is read,
            or None where it has nothing there.
    """

    names: tuple[str, ...]
    texts: list[str]
    units: npt.NDArray[np.int64]
    ends: dict[Position, list[int | None]]


def placed(prompts: pl.DataFrame) -> Placed:
    """Find concepts and names in object prompts, and the half of each.

    Own prompts say themselves where their concept ends, and use no builtin.
    """
    pairs, texts = list(names_of_pairs(prompts)), prompts["prompt_text"].to_list()
    names = sorted(set(pairs))
    number = {name: place for place, name in enumerate(names)}
    halves = [HALVES.index(half_of(variation % DOMAINS)) for variation in prompts["variation_id"]]
    units = [half * len(names) + number[p] for half, p in zip(halves, pairs, strict=True)]
    ends = _ends_of_own(prompts) if "end" in prompts.columns else _ends_in_trees(prompts)
    return Placed(tuple(names), texts, np.asarray(units, dtype=np.int64), ends)


def _ends_of_own(prompts: pl.DataFrame) -> dict[Position, list[int | None]]:
    return {"concept": prompts["end"].to_list(), "name": [None] * len(prompts)}


def _ends_in_trees(prompts: pl.DataFrame) -> dict[Position, list[int | None]]:
    landmarks = Landmarks.of(load_stimuli())
    rows = prompts.select("ast_node", "builtin_obj", "prompt_text").rows()
    return {
        "concept": [landmarks.concept_end(text, node) for node, _, text in rows],
        "name": [landmarks.name_end(text, builtin) for _, builtin, text in rows],
    }
