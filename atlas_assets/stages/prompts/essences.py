"""The text of one object prompt: a pair's essence in a domain, padded, wrapped, normalised.

The *essence* is the few lines that realise a pair (paper §4). Around it go a line before, a line
after and a wrapper; ``ast.unparse(ast.parse(text))`` then gives every prompt one code style.
"""

from __future__ import annotations

import ast
import textwrap
from string import Template
from typing import NamedTuple

from atlas_assets.errors import StimulusError
from atlas_assets.stages.concepts import ISOLATED
from atlas_assets.stages.prompts.stimuli import ANY_BUILTIN, BODY_MARK, ObjectTables, TemplateKind


class Frame(NamedTuple):
    """What the random generator draws for one prompt, in the order of drawing."""

    before: str
    after: str
    wrapper: str


class Normalised(NamedTuple):
    """A prompt's final text and the types of the AST nodes in it."""

    text: str
    nodes: frozenset[str]


class Renderer:
    """Turns (pair, domain, frame) into text; texts and parts that recur are made once.

    Args:
        tables: the tables of stage 11A.
    """

    def __init__(self, tables: ObjectTables) -> None:
        self._tables = tables
        self._iterables = {
            name: line for key, line in tables.iterable.items() for name in key.split("|")
        }
        self._exceptions = frozenset(tables.builtin_families["exceptions"])
        self._essences: dict[tuple[str, str, str], str] = {}
        self._normalised: dict[str, Normalised] = {}
        self._node_sets: dict[frozenset[str], frozenset[str]] = {}

    def render(self, ast_node: str, builtin: str, domain: str, frame: Frame) -> Normalised:
        """One prompt of a pair.

        Raises:
            StimulusError: the tables yield a text that is not Python.
        """
        essence = self.essence(ast_node, builtin, domain)
        body = "\n".join(part for part in (frame.before, essence, frame.after) if part)
        raw = self._wrap(body, domain, frame.wrapper)
        if raw not in self._normalised:
            self._normalised[raw] = self._normalise(raw, where=f"{ast_node}, {builtin}, {domain}")
        return self._normalised[raw]

    def essence(self, ast_node: str, builtin: str, domain: str) -> str:
        """The lines that realise a pair with a domain's names and literals."""
        key = (ast_node, builtin, domain)
        if key not in self._essences:
            self._essences[key] = self._fill(ast_node, builtin, domain)
        return self._essences[key]

    def _fill(self, ast_node: str, builtin: str, domain: str) -> str:
        data = self._tables.domains[domain]
        names = {**data.var_names, "builtin": builtin}
        names |= {f"mock_{kind}": literal for kind, literal in data.mock_data.items()}
        # most builtins (functions, exceptions, bytes, …) have no literal of their own
        names["mock"] = data.mock_data.get(builtin, data.mock_data["list"])
        line = self._iterables.get(builtin, self._iterables[ANY_BUILTIN])
        names["iterable"] = Template(line).substitute(names)
        template = self._tables.templates[ast_node][self._kind(ast_node, builtin)]
        return Template(template).substitute(names)

    def _kind(self, ast_node: str, builtin: str) -> TemplateKind:
        kinds = self._tables.templates[ast_node]
        if builtin == ISOLATED and "isolated" in kinds:
            return "isolated"
        if "any" in kinds:
            return "any"
        return "exception" if builtin in self._exceptions else "other"

    def _wrap(self, body: str, domain: str, wrapper: str) -> str:
        template = self._tables.wrappers.templates[wrapper]
        mark = BODY_MARK.search(template)
        if mark is None:
            raise StimulusError(
                "a wrapper has no place for the body",
                where=f"stimuli.json, wrappers.templates.{wrapper}",
                expected="${body} or <body indented by N>",
                found=repr(template),
                remedy="restore the published stimuli.json",
            )
        indented = textwrap.indent(body, " " * int(mark["spaces"] or 0))
        head, tail = (
            Template(part).substitute(self._tables.domains[domain].var_names)
            for part in (template[: mark.start()], template[mark.end() :])
        )
        return f"{head}{indented}{tail}"

    def _normalise(self, raw: str, *, where: str) -> Normalised:
        try:
            tree = ast.parse(raw)
        except SyntaxError as error:
            raise StimulusError(
                "the stimulus tables yield a prompt that is not Python",
                where=where,
                expected="a text that parses",
                found=f"{error.msg} at line {error.lineno} of {raw!r}",
                remedy="restore the published stimuli.json",
            ) from error
        nodes = frozenset(type(node).__name__ for node in ast.walk(tree))
        # few sets occur, so equal ones are shared
        return Normalised(ast.unparse(tree), self._node_sets.setdefault(nodes, nodes))
