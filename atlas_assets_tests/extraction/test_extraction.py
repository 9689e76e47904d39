"""Sums and counts: equal to prompts run alone, whatever the batches, kills and duplicates."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ModelError, SettingsError, StimulusError
from atlas_assets.extraction import prompts as prompt_plan
from atlas_assets.extraction.extraction import Readout, extract
from atlas_assets.extraction.readouts import ReadoutTap, tapped
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.activations import Activations
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.oracles import extraction_naive as naive

pytestmark = pytest.mark.usefixtures("one_thread")
#: what batching may change: the order of float32 sums inside the network's matrix products
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}
#: of the embedded model, whose residual stream is larger: what readouts may differ by
OF_EMBEDDED = {"rtol": 2e-5, "atol": 1e-5}
FINGERPRINT = "0123456789abcdef"
UNITS = {
    "While__len": ["while x:\n    pass", "len", "while len(x) > 3:\n    x = x[1:]"],
    "For__list": ["for x in list(y):\n    print(x)", "a", "for i in l: pass", "a"],
    "Assert___isolated_": ["assert x", "a = 1\nassert a", "assert not None, 'nothing'"],
    "For__set": ["for x in set(y): pass", "for i in l: pass"],
}


def run(model: Any, units: Mapping[str, Sequence[str]], **options: Any) -> Activations:
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return extract(model, units, progress=Progress("reading"), **options)


def assert_equals(found: Activations, expected: naive.Sums, **tolerance: float) -> None:
    assert found.names == tuple(sorted(expected))
    for unit, name in enumerate(found.names):
        sums, counts, n_prompts = expected[name]
        np.testing.assert_allclose(found.sums[unit], sums, **(tolerance or TOLERANCE))
        np.testing.assert_array_equal(found.counts[unit], counts)
        assert found.n_prompts[unit] == n_prompts


@pytest.fixture(scope="module", params=sorted(tiny_models.ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Any:
    return tiny_models.ARCHITECTURES[request.param]()


@pytest.fixture(scope="module")
def embedded() -> Any:
    from atlas_assets.models.loading import load, resolve

    return load(resolve("embedded", None), device="cpu", dtype="float32")


# ---------------------------------------------------------------- equal to the definition


@pytest.mark.parametrize("batch_tokens", [1, 40, 100, 8192])
def test_last_token_in_batches_equals_single_prompts(architecture: Any, batch_tokens: int) -> None:
    found = run(architecture, UNITS, batch_tokens=batch_tokens)
    assert_equals(found, naive.last_token(architecture, UNITS))


def test_last_token_of_the_embedded_model_equals_single_prompts(embedded: Any) -> None:
    found = run(embedded, UNITS, batch_tokens=64)
    assert_equals(found, naive.last_token(embedded, UNITS), **OF_EMBEDDED)


MORE_THAN_A_BATCH = {
    "b": [f"x = {'y' * (i % 7)}{i}" for i in range(70)],
    "a": ["if x:\n    y", "z", "z", "del w"],
}


def test_published_equals_the_release(architecture: Any) -> None:
    found = run(architecture, MORE_THAN_A_BATCH, readout="published")
    assert_equals(found, naive.published(architecture, MORE_THAN_A_BATCH))


def test_published_of_the_embedded_model_equals_the_release(embedded: Any) -> None:
    found = run(embedded, UNITS, readout="published")
    assert_equals(found, naive.published(embedded, UNITS), **OF_EMBEDDED)


def test_the_two_readouts_differ_where_prompts_of_a_batch_differ_in_length() -> None:
    model = tiny_models.toy()
    uneven = {"a": ["x", "longer than x"]}
    assert run(model, uneven).digest() != run(model, uneven, readout="published").digest()
    even = {"a": ["abc", "xyz"]}
    np.testing.assert_allclose(
        run(model, even).sums, run(model, even, readout="published").sums, **TOLERANCE
    )


@settings(max_examples=40, deadline=None)
@given(
    units=st.dictionaries(
        st.text("abc_", min_size=1, max_size=4),
        st.lists(st.text("xyz =", min_size=1, max_size=9), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    ),
    readout=st.sampled_from(["last_token", "published"]),
    batch_tokens=st.integers(1, 60),
    shard_prompts=st.integers(1, 12),
)
def test_any_units_in_any_batches_and_shards(
    units: dict[str, list[str]], readout: Readout, batch_tokens: int, shard_prompts: int
) -> None:
    model = tiny_models.toy(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_plan, "SHARD_PROMPTS", shard_prompts)
        found = run(model, units, readout=readout, batch_tokens=batch_tokens)
    assert_equals(found, getattr(naive, readout)(model, units))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_readouts_are_summed_in_full(dtype: torch.dtype) -> None:
    model = tiny_models.toy(dtype=dtype)
    units = {"a": [f"x = {i}" for i in range(200)]}
    found = run(model, units, batch_tokens=32)
    # the network's own rounding is what may differ: 8 bits of mantissa in bfloat16
    assert_equals(found, naive.last_token(model, units), rtol=1e-2, atol=1e-2)
    halves = naive.layer_outputs(model, [model.tokenizer.encode("x = 1")])
    assert halves[0].dtype == dtype
    assert found.sums.dtype == np.float32


def test_many_small_readouts_are_not_lost_beside_a_large_one() -> None:
    model = tiny_models.toy()
    with torch.no_grad():
        model.base.embed.weight.fill_(1.0)
        model.base.embed.weight[ord("a")] = 3.0e7
        model.mlps[0][0].weight.copy_(torch.eye(tiny_models.WIDTH))
        model.mlps[0][0].bias.zero_()
    found = run(model, {"u": ["a", *("b" * i for i in range(1, 91))]}, batch_tokens=100)
    # added one by one in float32 the ones would vanish: 3e7 + 1 == 3e7
    assert found.sums[0, 0, 0] == np.float32(3.0e7 + 90)


@pytest.mark.gpu
@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_a_gpu_agrees_with_the_cpu(architecture: Any, readout: Readout) -> None:
    expected = run(architecture, MORE_THAN_A_BATCH, readout=readout)
    try:
        architecture.network.cuda()
        on_gpu = dataclasses.replace(architecture, device=torch.device("cuda"))
        found = run(on_gpu, MORE_THAN_A_BATCH, readout=readout)
    finally:
        architecture.network.cpu()
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.counts, expected.counts)


# ---------------------------------------------------------------- what is run


def test_identical_prompts_run_once_and_count_as_often_as_they_occur() -> None:
    model = tiny_models.toy()
    found = run(model, {"a": ["x = 1"] * 3, "b": ["x = 1", "y"]})
    assert sum(rows for rows, _ in model.base.batches) == 2
    once = run(model, {"a": ["x = 1"]})
    np.testing.assert_allclose(found.sums[0], 3 * once.sums[0], rtol=1e-6)
    np.testing.assert_array_equal(found.counts[0], 3 * once.counts[0])
    assert found.n_prompts.tolist() == [3, 2]


def test_published_runs_one_unit_per_batch_of_at_most_64() -> None:
    model = tiny_models.toy()
    run(model, MORE_THAN_A_BATCH, readout="published")
    assert [rows for rows, _ in model.base.batches] == [4, 64, 6]


def test_batches_stay_within_the_budget_and_waste_little() -> None:
    model = tiny_models.toy()
    run(model, {"a": ["x" * (1 + i % 90) + str(i % 7) for i in range(400)]}, batch_tokens=500)
    assert max(rows * tokens for rows, tokens in model.base.batches) <= 500
    distinct = {"x" * (1 + i % 90) + str(i % 7) for i in range(400)}
    run_tokens = sum(rows * tokens for rows, tokens in model.base.batches)
    assert run_tokens < 1.1 * sum(map(len, distinct))


def test_one_batch_of_readouts_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ReadoutTap.read
    alive: list[weakref.ref[torch.Tensor]] = []

    def watched(self: ReadoutTap, *args: Any) -> torch.Tensor:
        assert not any(ref() is not None for ref in alive)
        assert not self._local.rows
        readouts = read(self, *args)
        alive.append(weakref.ref(readouts))
        return readouts

    monkeypatch.setattr(ReadoutTap, "read", watched)
    run(tiny_models.toy(), {"a": [f"x{i}" for i in range(40)]}, batch_tokens=12)
    assert len(alive) > 5


@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_the_bytes_do_not_depend_on_the_number_of_threads(readout: Readout) -> None:
    model = tiny_models.sparse_circuitgpt()
    digests = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        digests.add(run(model, MORE_THAN_A_BATCH, readout=readout, batch_tokens=40).digest())
    torch.set_num_threads(1)
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_mask_goes_with_right_padding_and_none_with_published(name: str) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    seen: list[Any] = []
    model.base.register_forward_pre_hook(
        lambda _m, args, kwargs: seen.append((args[0], kwargs.get("attention_mask"), kwargs)),
        with_kwargs=True,
    )
    model.network.lm_head.register_forward_pre_hook(lambda _m, _i: pytest.fail("logits computed"))
    units = {"a": ["xyz", "x"]}
    run(model, units)
    run(model, units, readout="published")
    (ids, mask, options), (left_ids, no_mask, _) = seen
    pad = tiny_models.PAD_ID
    assert ids.tolist() == [[120, 121, 122], [120, pad, pad]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert options["use_cache"] is False
    assert left_ids.tolist() == [[120, 121, 122], [pad, pad, 120]]
    assert no_mask is None


def test_hooks_are_gone_afterwards() -> None:
    model = tiny_models.toy()
    run(model, UNITS)
    with pytest.raises(RuntimeError, match="stop"), tapped(model):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in model.mlps)


def test_progress_counts_what_is_run() -> None:
    lines: list[str] = []
    units = {"a": ["x", "x", "y"], "b": ["z"]}
    for readout, prompts in (("last_token", 3), ("published", 4)):
        extract(
            tiny_models.toy(),
            units,
            readout=readout,  # type: ignore[arg-type]
            shards=ShardStore(None, FINGERPRINT),
            progress=Progress("reading", lines.append),
        )
        assert lines[-2] == f"reading: {prompts} prompts to run"
        assert lines[-1].startswith(f"reading: {prompts} prompts in")


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({}, "0 units"),
        ({"a": ["x"], "b": []}, "unit b"),
        ({"a": ["x"], "b": ["y", ""]}, "unit b, prompt 1"),
    ],
)
@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_units_without_prompts_or_tokens(
    units: dict[str, list[str]], message: str, readout: str
) -> None:
    with pytest.raises(StimulusError, match=message):
        run(tiny_models.toy(), units, readout=readout)


@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_a_prompt_longer_than_the_network_takes(readout: str) -> None:
    with pytest.raises(ModelError, match=r"unit b, prompt 1\n.*at most 5 tokens\n.*6 tokens"):
        run(tiny_models.toy(positions=5), {"a": ["x"], "b": ["y", "xxxxxx"]}, readout=readout)


@pytest.mark.parametrize("readout", ["last_token", "published"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_readouts_that_are_not_finite_are_never_stored(
    tmp_path: Path, readout: str, value: float
) -> None:
    model = tiny_models.toy()
    batch: list[torch.Tensor] = []

    def break_layer_1(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        broken = (batch[-1] == ord("!")).any(dim=1)
        return torch.where(broken[:, None, None], torch.tensor(value), output)

    model.base.register_forward_pre_hook(lambda _m, inputs: batch.append(inputs[0]))
    model.mlps[1].register_forward_hook(break_layer_1)
    units = {"a": ["x", "y", "zz"], "b": ["x", "u!", "v"], "c": ["wide"]}
    with pytest.raises(ModelError, match="unit b, prompt 1, layer 1"):
        run(model, units, readout=readout, shards=ShardStore(tmp_path, FINGERPRINT))
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_a_module_that_never_runs_is_named() -> None:
    model = tiny_models.toy()
    model = dataclasses.replace(model, mlps=(*model.mlps[:2], torch.nn.Linear(2, 2)))
    with pytest.raises(ModelError, match=r"did not run.*\n.*layer 2"):
        run(model, {"a": ["x"]})


def test_an_output_of_another_shape_is_named() -> None:
    model = tiny_models.toy()
    model.mlps[1].register_forward_hook(lambda _m, _i, output: output[..., :5])
    with pytest.raises(ModelError, match=r"layer 1\n.*16\]\n.*5\]"):
        run(model, {"a": ["x"]})


def test_a_batch_of_no_tokens_is_refused() -> None:
    with pytest.raises(SettingsError, match="batch_tokens"):
        run(tiny_models.toy(), UNITS, batch_tokens=0)
