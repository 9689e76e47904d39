"""Sites of a block: readouts are those that hooks give on prompts alone, on every path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.nn.functional import cross_entropy

from atlas_assets.errors import ModelError
from atlas_assets.extraction import interventions
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models import circuitgpt_layers
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import mlps_of
from atlas_assets.models.sites import Site, points_at
from atlas_assets.progress import Progress
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import LAYERS, POSITIONS, VOCABULARY, WIDTH, read
from tools import families

SITES: tuple[Site, ...] = (
    "mlp_out",
    "mlp_contribution",
    "mlp_neurons",
    "attn_out",
    "resid_post",
)
UNITS = {"u": ["while x:\n    pass", "len", "while len(x) > 3:\n    x"], "v": ["for x in list(y):"]}
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def of_transformers(kind: str, **options: Any) -> LoadedModel:
    """A small random network of one of transformers' classes, with blocks that matter."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(5)
    config = AutoConfig.for_model(kind, **{**SIZES, **options})
    network = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.4)
    return tiny_models.loaded(network, network.base_model, [b.mlp for b in blocks_of(network)])


def blocks_of(network: Any) -> Any:
    base = getattr(network.base_model, "transformer", network.base_model)
    return base.layers if hasattr(base, "layers") else base.h


def at(model: LoadedModel, site: Site) -> LoadedModel:
    points, width = points_at(model.network, model.base, mlps_of(model.network), site)
    return dataclasses.replace(model, points=points, width=width)


def first(found: Any) -> Any:
    return found[0] if isinstance(found, tuple) else found


def alone(model: LoadedModel, ids: list[int], names: Mapping[str, str], factor: float) -> Any:
    """Every site's readouts of a prompt's last token, and its loss, by hooks on one run of it."""
    found: dict[str, list[Any]] = {site: [] for site in SITES}

    def note(site: str, times: float = 1.0) -> Callable[..., None]:
        return lambda _m, _i, output: found[site].append(
            first(output).reshape(-1, first(output).shape[-1]).clone().numpy() * times
        )

    handles = []
    for block in blocks_of(model.network):
        part = {what: block.get_submodule(where) for what, where in names.items()}
        handles += [
            part["mlp"].register_forward_hook(note("mlp_out")),
            part.get("added", part["mlp"]).register_forward_hook(note("mlp_contribution", factor)),
            part["down"].register_forward_pre_hook(
                lambda module, given: note("mlp_neurons")(module, (), given)
            ),
            part["attention"].register_forward_hook(note("attn_out")),
            block.register_forward_hook(note("resid_post")),
        ]
    with torch.no_grad():
        logits = model.network(torch.tensor([ids])).logits[0]
    for handle in handles:
        handle.remove()
    # a module may have been called for some tokens at a time
    rows = {site: np.concatenate(of).reshape(LAYERS, len(ids), -1) for site, of in found.items()}
    loss = float(cross_entropy(logits[:-1].double(), torch.tensor(ids[1:])))
    return {site: of[:, -1] for site, of in rows.items()}, loss


def require_as_hooks_say(
    model: LoadedModel, names: Mapping[str, str], *paths: str, factor: float = 1.0
) -> None:
    encode = model.tokenizer.encode
    by_hooks = {u: [alone(model, encode(t), names, factor) for t in UNITS[u]] for u in UNITS}
    for site in SITES:
        sited = at(model, site)
        for path in paths:
            found = read(sited, UNITS, path=path, batch_tokens=70)
            for unit, name in enumerate(UNITS):
                readouts = np.abs([of_site[site] for of_site, _ in by_hooks[name]])
                assert found.activations.width == readouts.shape[2]
                sums, counts = readouts.sum(axis=0, dtype=np.float64), (readouts > 0).sum(axis=0)
                np.testing.assert_allclose(
                    found.activations.sums[unit], sums, rtol=1e-5, atol=1e-5 * sums.max()
                )
                np.testing.assert_array_equal(found.activations.counts[unit], counts)
                losses = [loss for _, loss in by_hooks[name]]
                np.testing.assert_allclose(found.losses[name], losses, atol=1e-6)


