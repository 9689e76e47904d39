"""Reading the object prompts: on the tree of prefixes against plain padded batches of one pair.

Both ways give readouts at the last token and losses. The plain way runs every pair as one batch,
padded and with its repetitions, on dense weights, and selects activations by ``torch.topk``; how
it would do with this project's selection is stated beside it. Each is measured on an even share of
its work and scaled to the whole grid by tokens; the runs alternate, so that all see the same
machine.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

from atlas_assets.extraction.batching import padded
from atlas_assets.extraction.extraction import CPU_BATCH_TOKENS
from atlas_assets.extraction.losses import mean_losses, targets_of, tree_mean_losses
from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import UnitPrompts, unit_prompts
from atlas_assets.extraction.readouts import ReadoutTap, tapped
from atlas_assets.extraction.reduction import Reduction
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.extraction.workers import in_order
from atlas_assets.models import circuitgpt_layers
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import load, resolve
from atlas_assets.stages.activations.activations import units_of_object_prompts
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts.stimuli import load_stimuli
from benchmarks.measure import Findings, Measurement, seconds
from tools.untrained import Scales, untrained

#: share of the grid's zero weights in the released models
DENSITY = 0.01
REPEATS = 3
#: what both ways run of a small and of a wide model: one part in so many
SMALL_PART, WIDE_PART = 60, 100
#: of the tree so many times more: a share of few chunks would leave a core idle at its end
TREE_TIMES = 5
#: before they are timed, a share so many times smaller
WARM_UP = 10


@dataclass(frozen=True)
class Compared:
    """Seconds of wall time for the whole grid, scaled from the share that ran; medians.

    Attributes:
        plain: padded batches of one pair, activations selected by ``torch.topk``.
        own_topk: the same with this project's selection.
        tree: the tree of prefixes.
    """

    plain: float
    own_topk: float
    tree: float


def measure() -> Findings:
    """The embedded model, and an untrained one of d_model 512 with 99% zeros."""
    with tempfile.TemporaryDirectory() as folder:
        wide = checkpoint(Path(folder) / "wide", d_model=512)
        rows = [
            *_rows("embedded model", "embedded", SMALL_PART, bar=6),
            *_rows("d_model 512, 99% zeros", str(wide), WIDE_PART, bar=20),
        ]
    return Findings(rows)


def _rows(what: str, model: str, part: int, *, bar: float) -> list[Measurement]:
    source = resolve(model, None)
    fast = load(source)
    found = compare(load(source, sparse_weights=False), fast, part)
    note = f"1/{part} of the grid, 1/{part // TREE_TIMES} of the tree, scaled; {fast.kernels}"
    ratio = found.plain / found.tree
    return [
        Measurement(f"extraction on the tree, {what}", ratio, "×", bar, at_least=True, note=note),
        Measurement(
            f"against plain batches with this project's selection, {what}",
            found.own_topk / found.tree,
            "×",
            note=note,
        ),
        Measurement(f"whole grid on the tree, {what}", found.tree, "s", note=note),
        Measurement(f"whole grid in plain batches, {what}", found.plain, "s", note=note),
    ]


def compare(plain: LoadedModel, fast: LoadedModel, part: int, repeats: int = REPEATS) -> Compared:
    """Time all ways in turns.

    Args:
        plain: with dense weights.
        fast: the same model as an atlas runs it.
        part: every so-many-th pair is run, and `TREE_TIMES` as much of the tree.
        repeats: measurements, of which the median counts.
    """
    prompts = object_grid(plain)
    # the tree of the whole grid is there before its first chunk runs, so its time is not scaled
    planned = seconds(lambda: prefix_tree(prompts), repeats=repeats)
    whole = prefix_tree(prompts)

    def by_torch(part: int) -> None:
        with selection_of_torch():
            plain_pass(plain, prompts, part)

    ways: tuple[tuple[Callable[[int], None], float, float], ...] = (
        (by_torch, positions_share(prompts, part), 0.0),
        (lambda part: plain_pass(plain, prompts, part), positions_share(prompts, part), 0.0),
        (
            lambda part: tree_pass(fast, whole, part // TREE_TIMES),
            nodes_share(whole, part // TREE_TIMES),
            planned,
        ),
    )
    for run, _, _ in ways:  # compiles, fills caches
        run(WARM_UP * part)
    times = [
        [once + _spent(run, part) / share for run, share, once in ways] for _ in range(repeats)
    ]
    return Compared(*(statistics.median(one) for one in zip(*times, strict=True)))


@contextmanager
def selection_of_torch() -> Iterator[None]:
    """Activation sparsity as one writes it without further thought."""

    def by_topk(x: torch.Tensor, k: int, out: torch.Tensor | None = None) -> torch.Tensor:
        places = torch.topk(x.abs(), k, dim=-1, sorted=False).indices
        kept = torch.zeros_like(x).scatter_(-1, places, x.gather(-1, places))
        return kept if out is None else out.copy_(kept)

    with mock.patch.object(circuitgpt_layers, "abs_topk", by_topk):
        yield


def _spent(run: Callable[[int], None], part: int) -> float:
    started = time.perf_counter()
    run(part)
    return time.perf_counter() - started


def object_grid(model: LoadedModel) -> UnitPrompts:
    """All object candidates, by pair."""
    units = units_of_object_prompts(objects.generate(load_stimuli()))
    return unit_prompts(model.tokenizer, units, max_positions=model.max_positions)


def positions_share(prompts: UnitPrompts, part: int) -> float:
    """The share of the grid's padded positions that every ``part``-th pair has."""
    positions = [int(prompts.table.lengths[rows].max()) * len(rows) for rows in prompts.rows]
    return sum(positions[::part]) / sum(positions)


