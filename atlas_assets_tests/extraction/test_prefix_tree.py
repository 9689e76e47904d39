"""The tree of prefixes and its blocks: every prefix once, and nobody sees but their ancestors."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import TokenTable
from atlas_assets.extraction.tree_attention import BLOCK_NODES, block_groups

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


@settings(max_examples=150, deadline=None)
@given(SEQUENCES, st.integers(1, 120))
def test_chunks_hold_every_sequence_once_and_every_prefix(sequences: Sequences, limit: int) -> None:
    tree, places = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    assert len(tree) == len({tuple(ids) for ids in sequences})
    assert tree.n_nodes == len({tuple(ids[: n + 1]) for ids in sequences for n in range(len(ids))})

    found: dict[int, list[int]] = {}
    for chunk in tree.chunks(limit):
        nodes = [tuple(prefix(chunk, node)) for node in range(len(chunk))]
        assert len(set(nodes)) == len(nodes)
        assert nodes == sorted(nodes)
        assert [len(ids) - 1 for ids in nodes] == chunk.depths.tolist()
        assert len(chunk) <= limit or len(chunk.sequences) == 1
        for sequence, end in zip(chunk.sequences, chunk.ends, strict=True):
            assert sequence not in found
            found[int(sequence)] = list(nodes[end])
    assert [found[place] for place in places.tolist()] == sequences


@settings(max_examples=150, deadline=None)
@given(
    sequences=SEQUENCES,
    limit=st.integers(1, 200),
    most_scores=st.integers(1, 20000),
    multiples=st.tuples(st.sampled_from([1, 8]), st.sampled_from([1, 16])),
    sink=st.booleans(),
)
def test_a_node_sees_itself_and_its_ancestors_in_their_order_and_nothing_else(
    sequences: Sequences, limit: int, most_scores: int, multiples: tuple[int, int], sink: bool
) -> None:
    tree, _ = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    for chunk in tree.chunks(limit):
        none = len(chunk)
        seen: dict[int, list[int]] = {}
        for group in block_groups(chunk, most_scores=most_scores, multiples=multiples, sink=sink):
            blocks, n_queries, n_keys = group.visible.shape
            assert group.queries.shape == (blocks, n_queries)
            assert group.keys.shape == (blocks, n_keys)
            assert n_queries % multiples[0] == n_keys % multiples[1] == 0
            assert n_queries <= BLOCK_NODES + multiples[0]
            assert blocks == 1 or group.visible.size <= most_scores
            for at, slot in np.ndindex(blocks, n_queries):
                node, visible = int(group.queries[at, slot]), group.visible[at, slot]
                if node == none:
                    assert not visible.any()
                    continue
                assert node not in seen
                # by depth, from the first column, or the second where a sink has the first
                (columns,) = np.nonzero(visible)
                assert columns.tolist() == [sink + depth for depth in range(len(columns))]
                seen[node] = group.keys[at][visible].tolist()
        for node in range(none):
            line = [node]
            while chunk.parents[line[0]] >= 0:
                line.insert(0, int(chunk.parents[line[0]]))
            assert seen[node] == line


def test_blocks_of_similar_size_attend_together() -> None:
    sequences = [[1] * 100 + [2 + i, *([1] * 20)] for i in range(200)]
    sequences += [[500 + i, 1, 2, 3] for i in range(800)]
    tree, _ = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    (chunk,) = tree.chunks(10**6)
    groups = list(block_groups(chunk, most_scores=10**9, multiples=(8, 16), sink=True))
    assert len(groups) < 8
    paths = (chunk.depths + 1).sum()
    assert sum(group.visible.size for group in groups) < 1.6 * paths


def test_only_the_rows_asked_for() -> None:
    table = table_of([[5, 6], [1], [5, 7], [9]])
    tree, places = PrefixTree.of(table, np.asarray([2, 0]))
    assert tree.rows.tolist() == [0, 2]
    assert tree.shared.tolist() == [0, 1]
    assert places.tolist() == [1, 0]
