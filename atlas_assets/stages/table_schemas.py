"""The declared columns of every published table (docs/science.md §1, §4, §5)."""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.schema import Column, Rule, TableSchema

_CONCEPT = r"^(ast|builtin)__.+$"
_KINDS = ("ast", "builtin")
#: two shares that are each rounded to 4 decimals may miss their sum by this much
_ROUNDING = 1.01e-4


def _count(name: str, description: str, minimum: int = 0) -> Column:
    return Column(name, pl.Int64(), description, minimum=minimum)


def _share(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, pl.Float64(), description, nullable=nullable, minimum=0.0, maximum=1.0)


def _mean(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, pl.Float64(), description, nullable=nullable, minimum=0.0)


def _concept(name: str, description: str) -> Column:
    return Column(name, pl.String(), description, pattern=_CONCEPT)


def _text(name: str, description: str) -> Column:
    return Column(name, pl.String(), description, pattern=r"(?s)^.+$")


def _sum(total: str, *parts: str) -> Rule:
    def holds() -> pl.Expr:
        return pl.sum_horizontal(*parts) == pl.col(total)

    return Rule(f"{' + '.join(parts)} = {total}", (total, *parts), holds)


def _shares_of(total: str, *shares: str) -> Rule:
    """The shares sum to 1, or all are 0 where the total is."""

    def holds() -> pl.Expr:
        whole = (pl.col(total) > 0).cast(pl.Float64)
        return (pl.sum_horizontal(*shares) - whole).abs() <= _ROUNDING

    return Rule(f"{' + '.join(shares)} = 1, or 0 where {total} is 0", (total, *shares), holds)


def _ratio(share: str, part: str, whole: str) -> Rule:
    def holds() -> pl.Expr:
        at_all = pl.col(whole) > 0
        ratio = pl.when(at_all).then(pl.col(part) / pl.col(whole)).otherwise(0.0)
        return (pl.col(part) <= pl.col(whole)) & (pl.col(share) == ratio)

    return Rule(f"{share} = {part} / {whole}, 0 where {whole} is 0", (share, part, whole), holds)


def _between(low: str, value: str, high: str) -> Rule:
    def holds() -> pl.Expr:
        return (pl.col(low) <= pl.col(value)) & (pl.col(value) <= pl.col(high))

    return Rule(f"{low} ≤ {value} ≤ {high}", (low, value, high), holds)


_KIND = Column("type", pl.String(), "ast or builtin", allowed=_KINDS)
EPSILON = Column("epsilon", pl.Float64(), "ε: the mean |readout| a neuron must exceed", minimum=0)
CONSISTENCY = Column(
    "consistency",
    pl.Float64(),
    "C: the share of prompts on which a neuron must fire, in (0, 1]",
    minimum=0,
    maximum=1,
)
_LAYER = _count("layer", "layer, from 0")
_KEYWORD = _text("keyword", "the Python keyword or builtin name that stands for the concept")
_VARIATION = _count("variation_id", "number of the prompt within its unit, from 0")
_PROMPT = _text("prompt_text", "the prompt, Python source")

OBJECT_PROMPTS = TableSchema(
    columns=(
        _text("ast_node", "AST node type that the prompt shows"),
        _text("builtin_obj", "builtin that the prompt shows; _isolated_ where the node takes none"),
        _VARIATION,
        _PROMPT,
        _mean("sequence_loss", "mean cross-entropy (nats) of tokens 2..n; 50.0 for one token"),
        _count("token_length", "number of tokens"),
        Column("ast_verified", pl.Boolean(), "whether the node occurs in the parsed prompt"),
    ),
    key=("ast_node", "builtin_obj", "variation_id"),
    may_be_empty=False,
)

CHECKER_PROMPTS = TableSchema(
    columns=(
        _concept("object", "the concept that the prompt does not show"),
        Column("keyword", pl.String(), "its keyword, which the prompt holds", pattern="^.+$"),
        _VARIATION,
        _PROMPT,
    ),
    key=("object", "variation_id"),
)


def _neurons_are_a_mask() -> pl.Expr:
    neurons = pl.col("neurons")
    ascending = neurons.list.diff(null_behavior="drop").list.min().fill_null(1) > 0
    inside = (neurons.list.first().fill_null(0) >= 0) & (
        neurons.list.last().fill_null(0) < pl.col("width")
    )
    return ascending & inside & (neurons.list.len() == pl.col("size"))


