"""Stage 11B and the token-checker run: prompts that hold a keyword without its concept (paper §6).

Each of the 58 testable concepts gets texts in which its keyword occurs in a string, a comment, an
identifier, a dictionary key or a printed string, and in which the concept itself does not occur.
What a mask of these prompts shares with the concept's own is the trace of the token.
"""

from __future__ import annotations

import ast
import logging
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from string import Template
from typing import Literal, NamedTuple

import polars as pl

from atlas_assets.errors import SettingsError, StimulusError
from atlas_assets.stages import columns as col
from atlas_assets.stages.prompts.stimuli import (
    CATEGORIES,
    Category,
    CheckerTables,
    Keyword,
    Stimuli,
)
from atlas_assets.stages.prompts.syntax import nodes_of
from atlas_assets.stages.prompts.tokens import KeywordSearch, Tokenizer
from atlas_assets.stages.schema import Column, TableSchema

logger = logging.getLogger(__name__)

#: ``checker`` is stage 11B; ``token_checker`` differs in its bank of identifier snippets
Variant = Literal["checker", "token_checker"]

#: the bank of snippets that replaces ``C_identifier`` in the token-checker run
_OTHER_IDENTIFIERS = "C_identifier_token_checker"
#: where a context wrapper holds the snippet
_SNIPPET = "{snippet}"
#: columns of ``11B_checker_prompts.parquet`` in an atlas of own prompts
OWN_SCHEMA = TableSchema(
    columns=(
        col.concept("object", "the concept that the prompt does not show"),
        col.VARIATION,
        *col.OWN_PROMPT,
    ),
    key=("object", "variation_id"),
)
#: columns of ``11B_checker_prompts.parquet`` and ``token_checker_prompts.parquet``
PUBLISHED_SCHEMA = TableSchema(
    columns=(
        col.concept("object", "the concept that the prompt does not show"),
        Column("keyword", pl.String(), "its keyword, which the prompt holds", pattern="^.+$"),
        col.VARIATION,
        col.PROMPT,
    ),
    key=("object", "variation_id"),
    own=OWN_SCHEMA,
)


class Draft(NamedTuple):
    """A drawn prompt, not yet validated."""

    category: Category
    text: str


def keyword_of(stimuli: Stimuli) -> dict[str, str]:
    """Return the keyword of each of the 58 testable concepts, sorted by concept."""
    keywords = stimuli.checker_prompts.keyword_map
    return {concept: keywords[concept].keyword for concept in sorted(keywords)}


def generate(
    stimuli: Stimuli,
    tokenizer: Tokenizer,
    *,
    variant: Variant,
    concepts: Collection[str] | None = None,
) -> pl.DataFrame:
    """Generate the checker prompts as a model's tokenizer validates them.

    A concept for which no draft is valid has no row; a warning names it. That does not happen
    with the tokenizer of the paper's model: 2,848 rows (checker), 2,861 (token_checker). Where
    ``concepts`` are given, only their prompts are kept.

    Returns:
        The columns of ``PUBLISHED_SCHEMA``, sorted by concept, up to 50 prompts each.

    Raises:
        SettingsError: None of the concepts has a keyword.
        StimulusError: No prompt is valid at all.
    """
    testable = keyword_of(stimuli)
    kept = frozenset(testable) if concepts is None else testable.keys() & concepts
    if not kept:
        raise SettingsError(
            "none of the chosen concepts has a keyword, so there is nothing to check them against",
            where="ATLAS_AST_NODES, ATLAS_BUILTINS",
            expected=f"at least one of the {len(testable)} testable concepts",
            found=", ".join(concepts or ()) or "no concept",
            remedy=f"add one of: {', '.join(testable)}",
        )
    tables, search = stimuli.checker_prompts, KeywordSearch(tokenizer)
    rows: list[tuple[str, str, int, str]] = []
    barren: list[str] = []
    for concept, drafts in draft(stimuli, variant=variant):
        if concept not in kept:
            continue
        entry = tables.keyword_map[concept]
        texts = select(drafts, partial(_is_valid, entry, search), target=tables.target_per_object)
        rows.extend((concept, entry.keyword, i, text) for i, text in enumerate(texts))
        if not texts:
            barren.append(concept)
    if not rows:
        raise StimulusError(
            "no checker prompt is valid",
            where=", ".join(barren),
            expected="token ids in which the keyword occurs, for at least one concept",
            found="no keyword in any drawn prompt",
            remedy="check the model's tokenizer: encode and decode must invert each other",
        )
    if barren:
        logger.warning(
            "This tokenizer never shows the keyword of %s as tokens of its own; "
            "these concepts have no checker prompts.",
            ", ".join(barren),
        )
    return pl.DataFrame(rows, schema=PUBLISHED_SCHEMA.polars, orient="row")