def plain_pass(model: LoadedModel, prompts: UnitPrompts, part: int) -> None:
    """Every ``part``-th pair as a padded batch."""
    reduction = Reduction(model, len(prompts.names), len(prompts.names))
    with tapped(model) as tap:
        for unit in range(0, len(prompts.names), part):
            readouts = _pair(model, tap, prompts, unit)
            weights = np.ones((1, len(readouts)))
            runs = np.full(len(readouts), unit)
            reduction.add(readouts, weights, np.asarray([unit]), runs)
    reduction.finish()


def _pair(model: LoadedModel, tap: ReadoutTap, prompts: UnitPrompts, unit: int) -> torch.Tensor:
    rows = prompts.rows[unit]
    lengths = prompts.table.lengths[rows]
    ids = padded(prompts.table, rows, model.tokenizer.pad_id, side="right")
    real = np.arange(ids.shape[1]) < lengths[:, None]
    batch, last, mask = (torch.from_numpy(a) for a in (ids, lengths - 1, real.astype(np.int64)))
    readouts, output = tap.read(model.network, batch, (torch.arange(len(last)), last), mask)
    mean_losses(output.logits, torch.from_numpy(targets_of(ids, real)))
    return readouts


def prefix_tree(prompts: UnitPrompts) -> PrefixTree:
    """The tree of all prompts."""
    return PrefixTree.of(prompts.table, prompts.distinct)[0]


def nodes_share(whole: PrefixTree, part: int) -> float:
    """The share of the tree's nodes that every ``part``-th chunk has."""
    new = whole.lengths - whole.shared
    run = sum(int(new[first:last].sum()) for first, last in whole.cuts(CPU_BATCH_TOKENS)[::part])
    return run / whole.n_nodes


def tree_pass(model: LoadedModel, whole: PrefixTree, part: int) -> None:
    """Every ``part``-th chunk of the tree."""
    network: Any = model.network
    reduction = Reduction(model, 1, len(whole))

    def run(cut: tuple[int, int]) -> tuple[TreeChunk, torch.Tensor, Any]:
        chunk = whole.chunk(*cut)
        return chunk, *runner.run(chunk, losses=True)

    def take(_cut: tuple[int, int], result: tuple[TreeChunk, torch.Tensor, Any]) -> None:
        chunk, readouts, losses = result
        weights = np.ones((1, len(chunk.sequences)))
        reduction.add(readouts, weights, np.zeros(1, np.int64), chunk.sequences)
        tree_mean_losses(chunk, losses.numpy())

    with tapped(model) as tap:
        runner = TreeNetwork(network, tap)
        in_order(whole.cuts(CPU_BATCH_TOKENS)[::part], run, take, device=model.device)


def checkpoint(folder: Path, *, d_model: int, n_layer: int = 8, density: float = DENSITY) -> Path:
    """An untrained checkpoint with the options and the vocabulary of the embedded one."""
    embedded = resolve("embedded", None).folder
    options: dict[str, Any] = json.loads((embedded / "config.json").read_text())
    options |= {
        "d_model": d_model,
        "n_layer": n_layer,
        "n_head": d_model // 16,
        "d_head": 16,
        "d_mlp": 4 * d_model,
        "d_pos_emb": 32,
    }
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded / name, folder / name)
    (folder / "config.json").write_text(json.dumps(options))
    kept = {key: value for key, value in options.items() if key in asdict(CircuitGPTConfig())}
    network = untrained(CircuitGPTConfig(**kept), 0, Scales(density=density))
    save_file(
        {k: v.contiguous() for k, v in network.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder
