"""A rendered figure: the bytes of its PNG and PDF. Pillow is imported when it is looked into."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: a preview, which goes into Dagster's event log, has fewer bytes
PREVIEW_LIMIT = 100_000
#: key of the text in a PNG that says what the figure shows
DESCRIPTION = "Description"


@dataclass(frozen=True)
class Drawing:
    """A rendered figure.

    Attributes:
        png: The figure; a stack of its sheets where it has several.
        pdf: The figure, one page per sheet; ``None`` when only the PNG was read.
        previews: A small PNG of each sheet; not kept in the atlas.
    """

    png: bytes
    pdf: bytes | None
    previews: tuple[bytes, ...] = ()

    @property
    def description(self) -> str:
        """What the figure shows, in words; from the PNG, where the renderer put it."""
        with _opened(self.png) as image:
            return str(image.info.get(DESCRIPTION, ""))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the PNG, pixels."""
        with _opened(self.png) as image:
            return image.size


def _opened(png: bytes) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(png), formats=("PNG",))


def flaw_of_png(data: bytes) -> str | None:
    """Return what is wrong with a PNG; ``None`` where it is whole.

    Every chunk is held to its checksum; no pixel is decompressed. An image so large that Pillow
    takes it for a decompression bomb is refused.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _opened(data) as image:
                image.verify()
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return str(error)
    if not data.endswith(b"\0\0\0\0IEND\xaeB`\x82"):
        return "it does not end with the chunk IEND"
    return None
