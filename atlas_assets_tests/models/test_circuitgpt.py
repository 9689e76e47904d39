from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from atlas_assets.errors import ModelError
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
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
            torch.testing.assert_close(logits[row, :length], alone_logits[0], rtol=0, atol=1e-5)
            for layer, readout in enumerate(found):
                torch.testing.assert_close(
                    readout[row, :length], alone[layer][0], rtol=0, atol=1e-5
                )


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
    terms = [
        -logs[b, t, ids[b, t + 1]] for b, t in [*((0, t) for t in range(5)), (1, 0), (1, 1), (1, 2)]
    ]
    assert found.loss.item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


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
