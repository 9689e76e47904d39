"""How the figures look: sizes for print, a colour-blind safe palette, and the sheet they are on.

Colours are those of Okabe and Ito (2008), "Color universal design", which stay apart under every
common colour vision deficiency. No figure relies on them alone: each kind of circuit also has its
marker, line style and hatch.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.figures import letters
from atlas_assets.stages.figures.caption import SEPARATOR, Caption, sentences

#: widths of a journal's single and double column, inches
SINGLE_COLUMN = 3.5
DOUBLE_COLUMN = 7.0
#: no text is smaller, points
SMALLEST_FONT = 5.0

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#595959"
PALE_GREY = "#D9D9D9"
#: of clusters, in the order they come, numbered as well; none is the colour of a kind
CLUSTERS = (VERMILION, GREEN, PURPLE, SKY_BLUE)
#: light to dark in lightness too, so that it prints in grey
SEQUENTIAL = "YlGnBu"
#: of the line at which a dendrogram is cut
DASHES = (0, (4, 2))

Slant = Literal["normal", "italic"]


@dataclass(frozen=True)
class KindStyle:
    """How one kind of circuit (pair, AST, builtin, or own concept) is drawn."""

    label: str
    plural: str
    colour: str
    marker: str
    line: str
    hatch: str
    slant: Slant


KINDS = {
    "pair": KindStyle("pair", "pairs", BLACK, "D", "-.", "....", "normal"),
    "ast": KindStyle("AST", "AST nodes", BLUE, "o", "-", "", "normal"),
    "builtin": KindStyle("builtin", "builtins", ORANGE, "s", "--", "/////", "italic"),
    "own": KindStyle("concept", "concepts", BLUE, "o", "-", "", "normal"),
}

_PAPER: dict[str, Any] = {
    "font.family": letters.FONT,
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": PALE_GREY,
    "grid.linewidth": 0.4,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "lines.markeredgecolor": BLACK,
    "lines.markeredgewidth": 0.4,
    "patch.linewidth": 0.6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    # unhinted letters are as wide at every resolution, in PNG as in PDF
    "text.hinting": "no_hinting",
    # a model may be a path with a $ in it
    "text.parse_math": False,
    # TrueType rather than Type 3, which journals refuse
    "pdf.fonttype": 42,
}
_lock = threading.RLock()

_HEADING, _LINE, _FOOT = 8.5, 6.5, 6.0
_LEADING = 1.3
_MARGIN = 5.0
_KEY_ROW = 10.0
_POINTS = 72.0


@contextmanager
def paper() -> Iterator[None]:
    """Give matplotlib the settings of these figures, whatever the user's own are.

    Figures are made and rendered inside it. The settings are the process's, so one thread at a time
    is let in, and the user's are back afterwards.
    """
    defaults: dict[Any, Any] = dict(mpl.rcParamsDefault)
    wanted = {key: value for key, value in defaults.items() if not key.startswith("backend")}
    with _lock, mpl.rc_context(wanted | _PAPER):
        yield


@dataclass(frozen=True)
class Sheet:
    """A figure with its title on it, and what is left for the plot.

    Attributes:
        figure: The figure, its title and footnote drawn.
        bottom: The bottom of the body, which is what the plot may use, inches.
        key: The bottom of the room for the key under the body, inches.
    """

    figure: Figure
    bottom: float
    key: float

    def fraction(
        self, left: float, bottom: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Return inches from the body's lower left corner as what ``add_axes`` takes."""
        total_width, total_height = self.figure.get_size_inches()
        return (
            left / total_width,
            (self.bottom + bottom) / total_height,
            width / total_width,
            height / total_height,
        )

    def saying(self, text: str) -> Figure:
        """Return the figure with ``text`` where the plot would be, for data without a plot."""
        say(self.figure.subplots(), text)
        return settle(self.figure)

    def finished(self, handles: Sequence[Artist], columns: int) -> Figure:
        """Return the figure with its key, centred in the room that was kept for it, settled."""
        legend = self.figure.legend(
            handles=list(handles),
            loc="lower center",
            bbox_to_anchor=(0.5, self.key / self.figure.get_figheight()),
            borderaxespad=0,
            borderpad=0.2,
            labelspacing=0.35,
            columnspacing=1.6,
            ncols=columns,
        )
        legend.set_in_layout(False)
        return settle(self.figure)


