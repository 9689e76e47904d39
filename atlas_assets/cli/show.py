"""``atlas show``: the circuit of one concept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import (
    CONSISTENCY,
    EPSILON,
    SETTING_METAVAR,
    as_json,
    complete_concept,
    typed_setting,
)
from atlas_assets.cli.text import NO_DIGESTS_OF_PARTS, count, paragraph, table
from atlas_assets.stages.setting import REFERENCE, Setting, naming_values

if TYPE_CHECKING:
    from atlas_assets.storage.provenance import Provenance
    from atlas_assets.storage.store import AtlasStore

_KINDS = {"ast": "AST node", "builtin": "builtin", "own": "own concept"}
#: what is said of masks whose model is not known
_ORIGINS = {
    "atlas": "of a model that no record names",
    "release": "the paper’s release",
    "unknown": "of unknown origin",
}


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "there is no such concept or layer, or an ATLAS_* variable is wrong",
        UNREADABLE: "the masks of this setting are missing or cannot be read",
    },
)
@click.argument("concept", shell_complete=complete_concept)
@click.option(
    *("--setting", "-s", "typed"),
    metavar=SETTING_METAVAR,
    help="The setting, as eps=0.5,C=0.8. Default: the one with the most different circuits.",
)
@click.option("--reference", is_flag=True, help=f"At the paper's reference setting, {REFERENCE}.")
@click.option(
    *("--epsilon", "-e"), type=EPSILON, help=f"ε of the setting; alone, with C of {REFERENCE}."
)
@click.option(
    *("--consistency", "-c"),
    type=CONSISTENCY,
    help=f"C of the setting; alone, with ε of {REFERENCE}.",
)
@click.option(
    "--layer", "-l", type=click.IntRange(min=0), help="Only this layer, with its neurons."
)
@click.option(
    "--nearest",
    "-n",
    "n_nearest",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="How many similar concepts to list.",
)
def show(
    concept: str,
    typed: str | None,
    reference: bool,
    epsilon: float | None,
    consistency: float | None,
    layer: int | None,
    n_nearest: int,
) -> Answer:
    """Show the circuit of one CONCEPT (ast__For, builtin__len, or For where that is clear).

    Per layer: its size, how it divides into concept-only (A∖B), shared (A∩B) and token-only (B∖A)
    neurons, where A is its circuit and B that of its keyword alone, and the concept whose circuit
    is most similar (Jaccard |A∩B| / |A∪B|; of two equal ones, the first by name).
    """
    from atlas_assets.atlas.circuit import circuit_of
    from atlas_assets.atlas.open import open_in_force
    from atlas_assets.settings import AtlasSettings

    asked = _asked_for(typed, reference, epsilon, consistency)
    store = open_in_force(AtlasSettings.from_env())
    setting, why = (asked, "") if asked else _informative(store)
    found = circuit_of(store, concept, setting, layer=layer, n_nearest=n_nearest)
    record = store.provenance("object_masks", setting)
    document = {
        "concept": found.concept,
        "type": found.concept.partition("__")[0],
        "folder": str(store.root),
        "origin": store.origin("object_masks", setting),
        **_made_with(record),
        **as_json(setting),
        "width": found.width,
        "decomposition": found.not_decomposed or "available",
        "layers": found.layers,
        "nearest_at": "mean over layers" if layer is None else f"layer {layer}",
        "nearest": [{"concept": other, "jaccard": score} for other, score in found.nearest],
    }
    verified = record is None or record.parts_verified
    return Answer("atlas.show/1", document, lambda: _text(document, setting, why, layer, verified))


def _asked_for(
    typed: str | None, reference: bool, epsilon: float | None, consistency: float | None
) -> Setting | None:
    """The setting that the options name; ``None`` where they name none."""
    by_values = epsilon is not None or consistency is not None
    if sum((typed is not None, reference, by_values)) > 1:
        raise click.UsageError("name the setting once: --setting, --reference, or -e and -c")
    if typed is not None:
        return typed_setting(typed)
    if by_values:
        with naming_values("--epsilon", "--consistency"):
            return Setting(
                REFERENCE.epsilon if epsilon is None else epsilon,
                REFERENCE.consistency if consistency is None else consistency,
            )
    return REFERENCE if reference else None


def _informative(store: AtlasStore) -> tuple[Setting, str]:
    """The setting at which circuits differ most, and why it is shown."""
    from atlas_assets.atlas.findings import most_distinct

    best = most_distinct(store)
    if best is None:
        return REFERENCE, ""
    setting, mean = best
    other = "" if setting == REFERENCE else f"; --reference shows {REFERENCE}"
    return setting, f"where circuits differ most, {mean:.0f} of them per layer{other}"


def _made_with(provenance: Provenance | None) -> dict[str, str | None]:
    lineage = provenance.lineage if provenance else None
    return {
        "model": lineage.model.model_id if lineage and lineage.model else None,
        "readout": lineage.read_at if lineage else None,
    }


def _text(
    document: dict[str, Any], setting: Setting, why: str, layer: int | None, verified: bool
) -> Iterator[str]:
    made_with = ", ".join(filter(None, (document["model"], document["readout"])))
    yield f"{document['concept']}: {_KINDS[document['type']]} at {setting}"
    if why:
        yield f"setting: {why}"
    yield f"atlas: {document['folder']} ({made_with or _ORIGINS[document['origin']]})"
    if not verified:
        yield f"its parts are not verified: {NO_DIGESTS_OF_PARTS}"
    yield ""
    yield f"circuit per layer of {document['width']} neurons"
    yield from _layer_table(document["layers"])
    if document["decomposition"] != "available":
        yield from paragraph(f"A∖B, A∩B, B∖A: {document['decomposition']}")
    yield ""
    yield f"nearest concepts ({document['nearest_at']})"
    yield from table(("concept", "Jaccard"), [other.values() for other in document["nearest"]])
    n_layers = len(document["layers"])
    n_empty = sum(not record["size"] for record in document["layers"])
    if layer is None and document["nearest"] and n_empty:
        yield from paragraph(
            f"in {n_empty} of {count(n_layers, 'layer')} this circuit has no neuron, which counts "
            f"as 0: no similarity exceeds {1 - n_empty / n_layers:.2f}"
        )
    if layer is not None:
        neurons = document["layers"][0]["neurons"]
        yield ""
        yield "neurons"
        yield from paragraph(" ".join(map(str, neurons)) or "none", hanging=0)
    else:
        yield ""
        yield f"--layer {document['layers'][-1]['layer']} lists the neurons of that layer"


def _layer_table(layers: list[dict[str, Any]]) -> list[str]:
    from atlas_assets.atlas.circuit import PARTS

    header = ("layer", "size A", "A∖B", "A∩B", "B∖A", "concept", "token", "nearest", "Jaccard")
    rows = []
    for record in layers:
        parts = record["decomposition"] or dict.fromkeys(PARTS)
        nearest = record["nearest"] or {"concept": None, "jaccard": None}
        rows.append((record["layer"], record["size"], *parts.values(), *nearest.values()))
    return table(header, rows)
