"""Any model of transformers on the prefix tree, against its padded batches.

Untrained models of two common shapes read the object prompts of the whole grid: readouts at the
last token, and losses. The other way is what one writes with transformers alone: batches of 32, in
the order of their lengths, padded on the right, with a mask. Each way runs an even share of its
batches or chunks, the two in turns, in one process on one thread, and its processor time is scaled
to the grid by tokens. Memory is the peak of a fresh process that runs the same share one way.

The readout `published` of the embedded model is compared with its own batches, on some pairs.

``python -m benchmarks.tree SHAPE WAY`` is one such process.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from atlas_assets.extraction.extraction import NetworkPath, extract
from atlas_assets.extraction.losses import IGNORED, targets_of, tree_mean_losses
from atlas_assets.extraction.prefix_tree import PrefixTree
from atlas_assets.extraction.prompts import UnitPrompts
from atlas_assets.extraction.readouts import tapped
from atlas_assets.extraction.reduction import Reduction
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.tree_model import TreeModel, most_nodes
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import load, resolve
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.activations import units_of_object_prompts
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts.stimuli import load_stimuli
from benchmarks.extraction import object_grid
from benchmarks.measure import Findings, Measurement, own_peak_gb, run

ROOT = Path(__file__).resolve().parents[1]
BATCH = 32
#: one batch, and one chunk, in so many is run
BATCHES_IN, CHUNKS_IN = 800, 250
ROUNDS = 2
QWEN = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
#: name → model type and config
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2 0.5B, 2,048 ids": ("qwen2", {**QWEN, "vocab_size": 2048}),
    "Qwen2 0.5B, 151,936 ids": ("qwen2", {**QWEN, "vocab_size": 151_936}),
    "GPT-2 small, 50,257 ids": ("gpt2", {}),
}
#: the shapes whose logits are large beside their weights
LARGE = ("Qwen2 0.5B, 151,936 ids", "GPT-2 small, 50,257 ids")
#: whose pairs the readout `published` is measured on
PUBLISHED_NODES = ("Delete", "If", "Try")
PATHS: tuple[NetworkPath, ...] = ("tree", "plain")


@dataclass(frozen=True)
class Way:
    """A way to read the grid.

    Attributes:
        read: reads one part, a batch or a chunk.
        parts: those that are run.
        share: of the work on the whole grid.
    """

    read: Callable[[Any], None]
    parts: Sequence[Any]
    share: float

    def run(self) -> None:
        """Read all parts."""
        for part in self.parts:
            self.read(part)


def measure() -> Findings:
    """Prompts per second of processor time of every shape both ways, and peak memory."""
    speed = [row for shape in SHAPES for row in _speed(shape)]
    return Findings([*speed, *map(_memory, LARGE), _published()])


def _speed(shape: str) -> list[Measurement]:
    with _ways(shape) as (n_prompts, ways):
        for way in ways.values():  # fills caches
            way.read(way.parts[0])
        times = [[_spent(way.run) / way.share for way in ways.values()] for _ in range(ROUNDS)]
    batches, tree = (n_prompts / statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(one / other for one, other in times)
    note = f"1/{BATCHES_IN} of the batches, 1/{CHUNKS_IN} of the chunks, scaled"
    return [
        Measurement(f"the tree against padded batches, {shape}", ratio, "×", 3.5, True, note),
        Measurement(f"prompts per second of processor time, tree, {shape}", tree, ""),
        Measurement(f"prompts per second of processor time, batches, {shape}", batches, ""),
    ]


def _memory(shape: str) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.tree", shape]
    batches, tree = (
        float(json.loads(run([*command, way], cwd=ROOT).output.splitlines()[-1]))
        for way in ("batches", "tree")
    )
    what = f"peak memory of the tree / of padded batches, {shape}"
    return Measurement(what, tree / batches, "", 0.5, note=f"{tree:.1f} and {batches:.1f} GB")


def _published() -> Measurement:
    model = load(resolve("embedded", None))
    units = units_of_object_prompts(objects.generate(load_stimuli(), ast_nodes=PUBLISHED_NODES))
    found = {}

    def extracted(path: NetworkPath) -> None:
        found[path] = extract(
            model,
            units,
            readout="published",
            path=path,
            shards=ShardStore(None, "0" * 8),
            progress=Progress("published"),
        )

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tree, plain = (_spent(partial(extracted, path)) for path in PATHS)
    finally:
        torch.set_num_threads(threads)
    if found["tree"].digest() != found["plain"].digest():
        raise RuntimeError("the tree does not give the bits of the batches")
    what = "the readout published on the tree against its batches, embedded model"
    note = f"{len(units)} pairs, the same bits, processor time"
    return Measurement(what, plain / tree, "×", 2, True, note)


def _spent(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@contextmanager
def _ways(shape: str) -> Iterator[tuple[int, dict[str, Way]]]:
    """Both ways of reading the grid with a model of a shape, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _model(shape) as model:
            prompts = object_grid(model)
            n_prompts = int(prompts.n_prompts.sum())
            yield n_prompts, {"batches": _batches(model, prompts), "tree": _tree(model, prompts)}
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _model(shape: str) -> Iterator[LoadedModel]:
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    from atlas_assets.models.in_memory import in_memory

    model_type, options = SHAPES[shape]
    torch.manual_seed(0)
    network: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.for_model(model_type, **options)
    )
    tokens = resolve("embedded", None).folder / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokens))  # type: ignore[no-untyped-call]
    tokenizer.pad_token = END_OF_TEXT
    with in_memory(network.eval().requires_grad_(False), tokenizer) as model:
        yield model


