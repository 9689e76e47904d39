"""How well calibrated circuits identify pairs whose other member they were never made with.

``python -m tools.unseen_partners data/embedded/12_position_activations.parquet``. Identification
in ``circuit_quality.csv`` ranks pairs on prompts of other subject areas, but the same pairs: of
``For`` with ``len``, the circuit of ``len`` was made with prompts of ``For`` among others. Here
every concept's circuit is made anew without the pairs of one partner, for each partner in turn, and
ranks the pairs of this partner alone, on prompts of the half that tests. A concept that has no
other partner is left out, of what it is compared with too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from atlas_assets.stages.activations.positions import PositionActivations
from atlas_assets.stages.circuits import definitions, halves
from atlas_assets.stages.circuits.identification import centred, centroids, identify_by, ranked
from atlas_assets.stages.circuits.statistics import DRAWS, interval
from atlas_assets.stages.concepts import Kind, concepts_of_pair, split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.rounding import Reals

#: gives what each concept looks like, float64 ``[concepts, layers, width]``, and their names
Made = Callable[[Masks], tuple[Reals, tuple[str, ...]]]
_NAMES: dict[Kind, str] = {"ast": "AST nodes", "builtin": "builtins"}


def circuits(pairs: Masks) -> tuple[Reals, tuple[str, ...]]:
    """Return the calibrated circuits of pairs at the default π, as zeros and ones."""
    found = definitions.calibrated(pairs)
    return found.bits.astype(np.float64), found.names


def unseen(made: Made, discovered: Masks, held_out: Masks, kind: Kind) -> dict[str, float]:
    """Return the share of each concept's pairs that rank it first, partners left out, by concept.

    Args:
        made: What makes circuits of pair masks.
        discovered: Pair masks of the half that discovers.
        held_out: Pair masks of the half that tests.
        kind: The kind of the concepts that are told apart; partners are of the other one.
    """
    tested = centred(held_out.bits.reshape(len(held_out.names), -1).astype(np.float64))
    members = [dict(map(_by_kind, concepts_of_pair(name))) for name in held_out.names]
    other: Kind = "builtin" if kind == "ast" else "ast"
    tops: dict[str, list[float]] = {}
    for partner in sorted({member[other] for member in members}):
        rest = [name for name in discovered.names if partner not in concepts_of_pair(name)]
        if not rest:
            continue
        looks, names = made(discovered.select(tuple(rest)))
        own = [row for row, name in enumerate(names) if split_concept(name)[0] == kind]
        column = {names[row]: place for place, row in enumerate(own)}
        known = centred(looks[own].reshape(len(own), -1))
        for row, member in enumerate(members):
            if member[other] == partner and member[kind] in column:
                place = column[member[kind]]
                top1 = ranked((known @ tested[row])[np.newaxis], place).top1
                tops.setdefault(member[kind], []).append(top1)
    return {concept: float(np.mean(tops[concept])) for concept in sorted(tops)}


def _by_kind(concept: str) -> tuple[Kind, str]:
    return split_concept(concept)[0], concept


def lines(discovered: Masks, held_out: Masks) -> Iterator[str]:
    """Yield a table: what is identified without partners, and with them by the same concepts."""
    yield "| identified | concepts | partners left out | with all partners |"
    yield "|---|---|---|---|"
    for told, made in (("calibrated circuits", circuits), ("nearest centroid", centroids)):
        looks, names = made(discovered)
        pairs = held_out.bits.astype(np.float64)
        every = identify_by(looks, names, pairs, held_out.names)
        for kind, name in _NAMES.items():
            found = unseen(made, discovered, held_out, kind)
            if found:
                same = np.mean([every[concept].top1 for concept in found])
                share = _with_interval(list(found.values()))
                yield f"| {name}, {told} | {len(found)} | {share} | {same:.1%} |"


def _with_interval(shares: Sequence[float]) -> str:
    values = np.array(shares)
    drawn = np.random.default_rng(42).integers(0, len(values), (DRAWS, len(values)))
    low, high = interval(values[drawn].mean(axis=1))
    return f"{values.mean():.1%} [{low:.1%}, {high:.1%}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, read at the concept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("activations", type=Path, help="the position activations of an atlas")
    table = pl.read_parquet(parser.parse_args(arguments).activations)
    at_concepts = PositionActivations.of(table, "concept")
    for line in lines(*(halves.pair_masks(at_concepts, half) for half in ("discovery", "test"))):
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
