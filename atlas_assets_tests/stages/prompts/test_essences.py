"""One object prompt: which template, which literal, which iterable line, which indentation."""

from __future__ import annotations

import pytest

from atlas_assets.stages.prompts.essences import Frame, Renderer
from atlas_assets.stages.prompts.stimuli import load_stimuli

RENDERER = Renderer(load_stimuli().object_prompts)
BARE = Frame(before="", after="", wrapper="global")


@pytest.mark.parametrize(
    ("node", "builtin", "expected"),
    [
        # a literal of the builtin's own, or that of list
        ("Assign", "int", "velocity = 299792458"),
        ("Assign", "len", "velocity = [9.81, 3.0e8, 6.674e-11, 1.602e-19]"),
        ("AugAssign", "len", "velocity = 299792458\nvelocity += 1"),
        # templates of their own for exceptions and for no builtin at all
        ("Raise", "KeyError", "raise KeyError("),
        ("Raise", "len", "raise ValueError(str(len))"),
        ("Try", "KeyError", "except KeyError as e"),
        ("Try", "len", "except Exception as e"),
        ("Break", "_isolated_", "for reading in range(5):"),
        ("Break", "dict", "for reading in measurements:"),
        ("Assert", "_isolated_", "velocity = 1\nassert"),
        # the iterable line
        ("Slice", "frozenset", "measurements = [9.81, 3.0e8, 6.674e-11, 1.602e-19]\n"),
        ("Slice", "dict", "particle_data = {'mass'"),
        ("Slice", "range", "measurements = list(range(10))\n"),
        ("Slice", "str", "measurements = list('MUON_DECAY_EVENT')\n"),
        ("Slice", "int", "measurements = list(range(299792458 % 20))\n"),
        ("Slice", "bytes", "measurements = list(b'hello')\n"),
        ("Slice", "open", "measurements = [str(open), str(type(open))]\n"),
    ],
)
def test_essence(node: str, builtin: str, expected: str) -> None:
    assert expected in RENDERER.essence(node, builtin, "physics")


@pytest.mark.parametrize(
    ("wrapper", "expected"),
    [
        ("global", "counter = 0\nimport ast\ncounter += 1"),
        ("function", "def audit_record_main():\n    counter = 0\n    import ast\n    counter += 1"),
        (
            "method",
            (
                "class PortfolioManagerMain:\n\n    def calculate_returns_run(self):\n"
                "        counter = 0\n        import ast\n        counter += 1"
            ),
        ),
    ],
)
def test_wrappers(wrapper: str, expected: str) -> None:
    frame = Frame(before="counter = 0", after="counter += 1", wrapper=wrapper)
    assert RENDERER.render("Import", "_isolated_", "finance", frame) == (expected, True)


def test_empty_paddings_leave_no_line_and_the_style_is_that_of_unparse() -> None:
    assert RENDERER.render("Import", "_isolated_", "finance", BARE)[0] == "import ast"
    text, _ = RENDERER.render("Assign", "list", "physics", BARE)
    assert text == "velocity = [9.81, 300000000.0, 6.674e-11, 1.602e-19]"
