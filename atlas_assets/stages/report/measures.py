"""How each claim's quantity is computed from an atlas, whichever its model.

Every function raises AtlasError where the evidence does not hold what it needs (a layer, a concept,
any row at all).
"""

from __future__ import annotations

import math
from typing import Literal, NoReturn

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.concepts import Kind, split_concept
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.prompts.artifacts import shows_node
from atlas_assets.stages.prompts.checker_prompts import avoids_concept
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.report.claims import Evidence
from atlas_assets.stages.rounding import Reals, fractions
from atlas_assets.stages.setting import REFERENCE, Setting

_HALF = 0.5
_FEW = 0.2


def concepts_of(evidence: Evidence, *kinds: Kind) -> int:
    """Return the number of concepts of these kinds."""
    return sum(split_concept(name)[0] in kinds for name in evidence.concepts())


def surviving(evidence: Evidence, setting: Setting) -> int:
    """Return the number of concepts whose universal mask has a neuron in at least one layer."""
    return int((evidence.universal(setting).sizes().sum(axis=1) > 0).sum())


def fraction_ratio(evidence: Evidence, setting: Setting) -> float:
    """Return the AST nodes' mean concept fraction as a multiple of the builtins'."""
    here = {"epsilon": setting.epsilon, "consistency": setting.consistency}
    rows = evidence.table("summary").filter(**here)
    if rows.height != 1:
        _lacking("summary", f"one row for {setting}", f"{rows.height} rows")
    of_ast, of_builtins = rows["ast_concept_fraction"][0], rows["blt_concept_fraction"][0]
    if of_ast is None or of_builtins is None:
        _lacking("summary", "testable AST nodes and testable builtins", "only one of them")
    return float(of_ast / of_builtins) if of_builtins else math.inf


def most_modular(evidence: Evidence) -> str:
    """Return the concept that stands apart in most layers, or of how many it is none alone."""
    first = _most_modular(evidence, 1)
    return first if isinstance(first, str) else first[0]


def three_most_modular(evidence: Evidence) -> tuple[str, ...] | str:
    """Return the three concepts that stand apart in most layers, or how many tie for them."""
    return _most_modular(evidence, 3)


def _most_modular(evidence: Evidence, count: int) -> tuple[str, ...] | str:
    """Return the first ``count`` of the ranking; where others are level with the last, in words."""
    ranking = _scores(evidence).sort("p=0.0", "p=0.25", descending=True, maintain_order=True)
    last = ranking[min(count, ranking.height) - 1].select("p=0.0", "p=0.25")
    reached = ranking.join(last, on=last.columns, how="semi", maintain_order="left")
    first = tuple(ranking["index"].to_list()[:count])
    outside = [name for name in reached["index"].to_list() if name not in first]
    return f"a tie of {reached.height} concepts" if outside else first


def significant_layers(evidence: Evidence, concept: str) -> int:
    """Return in how many layers a concept stands apart, nothing being trimmed."""
    rows = _scores(evidence).filter(index=concept)
    if rows.height != 1:
        _lacking("modularity_scores", f"a row for {concept}", f"{rows.height} rows")
    return int(rows["p=0.0"][0])


def _scores(evidence: Evidence) -> pl.DataFrame:
    table = evidence.table("modularity_scores")
    if table.is_empty():
        _lacking("modularity_scores", "at least one concept", "an empty table")
    return table


def atomic_clusters(evidence: Evidence, setting: Setting, layer: int, n_layers: int) -> int:
    """Return over how many clusters of the cut the six atomic concepts are spread.

    An atomic concept whose circuit is empty is in no cluster, and counts as one of its own. Of a
    model of another number of layers than ``n_layers`` there is no such claim, as for all that
    names a layer.
    """
    universal = evidence.universal(setting)
    _require_layers("masks", universal.n_layers, n_layers)
    for name in atomicity.ATOMIC_CONCEPTS:
        universal.index(name)
    groups = atomicity.clusters(universal, layer)
    found = [groups.get(name) for name in atomicity.ATOMIC_CONCEPTS]
    return len({group for group in found if group is not None}) + found.count(None)


def entanglement(
    evidence: Evidence, name: Literal["mean", "median", "below"], layer: int, n_layers: int
) -> float:
    """Return the mean, the median or the percentage below 0.2 of the pairs' entanglement index."""
    table = evidence.table("compositionality")
    values = _at_layer(table, "entanglement_index", layer, n_layers)
    if name == "below":
        return 100 * float((values < _FEW).mean())
    return float(np.median(values) if name == "median" else values.mean())


def similarity(
    evidence: Evidence,
    kind: Kind,
    name: Literal["mean", "max", "above", "couples", "ockham"],
    layer: int,
    n_layers: int,
) -> float:
    """Return what ``name`` says of the similarity of every two concepts of one kind.

    That is the mean or the largest Jaccard similarity, the number of couples above 0.5 or of all
    couples (both int), or the mean Ockham index.
    """
    column = "ockham_index" if name == "ockham" else "jaccard"
    values = _at_layer(evidence.table("ockham_index").filter(type=kind), column, layer, n_layers)
    if name == "above":
        return int((values > _HALF).sum())
    if name == "couples":
        return len(values)
    return float(values.max() if name == "max" else values.mean())