UNIVERSAL_SWEEP = TableSchema(
    columns=(
        EPSILON,
        CONSISTENCY,
        _concept("concept", "ast__{node} or builtin__{name}"),
        _KIND,
        _LAYER,
        _count("width", "neurons per layer of the model (d_model)", minimum=1),
        _count("size", "number of neurons in the mask"),
        Column("neurons", pl.List(pl.Int32()), "the mask's neurons: sorted indices, from 0"),
    ),
    key=("epsilon", "consistency", "concept", "layer"),
    rules=(
        Rule(
            "`size` ascending indices from 0 to width - 1",
            ("size", "width", "neurons"),
            _neurons_are_a_mask,
        ),
    ),
    may_be_empty=False,
)

TARGET_CHECKER = TableSchema(
    columns=(_concept("target", "a concept that has a keyword; A = universal mask"),),
    key=("target",),
    series=Column(
        "L",
        pl.String(),
        "layer {}: |A∖B| / |A∩B| / |B∖A|, B = mask of the keyword alone (checker)",
        pattern=r"^\d+ / \d+ / \d+$",
    ),
)

SUMMARY = TableSchema(
    columns=(
        EPSILON,
        CONSISTENCY,
        _count("n_testable", "concepts that have a keyword"),
        _count("n_ast", "AST nodes among them"),
        _count("n_builtin", "builtins among them"),
        _share(
            "mean_concept_fraction",
            "mean over concept × layer of |A∖B| / |A| (0 where A is empty)",
            nullable=True,
        ),
        _share("mean_token_fraction", "mean over concept × layer of |A∩B| / |A|", nullable=True),
        _share("ast_concept_fraction", "mean concept fraction of the AST nodes", nullable=True),
        _share("ast_token_fraction", "mean token fraction of the AST nodes", nullable=True),
        _share("blt_concept_fraction", "mean concept fraction of the builtins", nullable=True),
        _share("blt_token_fraction", "mean token fraction of the builtins", nullable=True),
        _mean("mean_A_size", "mean size of the universal masks, neurons", nullable=True),
        _mean("mean_B_size", "mean size of the checker masks, neurons", nullable=True),
    ),
    key=("epsilon", "consistency"),
    rules=(_sum("n_testable", "n_ast", "n_builtin"),),
    may_be_empty=False,
)


def _significant_layers(trim: float) -> Column:
    return _count(
        f"p={trim}",
        f"layers in which the concept's mean Jaccard to the others, less the {trim:.0%} most "
        "similar, is in the lowest 5%",
    )


MODULARITY_SCORES = TableSchema(
    columns=(
        _concept("index", "concept; its header in the file is empty, as pandas writes an index"),
        _KIND,
        *(_significant_layers(trim) for trim in (0.0, 0.05, 0.1, 0.25)),
    ),
    key=("index",),
)

MODULARITY_DETAIL = TableSchema(
    columns=(
        _concept("object", "concept"),
        _KIND,
        _LAYER,
        _share("p_trim", "share p of the most similar other concepts that is dropped"),
        _share(
            "observed_trimmed_jaccard",
            "mean Jaccard |A∩B| / |A∪B| to the other concepts after dropping floor(p·n) of them",
        ),
        _share("percentile", "share of concepts whose trimmed mean is at most this one's"),
        Column("significant", pl.Boolean(), "percentile < 0.05"),
    ),
    key=("object", "layer", "p_trim"),
)

_CIRCUITS = "A = universal mask, B = token-checker mask"

TOKEN_INDEPENDENCE_DETAIL = TableSchema(
    columns=(
        _count("A_size", f"|A|, number of neurons; {_CIRCUITS}"),
        _count("B_size", "|B|, number of neurons"),
        _count("A_only", "|A∖B|, number of neurons"),
        _count("A_and_B", "|A∩B|, number of neurons"),
        _count("B_only", "|B∖A|, number of neurons"),
        _share("token_fraction", "|A∩B| / |A|, 0 where A is empty, 4 decimals"),
        _share("concept_fraction", "|A∖B| / |A|, 0 where A is empty, 4 decimals"),
        _concept("object", "concept"),
        _KIND,
        _KEYWORD,
        _LAYER,
    ),
    key=("object", "layer"),
    rules=(
        _sum("A_size", "A_only", "A_and_B"),
        _sum("B_size", "B_only", "A_and_B"),
        _shares_of("A_size", "token_fraction", "concept_fraction"),
    ),
)

