"""Figures as bytes: the same every time, and previews that fit."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from atlas_assets.stages.figures import render, style
from atlas_assets_tests.stages.figures.synthetic import CAPTION, FIGURES, drawn


@pytest.mark.parametrize("name", FIGURES)
def test_full_size_figures_have_a_small_preview_and_no_date(name: str) -> None:
    figure = drawn(name)
    before = figure.dpi, figure.canvas
    image, pdf = render.pixels(figure), render.to_pdf(figure)
    small, png = render.preview(image), render.to_png(image)
    assert (figure.dpi, figure.canvas) == before
    assert len(small) < 100_000
    width, height = figure.get_size_inches()
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (int(width * 200), int(height * 200))
    with Image.open(io.BytesIO(small)) as image:
        assert max(image.size) > 400
    assert pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf
    assert b"/Type3" not in pdf


def test_another_process_renders_the_same_bytes_and_never_loads_pyplot() -> None:
    script = (
        "import sys;"
        "from atlas_assets_tests.stages.figures.test_render import FIGURES, render;"
        "figure = FIGURES['entanglement']();"
        "image = render.pixels(figure);"
        "parts = render.to_png(image), render.to_pdf(figure), render.preview(image);"
        "sys.stdout.buffer.write(b''.join(parts));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    figure = drawn("entanglement")
    image = render.pixels(figure)
    here = render.to_png(image) + render.to_pdf(figure) + render.preview(image)
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert there.stdout == here


def test_pixels_are_those_of_savefig() -> None:
    figure = drawn("entanglement")
    with style.paper():
        figure.savefig(expected := io.BytesIO(), format="png", dpi=200)
    with (
        Image.open(expected) as image,
        Image.open(io.BytesIO(render.to_png(render.pixels(figure)))) as ours,
    ):
        assert np.array_equal(np.asarray(ours), np.asarray(image.convert("RGB")))


def test_a_preview_of_noise_fits_too() -> None:
    """The hardest image to compress, on a sheet far larger than any of ours."""
    with style.paper():
        page = style.sheet(14, 14, "Noise", CAPTION)
        noise = np.random.default_rng(0).random((400, 400))
        page.figure.subplots().imshow(noise, cmap="hsv", interpolation="nearest")
        style.settle(page.figure)
    assert len(render.preview(render.pixels(page.figure))) < 100_000


def test_a_drawing_of_several_sheets_is_one_png_and_a_pdf_of_as_many_pages() -> None:
    sheets = [drawn("sweep"), drawn("entanglement")]
    made = render.drawing(sheets, "Two figures, |A∖B| / |A|.")
    heights = [int(sheet.get_figheight() * 200) for sheet in sheets]
    assert made.size == (1400, sum(heights))
    assert made.description == "Two figures, |A∖B| / |A|."
    with Image.open(io.BytesIO(made.png)) as stack:
        second = stack.crop((0, heights[0], 700, sum(heights)))
        with Image.open(io.BytesIO(render.to_png(render.pixels(sheets[1])))) as alone:
            assert second.tobytes() == alone.tobytes()
        assert stack.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    assert made.pdf is not None
    assert b"/Count 2" in made.pdf
    assert len(made.previews) == 2
    assert all(len(small) < 100_000 for small in made.previews)
