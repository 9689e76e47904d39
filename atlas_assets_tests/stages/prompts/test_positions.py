"""Where concepts and names end: held to the whole tree of the candidates of five builtins."""

from __future__ import annotations

import ast

import pytest

from atlas_assets.stages.prompts.object_prompts import generate
from atlas_assets.stages.prompts.positions import Landmarks
from atlas_assets.stages.prompts.stimuli import load_stimuli

BUILTINS = ("_isolated_", "list", "print", "range", "ValueError")
NESTED = "for a in b:\n    for c in d:\n        e(c)"
METHOD = "class A:\n\n    def b(self):\n        print('Done')\n        c(d(1)"
LANDMARKS = Landmarks({"result = None", "print('Done')"})


@pytest.mark.parametrize(
    ("text", "concept", "before"),
    [
        ("result = None\nx = 1\nprint('Done')", "Assign", "result = None\nx = 1"),
        ("for a in b:\n    for c in d:\n        e(c)\nf", "For", NESTED),
        (f"{METHOD})\n        print('Done')", "Call", METHOD),
        ("a.b.c", "Attribute", "a.b.c"),
        ("x = 'é' + 'ü'; y", "BinOp", "x = 'é' + 'ü'"),
        ("x = 1", "While", None),
        ("print('Done')", "Call", None),
        ("for (", "For", None),
    ],
)
def test_the_last_starting_node_outside_the_padding(
    text: str, concept: str, before: str | None
) -> None:
    assert LANDMARKS.concept_end(text, concept) == (None if before is None else len(before))


def test_a_name_is_found_where_it_is_used_last_and_not_in_the_padding() -> None:
    text = "print('Done')\nprint(len(x))\ny = [len]\nprint('Done')\nlength = 'len'"
    assert LANDMARKS.name_end(text, "len") == text.index("len]") + 3
    assert LANDMARKS.name_end(text, "print") == text.index("print(len") + 5
    assert LANDMARKS.name_end(text, "list") is None


@pytest.mark.parametrize(
    ("text", "node", "keyword", "before"),
    [
        ("for x in format:\n    for y in x:\n        z", "For", "for", "for x in format:\n    for"),
        ("information = lambda: 1", "Lambda", "lambda", "information = lambda"),
        ("@async_\nasync def f():\n    pass", "AsyncFunctionDef", "async", "@async_\nasync"),
        ("x = 'é'; y = yield", "Yield", "yield", "x = 'é'; y = yield"),
        ("print('Done')\nx = 1", "While", "while", None),
        ("x = 1", "Assign", "for", None),
    ],
)
def test_a_keyword_is_found_in_its_own_node(
    text: str, node: str, keyword: str, before: str | None
) -> None:
    found = LANDMARKS.keyword_end(text, node, keyword)
    assert found == (None if before is None else len(before))


def test_every_candidate_is_placed_as_its_whole_tree_says() -> None:
    stimuli = load_stimuli()
    tables = stimuli.object_prompts
    padding = {*tables.padding_before, *tables.padding_after} - {""}
    landmarks = Landmarks.of(stimuli)
    named = rows = 0
    cut = generate(stimuli, builtins=BUILTINS).gather_every(4)
    for node, builtin, text in cut.select("ast_node", "builtin_obj", "prompt_text").rows():
        lines = text.split("\n")
        nodes = [
            (each.lineno, each.col_offset, -each.end_lineno, -each.end_col_offset, each)
            for each in ast.walk(ast.parse(text))
            if hasattr(each, "lineno") and lines[each.lineno - 1].strip() not in padding
        ]
        wanted = {}
        for what, own in (
            ("concept", [n for n in nodes if type(n[-1]).__name__ == node]),
            ("name", [n for n in nodes if isinstance(n[-1], ast.Name) and n[-1].id == builtin]),
        ):
            start = max((n[:2] for n in own), default=None)
            ends = [(-n[2], -n[3]) for n in own if n[:2] == start]
            if ends:
                line, column = max(ends)
                wanted[what] = len("\n".join([*lines[: line - 1], lines[line - 1][:column]]))
        assert landmarks.concept_end(text, node) == wanted["concept"]
        assert landmarks.name_end(text, builtin) == wanted.get("name")
        named, rows = named + ("name" in wanted), rows + 1
    assert 0.4 < named / rows < 0.5
