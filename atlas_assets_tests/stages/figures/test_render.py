"""Figures as bytes: the same every time, and previews that fit."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from atlas_assets.stages.analyses import modularity as scores
from atlas_assets.stages.figures import (
    concept_fraction,
    dendrogram,
    entanglement,
    heatmap,
    layer_profile,
    modularity,
    render,
    style,
    sweep,
)
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.figures import synthetic

CAPTION = Caption("openai/circuit-sparsity", "last_token", REFERENCE)
FIGURES: dict[str, Callable[[], Figure]] = {
    "dendrogram": lambda: dendrogram.draw(synthetic.universal(), (3, 5), CAPTION),
    "heatmap": lambda: heatmap.draw(synthetic.universal(), 3, CAPTION),
    "concept_fraction": lambda: concept_fraction.draw(synthetic.target_checker(), CAPTION),
    "sweep": lambda: sweep.draw(synthetic.summary(), Caption(CAPTION.model, CAPTION.readout)),
    "layer_profile": lambda: layer_profile.draw(synthetic.profile(), CAPTION),
    "modularity": lambda: modularity.draw(
        scores.scores(synthetic.universal()), CAPTION, n_layers=synthetic.N_LAYERS
    ),
    "entanglement": lambda: entanglement.draw(synthetic.entanglement(), 4, CAPTION),
}


@pytest.mark.parametrize("name", FIGURES)
def test_full_size_figures_render_the_same_twice_and_preview_small(name: str) -> None:
    first, second = FIGURES[name](), FIGURES[name]()
    small, pdf, png = render.preview(first), render.to_pdf(first), render.to_png(first)
    # the second is rendered in another order: no rendering leaves a trace in the figure
    assert render.to_pdf(second) == pdf
    assert render.to_png(second) == png
    assert len(small) < 100_000
    width, height = first.get_size_inches()
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
        "parts = render.to_png(figure), render.to_pdf(figure), render.preview(figure);"
        "sys.stdout.buffer.write(b''.join(parts));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    figure = FIGURES["entanglement"]()
    here = render.to_png(figure) + render.to_pdf(figure) + render.preview(figure)
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert there.stdout == here


def test_the_resolution_is_the_one_asked_for() -> None:
    figure = FIGURES["entanglement"]()
    with Image.open(io.BytesIO(render.to_png(figure, dpi=80))) as image:
        assert image.width == int(figure.get_figwidth() * 80)


@pytest.mark.parametrize("name", ["entanglement", "heatmap"])
def test_pixels_are_those_of_savefig(name: str) -> None:
    figure = FIGURES[name]()
    with style.paper():
        figure.savefig(expected := io.BytesIO(), format="png", dpi=73)
    with (
        Image.open(expected) as image,
        Image.open(io.BytesIO(render.to_png(figure, dpi=73))) as ours,
    ):
        assert np.array_equal(np.asarray(ours), np.asarray(image.convert("RGB")))


def test_a_figure_is_left_as_it_was() -> None:
    figure = FIGURES["entanglement"]()
    before = figure.dpi, figure.canvas
    render.to_png(figure, dpi=80)
    assert (figure.dpi, figure.canvas) == before


def test_a_preview_of_noise_fits_too() -> None:
    """The hardest image to compress, on a sheet far larger than any of ours."""
    with style.paper():
        page = style.sheet(20, 20, "Noise", CAPTION)
        noise = np.random.default_rng(0).random((400, 400))
        page.figure.subplots().imshow(noise, cmap="hsv", interpolation="nearest")
        style.settle(page.figure)
    assert len(render.preview(page.figure)) < 100_000
    assert len(render.preview(page.figure, limit=5_000)) < 5_000


def test_a_drawing_of_several_sheets_is_one_png_and_a_pdf_of_as_many_pages() -> None:
    sheets = [FIGURES["entanglement"](), FIGURES["concept_fraction"](), FIGURES["sweep"]()]
    made = render.drawing(sheets, "Three figures, |A∖B| / |A|.")
    assert made == render.drawing(sheets, "Three figures, |A∖B| / |A|.")
    heights = [int(sheet.get_figheight() * 200) for sheet in sheets]
    assert made.size == (1400, sum(heights))
    assert made.description == "Three figures, |A∖B| / |A|."
    with Image.open(io.BytesIO(made.png)) as stack:
        second = stack.crop((0, heights[0], 700, heights[0] + heights[1]))
        with Image.open(io.BytesIO(render.to_png(sheets[1]))) as alone:
            assert second.tobytes() == alone.tobytes()
        assert stack.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    assert made.pdf is not None
    assert b"/Count 3" in made.pdf
    assert len(made.previews) == 3
    assert all(len(small) < 100_000 for small in made.previews)
