"""Stage 11A: the object prompts (paper §4; the release's generator and notebook).

A candidate pair (AST node, builtin) gets 50 prompts in five domains. One random generator runs
through the whole grid, so a smaller grid is cut from the published one and not drawn anew.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator

import numpy as np
import polars as pl

from atlas_assets.errors import SettingsError, StimulusError
from atlas_assets.stages import columns as col
from atlas_assets.stages.concepts import ISOLATED, own_pair_name, pair_name, require_known
from atlas_assets.stages.prompts.essences import Frame, Renderer
from atlas_assets.stages.prompts.stimuli import ObjectTables, Stimuli
from atlas_assets.stages.schema import Column, TableSchema

#: prompts that the release's notebook draws as a smoke test before the grid, from the same
#: generator: 3 for each of (For, list), (Try, ValueError) and (Pass, _isolated_)
SMOKE_TEST_PROMPTS = 3 * 3

#: the paper's threshold on a pair's mean loss, in nats (docs/science.md §1)
PAPER_LOSS_THRESHOLD = 3.0
#: columns of the candidates, before a model has scored them
CANDIDATE_SCHEMA = {
    "ast_node": pl.String,
    "builtin_obj": pl.String,
    "variation_id": pl.Int64,
    "prompt_text": pl.String,
    "ast_verified": pl.Boolean,
    "domain": pl.String,
    "wrapper": pl.String,
}
_SCORES = (
    col.mean("sequence_loss", "mean cross-entropy (nats) of tokens 2..n; 50.0 for one token"),
    col.count("token_length", "number of tokens"),
)
#: columns of ``11A_object_prompts.parquet`` in an atlas of own prompts
OWN_SCHEMA = TableSchema(
    columns=(*col.OWN_PAIR, col.VARIATION, *col.OWN_PROMPT, *_SCORES),
    key=("concept", "unit", "variation_id"),
    may_be_empty=False,
)
#: columns of the published ``11A_object_prompts.parquet``, in its order
PUBLISHED_SCHEMA = TableSchema(
    columns=(
        col.text("ast_node", "AST node type that the prompt shows"),
        col.text(
            "builtin_obj", "builtin that the prompt shows; _isolated_ where the node takes none"
        ),
        col.VARIATION,
        col.PROMPT,
        *_SCORES,
        Column("ast_verified", pl.Boolean(), "whether the node occurs in the parsed prompt"),
    ),
    key=("ast_node", "builtin_obj", "variation_id"),
    may_be_empty=False,
    own=OWN_SCHEMA,
)
#: a choice of names, or ``None`` for all
Choice = Collection[str] | None


def candidate_pairs(
    stimuli: Stimuli, ast_nodes: Choice = None, builtins: Choice = None
) -> list[tuple[str, str]]:
    """Return the (AST node, builtin) pairs of the grid, in the published order.

    For each family of AST nodes, in the order of the compatibility map, each of its nodes meets
    the sorted union of the builtin families it goes with; nodes of a family that goes with none
    meet the placeholder ``_isolated_``. The whole grid has 1,297 pairs; those of the chosen
    ``ast_nodes`` and ``builtins`` (``_isolated_`` is one of them) are kept.

    Raises:
        SettingsError: A name is unknown (near matches are named), or no pair is left.
    """
    tables = stimuli.object_prompts
    for names, known, what, where in (
        (ast_nodes, tables.grid_ast_nodes, "AST node", "ATLAS_AST_NODES"),
        (builtins, tables.grid_builtins, "builtin", "ATLAS_BUILTINS"),
    ):
        require_known(names or (), known, what=what, where=where)
    pairs = _published_pairs(tables)
    kept = [
        (node, builtin)
        for node, builtin in pairs
        if (ast_nodes is None or node in ast_nodes) and (builtins is None or builtin in builtins)
    ]
    if not kept:
        raise _empty_cut(pairs, ast_nodes, builtins)
    return kept


def generate(
    stimuli: Stimuli, *, ast_nodes: Choice = None, builtins: Choice = None, variations: int = 50
) -> pl.DataFrame:
    """Generate the object candidates, exactly the published ones.

    The random draws are always those of the whole grid, so every row of a cut grid is a row of
    the published generation. ``variations`` above the published 50 is another sequence of draws
    (that many per pair, domains still in turn): its rows are not the published ones.

    Args:
        stimuli, ast_nodes, builtins: As for `candidate_pairs`, like the errors.
        variations: Prompts per pair, ≥ 1; the first ones of each pair are kept.

    Returns:
        ``[pairs · variations, 7]`` with the columns of ``CANDIDATE_SCHEMA``, in the published
        order: 64,850 rows for the whole grid.
    """
    kept = frozenset(candidate_pairs(stimuli, ast_nodes, builtins))
    tables = stimuli.object_prompts
    renderer, domains = Renderer(tables), tuple(tables.domains)
    rows = []
    for node, builtin, variation, frame in _draws(tables, variations):
        if variation >= variations or (node, builtin) not in kept:
            continue
        domain = domains[variation % len(domains)]
        text, verified = renderer.render(node, builtin, domain, frame)
        rows.append((node, builtin, variation, text, verified, domain, frame.wrapper))
    return pl.DataFrame(rows, schema=CANDIDATE_SCHEMA, orient="row")


def names_of_pairs(prompts: pl.DataFrame) -> list[str]:
    """Return the name of the pair of each object prompt, published or own."""
    schema = _schema_of(prompts)
    first, second = schema.key[:2]
    name = own_pair_name if schema is OWN_SCHEMA else pair_name
    return [name(*pair) for pair in zip(prompts[first], prompts[second], strict=True)]


def _schema_of(prompts: pl.DataFrame) -> TableSchema:
    return OWN_SCHEMA if "concept" in prompts.columns else PUBLISHED_SCHEMA


def spread_of_losses(scored: pl.DataFrame) -> dict[str, float]:
    """Return how the pairs' mean losses (nats) are spread: lowest, quartiles and highest."""
    first, second = _schema_of(scored).key[:2]
    means = scored.group_by(first, second).agg(pl.col("sequence_loss").mean())["sequence_loss"]
    names = ("lowest", "lower_quartile", "median", "upper_quartile", "highest")
    shares = np.quantile(means.to_numpy(), (0, 0.25, 0.5, 0.75, 1)).tolist()
    return {f"{name}_pair_loss_nats": share for name, share in zip(names, shares, strict=True)}


