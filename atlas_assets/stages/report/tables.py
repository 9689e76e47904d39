"""The tables of the report, from the tables of the atlas."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages.analyses.modularity import SIGNIFICANCE, TRIMS
from atlas_assets.stages.analyses.ockham import KINDS, JaccardMatrices
from atlas_assets.stages.concepts import Kind, split_concept
from atlas_assets.stages.masks.masks import JACCARD_LAYER
from atlas_assets.stages.report.table import Cell, Table, table
from atlas_assets.stages.setting import spell

#: rows of a ranking
_TOP = 20
_FEW = 10
#: pairs of concepts more similar than this are counted (docs/science.md §6, ``report-jaccard``)
_SIMILAR = 0.5
#: pairs less entangled than this are counted (docs/science.md §6, ``report-ei``)
_LITTLE = 0.2
#: columns of mean sizes, which are printed to one decimal
_SIZES = {"mean |A|": 1, "mean |B|": 1, "mean |A∩B|": 1}
_NAMES = {"pair": "pairs", "ast": "AST nodes", "builtin": "builtins"}


def sweep(summary: pl.DataFrame) -> Table:
    """Fractions and sizes at every setting."""
    columns = {
        "mean_concept_fraction": "concept fraction",
        "ast_concept_fraction": "of AST nodes",
        "blt_concept_fraction": "of builtins",
        "mean_token_fraction": "token fraction",
        "mean_A_size": "mean |A|",
        "mean_B_size": "mean |B|",
    }
    rows = [
        [f"ε = {spell(row['epsilon'])}, C = {spell(row['consistency'])}"]
        + [row[name] for name in columns]
        for row in summary.iter_rows(named=True)
    ]
    first = summary.row(0, named=True)
    note = (
        f"Means over concept × layer, over {first['n_ast']} AST nodes and {first['n_builtin']} "
        "builtins that have a keyword. A: universal mask, B: mask of the keyword alone."
    )
    return table("The sweep", ["setting", *columns.values()], rows, note=note, places_of=_SIZES)


def decomposition(target_checker: pl.DataFrame) -> Table:
    """Concept only, shared, token only: every concept and layer at the reference setting."""
    layers = [f"layer {name.removeprefix('L')}" for name in target_checker.columns[1:]]
    return table(
        "Decomposition of every concept that has a keyword",
        ["concept", *layers],
        target_checker.iter_rows(),
        note="Neurons in A∖B / A∩B / B∖A; A: universal mask, B: mask of the keyword alone.",
        folded=True,
    )


def profile(layer_profile: pl.DataFrame) -> Table:
    """Mean and median circuit sizes by layer."""
    kinds = [kind for kind in _NAMES if (layer_profile["type"] == kind).any()]
    found = {(row["layer"], row["type"]): row for row in layer_profile.iter_rows(named=True)}
    rows = [
        [f"layer {layer}"]
        + [found[layer, kind][size] for kind in kinds for size in ("mean_size", "median_size")]
        for layer in sorted({layer for layer, _ in found})
    ]
    columns = [f"{_NAMES[kind]}, {which}" for kind in kinds for which in ("mean", "median")]
    return table("Circuit sizes, neurons", ["layer", *columns], rows, places=1)


def entanglement(compositionality: pl.DataFrame) -> Table:
    """The entanglement index by layer."""
    index = pl.col("entanglement_index")
    rows = (
        compositionality.group_by("layer", maintain_order=True)
        .agg(
            index.len(),
            index.mean().alias("mean"),
            index.median().alias("median"),
            (index < _LITTLE).mean().alias("low"),
            (pl.col("pair_size") == 0).sum().alias("empty"),
        )
        .sort("layer")
        .rows()
    )
    return table(
        "Entanglement index of pairs",
        ["layer", "pairs", "mean", "median", f"share below {_LITTLE}", "empty pairs"],
        [[f"layer {layer}", *rest] for layer, *rest in rows],
        note="An empty pair counts as 0.",
    )


def entangled_pairs(compositionality: pl.DataFrame) -> Table:
    """The pairs that their concepts explain least, and best, at the layer of the figure."""
    layer = _layer_shown(compositionality["layer"].n_unique())
    at_layer = compositionality.filter(pl.col("layer") == layer, pl.col("pair_size") > 0)
    names = ["ast_node", "builtin_obj"]
    ranked = at_layer.sort("entanglement_index", *names, descending=[True, False, False])
    shown = ranked if ranked.height <= 2 * _FEW else pl.concat([ranked[:_FEW], ranked[-_FEW:]])
    rows = [
        [f"{ast_node} + {builtin}", *values]
        for ast_node, builtin, *values in shown.select(
            *names, "entanglement_index", "pair_size", "unexplained"
        ).iter_rows()
    ]
    return table(
        f"The most and the least entangled pairs at layer {layer}",
        ["pair", "E_I", "neurons", "unexplained"],
        rows,
        folded=True,
    )


def similarity(matrices: JaccardMatrices) -> Table:
    """Jaccard similarity between concepts of one type, by layer."""
    rows: list[list[Cell]] = []
    for layer in range(len(matrices.values["ast"])):
        row: list[Cell] = [f"layer {layer}"]
        for kind in KINDS:
            values = _couples(matrices, kind, layer)
            similar = int(np.count_nonzero(values > _SIMILAR))
            row += (
                [float(values.mean()), float(values.max()), similar] if values.size else [None] * 3
            )
        rows.append(row)
    columns = [
        f"{_NAMES[kind]}, {what}" for kind in KINDS for what in ("mean", "largest", f"> {_SIMILAR}")
    ]
    counts = [f"{_couples(matrices, kind, 0).size:,} of {_NAMES[kind]}" for kind in KINDS]
    return table(
        "Jaccard similarity between concepts of one type",
        ["layer", *columns],
        rows,
        note=f"Over couples: {' and '.join(counts)}. The Ockham index is 1 − Jaccard.",
    )


def most_similar(matrices: JaccardMatrices) -> Table:
    """The couples of concepts with the largest similarity at the layer of the mask files'."""
    layer = _layer_shown(len(matrices.values["ast"]))
    couples: list[tuple[float, str, str]] = []
    for kind in KINDS:
        names = matrices.names[kind]
        first, second = np.triu_indices(len(names), k=1)
        values = matrices.values[kind][layer][first, second]
        couples += [
            (float(value), names[i], names[j])
            for value, i, j in zip(values, first, second, strict=True)
        ]
    couples.sort(key=lambda couple: (-couple[0], couple[1:]))
    rows: list[list[Cell]] = [[f"{a}, {b}", v, 1 - v] for v, a, b in couples[:_TOP]]
    return table(
        f"The most similar concepts of one type at layer {layer}",
        ["concepts", "Jaccard", "Ockham index"],
        rows,
        folded=True,
    )


