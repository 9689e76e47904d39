"""Figures: PNG and PDF belong together, and every damage is noticed."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from upath import UPath

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.files import atomic
from atlas_assets.stages.figures.drawing import PREVIEW_LIMIT, Drawing
from atlas_assets.storage import sidecar
from atlas_assets.storage.figures import FigureFile
from atlas_assets_tests.storage.bad_disks import killed_at_every_step, largest_file
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import drawing, record_of

FORMAT = FigureFile()


def write(path: Path | UPath, value: Drawing) -> None:
    FORMAT.write(path, value, record_of(FORMAT, value, "f"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "f.png", drawing())
    return tmp_path / "f.png"


def test_the_png_alone_can_be_read(path: Path) -> None:
    path.with_suffix(".pdf").unlink()
    value, _ = FORMAT.read(path, part="png")
    assert value == Drawing(drawing().png, None)
    with pytest.raises(MissingArtifactError, match=r"f\.pdf"):
        FORMAT.read(path)


def test_a_pdf_or_png_of_another_making_is_refused(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.png", drawing("black"))
    path.with_suffix(".pdf").write_bytes((tmp_path / "other.pdf").read_bytes())
    with pytest.raises(ArtifactError, match="content is not what was written"):
        FORMAT.read(path)
    path.write_bytes((tmp_path / "other.png").read_bytes())
    with pytest.raises(ArtifactError, match="edited after it was written"):
        FORMAT.read(path, part="png")


def test_no_flipped_byte_and_no_truncation_of_a_png_goes_unnoticed() -> None:
    png = drawing().png
    flipped = [png[:i] + bytes([png[i] ^ 0x10]) + png[i + 1 :] for i in range(len(png))]
    for damaged in (*flipped, *(png[:length] for length in (0, 7, 8, 20, 60, -1))):
        with pytest.raises(ArtifactError, match="figure is not sound"):
            FORMAT.decode(damaged, part="png")


def large_preview() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((400, 400), 90).save(buffer, format="PNG")
    assert len(buffer.getvalue()) > PREVIEW_LIMIT
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (Drawing(drawing().png, None), "figure is not sound"),
        (Drawing(drawing().png, b"%PDF-1.4 cut off"), "figure is not sound"),
        (Drawing(b"GIF89a", drawing().pdf), "figure is not sound"),
        (Drawing(drawing().png, drawing().pdf, (b"GIF89a",)), "figure is not sound"),
        (Drawing(drawing().png, drawing().pdf, (large_preview(),)), "fewer than 100,000 bytes"),
    ],
)
def test_unsound_figures_are_not_written(tmp_path: Path, value: Drawing, match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        write(tmp_path / "f.png", value)
    assert not list(tmp_path.iterdir())


def test_equal_figures_have_equal_digests_whatever_their_previews() -> None:
    one = FORMAT.payload_digest(drawing())
    assert one == FORMAT.payload_digest(Drawing(drawing().png, drawing().pdf))
    assert one != FORMAT.payload_digest(drawing("black"))
    assert one != FORMAT.payload_digest(Drawing(drawing().png, drawing("black").pdf))


def state(folder: Path | UPath, how: str) -> str:
    """What a reader finds in both files, which always belong together."""
    drawn, _ = FORMAT.read(folder / "f.png")
    return FORMAT.payload_digest(drawn)[:6]


def put(folder: Path | UPath, how: str, color: str) -> None:
    """Write a figure as a run does, or as fetching does one whose making is not known."""
    drawn = drawing(color)
    if how == "only the PDF":  # what differs is smaller than a pixel
        drawn = Drawing(drawing().png, drawn.pdf)
    if how != "without a record":
        write(folder / "f.png", drawn)
    else:
        beside = {folder / "f.pdf": drawn.pdf or b""}
        sidecar.put(folder / "f.png", drawn.png, None, what="f", beside=beside)


def put_white(folder: Path | UPath, how: str) -> None:
    put(folder, how, "white")


def put_black(folder: Path | UPath, how: str) -> None:
    put(folder, how, "black")


@pytest.mark.parametrize("how", ["recorded", "without a record", "only the PDF"])
def test_a_killed_writer_leaves_the_old_set_or_the_new_one(tmp_path: Path, how: str) -> None:
    states = killed_at_every_step(put_white, put_black, state, tmp_path / "disk", how)
    assert len(set(states)) == 2
    for color, found in (("white", states[0]), ("black", states[-1])):
        put(tmp_path, how, color)
        assert state(tmp_path, how) == found


def test_of_a_disk_that_refuses_only_the_pdf_the_earlier_set_stays(path: Path) -> None:
    larger = Drawing(drawing().png, b"%PDF-1.4" + bytes(1 << 20) + b"%%EOF")
    with largest_file(1 << 16), refusing(ArtifactError, "cannot write"):
        write(path, larger)
    assert FORMAT.read(path)[0].pdf == drawing().pdf
    write(path, larger)
    assert FORMAT.read(path)[0] == larger


@pytest.mark.parametrize("how", ["recorded", "without a record"])
def test_what_a_killed_writer_began_is_finished_or_removed(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    white, black = drawing("white"), drawing("black")
    put_black(tmp_path, how)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(atomic, "move", stop)
        put_white(tmp_path, how)
    assert (tmp_path / "f.png").read_bytes() == white.png
    assert (tmp_path / "f.pdf").read_bytes() == black.pdf
    assert FORMAT.read(tmp_path / "f.png")[0].pdf == white.pdf
    shutil.copytree(tmp_path, copy := tmp_path.with_name(f"{tmp_path.name}-copy"))
    FORMAT.settle(copy / "f.png")
    assert (copy / "f.pdf").read_bytes() == white.pdf
    put_black(tmp_path, how)
    assert FORMAT.read(tmp_path / "f.png")[0].pdf == black.pdf
    assert not list((tmp_path / ".provenance").glob("*.waiting"))


def test_a_set_without_a_place_for_its_last_file_says_so_and_is_read(tmp_path: Path) -> None:
    (tmp_path / "f.pdf").mkdir()
    with refusing(ArtifactError, "is written, but", "f.pdf", "write it again"):
        put_white(tmp_path, "without a record")
    assert FORMAT.read(tmp_path / "f.png")[0].pdf == drawing("white").pdf
    (tmp_path / "f.pdf").rmdir()
    put_white(tmp_path, "without a record")
    assert (tmp_path / "f.pdf").read_bytes() == drawing("white").pdf


def steps_at_which(
    meanwhile: Callable[[], None], patch: pytest.MonkeyPatch, store: type, step: int
) -> list[str]:
    """Let something be done before one request to a store; the requests before it are returned."""
    before = list[str]()

    def at_that_step(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **named: Any) -> Any:
            before.append(ask.__name__)
            if len(before) == step + 1:
                meanwhile()
            return ask(*arguments, **named)

        return asked

    for name in ("pipe_file", "cat_file", "cp_file", "rm_file", "_rm", "ls", "info"):
        if hasattr(store, name):
            patch.setattr(store, name, at_that_step(getattr(store, name)))
    return before


@pytest.mark.parametrize("how", ["recorded", "without a record"])
def test_in_an_object_store_nobody_who_writes_or_reads_the_same_set_disturbs_another(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for doing in (put_white, state):
        step, reached = 0, True
        while reached:
            folder = UPath(f"memory://{tmp_path.name}/{doing.__name__}/{step}")
            if doing is state:
                put_white(folder, how)
            with monkeypatch.context() as patch:
                write_meanwhile = partial(put_white, folder, how)
                before = steps_at_which(write_meanwhile, patch, type(folder.fs), step)
                doing(folder, how)
            assert FORMAT.read(folder / "f.png")[0].pdf == drawing("white").pdf
            assert not list((folder / ".provenance").glob("*.waiting"))
            reached, step = len(before) > step, step + 1
        assert step > 3
