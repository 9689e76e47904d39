"""The sweep: concept fractions of AST and builtin circuits at every setting, as a grid."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption, sentences
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import REFERENCE, Setting, spell

Bars = tuple[tuple[str, str], ...]
#: kind of concept and column of each bar of a panel
_BARS: Bars = (("ast", "ast_concept_fraction"), ("builtin", "blt_concept_fraction"))
_OWN_BARS: Bars = (("own", "mean_concept_fraction"),)
#: inches; a panel may be wider
_PANEL_WIDTH, _PANEL_HEIGHT = 1.3, 0.85


def draw(summary: pl.DataFrame, caption: Caption) -> Figure:
    """Draw one panel per setting of ``summary``, rows by ε and columns by C, each with two bars.

    There is a panel for each (ε, C) that the table's values of ε and C span; one of a setting that
    was not computed says so.
    """
    cells = {
        Setting(row["epsilon"], row["consistency"]): row for row in summary.iter_rows(named=True)
    }
    bars = _bars(summary)
    epsilons = sorted({setting.epsilon for setting in cells})
    consistencies = sorted({setting.consistency for setting in cells})
    # a journal's column, or as much as panels with legible ticks need
    column = style.SINGLE_COLUMN if len(consistencies) == 1 else style.DOUBLE_COLUMN
    width = max(column, _PANEL_WIDTH * len(consistencies) + 0.5)
    with style.paper():
        page = style.sheet(
            width,
            max(len(epsilons) * _PANEL_HEIGHT + 0.6, 1.4),
            "Concept fraction over the sweep",
            caption,
            settings=_named(epsilons, consistencies),
            footnotes=_footnotes(cells),
            key_rows=1,
        )
        if not cells:
            return page.saying("The summary has no setting.")
        panels = page.figure.subplots(
            len(epsilons), len(consistencies), sharex=True, sharey=True, squeeze=False
        )
        for epsilon, row in zip(epsilons, panels, strict=True):
            row[0].set_ylabel(f"ε = {spell(epsilon)}", fontweight="bold", labelpad=6)
            for consistency, axes in zip(consistencies, row, strict=True):
                setting = Setting(epsilon, consistency)
                _draw_cell(axes, cells.get(setting), setting, bars)
        for consistency, top, bottom in zip(consistencies, panels[0], panels[-1], strict=True):
            top.set_title(f"C = {spell(consistency)}", fontweight="bold")
            bottom.set_xlabel("mean concept fraction")
        return page.finished(style.swatches(kind for kind, _ in bars), columns=2)


def _bars(summary: pl.DataFrame) -> Bars:
    return _OWN_BARS if "n_checked" in summary.columns else _BARS


def _draw_cell(
    axes: Axes, row: dict[str, float | None] | None, setting: Setting, bars: Bars
) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_yticks(range(len(bars)), [style.KINDS[kind].label for kind, _ in bars])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xticks([0, 0.5, 1])
    axes.grid(axis="x")
    if setting == REFERENCE:
        for spine in axes.spines.values():
            spine.set(visible=True, linewidth=1.4)
    if row is None:
        axes.text(0.5, 0.5, "not computed", ha="center", va="center", color=style.GREY)
        return
    for at, (kind, column) in enumerate(bars):
        _draw_bar(axes, at, kind, row[column])


def _draw_bar(axes: Axes, at: int, kind: str, share: float | None) -> None:
    look = style.KINDS[kind]
    if share is None:
        axes.text(0.02, at, f"no {look.label} concept", va="center", color=style.GREY, fontsize=6)
        return
    style.draw_bar(axes, at, share, look)
    inside = share > 0.75
    axes.annotate(
        f"{share:.1%}",
        (share, at),
        xytext=(-3 if inside else 3, 0),
        textcoords="offset points",
        ha="right" if inside else "left",
        va="center",
        fontsize=6.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _named(epsilons: list[float], consistencies: list[float]) -> str:
    if not epsilons:
        return "no setting"
    listed = [", ".join(spell(value) for value in values) for values in (epsilons, consistencies)]
    return f"ε ∈ {{{listed[0]}}}, C ∈ {{{listed[1]}}}"


def _footnotes(cells: dict[Setting, dict[str, float | None]]) -> list[str]:
    ending = "all layers; 0 where a circuit is empty"
    counted = {f"Means over {_counted(row)}, {ending}." for row in cells.values()}
    framed = [f"Framed: the paper's reference setting, {REFERENCE}."] if REFERENCE in cells else []
    return [*(counted if len(counted) == 1 else ()), *framed]


def _counted(row: dict[str, float | None]) -> str:
    if "n_checked" in row:
        return f"{row['n_checked']} concepts with checker prompts"
    return f"{row['n_ast']} AST nodes and {row['n_builtin']} builtins with a keyword"


def in_words(summary: pl.DataFrame) -> str:
    """Return the mean concept fraction of each type at each setting, in words."""
    lines = []
    for row in summary.iter_rows(named=True):
        shares = ((style.KINDS[kind].plural, row[column]) for kind, column in _bars(summary))
        told = (f"{of} {'none' if share is None else f'{share:.1%}'}" for of, share in shares)
        setting = Setting(row["epsilon"], row["consistency"])
        lines.append(f"{setting}: {', '.join(told)}")
    return sentences("Bars of mean concept fraction, one panel per setting.", lines)


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the figure of every setting of the sweep, and what it shows in words."""
    summary = making.read("summary")
    return [draw(summary, making.caption("summary"))], in_words(summary)
