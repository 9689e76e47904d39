"""Losses and readouts of the object prompts come from one pass, whoever asks first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from atlas_assets import models
from atlas_assets.definitions import build_definitions
from atlas_assets.extraction import positions
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.orchestration.data_versions import model_version
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.positions import PositionActivations
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.tiny_atlas import (
    failure_text,
    materialize,
    tiny_settings,
)

EMBEDDED = Path(models.__file__).parent / "embedded"
CUT = {"ast_nodes": "For,If,Pass", "builtins": "list,int,_isolated_", "variations": 4}
NAME = "12_object_activations.h5"


@pytest.fixture
def settings(tmp_path: Path) -> AtlasSettings:
    return tiny_settings(tmp_path, **CUT)


@pytest.fixture
def chunks_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of nodes of each chunk that is run from now on."""
    sizes: list[int] = []
    run = TreeNetwork.run

    def watched(self: TreeNetwork, chunk: Any, *nodes: Any, **options: Any) -> Any:
        sizes.append(len(chunk))
        return run(self, chunk, *nodes, **options)

    monkeypatch.setattr(TreeNetwork, "run", watched)
    return sizes


def make(settings: AtlasSettings, instance: dg.DagsterInstance, *keys: str) -> Path:
    result = materialize(settings, instance, list(keys))
    assert result.success, failure_text(result)
    return Path(settings.data_dir) / "tiny"


def store_of(settings: AtlasSettings) -> AtlasStore:
    store = build_definitions(settings).resources["store"]  # type: ignore[index]
    assert isinstance(store, AtlasStore)
    return store


def notes(folder: Path) -> list[Path]:
    return sorted((folder / ".work").rglob("*.safetensors"))


