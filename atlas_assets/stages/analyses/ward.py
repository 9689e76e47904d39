"""Ward's clustering by nearest-neighbour chains (Müllner 2011, arXiv:1109.2378), and its cuts.

The merges are those of ``scipy.cluster.hierarchy.linkage(…, "ward")``, number by number; importing
that takes longer than all else that `atlas claims` reads and computes from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atlas_assets.stages.rounding import Reals


def linkage(distances: Reals) -> Reals:
    """Return the merges of Ward's clustering, the lowest first.

    Args:
        distances: float64 ``[n, n]``, symmetric, finite, n ≥ 2.

    Returns:
        A linkage matrix as SciPy's, float64 ``[n - 1, 4]``: two nodes, the smaller first, Ward
        distance, leaves. Leaves are nodes 0 to n - 1, the merge in row r is node n + r.
    """
    n, between = len(distances), distances.copy()
    np.fill_diagonal(between, np.inf)
    sizes = np.ones(n)
    merges = np.empty((n - 1, 4))
    chain: list[int] = []
    for row in range(n - 1):
        if not chain:
            chain.append(int(np.flatnonzero(sizes)[0]))
        while True:
            x = chain[-1]
            nearest = int(between[x].argmin())
            # of equally near ones the link before, or the chain would go round in circles
            if len(chain) > 1 and between[x, chain[-2]] <= between[x, nearest]:
                break
            chain.append(nearest)
        x, y = sorted((chain.pop(), chain.pop()))
        height, size = between[x, y], sizes[x] + sizes[y]
        merges[row, :3] = x, y, height
        others = np.flatnonzero(sizes)
        others = others[(others != x) & (others != y)]
        weight = sizes[others]
        share = 1.0 / (size + weight)
        to_x, to_y = between[others, x], between[others, y]
        squares = (weight + sizes[x]) * share * to_x * to_x
        squares += (weight + sizes[y]) * share * to_y * to_y
        squares -= weight * share * height * height
        between[others, y] = between[y, others] = np.sqrt(squares)
        between[x] = between[:, x] = np.inf
        sizes[x], sizes[y] = 0, size
    return _numbered(merges[merges[:, 2].argsort(kind="stable")])


def cut(merges: Reals, k: int) -> npt.NDArray[np.intp]:
    """Return a label for each leaf, intp ``[n]``: equal for those that a cut into ``k`` joins.

    There are fewer than ``k`` clusters where equally high merges permit no cut into exactly ``k``.
    """
    n = len(merges) + 1
    label = np.arange(n)
    if k < n:
        lowest = merges[:, 2] <= merges[n - 1 - k, 2]
        members = [np.array([leaf]) for leaf in range(n)]
        for (x, y), joined in zip(merges[:, :2].astype(np.intp), lowest, strict=True):
            members.append(np.concatenate([members[x], members[y]]))
            if joined:
                label[members[-1]] = label[members[x][0]]
    return label


def _numbered(merges: Reals) -> Reals:
    """Name the nodes of sorted merges, each given by a leaf, by their rows, and count leaves.

    Where rounding has put a merge below one of its branches, it joins others than it was made of.
    """
    n = len(merges) + 1
    parent = list(range(2 * n - 1))
    leaves = [1] * n
    for node, merge in enumerate(merges, start=n):
        roots = []
        for leaf in merge[:2].astype(np.intp).tolist():
            root = leaf
            while parent[root] != root:
                root = parent[root]
            roots.append(root)
            parent[root] = node
        leaves.append(leaves[roots[0]] + leaves[roots[1]])
        merge[:2], merge[3] = sorted(roots), leaves[-1]
    return merges
