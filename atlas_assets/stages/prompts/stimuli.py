"""The published stimulus tables, typed and checked.

``stimuli.json`` beside this module is the stimulus inventory of Wilam (2026), CSP-Atlas,
arXiv:2605.24603 (released code and data, Apache-2.0), carried as data. Templates are in
``string.Template`` syntax; the file's ``placeholders`` entry says what each name stands for.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from atlas_assets.errors import StimulusError
from atlas_assets.stages.concepts import ISOLATED, concept_name

K = TypeVar("K")
V = TypeVar("V")


def _read_only(table: Mapping[K, V]) -> Mapping[K, V]:
    """The loaded tables are shared by the whole process, so nobody may write to them."""
    return MappingProxyType(dict(table))


Table = Annotated[Mapping[K, V], AfterValidator(_read_only)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
TemplateKind = Literal["any", "isolated", "exception", "other"]
Category = Literal["A_string", "B_comment", "C_identifier", "D_dictkey", "E_print"]

#: the five kinds of snippet of a checker prompt, in the order they are drawn and selected
CATEGORIES: tuple[Category, ...] = (
    "A_string",
    "B_comment",
    "C_identifier",
    "D_dictkey",
    "E_print",
)
#: the identifier bank that replaces ``C_identifier`` in the token-checker run
ALTERNATIVE_IDENTIFIERS = "C_identifier_token_checker"
#: words and variable names drawn per round of the checker prompts (w1..w3, v1..v2)
WORDS_PER_ROUND = 3
VARIABLES_PER_ROUND = 2
#: where a wrapper holds the body: as it is, or with every line indented by some spaces
BODY_MARK = re.compile(r"\$\{body\}|<body indented by (?P<spaces>\d+)>")
#: where a context wrapper of the checker prompts holds the snippet
SNIPPET_MARK = "{snippet}"
#: key of the line that makes an iterable of any builtin the others do not name
ANY_BUILTIN = "*"

_SNIPPET_NAMES = frozenset({"keyword", "ident", "w1", "w2", "w3", "v1", "v2"})
_TEMPLATE_KINDS: tuple[frozenset[str], ...] = (
    frozenset({"any"}),
    frozenset({"any", "isolated"}),
    frozenset({"exception", "other"}),
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Domain(_Frozen):
    """One of the five subject areas that give a template its names and literals."""

    var_names: Table[str, str]
    mock_data: Table[str, str]


class Wrappers(_Frozen):
    """The contexts of an object prompt (module, function, method) and their probabilities."""

    names: Names
    weights: tuple[Annotated[float, Field(gt=0)], ...]
    templates: Table[str, str]

    @model_validator(mode="after")
    def _check(self) -> Wrappers:
        _same(self.names, self.templates, "wrapper names and templates")
        if len(self.weights) != len(self.names):
            raise ValueError(f"{len(self.names)} wrappers but {len(self.weights)} weights")
        for name, template in self.templates.items():
            if len(BODY_MARK.findall(template)) != 1:
                raise ValueError(f"wrapper {name!r} does not hold the body exactly once")
        return self


class ObjectTables(_Frozen):
    """The tables of stage 11A (paper §4, object prompts)."""

    seed: int
    variations_per_pair: Annotated[int, Field(ge=1)]
    domains: Table[str, Domain]
    wrappers: Wrappers
    padding_before: Names
    padding_after: Names
    iterable: Table[str, str]
    templates: Table[str, Table[TemplateKind, str]]
    ast_families: Table[str, tuple[str, ...]]
    builtin_families: Table[str, tuple[str, ...]]
    compatibility: Table[str, tuple[str, ...]]
    grid_ast_nodes: Names
    grid_builtins: Names
    n_candidate_pairs: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _check(self) -> ObjectTables:
        _same(self.compatibility, self.ast_families, "families of AST nodes in compatibility")
        for name, allowed in self.compatibility.items():
            _within(allowed, self.builtin_families, f"compatibility of {name!r}")
        nodes = [node for family in self.ast_families.values() for node in family]
        if len(nodes) != len(set(nodes)):
            raise ValueError("an AST node is listed in two families")
        _within(self.grid_ast_nodes, nodes, "grid_ast_nodes")
        _within(self.grid_ast_nodes, self.templates, "grid_ast_nodes")
        builtins = [name for family in self.builtin_families.values() for name in family]
        _within(self.grid_builtins, [ISOLATED, *builtins], "grid_builtins")
        if ANY_BUILTIN not in self.iterable:
            raise ValueError(f"iterable has no line for any builtin ({ANY_BUILTIN!r})")
        self._check_templates()
        return self

    def _check_templates(self) -> None:
        known = _object_names(self.domains)
        for line in self.iterable.values():
            _placeholders(line, known, "an iterable line")
        for wrapper in self.wrappers.templates.values():
            _placeholders(wrapper, known | {"body"}, "a wrapper")
        for node, kinds in self.templates.items():
            if frozenset(kinds) not in _TEMPLATE_KINDS:
                raise ValueError(f"template kinds of {node}: {sorted(kinds)}")
            for template in kinds.values():
                _placeholders(template, known | {"iterable"}, f"a template of {node}")


class Keyword(_Frozen):
    """A testable concept's keyword, and what would make a prompt hold the concept itself."""

    keyword: Annotated[str, Field(min_length=1)]
    forbidden_nodes: tuple[str, ...]
    forbidden_names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Keyword:
        unknown = [node for node in self.forbidden_nodes if not hasattr(ast, node)]
        if unknown:
            raise ValueError(f"not AST node types: {unknown}")
        return self


