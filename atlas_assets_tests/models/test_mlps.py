from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from atlas_assets.errors import ModelError
from atlas_assets.models.mlps import find_mlps, readout_width

WIDTH = 4


class Scaled(nn.Module):
    """An MLP stand-in whose output a test may bend."""

    def __init__(self, bend: Callable[[Tensor], object] = lambda x: x) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bend = bend

    def forward(self, x: Tensor) -> object:
        return self.bend(x * self.weight)


class Net(nn.Module):
    """Runs one MLP after the other; each block is a module dict."""

    def __init__(self, *blocks: dict[str, nn.Module], **lists: list[dict[str, nn.Module]]) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.layers = nn.ModuleList(nn.ModuleDict(block) for block in blocks)
        for name, others in lists.items():
            self.add_module(name, nn.ModuleDict({"h": nn.ModuleList(map(nn.ModuleDict, others))}))

    def forward(self, input_ids: Tensor) -> object:
        x: object = torch.zeros(*input_ids.shape, WIDTH)
        for block in self.model.layers:
            x = next(iter(block.values()))(torch.zeros(*input_ids.shape, WIDTH))
        return x


@pytest.mark.parametrize("name", ["mlp", "feed_forward", "ffn", "block_sparse_moe"])
def test_found_in_order_by_name(name: str) -> None:
    net = Net(*({name: Scaled(), "attn": Scaled()} for _ in range(12)))
    mlps = find_mlps(net)
    assert [id(mlp) for mlp in mlps] == [id(block[name]) for block in net.model.layers]
    assert readout_width(net, mlps) == WIDTH


def test_none_found_lists_what_was_looked_for_and_what_is_there() -> None:
    with pytest.raises(ModelError) as caught:
        find_mlps(Net({"dense": Scaled(), "attn": Scaled()}))
    assert "mlp" in str(caught.value.expected)
    assert "model.layers.0.attn, model.layers.0.dense" in str(caught.value.found)
    with pytest.raises(ModelError, match="the blocks hold nothing"):
        find_mlps(nn.Linear(2, 2))


def test_several_families_are_listed() -> None:
    net = Net({"mlp": Scaled()}, vision=[{"mlp": Scaled()}])
    with pytest.raises(ModelError, match=re.escape("model.layers.*.mlp, vision.h.*.mlp")):
        find_mlps(net)


def test_a_layer_without_an_mlp_is_refused() -> None:
    with pytest.raises(ModelError, match="layers 0, 2"):
        find_mlps(Net({"mlp": Scaled()}, {"attn": Scaled()}, {"mlp": Scaled()}))


@pytest.mark.parametrize(
    ("bend", "found"),
    [
        (lambda x: (x, None), "tuple"),
        (lambda x: x.flatten(0, 1), re.escape("[2, 4]")),
    ],
)
def test_an_output_that_is_no_readout_is_refused(
    bend: Callable[[Tensor], object], found: str
) -> None:
    net = Net({"mlp": Scaled()}, {"mlp": Scaled(bend)})
    with pytest.raises(ModelError, match=found) as caught:
        readout_width(net, find_mlps(net))
    assert "layer 1" in caught.value.what


def test_layers_of_different_width_are_refused() -> None:
    net = Net({"mlp": Scaled()}, {"mlp": Scaled(lambda x: x[..., :2])})
    with pytest.raises(ModelError, match="differ in width"):
        readout_width(net, find_mlps(net))


def test_an_mlp_that_does_not_run_is_refused_and_no_hook_stays() -> None:
    net = Net({"mlp": Scaled()})
    mlps = (*find_mlps(net), Scaled())
    with pytest.raises(ModelError, match="0 calls"):
        readout_width(net, mlps)
    assert not any(mlp._forward_hooks for mlp in mlps)
