"""Stage 11B and the token-checker run: prompts that hold a keyword without its concept (paper §6).

Each of the 58 testable concepts gets texts in which its keyword occurs in a string, a comment, an
identifier, a dictionary key or a printed string, and in which the concept itself does not occur.
What a mask of these prompts shares with the concept's own is the trace of the token.
"""

from __future__ import annotations

import ast
import functools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from string import Template
from typing import Literal, NamedTuple

import polars as pl

from atlas_assets.errors import SettingsError, StimulusError
from atlas_assets.stages import columns as col
from atlas_assets.stages.prompts.selection import require_known
from atlas_assets.stages.prompts.stimuli import (
    ALTERNATIVE_IDENTIFIERS,
    CATEGORIES,
    SNIPPET_MARK,
    VARIABLES_PER_ROUND,
    WORDS_PER_ROUND,
    Category,
    CheckerTables,
    Keyword,
    Stimuli,
)
from atlas_assets.stages.prompts.tokens import KeywordSearch, Tokenizer
from atlas_assets.stages.schema import Column, TableSchema

logger = logging.getLogger(__name__)

#: ``checker`` is stage 11B; ``token_checker`` differs in its bank of identifier snippets
Variant = Literal["checker", "token_checker"]

#: columns of ``11B_checker_prompts.parquet`` and ``token_checker_prompts.parquet``
PUBLISHED_SCHEMA = TableSchema(
    columns=(
        col.concept("object", "the concept that the prompt does not show"),
        Column("keyword", pl.String(), "its keyword, which the prompt holds", pattern="^.+$"),
        col.VARIATION,
        col.PROMPT,
    ),
    key=("object", "variation_id"),
)


class Draft(NamedTuple):
    """A drawn prompt, not yet validated."""

    category: Category
    text: str


def keyword_of(stimuli: Stimuli) -> dict[str, str]:
    """Concept → keyword of the 58 testable concepts, sorted by concept."""
    keywords = stimuli.checker_prompts.keyword_map
    return {concept: keywords[concept].keyword for concept in sorted(keywords)}


def concepts_with_keyword(stimuli: Stimuli) -> tuple[str, ...]:
    """The 58 testable concepts (24 AST nodes, 34 builtins), sorted."""
    return tuple(keyword_of(stimuli))


def generate(
    stimuli: Stimuli,
    tokenizer: Tokenizer,
    *,
    variant: Variant,
    concepts: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The checker prompts as a model's tokenizer validates them.

    A concept for which no draft is valid has no row; a warning names it. That does not happen
    with the tokenizer of the paper's model: 2,848 rows (checker), 2,861 (token_checker).

    Args:
        stimuli: the published tables.
        tokenizer: the model's; decides which drafts hold their keyword.
        variant: which of the two published runs.
        concepts: keep only these concepts of the whole generation; those without a keyword are
            passed over. None keeps all.

    Returns:
        ``[prompts, 4]`` with the columns of ``PUBLISHED_SCHEMA``, sorted by concept, up to 50
        prompts each, ``variation_id`` counting from 0.

    Raises:
        SettingsError: an unknown concept, with near matches, or none with a keyword is left.
        StimulusError: no prompt is valid at all.
    """
    kept = _kept_concepts(stimuli, concepts)
    tables = stimuli.checker_prompts
    search = KeywordSearch(tokenizer)
    rows: list[tuple[str, str, int, str]] = []
    barren: list[str] = []
    for concept, drafts in draft(stimuli, variant=variant):
        if concept not in kept:
            continue
        entry = tables.keyword_map[concept]
        valid = functools.partial(_is_valid, entry=entry, search=search)
        texts = select(drafts, valid, target=tables.target_per_object)
        rows.extend((concept, entry.keyword, i, text) for i, text in enumerate(texts))
        if not texts:
            barren.append(concept)
    _report(barren, found_any=bool(rows))
    return pl.DataFrame(rows, schema=PUBLISHED_SCHEMA.polars, orient="row")


def draft(stimuli: Stimuli, *, variant: Variant) -> Iterator[tuple[str, list[Draft]]]:
    """The drawn prompts of every testable concept, in the published order of draws.

    One ``random.Random`` runs through all concepts, sorted; no tokenizer plays a part.

    Yields:
        (concept, its drafts): 30 rounds of one draft per category; no identifier drafts for a
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
    than ``target``, then the valid texts not chosen yet, in order of generation.

    Args:
        drafts: in order of generation.
        valid: whether a text holds the keyword and not the concept.
        target: number of prompts wanted (50).

    Returns:
        At most ``target`` texts. A text drawn twice can occur twice; only what the categories
        chose is barred from the filling.
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
    words = generator.sample(tables.string_words, WORDS_PER_ROUND)
    variables = generator.sample(tables.var_names, VARIABLES_PER_ROUND)
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
            bank = ALTERNATIVE_IDENTIFIERS if variant == "token_checker" else category
        template = generator.choice(tables.snippets[bank])
        snippet = Template(template).substitute(names)
        # a two-line snippet keeps its second line at the margin, as in the release; inside an
        # indented wrapper it then fails to parse and validation drops it
        drafts.append(Draft(category, wrapper.replace(SNIPPET_MARK, snippet)))
    return drafts


def avoids_concept(text: str, entry: Keyword) -> bool:
    """Whether a text is Python in which the concept itself does not occur (no tokenizer asked).

    Args:
        text: of a checker prompt.
        entry: the concept's keyword, and what would make a prompt show the concept.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return not _holds_concept(tree, entry)


def _is_valid(text: str, *, entry: Keyword, search: KeywordSearch) -> bool:
    return avoids_concept(text, entry) and search.holds(text, entry.keyword)


def _holds_concept(tree: ast.AST, entry: Keyword) -> bool:
    for node in ast.walk(tree):
        if type(node).__name__ in entry.forbidden_nodes:
            return True
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in entry.forbidden_names
        ):
            return True
    return False


def _kept_concepts(stimuli: Stimuli, concepts: Sequence[str] | None) -> frozenset[str]:
    testable = concepts_with_keyword(stimuli)
    if concepts is None:
        return frozenset(testable)
    require_known(
        concepts, stimuli.concepts, what="concept", where="ATLAS_AST_NODES, ATLAS_BUILTINS"
    )
    kept = frozenset(concepts) & frozenset(testable)
    if not kept:
        raise SettingsError(
            "none of the chosen concepts has a keyword, so there is nothing to check them against",
            where="ATLAS_AST_NODES, ATLAS_BUILTINS",
            expected=f"at least one of the {len(testable)} testable concepts",
            found=", ".join(concepts) or "no concept",
            remedy=f"add one of: {', '.join(testable)}",
        )
    return kept


def _report(barren: Sequence[str], *, found_any: bool) -> None:
    if not found_any:
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
