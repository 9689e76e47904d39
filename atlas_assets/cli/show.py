"""``atlas show``: the circuit of one concept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import CONSISTENCY, EPSILON, as_json, complete_concept, find_concept
from atlas_assets.cli.text import NO_DIGESTS_OF_PARTS, paragraph, table
from atlas_assets.errors import SettingsError, expect
from atlas_assets.stages.setting import REFERENCE, Setting

if TYPE_CHECKING:
    from atlas_assets.stages.masks.masks import Masks
    from atlas_assets.storage.provenance import Provenance
    from atlas_assets.storage.store import AtlasStore

_KINDS = {"ast": "AST node", "builtin": "builtin"}
#: what is said of masks whose model is not known
_ORIGINS = {
    "atlas": "of a model that no record names",
    "release": "the paper’s release",
    "unknown": "of unknown origin",
}
#: what a layer of a circuit divides into
_PARTS = ("concept_only", "shared", "token_only", "concept_fraction", "token_fraction")


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "there is no such concept or layer, or an ATLAS_* variable is wrong",
        UNREADABLE: "the masks of this setting are missing or cannot be read",
    },
)
@click.argument("concept", shell_complete=complete_concept)
@click.option(
    *("--epsilon", "-e"),
    type=EPSILON,
    default=REFERENCE.epsilon,
    show_default=True,
    help="ε of the setting.",
)
@click.option(
    *("--consistency", "-c"),
    type=CONSISTENCY,
    default=REFERENCE.consistency,
    show_default=True,
    help="C of the setting.",
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
    concept: str, epsilon: float, consistency: float, layer: int | None, n_nearest: int
) -> Answer:
    """Show the circuit of one CONCEPT (ast__For, builtin__len, or For where that is clear).

    Per layer: its size, how it divides into concept-only (A∖B), shared (A∩B) and token-only (B∖A)
    neurons, where A is its circuit and B that of its keyword alone, and the concept whose circuit
    is most similar (Jaccard |A∩B| / |A∪B|; of two equal ones, the first by name).
    """
    from atlas_assets.atlas.open import open_in_force, require_file
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.masks.similarity import nearest

    settings, setting = AtlasSettings.from_env(), Setting(epsilon, consistency)
    store = open_in_force(settings)
    require_file(store, "object_masks", setting)
    universal: Masks = store.read("object_masks", setting, part="universal").universal
    name = find_concept(concept, universal.names)
    layers = _layers(layer, universal)
    parts, why_not = _decomposition(store, setting, universal, name)
    rows = [_layer_record(universal, name, at, parts) for at in layers]
    record = store.provenance("object_masks", setting)
    neighbours = nearest(universal, name, layer)[:n_nearest]
    document = {
        "concept": name,
        "type": name.partition("__")[0],
        "folder": str(store.root),
        "origin": store.origin("object_masks", setting),
        **_made_with(record),
        **as_json(setting),
        "width": universal.width,
        "decomposition": why_not or "available",
        "layers": rows,
        "nearest_at": "mean over layers" if layer is None else f"layer {layer}",
        "nearest": [{"concept": other, "jaccard": score} for other, score in neighbours],
    }
    verified = record is None or record.parts_verified
    return Answer("atlas.show/1", document, lambda: _text(document, setting, layer, verified))


def _layers(layer: int | None, universal: Masks) -> range:
    expect(
        layer is None or layer < universal.n_layers,
        SettingsError,
        "the atlas has no such layer",
        where="--layer",
        expected=f"0 to {universal.n_layers - 1}",
        found=str(layer),
        remedy="correct it, or leave it out for all layers",
    )
    return range(universal.n_layers) if layer is None else range(layer, layer + 1)


def _decomposition(
    store: AtlasStore, setting: Setting, universal: Masks, concept: str
) -> tuple[list[dict[str, int | float]] | None, str | None]:
    """The decomposition of a circuit per layer, or else the reason why there is none."""
    from atlas_assets.stages.decomposition.decomposition import counts
    from atlas_assets.stages.rounding import fractions

    if not store.exists("checker_masks", setting):
        return None, f"the atlas has no checker masks at {setting}"
    checker: Masks = store.read("checker_masks", setting).masks
    if concept not in checker.names:
        return None, "no keyword gives the concept away"
    cells = counts(universal.select([concept]), checker.select([concept]))[0]
    sizes = cells[:, 0] + cells[:, 1]
    shares = [fractions(cells[:, part], sizes).tolist() for part in (0, 1)]
    layers = zip(*cells.T.tolist(), *shares, strict=True)
    return [dict(zip(_PARTS, layer, strict=True)) for layer in layers], None


def _layer_record(
    universal: Masks, concept: str, layer: int, parts: list[dict[str, int | float]] | None
) -> dict[str, Any]:
    import numpy as np

    from atlas_assets.stages.masks.similarity import nearest

    neurons = np.flatnonzero(universal.bits[universal.index(concept), layer]).tolist()
    other, score = next(iter(nearest(universal, concept, layer)), ("", 0.0))
    return {
        "layer": layer,
        "size": len(neurons),
        "decomposition": parts[layer] if parts else None,
        "nearest": {"concept": other, "jaccard": score} if score > 0 else None,
        "neurons": neurons,
    }


def _made_with(provenance: Provenance | None) -> dict[str, str | None]:
    lineage = provenance.lineage if provenance else None
    return {
        "model": lineage.model.model_id if lineage and lineage.model else None,
        "readout": lineage.readout if lineage else None,
    }


def _text(
    document: dict[str, Any], setting: Setting, layer: int | None, verified: bool
) -> Iterator[str]:
    made_with = ", ".join(filter(None, (document["model"], document["readout"])))
    yield f"{document['concept']}: {_KINDS[document['type']]} at {setting}"
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
    if layer is not None:
        neurons = document["layers"][0]["neurons"]
        yield ""
        yield "neurons"
        yield from paragraph(" ".join(map(str, neurons)) or "none", hanging=0)


def _layer_table(layers: list[dict[str, Any]]) -> list[str]:
    header = ("layer", "size A", "A∖B", "A∩B", "B∖A", "concept", "token", "nearest", "Jaccard")
    rows = []
    for record in layers:
        parts = record["decomposition"] or dict.fromkeys(_PARTS)
        nearest = record["nearest"] or {"concept": None, "jaccard": None}
        rows.append((record["layer"], record["size"], *parts.values(), *nearest.values()))
    return table(header, rows)
