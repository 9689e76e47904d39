"""How far concept fractions vary from one subject area to another: bootstrap over the domains.

The prompts of a pair go through five subject areas, the domains (`stages.circuits.samples`), and
prompts of one area resemble each other. So whole areas are drawn, with replacement, as many as
there are, the same ones for all pairs. In each draw pair masks, universal masks A and the fractions
|A∖B| / |A| are made anew by the published rules, of the prompts of the areas drawn, each as often
as it was drawn. B stays what it is: the prompts of keywords alone are of no subject area.

Five areas can be drawn in 126 ways, so that none is left to chance: each counts by the number of
orders in which it can be drawn, 3,125 in all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.activations.activations import (
    Activations,
    Units,
    units_of_object_prompts,
)
from atlas_assets.stages.artifact import Artifact, Entry, Model, Needs
from atlas_assets.stages.check import Check, Details, Inspected, contradicts
from atlas_assets.stages.circuits import statistics
from atlas_assets.stages.circuits.samples import DOMAINS
from atlas_assets.stages.concepts import concepts_of_pair, kinds_of, split_concept
from atlas_assets.stages.decomposition.decomposition import counts, parse_target_checker
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, sweep_masks, universal
from atlas_assets.stages.report.table import Table, table
from atlas_assets.stages.rounding import Reals, fractions, mean
from atlas_assets.stages.schema import Column, Rule, TableSchema
from atlas_assets.stages.setting import Setting, spell

#: what the rows are of, besides single concepts: means over the concepts of a type, and over all
MEANS = ("ast", "builtin", "all")
_BOTH_OR_NONE = Rule(
    "both ends of an interval or none, the lower first",
    ("epsilon", "consistency", "of"),
    (pl.col("low").is_null() == pl.col("high").is_null())
    & (pl.col("low") <= pl.col("high")).fill_null(value=True),
)
SCHEMA = TableSchema(
    columns=(
        col.EPSILON,
        col.CONSISTENCY,
        Column(
            "of",
            pl.String(),
            "a concept that has a keyword; or ast, builtin, all: the mean over these",
            pattern=r"^((ast|builtin)__.+|ast|builtin|all)$",
        ),
        col.share(
            "concept_fraction",
            "mean over layers of |A∖B| / |A| (0 where A is empty), of all prompts, 4 decimals",
        ),
        col.share(
            "low",
            "its 2.5th percentile over draws of subject areas; none of a single one",
            nullable=True,
        ),
        col.share("high", "its 97.5th percentile over draws of subject areas", nullable=True),
        col.count("n_domains", "subject areas that are drawn from", minimum=1),
    ),
    key=("epsilon", "consistency", "of"),
    rules=(_BOTH_OR_NONE,),
)


def units_by_domain(prompts: pl.DataFrame, concepts: Collection[str]) -> Units:
    """Group object prompts by domain and pair, of the pairs of some concepts: ``"0 For__list"``."""
    domain = pl.col("variation_id") % DOMAINS
    return {
        f"{number} {pair}": texts
        for number in range(DOMAINS)
        for pair, texts in units_of_object_prompts(prompts.filter(domain == number)).items()
        if not set(concepts).isdisjoint(concepts_of_pair(pair))
    }


@dataclass(frozen=True, eq=False)
class OfDomains:
    """What was read of the pairs, domain by domain.

    Attributes:
        names: The pairs, sorted.
        n_prompts: int32 ``[domains, pairs]``; 0 where a pair has no prompt of a domain.
        sums: float32 ``[domains, pairs, layers, width]``, Σ|r|.
        counts: int32 of that shape, #(|r| > 0).
    """

    names: tuple[str, ...]
    n_prompts: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]

    @classmethod
    def of(cls, read: Activations) -> OfDomains:
        """Sort what was read of units that `units_by_domain` has named."""
        parts = [name.partition(" ")[::2] for name in read.names]
        domains = {domain: number for number, domain in enumerate(sorted({at for at, _ in parts}))}
        names = tuple(sorted({pair for _, pair in parts}))
        place = {name: number for number, name in enumerate(names)}
        where = [domains[at] for at, _ in parts], [place[pair] for _, pair in parts]
        shape = (len(domains), len(names))
        found = cls(
            names,
            np.zeros(shape, np.int32),
            np.zeros((*shape, *read.sums.shape[1:]), np.float32),
            np.zeros((*shape, *read.sums.shape[1:]), np.int32),
        )
        found.n_prompts[where], found.sums[where] = read.n_prompts, read.sums
        found.counts[where] = read.counts
        return found

    def drawn(self, times: Sequence[int]) -> Activations:
        """Return the sums and counts where each domain is drawn so many times.

        Pairs that have no prompt of the domains drawn are left out.
        """
        n_prompts = np.zeros(self.n_prompts.shape[1:], np.int32)
        sums, firing = np.zeros(self.sums.shape[1:]), np.zeros(self.counts.shape[1:], np.int32)
        for domain, n in enumerate(times):
            if n:
                n_prompts += n * self.n_prompts[domain]
                sums += n * self.sums[domain].astype(np.float64)
                firing += n * self.counts[domain]
        (some,) = np.nonzero(n_prompts)
        names = tuple(self.names[number] for number in some)
        singles = sums[some].astype(np.float32)
        return Activations(names, n_prompts[some], singles, firing[some])


def draws(n_domains: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield how often each domain is drawn, for all ways to draw, and the orders of each way."""
    for drawn in combinations_with_replacement(range(n_domains), n_domains):
        times = tuple(drawn.count(domain) for domain in range(n_domains))
        yield times, math.factorial(n_domains) // math.prod(map(math.factorial, times))


