"""What a reader of a figure sees: every piece of text it draws, and whether it can be read."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from atlas_assets.stages.figures.style import SMALLEST_FONT, paper

#: the line under the heading of a figure of the reference setting
TITLE = "model openai/circuit-sparsity · ε=0.5, C=0.8 · readout last_token"
#: text boxes include room above and below the letters that neighbours may share
_SHARED = 0.2


class _Reader(RendererAgg):
    """Keeps the text that is drawn, and nothing that is only prepared (ticks out of view)."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(*(figure.get_size_inches() * figure.dpi), figure.dpi)
        self.seen: list[str] = []
        self.boxes: list[tuple[str, Bbox, float]] = []

    def draw_text(self, *args: Any, mtext: Text | None = None, **_: Any) -> None:
        """Read one line of text (its fourth and fifth argument: string and font)."""
        string, font = args[3], args[4]
        self.seen.append(string)
        if mtext is not None:
            box = mtext.get_window_extent(self)
            self.boxes.append((string, box, font.get_size_in_points()))

    def draw_path(self, *_: Any, **__: Any) -> None:
        """Lines and areas hold no text."""

    draw_markers = draw_path_collection = draw_image = draw_path


def _read(figure: Figure) -> _Reader:
    reader = _Reader(figure)
    with paper():
        figure.draw(reader)
    return reader


def texts(figure: Figure) -> list[str]:
    """Every string the figure draws, in the order it is drawn."""
    return _read(figure).seen


def title(figure: Figure) -> list[str]:
    """The heading and the lines of the caption."""
    return [text.get_text() for text in figure.texts]


def said(figure: Figure) -> str:
    """All of it as one line of prose."""
    return " ".join(texts(figure))


def legible(figure: Figure) -> str:
    """What is said, if no text is cut off at the edge, too small for print, or over another."""
    reader = _read(figure)
    page = Bbox.from_bounds(0, 0, *(figure.get_size_inches() * figure.dpi))
    for text, box, size in reader.boxes:
        assert size >= SMALLEST_FONT, f"{text!r} is {size} points"
        assert page.x0 - 0.5 <= box.x0 < box.x1 <= page.x1 + 0.5, f"{text!r} is cut off"
        assert page.y0 - 0.5 <= box.y0 < box.y1 <= page.y1 + 0.5, f"{text!r} is cut off"
    inner = [(text, _core(box)) for text, box, _ in reader.boxes]
    clashes = [(a, b) for (a, one), (b, other) in combinations(inner, 2) if _overlap(one, other)]
    assert not clashes, clashes
    return " ".join(reader.seen)


def _core(box: Bbox) -> Bbox:
    slack = _SHARED * min(box.width, box.height) / 2
    return Bbox.from_extents(box.x0 + slack, box.y0 + slack, box.x1 - slack, box.y1 - slack)


def _overlap(one: Bbox, other: Bbox) -> bool:
    return min(one.x1, other.x1) > max(one.x0, other.x0) and min(one.y1, other.y1) > max(
        one.y0, other.y0
    )
