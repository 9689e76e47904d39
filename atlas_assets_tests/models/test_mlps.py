from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from atlas_assets.errors import ModelError, SettingsError
from atlas_assets.models.mlps import find_mlps
from atlas_assets.models.readout_points import readout_points

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

    def __init__(self, *blocks: dict[str, nn.Module], other: bool = False) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.layers = nn.ModuleList(nn.ModuleDict(block) for block in blocks)
        if other:
            self.other = nn.ModuleDict({"h": nn.ModuleList([nn.ModuleDict({"mlp": Scaled()})])})

    def forward(self, input_ids: Tensor) -> object:
        x: object = torch.zeros(*input_ids.shape, WIDTH)
        for block in self.model.layers:
            x = next(iter(block.values()))(torch.zeros(*input_ids.shape, WIDTH))
        return x


def read(net: nn.Module, *patterns: str) -> tuple[tuple[nn.Module, ...], int]:
    return readout_points(net, net, find_mlps(net, patterns))


@pytest.mark.parametrize("name", ["mlp", "feed_forward", "ffn", "block_sparse_moe"])
def test_found_in_order_by_name(name: str) -> None:
    net = Net(*({name: Scaled(), "attn": Scaled()} for _ in range(12)))
    points, width = read(net)
    assert [id(point) for point in points] == [id(block[name]) for block in net.model.layers]
    assert width == WIDTH


@pytest.mark.parametrize("bend", [lambda x: (x, None), lambda x: x.flatten(0, 1)])
def test_a_tuple_and_flattened_rows_are_read(bend: Callable[[Tensor], object]) -> None:
    net = Net({"mlp": Scaled(bend)}, {"mlp": Scaled(bend)})
    points, width = read(net)
    seen: list[Tensor] = []
    for point in points:
        point.register_forward_hook(lambda _m, _i, output: seen.append(output))
    for shape in ((2, 5), (1, 3)):
        net(torch.zeros(shape, dtype=torch.int64))
    assert [tuple(each.shape) for each in seen] == [(2, 5, WIDTH)] * 2 + [(1, 3, WIDTH)] * 2
    assert width == WIDTH


def test_a_pattern_names_what_is_read() -> None:
    net = Net(*({"first": Scaled(), "mlp": Scaled(), "dense": Scaled()} for _ in range(3)))
    for pattern in ("model.layers.*.first", "first", "fir*"):
        points, _ = read(net, pattern)
        assert [id(point) for point in points] == [id(b["first"]) for b in net.model.layers]
    assert find_mlps(net, ("mlp", "dense"))[1] == ("model.layers.1.mlp", "model.layers.1.dense")
    for wrong in ("model.layers.1.first", "model", "layers.*.first"):
        with pytest.raises(SettingsError, match="ATLAS_MLP"):
            read(net, wrong)


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "none": (Net({"dense": Scaled(), "attn": Scaled()}), "layers.0.dense, model.layers.0.attn"),
    "no blocks": (nn.Linear(2, 2), "the blocks hold nothing"),
    "two families": (Net({"mlp": Scaled()}, other=True), "model.layers.*.mlp, other.h.*.mlp"),
    "not in each": (Net({"mlp": Scaled()}, {"attn": Scaled()}, {"mlp": Scaled()}), "none in 1"),
    "another part": (Net({"mlp": Scaled(), "branch": nn.Linear(2, 2)}), "branch besides mlp"),
    "a word": (Net({"mlp": Scaled()}, {"mlp": Scaled(lambda _x: "x")}), "str"),
    "transposed": (Net({"mlp": Scaled(lambda x: x.transpose(0, 1))}), "[3, 2, 4]"),
    "widths": (Net({"mlp": Scaled()}, {"mlp": Scaled(lambda x: x[..., :2])}), "differ in width"),
}


@pytest.mark.parametrize(("net", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_a_network_without_readouts_of_one_width_is_refused(net: nn.Module, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(net)
    assert told in str(caught.value)


def test_an_mlp_that_does_not_run_is_refused_and_no_hook_stays() -> None:
    net = Net({"other": Scaled(), "mlp": Scaled()})
    with pytest.raises(ModelError, match="0 calls"):
        read(net)
    assert not any(module._forward_hooks for module in net.modules())
