"""Names in scripts that the figures' font lacks are drawn without a warning, and stay apart."""

from __future__ import annotations

import re

import numpy as np
import pytest

from atlas_assets.stages.figures import dendrogram, heatmap, letters, style
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.figures.render import drawing
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.stages.figures.reading import legible, texts

NAMES = ("如果", "当", "s 🙂", "если", "한국어", "ქართ", "x" * 99 + "1", "x" * 99 + "2", "如" * 100)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("For", "For"),
        ("если ü\n→ ∖", "если ü\n→ ∖"),
        ("如果x", "\\u5982\\u679cx"),
        ("s 🙂", "s \\U0001f642"),
        ("", ""),
    ],
)
def test_letters_that_the_font_lacks_are_written_as_python_writes_them(
    text: str, drawn: str
) -> None:
    assert letters.drawable(text) == letters.label(text) == drawn


def test_labels_are_short_and_differ() -> None:
    labels = [letters.label(name) for name in NAMES]
    assert max(map(len, labels)) <= 24
    assert len(set(labels)) == len(NAMES)
    assert letters.label("x" * 24) == "x" * 24
    assert re.fullmatch(r"\\u5982…[0-9a-f]{4}…\\u5982", labels[-1])


def test_labels_of_names_that_begin_and_end_alike_differ() -> None:
    names = ["循环函数定义", "循环变量定义", "循环义", "a loop over all lines of a file"]
    names += [names[-1].replace("all", "some"), f"如{'果' * 60}x", f"如{'果' * 61}x"]
    labels = [letters.label(name) for name in names]
    assert max(map(len, labels)) <= 24
    assert len(set(labels)) == len(names)
    assert labels[2] == r"\u5faa\u73af\u4e49"


@pytest.mark.parametrize("kind", ["dendrogram", "heatmap"])
def test_figures_of_such_concepts_are_drawn_without_a_warning(kind: str) -> None:
    """Warnings are errors in these tests."""
    bits = np.random.default_rng(0).random((len(NAMES), 4, 64)) < 0.3
    masks = Masks(tuple(sorted(f"own__{name}" for name in NAMES)), bits)
    caption = Caption("模型/数据", "last_token", note="из 数据.csv")
    if kind == "dendrogram":
        sheet = dendrogram.draw(masks, (3,), caption)
    else:
        sheet = heatmap.draw(masks, 3, caption)
    drawing([sheet], "described")
    legible(sheet)
    assert {letters.label(name) for name in NAMES} <= set(texts(sheet))
    assert "model \\u6a21\\u578b/\\u6570\\u636e" in " ".join(texts(sheet))
    assert style.label_of("own__如果") == "\\u5982\\u679c"
