"""Figures: a PNG and, beside it, the same as PDF; each with its provenance in a sidecar.

The record of the PNG speaks for both, and where there is none, the two still belong together: of a
writer that was killed after the PNG took its place and before the PDF did, the PDF waits
(`storage.sidecar`), and a reader finds it there.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from upath import UPath

from atlas_assets.errors import unsound
from atlas_assets.files import atomic
from atlas_assets.files.locations import Fetched, Source, content, is_there, label
from atlas_assets.stages.figures.drawing import PREVIEW_LIMIT, Drawing, flaw_of_png
from atlas_assets.storage import sidecar
from atlas_assets.storage.codec import SidecarCodec
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.trust import note_written

PNG = "png"
_unsound = partial(unsound, "the figure is not sound")


class FigureFile(SidecarCodec[Drawing]):
    """A PNG under the artifact's own name and a PDF beside it."""

    kind = "png"
    holds = Drawing
    parts = (PNG,)

    def files(self, path: UPath | Path) -> tuple[UPath | Path, ...]:
        """Return the paths of the PNG and of the PDF."""
        return path, path.with_suffix(".pdf")

    def check(self, value: Drawing, *, where: str) -> None:
        """Refuse files that are not whole PNGs and PDFs, and previews that are not small."""
        super().check(value, where=where)
        _check_png(value.png, where)
        if value.pdf is None:
            raise _unsound(where, "a PNG and a PDF", "no PDF")
        _check_pdf(value.pdf, where)
        for preview in value.previews:
            _check_png(preview, f"{where}, preview")
            if len(preview) >= PREVIEW_LIMIT:
                expected = f"previews of fewer than {PREVIEW_LIMIT:,} bytes"
                raise _unsound(where, expected, f"{len(preview):,}")

    def payload_digest(self, value: Drawing) -> str:
        """Return the SHA-256 (hex) over both files."""
        both = hashlib.sha256(value.png).digest() + hashlib.sha256(value.pdf or b"").digest()
        return hashlib.sha256(both).hexdigest()

    def part_digests(self, value: Drawing, part: str | None = None) -> dict[str, str]:  # noqa: ARG002
        """Return the SHA-256 (hex) of the PNG."""
        return {PNG: hashlib.sha256(value.png).hexdigest()}

    def describe(self, value: Drawing) -> dict[str, int | float | str]:
        """Return the number of pixels, the PDF's bytes, and what the figure shows."""
        width, height = value.size
        return {
            "n_pixels": f"{width} × {height}",
            "pdf_size": len(value.pdf or b""),
            "description": value.description,
        }

    def encode(self, value: Drawing, provenance: Provenance) -> bytes:  # noqa: ARG002
        """Return the bytes of the PNG."""
        return value.png

    def decode(self, source: Source, *, part: str | None = None) -> Drawing:
        """Return the figure in its two files; with part ``png``, without the PDF."""
        png = content(source)
        _check_png(png, label(source))
        if part == PNG:
            return Drawing(png, None)
        if isinstance(source, bytes):
            raise _unsound(label(source), "a path, beside which the PDF is", "bytes")
        path = source.path if isinstance(source, Fetched) else source
        beside = self.files(path)[1]
        try:
            pdf = content(self._place_of_pdf(path, png))
        except FileNotFoundError:  # what waited has taken its place meanwhile
            pdf = content(beside)
        _check_pdf(pdf, label(beside))
        return Drawing(png, pdf)

    def is_whole(self, path: UPath | Path) -> bool:
        """Whether both files are there, the PDF in its place or waiting for it."""
        png, pdf = self.files(path)
        return is_there(png) and (is_there(pdf) or bool(sidecar.waiting(pdf)))

    def replaced(self, path: UPath | Path) -> Provenance | None:
        """Return the record of the PNG there or, where only a PDF is, of that one."""
        png, pdf = self.files(path)
        record = super().replaced(path)
        if is_there(pdf):  # one that may not be read is not replaced
            of_pdf = content(pdf)
            record = record if is_there(png) else sidecar.read(pdf, of_pdf)
        return record

    def settle(self, path: UPath | Path) -> None:
        """Finish what a killed writer began in a copy of the files, to which nobody else writes."""
        beside, found = self.files(path)[1], self._place_of_pdf(path, content(path))
        if found != beside:
            atomic.move(found, beside)

    def _place_of_pdf(self, path: UPath | Path, png: bytes) -> UPath | Path:
        """Where the PDF of this PNG is: the one that fits the record, if there is a choice."""
        beside = self.files(path)[1]
        waits = sidecar.waiting(beside, png)
        record = sidecar.read(path, png) if waits else None
        if record is None:
            return waits[0] if waits else beside
        for there in waits:
            if self.payload_digest(Drawing(png, content(there))) == record.payload_sha256:
                return there
        return beside

    def write(self, path: UPath | Path, value: Drawing, provenance: Provenance) -> int:
        """Put PNG and PDF in place as one set; return the size of the PNG in bytes."""
        self.check(value, where=provenance.artifact)
        note_written(value.png, self.kind)
        beside = {self.files(path)[1]: value.pdf or b""}
        sidecar.put(path, value.png, provenance, what=provenance.artifact, beside=beside)
        return len(value.png)


def _check_png(data: bytes, where: str) -> None:
    flaw = flaw_of_png(data)
    if flaw is not None:
        raise _unsound(where, "a whole PNG, as its checksums say", flaw)


def _check_pdf(data: bytes, where: str) -> None:
    if not (data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")):
        raise _unsound(where, "a whole PDF, from %PDF- to %%EOF", f"{len(data):,} bytes")
