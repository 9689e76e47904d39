"""Exports hold the circuits, all of them and no more, and are the same bytes each time."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import polars as pl
import pytest

from atlas_assets.atlas.exporting import csv_of, json_of, neuronpedia_of
from atlas_assets.errors import ArtifactError
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.page import as_script
from atlas_assets.stages.setting import REFERENCE, Setting

NAMES = ("ast__For", "ast__If", "builtin__len")
LAYERS, WIDTH = 2, 1500


@pytest.fixture
def universal() -> Masks:
    bits = np.random.default_rng(0).random((len(NAMES), LAYERS, WIDTH)) < 0.1
    return Masks(NAMES, bits)


def holders(universal: Masks, layer: int, neuron: int) -> list[str]:
    return [name for row, name in enumerate(NAMES) if universal.bits[row, layer, neuron]]


def test_a_line_of_csv_per_neuron_of_a_circuit(universal: Masks) -> None:
    other = Setting(0.1, 0.2)
    table = pl.read_csv(io.BytesIO(csv_of([(REFERENCE, universal), (other, universal)])))
    assert table.columns == ["epsilon", "consistency", "concept", "layer", "neuron"]
    assert table.height == 2 * universal.bits.sum()
    for setting in (REFERENCE, other):
        rows = table.filter(epsilon=setting.epsilon, consistency=setting.consistency)
        bits = np.zeros_like(universal.bits)
        for *_, concept, layer, neuron in rows.rows():
            bits[NAMES.index(concept), layer, neuron] = True
        assert np.array_equal(bits, universal.bits)


def test_an_export_for_neuronpedia_explains_each_neuron_by_its_concepts(universal: Masks) -> None:
    counts = np.random.default_rng(1).integers(0, 5, (2, LAYERS, WIDTH), dtype=np.int32)
    prompts = np.array([4, 6], np.int32)
    read = Activations(("a", "b"), prompts, counts.astype(np.float32), counts)
    files = dict(neuronpedia_of("Owner/Model.v1", REFERENCE, universal, read))
    assert files == dict(neuronpedia_of("Owner/Model.v1", REFERENCE, universal, read))
    for layer in range(LAYERS):
        source = f"{layer}-atlas-mlp"
        folder = f"owner-model-v1/{source}"
        features, explanations = (
            [
                json.loads(line)
                for batch in (0, 1)
                if f"{folder}/{name}/batch-{batch}.jsonl.gz" in files
                for line in gzip.decompress(
                    files[f"{folder}/{name}/batch-{batch}.jsonl.gz"]
                ).splitlines()
            ]
            for name in ("features", "explanations")
        )
        assert [row["index"] for row in features] == list(map(str, range(WIDTH)))
        assert {(row["modelId"], row["layer"]) for row in features} == {("owner-model-v1", source)}
        assert features[7]["frac_nonzero"] == counts[:, layer, 7].sum() / 10
        told = {int(row["index"]): row["description"] for row in explanations}
        for neuron in range(WIDTH):
            held = holders(universal, layer, neuron)
            expected = f"in the circuits of {', '.join(held)} (ε=0.5, C=0.8)" if held else None
            assert told.get(neuron) == expected
        described = json.loads(files[f"{folder}/source.jsonl"])
        assert described == {"id": source, "modelId": "owner-model-v1", "setName": "atlas-mlp"}
    of_stream = dict(neuronpedia_of("m", REFERENCE, universal, read, "resid_post"))
    assert "m/0-atlas-resid-post/source.jsonl" in of_stream
    assert b"Neurons at resid_post" in of_stream["config/explanation_type.jsonl"]


def test_the_data_of_a_page_as_json() -> None:
    data = {"format": 1, "model": "<a> & </script>", "findings": []}
    page = f'<script id="atlas" type="application/json">{as_script(data)}</script><p>after</p>'
    assert json.loads(json_of(page)) == data
    with pytest.raises(ArtifactError, match="holds no data"):
        json_of("<p>an earlier report</p>")