TOKEN_INDEPENDENCE_SUMMARY = TableSchema(
    columns=(
        _concept("object", "concept"),
        _KIND,
        _KEYWORD,
        _share("concept_fraction", f"mean over layers of |A∖B| / |A|; {_CIRCUITS}"),
        _share("token_fraction", "mean over layers of |A∩B| / |A|"),
        _mean("A_size", "mean over layers of |A|"),
        _mean("A_and_B", "mean over layers of |A∩B|"),
        _mean("A_only", "mean over layers of |A∖B|"),
        _mean("B_only", "mean over layers of |B∖A|"),
    ),
    key=("object",),
)

TOKEN_INDEPENDENCE_NO_KEYWORD = TableSchema(
    columns=(
        _concept("object", "concept that no keyword gives away"),
        Column("status", pl.String(), "always no_keyword", allowed=("no_keyword",)),
    ),
    key=("object",),
)

COMPOSITIONALITY = TableSchema(
    columns=(
        _text("ast_node", "AST node type of the pair"),
        _text("builtin_obj", "builtin of the pair; _isolated_ where the node takes none"),
        _LAYER,
        _count("pair_size", "|P|, number of neurons in the pair's mask P"),
        _count("unexplained", "|P ∖ (A ∪ B)|, A and B the universal masks of its two concepts"),
        _share("entanglement_index", "E_I = |P ∖ (A ∪ B)| / |P|, 0 where P is empty"),
    ),
    key=("ast_node", "builtin_obj", "layer"),
    rules=(_ratio("entanglement_index", "unexplained", "pair_size"),),
)

OCKHAM_INDEX = TableSchema(
    columns=(
        _KIND,
        _LAYER,
        _concept("concept_a", "concept; its universal mask is A"),
        _concept("concept_b", "another of the same type, later by name; its universal mask is B"),
        _share("jaccard", "|A∩B| / |A∪B|, 0 where both are empty"),
        _share("ockham_index", "1 − jaccard"),
    ),
    key=("layer", "concept_a", "concept_b"),
    rules=(
        Rule(
            "ockham_index = 1 - jaccard, concept_a < concept_b",
            ("jaccard", "ockham_index", "concept_a", "concept_b"),
            lambda: (
                (pl.col("ockham_index") == 1 - pl.col("jaccard"))
                & (pl.col("concept_a") < pl.col("concept_b"))
            ),
        ),
    ),
)

LAYER_PROFILE = TableSchema(
    columns=(
        _LAYER,
        Column(
            "type",
            pl.String(),
            "pair (pair masks), ast or builtin (universal masks)",
            allowed=("pair", *_KINDS),
        ),
        _count("n", "number of circuits, empty ones included", minimum=1),
        _mean("mean_size", "mean number of neurons"),
        _mean("median_size", "median number of neurons"),
        _count("min_size", "neurons of the smallest circuit"),
        _count("max_size", "neurons of the largest circuit"),
    ),
    key=("layer", "type"),
    rules=(_between("min_size", "mean_size", "max_size"),),
    may_be_empty=False,
)

MARGINALISATION_ROBUSTNESS = TableSchema(
    columns=(
        _concept("concept", "concept"),
        _KIND,
        _LAYER,
        _count(
            "n_pairs_intersected",
            "k: how many of the concept's pairs are intersected; in the last row of a layer all, "
            "which gives the universal mask",
            minimum=1,
        ),
        _mean("mean_size", "neurons in the intersection of k pair masks, mean over random orders"),
        _count("min_size", "the smallest over the orders"),
        _count("max_size", "the largest over the orders"),
    ),
    key=("concept", "layer", "n_pairs_intersected"),
    rules=(_between("min_size", "mean_size", "max_size"),),
)

MODULARITY_NULL = TableSchema(
    columns=(
        _concept("object", "concept"),
        _KIND,
        _LAYER,
        _share("p_trim", "share of the most similar other concepts that is dropped"),
        _share("observed_trimmed_jaccard", "mean Jaccard |A∩B| / |A∪B| to the other concepts"),
        _share("null_mean", "mean of the same over the permutations"),
        _mean("null_sd", "its standard deviation over the permutations"),
        _share(
            "p_value",
            "(1 + #{null ≤ observed}) / (1 + permutations); small for a circuit that stands apart",
        ),
        _count(
            "permutations",
            "randomised concepts × neurons matrices per layer; circuit sizes and the number of "
            "circuits each neuron is in are kept",
            minimum=1,
        ),
        _count("seed", "seed of the randomisation"),
    ),
    key=("object", "layer", "p_trim"),
    rules=(
        Rule(
            "p_value > 0",
            ("p_value",),
            lambda: pl.col("p_value") > 0,
        ),
    ),
)
