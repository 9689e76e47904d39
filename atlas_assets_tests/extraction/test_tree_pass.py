"""One pass for readouts and losses: equal to the plain one, resumable, the same bytes each time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ModelError, StimulusError
from atlas_assets.extraction import tree_pass
from atlas_assets.extraction.extraction import PromptReadings, extract, read_prompts
from atlas_assets.extraction.scoring import score
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.progress import Progress
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.oracles import extraction_naive as naive

TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
FINGERPRINT = "0123456789abcdef"
UNITS = {
    "While__len": ["while x:\n    pass", "len", "while len(x) > 3:\n    x = x[1:]"],
    "For__list": ["for x in list(y):\n    print(x)", "a", "for i in l: pass", "a"],
    "Assert___isolated_": ["assert x", "a = 1\nassert a", "assert not None, 'nothing'"],
    "For__set": ["for x in set(y): pass", "for i in l: pass"],
}
MANY = {f"unit {n}": [f"x{n % 3} = {'y' * (i % 9)}{i % 4}" for i in range(9)] for n in range(8)}


def read(model: Any, units: Mapping[str, Sequence[str]], **options: Any) -> PromptReadings:
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return read_prompts(model, units, progress=Progress("reading"), **options)


def assert_equals_naive(model: Any, units: Mapping[str, Sequence[str]], found: Any) -> None:
    expected = naive.last_token(model, units)
    assert found.activations.names == tuple(sorted(units))
    for unit, name in enumerate(found.activations.names):
        sums, counts, n_prompts = expected[name]
        np.testing.assert_allclose(found.activations.sums[unit], sums, **TOLERANCE)
        np.testing.assert_array_equal(found.activations.counts[unit], counts)
        assert found.activations.n_prompts[unit] == n_prompts
        losses = [naive.loss(model, text) for text in units[name]]
        np.testing.assert_allclose(found.losses[name], losses, rtol=0, atol=1e-5)
        assert found.losses[name].dtype == np.float64
        lengths = [len(model.tokenizer.encode(text)) for text in units[name]]
        assert found.lengths[name].tolist() == lengths


def same(one: PromptReadings, other: PromptReadings) -> bool:
    return one.activations.digest() == other.activations.digest() and all(
        one.losses[name].tobytes() == other.losses[name].tobytes() for name in one.losses
    )


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [*sorted(tiny_models.ARCHITECTURES), "toy"])
@pytest.mark.parametrize("path", ["plain", None])
@pytest.mark.parametrize("batch_tokens", [1, 60, 8192])
def test_one_pass_gives_what_prompts_alone_give(name: str, path: Any, batch_tokens: int) -> None:
    model = {**tiny_models.ARCHITECTURES, "toy": tiny_models.toy}[name]()
    found = read(model, UNITS, path=path, batch_tokens=batch_tokens)
    assert_equals_naive(model, UNITS, found)


def real_units(**cut: Any) -> dict[str, list[str]]:
    """Object prompts by pair."""
    from atlas_assets.stages.activations.units import units_of_object_prompts
    from atlas_assets.stages.prompts.object_prompts import generate
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    return units_of_object_prompts(generate(load_stimuli(), **cut))


def assert_both_paths_agree(units: Mapping[str, Sequence[str]]) -> None:
    """Losses to 1e-5, masks at all nine settings and the sums behind them to the bit."""
    from atlas_assets.models.loading import load, resolve
    from atlas_assets.stages.masks.masks import sweep_masks
    from atlas_assets.stages.setting import PUBLISHED_CONSISTENCIES, PUBLISHED_EPSILONS, grid

    model = load(resolve("embedded", None), device="cpu", dtype="float32")
    tree, plain = read(model, units), read(model, units, path="plain")
    for name in units:
        np.testing.assert_allclose(tree.losses[name], plain.losses[name], rtol=0, atol=1e-5)
    settings_ = grid(PUBLISHED_EPSILONS, PUBLISHED_CONSISTENCIES)
    masks = (sweep_masks(found.activations, settings_) for found in (tree, plain))
    for (setting, one), (_, other) in zip(*masks, strict=True):
        assert one.digest() == other.digest(), setting
    np.testing.assert_array_equal(tree.activations.counts, plain.activations.counts)
    # the readouts are the same bits; float64 sums in another order may round differently
    np.testing.assert_allclose(tree.activations.sums, plain.activations.sums, rtol=2e-7, atol=0)


def test_the_embedded_model_on_real_prompts_of_a_cut_grid() -> None:
    assert_both_paths_agree(
        real_units(ast_nodes=["For", "Pass", "If"], builtins=["list", "_isolated_"], variations=20)
    )


@pytest.mark.slow
def test_the_embedded_model_on_the_full_grid() -> None:
    torch.set_num_threads(2)
    assert_both_paths_agree(real_units())
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["circuitgpt", "sparse circuitgpt"])
def test_readouts_are_the_same_bits_in_chunks_and_batches_of_any_size(name: str) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    units = {"a": [f"x{n % 3} = {'y' * (n % 50)}{n}" for n in range(60)]}
    found = {
        read(model, units, path=path, batch_tokens=tokens).activations.sums.tobytes()
        for path, tokens in (("plain", 300), ("plain", 9000), ("tree", 150), ("tree", 9000))
    }
    assert len(found) == 1


@settings(max_examples=40, deadline=None)
@given(
    units=st.dictionaries(
        st.text("abc_", min_size=1, max_size=4),
        st.lists(st.text("xy =", min_size=1, max_size=12), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    ),
    batch_tokens=st.integers(1, 80),
    chunks_per_leg=st.integers(1, 4),
)
def test_any_units_in_any_chunks_and_legs(
    units: dict[str, list[str]], batch_tokens: int, chunks_per_leg: int
) -> None:
    model = tiny_models.sparse_circuitgpt()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_pass, "CHUNKS_PER_LEG", chunks_per_leg)
        found = read(model, units, batch_tokens=batch_tokens)
    assert_equals_naive(model, units, found)


def test_the_bytes_do_not_depend_on_threads_or_repetition() -> None:
    model = tiny_models.sparse_circuitgpt()
    first = read(model, MANY, batch_tokens=40)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert same(read(model, MANY, batch_tokens=40), first)
    torch.set_num_threads(1)


@pytest.mark.parametrize("path", ["plain", "tree"])
def test_scores_are_the_same_on_both_paths(path: Any) -> None:
    model = tiny_models.sparse_circuitgpt()
    texts = ["", "a", "ab", "a" * 90, *(text for texts in UNITS.values() for text in texts)]
    shards = ShardStore(None, FINGERPRINT)
    found = score(model, texts, shards=shards, progress=Progress("scoring"), path=path)
    np.testing.assert_allclose(
        found.losses, [naive.loss(model, text) for text in texts], rtol=0, atol=1e-5
    )
    assert found.losses[:2].tolist() == [50.0, 50.0]
    assert found.lengths.tolist() == [len(text) for text in texts]


def test_texts_too_short_to_score() -> None:
    shards = ShardStore(None, FINGERPRINT)
    found = score(tiny_models.circuitgpt(), ["", "a"], shards=shards, progress=Progress("scoring"))
    assert found.losses.tolist() == [50.0, 50.0]


def test_the_tree_is_for_circuitgpt_alone() -> None:
    with pytest.raises(ModelError, match="cannot run on a tree"):
        read(tiny_models.toy(), UNITS, path="tree")


def test_progress_counts_distinct_prompts() -> None:
    lines: list[str] = []
    units = {"a": ["x", "x", "y"], "b": ["z"]}
    shards = ShardStore(None, FINGERPRINT)
    read_prompts(
        tiny_models.circuitgpt(), units, shards=shards, progress=Progress("reading", lines.append)
    )
    assert lines[0] == "reading: 3 prompts to run"
    assert lines[-1].startswith("reading: 3 prompts in")


# ---------------------------------------------------------------- resuming


class Killed(BaseException):
    """As when the process dies: nothing in between may catch it."""


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Legs of two small chunks, each noted."""
    monkeypatch.setattr(tree_pass, "CHUNKS_PER_LEG", 2)
    monkeypatch.setattr(tree_pass, "NOTE_SECONDS", -1.0)


