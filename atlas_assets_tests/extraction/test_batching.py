"""Arrays put on a device."""

from __future__ import annotations

import numpy as np
import torch

from atlas_assets.extraction.batching import placed


def test_placing_on_a_cpu_shares_the_memory() -> None:
    array = np.arange(6).reshape(2, 3)
    assert placed(array, torch.device("cpu")).data_ptr() == array.ctypes.data
    assert placed(array.T, torch.device("cpu")).tolist() == array.T.tolist()