LLAMA_LIKE = {"attention": "self_attn", "mlp": "mlp", "down": "mlp.down_proj"}
AFTER_NORM = {**LLAMA_LIKE, "added": "post_feedforward_layernorm"}
IN_GPT2 = {"attention": "attn", "mlp": "mlp", "down": "mlp.c_proj"}


def test_llama_and_gpt2_are_read_as_hooks_read_them() -> None:
    require_as_hooks_say(of_transformers("llama"), LLAMA_LIKE, "tree", "plain")
    gpt2 = of_transformers("gpt2", n_embd=WIDTH, n_layer=LAYERS, n_head=2, n_positions=96)
    require_as_hooks_say(gpt2, IN_GPT2, "tree")


def test_what_is_normed_or_scaled_before_it_is_added_is_read_as_added() -> None:
    gemma = of_transformers("gemma2", head_dim=8)
    require_as_hooks_say(gemma, AFTER_NORM, "tree", "plain")
    out, added = (read(at(gemma, site), UNITS).activations.sums for site in SITES[:2])
    assert np.abs(out - added).max() > 0.1
    granite = of_transformers("granite", residual_multiplier=0.22)
    require_as_hooks_say(granite, LLAMA_LIKE, "tree", factor=0.22)


def test_attention_and_mlp_side_by_side_are_read_as_hooks_read_them() -> None:
    names = {"attention": "attention", "mlp": "mlp", "down": "mlp.dense_4h_to_h"}
    require_as_hooks_say(of_transformers("gpt_neox"), names, "tree")


def test_an_attention_that_adds_the_stream_itself_is_read_without_it() -> None:
    bloom = of_transformers("bloom", n_layer=LAYERS, n_head=2)
    names = {
        "attention": "self_attention.dense",
        "mlp": "mlp.dense_4h_to_h",
        "down": "mlp.dense_4h_to_h",
    }
    require_as_hooks_say(bloom, names, "plain")


@pytest.mark.parametrize("name", ["circuitgpt", "sparse circuitgpt"])
def test_circuitgpt_is_read_as_hooks_read_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the MLP may take some tokens at a time
    monkeypatch.setattr(circuitgpt_layers, "CACHED_NEURONS", 64)
    monkeypatch.setattr(circuitgpt_layers, "DENSE_TOKENS", 1)
    require_as_hooks_say(tiny_models.ARCHITECTURES[name](), IN_GPT2, "tree", "plain")


def ablated_alone(model: LoadedModel, watch: Callable[[Any, Any], Any], gates: Any) -> float:
    """The loss of a prompt with gates closed by hooks that ``watch`` puts on each block."""
    blocks = blocks_of(model.network)
    handles = [
        watch(b, partial(torch.mul, torch.tensor(g))) for b, g in zip(blocks, gates, strict=True)
    ]
    ids = torch.tensor([model.tokenizer.encode(UNITS["u"][2])])
    with torch.no_grad():
        logits = model.network(ids).logits[0].double()
    for handle in handles:
        handle.remove()
    return float(cross_entropy(logits[:-1], ids[0, 1:]))


def hook_on(name: str) -> Callable[[Any, Any], Any]:
    def changed(output: Any, held: Any) -> Any:
        return (held(output[0]), *output[1:]) if isinstance(output, tuple) else held(output)

    return lambda block, held: block.get_submodule(name).register_forward_hook(
        lambda _m, _i, output: changed(output, held)
    )


def input_hook_on(name: str) -> Callable[[Any, Any], Any]:
    return lambda block, held: block.get_submodule(name).register_forward_pre_hook(
        lambda _m, given: (held(given[0]),)
    )


CASES: list[tuple[Any, Site, Any]] = [
    (lambda: of_transformers("llama"), "mlp_neurons", input_hook_on("mlp.down_proj")),
    (lambda: of_transformers("llama"), "attn_out", hook_on("self_attn")),
    (
        lambda: of_transformers("granite", residual_multiplier=0.22),
        "mlp_contribution",
        hook_on("mlp"),  # zeros are zeros before the factor too
    ),
    (tiny_models.gpt2, "resid_post", hook_on("")),
    (tiny_models.sparse_circuitgpt, "mlp_neurons", input_hook_on("mlp.c_proj")),
    (tiny_models.sparse_circuitgpt, "attn_out", hook_on("attn")),
]


