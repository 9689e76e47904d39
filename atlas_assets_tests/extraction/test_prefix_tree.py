"""The tree of prefixes: every prefix once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import TokenTable

Sequences = list[list[int]]

#: few tokens, so that much is shared; chains longer than a block; large ids
SEQUENCES = st.lists(
    st.one_of(
        st.lists(st.integers(0, 2), min_size=1, max_size=8),
        st.lists(st.sampled_from([7, 300, 70000]), min_size=1, max_size=4),
        st.integers(1, 90).map(lambda length: [1] * length),
    ),
    min_size=1,
    max_size=40,
)


def table_of(sequences: Sequences) -> TokenTable:
    lengths = [len(ids) for ids in sequences]
    tokens = np.asarray([token for ids in sequences for token in ids], dtype=np.int32)
    return TokenTable(tokens, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def prefix(chunk: TreeChunk, node: int) -> list[int]:
    """The tokens from the root to a node, following parents."""
    ids: list[int] = []
    while node >= 0:
        ids.append(int(chunk.tokens[node]))
        node = int(chunk.parents[node])
    return ids[::-1]


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(1, 120))
def test_chunks_hold_every_sequence_once_and_every_prefix(sequences: Sequences, limit: int) -> None:
    tree, places = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    assert len(tree) == len({tuple(ids) for ids in sequences})
    assert tree.n_nodes == len({tuple(ids[: n + 1]) for ids in sequences for n in range(len(ids))})

    found: dict[int, list[int]] = {}
    for chunk in (tree.chunk(*cut) for cut in tree.cuts(limit)):
        nodes = [tuple(prefix(chunk, node)) for node in range(len(chunk))]
        assert len(set(nodes)) == len(nodes)
        assert nodes == sorted(nodes)
        assert [len(ids) - 1 for ids in nodes] == chunk.depths.tolist()
        assert len(chunk) <= limit or len(chunk.sequences) == 1
        for sequence, end in zip(chunk.sequences, chunk.ends, strict=True):
            assert sequence not in found
            found[int(sequence)] = list(nodes[end])
    assert [found[place] for place in places.tolist()] == sequences
