"""The tree of prefixes and its tiles: every prefix once, and nobody sees but their ancestors."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.science.batching import TokenTable
from atlas_assets.science.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.science.tree_tiles import KEY_MULTIPLE, TILE_NODES, tile_groups

Sequences = list[list[int]]

#: few tokens, so that much is shared; chains longer than a tile; large ids
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
@given(SEQUENCES, st.integers(1, 200), st.integers(1, 20000))
def test_a_node_sees_itself_and_its_ancestors_and_nothing_else(
    sequences: Sequences, limit: int, most_scores: int
) -> None:
    tree, _ = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    for chunk in tree.chunks(limit):
        seen: dict[int, list[int]] = {}
        for group in tile_groups(chunk, most_scores):
            tiles, n_keys = group.keys.shape
            assert group.visible.shape == (tiles, TILE_NODES, n_keys)
            assert n_keys % KEY_MULTIPLE == 0
            assert tiles == 1 or group.visible.size <= most_scores
            assert not group.visible[:, :, 0].any()
            assert (group.keys[:, 0] == len(chunk)).all()
            for at, tile in enumerate(group.tiles.tolist()):
                for slot in range(TILE_NODES):
                    visible = group.keys[at][group.visible[at, slot]]
                    node = tile * TILE_NODES + slot
                    if node < len(chunk):
                        assert node not in seen
                        seen[node] = sorted(visible.tolist())
                    else:
                        assert visible.tolist() == [len(chunk)]
        for node in range(len(chunk)):
            line = [node]
            while chunk.parents[line[-1]] >= 0:
                line.append(int(chunk.parents[line[-1]]))
            assert seen[node] == sorted(line)


def test_tiles_of_similar_trunks_attend_together() -> None:
    sequences = [[1] * 100 + [2 + i, *([1] * 20)] for i in range(200)]
    sequences += [[500 + i, 1, 2, 3] for i in range(800)]
    tree, _ = PrefixTree.of(table_of(sequences), np.arange(len(sequences)))
    (chunk,) = tree.chunks(10**6)
    groups = list(tile_groups(chunk, 10**9))
    assert len(groups) < 12
    scores = sum(group.visible.size for group in groups)
    n_tiles = -(-len(chunk) // TILE_NODES)
    trunks = chunk.depths[np.arange(n_tiles) * TILE_NODES]
    assert scores < 1.3 * TILE_NODES * (1 + trunks + TILE_NODES).sum()


def test_only_the_rows_asked_for() -> None:
    table = table_of([[5, 6], [1], [5, 7], [9]])
    tree, places = PrefixTree.of(table, np.asarray([2, 0]))
    assert tree.rows.tolist() == [0, 2]
    assert tree.shared.tolist() == [0, 1]
    assert places.tolist() == [1, 0]
