"""The claims of the paper (Wilam 2026) and of the report on it, one by one.

Each row of the table of claims is split into as many claims as it states facts. What a claim
expects is about ``openai/circuit-sparsity`` and the frozen artifacts alone; what it observes is
computed the same way from any atlas. Readings that the sources leave open:

- AST concept-only fraction "at a mid-to-late layer" (§6): one of layers 3 to 7 of 8; builtins "near
  zero": a mean of at most 0.1 at that layer. Both against the checker masks of stage 14.
- The atomicity cluster (§6.1): at the reference setting, as the rest of §6.1; at layer 3, where the
  release shows it (the paper's text says 5).
- The top three of the modularity ranking: in any order, since the table breaks ties by p = 0.25.
  Where others are level with the last of them, nobody is on top, and the claim does not hold.
- What names a layer is of the paper's eight, and of no model that has more or fewer.
- Circuit sizes are printed to one decimal, and compared to half a unit of it.
- "0.47% of pairs": the percentage, so that the tolerance does not admit another number of pairs.

Each claim says what of the grid it is of, and is not applicable where an atlas's settings cut that:

- of all concepts is what counts them, their pairs, prompts or keywords, or ranks or clusters them;
- of as many prompts of each pair is what counts those;
- of both is every measured number that is to be met: fewer pairs or prompts give other masks;
- of neither is that prompts are sound, and a range, which a few concepts can show as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from atlas_assets.stages.report import measures as measure
from atlas_assets.stages.report.claims import Between, Claim, Exactly, GridPart, Near, Observed
from atlas_assets.stages.setting import (
    PUBLISHED_CONSISTENCIES,
    PUBLISHED_EPSILONS,
    REFERENCE,
    STANDALONE,
    Setting,
    grid,
)

#: the model that every claim is about, and how its frozen artifacts were made
PAPER_MODEL = "openai/circuit-sparsity"
PAPER_READOUT = "published"
PAPER_VARIATIONS = 50

#: the layer that the report speaks of, of so many
_LAYER, _LAYERS = _AT = 4, 8
_SWEEP = grid(PUBLISHED_EPSILONS, PUBLISHED_CONSISTENCIES)
_NONE = "token_independence_no_keyword"
_CONCEPTS = "concepts that have a universal mask, empty or not"
_SUMMED = "the count in the table, the same at every setting"
_FRACTION = "|A∖B| / |A|, B = checker mask, mean over the testable"
_RANKING = "concepts by significant layers at p = 0, then at p = 0.25"
_TOP = ("ast__Break", "ast__ImportFrom", "ast__Assert")
_ATOMIC = "Assert, Break, Continue, Import, ImportFrom and Pass"
_SIMILARITIES = {
    "mean": "their mean",
    "max": "the largest",
    "above": "how many exceed 0.5",
    "couples": "how many there are",
}

#: what of the grid a claim is of, so that it is not applicable where that is cut
_Of = frozenset[GridPart]
_ANY_CUT: _Of = frozenset()
_ALL_CONCEPTS: _Of = frozenset({"ast_nodes", "builtins"})
_ALL_VARIATIONS: _Of = frozenset({"variations"})
_WHOLE_GRID = _ALL_CONCEPTS | _ALL_VARIATIONS

_Expected = int | str | tuple[str, ...] | Near | Between
#: name, statement, expected (bare counts and names exactly), what of the grid it is of, how it is
#: computed, measure, arguments
_Fact = tuple[str, str, _Expected, _Of, str, Callable[..., Observed], *tuple[Any, ...]]


@dataclass(frozen=True)
class _Row:
    """One row of the table of claims, about one artifact and at most one setting."""

    row: str
    section: str
    asset: str
    setting: Setting | None = None

    def states(self, *facts: _Fact) -> Iterator[Claim]:
        for name, statement, expected, of, computed, observe, *arguments in facts:
            yield Claim(
                row=self.row,
                id=f"{self.row}-{name}" if name else self.row,
                section=self.section,
                statement=statement,
                asset=self.asset,
                computed=computed,
                expected=expected if isinstance(expected, Near | Between) else Exactly(expected),
                observe=_observing(observe, arguments),
                setting=self.setting,
                grid_parts=of,
            )


def _observing(observe: Callable[..., Observed], arguments: list[Any]) -> Callable[..., Observed]:
    return lambda evidence: observe(evidence, *arguments)


def _checker_prompts(key: str, name: str, number: int) -> Iterator[Claim]:
    verified = f"all {name} prompts are AST-verified: 0 are not"
    computed = "rows that do not parse, or show the concept they are to avoid"
    return _Row("prompts", "§4", key).states(
        (name, f"{number:,} {name} prompts", number, _ALL_CONCEPTS, "rows", measure.rows, key),
        (f"{name}-verified", verified, 0, _ANY_CUT, computed, measure.unsound, key),
    )


def _without_keyword(kind: str, names: str, number: int) -> _Fact:
    statement = f"{number} {names} without a keyword"
    return (
        f"none-{kind}",
        statement,
        number,
        _ALL_CONCEPTS,
        f"rows of {names}",
        measure.rows,
        _NONE,
        kind,
    )


def _survival(at: Setting) -> _Fact:
    statement = f"all 106 universal circuits are non-empty at {at}"
    computed = "concepts with a neuron in at least one layer"
    return at.file_tag, statement, 106, _ALL_CONCEPTS, computed, measure.surviving, at


def _ratio(at: Setting) -> _Fact:
    statement = f"the AST nodes' mean concept fraction is 4 to 9 times the builtins' at {at}"
    computed = "ast_concept_fraction / blt_concept_fraction"
    return at.file_tag, statement, Between(4, 9), _ANY_CUT, computed, measure.fraction_ratio, at


def _entanglement(name: str, stated: str, expected: Near, told: str) -> _Fact:
    statement = f"{stated} at layer {_LAYER}"
    computed = f"{told} of the entanglement index of all pairs at layer {_LAYER}"
    return name, statement, expected, _WHOLE_GRID, computed, measure.entanglement, name, *_AT


def _similarity(kind: str, name: str, stated: str, expected: Near | int) -> _Fact:
    statement = f"{stated} at layer {_LAYER}"
    computed = f"Jaccard of every two {kind} concepts at layer {_LAYER}: {_SIMILARITIES[name]}"
    of = _ALL_CONCEPTS if name == "couples" else _WHOLE_GRID
    measured = measure.similarity, kind, name, *_AT
    return f"{kind}-{name}", statement, expected, of, computed, *measured


def _sizes(kind: str, names: str, *sizes: float) -> _Fact:
    statement = f"mean circuit sizes of {names} at layers 0 to 7: {' '.join(map(str, sizes))}"
    computed = "mean number of neurons of the circuits at each layer"
    expected = Near(sizes, places=1, tolerance=0.05)
    return kind, statement, expected, _WHOLE_GRID, computed, measure.mean_sizes, kind, _LAYERS


#: every claim, in the order of the table of claims
CLAIMS: tuple[Claim, ...] = (
    *_Row("inventory", "§3.2", "masks").states(
        ("ast", "43 AST nodes", 43, _ALL_CONCEPTS, _CONCEPTS, measure.concepts_of, "ast"),
        ("builtin", "63 builtins", 63, _ALL_CONCEPTS, _CONCEPTS, measure.concepts_of, "builtin"),
        (
            "all",
            "106 concepts",
            106,
            _ALL_CONCEPTS,
            _CONCEPTS,
            measure.concepts_of,
            "ast",
            "builtin",
        ),
    ),
    *_Row("prompts", "§4", "object_prompts").states(
        (
            "pairs",
            "1,276 pairs",
            1276,
            _ALL_CONCEPTS,
            "distinct (AST node, builtin)",
            measure.pairs,
        ),
        (
            "per-pair",
            "50 prompts per pair",
            50,
            _ALL_VARIATIONS,
            "rows of each pair, all pairs alike",
            measure.prompts_per_pair,
        ),
        (
            "object",
            "63,800 object prompts",
            63_800,
            _WHOLE_GRID,
            "rows",
            measure.rows,
            "object_prompts",
        ),
        (
            "object-verified",
            "all object prompts are AST-verified: 0 are not",
            0,
            _ANY_CUT,
            "rows not ast_verified, or without a node of that type",
            measure.unverified,
        ),
    ),
    *_checker_prompts("checker_prompts", "checker", 2848),
    *_checker_prompts("token_checker_prompts", "token-checker", 2861),
    *_Row("keywords", "§6", "summary").states(
        (
            "testable",
            "58 testable concepts",
            58,
            _ALL_CONCEPTS,
            _SUMMED,
            measure.testable,
            "n_testable",
        ),
        (
            "testable-ast",
            "24 testable AST nodes",
            24,
            _ALL_CONCEPTS,
            _SUMMED,
            measure.testable,
            "n_ast",
        ),
        (
            "testable-builtin",
            "34 testable builtins",
            34,
            _ALL_CONCEPTS,
            _SUMMED,
            measure.testable,
            "n_builtin",
        ),
    ),
    *_Row("keywords", "§6", _NONE).states(
        ("none", "48 concepts without a keyword", 48, _ALL_CONCEPTS, "rows", measure.rows, _NONE),
        _without_keyword("ast", "AST nodes", 19),
        _without_keyword("builtin", "builtins", 29),
    ),
    *chain(*(_Row("survival", "§7.1", "masks", at).states(_survival(at)) for at in _SWEEP)),
    *chain(*(_Row("ratio", "§7.2", "summary", at).states(_ratio(at)) for at in _SWEEP)),
    *_Row("peak", "§6", "target_checker", REFERENCE).states(
        (
            "height",
            "the AST nodes' concept-only fraction reaches 62.5%",
            Near(0.625),
            _WHOLE_GRID,
            f"largest over the layers of {_FRACTION} AST nodes",
            measure.peak_height,
        ),
        (
            "layer",
            "the AST nodes' concept-only fraction peaks at a mid-to-late layer",
            Between(3, 7, tolerance=0),
            _ANY_CUT,
            f"layer of the largest {_FRACTION} AST nodes; beyond the first third of 8",
            measure.peak_layer_of,
            _LAYERS,
        ),
        (
            "builtin",
            "the builtins' concept-only fraction is near zero there",
            Between(0, 0.1, tolerance=0),
            _ANY_CUT,
            f"{_FRACTION} builtins at the layer of the AST nodes' peak; at most 0.1",
            measure.builtins_at_peak,
        ),
    ),
    *_Row("modular-top", "§6.1", "modularity_scores", REFERENCE).states(
        (
            "concept",
            "ast__Break tops p = 0",
            _TOP[0],
            _ALL_CONCEPTS,
            f"first of the {_RANKING}",
            measure.most_modular,
        ),
        (
            "layers",
            "ast__Break is significant in 3 layers at p = 0",
            3,
            _ALL_CONCEPTS,
            "significant layers at p = 0",
            measure.significant_layers,
            _TOP[0],
        ),
    ),
    *_Row("modular-top3", "§6.1", "modularity_scores", REFERENCE).states(
        (
            "",
            "the top three at p = 0 are Break, ImportFrom and Assert",
            _TOP,
            _ALL_CONCEPTS,
            f"first three of the {_RANKING}, in any order",
            measure.three_most_modular,
        ),
    ),
    *_Row("atomicity", "§6.1", "masks", REFERENCE).states(
        (
            "",
            f"{_ATOMIC} fall in one cluster of a 4-cluster Ward cut at layer 3",
            1,
            _ALL_CONCEPTS,
            "clusters that hold them: Ward linkage, 1 − Jaccard of non-empty universal masks",
            measure.atomic_clusters,
            REFERENCE,
            3,
            _LAYERS,
        ),
    ),
    *_Row("report-ei", "report", "compositionality", STANDALONE).states(
        _entanglement("mean", "mean E_I 0.5683", Near(0.5683), "mean"),
        _entanglement("median", "median E_I 0.5909", Near(0.5909), "median"),
        _entanglement(
            "below",
            "0.47% of pairs have an E_I below 0.2",
            Near(0.47, places=2),
            "percentage below 0.2",
        ),
    ),
    *_Row("report-ei", "report", "ockham_index", STANDALONE).states(
        (
            "ockham",
            f"mean AST Ockham index 0.4909 at layer {_LAYER}",
            Near(0.4909),
            _WHOLE_GRID,
            f"mean 1 − Jaccard of every two AST nodes at layer {_LAYER}",
            measure.similarity,
            "ast",
            "ockham",
            *_AT,
        ),
    ),
    *_Row("report-jaccard", "report", "ockham_index", STANDALONE).states(
        _similarity("ast", "mean", "mean AST Jaccard 0.5091", Near(0.5091)),
        _similarity("ast", "max", "largest AST Jaccard 0.7861", Near(0.7861)),
        _similarity("ast", "above", "585 couples of AST nodes have a Jaccard above 0.5", 585),
        _similarity("ast", "couples", "there are 903 couples of AST nodes", 903),
        _similarity("builtin", "mean", "mean builtin Jaccard 0.6440", Near(0.6440)),
        _similarity("builtin", "max", "largest builtin Jaccard 0.8523", Near(0.8523)),
        _similarity("builtin", "above", "1,794 couples of builtins have a Jaccard above 0.5", 1794),
    ),
    *_Row("report-profile", "report", "layer_profile", STANDALONE).states(
        _sizes("pair", "pairs", 385.6, 498.7, 496.8, 280.1, 247.8, 206.3, 265.8, 290.9),
        _sizes("ast", "AST nodes", 263.1, 460.4, 422.1, 138.8, 131.7, 91.1, 128.7, 174.7),
        _sizes("builtin", "builtins", 238.6, 452.4, 401.9, 96.5, 93.9, 53.8, 88.5, 138.0),
    ),
)
