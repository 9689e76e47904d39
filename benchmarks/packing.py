"""The smallest matrix that runs packed: what the floor costs or saves narrow networks.

The same chunks of the tree run with each floor in turns, on one thread, in processor time; of
several rounds the fastest counts, since whatever else the machine does only makes a round slower.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from unittest import mock

import torch

from atlas_assets.models import acceleration
from atlas_assets.models.loading import load, resolve
from benchmarks.extraction import checkpoint, object_grid, prefix_tree, tree_pass
from benchmarks.measure import Findings, Table

WIDTHS = (128, 256)
DENSITIES = (0.01, 0.05, 0.1)
#: least entries of a packed matrix; the last is the rule's
FLOORS = (2**18, acceleration.LEAST_ENTRIES)
#: of the tree, one chunk in so many
CHUNKS_IN = 180
ROUNDS = 5


def measure() -> Findings:
    """Processor time of the tree pass with each floor, for every width and density."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [_compared(width, density) for width in WIDTHS for density in DENSITIES]
    finally:
        torch.set_num_threads(before)
    floors = (f"2^{floor.bit_length() - 1} (s)" for floor in FLOORS)
    title = f"Tree pass by the least entries of a packed matrix, one chunk in {CHUNKS_IN}"
    return Findings(
        [], [Table(title, ("width", "density", *floors, "ratio", "layout"), tuple(rows))]
    )


def _compared(width: int, density: float) -> tuple[str | float, ...]:
    with tempfile.TemporaryDirectory() as folder:
        source = resolve(
            str(checkpoint(Path(folder) / "model", d_model=width, density=density)), None
        )
        models = []
        for floor in FLOORS:
            with mock.patch.object(acceleration, "LEAST_ENTRIES", floor):
                models.append(load(source))
    tree = prefix_tree(object_grid(models[0]))
    best = [float("inf")] * len(models)
    for round_ in range(ROUNDS + 1):
        for index, model in enumerate(models):
            started = time.process_time()
            tree_pass(model, tree, CHUNKS_IN)
            if round_:  # the first compiles and fills caches
                best[index] = min(best[index], time.process_time() - started)
    return (width, density, *best, best[0] / best[-1], models[-1].kernels)
