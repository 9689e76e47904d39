"""A rendered figure: the bytes of its PNG and PDF. Pillow is imported when it is looked into."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

#: a preview, which goes into Dagster's event log, has fewer bytes
PREVIEW_LIMIT = 100_000
#: key of the text in a PNG that says what the figure shows
DESCRIPTION = "Description"


@dataclass(frozen=True)
class Drawing:
    """A rendered figure.

    Attributes:
        png: the figure; a stack of its sheets where it has several.
        pdf: the same, one page per sheet; ``None`` when only the PNG was read.
        previews: a small PNG of each sheet; not kept in the atlas.
    """

    png: bytes
    pdf: bytes | None
    previews: tuple[bytes, ...] = ()

    @property
    def description(self) -> str:
        """What the figure shows, in words; from the PNG, where the renderer put it."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png), formats=("PNG",)) as image:
            return str(image.info.get(DESCRIPTION, ""))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the PNG, pixels."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png), formats=("PNG",)) as image:
            return image.size


def flaw_of_png(data: bytes) -> str | None:
    """What is wrong with a PNG; ``None`` where it is whole.

    Every chunk is held to its checksum; no pixel is decompressed. An image so large that Pillow
    takes it for a decompression bomb is refused.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
    except Image.DecompressionBombWarning as error:
        return str(error)
    if not data.endswith(b"\0\0\0\0IEND\xaeB`\x82"):
        return "it does not end with the chunk IEND"
    return None
