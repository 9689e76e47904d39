"""The published stimulus tables.

``stimuli.json`` beside this module is the stimulus inventory of Wilam (2026), CSP-Atlas,
arXiv:2605.24603 (released code and data, Apache-2.0), carried as data and never edited: the prompts
are the published ones for these tables only. Templates are in ``string.Template`` syntax; the
file's ``placeholders`` entry says what each name stands for.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict

from atlas_assets.errors import StimulusError
from atlas_assets.stages.concepts import concept_name

#: SHA-256 of the published ``stimuli.json``
PUBLISHED_SHA256 = "a29e4c2c93c2fcdcf37aab074b1b070e071ca4a94b570c0508ddaf9b8caac4f8"

K = TypeVar("K")
V = TypeVar("V")


def _read_only(table: Mapping[K, V]) -> Mapping[K, V]:
    """The loaded tables are shared by the whole process, so nobody may write to them."""
    return MappingProxyType(dict(table))


Table = Annotated[Mapping[K, V], AfterValidator(_read_only)]
Names = tuple[str, ...]
TemplateKind = Literal["any", "isolated", "exception", "other"]
Category = Literal["A_string", "B_comment", "C_identifier", "D_dictkey", "E_print"]

#: the five kinds of snippet of a checker prompt, in the order they are drawn and selected
CATEGORIES: tuple[Category, ...] = get_args(Category)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Domain(_Frozen):
    """One of the five subject areas that give a template its names and literals."""

    var_names: Table[str, str]
    mock_data: Table[str, str]


class Wrappers(_Frozen):
    """The contexts of an object prompt (module, function, method) and their probabilities."""

    names: Names
    weights: tuple[float, ...]
    templates: Table[str, str]


class ObjectTables(_Frozen):
    """The tables of stage 11A (paper §4, object prompts)."""

    seed: int
    variations_per_pair: int
    domains: Table[str, Domain]
    wrappers: Wrappers
    padding_before: Names
    padding_after: Names
    iterable: Table[str, str]
    templates: Table[str, Table[TemplateKind, str]]
    ast_families: Table[str, Names]
    builtin_families: Table[str, Names]
    compatibility: Table[str, Names]
    grid_ast_nodes: Names
    grid_builtins: Names
    n_candidate_pairs: int


class Keyword(_Frozen):
    """A testable concept's keyword, and what would make a prompt hold the concept itself."""

    keyword: str
    forbidden_nodes: Names
    forbidden_names: Names = ()


class CheckerTables(_Frozen):
    """The tables of stage 11B and of the token-checker prompts (paper §6)."""

    seed: int
    target_per_object: int
    overshoot_factor: int
    keyword_map: Table[str, Keyword]
    identifier_variants: Table[str, Names]
    string_words: Names
    context_wrappers: Names
    var_names: Names
    snippets: Table[str, Names]


class Stimuli(_Frozen):
    """The whole inventory of stimuli, with its source and licence.

    ``placeholders`` says what the names in the templates stand for.
    """

    source: str
    placeholders: str
    object_prompts: ObjectTables
    checker_prompts: CheckerTables

    @property
    def concepts(self) -> tuple[str, ...]:
        """All concepts of the grid (paper §3.2: 43 + 63), AST nodes first, each kind sorted."""
        tables = self.object_prompts
        return (
            *sorted(concept_name("ast", name) for name in tables.grid_ast_nodes),
            *sorted(concept_name("builtin", name) for name in tables.grid_builtins),
        )


@functools.cache
def load_stimuli() -> Stimuli:
    """Return the published inventory that ships with the package, read-only.

    That the file is missing or is not the published one is a StimulusError.
    """
    file = resources.files("atlas_assets.stages.prompts") / "stimuli.json"
    try:
        return parse_stimuli(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _not_published(str(error)) from error


def parse_stimuli(text: str) -> Stimuli:
    """Read the published inventory from the text of its file; another one is a StimulusError."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != PUBLISHED_SHA256:
        raise _not_published(f"SHA-256 {digest}")
    return Stimuli.model_validate_json(text)


def _not_published(found: str) -> StimulusError:
    return StimulusError(
        "the stimulus tables are not the published ones",
        where="stimuli.json",
        expected=f"the published file, SHA-256 {PUBLISHED_SHA256}",
        found=found,
        remedy="reinstall the package, or restore the published stimuli.json",
    )
