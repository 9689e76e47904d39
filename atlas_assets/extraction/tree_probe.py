"""Tries whether a network of transformers gives on a prefix tree what it gives prompts alone.

Networks that bias attention by distance in the row, look back over a number of places in the row,
or carry a state from token to token, do not, and say nothing of it.
"""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.losses import mean_losses, targets_of, tree_mean_losses
from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import TokenTable, UnitPrompts, table_of
from atlas_assets.extraction.readouts import ReadoutTap, tapped
from atlas_assets.extraction.tree_model import TreeModel, obstacle
from atlas_assets.models.loaded import LoadedModel

#: relative difference from which on a network is not run on the tree. In float32 networks that fit
#: stayed below 5e-7, and others were above 1e-2; in half precision rounding alone makes as much
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
#: prompts that are run alone
ALONE = 12
#: sequences of the probe that are a token of their own
ROOTS = 3

_INSTEAD = "prompts ran in padded batches, not on their prefix tree"

_log = logging.getLogger(__name__)
#: what was found out about a network, for chunks of so many nodes and prompts of so many tokens
_found: WeakKeyDictionary[LoadedModel, dict[tuple[int, int], str | None]] = WeakKeyDictionary()


def refusal(model: LoadedModel, prompts: UnitPrompts, nodes: int) -> str | None:
    """Return why a network is not run on the tree of some prompts; None where it is.

    Each network is tried once for each size, and a refusal goes to the log.

    Args:
        model: the network.
        prompts: what is to be run.
        nodes: the most nodes of a chunk.
    """
    lengths = prompts.table.lengths[prompts.distinct]
    longest = int(lengths.max())
    nodes = min(max(min(nodes, int(lengths.sum())), 2 * longest), model.max_positions)
    longest = min(longest, max(nodes // 2, 1))  # or there were no room for branches
    verdicts = _found.setdefault(model, {})
    if (nodes, longest) not in verdicts:
        found = _try(model, prompts.table, nodes, longest)
        verdicts[nodes, longest] = reason = found and f"{_INSTEAD}: {found}"
        if reason is not None:
            _log.info(reason)
    return verdicts[nodes, longest]


def _try(model: LoadedModel, table: TokenTable, nodes: int, longest: int) -> str | None:
    reason = obstacle(model)
    if reason is not None:
        return reason
    tree = _probe(np.unique(table.tokens), nodes, longest)
    chunk = tree.chunk(0, len(tree))
    some = np.linspace(0, len(tree) - 1, min(ALONE, len(tree))).astype(np.int64)
    some = np.union1d(some, [tree.lengths.argmax()])
    try:
        with tapped(model) as tap:
            apart = _apart(model, tap, tree, chunk, some)
    except Exception as error:  # what is raised at masks and positions it does not know is its own
        return f"it fails there with {type(error).__name__}: {error}"
    if not apart <= TOLERANCE[model.dtype]:  # NaN is not
        return f"what it gives there differs by {apart:.1g} from what prompts alone give"
    return None


def _probe(pool: npt.NDArray[np.int32], nodes: int, longest: int) -> PrefixTree:
    """Make a tree of random sequences: some roots, branches at any depth, unequal siblings.

    Nearly all nodes are below one root, so that most are as far from it in the row as can be.

    Args:
        pool: the tokens that occur.
        nodes: there are at most so many, and about so many.
        longest: the longest sequence has so many tokens.
    """
    random = np.random.default_rng(0)
    sequences = [random.choice(pool, longest)]
    roots = [random.choice(pool, 1) for _ in range(min(ROOTS, nodes - longest))]
    held = longest + len(roots)
    while longest > 1:
        trunk = sequences[random.integers(len(sequences))]
        shared = int(random.integers(1, min(len(trunk), longest - 1) + 1))
        new = int(random.integers(1, longest - shared + 1))
        held += new
        if held > nodes:
            break
        sequences.append(np.concatenate([trunk[:shared], random.choice(pool, new)]))
    table = table_of(sequences + roots)
    return PrefixTree.of(table, np.arange(len(table)))[0]


def _apart(
    model: LoadedModel,
    tap: ReadoutTap,
    tree: PrefixTree,
    chunk: TreeChunk,
    some: npt.NDArray[np.int64],
) -> float:
    """Return the largest relative difference of a layer's readouts, or of the losses."""
    readouts, losses = TreeModel(model, tap).run(chunk, chunk.ends[some], losses=True)
    assert losses is not None
    on_tree = torch.from_numpy(tree_mean_losses(chunk, losses.cpu().numpy())[some])
    alone = [_alone(model, tap, tree.table.sequence(int(tree.rows[row]))) for row in some]
    expected = torch.cat([readout for readout, _ in alone])
    expected_losses = torch.cat([loss for _, loss in alone]).cpu()
    # over prompts and neurons, by layer; a layer of zeros must stay one
    distance, size = (
        torch.linalg.vector_norm(part.double(), dim=(0, 2))
        for part in (readouts - expected, expected)
    )
    least = torch.finfo(torch.float64).tiny
    of_readouts = (distance / size.clamp(min=least)).cpu()
    of_losses = (on_tree - expected_losses).abs() / expected_losses.clamp(min=1)
    return torch.cat([of_readouts, of_losses]).max().item()  # NaN if any is


def _alone(
    model: LoadedModel, tap: ReadoutTap, sequence: npt.NDArray[np.int32]
) -> tuple[torch.Tensor, torch.Tensor]:
    ids = sequence.astype(np.int64)[None]
    last = torch.zeros(1, dtype=torch.int64, device=model.device)
    places = (last, last + len(sequence) - 1)
    readouts, output = tap.read(model.network, placed(ids, model.device), places)
    targets = placed(targets_of(ids, np.ones_like(ids, dtype=np.bool_)), model.device)
    with torch.inference_mode():
        return readouts, mean_losses(output.logits, targets)