class CheckerTables(_Frozen):
    """The tables of stage 11B and of the token-checker prompts (paper §6)."""

    seed: int
    target_per_object: Annotated[int, Field(ge=1)]
    overshoot_factor: Annotated[int, Field(ge=1)]
    keyword_map: Table[str, Keyword]
    identifier_variants: Table[str, Names]
    string_words: Annotated[tuple[str, ...], Field(min_length=WORDS_PER_ROUND)]
    context_wrappers: Names
    var_names: Annotated[tuple[str, ...], Field(min_length=VARIABLES_PER_ROUND)]
    snippets: Table[str, Names]

    @model_validator(mode="after")
    def _check(self) -> CheckerTables:
        _same(self.snippets, [*CATEGORIES, ALTERNATIVE_IDENTIFIERS], "snippet banks")
        for name, bank in self.snippets.items():
            for template in bank:
                _placeholders(template, _SNIPPET_NAMES, f"a snippet of {name}")
        for wrapper in self.context_wrappers:
            if wrapper.count(SNIPPET_MARK) != 1:
                raise ValueError(f"context wrapper {wrapper!r} does not hold one {SNIPPET_MARK}")
        keywords = [entry.keyword for entry in self.keyword_map.values()]
        _within(self.identifier_variants, keywords, "identifier_variants")
        return self


class Stimuli(_Frozen):
    """The whole inventory.

    Attributes:
        source: where the data come from, and their licence.
        placeholders: what the names in the templates stand for.
        object_prompts: tables of stage 11A.
        checker_prompts: tables of stage 11B and of the token-checker prompts.
    """

    source: str
    placeholders: str
    object_prompts: ObjectTables
    checker_prompts: CheckerTables

    @model_validator(mode="after")
    def _check(self) -> Stimuli:
        _within(self.checker_prompts.keyword_map, self.concepts, "keyword_map")
        return self

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
    """The published inventory that ships with the package.

    Returns:
        The checked tables, read once per process and read-only.

    Raises:
        StimulusError: the packaged file is missing or breaks its own rules.
    """
    file = resources.files("atlas_assets.stages.prompts") / "stimuli.json"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise _unsound("stimuli.json", "the packaged file", str(error)) from error
    return parse_stimuli(text, where="stimuli.json")


def parse_stimuli(text: str, *, where: str) -> Stimuli:
    """Read an inventory from JSON.

    Args:
        text: the JSON document.
        where: its name, for messages.

    Raises:
        StimulusError: not JSON, a table missing or of the wrong type, or tables that contradict
            each other; the message names the table.
    """
    try:
        return Stimuli.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        table = ".".join(str(part) for part in first["loc"])
        location = f"{where}, {table}" if table else where
        raise _unsound(location, "tables that agree with each other", first["msg"]) from error


def _unsound(where: str, expected: str, found: str) -> StimulusError:
    return StimulusError(
        "cannot read the stimulus tables",
        where=where,
        expected=expected,
        found=found,
        remedy="reinstall the package, or restore the published stimuli.json",
    )


def _object_names(domains: Mapping[str, Domain]) -> frozenset[str]:
    """Names an object template may use: those that every domain can fill."""
    if not domains:
        raise ValueError("there is no domain")
    variables = [set(domain.var_names) for domain in domains.values()]
    mocks = [{f"mock_{kind}" for kind in domain.mock_data} for domain in domains.values()]
    names = set.intersection(*variables) | set.intersection(*mocks)
    if "mock_list" not in names:
        raise ValueError("a domain has no mock_data for list, which stands in for other builtins")
    return frozenset(names | {"mock", "builtin"})


def _placeholders(template: str, known: frozenset[str], where: str) -> None:
    parsed = Template(template)
    if not parsed.is_valid():
        raise ValueError(f"{where} is not a template: {template!r}")
    _within(parsed.get_identifiers(), known, where)


def _within(names: Iterable[str], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{where} names what is not there: {', '.join(unknown)}")


def _same(names: Iterable[str], others: Iterable[str], where: str) -> None:
    odd = sorted(set(names) ^ set(others))
    if odd:
        raise ValueError(f"{where} do not match: {', '.join(odd)}")
