"""``atlas neuron``: what writes and reads one neuron, and which circuits hold it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.text import count, paragraph, table

#: what kinds of nodes are called here, and in the table
_KINDS = {"neuron": "readout", "hidden": "hidden", "value": "value"}
_CALLED = {"neuron": "neuron", "hidden": "hidden unit of the MLP", "value": "value channel"}
_UNITS = {"hidden": "hidden unit", "value": "value channel"}
_OTHERS = ("layer", "kind", "index", "weight", "circuits")


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "the model has no such layer or neuron, or an ATLAS_* variable is wrong",
        UNREADABLE: "the wiring is missing, cannot be read, or is not applicable (a dense model)",
    },
)
@click.argument("layer", type=click.IntRange(min=0))
@click.argument("index", type=click.IntRange(min=0))
@click.option(
    *("--kind", "-k"),
    type=click.Choice(list(_KINDS)),
    default="neuron",
    show_default=True,
    help="A channel of the readout, a hidden unit of the MLP, or a value channel of attention.",
)
@click.option(
    *("--strongest", "-n"),
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of what writes and reads it to list, the greatest |weight| first; --json has "
    "all.",
)
def neuron(layer: int, index: int, kind: str, strongest: int) -> Answer:
    """Show what writes and what reads neuron INDEX of LAYER, and which concepts hold it.

    Both count from 0. What is shown are the weights in the wiring of published and contrastive
    circuits (`atlas wiring`), with the number of circuits that have each: all that writes a neuron
    of such a circuit, and of what reads it what writes another neuron of the circuit. Concepts are
    those whose circuits hold the neuron, by every definition of the atlas.
    """
    from atlas_assets.atlas.open import open_in_force
    from atlas_assets.atlas.wiring import node_of
    from atlas_assets.settings import AtlasSettings

    store = open_in_force(AtlasSettings.from_env())
    found = node_of(store, _KINDS[kind], layer, index)
    document = {
        "folder": str(store.root),
        "layer": layer,
        "kind": _KINDS[kind],
        "index": index,
        "held_by": found.held_by,
        "written_by": found.written_by.rows(named=True),
        "read_by": found.read_by.rows(named=True),
        "largest_index": found.largest,
    }
    return Answer("atlas.neuron/1", document, lambda: _text(document, kind, strongest))


def _text(document: dict[str, Any], kind: str, strongest: int) -> Iterator[str]:
    place = f"{_CALLED[kind]} {document['index']} of layer {document['layer']}"
    yield f"{place}, in the atlas {document['folder']}"
    for title, others in (("written by", "written_by"), ("read by", "read_by")):
        rows = document[others]
        yield ""
        what = count(len(rows), "node") if rows else "nothing"
        yield f"{title} {what} in published and contrastive circuits"
        yield from table(_OTHERS, (map(_said, row.values()) for row in rows[:strongest]))
    yield ""
    yield "held by"
    for definition, concepts in document["held_by"].items():
        # of the published definition at other settings, only how many
        names = ": " + ", ".join(concepts) if concepts and "@" not in definition else ""
        if concepts or "@" not in definition:
            yield from paragraph(f"{definition}: {count(len(concepts), 'concept')}{names}")
    if kind != "neuron" and not any(document["held_by"].values()):
        largest = document["largest_index"]
        yield ""
        yield from paragraph(
            f"No wired circuit has this {_UNITS[kind]}, and the atlas does not say how many the "
            "model has: "
            + (
                "no wired circuit has any."
                if largest is None
                else f"those in wired circuits are numbered up to {largest}."
            ),
            indent=0,
            hanging=0,
        )


def _said(cell: object) -> object:
    return "neuron" if cell == "readout" else cell