@pytest.fixture
def chunks_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of nodes of each chunk that is run from now on."""
    sizes: list[int] = []
    run = TreeNetwork.run

    def watched(self: TreeNetwork, chunk: Any, **options: Any) -> Any:
        sizes.append(len(chunk))
        if len(sizes) == STOP_AT.get("chunk"):
            raise Killed
        return run(self, chunk, **options)

    monkeypatch.setattr(TreeNetwork, "run", watched)
    return sizes


STOP_AT: dict[str, int] = {}


@pytest.mark.usefixtures("noting")
def test_a_killed_pass_goes_on_from_its_last_note(
    tmp_path: Path, chunks_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY, batch_tokens=20)
    n_chunks = len(chunks_run)
    assert n_chunks > 5

    chunks_run.clear()
    monkeypatch.setitem(STOP_AT, "chunk", 5)
    with pytest.raises(Killed):
        read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    monkeypatch.delitem(STOP_AT, "chunk")
    chunks_run.clear()
    found = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(found, expected)
    assert len(chunks_run) == n_chunks - 4


@pytest.mark.usefixtures("noting")
def test_a_finished_pass_is_loaded_whole(tmp_path: Path, chunks_run: list[int]) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    chunks_run.clear()
    found = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(found, expected)
    assert chunks_run == []
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


@pytest.mark.usefixtures("noting")
def test_a_damaged_note_is_not_used(
    tmp_path: Path, chunks_run: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    (note,) = tmp_path.rglob("*.safetensors")
    note.write_bytes(note.read_bytes()[:-3])
    chunks_run.clear()
    with caplog.at_level(logging.WARNING):
        found = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(found, expected)
    assert chunks_run
    assert "is damaged and will be computed again" in caplog.text


def test_a_note_of_other_units_is_not_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY)
    foreign = {"sums": np.zeros((1, 3, 16)), "counts": np.zeros((1, 3, 16), np.int32)}
    monkeypatch.setattr(ShardStore, "get", lambda _self, _key: foreign)
    with caplog.at_level(logging.WARNING):
        assert same(read(model, MANY), expected)
    assert "not of this plan" in caplog.text


@pytest.mark.parametrize("legs", [-1, 0, 999])
def test_a_note_of_so_many_legs_is_not_used(
    legs: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY, shards=ShardStore(tmp_path, FINGERPRINT))
    stored = ShardStore.get

    def changed(store: ShardStore, key: str) -> Any:
        note = stored(store, key)
        assert note is not None
        return {**note, "legs": np.asarray([legs])}

    monkeypatch.setattr(ShardStore, "get", changed)
    with caplog.at_level(logging.WARNING):
        assert same(read(model, MANY, shards=ShardStore(tmp_path, FINGERPRINT)), expected)
    assert "not of this plan" in caplog.text


@pytest.mark.parametrize(
    ("units", "batch_tokens"),
    [(MANY, 21), ({**MANY, "unit 0": ["x"]}, 20), ({**MANY, "unit 9": ["x"]}, 20)],
)
def test_notes_of_another_pass_are_not_used(
    tmp_path: Path, chunks_run: list[int], units: Any, batch_tokens: int
) -> None:
    model = tiny_models.sparse_circuitgpt()
    read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    expected = read(model, units, batch_tokens=batch_tokens)
    n_chunks = len(chunks_run)
    found = read(model, units, batch_tokens=batch_tokens, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(found, expected)
    assert len(chunks_run) > n_chunks


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_stored(tmp_path: Path, value: float) -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.transformer.wte.weight[ord("!")] = value
    units = {"a": ["x", "y", "zz"], "b": ["x", "u!", "v"], "c": ["wide"]}
    with pytest.raises(ModelError, match=r"not finite.*\n.*unit b, prompt 1, layer 0"):
        read(model, units, shards=ShardStore(tmp_path, FINGERPRINT), batch_tokens=1)
    assert list(tmp_path.rglob("*.safetensors")) == []


@pytest.mark.parametrize("path", ["plain", "tree"])
def test_a_loss_that_is_not_finite_is_named(tmp_path: Path, path: Any) -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.final_logits_bias[0] = float("nan")
    store = ShardStore(tmp_path, FINGERPRINT)
    units = {"a": ["x"], "b": ["x", "xy"]}
    with pytest.raises(ModelError, match=r"the loss of a prompt.*\n.*unit b, prompt 1"):
        read(model, units, shards=store, path=path)
    assert list(tmp_path.rglob("*.safetensors")) == []
    assert extract(model, units, shards=store, progress=Progress("reading")).n_prompts.sum() == 3


def test_prompts_that_the_network_cannot_take() -> None:
    model = tiny_models.circuitgpt(block_size=5)
    model = tiny_models.loaded(model.network, model.base, list(model.mlps), positions=5)
    with pytest.raises(ModelError, match=r"unit b, prompt 1\n.*at most 5 tokens\n.*6 tokens"):
        read(model, {"a": ["x"], "b": ["y", "xxxxxx"]})
    with pytest.raises(StimulusError, match="unit b, prompt 0"):
        read(model, {"a": ["x"], "b": [""]})
