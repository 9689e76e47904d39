"""How cost grows with prompts and width, beside what the machine's arithmetic and memory allow.

Two limits for each run: the time that its multiplications with weights that are not zero would take
at the rate of this machine's dense matrix product, and the time that moving every layer's inputs
and outputs once to and from memory would take at the rate of a plain copy.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from atlas_assets.extraction.prompts import UnitPrompts
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import load, resolve
from benchmarks.extraction import checkpoint, nodes_share, object_grid, prefix_tree, tree_pass
from benchmarks.measure import Findings, Measurement, Table, seconds
from benchmarks.sweep import compute
from benchmarks.synthetic import N_LAYERS, N_PAIRS, activations, pair_names

WIDTHS = (128, 256, 512)
#: of the prompts, one pair in so many
PAIRS_IN = (16, 8, 4)
#: of the wide models' work, one chunk in so many
CHUNKS_IN = 60
FLOAT = 4


@dataclass(frozen=True)
class Machine:
    """Multiply-adds and bytes per second."""

    products: float
    bandwidth: float


def measure() -> Findings:
    """The machine's limits, and tables for extraction and sweep."""
    machine = Machine(_products(), _bandwidth())
    tables = [_by_prompts(machine), _by_width(machine), _sweep(machine)]
    return Findings(
        [
            Measurement("dense matrix product, float32", 2e-9 * machine.products, "GFLOP/s"),
            Measurement("copying memory, bytes read and written", 1e-9 * machine.bandwidth, "GB/s"),
        ],
        tables,
    )


def _by_prompts(machine: Machine) -> Table:
    model = load(resolve("embedded", None))
    whole = object_grid(model)
    tree_pass(model, prefix_tree(whole), 10 * CHUNKS_IN)  # compiles, fills caches
    rows = []
    for times, part in enumerate(PAIRS_IN):
        prompts = _part(whole, part)
        nodes = prefix_tree(prompts).n_nodes
        spent = _spent(lambda p=prompts: tree_pass(model, prefix_tree(p), 1))  # type: ignore[misc]
        positions = sum(int(prompts.table.lengths[r].max()) * len(r) for r in prompts.rows)
        rows.append((f"× {2**times}", positions, nodes, spent, *_limits(model, nodes, machine)))
    return Table(
        "Extraction with the embedded model, prompts of one pair in "
        f"{PAIRS_IN[0]}, {PAIRS_IN[1]} and {PAIRS_IN[2]}",
        ("prompts", "padded positions", "distinct prefixes", "time (s)", *_LIMITS),
        tuple(rows),
    )


def _by_width(machine: Machine) -> Table:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for times, width in enumerate(WIDTHS):
            folder = checkpoint(Path(name) / str(width), d_model=width)
            model = load(resolve(str(folder), None))
            tree = prefix_tree(object_grid(model))
            tree_pass(model, tree, 10 * CHUNKS_IN)  # compiles, fills caches
            spent = _spent(lambda m=model, t=tree: tree_pass(m, t, CHUNKS_IN))  # type: ignore[misc]
            nodes = round(tree.n_nodes * nodes_share(tree, CHUNKS_IN))
            limits = _limits(model, nodes, machine)
            rows.append((f"× {2**times} ({width})", nodes, spent, *limits, model.kernels))
    return Table(
        f"Extraction, 8 layers, 99% of the weights zero, one chunk in {CHUNKS_IN} of the full grid",
        ("width", "distinct prefixes", "time (s)", *_LIMITS, "layout"),
        tuple(rows),
    )


def _sweep(machine: Machine) -> Table:
    rows = []
    names = pair_names()
    for pairs, width in (
        (N_PAIRS // 4, 2048),
        (N_PAIRS // 2, 2048),
        (N_PAIRS, 512),
        (N_PAIRS, 1024),
        (N_PAIRS, 2048),
    ):
        objects = activations(names[:pairs], seed=0, width=width)
        checkers = activations(_concepts(names[:pairs]), seed=1, width=width)
        spent = seconds(lambda o=objects, c=checkers: compute(o, c))  # type: ignore[misc]
        values = pairs * N_LAYERS * width
        # sums once per ε, counts once; nine masks written, and read by the intersections
        moved = values * (3 * FLOAT + FLOAT + 9 * 2)
        rows.append((pairs, width, spent, moved / machine.bandwidth))
    columns = ("pairs", "width", "time (s)", "bytes (s)")
    return Table("Nine settings and all tables, computing alone", columns, tuple(rows))


_LIMITS = ("operations (s)", "bytes (s)")


def _limits(model: LoadedModel, nodes: int, machine: Machine) -> tuple[float, float]:
    """Least seconds for the products with weights, and for moving their inputs and outputs."""
    products, moved = 0, 0
    for module in model.network.modules():
        weight = getattr(module, "weight", None)
        rows, columns = (getattr(module, name, 0) for name in ("out_features", "in_features"))
        if rows and columns:
            values = getattr(module, "values", weight)
            products += 0 if values is None else int(torch.count_nonzero(values))
            moved += (rows + columns) * FLOAT
    return nodes * products / machine.products, nodes * moved / machine.bandwidth


def _part(whole: UnitPrompts, part: int) -> UnitPrompts:
    return UnitPrompts(whole.names[::part], whole.table, whole.rows[::part])


def _concepts(pairs: list[str]) -> list[str]:
    from atlas_assets.stages.concepts import concept_name, split_pair
    from atlas_assets.stages.prompts.checker_prompts import keyword_of
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    present = {concept_name("ast", split_pair(pair)[0]) for pair in pairs}
    present |= {concept_name("builtin", split_pair(pair)[1]) for pair in pairs}
    return sorted(present & set(keyword_of(load_stimuli())))


def _products() -> float:
    """Multiply-adds per second of a dense product, the best of several."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    return size**3 / min(_spent(lambda: left @ right) for _ in range(7))


def _bandwidth() -> float:
    """Bytes read and written per second by copying an array larger than the caches."""
    source = np.ones(1 << 26, dtype=np.float32)
    target = np.empty_like(source)
    copy = min(_spent(lambda: np.copyto(target, source)) for _ in range(7))
    return 2 * source.nbytes / copy


def _spent(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
