"""The tree of all prefixes of a set of token sequences, cut into chunks of bounded size.

With causal attention what happens at a token depends on its prefix alone, so each distinct prefix
is one node that has to be computed once, however many sequences begin with it. In lexicographic
order a sequence shares its beginning with the one before it and adds the rest as new nodes; a run
of consecutive sequences is therefore a part of the tree in preorder. A chunk is such a run with
the few ancestors of its first sequence computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atlas_assets.extraction.prompts import IntArray, TokenTable


@dataclass(frozen=True, eq=False)
class TreeChunk:
    """Consecutive sequences as a tree: its nodes in preorder.

    Attributes:
        sequences: int64 ``[sequences]``, their numbers in the tree's order.
        starts: int64 ``[sequences + 1]``; sequence i adds the nodes from ``starts[i]`` up to, not
            including, ``starts[i + 1]``: at least one, each the child of the one before it. The
            last of them is its last token.
        tokens: int64 ``[nodes]``, the token that a node adds to its parent's prefix.
        depths: int64 ``[nodes]``, a node's place in its sequences, from 0.
        exact: int64 ``[nodes, 2]``, how many queries and keys there have to be where a node
            attends, 0 where it does not matter; None: it nowhere does.
    """

    sequences: IntArray
    starts: IntArray
    tokens: IntArray
    depths: IntArray
    exact: IntArray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def ends(self) -> IntArray:
        """The node of each sequence's last token, int64 ``[sequences]``."""
        return self.starts[1:] - 1

    def node_of(self, sequences: IntArray, depths: IntArray) -> IntArray:
        """Return the node at a depth of each of some sequences, numbered within the chunk."""
        return self.before(self.starts[sequences + 1], depths)

    @cached_property
    def parents(self) -> IntArray:
        """Each node's parent, int64 ``[nodes]``; -1 for a node without one."""
        parents = np.arange(-1, len(self) - 1)
        firsts = self.starts[:-1]
        parents[firsts] = self.before(firsts, self.depths[firsts] - 1)
        return parents

    @cached_property
    def inner(self) -> IntArray:
        """The nodes that have children, ascending, int64 ``[some nodes]``."""
        return np.unique(self.parents[self.parents >= 0])

    def before(self, nodes: IntArray, depths: IntArray) -> IntArray:
        """Return the last node at a depth that precedes each of ``nodes``; -1 for a depth of -1.

        In preorder it is the node's ancestor at that depth where the node is deeper.
        """
        places = np.searchsorted(self._by_depth, depths * len(self) + nodes) - 1
        found: IntArray = self._by_depth[np.maximum(places, 0)] % len(self)
        return np.where(depths < 0, -1, found)

    @cached_property
    def _by_depth(self) -> IntArray:
        """Depth and number of every node as one sortable number, ascending."""
        return np.sort(self.depths * len(self) + np.arange(len(self)))


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """Distinct sequences in lexicographic order.

    Attributes:
        table: what the sequences are rows of.
        rows: int64 ``[sequences]``, the row of each, all different and none empty.
        shared: int64 ``[sequences]``, tokens that each has in common with the one before it.
    """

    table: TokenTable
    rows: IntArray
    shared: IntArray

    @classmethod
    def of(cls, table: TokenTable, rows: IntArray) -> tuple[PrefixTree, IntArray]:
        """Build the tree of some rows of a table, none of an empty sequence.

        Rows of equal ids are one sequence of the tree. The result is the tree, and int64
        ``[len(rows)]``: the number of each row's sequence in it.
        """
        # big-endian ids compare as bytes just as they compare as numbers
        keys = [table.sequence(int(row)).astype(">i4").tobytes() for row in rows]
        _, first, places = np.unique(
            np.asarray(keys, dtype=object), return_index=True, return_inverse=True
        )
        chosen = rows[first]
        shared = np.zeros(len(chosen), dtype=np.int64)
        for place in range(1, len(chosen)):
            before, after = (table.sequence(int(chosen[at])) for at in (place - 1, place))
            shared[place] = _n_shared(before, after)
        return cls(table, chosen, shared), places

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> IntArray:
        """The number of tokens of each sequence, int64 ``[sequences]``."""
        return self.table.lengths[self.rows]

    @property
    def n_nodes(self) -> int:
        """The number of distinct prefixes."""
        return int((self.lengths - self.shared).sum())

    def cuts(self, limit: int) -> list[tuple[int, int]]:
        """Cut the tree into runs of consecutive sequences, of at most ``limit`` nodes each.

        A run is the number of its first sequence and one more than that of its last. A sequence
        that is longer than the limit gets a run of its own.
        """
        runs: list[tuple[int, int]] = []
        first = held = 0
        for place, (length, shared) in enumerate(zip(self.lengths, self.shared, strict=True)):
            new = int(length - shared)
            if place > first and held + new > limit:
                runs.append((first, place))
                first, held = place, 0
            held += new if place > first else int(length)
        if len(self):
            runs.append((first, len(self)))
        return runs

    def chunk(self, first: int, last: int) -> TreeChunk:
        """Return the sequences from ``first`` up to ``last`` as a tree of their own."""
        sequences = np.arange(first, last)
        shared = self.shared[first:last].copy()
        shared[0] = 0
        new = self.lengths[first:last] - shared
        starts = np.concatenate([[0], np.cumsum(new)])
        nodes = np.arange(starts[-1])
        depths = nodes + np.repeat(shared - starts[:-1], new)
        tokens = self.table.tokens[
            depths + np.repeat(self.table.offsets[self.rows[sequences]], new)
        ]
        return TreeChunk(sequences, starts, tokens.astype(np.int64), depths)


def _n_shared(one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> int:
    """Return how many tokens two sequences have in common at their beginnings."""
    common = min(len(one), len(other))
    differs = one[:common] != other[:common]
    return int(differs.argmax()) if differs.any() else common
