"""Circuits in the forms that other programs read: CSV, JSON, and the exports of Neuronpedia."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError, expect
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.provenance import PAPER_SITE

#: lines of a file of Neuronpedia's exports
_BATCH = 1024
#: the part of the name of a source that says what its features are, at the paper's site
_SET = "atlas-mlp"
_EXPLANATION = "csp-atlas"
#: paths of the files of such an export, in its folder
_PATHS = re.compile(
    r"config/explanation_type\.jsonl"
    r"|[^/]+/\d+-atlas-[^/]+/(model|release|sourceset|source)\.jsonl"
    r"|[^/]+/\d+-atlas-[^/]+/(features|explanations)/batch-\d+\.jsonl\.gz"
)
#: what stands before the data in a page
_DATA = 'id="atlas" type="application/json">'


def csv_of(masks: Iterable[tuple[Setting, Masks]]) -> bytes:
    """Return the circuits as CSV, a line per neuron of a circuit, at one setting after another.

    Columns: ``epsilon``, ``consistency``, ``concept``, ``layer``, ``neuron``, the last two from 0.
    """
    frames = [_lines(setting, universal) for setting, universal in masks]
    return pl.concat(frames).write_csv().encode()


def json_of(page: str) -> bytes:
    """Return the data of an atlas's page as JSON, which the page of another atlas can open.

    Raises ArtifactError where the page holds none, as pages of earlier versions do.
    """
    _, found, rest = page.rpartition(_DATA)
    expect(
        bool(found),
        ArtifactError,
        "the page of the atlas holds no data",
        where="atlas_report",
        expected="an element that holds the atlas as JSON",
        found="none",
        remedy="make it again: `atlas build`",
    )
    return rest.partition("<")[0].encode()


def neuronpedia_of(
    model: str,
    setting: Setting,
    universal: Masks,
    activations: Activations | None,
    site: str = PAPER_SITE,
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an export as Neuronpedia lays its own out, path → bytes.

    A source is a layer, a feature one of its neurons; its explanation names the concepts whose
    circuits hold it. Same circuits, same bytes. The layout is that of
    https://docs.neuronpedia.org/api-and-data/exports; it has not been tried on the live service.

    Args:
        model: the id that the model has there; characters other than letters, digits, ``-`` and
            ``_`` become ``-``.
        setting: the setting of the circuits.
        universal: the circuits.
        activations: those of the object prompts, for the share of prompts on which a neuron
            fires; without them it is left out.
        site: what was read in each block, which the name of the sources tells.
    """
    of_paper = site == PAPER_SITE
    own_set = _SET if of_paper else f"atlas-{site.replace('_', '-')}"
    model = re.sub(r"[^\w-]", "-", model, flags=re.ASCII).lower()
    n_layers, width = universal.bits.shape[1:]
    about = {"modelId": model, "creatorName": "atlas-assets"}
    neurons = "MLP neurons" if of_paper else f"Neurons at {site}"
    told = f"{neurons} with the Python concepts in whose circuits they are, at {setting}"
    kind = {"name": _EXPLANATION, "displayName": "CSP-Atlas circuits", "description": told}
    yield "config/explanation_type.jsonl", _jsonl([{**kind, "creatorName": "atlas-assets"}])
    for layer in range(n_layers):
        source = f"{layer}-{own_set}"
        folder = f"{model}/{source}"
        yield (
            f"{folder}/model.jsonl",
            _jsonl([{"id": model, "layers": n_layers, "neuronsPerLayer": width, "owner": ""}]),
        )
        yield (
            f"{folder}/release.jsonl",
            _jsonl([{"name": own_set, "description": told, "creatorName": "atlas-assets"}]),
        )
        described = {**about, "name": own_set, "description": told, "releaseName": own_set}
        yield f"{folder}/sourceset.jsonl", _jsonl([described])
        yield (
            f"{folder}/source.jsonl",
            _jsonl([{"id": source, "modelId": model, "setName": own_set}]),
        )
        features = _features(model, source, layer, width, activations)
        explanations = _explanations(model, source, layer, setting, universal)
        for name, rows in (("features", features), ("explanations", explanations)):
            for batch, start in enumerate(range(0, len(rows), _BATCH)):
                packed = gzip.compress(_jsonl(rows[start : start + _BATCH]), mtime=0)
                yield f"{folder}/{name}/batch-{batch}.jsonl.gz", packed


def not_of_neuronpedia(folder: Path) -> str | None:
    """Return a path in a folder that is none of `neuronpedia_of`; ``None``: there is none."""
    within = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(folder).as_posix() for path in within)
    return next((name for name in names if not _PATHS.fullmatch(name)), None)


def _lines(setting: Setting, universal: Masks) -> pl.DataFrame:
    concept, layer, neuron = np.nonzero(universal.bits)
    names = pl.Series(universal.names, dtype=pl.String())
    return pl.DataFrame(
        {"concept": names[concept.tolist()], "layer": layer, "neuron": neuron}
    ).select(
        epsilon=pl.lit(setting.epsilon),
        consistency=pl.lit(setting.consistency),
        concept="concept",
        layer="layer",
        neuron="neuron",
    )


def _features(
    model: str, source: str, layer: int, width: int, activations: Activations | None
) -> list[dict[str, Any]]:
    """The neurons of a layer."""
    where = {"modelId": model, "layer": source}
    rows: list[dict[str, Any]] = [
        {
            **where,
            "index": str(neuron),
            "sourceSetName": source.partition("-")[2],
            "hasVector": False,
        }
        for neuron in range(width)
    ]
    if activations is not None:
        fired = activations.counts[:, layer].sum(axis=0, dtype=np.int64)
        prompts = int(activations.n_prompts.sum())
        for row, times in zip(rows, fired.tolist(), strict=True):
            row["frac_nonzero"] = times / prompts
    return rows


def _explanations(
    model: str, source: str, layer: int, setting: Setting, universal: Masks
) -> list[dict[str, Any]]:
    """What the atlas says of a layer's neurons, of those that are in a circuit."""
    found = []
    for neuron in np.flatnonzero(universal.bits[:, layer].any(axis=0)).tolist():
        held = np.flatnonzero(universal.bits[:, layer, neuron])
        concepts = ", ".join(universal.names[row] for row in held)
        found.append(
            {
                "id": f"{model}-{source}-{neuron}-{setting.file_tag}",
                "modelId": model,
                "layer": source,
                "index": str(neuron),
                "description": f"in the circuits of {concepts} ({setting})",
                "typeName": _EXPLANATION,
                "explanationModelName": None,
            }
        )
    return found


def _jsonl(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
