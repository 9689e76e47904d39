"""All nodes of a tree are looked at, in the order of Python's own walk."""

from __future__ import annotations

import ast

import pytest

from atlas_assets.stages.prompts.object_prompts import generate
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.prompts.syntax import nodes_of, shows


def test_the_nodes_of_prompts_are_those_of_a_walk_in_its_order() -> None:
    texts = generate(load_stimuli(), builtins=["list"])["prompt_text"].gather_every(40)
    assert len(texts) > 20
    for text in texts:
        tree = ast.parse(text)
        assert list(map(id, nodes_of(tree))) == list(map(id, ast.walk(tree)))


@pytest.mark.parametrize(
    ("text", "node", "there"),
    [
        ("x = [a for a in b]", "ListComp", True),
        ("x = [a for a in b]", "For", False),
        ("def f():\n    return (yield)", "Yield", True),
        ("", "Module", True),
    ],
)
def test_a_node_is_found_however_deep(text: str, node: str, there: bool) -> None:
    assert shows(ast.parse(text), node) is there
