"""The claims of the paper (Wilam 2026) and of the report on it, one by one.

Each row of the table of claims is split into as many claims as it states facts. What a claim
expects is about ``openai/circuit-sparsity`` and the frozen artifacts alone; what it observes is
computed the same way from any atlas. Readings that the sources leave open:

- AST concept-only fraction "at a mid-to-late layer" (§6): one of layers 3 to 7 of 8; builtins "near
  zero": a mean of at most 0.1 at that layer. Both against the checker masks of stage 14.
- The atomicity cluster (§6.1): at the reference setting, as the rest of §6.1; at layer 3, where the
  release shows it (the paper's text says 5).
- The top three of the modularity ranking: in any order, since the table breaks ties by p = 0.25.
- Circuit sizes are printed to one decimal, and compared to half a unit of it.
- "0.47% of pairs": the percentage, so that the tolerance does not admit another number of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from atlas_assets.stages.concepts import Kind
from atlas_assets.stages.report import measures as measure
from atlas_assets.stages.report.claims import (
    Between,
    Claim,
    Evidence,
    Exactly,
    Expectation,
    InAnyOrder,
    Near,
    Observed,
)
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

_ONE_DECIMAL = 0.05
_LAYER = 4
_ATOMICITY_LAYER = 3

_Counting = Callable[[Evidence], int] | Callable[[Evidence], int | tuple[int, ...]]


class _Stated(NamedTuple):
    """One thing that a row states: what, how it is computed, what is expected."""

    id: str
    statement: str
    computed: str
    expected: Expectation
    observe: Callable[[Evidence], Observed]


def _row(
    row: str, section: str, asset: str, *stated: _Stated, setting: Setting | None = None
) -> list[Claim]:
    """The claims of one row that speak of one artifact, at one setting if at any."""
    return [
        Claim(
            row=row,
            id=f"{row}-{one.id}" if one.id else row,
            section=section,
            statement=one.statement,
            asset=asset,
            computed=one.computed,
            expected=one.expected,
            observe=one.observe,
            setting=setting,
        )
        for one in stated
    ]


def _count(name: str, statement: str, expected: int, computed: str, observe: _Counting) -> _Stated:
    return _Stated(name, statement, computed, Exactly(expected), observe)


def _inventory() -> list[Claim]:
    computed = "concepts that have a universal mask, empty or not"
    return _row(
        "inventory",
        "§3.2",
        "masks",
        _count("ast", "43 AST nodes", 43, computed, measure.concepts_of(("ast",))),
        _count("builtin", "63 builtins", 63, computed, measure.concepts_of(("builtin",))),
        _count("all", "106 concepts", 106, computed, measure.concepts_of(("ast", "builtin"))),
    )


def _object_prompts() -> list[Claim]:
    key = "object_prompts"
    per_pair = "rows of each pair, all pairs alike"
    verified = "all object prompts are AST-verified: 0 are not"
    unseen = "rows not ast_verified, or without a node of that type"
    return _row(
        "prompts",
        "§4",
        key,
        _count("pairs", "1,276 pairs", 1276, "distinct (AST node, builtin)", measure.pairs),
        _count("per-pair", "50 prompts per pair", 50, per_pair, measure.prompts_per_pair),
        _count("object", "63,800 object prompts", 63_800, "rows", measure.rows(key)),
        _count("object-verified", verified, 0, unseen, measure.unverified),
    )


def _checker_prompts(key: str, name: str, number: int) -> list[Claim]:
    verified = f"all {name} prompts are AST-verified: 0 are not"
    unsound = "rows that do not parse, or show the concept they are to avoid"
    return _row(
        "prompts",
        "§4",
        key,
        _count(name, f"{number:,} {name} prompts", number, "rows", measure.rows(key)),
        _count(f"{name}-verified", verified, 0, unsound, measure.unsound(key)),
    )


def _testable() -> list[Claim]:
    computed = "the count in the table, the same at every setting"
    return _row(
        "keywords",
        "§6",
        "summary",
        _count("testable", "58 testable concepts", 58, computed, measure.testable("n_testable")),
        _count("testable-ast", "24 testable AST nodes", 24, computed, measure.testable("n_ast")),
        _count(
            "testable-builtin", "34 testable builtins", 34, computed, measure.testable("n_builtin")
        ),
    )


def _tokenless() -> list[Claim]:
    key = "token_independence_no_keyword"
    of_ast, of_builtins = measure.rows(key, kind="ast"), measure.rows(key, kind="builtin")
    return _row(
        "keywords",
        "§6",
        key,
        _count("none", "48 concepts without a keyword", 48, "rows", measure.rows(key)),
        _count("none-ast", "19 AST nodes without a keyword", 19, "rows of AST nodes", of_ast),
        _count(
            "none-builtin", "29 builtins without a keyword", 29, "rows of builtins", of_builtins
        ),
    )


def _survival(setting: Setting) -> list[Claim]:
    return _row(
        "survival",
        "§7.1",
        "masks",
        _count(
            setting.file_tag,
            f"all 106 universal circuits are non-empty at {setting}",
            106,
            "concepts with a neuron in at least one layer",
            measure.surviving(setting),
        ),
        setting=setting,
    )


def _ratio(setting: Setting) -> list[Claim]:
    return _row(
        "ratio",
        "§7.2",
        "summary",
        _Stated(
            setting.file_tag,
            f"the AST nodes' mean concept fraction is 4 to 9 times the builtins' at {setting}",
            "ast_concept_fraction / blt_concept_fraction",
            Between(4, 9),
            measure.fraction_ratio(setting),
        ),
        setting=setting,
    )


def _peak() -> list[Claim]:
    fraction = "|A∖B| / |A|, B = checker mask, mean over the testable"
    return _row(
        "peak",
        "§6",
        "target_checker",
        _Stated(
            "height",
            "the AST nodes' concept-only fraction reaches 62.5%",
            f"largest over the layers of {fraction} AST nodes",
            Near(0.625),
            measure.peak_height,
        ),
        _Stated(
            "layer",
            "the AST nodes' concept-only fraction peaks at a mid-to-late layer",
            f"layer of the largest {fraction} AST nodes; beyond the first third of 8",
            Between(3, 7, tolerance=0),
            measure.peak_layer,
        ),
        _Stated(
            "builtin",
            "the builtins' concept-only fraction is near zero there",
            f"{fraction} builtins at the layer of the AST nodes' peak; at most 0.1",
            Between(0, 0.1, tolerance=0),
            measure.builtins_at_peak,
        ),
        setting=REFERENCE,
    )


def _modularity() -> list[Claim]:
    ranking = "concepts by significant layers at p = 0, then at p = 0.25"
    at_top = ("ast__Break", "ast__ImportFrom", "ast__Assert")
    key = "modularity_scores"
    top = _row(
        "modular-top",
        "§6.1",
        key,
        _Stated(
            "concept",
            "ast__Break tops p = 0",
            f"first of the {ranking}",
            Exactly(at_top[0]),
            measure.most_modular,
        ),
        _count(
            "layers",
            "ast__Break is significant in 3 layers at p = 0",
            3,
            "significant layers at p = 0",
            measure.significant_layers(at_top[0]),
        ),
        setting=REFERENCE,
    )
    three = _Stated(
        "",
        "the top three at p = 0 are Break, ImportFrom and Assert",
        f"first three of the {ranking}, in any order",
        InAnyOrder(at_top),
        measure.three_most_modular,
    )
    return [*top, *_row("modular-top3", "§6.1", key, three, setting=REFERENCE)]


def _atomicity() -> list[Claim]:
    return _row(
        "atomicity",
        "§6.1",
        "masks",
        _count(
            "",
            "Assert, Break, Continue, Import, ImportFrom and Pass fall in one cluster of a "
            f"4-cluster Ward cut at layer {_ATOMICITY_LAYER}",
            1,
            "clusters that hold them: Ward linkage, 1 − Jaccard of non-empty universal masks",
            measure.atomic_clusters(REFERENCE, _ATOMICITY_LAYER),
        ),
        setting=REFERENCE,
    )


def _entanglement() -> list[Claim]:
    index = f"the entanglement index of all pairs at layer {_LAYER}"
    pairs = "0.47% of pairs have an E_I below 0.2"
    of_pairs = _row(
        "report-ei",
        "report",
        "compositionality",
        _Stated(
            "mean",
            f"mean E_I 0.5683 at layer {_LAYER}",
            f"mean of {index}",
            Near(0.5683),
            measure.entanglement("mean", _LAYER),
        ),
        _Stated(
            "median",
            f"median E_I 0.5909 at layer {_LAYER}",
            f"median of {index}",
            Near(0.5909),
            measure.entanglement("median", _LAYER),
        ),
        _Stated(
            "below",
            f"{pairs} at layer {_LAYER}",
            f"percentage below 0.2 of {index}",
            Near(0.47, places=2),
            measure.entanglement("below", _LAYER),
        ),
        setting=STANDALONE,
    )
    ockham = _Stated(
        "ockham",
        f"mean AST Ockham index 0.4909 at layer {_LAYER}",
        f"mean 1 − Jaccard of every two AST nodes at layer {_LAYER}",
        Near(0.4909),
        measure.similarity("ast", "ockham", _LAYER),
    )
    return [*of_pairs, *_row("report-ei", "report", "ockham_index", ockham, setting=STANDALONE)]


def _similarities() -> list[Claim]:
    details: tuple[tuple[Kind, measure.Similarity, str, Expectation], ...] = (
        ("ast", "mean", "mean AST Jaccard 0.5091", Near(0.5091)),
        ("ast", "max", "largest AST Jaccard 0.7861", Near(0.7861)),
        ("ast", "above", "585 couples of AST nodes have a Jaccard above 0.5", Exactly(585)),
        ("ast", "couples", "there are 903 couples of AST nodes", Exactly(903)),
        ("builtin", "mean", "mean builtin Jaccard 0.6440", Near(0.6440)),
        ("builtin", "max", "largest builtin Jaccard 0.8523", Near(0.8523)),
        ("builtin", "above", "1,794 couples of builtins have a Jaccard above 0.5", Exactly(1794)),
    )
    stated = [
        _Stated(
            f"{kind}-{name}",
            f"{statement} at layer {_LAYER}",
            f"Jaccard of every two {kind} concepts at layer {_LAYER}: {measure.SIMILARITIES[name]}",
            expected,
            measure.similarity(kind, name, _LAYER),
        )
        for kind, name, statement, expected in details
    ]
    return _row("report-jaccard", "report", "ockham_index", *stated, setting=STANDALONE)


def _profile() -> list[Claim]:
    details = (
        ("pair", "pairs", (385.6, 498.7, 496.8, 280.1, 247.8, 206.3, 265.8, 290.9)),
        ("ast", "AST nodes", (263.1, 460.4, 422.1, 138.8, 131.7, 91.1, 128.7, 174.7)),
        ("builtin", "builtins", (238.6, 452.4, 401.9, 96.5, 93.9, 53.8, 88.5, 138.0)),
    )
    stated = [
        _Stated(
            kind,
            f"mean circuit sizes of {name} at layers 0 to 7: {' '.join(map(str, sizes))}",
            "mean number of neurons of the circuits at each layer",
            Near(sizes, places=1, tolerance=_ONE_DECIMAL),
            measure.mean_sizes(kind),
        )
        for kind, name, sizes in details
    ]
    return _row("report-profile", "report", "layer_profile", *stated, setting=STANDALONE)


_SWEEP = grid(PUBLISHED_EPSILONS, PUBLISHED_CONSISTENCIES)

#: every claim, in the order of the table of claims
CLAIMS: tuple[Claim, ...] = (
    *_inventory(),
    *_object_prompts(),
    *_checker_prompts("checker_prompts", "checker", 2848),
    *_checker_prompts("token_checker_prompts", "token-checker", 2861),
    *_testable(),
    *_tokenless(),
    *(claim for setting in _SWEEP for claim in _survival(setting)),
    *(claim for setting in _SWEEP for claim in _ratio(setting)),
    *_peak(),
    *_modularity(),
    *_atomicity(),
    *_entanglement(),
    *_similarities(),
    *_profile(),
)