def draft(stimuli: Stimuli, *, variant: Variant) -> Iterator[tuple[str, list[Draft]]]:
    """Draw the prompts of every testable concept, in the published order of draws.

    One ``random.Random`` runs through all concepts, sorted; no tokenizer plays a part.

    Yields:
        A concept and its drafts: 30 rounds of one draft per category; no identifier drafts for a
        keyword without identifier variants.
    """
    tables = stimuli.checker_prompts
    generator = random.Random(tables.seed)
    rounds = tables.target_per_object * tables.overshoot_factor // len(CATEGORIES)
    for concept, keyword in keyword_of(stimuli).items():
        drafts: list[Draft] = []
        for _ in range(rounds):
            drafts.extend(_round(tables, keyword, variant, generator))
        yield concept, drafts


def select(drafts: Sequence[Draft], valid: Callable[[str], bool], *, target: int) -> list[str]:
    """Choose a concept's prompts among its drafts.

    An equal share per category, in category order, first come first served; if that is fewer
    than ``target`` (50), then the valid texts not chosen yet, in order of generation. A text drawn
    twice can occur twice; only what the categories chose is barred from the filling.
    """
    sound = [item for item in drafts if valid(item.text)]
    share = target // len(CATEGORIES)
    chosen: list[str] = []
    for category in CATEGORIES:
        chosen.extend([item.text for item in sound if item.category == category][:share])
    if len(chosen) < target:
        taken = set(chosen)
        chosen.extend(item.text for item in sound if item.text not in taken)
    return chosen[:target]


def _round(
    tables: CheckerTables, keyword: str, variant: Variant, generator: random.Random
) -> list[Draft]:
    words = generator.sample(tables.string_words, 3)
    variables = generator.sample(tables.var_names, 2)
    names = {"keyword": keyword}
    names |= {f"w{i}": word for i, word in enumerate(words, start=1)}
    names |= {f"v{i}": variable for i, variable in enumerate(variables, start=1)}
    wrapper = generator.choice(tables.context_wrappers)
    drafts: list[Draft] = []
    for category in CATEGORIES:
        bank: str = category
        if category == "C_identifier":
            variants = tables.identifier_variants.get(keyword)
            if variants is None:
                continue
            names["ident"] = generator.choice(variants)
            bank = _OTHER_IDENTIFIERS if variant == "token_checker" else category
        template = generator.choice(tables.snippets[bank])
        snippet = Template(template).substitute(names)
        # a two-line snippet keeps its second line at the margin, as in the release; inside an
        # indented wrapper it then fails to parse and validation drops it
        drafts.append(Draft(category, wrapper.replace(_SNIPPET, snippet)))
    return drafts


def avoids_concept(text: str, entry: Keyword) -> bool:
    """Return whether a text is Python in which the concept does not occur (no tokenizer asked)."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return not _shows_concept(tree, entry)


def _shows_concept(tree: ast.AST, entry: Keyword) -> bool:
    nodes, names = entry.forbidden_nodes, entry.forbidden_names
    for node in nodes_of(tree):
        if type(node).__name__ in nodes:
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            return True
    return False


def _is_valid(entry: Keyword, search: KeywordSearch, text: str) -> bool:
    return avoids_concept(text, entry) and search.holds(text, entry.keyword)