def mean_sizes(evidence: Evidence, kind: str, n_layers: int) -> tuple[float, ...]:
    """Return the mean circuit size at each layer, of ``pair``, ``ast`` or ``builtin`` circuits.

    Of a model of another number of layers than ``n_layers`` there is no such claim.
    """
    rows = evidence.table("layer_profile").filter(type=kind).sort("layer")
    if rows.is_empty():
        _lacking("layer_profile", f"{kind} circuits", "none")
    _require_layers("layer_profile", rows.height, n_layers)
    return tuple(rows["mean_size"].to_list())


def _require_layers(where: str, found: int, expected: int) -> None:
    if found != expected:
        _lacking(where, f"the {expected} layers that the claim names", f"{found} layers")


def _at_layer(table: pl.DataFrame, column: str, layer: int, n_layers: int) -> Reals:
    _require_layers(f"layer {layer}", table["layer"].n_unique(), n_layers)
    values = table.filter(layer=layer)[column].to_numpy()
    if not values.size:
        _lacking(f"layer {layer}", "values at that layer", "none")
    return values.astype(np.float64)


def _mean_fractions(evidence: Evidence, kind: Kind) -> Reals:
    """Return the mean concept fraction at each layer, over the testable concepts of a kind."""
    table = evidence.table("target_checker", REFERENCE)
    of_kind = [split_concept(target)[0] == kind for target in table["target"]]
    if not any(of_kind):
        _lacking("target_checker", f"testable {kind} concepts", "none")
    cells = decomposition.parse_target_checker(table.filter(pl.Series(of_kind)))
    concept_only, shared = cells[..., 0], cells[..., 1]
    means: Reals = fractions(concept_only, concept_only + shared).mean(axis=0)
    return means


def peak_height(evidence: Evidence) -> float:
    """Return the AST nodes' largest concept fraction over the layers, at the reference setting."""
    return float(_mean_fractions(evidence, "ast").max())


def peak_layer(evidence: Evidence) -> int:
    """Return the layer of `peak_height`; the first of several."""
    return int(_mean_fractions(evidence, "ast").argmax())


def peak_layer_of(evidence: Evidence, n_layers: int) -> int:
    """Return `peak_layer`; of a model of another number of layers there is no such claim."""
    _require_layers("target_checker", len(_mean_fractions(evidence, "ast")), n_layers)
    return peak_layer(evidence)


def builtins_at_peak(evidence: Evidence) -> float:
    """Return the builtins' concept fraction at `peak_layer`."""
    return float(_mean_fractions(evidence, "builtin")[peak_layer(evidence)])


def rows(evidence: Evidence, key: str, kind: Kind | None = None) -> int:
    """Return the number of rows of a table, or of those that speak of one kind of concept."""
    table = evidence.table(key)
    if kind is None:
        return table.height
    return sum(split_concept(concept)[0] == kind for concept in table["object"])


def pairs(evidence: Evidence) -> int:
    """Return the number of distinct pairs among the object prompts."""
    return evidence.table("object_prompts").select("ast_node", "builtin_obj").n_unique()


def prompts_per_pair(evidence: Evidence) -> int | tuple[int, ...]:
    """Return the number that all pairs have; the smallest and the largest where they differ."""
    of_pairs = evidence.table("object_prompts").group_by("ast_node", "builtin_obj").len("prompts")
    return _ends(of_pairs["prompts"], "object_prompts", "at least one pair")


def unverified(evidence: Evidence) -> int:
    """Return the number of object prompts that are not marked as verified, or lack their node.

    Prompts that this program has written are not parsed again: to mark one, it has parsed it.
    """
    prompts = evidence.table("object_prompts")
    if evidence.is_recorded("object_prompts"):
        return prompts.filter(~pl.col("ast_verified")).height
    texts = prompts.group_by("ast_node", "prompt_text", "ast_verified")
    return sum(
        times
        for ast_node, text, verified, times in texts.len().rows()
        if not (verified and shows_node(text, ast_node))
    )


def unsound(evidence: Evidence, key: str) -> int:
    """Return the number of checker prompts that do not parse, or show what they are to avoid."""
    keywords = load_stimuli().checker_prompts.keyword_map
    texts = evidence.table(key).select("object", "prompt_text").rows()
    return sum(not avoids_concept(text, keywords[concept]) for concept, text in texts)


def testable(evidence: Evidence, column: str) -> int | tuple[int, ...]:
    """Return the count of concepts in that column of ``summary``, or its ends over settings."""
    return _ends(evidence.table("summary")[column], "summary", "at least one setting")


def _ends(counts: pl.Series, where: str, expected: str) -> int | tuple[int, ...]:
    found = sorted({int(count) for count in counts})
    if not found:
        _lacking(where, expected, "an empty table")
    return found[0] if len(found) == 1 else (found[0], found[-1])


def _lacking(where: str, expected: str, found: str) -> NoReturn:
    raise ArtifactError(
        "the atlas does not hold what the claim speaks of",
        where=where,
        expected=expected,
        found=found,
        remedy="evaluate the claim on an atlas of the whole grid and of the paper's model",
    )
