from __future__ import annotations

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

    def __init__(self, *blocks: dict[str, nn.Module], vision: bool = False) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.layers = nn.ModuleList(nn.ModuleDict(block) for block in blocks)
        if vision:
            self.vision = nn.ModuleDict({"h": nn.ModuleList([nn.ModuleDict({"mlp": Scaled()})])})

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


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "none": (Net({"dense": Scaled(), "attn": Scaled()}), "layers.0.attn, model.layers.0.dense"),
    "no blocks": (nn.Linear(2, 2), "the blocks hold nothing"),
    "two families": (Net({"mlp": Scaled()}, vision=True), "model.layers.*.mlp, vision.h.*.mlp"),
    "not in each": (Net({"mlp": Scaled()}, {"attn": Scaled()}, {"mlp": Scaled()}), "layers 0, 2"),
    "a tuple": (Net({"mlp": Scaled()}, {"mlp": Scaled(lambda x: (x, None))}), "tuple"),
    "flat": (Net({"mlp": Scaled()}, {"mlp": Scaled(lambda x: x.flatten(0, 1))}), "[2, 4]"),
    "widths": (Net({"mlp": Scaled()}, {"mlp": Scaled(lambda x: x[..., :2])}), "differ in width"),
}


@pytest.mark.parametrize(("net", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_a_network_without_readouts_of_one_width_is_refused(net: nn.Module, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        readout_width(net, find_mlps(net))
    assert told in str(caught.value)


def test_an_mlp_that_does_not_run_is_refused_and_no_hook_stays() -> None:
    net = Net({"mlp": Scaled()})
    mlps = (*find_mlps(net), Scaled())
    with pytest.raises(ModelError, match="0 calls"):
        readout_width(net, mlps)
    assert not any(mlp._forward_hooks for mlp in mlps)