def filter_by_loss(scored: pl.DataFrame, threshold: float | None) -> tuple[pl.DataFrame, list[str]]:
    """Drop each pair whose mean loss over its prompts exceeds a threshold (paper §4).

    Candidates have a ``sequence_loss`` (nats per token, finite) and a ``token_length``. The
    threshold is 3.0 for the paper's model; with ``None`` every pair stays.

    Returns:
        All prompts of the pairs that stay, order unchanged, with the columns of
        ``PUBLISHED_SCHEMA`` or ``OWN_SCHEMA``; and the sorted names of the pairs that are dropped.

    Raises:
        StimulusError: No pair stays.
    """
    schema = _schema_of(scored)
    pair = list(schema.key[:2])
    mean = pl.col("sequence_loss").mean().alias("mean_loss")
    means = scored.group_by(pair, maintain_order=True).agg(mean)
    stays = pl.lit(value=True) if threshold is None else pl.col("mean_loss") <= threshold
    kept, dropped = means.filter(stays), means.filter(~stays)
    if kept.is_empty():
        raise StimulusError(
            "the loss filter leaves no pair",
            where="ATLAS_LOSS_THRESHOLD",
            expected=f"a pair whose mean loss is at most the threshold, {threshold}",
            found=f"lowest mean loss {dropped['mean_loss'].to_numpy().min():.4f} nats per token",
            remedy="raise the threshold, or use a model that has seen Python",
        )
    prompts = scored.join(kept, on=pair, how="semi", maintain_order="left")
    return prompts.select(schema.polars.names()), sorted(names_of_pairs(dropped))


def _published_pairs(tables: ObjectTables) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for family, allowed in tables.compatibility.items():
        union = {name for key in allowed for name in tables.builtin_families[key]}
        partners = sorted(union & set(tables.grid_builtins)) if allowed else [ISOLATED]
        nodes = [node for node in tables.ast_families[family] if node in tables.grid_ast_nodes]
        pairs.extend((node, partner) for node in nodes for partner in partners)
    return pairs


def _draws(tables: ObjectTables, variations: int) -> Iterator[tuple[str, str, int, Frame]]:
    """Yield every prompt of the whole grid with its draws, in the published order of drawing."""
    frames = _frames(tables)
    for _ in range(SMOKE_TEST_PROMPTS):
        next(frames)
    per_pair = max(variations, tables.variations_per_pair)
    for node, builtin in _published_pairs(tables):
        for variation in range(per_pair):
            yield node, builtin, variation, next(frames)


def _frames(tables: ObjectTables) -> Iterator[Frame]:
    generator = random.Random(tables.seed)
    wrappers = tables.wrappers
    while True:
        before = generator.choice(tables.padding_before)
        after = generator.choice(tables.padding_after)
        wrapper = generator.choices(wrappers.names, wrappers.weights, k=1)[0]
        yield Frame(before, after, wrapper)


def _empty_cut(pairs: list[tuple[str, str]], ast_nodes: Choice, builtins: Choice) -> SettingsError:
    partners = sorted({builtin for node, builtin in pairs if node in (ast_nodes or ())})
    return SettingsError(
        "the cut grid has no pair",
        where="ATLAS_AST_NODES and ATLAS_BUILTINS",
        expected="at least one AST node together with a builtin it goes with",
        found=f"AST nodes {_listed(ast_nodes)}; builtins {_listed(builtins)}",
        remedy=(
            f"choose builtins among: {', '.join(partners)}"
            if partners
            else "name at least one AST node and one builtin, or leave the setting out for all"
        ),
    )


def _listed(names: Choice) -> str:
    return "all" if names is None else ", ".join(names) or "none"
