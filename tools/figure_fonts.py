"""Makes the fonts of the figures anew: ``python -m tools.figure_fonts``.

They are matplotlib's DejaVu Sans, three faces, with the letters that figures mostly need and
without hints. Embedding a font in a PDF reads all of it; of these that takes a fifth of the time.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from fontTools import subset

from atlas_assets.stages.figures.letters import FACES, FAMILY, FONTS

#: Latin, Greek, punctuation, arrows and mathematical signs
_LETTERS = (
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),
    *range(0x370, 0x400),
    *range(0x2010, 0x2028),
    *range(0x2030, 0x2035),
    *range(0x2190, 0x2194),
    *range(0x2200, 0x2240),
    *range(0x2260, 0x2270),
)
#: places of a family's name in a font's table of names
_FAMILY_NAMES = (1, 16)


def main() -> None:
    """Write the font files into the package."""
    source = Path(mpl.get_data_path()) / "fonts" / "ttf"
    FONTS.mkdir(exist_ok=True)
    for file in FACES:
        (FONTS / file).write_bytes(reduced(source / file))
    licence = source / "LICENSE_DEJAVU"
    (FONTS / licence.name).write_bytes(licence.read_bytes())


def reduced(path: Path) -> bytes:
    """Return a font with those letters alone and the name of the figures' family."""
    options = subset.Options(
        glyph_names=True,
        hinting=False,
        legacy_kern=True,  # which older versions of matplotlib read
        layout_features=["*"],
        name_IDs=["*"],
        name_languages=["*"],
        name_legacy=True,
        notdef_outline=True,
        drop_tables=[*subset.Options().drop_tables, "FFTM"],
    )
    with subset.load_font(path, options) as font:
        kept = subset.Subsetter(options)
        kept.populate(unicodes=_LETTERS)
        kept.subset(font)
        for record in font["name"].names:
            if record.nameID in _FAMILY_NAMES:
                record.string = FAMILY
        buffer = BytesIO()
        subset.save_font(font, buffer, options)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
