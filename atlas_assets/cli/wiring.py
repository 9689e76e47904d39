"""``atlas wiring``: the weights between the neurons of one concept's circuit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import complete_concept, typed_definition
from atlas_assets.cli.text import count, table
from atlas_assets.stages.setting import PUBLISHED

_LAYERS = ("layer", "neurons", "hidden", "values", "edges to neurons", "edges from neurons")
_EDGES = ("from layer", "kind", "index", "to layer", "kind", "index", "weight")


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "there is no such concept or definition, or an ATLAS_* variable is wrong",
        UNREADABLE: "the wiring is missing, cannot be read, or is not applicable (a dense model)",
    },
)
@click.argument("concept", shell_complete=complete_concept)
@click.option(
    *("--definition", "-d"),
    default=PUBLISHED,
    show_default=True,
    help="The definition of the circuit: published or contrastive.",
)
@click.option(
    *("--strongest", "-n"),
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="How many edges to list, those of the greatest |weight|; --json has all.",
)
def wiring(concept: str, definition: str, strongest: int) -> Answer:
    """Show how the circuit of one CONCEPT is wired: the non-zero weights between its nodes.

    A neuron of the circuit is a channel of a layer's readout. Hidden units of the layer's MLP and
    value channels of its attention write it; hidden units and value channels of later layers read
    it from the residual stream. `atlas neuron` shows one of them.
    """
    from atlas_assets.atlas.open import open_in_force
    from atlas_assets.atlas.wiring import wiring_of
    from atlas_assets.settings import AtlasSettings

    store = open_in_force(AtlasSettings.from_env())
    found = wiring_of(store, concept, typed_definition(definition))
    document = {
        "folder": str(store.root),
        "concept": found.concept,
        "definition": typed_definition(definition),
        "size": found.size,
        "layers": found.layers,
        "edges": found.edges.rows(named=True),
    }
    return Answer("atlas.wiring/1", document, lambda: _text(document, strongest))


def _text(document: dict[str, Any], strongest: int) -> Iterator[str]:
    size = document["size"]
    yield f"{document['concept']}, {document['definition']}, in the atlas {document['folder']}"
    yield (
        f"{count(size['edges'], 'edge')} between {count(size['readouts'], 'neuron')}, "
        f"{count(size['hidden'], 'hidden unit')} and {count(size['values'], 'value channel')}"
    )
    yield ""
    yield from table(_LAYERS, (layer.values() for layer in document["layers"]))
    edges = sorted(document["edges"], key=lambda edge: -abs(edge["weight"]))[:strongest]
    if edges:
        yield ""
        yield "the strongest edges"
        yield from table(_EDGES, (map(_said, edge.values()) for edge in edges))


def _said(cell: object) -> object:
    """A neuron is the readout's channel of that index."""
    return "neuron" if cell == "readout" else cell
