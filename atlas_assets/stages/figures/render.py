"""Figures as bytes: PNG and PDF that are the same every time, and previews of bounded size."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atlas_assets.stages.figures.drawing import DESCRIPTION, PREVIEW_LIMIT, Drawing
from atlas_assets.stages.figures.style import paper

_PNG_DPI = 200.0
#: pixels per pixel of the PNG in the largest preview that is tried, and of its longer side
_PREVIEW_SCALE = 0.75
_PREVIEW_PIXELS = 1600
_PREVIEW_COLOURS = 128


def drawing(sheets: Sequence[Figure], description: str) -> Drawing:
    """Return a figure of one or several sheets in all its forms.

    The description, what it shows in words for those who cannot see it, is kept in both files.
    """
    images = [pixels(sheet) for sheet in sheets]
    return Drawing(
        png=to_png(*images, description=description),
        pdf=to_pdf(*sheets, description=description),
        previews=tuple(map(preview, images)),
    )


def to_png(*images: Image.Image, description: str | None = None) -> bytes:
    """Return images one below the other as PNG; same images, same bytes (no date in it)."""
    size = (max(image.width for image in images), sum(image.height for image in images))
    stack = Image.new("RGB", size, "white")
    top = 0
    for image in images:
        stack.paste(image, (0, top))
        top += image.height
    about = PngInfo()
    if description:
        about.add_itxt(DESCRIPTION, description, lang="en")
    buffer = io.BytesIO()
    stack.save(buffer, format="PNG", pnginfo=about, dpi=(_PNG_DPI, _PNG_DPI))
    return buffer.getvalue()


def to_pdf(*sheets: Figure, description: str | None = None) -> bytes:
    """Return the sheets as the pages of a PDF, fonts embedded; same sheets, same bytes."""
    about = {"CreationDate": None, "Creator": None, "Producer": None, "Subject": description}
    buffer = io.BytesIO()
    with paper(), PdfPages(buffer, metadata=about) as pages:
        for sheet in sheets:
            pages.savefig(sheet, dpi=300)
    return buffer.getvalue()


def preview(image: Image.Image) -> bytes:
    """Return an image as a PNG of fewer than `PREVIEW_LIMIT` bytes, as sharp as that allows.

    Colours are reduced to a palette first, then the size until it fits.
    """
    scale = min(_PREVIEW_SCALE, _PREVIEW_PIXELS / max(image.size))
    data = _with_palette(_scaled(image, scale))
    while len(data) >= PREVIEW_LIMIT:
        scale *= min(0.9, math.sqrt(PREVIEW_LIMIT / len(data)))
        data = _with_palette(_scaled(image, scale))
    return data


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def pixels(figure: Figure) -> Image.Image:
    """Draw the figure once; ``savefig`` would draw it twice, for layouts that are not used here."""
    dpi_before, canvas_before = figure.dpi, figure.canvas
    with paper():
        figure.dpi = _PNG_DPI
        try:
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # type: ignore[no-untyped-call]
        finally:
            figure.dpi = dpi_before
            figure.set_canvas(canvas_before)
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(drawn).convert("RGB")


def _with_palette(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    colours = image.quantize(
        _PREVIEW_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    colours.save(buffer, format="PNG")  # optimised, it has 1% fewer bytes and takes a third longer
    return buffer.getvalue()
