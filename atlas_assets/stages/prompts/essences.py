"""The text of one object prompt: a pair's essence in a domain, padded, wrapped, normalised.

The *essence* is the few lines that realise a pair (paper §4). Around it go a line before, a line
after and a wrapper; ``ast.unparse(ast.parse(text))`` then gives every prompt one code style.
"""

from __future__ import annotations

import ast
import re
import textwrap
from functools import cache
from string import Template
from typing import NamedTuple

from atlas_assets.stages.concepts import ISOLATED
from atlas_assets.stages.prompts.stimuli import ObjectTables, TemplateKind
from atlas_assets.stages.prompts.syntax import shows

#: where a wrapper holds the body: as it is, or with every line indented by some spaces
_BODY = re.compile(r"\$\{body\}|<body indented by (?P<spaces>\d+)>")
#: key of the line that makes an iterable of any builtin the others do not name
_ANY_BUILTIN = "*"


class Frame(NamedTuple):
    """What the random generator draws for one prompt, in the order of drawing."""

    before: str
    after: str
    wrapper: str


class Renderer:
    """Turns a pair, a domain and a frame into text; texts and parts that recur are made once."""

    def __init__(self, tables: ObjectTables) -> None:
        self._tables = tables
        self._iterables = {
            name: line for key, line in tables.iterable.items() for name in key.split("|")
        }
        self._exceptions = frozenset(tables.builtin_families["exceptions"])
        self.essence = cache(self._essence)
        self._normalised = cache(_normalised)

    def render(self, ast_node: str, builtin: str, domain: str, frame: Frame) -> tuple[str, bool]:
        """Return the text of one prompt of a pair, and whether the pair's AST node is in it."""
        essence = self.essence(ast_node, builtin, domain)
        body = "\n".join(part for part in (frame.before, essence, frame.after) if part)
        return self._normalised(self._wrap(body, domain, frame.wrapper), ast_node)

    def _essence(self, ast_node: str, builtin: str, domain: str) -> str:
        """The lines that realise a pair with a domain's names and literals."""
        data = self._tables.domains[domain]
        names = {**data.var_names, "builtin": builtin}
        names |= {f"mock_{kind}": literal for kind, literal in data.mock_data.items()}
        # most builtins (functions, exceptions, bytes, …) have no literal of their own
        names["mock"] = data.mock_data.get(builtin, data.mock_data["list"])
        line = self._iterables.get(builtin, self._iterables[_ANY_BUILTIN])
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
        head, spaces, tail = _BODY.split(template)
        indented = textwrap.indent(body, " " * int(spaces or 0))
        names = self._tables.domains[domain].var_names
        head, tail = (Template(part).substitute(names) for part in (head, tail))
        return f"{head}{indented}{tail}"


def _normalised(raw: str, ast_node: str) -> tuple[str, bool]:
    tree = ast.parse(raw)
    return ast.unparse(tree), shows(tree, ast_node)