def sheet(
    width: float,
    height: float,
    heading: str,
    caption: Caption,
    *,
    settings: str = "all settings",
    footnotes: Sequence[str] = (),
    key_rows: int = 0,
) -> Sheet:
    """Return an empty figure with a heading, the caption under it and footnotes at the bottom.

    Lines too long for the width are broken, and the figure grows by their height, so that the plot
    has the same room whatever the model is called.

    Args:
        width: The width of the figure, inches.
        height: The height of the plot alone, inches.
        heading, caption: What the figure shows, and what it is about.
        settings: How to name the settings of a caption without one.
        footnotes: Sentences that a reader has to know.
        key_rows: The lines of the key under the plot.
    """
    room = width * _POINTS - 2 * _MARGIN
    head = _lines(heading, _HEADING, "bold", room)
    head += _lines(caption.line(settings), _LINE, "normal", room)
    head += _lines(caption.note, _LINE, "normal", room) if caption.note else []
    foot = _lines(" ".join(footnotes), _FOOT, "normal", room) if footnotes else []
    key = _height(foot) + (2 if foot else 0.5) * _MARGIN
    bottom = key + (key_rows * _KEY_ROW + 0.8 * _MARGIN if key_rows else 0)
    total = height * _POINTS + _height(head) + 2 * _MARGIN + bottom
    rect = (0.0, bottom / total, 1.0, height * _POINTS / total)
    layout = ConstrainedLayoutEngine(rect=rect, w_pad=_MARGIN / _POINTS, h_pad=2 / _POINTS)
    figure = Figure(figsize=(width, total / _POINTS), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    _write(figure, head, total - _MARGIN, BLACK)
    _write(figure, foot, _MARGIN + _height(foot), GREY)
    return Sheet(figure, bottom / _POINTS, key / _POINTS)


def settle(figure: Figure) -> Figure:
    """Return the figure with its layout fixed, so that PNG, PDF and preview show the same."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)  # all of a drawing that moves anything
    # with "none" an engine stays in its place, for which ``savefig`` draws twice
    figure.set_layout_engine(None)
    return figure


def draw_line(axes: Axes, kind: str, layers: ArrayLike, values: ArrayLike, label: str) -> None:
    """Draw the values of one kind of circuit over the layers, as a line with markers."""
    look = KINDS[kind]
    axes.plot(
        layers, values, color=look.colour, marker=look.marker, linestyle=look.line, label=label
    )


def draw_bar(axes: Axes, at: int, value: float, look: KindStyle) -> None:
    """Draw the horizontal bar of one kind of circuit, centred at height ``at``."""
    axes.barh(at, value, height=0.72, **_bar(look))


def swatches(kinds: Iterable[str]) -> list[Patch]:
    """Return what a bar of each kind of concept looks like, for a key."""
    return [Patch(**_bar(KINDS[kind]), label=KINDS[kind].label) for kind in kinds]


def _bar(look: KindStyle) -> dict[str, Any]:
    return {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": BLACK, "linewidth": 0.5}


def lines_in_words(opening: str, values: Mapping[str, Sequence[str]]) -> str:
    """Return a description of lines over the layers: the opening, and the values of each kind."""
    listed = {KINDS[kind].plural: ", ".join(texts) for kind, texts in values.items() if texts}
    lines = (f"{plural[0].upper()}{plural[1:]}: {texts}" for plural, texts in listed.items())
    return sentences(opening, lines)


def kind_of(concept: str) -> KindStyle:
    """Return how a concept (``ast__For``) is drawn."""
    return KINDS[split_concept(concept)[0]]


def bare(concept: str) -> str:
    """Return the concept without its prefix: ``ast__For`` → ``For``."""
    return split_concept(concept)[1]


def label_of(concept: str) -> str:
    """Return the concept without its prefix as a figure can write it, at most 24 letters long."""
    return letters.label(bare(concept))


def say(axes: Axes, text: str) -> None:
    """Write ``text`` where the plot would be, for data that have nothing to plot."""
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY, wrap=True
    )


def layer_axis(axes: Axes, n_layers: int) -> None:
    """Label and number the horizontal axis of a plot over layers."""
    axes.set_xlabel("layer")
    axes.set_xlim(-0.5, n_layers - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))


Line = tuple[str, float, str]
#: what a line holds at least, from the best places to end it to the worst
_LINE_ENDS = (rf".+?(?:{SEPARATOR}|$)", r"[^ ]+(?: |$)", r"[^/_-]*[/_-]|[^/_-]+$")


def _lines(text: str, size: float, weight: str, room: float) -> list[Line]:
    """Break ``text`` into lines of at most ``room`` points.

    A line ends between two parts of a caption, else at a space, else within a path, else anywhere.
    """
    lines = [""]
    for piece in _pieces(letters.drawable(" ".join(text.split())), size, weight, room):
        longer = lines[-1] + piece
        if lines[-1] and text_width(longer.rstrip(), size, weight) > room:
            lines.append(piece.lstrip())
        else:
            lines[-1] = longer
    return [(line.rstrip().removesuffix(SEPARATOR.rstrip()), size, weight) for line in lines]


def _pieces(
    text: str, size: float, weight: str, room: float, ends: Sequence[str] = _LINE_ENDS
) -> Iterator[str]:
    """Yield the pieces that no line breaks: the parts of ``text`` that fit, else smaller parts."""
    if not ends:
        yield from text
        return
    for part in re.findall(ends[0], text):
        if text_width(part.rstrip(), size, weight) <= room:
            yield part
        else:
            yield from _pieces(part, size, weight, room, ends[1:])


def text_width(text: str, size: float, weight: str = "normal", slant: Slant = "normal") -> float:
    """Return the width in points of one line of text in a font of ``size`` points."""
    if not text.strip():
        return 0.0
    font = FontProperties(family=letters.FONT, size=size, weight=weight, style=slant)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def _height(lines: Sequence[Line]) -> float:
    return sum(size * _LEADING for _, size, _ in lines)


def _write(figure: Figure, lines: Sequence[Line], top: float, colour: str) -> None:
    width, height = (inches * _POINTS for inches in figure.get_size_inches())
    for text, size, weight in lines:
        y = (top - size) / height
        figure.text(_MARGIN / width, y, text, fontsize=size, fontweight=weight, color=colour)
        top -= size * _LEADING
