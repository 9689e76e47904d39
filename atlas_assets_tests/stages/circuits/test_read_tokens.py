"""What read tokens tell of concepts against counts in loops; shuffled labels tell nothing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.circuits import read_tokens
from atlas_assets_tests.stages.circuits import planted, test_identification

PAIRS = planted.pair_masks(0)[0].names


def table(seed: int, *, shuffled: bool = False) -> pl.DataFrame:
    """Nine of ten prompts of a pair are read at its node's own token, others at any."""
    rng = np.random.default_rng(seed)
    rows = []
    for half in read_tokens.HALVES:
        nodes = [planted.NODES.index(pair.split("__")[0]) for pair in PAIRS]
        if shuffled and half == "discovery":
            nodes = rng.permutation(nodes).tolist()
        for pair, node in zip(PAIRS, nodes, strict=True):
            others = rng.integers(0, 8, 40)
            read = np.bincount(np.where(rng.random(40) < 0.9, node, others) * 3, minlength=30)
            rows += [("concept", half, pair, int(t), int(read[t])) for t in np.flatnonzero(read)]
    rows.append(("name", "test", PAIRS[0], 1, 40))
    return pl.DataFrame(rows, schema=read_tokens.SCHEMA.polars, orient="row").sort(
        read_tokens.SCHEMA.key
    )


def test_equals_ranks_of_shares_counted_in_loops() -> None:
    read = table(1)
    read_tokens.SCHEMA.check(read, where="read_tokens")
    found = read_tokens.token_baseline(read, "concept")
    shares = {
        half: [
            [
                sum(n for _, h, p, t, n in read.rows() if (h, p, t) == (half, pair, token)) / 40
                for token in range(30)
            ]
            for pair in PAIRS
        ]
        for half in read_tokens.HALVES
    }
    held_out = test_identification.centred(shares["test"])
    means = []
    for node in planted.NODES:
        own = [row for row, pair in zip(shares["discovery"], PAIRS, strict=True) if node in pair]
        means.append([sum(column) / len(own) for column in zip(*own, strict=True)])
    known = test_identification.centred(means)
    for number, node in enumerate(planted.NODES):
        firsts = []
        for row, pair in zip(held_out, PAIRS, strict=True):
            if pair.startswith(f"{node}__"):
                scores = [test_identification.cosine(row, each) for each in known]
                firsts.append(scores[number] == max(scores))
        assert found[f"ast__{node}"].top1 == pytest.approx(sum(firsts) / len(firsts))


def test_tokens_of_true_labels_identify_nodes_and_neither_builtins_nor_shuffled_labels() -> None:
    true, false = (
        read_tokens.token_baseline(table(2, shuffled=shuffled), "concept")
        for shuffled in (False, True)
    )
    assert np.mean([one.top1 for name, one in true.items() if name.startswith("ast")]) > 0.95
    assert np.mean([one.top1 for name, one in true.items() if "builtin" in name]) < 2.2 / 6
    assert np.mean([one.top1 for name, one in false.items() if name.startswith("ast")]) < 2.2 / 8