def marginalisation(robustness: pl.DataFrame) -> Table:
    """Mean circuit size after one, half and all of a concept's pairs."""
    k, last = pl.col("n_pairs_intersected"), pl.col("n_pairs_intersected").max()
    size = pl.col("mean_size")
    settled = robustness.group_by("concept", "type", "layer", maintain_order=True).agg(
        size.filter(k == 1).first().alias("one"),
        size.filter(k == (last + 1) // 2).first().alias("half"),
        size.filter(k == last).first().alias("all"),
    )
    means = settled.group_by("layer", "type", maintain_order=True).agg(
        pl.col("one", "half", "all").mean()
    )
    sizes = {(layer, kind): rest for layer, kind, *rest in means.iter_rows()}
    kinds = [kind for kind in KINDS if any(kind == one for _, one in sizes)]
    rows: list[list[Cell]] = [
        [f"layer {layer}", *(value for kind in kinds for value in sizes[layer, kind])]
        for layer in sorted({layer for layer, _ in sizes})
    ]
    columns = [
        f"{_NAMES[kind]}, {which}" for kind in kinds for which in ("one pair", "half", "all")
    ]
    return table(
        "Circuit size as pairs are intersected, neurons",
        ["layer", *columns],
        rows,
        note="Means over concepts and random orders of a concept's pairs.",
        places=1,
    )


def modularity(scores: pl.DataFrame, null: pl.DataFrame | None) -> Table:
    """The ranking, beside what the permutation null says of the same concepts."""
    trims = [f"p={trim}" for trim in TRIMS]
    columns = ["concept", *trims]
    rows: list[list[Cell]] = [
        [row["index"], *(row[trim] for trim in trims)]
        for row in scores.head(_TOP).iter_rows(named=True)
    ]
    note = (
        "Layers in which the concept's mean Jaccard to the others, less the share p of the most "
        "similar, is in the lowest 5%."
    )
    if null is not None and null.height:
        apart = null.group_by("object", maintain_order=True).agg(
            (pl.col("p_value") < SIGNIFICANCE).sum().alias("layers"), pl.col("p_value").min()
        )
        found = {name: rest for name, *rest in apart.iter_rows()}
        rows = [[*row, *found.get(str(row[0]), [None, None])] for row in rows]
        columns += [f"null: p-value < {SIGNIFICANCE}", "smallest p-value"]
        number = null["permutations"][0]
        note += f" Null: {number:,} permutations per layer, sizes and popularity of neurons kept."
    of = f"the first {_TOP} of {scores.height}" if scores.height > _TOP else "all concepts"
    return table(f"Relaxed modularity, {of}", columns, rows, note=note)


def token_independence(summary: pl.DataFrame) -> Table:
    """The concepts that their keywords explain least, and most."""
    shown = summary if summary.height <= _TOP else pl.concat([summary[:_FEW], summary[-_FEW:]])
    columns = ["object", "keyword", "concept_fraction", "token_fraction", "A_size", "A_and_B"]
    title = "Token independence"
    if summary.height > _TOP:
        title += f", the first and the last {_FEW} of {summary.height}"
    return table(
        title,
        ["concept", "keyword", "concept fraction", "token fraction", "mean |A|", "mean |A∩B|"],
        shown.select(columns).iter_rows(),
        note="Means over layers. A: universal mask, B: token-checker mask.",
        places_of=_SIZES,
    )


def no_keyword(table_: pl.DataFrame) -> str:
    """The concepts without a keyword, in one sentence."""
    names = [split_concept(name)[1] for name in table_["object"]]
    if not names:
        return "Every concept has a keyword."
    return f"{len(names)} concepts have no keyword: {', '.join(names)}."


def _layer_shown(n_layers: int) -> int:
    """The layer of the published numbers, or the last one of a shallower model."""
    return max(min(JACCARD_LAYER, n_layers - 1), 0)


def _couples(matrices: JaccardMatrices, kind: Kind, layer: int) -> npt.NDArray[np.float64]:
    """Similarities of every two concepts of one type at one layer."""
    matrix = matrices.values[kind][layer]
    couples: npt.NDArray[np.float64] = matrix[np.triu_indices(len(matrix), k=1)]
    return couples
