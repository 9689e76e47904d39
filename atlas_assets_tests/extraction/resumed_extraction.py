"""Run as a script: an extraction that is killed while its fifth batch runs.

Kept apart from the test so that the child process and the test share model and units.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from atlas_assets.extraction import plain_pass
from atlas_assets.extraction.shards import ShardStore
from atlas_assets_tests.extraction import tiny_models

SHARD_PROMPTS = 8
BATCHES_BEFORE_THE_KILL = 4
UNITS = {f"unit {n}": [f"x{n} = {'y' * i}" for i in range(8)] for n in range(6)}


def main(folder: Path) -> None:
    """Extract into ``folder`` and die in the middle of a shard."""
    torch.set_num_threads(1)
    plain_pass.SHARD_PROMPTS = SHARD_PROMPTS
    model = tiny_models.toy()

    def kill_in_the_middle(_module: Any, _inputs: Any) -> None:
        if len(model.base.batches) == BATCHES_BEFORE_THE_KILL:
            os.kill(os.getpid(), signal.SIGKILL)

    model.base.register_forward_pre_hook(kill_in_the_middle)
    shards = ShardStore(folder, tiny_models.FINGERPRINT)
    tiny_models.extracted(model, UNITS, batch_tokens=64, shards=shards)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
