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
_PREVIEW_DPI = 150.0
#: pixels of the longer side of the largest preview that is tried
_PREVIEW_PIXELS = 1600
_PREVIEW_COLOURS = 128


def drawing(sheets: Sequence[Figure], description: str) -> Drawing:
    """Return a figure of one or several sheets in all its forms.

    The description, what it shows in words for those who cannot see it, is kept in both files.
    """
    return Drawing(
        png=to_png(*sheets, description=description),
        pdf=to_pdf(*sheets, description=description),
        previews=tuple(preview(sheet) for sheet in sheets),
    )


def to_png(*sheets: Figure, description: str | None = None) -> bytes:
    """Return the sheets one below the other as PNG; same sheets, same bytes (no date in it)."""
    images = [_pixels(sheet, _PNG_DPI) for sheet in sheets]
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


def preview(figure: Figure) -> bytes:
    """Return the figure as a PNG of fewer than `PREVIEW_LIMIT` bytes, as sharp as that allows.

    Colours are reduced to a palette first, then the size until it fits.
    """
    dpi = min(_PREVIEW_DPI, _PREVIEW_PIXELS / max(figure.get_size_inches()))
    image = _pixels(figure, dpi)
    data, scale = _with_palette(image), 1.0
    while len(data) >= PREVIEW_LIMIT:
        scale *= min(0.9, math.sqrt(PREVIEW_LIMIT / len(data)))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        data = _with_palette(image.resize(size, Image.Resampling.LANCZOS))
    return data


def _pixels(figure: Figure, dpi: float) -> Image.Image:
    """Draw the figure once; ``savefig`` would draw it twice, for layouts that are not used here."""
    dpi_before, canvas_before = figure.dpi, figure.canvas
    with paper():
        figure.dpi = dpi
        try:
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # type: ignore[no-untyped-call]
        finally:
            figure.dpi = dpi_before
            figure.set_canvas(canvas_before)
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(pixels).convert("RGB")


def _with_palette(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    colours = image.quantize(
        _PREVIEW_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    colours.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
