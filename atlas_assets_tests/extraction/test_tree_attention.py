"""Blocks of nodes that attend together: nobody sees but their ancestors."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.extraction.prefix_tree import PrefixTree
from atlas_assets.extraction.tree_attention import BLOCK_NODES, block_groups
from atlas_assets.models.circuitgpt_layers import KEY_MULTIPLE, QUERY_MULTIPLE
from atlas_assets_tests.extraction.test_prefix_tree import SEQUENCES, Sequences, table_of


@settings(max_examples=80, deadline=None)
@given(
    sequences=SEQUENCES,
    limit=st.integers(1, 200),
    most_scores=st.integers(1, 20000),
    sink=st.booleans(),
)
def test_a_node_sees_itself_and_its_ancestors_in_their_order_and_nothing_else(
    sequences: Sequences, limit: int, most_scores: int, sink: bool
) -> None:
    tree, _ = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    for chunk in (tree.chunk(*cut) for cut in tree.cuts(limit)):
        none = len(chunk)
        seen: dict[int, list[int]] = {}
        for group in block_groups(chunk, most_scores=most_scores, sink=sink):
            blocks, n_queries, n_keys = group.visible.shape
            assert group.queries.shape == (blocks, n_queries)
            assert group.keys.shape == (blocks, n_keys)
            assert n_queries % QUERY_MULTIPLE == n_keys % KEY_MULTIPLE == 0
            assert n_queries <= BLOCK_NODES
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
    chunk = tree.chunk(0, len(tree))
    groups = list(block_groups(chunk, most_scores=10**9, sink=True))
    assert len(groups) < 8
    paths = (chunk.depths + 1).sum()
    assert sum(group.visible.size for group in groups) < 1.6 * paths
