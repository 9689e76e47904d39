"""Units are cut into consecutive slices, whatever a block may hold."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.stages import blocks


@pytest.mark.parametrize(
    ("block_bytes", "units", "expected"),
    [(1, 3, [1, 1, 1]), (48, 5, [2, 2, 1]), (1000, 5, [5]), (1000, 0, [])],
)
def test_slices_follow_each_other(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int, units: int, expected: list[int]
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    values = np.arange(units * 6, dtype=np.float32).reshape(units, 2, 3)
    found = [values[some] for some in blocks.slices_of(values)]
    assert [len(block) for block in found] == expected
    assert np.array_equal(np.concatenate([*found, values[:0]]), values)
