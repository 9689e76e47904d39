"""``atlas diff``: what differs between two atlases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import FINDING, OK, Answer, AnsweringCommand
from atlas_assets.cli.options import named_atlas
from atlas_assets.cli.text import count, paragraph, section, table
from atlas_assets.stages.setting import spell

if TYPE_CHECKING:
    import polars as pl

    from atlas_assets.atlas.compare import AtlasDiff

#: the frames of an `AtlasDiff`, in the order of the document
_FRAMES = ("made_with", "files", "circuits", "neurons", "concepts", "claims")


@click.command(
    cls=AnsweringCommand,
    exit_codes={OK: "no difference", FINDING: "they differ"},
)
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=15,
    show_default=True,
    help="How many changed circuits to list, those that changed most first.",
)
@click.option("--claims/--no-claims", default=True, help="Evaluate the published claims on both.")
def diff(a: str, b: str, top: int, claims: bool) -> Answer:
    """Say what differs between the atlases in the folders A and B.

    What they were made with, which files differ, which neurons the circuits of B gained (B∖A) and
    lost (A∖B) per concept and layer at every setting that both have, and which published claims
    come out differently. A and B may also be names of atlases under ATLAS_DATA_DIR.
    """
    from atlas_assets.atlas.compare import compare
    from atlas_assets.atlas.open import open_folder

    folders = named_atlas(a), named_atlas(b)
    found = compare(*map(open_folder, folders), claims=claims)
    frames = {name: getattr(found, name) for name in _FRAMES}
    document = {
        "a": str(folders[0]),
        "b": str(folders[1]),
        "identical": found.identical,
        "not_comparable": found.not_comparable,
        **{name: None if frame is None else frame.to_dicts() for name, frame in frames.items()},
    }
    code = OK if found.identical else FINDING
    return Answer("atlas.diff/1", document, lambda: _text(document, found, top), code)


def _text(document: dict[str, Any], found: AtlasDiff, top: int) -> Iterator[str]:
    yield f"a: {document['a']}"
    yield f"b: {document['b']}"
    if found.identical:
        yield ""
        yield f"no difference ({count(found.circuits.height, 'common setting')})"
    limits = {"field": 36, "a": 26, "b": 26}
    made_with = table(("field", "a", "b"), _short(found.made_with.rows()), limits)
    yield from section("made with", made_with)
    files = found.files.group_by("artifact", "difference", maintain_order=True).len()
    listed = files.select("artifact", "len", "difference").rows()
    yield from section("files", table(("artifact", "files", "difference"), listed))
    yield from _circuits(found, top)
    yield from _claims(found)


def _short(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows with each SHA-256 cut to 12 digits, in which two digests that differ do differ."""
    return [
        (field, *(v[:12] + "…" if v and field.endswith("sha256") else v for v in values))
        for field, *values in rows
    ]


def _circuits(found: AtlasDiff, top: int) -> Iterator[str]:
    if found.not_comparable:
        yield ""
        yield from paragraph(f"circuits cannot be compared: {found.not_comparable}", 0)
    if not found.identical:
        counted = ("concepts", "circuits", "changed", "gained", "lost", "mean Jaccard")
        circuits = table(("ε", "C", *counted), _spelled(found.circuits))
        yield from section("circuits (concept × layer) per common setting", circuits)
    by_side = found.concepts.group_by("concept", "only_in", maintain_order=True).len().rows()
    concepts = table(("concept", "only in", "settings"), by_side)
    yield from section("concepts that only one of them has", concepts)
    columns = ("concept", "layer", "size a", "size b", "gained", "lost", "Jaccard")
    changed = table(("ε", "C", *columns), _spelled(_changed_most(found.neurons, top)))
    shown = f"{min(top, found.neurons.height)} of {found.neurons.height}"
    yield from section(f"changed most ({shown})", changed)


def _changed_most(neurons: pl.DataFrame, top: int) -> pl.DataFrame:
    import polars as pl

    changed = pl.col("gained") + pl.col("lost")
    ordered = neurons.sort(changed, descending=True, maintain_order=True)
    return ordered.drop("type", "neurons_gained", "neurons_lost").head(top)


def _spelled(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The rows of a frame that begins with ε and C, these two spelled without spare digits."""
    return [(spell(epsilon), spell(c), *rest) for epsilon, c, *rest in frame.rows()]


def _claims(found: AtlasDiff) -> list[str]:
    verdict = {True: "yes", False: "no", None: "–"}
    claims = [] if found.claims is None else found.claims.to_dicts()
    rows = [
        (
            "flips" if claim["flips"] else "",
            claim["id"],
            verdict[claim["holds_a"]],
            verdict[claim["holds_b"]],
            f"{claim['observed_a']} → {claim['observed_b']}",
        )
        for claim in claims
    ]
    header = ("", "claim", "holds in a", "in b", "observed")
    lines = table(header, rows, {"claim": 34, "observed": 36})
    return section("claims that come out differently", lines)