def fractions_of(circuits: Masks, checker: Masks, concepts: Sequence[str]) -> Reals:
    """Return the fractions |A∖B| / |A|, float64 ``[concepts, layers]``, to 4 decimals.

    Those of a concept that has no circuit are NaN.
    """
    found = np.full((len(concepts), checker.n_layers), np.nan)
    there = sorted(set(concepts) & set(circuits.names))
    concept_only, shared, _ = np.moveaxis(counts(circuits, checker.select(there)), -1, 0)
    rows = [concepts.index(name) for name in there]
    found[rows] = fractions(concept_only, concept_only + shared)
    return found


def intervals(
    stated: Mapping[Setting, pl.DataFrame], checkers: Mapping[Setting, Masks], read: OfDomains
) -> pl.DataFrame:
    """Return concept fractions with their intervals: columns ``SCHEMA``, sorted by its key.

    Args:
        stated: The ``target_checker`` table of each setting.
        checkers: The checker masks of each setting, of these concepts and others.
        read: What was read of the pairs, domain by domain.
    """
    settings = sorted(stated)
    concepts = {setting: stated[setting]["target"].to_list() for setting in settings}
    n_domains = len(read.n_prompts)
    drawn: dict[Setting, list[list[float]]] = {setting: [] for setting in settings}
    orders: list[int] = []
    for times, n_orders in draws(n_domains) if n_domains > 1 else ():
        orders.append(n_orders)
        for setting, pairs in sweep_masks(read.drawn(times), settings):
            of_draw = fractions_of(universal(pairs), checkers[setting], concepts[setting])
            drawn[setting].append(list(_means(of_draw, concepts[setting]).values()))
    tables = []
    for setting in settings:
        co, sh, _ = np.moveaxis(parse_target_checker(stated[setting]), -1, 0)
        means = _means(fractions(co, co + sh), concepts[setting])
        ends: tuple[Reals | None, Reals | None] = (None, None)
        if orders:
            values = np.array(drawn[setting]).reshape(len(orders), len(means))
            ends = statistics.interval(np.repeat(values, orders, axis=0).T)
        columns = {
            "epsilon": setting.epsilon,
            "consistency": setting.consistency,
            "of": list(means),
            "concept_fraction": list(means.values()),
            "low": ends[0],
            "high": ends[1],
            "n_domains": n_domains,
        }
        tables.append(pl.DataFrame(columns, schema=SCHEMA.polars, nan_to_null=True))
    return pl.concat(tables).sort(SCHEMA.key)


