"""Which prompts circuits are found on, and which they are judged by.

A prompt's domain is its number modulo five, as the prompts of a pair go through the five subject
areas in turn. Prompts of domains 0, 2 and 4 discover, those of domains 1 and 3 test, so that no
pair is judged by a subject area that it was found on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from atlas_assets.stages import streams
from atlas_assets.stages.circuits.statistics import Indices
from atlas_assets.stages.concepts import concept_name, pair_name, split_pair

Half = Literal["discovery", "test"]
#: the subject areas that the prompts of a pair go through
DOMAINS = 5
DISCOVERY = (0, 2, 4)
#: prompts of a pair, and least prompts of a concept, that attributions are taken over
PER_PAIR, PER_CONCEPT = 2, 24


@dataclass(frozen=True, eq=False)
class Sample:
    """Prompts, each distinct text of a concept once.

    Attributes:
        concepts: The concepts, sorted.
        concept: int64 ``[prompts]``, the concept of each prompt.
        pair: The name of each prompt's pair.
        domain: int64 ``[prompts]``, the domain of each.
        texts: The text of each.
    """

    concepts: tuple[str, ...]
    concept: Indices
    pair: tuple[str, ...]
    domain: Indices
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, concept: int) -> Indices:
        """Return the prompts of one concept, in their order."""
        return np.flatnonzero(self.concept == concept)


def half_of(domain: int) -> Half:
    """Return the half that the prompts of a domain belong to."""
    return "discovery" if domain in DISCOVERY else "test"


def by_concept(prompts: pl.DataFrame, half: Half, most: int, *, seed: int = 42) -> Sample:
    """Draw at most so many prompts of each concept, from as many pairs and domains as there are.

    Args:
        prompts: ``ast_node``, ``builtin_obj``, ``variation_id``, ``prompt_text``.
        half: The half that the prompts are drawn from.
        most: The prompts of a concept, at most.
        seed: A concept's prompts depend on the seed, its name and its own prompts alone.
    """
    found: list[tuple[int, str, int, str]] = []
    own = _by_concept(prompts, half)
    for number, (concept, rows) in enumerate(own.items()):
        stream = streams.of_concept(seed, f"{half} {concept}")
        turns: list[tuple[int, int]] = []
        met: dict[tuple[str, int], int] = {}
        for place in stream.permutation(len(rows)).tolist():
            cell = rows[place][:2]
            turns.append((met.setdefault(cell, 0), place))
            met[cell] += 1
        # one prompt of every pair and domain before a second one of any
        chosen = [place for _, place in sorted(turns, key=lambda turn: turn[0])[:most]]
        found += [(number, *rows[place]) for place in sorted(chosen)]
    return _sample(tuple(own), found)


def _by_concept(prompts: pl.DataFrame, half: Half) -> dict[str, list[tuple[str, int, str]]]:
    """Return (pair, domain, text) of the distinct prompts of every concept in a half, sorted."""
    own: dict[str, dict[str, tuple[str, int, str]]] = {}
    columns = ("ast_node", "builtin_obj", "variation_id", "prompt_text")
    for ast_node, builtin, variation, text in prompts.select(columns).sort(columns[:3]).rows():
        domain = variation % DOMAINS
        for concept in _concepts_of(ast_node, builtin):
            texts = own.setdefault(concept, {})
            if half_of(domain) == half:
                texts.setdefault(text, (pair_name(ast_node, builtin), domain, text))
    return {concept: list(rows.values()) for concept, rows in sorted(own.items())}


def by_pair(prompts: pl.DataFrame, half: Half, *, seed: int = 42) -> Sample:
    """Draw a few prompts of each pair, more where a concept has few pairs, for both its concepts.

    Arguments are those of `by_concept`; the prompts of a pair are `PER_PAIR`, or as many as
    give each of its concepts `PER_CONCEPT`, as far as it has them.
    """
    own: dict[str, dict[str, int]] = {}
    columns = ("ast_node", "builtin_obj", "variation_id", "prompt_text")
    for ast_node, builtin, variation, text in prompts.select(columns).sort(columns[:3]).rows():
        if half_of(variation % DOMAINS) == half:
            own.setdefault(pair_name(ast_node, builtin), {}).setdefault(text, variation % DOMAINS)
    concepts_of = {pair: _concepts_of(*split_pair(pair)) for pair in own}
    counted = [concept for concepts in concepts_of.values() for concept in concepts]
    n_pairs = {concept: counted.count(concept) for concept in set(counted)}
    concepts = tuple(sorted(n_pairs))
    number = {concept: place for place, concept in enumerate(concepts)}
    found = []
    for pair, texts in own.items():
        wanted = max(PER_PAIR, *(-(-PER_CONCEPT // n_pairs[each]) for each in concepts_of[pair]))
        order = streams.of_concept(seed, f"{half} {pair}").permutation(len(texts))[:wanted]
        rows = list(texts.items())
        for text, domain in (rows[place] for place in sorted(order.tolist())):
            found += [(number[each], pair, domain, text) for each in concepts_of[pair]]
    return _sample(concepts, sorted(found))


def _concepts_of(ast_node: str, builtin: str) -> tuple[str, str]:
    return concept_name("ast", ast_node), concept_name("builtin", builtin)


def _sample(concepts: tuple[str, ...], rows: list[tuple[int, str, int, str]]) -> Sample:
    numbers, pairs, domains, texts = zip(*rows, strict=True) if rows else ((),) * 4
    return Sample(
        concepts,
        np.asarray(numbers, dtype=np.int64),
        tuple(pairs),
        np.asarray(domains, dtype=np.int64),
        tuple(texts),
    )
