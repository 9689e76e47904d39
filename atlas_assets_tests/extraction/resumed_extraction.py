"""Run as a script: a pass that is killed in the middle of its work, in small parts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from atlas_assets.extraction import plain_pass, tree_pass
from atlas_assets.extraction.shards import ShardStore
from atlas_assets_tests.extraction import tiny_models

#: of the network, by the way that is gone
CALLS_BEFORE_THE_KILL = {"plain": 12, "tree": 12, "published": 4}
UNITS = {f"unit {n}": [f"x{n} = {'y' * i}" for i in range(8)] for n in range(6)}
#: shards of few prompts, and legs of two chunks after each of which the sums are written
SMALL_PARTS = (
    (plain_pass, "SHARD_PROMPTS", 8),
    (tree_pass, "CHUNKS_PER_LEG", 2),
    (tree_pass, "NOTE_SECONDS", -1.0),
)


def run(
    model: Any,
    folder: Path | None,
    way: str,
    units: Mapping[str, Sequence[str]] = UNITS,
    batch_tokens: int = 8,
) -> tuple[str, ...]:
    """Digests of what the plain pass, the tree's or that of the published readout gives."""
    shards = ShardStore(folder, tiny_models.FINGERPRINT)
    options = {"shards": shards, "batch_tokens": batch_tokens}
    if way == "published":
        return (tiny_models.extracted(model, units, readout=way, **options).digest(),)
    found = tiny_models.read(model, units, path=way, **options)
    return found.activations.digest(), *(str(found.losses[name].tolist()) for name in units)


def main(folder: Path, way: str) -> None:
    """Extract into ``folder`` and die in the middle of a part."""
    torch.set_num_threads(1)
    for module, name, value in SMALL_PARTS:
        setattr(module, name, value)
    model = tiny_models.sparse_circuitgpt()
    calls: list[int] = []

    def kill_in_the_middle(_module: Any, _inputs: Any) -> None:
        calls.append(1)
        if len(calls) > CALLS_BEFORE_THE_KILL[way]:
            os.kill(os.getpid(), signal.SIGKILL)

    model.mlps[0].register_forward_pre_hook(kill_in_the_middle)
    run(model, folder, way)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