def _means(found: Reals, concepts: Sequence[str]) -> dict[str, float]:
    """Return the means over layers, of each concept and, as the summary has it, of all and types.

    What has no known fraction is NaN.
    """
    known = [number for number in range(len(found)) if not np.isnan(found[number]).any()]
    means = {name: _mean(found[[number]]) for number, name in enumerate(concepts)}
    kinds = np.array([split_concept(name)[0] for name in concepts], dtype=object)
    for kind in kinds_of(concepts):
        if (kinds == kind).any():
            means[kind] = _mean(found[[number for number in known if kinds[number] == kind]])
    if concepts:
        means["all"] = _mean(found[known])
    return means


def _mean(found: Reals) -> float:
    value = mean(found)
    return np.nan if value is None else value


def _compute(making: Making) -> pl.DataFrame:
    prompts: pl.DataFrame = making.read("object_prompts")
    stated = {setting: making.read("target_checker", setting) for setting in making.sweep}
    checkers: dict[Setting, Masks] = {}
    for setting in making.sweep:
        checker: CheckerMasks = making.read("checker_masks", setting)
        checkers[setting] = checker.masks
    checked = {name for of_setting in stated.values() for name in of_setting["target"]}
    read = OfDomains.of(making.model.read(units_by_domain(prompts, checked)))
    if making.settings.readout != "last_token":
        making.remark("the prompts of each subject area were padded by themselves")
    return intervals(stated, checkers, read)


def shown(
    found: pl.DataFrame,
    caption: str = "Concept fractions over subject areas",
    about: str = "Mean concept fractions",
) -> Table:
    """Return the means over the concepts of a type at every setting, with their intervals.

    Args:
        found: Columns ``SCHEMA``.
        caption: What the table shows.
        about: What the fractions are, for the note.
    """
    kinds = [kind for kind in MEANS if kind in found["of"]]
    n_domains = found["n_domains"][0] if len(found) else 0
    rows = [
        [f"ε = {spell(epsilon)}, C = {spell(consistency)}"]
        + [_told(at.row(by_predicate=pl.col("of") == kind, named=True)) for kind in kinds]
        for (epsilon, consistency), at in found.group_by(
            "epsilon", "consistency", maintain_order=True
        )
    ]
    heads = {"ast": "AST nodes", "builtin": "builtins", "all": "all"}
    return table(
        caption,
        ["setting", *(heads[kind] for kind in kinds)],
        rows,
        note=f"{about}, with 95% intervals over draws of the "
        f"{n_domains} subject areas of the prompts, each drawn whole: intervals of so few are "
        "rough.",
    )


def _told(row: dict[str, float | None]) -> str:
    value, low, high = row["concept_fraction"], row["low"], row["high"]
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _is_the_decomposition(of: Inspected) -> Details:
    stated: pl.DataFrame = of.value
    n = 0
    for setting in of.sweep:
        here = (pl.col("epsilon") == setting.epsilon) & (
            pl.col("consistency") == setting.consistency
        )
        found = dict(stated.filter(here).select("of", "concept_fraction").rows())
        decomposed: pl.DataFrame = of.input("target_checker", setting)
        co, sh, _ = np.moveaxis(parse_target_checker(decomposed), -1, 0)
        expected = _means(fractions(co, co + sh), decomposed["target"].to_list())
        if found != expected:
            name = min(set(found.items()) ^ set(expected.items()))[0]
            where = f"{setting}, {name}"
            raise contradicts(where, f"{expected.get(name)}", f"{found.get(name)}")
        n += len(found)
    if n != len(stated):
        raise contradicts("rows", f"{n}, of the settings of the sweep", f"{len(stated)}")
    return {"rows": n}


FRACTION_INTERVALS = Artifact(
    key="fraction_intervals",
    title="Concept fractions over subject areas",
    filename="fraction_intervals.csv",
    content=SCHEMA,
    description="Per setting, the concept fraction |A∖B| / |A| of every concept that has a "
    "keyword, of each type and of all, with 95% bootstrap intervals: the five subject areas of the "
    "prompts are drawn whole, in all 126 ways, and the circuits A made anew; B stays. The job "
    "validate makes it.",
    compute=_compute,
    inputs=("object_prompts", "checker_masks", "target_checker"),
    model=Model.NETWORK,
    needs=Needs.GRID,
    on_demand=True,
    checks=(
        Check(
            "is_the_decomposition", "fractions of all prompts as decomposed", _is_the_decomposition
        ),
    ),
    entries=(Entry("fractions", shown),),
)
