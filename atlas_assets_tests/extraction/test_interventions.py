"""Ablation and attribution against one prompt at a time, and a concept built into a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from atlas_assets.extraction import interventions
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress
from atlas_assets.stages.circuits import ablation, definitions, effects, samples
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.extraction import tiny_models

TEXTS = [
    "for x in y:\n    pass",
    "a = len(b)",
    "if a:\n    b = 1\nelse:\n    c = 2",
    "xy",
    "while 1: f()",
]
NOTHING = ShardStore(None, tiny_models.FINGERPRINT)


def alone(model: LoadedModel, text: str, gates: Any, means: Any) -> float:
    """The loss of one prompt without padding, its MLPs' outputs replaced one module at a time."""
    handles = []
    for layer, mlp in enumerate(model.points):
        gate, mean = torch.tensor(gates[layer]), torch.tensor(means[layer])

        def replaced(_m: Any, _i: Any, out: Any, gate: Any = gate, mean: Any = mean) -> Any:
            return (gate * out.double() + (1 - gate) * mean).float()

        handles.append(mlp.register_forward_hook(replaced))
    ids = torch.tensor([model.tokenizer.encode(text)])
    with torch.no_grad():
        logits = model.network(ids).logits[0].double()
    for handle in handles:
        handle.remove()
    chosen = logits.log_softmax(dim=-1)[:-1].gather(1, ids[0, 1:, None])
    return float(-chosen.mean())


def naive_means(model: LoadedModel, texts: Sequence[str]) -> Any:
    rows: list[list[Any]] = [[] for _ in model.points]
    handles = [
        mlp.register_forward_hook(lambda _m, _i, out, layer=layer: rows[layer].append(out[0]))
        for layer, mlp in enumerate(model.points)
    ]
    for text in texts:
        with torch.no_grad():
            model.network(torch.tensor([model.tokenizer.encode(text)]))
    for handle in handles:
        handle.remove()
    return np.stack([torch.cat(of_layer).double().mean(dim=0).numpy() for of_layer in rows])


def attributed(model: LoadedModel, texts: Sequence[str], weights: Any, averaged: int) -> Any:
    return interventions.attributions(
        model,
        texts,
        csr_array(weights),
        averaged,
        shards=NOTHING,
        progress=Progress("attributing"),
    )


@pytest.fixture(params=list(tiny_models.ARCHITECTURES))
def model(request: pytest.FixtureRequest) -> LoadedModel:
    built = tiny_models.ARCHITECTURES[request.param]()
    built.network.requires_grad_(False)
    return built


def test_means_are_over_all_tokens(model: LoadedModel) -> None:
    for averaged in (1, 3, 9):
        _, found = attributed(model, TEXTS, np.ones((1, len(TEXTS))), averaged)
        assert np.allclose(found, naive_means(model, TEXTS[:averaged]), atol=1e-6)


def test_ablation_equals_one_prompt_at_a_time(model: LoadedModel) -> None:
    rng = np.random.default_rng(0)
    gates = rng.random((3, model.n_layers, model.width)) < 0.5
    # none closed in the first layers, one layer after the other, and at last none at all
    gates = np.concatenate([gates, *[gates[:1]] * model.n_layers])
    for opened in range(1, model.n_layers + 1):
        gates[2 + opened, :opened] = True
    means = naive_means(model, TEXTS)
    every = range(len(gates))
    runs = np.array([(text, gate) for gate in every for text in range(len(TEXTS))])
    found = interventions.ablated_losses(
        model, TEXTS, gates, runs, means, shards=NOTHING, progress=Progress("ablating")
    )
    wanted = [alone(model, TEXTS[text], gates[gate].astype(float), means) for text, gate in runs]
    assert np.allclose(found, wanted, atol=2e-5)


def test_attribution_is_the_slope_of_the_loss_as_a_gate_closes(model: LoadedModel) -> None:
    means = naive_means(model, TEXTS)
    weights = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 1.0, 0]])
    found, _ = attributed(model, TEXTS, weights, len(TEXTS))
    assert found.shape == (2, model.n_layers, model.width)
    model.network.double()
    for group, texts in enumerate((TEXTS[:2], TEXTS[3:4])):
        for layer, neuron in [(0, 1), (1, 5), (model.n_layers - 1, 12)]:
            slopes = []
            for text in texts:
                losses = []
                for gate in (1 - 1e-4, 1 + 1e-4):
                    gates = np.ones((model.n_layers, model.width))
                    gates[layer, neuron] = gate
                    losses.append(alone(model, text, gates, means))
                slopes.append((losses[0] - losses[1]) / 2e-4)
            wanted = np.mean(slopes)
            assert found[group, layer, neuron] == pytest.approx(wanted, abs=2e-3, rel=0.02)


