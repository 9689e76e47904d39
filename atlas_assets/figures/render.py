"""Figures as bytes: PNG and PDF that are the same every time, and previews of bounded size."""

from __future__ import annotations

import io
import math

from matplotlib.figure import Figure
from PIL import Image

from atlas_assets.figures.style import paper

#: a preview has fewer bytes
PREVIEW_LIMIT = 100_000
_PREVIEW_DPI = 150.0
#: pixels of the longer side of the largest preview that is tried
_PREVIEW_PIXELS = 1600
_PREVIEW_COLOURS = 128


def to_png(figure: Figure, dpi: float = 200) -> bytes:
    """The figure as PNG; the same bytes for the same figure (no date, no version in it)."""
    return _save(figure, "png", dpi, {"Software": None})


def to_pdf(figure: Figure) -> bytes:
    """The figure as PDF, fonts embedded; the same bytes for the same figure."""
    return _save(figure, "pdf", 300, {"CreationDate": None, "Creator": None, "Producer": None})


def preview(figure: Figure, limit: int = PREVIEW_LIMIT) -> bytes:
    """The figure as a PNG of fewer than ``limit`` bytes, as sharp as that allows.

    Colours are reduced to a palette first, then the size until it fits.
    """
    dpi = min(_PREVIEW_DPI, _PREVIEW_PIXELS / max(figure.get_size_inches()))
    with Image.open(io.BytesIO(to_png(figure, dpi))) as rendered:
        image = rendered.convert("RGB")
    data, scale = _with_palette(image), 1.0
    while len(data) >= limit:
        scale *= min(0.9, math.sqrt(limit / len(data)))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        data = _with_palette(image.resize(size, Image.Resampling.LANCZOS))
    return data


def _save(figure: Figure, form: str, dpi: float, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with paper():
        figure.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def _with_palette(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    colours = image.quantize(
        _PREVIEW_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    colours.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