def _batches(model: LoadedModel, prompts: UnitPrompts) -> Way:
    table, rows = prompts.table, np.concatenate(prompts.rows)
    rows = rows[np.argsort(table.lengths[rows], kind="stable")]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    positions = [len(batch) * int(table.lengths[batch].max()) for batch in batches]

    def read(batch: np.ndarray) -> None:
        lengths = table.lengths[batch]
        ids = np.full((len(batch), lengths.max()), model.tokenizer.pad_id)
        for slot, row in enumerate(batch):
            ids[slot, : lengths[slot]] = table.sequence(int(row))
        real = np.arange(ids.shape[1]) < lengths[:, None]
        slots, last = torch.arange(len(batch)), torch.from_numpy(lengths - 1)
        kept: list[torch.Tensor] = []
        handles = [
            point.register_forward_hook(lambda _m, _i, output: kept.append(output[slots, last]))
            for point in model.points
        ]
        mask = torch.from_numpy(real.astype(np.int64))
        with torch.inference_mode():
            logits = model.network(torch.from_numpy(ids), attention_mask=mask).logits
            targets = torch.from_numpy(targets_of(ids, real))
            losses = cross_entropy(
                logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED
            )
            losses.view(targets.shape).sum(dim=1) / (targets != IGNORED).sum(dim=1)
            torch.stack(kept, dim=1).abs().double().sum(dim=0)
        for handle in handles:
            handle.remove()

    share = sum(positions[BATCHES_IN // 2 :: BATCHES_IN]) / sum(positions)

    return Way(read, batches[BATCHES_IN // 2 :: BATCHES_IN], share)


def _tree(model: LoadedModel, prompts: UnitPrompts) -> Way:
    tree, _ = PrefixTree.of(prompts.table, prompts.distinct)
    cuts = tree.cuts(most_nodes(model))
    chosen = cuts[CHUNKS_IN // 2 :: CHUNKS_IN]
    reduction = Reduction(model, 1, len(tree))

    def read(cut: tuple[int, int]) -> None:
        chunk = tree.chunk(*cut)
        with tapped(model) as tap:
            readouts, losses = TreeModel(model, tap).run(chunk, losses=True)
        assert losses is not None
        weights = np.ones((1, len(chunk.sequences)))
        reduction.add(readouts, weights, np.zeros(1, np.int64), chunk.sequences)
        tree_mean_losses(chunk, losses.numpy())

    new = tree.lengths - tree.shared
    share = sum(int(new[first:last].sum()) for first, last in chosen) / tree.n_nodes
    return Way(read, chosen, share)


if __name__ == "__main__":
    with _ways(sys.argv[1]) as (_, found):
        found[sys.argv[2]].run()
    sys.stdout.write(json.dumps(own_peak_gb()) + "\n")
