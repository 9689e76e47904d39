"""κ, C and π of calibrated circuits, chosen on the half of the prompts that discovers.

``python -m tools.choose_thresholds data/embedded/11A_object_prompts.parquet`` runs the model over
the prompts of domains 0, 2 and 4 alone. Each of these domains is held out in turn: circuits come
from the prompts of the other two, and are judged by how many pairs of the one held out rank the
right concept first (`stages.circuits.identification`). The criterion is the mean of that share over
all concepts of both types and the three domains. What tests circuits is never looked at.

Of the setting in use and of the best it also prints how many different circuits there are at each
layer, and how many neurons all concepts have in common, of circuits from all three domains.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from atlas_assets.stages.activations.positions import LEVELS, placed
from atlas_assets.stages.circuits import definitions
from atlas_assets.stages.circuits.identification import identify
from atlas_assets.stages.circuits.samples import DISCOVERY, DOMAINS
from atlas_assets.stages.circuits.statistics import DRAWS
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts.positions import POSITIONS

CONSISTENCIES = (0.2, 0.5, 0.8)
DEFAULT = (definitions.KAPPA, definitions.CONSISTENCY, definitions.SHARE)


@dataclass(frozen=True, eq=False)
class ByDomain:
    """Firings of every pair in each of the domains that discover.

    Attributes:
        names: The pairs, sorted.
        n_prompts: int32 ``[domains, pairs]``.
        counts: int32 ``[levels, domains, pairs, layers, width]``, as in `PositionActivations`.
    """

    names: tuple[str, ...]
    n_prompts: definitions.Counts
    counts: definitions.Counts

    def masks(self, domains: list[int], kappa: float, consistency: float) -> Masks:
        """Return the pair masks of some of the domains; without pairs that have no prompt there."""
        n_prompts = self.n_prompts[domains].sum(axis=0)
        there = np.flatnonzero(n_prompts)
        counts = self.counts[LEVELS.index(kappa)][domains].sum(axis=0)
        names = tuple(self.names[pair] for pair in there)
        return definitions.firing_masks(names, counts[there], n_prompts[there], consistency)


def read(model_id: str, prompts: pl.DataFrame) -> dict[str, ByDomain]:
    """Run the prompts of the domains that discover, and return what fires, by position."""
    from atlas_assets.extraction.extraction import read_prompts
    from atlas_assets.extraction.positions import occurrences_at
    from atlas_assets.extraction.shards import ShardStore
    from atlas_assets.models.loading import load, resolve
    from atlas_assets.progress import Progress
    from atlas_assets.stages.activations.activations import units_of_object_prompts

    some = prompts.filter((pl.col("variation_id") % DOMAINS).is_in(DISCOVERY))
    found = placed(some)
    pairs = found.units % len(found.names)
    domains = [DISCOVERY.index(number % DOMAINS) for number in some["variation_id"]]
    units = (np.array(domains) * len(found.names) + pairs).tolist()
    n_units = len(DISCOVERY) * len(found.names)
    model = load(resolve(model_id, None), device="auto", dtype="float32")
    readings = read_prompts(
        model,
        units_of_object_prompts(some),
        occurrences_at(model.tokenizer, found.texts, found.ends, units, n_units),
        scored=False,
        shards=ShardStore(None, "0" * 8),
        progress=Progress("prompts read"),
    )
    shape = (len(DISCOVERY), len(found.names))
    return {
        position: ByDomain(
            found.names,
            its.n_prompts.reshape(shape),
            its.counts.reshape(len(LEVELS), *shape, *its.counts.shape[2:]),
        )
        for position, its in readings.positions.items()
    }


def judged(firings: ByDomain) -> Iterator[tuple[tuple[float, float, float], dict[str, float]]]:
    """Yield (κ, C, π) and the mean top-1 of every concept over the domains held out in turn."""
    for kappa, consistency in itertools.product(definitions.KAPPAS, CONSISTENCIES):
        folds = []
        for held_out in range(len(DISCOVERY)):
            rest = [domain for domain in range(len(DISCOVERY)) if domain != held_out]
            folds.append(
                (
                    firings.masks(rest, kappa, consistency),
                    firings.masks([held_out], kappa, consistency),
                )
            )
        for share in definitions.SHARES:
            tops: dict[str, list[float]] = {}
            for pairs, others in folds:
                circuits = definitions.calibrated(pairs, share)
                found = identify(circuits.bits.astype(np.float64), circuits.names, others)
                for concept, one in found.items():
                    tops.setdefault(concept, []).append(one.top1)
            means = {concept: float(np.mean(tops[concept])) for concept in sorted(tops)}
            yield (kappa, consistency, share), means


def best_of(
    found: dict[tuple[float, float, float], dict[str, float]],
) -> tuple[float, float, float]:
    """Return the setting of the highest criterion, the first of several."""
    return max(found, key=lambda setting: float(np.mean(list(found[setting].values()))))


def lines(found: dict[tuple[float, float, float], dict[str, float]]) -> Iterator[str]:
    """Yield a table of the criterion by setting, and how the best differs from the default."""
    yield "| κ | C | π | AST nodes | builtins | all |"
    yield "|---|---|---|---|---|---|"
    for setting, tops in found.items():
        shares = [
            [top for name, top in tops.items() if split_concept(name)[0] in kinds]
            for kinds in (("ast",), ("builtin",), ("ast", "builtin"))
        ]
        means = [f"{np.mean(of_kind):.1%}" if of_kind else "–" for of_kind in shares]
        cells = [*(f"{value:g}" for value in setting), *means]
        yield f"| {' | '.join(cells)} |"
    best = best_of(found)
    more = np.array(list(found[best].values())) - np.array(list(found[DEFAULT].values()))
    drawn = np.random.default_rng(42).integers(0, len(more), (DRAWS, len(more)))
    low, high = np.percentile(more[drawn].mean(axis=1), [2.5, 97.5])
    yield (
        f"best: κ = {best[0]:g}, C = {best[1]:g}, π = {best[2]:g}; over the default "
        f"{more.mean():+.1%} [{low:+.1%}, {high:+.1%}] (concepts resampled)"
    )


def told_apart(circuits: Masks) -> str:
    """Return how many different circuits each layer has, and what is common to all concepts."""
    layers = range(circuits.n_layers)
    different = [len(np.unique(circuits.bits[:, layer], axis=0)) for layer in layers]
    size = circuits.sizes().sum(axis=1).mean()
    common = int(circuits.bits.all(axis=0).sum())
    return (
        f"{', '.join(map(str, different))} distinct circuits at layers 0 to {circuits.n_layers - 1}"
        f", of {len(circuits.names)}; mean size {size:.1f}; neurons common to all {common} "
        f"({common / max(size, 1):.0%})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of each position that is read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("prompts", type=Path, help="the object prompts of an atlas")
    parser.add_argument("--model", default="embedded", help="a folder, a Hub id, or embedded")
    chosen = parser.parse_args(arguments)
    firings = read(chosen.model, pl.read_parquet(chosen.prompts))
    for position in POSITIONS:
        sys.stdout.write(f"\nRead at the {position}\n\n")
        found = dict(judged(firings[position]))
        for line in lines(found):
            sys.stdout.write(line + "\n")
        for kappa, consistency, share in dict.fromkeys((DEFAULT, best_of(found))):
            pairs = firings[position].masks(list(range(len(DISCOVERY))), kappa, consistency)
            told = told_apart(definitions.calibrated(pairs, share))
            sys.stdout.write(f"κ = {kappa:g}, C = {consistency:g}, π = {share:g}: {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
