"""The sheet every figure is on: its title, its sizes, its colours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import SEPARATOR, Caption
from atlas_assets_tests.stages.figures.reading import legible, texts
from atlas_assets_tests.stages.figures.synthetic import CAPTION, LONG_CAPTION


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2): what is left of a colour in a grey print."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_kinds_and_clusters_are_told_apart_in_grey_and_without_colour() -> None:
    kinds = style.KINDS.values()
    for together in (("pair", "ast", "builtin"), ("pair", "own")):
        looks = [style.KINDS[kind] for kind in together]
        for one, other in combinations(looks, 2):
            assert _contrast(one.colour, other.colour) > 1.9
        for field in ("marker", "line", "hatch"):
            assert len({getattr(look, field) for look in looks}) == len(looks)
    assert len({*style.CLUSTERS} - {kind.colour for kind in kinds}) == len(style.CLUSTERS)
    assert all(_contrast(colour, "#FFFFFF") > 2 for colour in style.CLUSTERS)
    assert _contrast(style.GREY, "#FFFFFF") > 4.5


def test_the_colour_scale_only_darkens() -> None:
    scale = mpl.colormaps[style.SEQUENTIAL]
    luminances = [_luminance(scale(i)) for i in range(scale.N)]
    assert all(lighter > darker for lighter, darker in pairwise(luminances))


@pytest.mark.parametrize("width", [style.SINGLE_COLUMN, style.DOUBLE_COLUMN])
def test_a_long_title_is_broken_and_not_lost(width: float) -> None:
    footnote = "A footnote that is itself too long for the width of a column, but not lost."
    with style.paper():
        page = style.sheet(
            width,
            1.0,
            "A heading that says what this figure shows, layer 3",
            LONG_CAPTION,
            footnotes=(footnote,),
        )
        style.say(page.figure.subplots(), "nothing")
        style.settle(page.figure)
    legible(page.figure)
    drawn = "".join(texts(page.figure)).replace(" ", "")
    for part in (*LONG_CAPTION.line().split(SEPARATOR), LONG_CAPTION.note or "", footnote):
        assert part.replace(" ", "") in drawn


def test_a_word_wider_than_a_column_is_cut_into_lines() -> None:
    with style.paper():
        page = style.sheet(style.SINGLE_COLUMN, 1.0, "H", Caption("m" * 200, "last_token"))
    legible(page.figure)
    assert "".join(texts(page.figure)).count("m") == 200 + len("model") - 4


def test_the_plot_has_the_same_room_under_every_title() -> None:
    with style.paper():
        short, long = (
            style.sheet(style.SINGLE_COLUMN, 2.0, "H", which) for which in (CAPTION, LONG_CAPTION)
        )
    assert long.figure.get_figheight() > short.figure.get_figheight()
    for page in (short, long):
        _, _, width, height = page.fraction(0, 0, 3.5, 2.0)
        assert height * page.figure.get_figheight() == pytest.approx(2.0)
        assert width == pytest.approx(1.0)


def test_the_users_settings_do_not_show_and_come_back() -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 30, "axes.grid": True}), style.paper():
        assert mpl.rcParams["font.size"] == 7
        assert mpl.rcParams["pdf.fonttype"] == 42
        assert not mpl.rcParams["axes.grid"]
    assert dict(mpl.rcParams) == before


def test_threads_take_turns() -> None:
    def inside(_: int) -> bool:
        with style.paper():
            return bool(mpl.rcParams["text.parse_math"])

    before = dict(mpl.rcParams)
    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(inside, range(8)))
    assert dict(mpl.rcParams) == before