def test_a_killed_run_goes_on_from_its_shards(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(interventions, "ABLATED", 4)
    model = tiny_models.gpt2()
    means = naive_means(model, TEXTS)
    gates = np.random.default_rng(1).random((2, model.n_layers, model.width)) < 0.5
    runs = np.array([(text, gate) for gate in range(2) for text in range(len(TEXTS))])

    def run(told: list[str]) -> Any:
        shards = ShardStore(tmp_path, tiny_models.FINGERPRINT)
        progress = Progress("ablating", log=told.append)
        return interventions.ablated_losses(
            model, TEXTS, gates, runs, means, shards=shards, progress=progress
        )

    first = run([])
    kept = sorted(tmp_path.rglob("*.safetensors"))
    assert len(kept) == 3
    kept[1].unlink()
    told: list[str] = []
    assert (run(told) == first).all()
    assert "4" in told[-1]
    assert "6" in told[-1]


# A network with circuits built in. Letter c of A…F is followed by its answer, c in lower case; the
# one neuron that knows is number 2c of layer 1. At the last token, ";", neuron 1 of layer 0 fires.
LETTERS = "ABCDEF"
WIDTH = 32


class Planted(nn.Module):
    """One-hot embeddings; a readout of neuron 2c where the token is letter c."""

    def __init__(self) -> None:
        super().__init__()
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in range(2)
        )
        embedding = torch.zeros(tiny_models.VOCABULARY, WIDTH)
        head = torch.randn(tiny_models.VOCABULARY, WIDTH) * 0.01
        for number, letter in enumerate(LETTERS):
            embedding[ord(letter), 16 + number] = 1.0
            head[ord(letter.lower()), 2 * number] = 8.0
        embedding[ord(";"), 31] = 1.0
        self.embed, self.head = nn.Embedding.from_pretrained(embedding), nn.Parameter(head)
        for mlp in self.mlps:
            nn.init.zeros_(mlp[0].weight)
            nn.init.zeros_(mlp[0].bias)
        with torch.no_grad():
            self.mlps[0][0].weight[1, 31] = 1.0
            for number in range(len(LETTERS)):
                self.mlps[1][0].weight[2 * number, 16 + number] = 1.0

    def forward(self, ids: torch.Tensor) -> Any:
        x = self.embed(ids)
        for mlp in self.mlps:
            x = x + mlp(x)
        return SimpleNamespace(logits=x @ self.head.T)


def planted() -> LoadedModel:
    torch.manual_seed(0)
    network = Planted().requires_grad_(False)
    model = tiny_models.loaded(network, network, list(network.mlps))
    object.__setattr__(model, "width", WIDTH)
    return model


def prompts_of(letter: str, rng: np.random.Generator, n: int) -> list[str]:
    """Texts in which a letter is followed by its answer, among fillers, with ";" at the end."""
    texts = []
    while len(texts) < n:
        fill = ["".join(rng.choice(list("xyz"), 3)) for _ in range(3)]
        text = f"{letter}{letter.lower()}".join(fill) + ";"
        texts += [text] if text not in texts else []
    return texts


def judged(labels: dict[str, str]) -> tuple[dict[str, Masks], dict[str, effects.Effects]]:
    """Circuits of each definition, and what their ablation shows, under these labels of texts."""
    model = planted()
    names = tuple(f"ast__{letter}" for letter in LETTERS)
    texts = sorted(labels)
    number = np.array([LETTERS.index(labels[text]) for text in texts])
    half = np.arange(len(texts)) % 2
    weights = np.zeros((6, len(texts)))
    for letter in range(6):
        own = (number == letter) & (half == 0)
        weights[letter, own] = 1 / own.sum()
    slopes, means = attributed(model, texts, weights, len(texts))
    # what fires at the last token of every prompt
    common = np.zeros((6, 2, WIDTH), dtype=np.bool_)
    common[:, 0, 1] = True
    published = Masks(names, common)
    circuits = {
        "published": published,
        "contrastive": definitions.contrastive(slopes, published),
        "matched": definitions.matched(published, np.zeros(common.shape)),
    }
    test = np.flatnonzero(half == 1)
    test = test[np.argsort(number[test], kind="stable")]
    sample = samples.Sample(
        names,
        number[test],
        tuple(f"Node{row % 4}__name" for row in range(len(test))),
        test % 5,
        tuple(texts[row] for row in test),
    )
    shape = (1, 2, WIDTH)
    extremes = np.concatenate([np.ones(shape, np.bool_), np.zeros(shape, np.bool_)])
    every = np.array([(row, gate) for gate in range(2) for row in range(len(test))])
    found = {}
    for name, masks in circuits.items():
        extent = ablation.Extent(own=8, others=2, controls=1, kept=8, curve=4)
        planned = ablation.plan(masks, np.zeros(common.shape), sample, extent)
        gates = np.concatenate([planned.gates, extremes])
        runs = np.concatenate([planned.runs, every + np.array([0, len(planned.gates)])])
        losses = interventions.ablated_losses(
            model, sample.texts, gates, runs, means, shards=NOTHING, progress=Progress("ablating")
        )
        n = len(planned.runs)
        whole, none = losses[n:].reshape(2, -1)
        table = ablation.to_table(name, sample, planned, losses[:n], whole, none)
        ablation.SCHEMA.check(table, where="the table")
        found[name] = effects.effects(table, names, draws=99)
    return circuits, found


def test_planted_circuits_are_found_by_contrast_and_by_nothing_else() -> None:
    rng = np.random.default_rng(0)
    labels = {text: letter for letter in LETTERS for text in prompts_of(letter, rng, 20)}
    circuits, found = judged(labels)
    built = {(number, 1, 2 * number) for number in range(6)}
    assert {tuple(place) for place in np.argwhere(circuits["contrastive"].bits).tolist()} == built
    own = found["contrastive"]
    assert (own.specificity.values > 0.5).all()
    assert (own.over_matched.values > 0.5).all()
    # the circuit is all that lowers the loss of its prompts
    assert (own.faithfulness_own > 0.95).all()
    assert (own.faithfulness_other < 0.05).all()
    assert (own.cpr > 0.95).all()
    for name in ("published", "matched"):
        assert np.abs(found[name].specificity.values).max() < 0.05
        assert np.abs(found[name].over_matched.values).max() < 0.05


def test_with_shuffled_labels_contrast_finds_nothing_specific() -> None:
    rng = np.random.default_rng(0)
    labels = {text: letter for letter in LETTERS for text in prompts_of(letter, rng, 20)}
    shuffled = rng.permutation(list(labels.values())).tolist()
    _, found = judged(dict(zip(labels, shuffled, strict=True)))
    assert abs(found["contrastive"].specificity.values.mean()) < 0.15
