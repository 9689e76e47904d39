"""The tap on the MLP modules: what it reads, and that no hook stays."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch

from atlas_assets.extraction.readouts import ReadoutTap, tapped
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import UNITS, extracted


def test_hooks_are_gone_afterwards() -> None:
    model = tiny_models.toy()
    extracted(model, UNITS)
    with pytest.raises(RuntimeError, match="stop"), tapped(model):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in model.mlps)


def test_one_batch_of_readouts_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ReadoutTap.read
    alive: list[weakref.ref[torch.Tensor]] = []

    def watched(self: ReadoutTap, *args: Any) -> Any:
        assert not any(ref() is not None for ref in alive)
        readouts, output = read(self, *args)
        alive.append(weakref.ref(readouts))
        return readouts, output

    monkeypatch.setattr(ReadoutTap, "read", watched)
    extracted(tiny_models.toy(), {"a": [f"x{i}" for i in range(40)]}, batch_tokens=12)
    assert len(alive) > 5
