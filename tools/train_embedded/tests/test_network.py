"""The training form computes what the product's network does, rounded, and has its gradients."""

from __future__ import annotations

import copy

import pytest
import torch

from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from tools.train_embedded.network import for_training
from tools.train_embedded.tests import samples
from tools.untrained import untrained


def loss_and_gradients(model: torch.nn.Module) -> tuple[float, dict[str, torch.Tensor]]:
    ids = torch.randint(0, samples.VOCABULARY, (3, 20), generator=torch.manual_seed(0))
    loss = model(ids, labels=ids).loss
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients


def test_gradients_are_those_of_the_products_network() -> None:
    """In float32 and without activation sparsity, whose choice rounding may change."""
    options = {**samples.recipe().options, "afrac": None}
    plain = untrained(CircuitGPTConfig(**options), 0, samples.recipe().start)
    fast, rounded = (
        for_training(copy.deepcopy(plain), products) for products in (torch.float32, torch.bfloat16)
    )
    expected, gradients = loss_and_gradients(plain)
    coarse, _ = loss_and_gradients(rounded)
    found, own = loss_and_gradients(fast)
    assert found == pytest.approx(expected, rel=1e-6)
    assert coarse == pytest.approx(expected, rel=1e-2)
    assert own.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-4, atol=1e-7, msg=name)
