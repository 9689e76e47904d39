"""The network of circuitgpt, and checkpoints of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM

from atlas_assets.errors import ModelError
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM, CircuitGPTModel
from atlas_assets.models.circuitgpt_layers import in_authors_order
from atlas_assets_tests.models import tiny
from atlas_assets_tests.oracles.circuitgpt_naive import Naive

VARIANTS: dict[str, dict[str, Any]] = {
    "everything": {},
    "plain": {
        "afrac": None,
        "rms_norm": False,
        "d_pos_emb": None,
        "sink": False,
        "enable_bigram_table": False,
        "tied_unembed": True,
    },
    "relu": {"activation_type": "relu", "residual_activation_type": "relu"},
    "without biases": {"bias": False, "ln_bias": False, "rms_norm": False},
    "fixed bigram table, one location": {
        "learnable_bigram_table": False,
        "afrac": 0.25,
        "afrac_loctypes": "mlp_out",
    },
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def model(request: pytest.FixtureRequest) -> CircuitGPTForCausalLM:
    return tiny.network(seed=3, **request.param)


@pytest.mark.parametrize("name", ["full_11", "plain_11"])
def test_agrees_with_the_authors_implementation(shared: Path, name: str) -> None:
    folder = shared / "golden" / "model" / name
    expected = load_file(folder / "expected.safetensors")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert tiny.tensors(model).keys() == load_file(folder / "model.safetensors").keys()
    found, logits = tiny.readouts(model, expected["input_ids"])
    torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=1e-5)
    assert len(found) == sum(key.startswith("mlp_out.") for key in expected)
    for layer, readout in enumerate(found):
        torch.testing.assert_close(readout, expected[f"mlp_out.{layer}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 7, 16, 37])
@torch.inference_mode()
def test_in_the_authors_order_attention_is_their_operation_bit_by_bit(tokens: int) -> None:
    # a key and a value of zeros in front, the learned logit in the mask, no padding
    network = tiny.network(seed=3)
    attention = network.circuit_model.transformer.h[0].attn
    sink = attention.attn_imp.sink_logit
    q, k, v = torch.randn(3, 2, attention.n_head, tokens, attention.d_head)
    hidden = torch.full((tokens, tokens), torch.finfo(torch.float32).min).triu(1)
    bias = torch.cat(
        [sink[:, None, None].expand(-1, tokens, 1), hidden.expand(len(sink), -1, -1)], dim=-1
    )
    zero = torch.zeros(2, attention.n_head, 1, attention.d_head)
    expected = F.scaled_dot_product_attention(
        q, torch.cat([zero, k], 2), torch.cat([zero, v], 2), attn_mask=bias[None]
    )
    with in_authors_order(network):
        assert torch.equal(attention._attend(q, k, v, None), expected)
    assert attention.pads


def test_generic_callers_may_ask_for_a_tuple_and_no_cache() -> None:
    model, ids = tiny.network(), tiny.ids(1, 5)
    named = model(ids, labels=ids, use_cache=False)
    loss, logits = model(ids, labels=ids, use_cache=False, return_dict=False)
    assert torch.equal(loss, named.loss)
    assert torch.equal(logits, named.logits)
    (states,) = model.circuit_model(ids, return_dict=False)
    assert states.shape == (1, 5, model.config.d_model)


def test_agrees_with_the_naive_oracle(model: CircuitGPTForCausalLM) -> None:
    naive = Naive(
        model.config.to_dict(),
        {name: value.numpy() for name, value in tiny.tensors(model, prefix=False).items()},
    )
    ids = tiny.ids(2, 7)
    found, logits = tiny.readouts(model, ids)
    for row, sequence in enumerate(ids.tolist()):
        expected, expected_logits = naive.run(sequence)
        np.testing.assert_allclose(logits[row], expected_logits, rtol=1e-4, atol=1e-4)
        for layer, readout in enumerate(expected):
            np.testing.assert_allclose(found[layer][row], readout, rtol=1e-4, atol=1e-4)


def test_right_padding_changes_nothing_at_real_positions(model: CircuitGPTForCausalLM) -> None:
    ids, lengths = tiny.ids(4, 12), torch.tensor([12, 5, 1, 8])
    mask = (torch.arange(12) < lengths[:, None]).long()
    padded = torch.where(mask.bool(), ids, tiny.VOCABULARY - 1)
    for inputs in ((padded, mask), (padded,)):
        found, logits = tiny.readouts(model, *inputs)
        for row, length in enumerate(lengths.tolist()):
            alone, alone_logits = tiny.readouts(model, ids[row : row + 1, :length])
            real = [output[row : row + 1, :length] for output in (*found, logits)]
            torch.testing.assert_close(real, [*alone, alone_logits], rtol=0, atol=1e-5)


def test_a_mask_hides_padding_on_the_left() -> None:
    # Positions count from the left, so only the hiding is seen: other padding, same result.
    model = tiny.network()
    ids = tiny.ids(1, 9)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
    other = torch.where(mask.bool(), ids, (ids + 1) % tiny.VOCABULARY)
    first, second = (tiny.readouts(model, x, mask)[1] for x in (ids, other))
    assert torch.isfinite(first).all()
    torch.testing.assert_close(first[:, 3:], second[:, 3:], rtol=0, atol=1e-6)


def test_a_long_sequence_is_refused() -> None:
    model = tiny.network()
    assert model(tiny.ids(1, 32)).logits.shape == (1, 32, tiny.VOCABULARY)
    with pytest.raises(ModelError, match="at most 32 tokens") as caught:
        model(tiny.ids(1, 33))
    assert caught.value.found == "33 tokens"


def test_half_precision_runs_and_stays_near() -> None:
    model = tiny.network(afrac=None)
    full = tiny.readouts(model, tiny.ids(2, 9))[1]
    half = tiny.readouts(model.half(), tiny.ids(2, 9))[1]
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_norms_epsilon_is_the_dtypes(dtype: torch.dtype) -> None:
    x = torch.full((1, 16), 0.01, dtype=dtype)
    expected = 0.01 / (0.01**2 + torch.finfo(dtype).eps) ** 0.5
    found = tiny.network(afrac=None).to(dtype).circuit_model.transformer.ln_f
    with torch.no_grad():
        found.weight.fill_(1)
        assert found(x)[0, 0].item() == pytest.approx(expected, rel=0.01)


def test_an_mlp_gives_many_tokens_what_it_gives_few() -> None:
    mlp = tiny.network(afrac=None).circuit_model.transformer.h[0].mlp
    x = torch.randn(3, 9000, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = mlp(x)
        few = torch.cat([mlp(part) for part in x.split(1000, dim=1)], dim=1)
    torch.testing.assert_close(found, few, rtol=0, atol=1e-4)
    torch.testing.assert_close(found, mlp(x), rtol=0, atol=1e-4)  # with gradients: in one go


def test_trains(model: CircuitGPTForCausalLM) -> None:
    model.train()
    ids = tiny.ids(4, 12)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert losses[-1] < losses[0]
    assert learned | fixed == {name for name, _ in model.named_parameters()}
    assert fixed <= {"circuit_model.bigram_table"}


def test_the_loss_is_the_cross_entropy_of_the_next_token() -> None:
    model, ids = tiny.network(), tiny.ids(2, 6)
    labels = ids.clone()
    labels[1, 4:] = -100
    with torch.no_grad():
        found = model(ids, labels=labels)
    logs = found.logits.log_softmax(-1)
    terms = [-logs[row, t, ids[row, t + 1]].item() for row, n in ((0, 5), (1, 3)) for t in range(n)]
    assert found.loss.item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_new_weights_are_drawn_by_transformers() -> None:
    model = CircuitGPTForCausalLM(tiny.config())
    named = dict(model.named_parameters())
    for name in ("bigram_table", "final_logits_bias", "transformer.h.0.attn.attn_imp.sink_logit"):
        assert not named[tiny.PREFIX + name].any()
    assert named[tiny.PREFIX + "transformer.h.1.mlp.c_fc.weight"].std().item() == pytest.approx(
        0.02, rel=0.3
    )


def test_training_and_inference_attend_alike() -> None:
    """With a gradient wanted the sink is a key among keys, else part of the mask."""
    model = tiny.network(seed=3)
    ids = tiny.ids(3, 9)
    everything = torch.ones_like(ids)

    def losses_and_gradients(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = model(*inputs, labels=ids).loss
        return loss, *torch.autograd.grad(loss, list(model.parameters()))

    as_key, in_mask = losses_and_gradients(ids), losses_and_gradients(ids, everything)
    for found, expected in zip(as_key, in_mask, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    sinks = [p for name, p in model.named_parameters() if name.endswith("sink_logit")]
    gradients = dict(zip(map(id, model.parameters()), as_key[1:], strict=True))
    assert all(gradients[id(sink)].abs().max() > 0 for sink in sinks)
    with torch.no_grad():
        trained, frozen = model(ids).logits, model.requires_grad_(False)(ids).logits
    torch.testing.assert_close(trained, frozen, rtol=1e-4, atol=1e-5)


PLAIN: dict[str, Any] = {"tied_unembed": True, "enable_bigram_table": False}


def read(folder: Path, **options: Any) -> CircuitGPTForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    assert type(model) is CircuitGPTForCausalLM
    assert not model.training
    return model


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@pytest.mark.parametrize("changes", [{}, PLAIN], ids=["untied", "tied"])
def test_loads_what_was_written_and_saves_it_under_the_hubs_names(
    tmp_path: Path, changes: dict[str, Any], prefix: bool
) -> None:
    written, options = tiny.network(**changes), {**tiny.OPTIONS, **changes}
    model = read(tiny.write(tmp_path / "a", options, tiny.tensors(written, prefix=prefix)))
    assert model.config.tied_unembed is changes.get("tied_unembed", False)
    head = model.circuit_model.lm_head.weight
    assert (head is model.circuit_model.transformer.wte.weight) is model.config.tied_unembed
    expected = tiny.tensors(written)
    for source in (written, model):
        source.save_pretrained(tmp_path / "b")
        found = load_file(tmp_path / "b" / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        again = read(tmp_path / "b")
        assert again.config.to_dict().items() >= options.items()
        assert torch.equal(again(tiny.ids(1, 5)).logits, written(tiny.ids(1, 5)).logits)


def test_the_base_model_loads_alone(tmp_path: Path) -> None:
    written = tiny.network()
    model = AutoModel.from_pretrained(tiny.write(tmp_path, weights=tiny.tensors(written)))
    assert type(model) is CircuitGPTModel
    ids = tiny.ids(1, 5)
    expected = written.base_model(ids).last_hidden_state
    assert torch.equal(model(ids).last_hidden_state, expected)


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_the_dtype_is_the_configs_unless_asked_for(tmp_path: Path, key: str) -> None:
    weights = {name: t.half() for name, t in tiny.tensors(tiny.network()).items()}
    folder = tiny.write(tmp_path, {**tiny.OPTIONS, key: "float16"}, weights)
    assert read(folder).dtype == torch.float16
    assert read(folder, dtype=torch.float32).dtype == torch.float32


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        AutoModelForCausalLM.from_pretrained(folder)
    assert str(folder) in str(caught.value.where)
    return caught.value


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@pytest.mark.parametrize(
    "name",
    [
        "transformer.h.1.mlp.c_proj.bias",
        "transformer.h.0.attn.attn_imp.sink_logit",
        "lm_head.weight",
        "final_logits_bias",
        "bigram_table",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str, prefix: bool) -> None:
    weights = tiny.tensors(tiny.network(), prefix=prefix)
    del weights[tiny.PREFIX * prefix + name]
    error = refused(tiny.write(tmp_path, weights=weights))
    assert "missing" in error.what
    assert name in str(error.found)


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({}, "transformer.h.2.ln_1.weight"),
        ({}, "lm_head.bias"),
        ({"enable_bigram_table": False}, "bigram_table"),
        ({"sink": False}, "transformer.h.0.attn.attn_imp.sink_logit"),
    ],
)
def test_an_extra_tensor_is_named(tmp_path: Path, changes: dict[str, Any], extra: str) -> None:
    weights = tiny.tensors(tiny.network(**changes))
    weights[tiny.PREFIX + extra] = torch.zeros(2)
    error = refused(tiny.write(tmp_path, {**tiny.OPTIONS, **changes}, weights))
    assert "extra" in error.what
    assert extra in str(error.found)


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    weights = tiny.tensors(tiny.network())
    name = "transformer.h.0.mlp.c_fc.weight"
    weights[tiny.PREFIX + name] = torch.zeros(24, 16)
    error = refused(tiny.write(tmp_path, weights=weights))
    assert name in error.what
    assert "[24, 20]" in str(error.expected)
    assert "[24, 16]" in str(error.found)
    error = refused(tiny.write(tmp_path, {**tiny.OPTIONS, "d_mlp": 30}))
    assert "more tensors" in str(error.expected)


def test_a_second_matrix_for_a_tied_head_is_refused(tmp_path: Path) -> None:
    weights = tiny.tensors(tiny.network(**PLAIN))
    embedding = weights[f"{tiny.PREFIX}transformer.wte.weight"]
    weights[f"{tiny.PREFIX}lm_head.weight"] = embedding.clone()
    options = {**tiny.OPTIONS, **PLAIN}
    assert read(tiny.write(tmp_path / "equal", options, weights)).config.tied_unembed
    weights[f"{tiny.PREFIX}lm_head.weight"] = embedding + 1
    error = refused(tiny.write(tmp_path / "other", options, weights))
    assert "tied_unembed" in str(error.expected)
