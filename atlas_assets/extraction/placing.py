"""Arrays from the host to the network's device, without waiting for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch


def placed(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """``array`` as a tensor of its dtype on ``device``.

    For a GPU it goes through pinned memory, so that the copy is queued behind the work under way
    and the host goes on. On a CPU the memory is shared.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