def test_a_large_atlas_is_added_up_on_disk_and_says_what_is_not_made_of_it(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(settings, instance, "object_prompts", "object_activations")
    published = store_of(settings).read("object_activations")
    prompts = (whole / "11A_object_prompts.parquet").read_bytes()
    (whole / NAME).unlink()
    monkeypatch.setattr("atlas_assets.stages.activations.stored.LARGE", 1)
    folder = make(settings, instance, "object_prompts")
    assert [note.name for note in notes(folder)].count("00000.safetensors") == 1
    make(settings, instance, "object_activations")
    # what the first pass keeps for the positions is not of these
    assert {note.relative_to(folder).parts[1] for note in notes(folder)} == {"position_activations"}
    assert (folder / "11A_object_prompts.parquet").read_bytes() == prompts
    found = store_of(settings).read("object_activations")
    assert isinstance(found, StoredActivations)
    assert found.digest() == published.digest()
    result = materialize(settings, instance, ["position_activations"])
    assert "are not made of an atlas of this size" in failure_text(result)


def test_the_pass_of_the_prompts_is_the_pass_of_the_activations(
    settings: AtlasSettings, instance: dg.DagsterInstance, chunks_run: list[int]
) -> None:
    folder = make(settings, instance, "object_prompts")
    assert len(notes(folder)) == 2  # of the scales, and of the pass
    assert chunks_run

    chunks_run.clear()
    make(settings, instance, "object_activations")
    taken = (folder / NAME).read_bytes()
    make(settings, instance, "position_activations")
    assert chunks_run == []
    assert notes(folder) == []

    at_positions = store_of(settings).read("position_activations")
    make(settings, instance, "object_activations", "position_activations")
    assert chunks_run
    assert (folder / NAME).read_bytes() == taken
    assert store_of(settings).read("position_activations").equals(at_positions)
    concept, name = (PositionActivations.of(at_positions, where) for where in ("concept", "name"))
    assert (concept.n_prompts == 2).all()
    assert set(name.names) < set(concept.names)


def test_the_tokens_read_are_those_that_the_pass_has_found(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = tiny_settings(tmp_path / "all", **CUT)
    make(everything, instance, "object_prompts")
    losses = store_of(everything).read("object_prompts")["sequence_loss"]
    some = tiny_settings(tmp_path / "some", **CUT, loss_threshold=float(losses.mean()))  # type: ignore[arg-type]
    calls: list[int] = []
    find = positions.occurrences_in

    def watched(tokenizer: Any, prompts: pl.DataFrame) -> Any:
        calls.append(len(prompts))
        return find(tokenizer, prompts)

    monkeypatch.setattr(positions, "occurrences_in", watched)
    folder = make(some, instance, "object_prompts", "read_tokens")
    assert calls == [len(losses)]
    taken = (folder / "read_tokens.parquet").read_bytes()
    make(some, instance, "read_tokens")
    assert len(calls) == 2
    assert calls[1] < calls[0]
    assert (folder / "read_tokens.parquet").read_bytes() == taken


def test_without_the_tree_prompts_run_in_batches_and_the_record_says_so(
    settings: AtlasSettings, instance: dg.DagsterInstance, chunks_run: list[int]
) -> None:
    keys = ("object_prompts", "object_activations")
    folder = make(settings.model_copy(update={"prefix_tree": False}), instance, *keys)
    assert chunks_run == []
    record = store_of(settings).provenance("object_activations")
    assert record is not None
    assert "in padded batches" in record.remark
    make(settings, instance, *keys)
    record = store_of(settings).provenance("object_activations")
    assert chunks_run
    assert record is not None
    assert "remark" not in record.model_dump()
    assert (folder / NAME).exists()


def test_dropped_pairs_are_left_out_of_the_activations(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    everything = tiny_settings(tmp_path / "all", **CUT)
    make(everything, instance, "object_prompts", "object_activations")
    prompts = store_of(everything).read("object_prompts")
    means = prompts.group_by("ast_node", "builtin_obj").agg(pl.col("sequence_loss").mean())
    threshold = float(means["sequence_loss"].median())  # type: ignore[arg-type]

    some = tiny_settings(tmp_path / "some", **CUT, loss_threshold=threshold)
    make(some, instance, "object_prompts", "object_activations")
    kept, whole = (store_of(s).read("object_activations") for s in (some, everything))
    assert 0 < len(kept.names) < len(whole.names)
    assert kept.digest() == whole.select(kept.names).digest()


def test_prompts_that_are_no_candidates_are_run_on_their_own(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    from atlas_assets.extraction.extraction import extract
    from atlas_assets.models.loading import load, resolve
    from atlas_assets.stages.activations.activations import units_of_object_prompts

    make(settings, instance, "object_prompts")
    store = store_of(settings)
    prompts = store.read("object_prompts")
    changed = prompts.with_columns(
        prompt_text=pl.when(pl.int_range(pl.len()) == 3)
        .then(pl.lit("for x in y:\n    print(x)"))
        .otherwise("prompt_text")
    )
    store.write("object_prompts", changed, inputs={})
    make(settings, instance, "object_activations")
    found = store.read("object_activations")
    expected = extract(
        load(resolve("embedded", None), device="cpu", dtype="float32"),
        units_of_object_prompts(changed),
        shards=ShardStore(None, "0123456789abcdef"),
        progress=Progress("reading"),
    )
    assert found.digest() == expected.digest()


def test_another_site_is_another_atlas(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    cut = {"ast_nodes": "Pass", "builtins": "_isolated_", "variations": 2}
    out, neurons = (
        tiny_settings(tmp_path, **cut, site=site) for site in ("mlp_out", "mlp_neurons")
    )
    make(out, instance, "object_prompts", "object_activations")
    refused = materialize(neurons, instance, ["object_activations"])
    assert not refused.success
    assert "site = mlp_neurons" in failure_text(refused)
    assert "set ATLAS_SITE back" in failure_text(refused)
    elsewhere = tiny_settings(tmp_path / "elsewhere", **cut, site="mlp_neurons")
    make(elsewhere, instance, "object_prompts", "object_activations", "position_activations")
    found = store_of(elsewhere)
    width = store_of(out).read("object_activations").width
    assert found.read("object_activations").width > width
    assert len(found.read("position_activations")["sums"][0]) > width
    lineages = [
        store.provenance("object_activations").lineage  # type: ignore[union-attr]
        for store in (store_of(out), found)
    ]
    assert [lineage.read_at for lineage in lineages if lineage] == [
        "last_token",
        "last_token at mlp_neurons",
    ]
    assert model_version(lineages[1]).endswith("+last_token+mlp_neurons")  # type: ignore[arg-type, union-attr]


def test_the_published_readout_has_a_pass_of_its_own(
    tmp_path: Path, instance: dg.DagsterInstance, chunks_run: list[int]
) -> None:
    last, published = (
        tiny_settings(tmp_path / name, **CUT, readout=name) for name in ("last_token", "published")
    )
    make(last, instance, "object_prompts", "object_activations")
    folder = make(published, instance, "object_prompts")
    assert notes(folder) == []
    chunks_run.clear()
    make(published, instance, "object_activations")
    assert chunks_run  # on a tree of its own, too
    losses = [store_of(s).read("object_prompts")["sequence_loss"] for s in (last, published)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=1e-5)
    sums = [store_of(s).read("object_activations").digest() for s in (last, published)]
    assert sums[0] != sums[1]
    for each in (last, published):
        make(each, instance, "position_activations")
    tables = [store_of(s).read("position_activations") for s in (last, published)]
    np.testing.assert_allclose(*(table["sums"].explode() for table in tables), rtol=1e-6)
    assert tables[0].drop("sums", "scale").equals(tables[1].drop("sums", "scale"))


def test_a_model_of_few_positions_is_told_which_of_the_papers_prompts_fit(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Nobody can shorten those; of one's own prompts that is what to do."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    short = tmp_path / "short"
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=2048, n_embd=8, n_layer=1, n_head=1, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(short)
    (short / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    shutil.copy(EMBEDDED / "tokenizer.json", short)
    cut = {"ast_nodes": "Global,Import,Pass", "builtins": "list,_isolated_", "variations": 4}
    for readout in ("last_token", "published"):
        given = {**cut, "readout": readout, "model": str(short)}
        settings = tiny_settings(tmp_path / readout, **given)
        told = failure_text(materialize(settings, instance, ["object_prompts"]))
        assert "longer than the network can take" in told
        assert "choose a model with more positions, cut the grid" in told
        assert "(ATLAS_AST_NODES=Import,Pass), or give prompts of your own" in told
        given["ast_nodes"] = "Import,Pass"
        make(tiny_settings(tmp_path / readout, **given), instance, "object_prompts")
    own = tmp_path / "own.csv"
    own.write_text("concept,prompt_text\nlong," + "x = 1 ; " * 90 + "\n")
    settings = AtlasSettings.build(
        data_dir=str(tmp_path / "own"), model=str(short), stimuli=str(own), device="cpu"
    )
    told = failure_text(materialize(settings, instance, ["object_prompts"]))
    assert "what to do: shorten the prompt or choose a model with more positions" in told
