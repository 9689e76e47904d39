"""Which nodes of a prefix tree attend to which, in rectangular pieces.

A tile is a fixed number of consecutive nodes in preorder. Whatever one of them may see is either
an ancestor of the tile's first node (the tile's trunk) or in the tile itself: the keys of a tile
are its trunk and its nodes, and a mask says which of them each node descends from. Tiles whose
trunks are of similar length are worked on together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atlas_assets.science.batching import IntArray
from atlas_assets.science.prefix_tree import TreeChunk

#: nodes in a tile: fewer read their trunk more often, more multiply what their mask hides
TILE_NODES = 32
#: the longest trunk of a group exceeds the shortest by this share of its keys at most
TRUNK_SLACK = 0.125
#: numbers of keys are rounded up to a multiple, which fused attention wants for its mask
KEY_MULTIPLE = 8


@dataclass(frozen=True, eq=False)
class TileGroup:
    """Tiles that attend together.

    Attributes:
        tiles: int64 ``[tiles]``, their numbers in the chunk.
        keys: int64 ``[tiles, keys]``: node numbers; the number of nodes where there is none.
            The first column holds none: it is the place of an attention sink.
        visible: bool ``[tiles, nodes of a tile, keys]``; false in the first column.
    """

    tiles: IntArray
    keys: IntArray
    visible: npt.NDArray[np.bool_]


def tile_groups(chunk: TreeChunk, most_scores: int) -> Iterator[TileGroup]:
    """All tiles of a chunk, grouped.

    The last tile may be short; nodes beyond the chunk's last see nothing but themselves.

    Args:
        chunk: the nodes.
        most_scores: bound on tiles · nodes · keys of a group (a single tile may exceed it).
    """
    n_tiles = -(-len(chunk) // TILE_NODES)
    depths = np.zeros(n_tiles * TILE_NODES, dtype=np.int64)
    depths[: len(chunk)] = chunk.depths
    tiled = depths.reshape(n_tiles, TILE_NODES)
    trunks = tiled[:, 0]
    order = np.argsort(trunks, kind="stable")
    inside = _descends(tiled)
    for group in _groups(trunks[order], most_scores):
        tiles = order[group]
        yield _group(chunk, tiles, tiled[tiles], inside[tiles])


def _groups(trunks: IntArray, most_scores: int) -> Iterator[slice]:
    """Consecutive tiles of ascending ``trunks`` that are similar and few enough."""
    first = 0
    for tile in range(1, len(trunks) + 1):
        if tile < len(trunks):
            keys = _n_keys(int(trunks[tile]))
            similar = keys * (1 - TRUNK_SLACK) <= _n_keys(int(trunks[first])) + KEY_MULTIPLE
            if similar and (tile + 1 - first) * TILE_NODES * keys <= most_scores:
                continue
        yield slice(first, tile)
        first = tile


def _n_keys(trunk: int) -> int:
    """Keys of a tile: sink, trunk and its own nodes, rounded up."""
    return -(-(1 + trunk + TILE_NODES) // KEY_MULTIPLE) * KEY_MULTIPLE


def _group(
    chunk: TreeChunk, tiles: IntArray, depths: IntArray, inside: npt.NDArray[np.bool_]
) -> TileGroup:
    longest = int(depths[:, 0].max())
    n_keys, own = _n_keys(longest), 1 + longest
    keys = np.full((len(tiles), n_keys), len(chunk), dtype=np.int64)
    visible = np.zeros((len(tiles), TILE_NODES, n_keys), dtype=bool)
    first = tiles[:, None] * TILE_NODES
    levels = np.arange(longest)[None, :]
    in_trunk = levels < depths[:, :1]
    # a node's ancestors among the trunk: those above everything between the two
    reach = np.minimum.accumulate(depths, axis=1)[:, :, None]
    at, level = np.nonzero(in_trunk)
    keys[at, 1 + level] = chunk.before(first[at, 0], level)
    visible[:, :, 1:own] = levels[:, None, :] < reach
    keys[:, own : own + TILE_NODES] = np.minimum(first + np.arange(TILE_NODES), len(chunk))
    visible[:, :, own : own + TILE_NODES] = inside
    return TileGroup(tiles=tiles, keys=keys, visible=visible)


def _descends(depths: IntArray) -> npt.NDArray[np.bool_]:
    """Bool ``[tiles, nodes, nodes]``: whether a node (axis 1) is, or descends from, another.

    In preorder it does when everything after the other up to itself is deeper than the other.
    """
    tiles, nodes = depths.shape
    result = np.zeros((tiles, nodes, nodes), dtype=bool)
    for key in range(nodes):
        below = np.minimum.accumulate(depths[:, key + 1 :], axis=1) > depths[:, key, None]
        result[:, key, key] = True
        result[:, key + 1 :, key] = below
    return result
