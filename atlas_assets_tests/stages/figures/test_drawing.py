"""A figure carries its size and its description, whoever wrote the PNG."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atlas_assets.stages.figures.drawing import Drawing, flaw_of_png
from atlas_assets_tests.storage.samples import drawing


@pytest.mark.parametrize("text", ["A figure", "η ∖ ∩", "long " * 300])
def test_the_description_travels_in_the_png(text: str) -> None:
    assert drawing(description=text).description == text


@pytest.mark.parametrize("chunk", ["none", "tEXt", "iTXt", "deflated iTXt"])
def test_descriptions_that_others_wrote_are_read_too(chunk: str) -> None:
    about, buffer = PngInfo(), io.BytesIO()
    if chunk == "tEXt":
        about.add_text("Description", "Größe")
    elif chunk != "none":
        about.add_itxt("Description", "Größe", zip=chunk.startswith("deflated"))
    Image.new("L", (7, 5)).save(buffer, format="PNG", pnginfo=about)
    figure = Drawing(buffer.getvalue(), None)
    assert figure.description == ("" if chunk == "none" else "Größe")
    assert figure.size == (7, 5)


def test_the_flaw_of_a_png_is_named() -> None:
    png = drawing().png
    assert flaw_of_png(png) is None
    for damaged in (b"", b"GIF89a", png[:60], png[:-1], png[:50] + b"?" + png[51:]):
        assert flaw_of_png(damaged)
