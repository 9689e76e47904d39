"""Figures: a PNG and, beside it, the same as PDF; each with its provenance in a sidecar.

The PDF takes its place first and the PNG last, so the PNG's record speaks for both: a writer that
is killed in between leaves the earlier PNG with its own record, and a full read, which compares
both files with it, refuses the mixture.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from upath import UPath

from atlas_assets.errors import ArtifactError
from atlas_assets.files.locations import Fetched, Source, content, label
from atlas_assets.stages.figures.drawing import PREVIEW_LIMIT, Drawing, flaw_of_png
from atlas_assets.storage import sidecar
from atlas_assets.storage.codec import SidecarCodec, instance_of
from atlas_assets.storage.provenance import Provenance

PNG = "png"


@dataclass(frozen=True)
class FigureFile(SidecarCodec[Drawing]):
    """A PNG under the artifact's own name and a PDF beside it."""

    kind = "png"
    parts = (PNG,)

    def files(self, path: UPath | Path) -> tuple[UPath | Path, ...]:
        """The PNG and the PDF."""
        return path, path.with_suffix(".pdf")

    def check(self, value: Drawing, *, where: str) -> None:
        """Both must be whole files of their kind, and previews small."""
        instance_of(value, Drawing, where=where)
        _check_png(value.png, where)
        if value.pdf is None:
            _fail(where, "a PNG and a PDF", "no PDF")
        _check_pdf(value.pdf, where)
        for preview in value.previews:
            _check_png(preview, f"{where}, preview")
            if len(preview) >= PREVIEW_LIMIT:
                _fail(where, f"previews of fewer than {PREVIEW_LIMIT:,} bytes", f"{len(preview):,}")

    def payload_digest(self, value: Drawing) -> str:
        """Digest of both files."""
        both = hashlib.sha256(value.png).digest() + hashlib.sha256(value.pdf or b"").digest()
        return hashlib.sha256(both).hexdigest()

    def part_digests(self, value: Drawing, part: str | None = None) -> dict[str, str]:  # noqa: ARG002
        """Digest of the PNG."""
        return {PNG: hashlib.sha256(value.png).hexdigest()}

    def describe(self, value: Drawing) -> dict[str, int | float | str]:
        """Pixels, bytes of the PDF, and what is shown."""
        width, height = value.size
        return {
            "n_pixels": f"{width} × {height}",
            "pdf_size": len(value.pdf or b""),
            "description": value.description,
        }

    def encode(self, value: Drawing, provenance: Provenance) -> bytes:  # noqa: ARG002
        """The PNG's bytes."""
        return value.png

    def decode(self, source: Source, *, part: str | None = None) -> Drawing:
        """The figure in its files; with part ``png``, without the PDF."""
        png = content(source)
        _check_png(png, label(source))
        if part == PNG:
            return Drawing(png, None)
        if isinstance(source, bytes):
            _fail(label(source), "a path, beside which the PDF lies", "bytes")
        path = source.path if isinstance(source, Fetched) else source
        beside = self.files(path)[1]
        pdf = content(beside)
        _check_pdf(pdf, label(beside))
        return Drawing(png, pdf)

    def write(self, path: UPath | Path, value: Drawing, provenance: Provenance) -> int:
        """As the base class says; returns the size of the PNG."""
        self.check(value, where=provenance.artifact)
        for file, data in zip(self.files(path)[::-1], (value.pdf or b"", value.png), strict=True):
            sidecar.write_with(file, data, provenance)
        return len(value.png)


def _check_png(data: bytes, where: str) -> None:
    flaw = flaw_of_png(data)
    if flaw is not None:
        _fail(where, "a whole PNG, as its checksums say", flaw)


def _check_pdf(data: bytes, where: str) -> None:
    if not (data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")):
        _fail(where, "a whole PDF, from %PDF- to %%EOF", f"{len(data):,} bytes")


def _fail(where: str, expected: str, found: str) -> NoReturn:
    raise ArtifactError(
        "the figure is not sound",
        where=where,
        expected=expected,
        found=found,
        remedy="materialise it again",
    )