@pytest.mark.parametrize(("made", "site", "watch"), CASES)
def test_ablation_holds_back_what_is_read(made: Any, site: Site, watch: Any) -> None:
    model = made()
    sited = at(model, site)
    gates = np.random.default_rng(0).random((1, LAYERS, sited.width)) < 0.5
    found = interventions.ablated_losses(
        sited,
        [UNITS["u"][2]],
        gates,
        np.zeros((1, 2), np.int64),
        np.zeros(gates.shape[1:]),
        shards=ShardStore(None, tiny_models.FINGERPRINT),
        progress=Progress("ablating"),
    )
    wanted = ablated_alone(model, watch, gates[0].astype(np.float32))
    whole = ablated_alone(model, watch, np.ones_like(gates[0], np.float32))
    assert found[0] == pytest.approx(wanted, abs=2e-6)
    assert abs(wanted - whole) > 2e-5


@pytest.mark.parametrize(("made", "site", "watch"), CASES)
def test_attribution_is_the_slope_along_gates_on_what_is_read(
    made: Any, site: Site, watch: Any
) -> None:
    model, text = made(), UNITS["u"][2]
    sited = at(model, site)
    found, means = interventions.attributions(
        sited,
        [text],
        csr_array([[1.0]]),
        1,
        shards=ShardStore(None, tiny_models.FINGERPRINT),
        progress=Progress("attributing"),
    )
    gates = torch.ones(found[0].shape, requires_grad=True)
    # contributions are read after the factor, and hooked before it
    centres = torch.tensor(means).float() / (0.22 if site == "mlp_contribution" else 1)

    def held(gate: Any, mean: Any, output: Any) -> Any:
        return mean + gate * (output - mean)

    handles = [
        watch(block, partial(held, gate, mean))
        for block, gate, mean in zip(blocks_of(model.network), gates, centres, strict=True)
    ]
    ids = torch.tensor([model.tokenizer.encode(text)])
    logits = model.network(ids).logits[0]
    (slopes,) = torch.autograd.grad(cross_entropy(logits[:-1], ids[0, 1:]), gates)
    for handle in handles:
        handle.remove()
    assert np.abs(found).max() > 1e-3
    np.testing.assert_allclose(found[0], -slopes.numpy(), rtol=1e-3, atol=1e-5)


def stream_after_blocks(model_type: str) -> None:
    """The site `resid_post` is what the network itself calls its hidden states."""
    network = families.build(model_type)
    points, _ = points_at(network, network.base_model, mlps_of(network), "resid_post")
    seen: list[Any] = []
    for point in points:
        point.register_forward_hook(lambda _m, _i, output: seen.append(first(output).clone()))
    with torch.no_grad():
        told = network(torch.arange(5, 12)[None], output_hidden_states=True, use_cache=False)
    # the embeddings come first but in RWKV; what a norm follows is shown after it
    after = told.hidden_states[model_type != "rwkv" :]
    assert len(seen) == network.config.get_text_config().num_hidden_layers
    for found, wanted in zip(seen[:-1], after, strict=False):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_the_stream_is_that_of_the_networks_own_hidden_states() -> None:
    for model_type in ("rwkv", "gpt_neox", "qwen3_next"):
        stream_after_blocks(model_type)


def test_sites_that_cannot_be_told_are_refused() -> None:
    experts = of_transformers("qwen2_moe", moe_intermediate_size=8, num_experts=4)
    with pytest.raises(ModelError, match="an MLP whose last matrix, called once") as caught:
        at(experts, "mlp_neurons")
    assert "choose another ATLAS_SITE" in str(caught.value)
    assert len(str(caught.value)) < 600
    at(experts, "mlp_contribution")
    for kind, site in (("gemma3n_text", "mlp_contribution"), ("reformer", "resid_post")):
        network = families.build(kind)
        with pytest.raises(ModelError, match=r"one residual stream|0 calls"):
            points_at(network, network.base_model, mlps_of(network), site)
    llama = of_transformers("llama")
    for block in blocks_of(llama.network):
        block.register_forward_hook(lambda _m, _i, output: output + 1)
    with pytest.raises(ModelError, match="adds attention and MLP to the stream"):
        at(llama, "mlp_contribution")
