"""Sums, counts and losses: equal to prompts run alone, whatever the path, batches and shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ModelError
from atlas_assets.extraction import extraction, losses, plain_pass, tree_pass
from atlas_assets.extraction.extraction import Readout, extract
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.activations import Activations
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import (
    FINGERPRINT,
    UNITS,
    extracted,
    read,
    scored,
)
from atlas_assets_tests.oracles import extraction_naive as naive

#: what batching may change: the order of float32 sums inside the network's matrix products
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
#: of the embedded model, whose residual stream is larger: what readouts may differ by
OF_EMBEDDED = {"rtol": 2e-5, "atol": 1e-5}
MORE_THAN_A_BATCH = {
    "b": [f"x = {'y' * (i % 7)}{i}" for i in range(70)],
    "a": ["if x:\n    y", "z", "z", "del w"],
}
PATHS: dict[str, Any] = {
    **{f"{name}, plain": (name, "plain") for name in tiny_models.ARCHITECTURES},
    "gpt2, tree": ("gpt2", "tree"),
    "llama, tree": ("llama", "tree"),
    "circuitgpt, tree": ("circuitgpt", "tree"),
    "sparse circuitgpt, tree": ("sparse circuitgpt", None),
    "toy": ("toy", None),
}


def assert_equals(found: Activations, expected: naive.Sums, **tolerance: float) -> None:
    assert found.names == tuple(sorted(expected))
    for unit, name in enumerate(found.names):
        sums, counts, n_prompts = expected[name]
        np.testing.assert_allclose(found.sums[unit], sums, **(tolerance or TOLERANCE))
        np.testing.assert_array_equal(found.counts[unit], counts)
        assert found.n_prompts[unit] == n_prompts


def assert_read(
    model: Any,
    units: Mapping[str, Sequence[str]],
    sizes: Sequence[int],
    path: Any = "tree",
    **tolerance: float,
) -> None:
    """What one pass gives in batches of each size is what prompts alone give."""
    expected = naive.last_token(model, units)
    losses = {name: [naive.loss(model, text) for text in units[name]] for name in units}
    texts, wanted = ([each for name in units for each in of[name]] for of in (units, losses))
    assert_equals(extracted(model, units, batch_tokens=40, path=path), expected, **tolerance)
    for batch_tokens in sizes:
        found = read(model, units, batch_tokens=batch_tokens, path=path)
        assert_equals(found.activations, expected, **tolerance)
        for name in units:
            np.testing.assert_allclose(found.losses[name], losses[name], rtol=0, atol=1e-5)
            assert found.losses[name].dtype == np.float64
            lengths = [len(model.tokenizer.encode(text)) for text in units[name]]
            assert found.lengths[name].tolist() == lengths
        scores = scored(model, texts, batch_tokens=batch_tokens, path=path)
        np.testing.assert_allclose(scores.losses, wanted, rtol=0, atol=1e-5)
        assert scores.lengths.tolist() == [len(model.tokenizer.encode(text)) for text in texts]


@pytest.fixture(scope="module")
def embedded() -> Any:
    from atlas_assets.models.loading import load, resolve

    return load(resolve("embedded", None), device="cpu", dtype="float32")


@pytest.mark.parametrize(("name", "path"), PATHS.values(), ids=PATHS.keys())
def test_one_pass_gives_what_prompts_alone_give(name: str, path: Any) -> None:
    model = {**tiny_models.ARCHITECTURES, "toy": tiny_models.toy}[name]()
    assert_read(model, UNITS, (1, 60, 8192), path)


@pytest.mark.parametrize("name", sorted(tiny_models.ARCHITECTURES))
def test_published_equals_the_release(name: str) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    found = extracted(model, MORE_THAN_A_BATCH, readout="published")
    assert_equals(found, naive.published(model, MORE_THAN_A_BATCH))


def test_the_embedded_model_gives_what_the_definition_gives(embedded: Any) -> None:
    assert_read(embedded, UNITS, (64,), **OF_EMBEDDED)
    found = extracted(embedded, UNITS, readout="published", batch_tokens=64)
    assert_equals(found, naive.published(embedded, UNITS), **OF_EMBEDDED)


ANY_UNITS = st.dictionaries(
    st.text("abc_", min_size=1, max_size=4),
    st.lists(st.text("xy =", min_size=1, max_size=12), min_size=1, max_size=6),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(
    units=ANY_UNITS,
    readout=st.sampled_from(["last_token", "published"]),
    batch_tokens=st.integers(1, 60),
    shard_prompts=st.integers(1, 12),
)
def test_any_units_in_any_batches_and_shards(
    units: dict[str, list[str]], readout: Readout, batch_tokens: int, shard_prompts: int
) -> None:
    model = tiny_models.toy(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_pass, "SHARD_PROMPTS", shard_prompts)
        found = extracted(model, units, readout=readout, batch_tokens=batch_tokens)
    assert_equals(found, getattr(naive, readout)(model, units))


@settings(max_examples=25, deadline=None)
@given(units=ANY_UNITS, batch_tokens=st.integers(1, 80), chunks_per_leg=st.integers(1, 4))
def test_any_units_in_any_chunks_and_legs(
    units: dict[str, list[str]], batch_tokens: int, chunks_per_leg: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_pass, "CHUNKS_PER_LEG", chunks_per_leg)
        assert_read(tiny_models.sparse_circuitgpt(), units, (batch_tokens,))


@pytest.mark.parametrize("path", ["plain", "tree"])
def test_the_bytes_do_not_depend_on_the_number_of_threads(path: Any) -> None:
    model = tiny_models.sparse_circuitgpt()
    found = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        readings = read(model, MORE_THAN_A_BATCH, batch_tokens=40, path=path)
        published = extracted(model, MORE_THAN_A_BATCH, readout="published")
        losses = b"".join(readings.losses[name].tobytes() for name in ("a", "b"))
        found.add((readings.activations.digest(), losses, published.digest()))
    assert len(found) == 1


@pytest.mark.parametrize("name", ["circuitgpt", "sparse circuitgpt"])
def test_readouts_are_the_same_bits_in_chunks_and_batches_of_any_size(name: str) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    units = {"a": [f"x{n % 3} = {'y' * (n % 50)}{n}" for n in range(60)]}
    found = {
        read(model, units, path=path, batch_tokens=tokens).activations.sums.tobytes()
        for path, tokens in (("plain", 300), ("plain", 9000), ("tree", 150), ("tree", 9000))
    }
    assert len(found) == 1


def real_units(**cut: Any) -> dict[str, list[str]]:
    """Object prompts by pair."""
    from atlas_assets.stages.activations.activations import units_of_object_prompts
    from atlas_assets.stages.prompts.object_prompts import generate
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    return units_of_object_prompts(generate(load_stimuli(), **cut))


def assert_both_paths_agree(model: Any, units: Mapping[str, Sequence[str]]) -> None:
    """Losses to 1e-5, masks at all nine settings and the sums behind them to the bit."""
    from atlas_assets.stages.masks.masks import sweep_masks
    from atlas_assets.stages.setting import PUBLISHED_CONSISTENCIES, PUBLISHED_EPSILONS, grid

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


def test_both_paths_agree_on_real_prompts_of_a_cut_grid(embedded: Any) -> None:
    cut = {"ast_nodes": ["For", "Pass", "If"], "builtins": ["list", "_isolated_"]}
    assert_both_paths_agree(embedded, real_units(**cut, variations=20))


@pytest.mark.slow
def test_both_paths_agree_on_the_full_grid(embedded: Any) -> None:
    torch.set_num_threads(2)
    assert_both_paths_agree(embedded, real_units())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_readouts_are_summed_in_full(dtype: torch.dtype) -> None:
    model = tiny_models.toy(dtype=dtype)
    units = {"a": [f"x = {i}" for i in range(200)]}
    found = extracted(model, units, batch_tokens=32)
    # the network's own rounding is what may differ: 8 bits of mantissa in bfloat16
    assert_equals(found, naive.last_token(model, units), rtol=1e-2, atol=1e-2)
    halves = naive.layer_outputs(model, [model.tokenizer.encode("x = 1")])
    assert halves[0].dtype == dtype
    assert found.sums.dtype == np.float32
    losses = [naive.loss(model, text) for text in units["a"]]
    np.testing.assert_allclose(scored(model, units["a"]).losses, losses, rtol=0, atol=5e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(tiny_models.ARCHITECTURES))
@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_a_gpu_agrees_with_the_cpu(name: str, readout: Readout) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    expected = extracted(model, MORE_THAN_A_BATCH, readout=readout)
    model.network.cuda()
    on_gpu = dataclasses.replace(model, device=torch.device("cuda"))
    found = extracted(on_gpu, MORE_THAN_A_BATCH, readout=readout)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.counts, expected.counts)


@pytest.mark.parametrize(("readout", "prompts"), [("last_token", 3), ("published", 4)])
@pytest.mark.parametrize("model", [tiny_models.toy, tiny_models.circuitgpt])
def test_progress_counts_what_is_run(model: Any, readout: Readout, prompts: int) -> None:
    lines: list[str] = []
    progress = Progress("reading", lines.append)
    shards = ShardStore(None, FINGERPRINT)
    units = {"a": ["x", "x", "y"], "b": ["z"]}
    extract(model(), units, readout=readout, shards=shards, progress=progress)
    assert lines[0] == f"reading: {prompts} prompts to run"
    assert lines[-1].startswith(f"reading: {prompts} prompts in")


@pytest.mark.parametrize("path", ["plain", "tree"])
def test_a_loss_that_is_not_finite_is_named(path: Any) -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.final_logits_bias[0] = float("nan")
    units = {"a": ["x"], "b": ["x", "xy"]}
    with pytest.raises(ModelError, match=r"the loss of a prompt.*\n.*unit b, prompt 1"):
        read(model, units, path=path)
    assert extracted(model, units).n_prompts.sum() == 3


TEXTS = [f"x = {'y' * i}" for i in range(25)]


@pytest.mark.parametrize("path", ["plain", "tree"])
@pytest.mark.parametrize("texts", [[], ["", "x"], ["", "x", "xy"]], ids=str)
def test_a_prompt_of_fewer_than_two_tokens_scores_50(texts: list[str], path: Any) -> None:
    found = scored(tiny_models.circuitgpt(), texts, path=path)
    assert found.losses[:2].tolist() == [50.0] * len(texts[:2])
    assert (found.losses[2:] < 50).all()
    assert found.lengths.tolist() == [len(text) for text in texts]


def test_only_the_first_512_tokens_are_scored_and_all_are_counted() -> None:
    model = tiny_models.toy(positions=512)
    texts = ["ab" * 256, "ab" * 256 + "cdefg", "ab" * 300]
    found = scored(model, texts)
    expected = [naive.loss(model, text) for text in texts]
    np.testing.assert_allclose(found.losses, expected, rtol=0, atol=1e-5)
    assert found.lengths.tolist() == [512, 517, 600]
    assert found.losses[1] == found.losses[0]
    assert max(tokens for _, tokens in model.base.batches) == 512


def test_logits_are_bounded_and_cut_into_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored(tiny_models.toy(), TEXTS)
    monkeypatch.setattr(plain_pass, "LOGITS_PER_CALL", 60 * tiny_models.VOCABULARY)
    monkeypatch.setattr(losses, "LOGITS_PER_SLICE", 45 * tiny_models.VOCABULARY)
    sizes: list[int] = []
    cross_entropy = losses.cross_entropy

    def watched(logits: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        sizes.append(logits.numel())
        assert logits.dtype == torch.float32
        return cross_entropy(logits, *args, **kwargs)

    monkeypatch.setattr(losses, "cross_entropy", watched)
    model = tiny_models.toy()
    sliced = scored(model, TEXTS)
    np.testing.assert_allclose(sliced.losses, whole.losses, rtol=1e-6)
    assert max(rows * tokens for rows, tokens in model.base.batches) <= 60
    assert len(sizes) > len(model.base.batches)
    assert max(sizes) <= 45 * tiny_models.VOCABULARY


def test_what_is_not_finite_is_named_by_its_place_among_all_prompts() -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.transformer.wte.weight[ord("~")] = float("nan")
    with pytest.raises(ModelError, match="prompt 5"):
        scored(model, ["a", "b", "b", "c", "xx", "b~"])


def test_a_scored_part_longer_than_the_network_takes() -> None:
    with pytest.raises(ModelError, match=r"prompt 1\n.*at most 5 tokens\n.*6 tokens"):
        scored(tiny_models.toy(positions=5), ["xx", "xxxxxx"])


def test_what_is_scored_is_kept_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "UNIT_PROMPTS", 8)
    monkeypatch.setattr(plain_pass, "SHARD_PROMPTS", 8)
    store, model = ShardStore(tmp_path, FINGERPRINT), tiny_models.toy()
    expected = scored(tiny_models.toy(), TEXTS, shards=store).losses.tobytes()
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == 4
    files[1].write_bytes(files[1].read_bytes()[:-5])
    assert scored(model, TEXTS, shards=store).losses.tobytes() == expected
    assert sum(rows for rows, _ in model.base.batches) == 8
