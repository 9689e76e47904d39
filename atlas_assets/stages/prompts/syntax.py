"""The syntax trees of prompts, of which an atlas looks through some hundred thousand."""

from __future__ import annotations

import ast


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """Return all nodes of a tree in the order of `ast.walk`, which takes half as long again."""
    found = [tree]
    for node in found:  # which grows meanwhile
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                found.append(value)
            elif isinstance(value, list):
                found += [part for part in value if isinstance(part, ast.AST)]
    return found


def shows(tree: ast.AST, ast_node: str) -> bool:
    """Return whether a node of that type is in a tree."""
    return any(type(node).__name__ == ast_node for node in nodes_of(tree))
