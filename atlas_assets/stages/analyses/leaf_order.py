"""Optimal leaf order of a dendrogram: neighbouring leaves as similar as the tree permits.

A tree of n leaves permits 2^(n-1) orders, for each node's two branches can be swapped. The optimal
one has the smallest sum of distances between neighbouring leaves; dynamic programming finds it
(Bar-Joseph et al. 2001, Bioinformatics 17, suppl. 1, S22). SciPy's ``optimal_ordering=True`` often
returns an order that is not optimal (scipy/scipy#11227), which a figure that claims it cannot use.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atlas_assets.stages.rounding import Reals

Order = npt.NDArray[np.intp]


def optimal_order(merges: Reals, distances: Reals) -> Order:
    """Return the order of leaves with the smallest sum of distances between neighbours.

    Args:
        merges: A linkage matrix as SciPy's, float64 ``[n - 1, 4]``, n ≥ 2.
        distances: The leaves' distances, float64 ``[n, n]``, symmetric, finite.

    Returns:
        The leaves from first to last, intp ``[n]``. Of an order and its reverse, the one that
        begins with the smaller leaf.
    """
    n = len(distances)
    children = merges[:, :2].astype(np.intp).tolist()
    # of each node: its leaves, and the cheapest order of them from one given leaf to another
    leaves: list[Order] = [np.array([leaf]) for leaf in range(n)]
    cheapest: list[Reals] = [np.zeros((1, 1)) for _ in range(n)]
    for left, right in children:
        across = _min_plus(cheapest[left], distances[np.ix_(leaves[left], leaves[right])])
        across = _min_plus(across, cheapest[right])
        # an order of a node begins in one of its branches and ends in the other
        n_left, n_right = across.shape
        whole = np.full((n_left + n_right, n_left + n_right), np.inf)
        whole[:n_left, n_left:], whole[n_left:, :n_left] = across, across.T
        leaves.append(np.concatenate([leaves[left], leaves[right]]))
        cheapest.append(whole)
    order = _trace(children, leaves, cheapest, distances)
    return order if order[0] < order[-1] else order[::-1].copy()


def oriented(merges: Reals, order: Order) -> Reals:
    """Return the same tree with the branches of each node in the order of its leaves.

    ``scipy.cluster.hierarchy.leaves_list`` gives ``order``, which the tree permits, for the result.
    """
    turned = merges.copy()
    position = np.empty(len(order) + len(merges))
    position[order] = np.arange(len(order))
    for node, row in enumerate(turned, start=len(order)):
        left, right = row[:2].astype(np.intp)
        if position[left] > position[right]:
            row[:2] = right, left
        position[node] = min(position[left], position[right])
    return turned


def _min_plus(left: Reals, right: Reals) -> Reals:
    """Multiply two matrices with + in place of × and min in place of +."""
    return np.stack([(row[:, np.newaxis] + right).min(axis=0) for row in left])


def _trace(
    children: list[list[int]], leaves: list[Order], cheapest: list[Reals], distances: Reals
) -> Order:
    """Follow the cheapest order from the root down to the leaves."""
    n, root = len(distances), len(leaves) - 1
    ends = np.unravel_index(int(cheapest[root].argmin()), cheapest[root].shape)
    open_nodes = [(root, int(ends[0]), int(ends[1]))]
    order: list[int] = []
    while open_nodes:
        node, first, last = open_nodes.pop()
        if node < n:
            order.append(node)
            continue
        left, right = children[node - n]
        n_left = len(leaves[left])
        if first >= n_left:
            left, right = right, left
            first, last = first - n_left, last + len(leaves[left])
        last -= len(leaves[left])
        seam = distances[np.ix_(leaves[left], leaves[right])]
        costs = cheapest[left][first][:, np.newaxis] + seam + cheapest[right][:, last]
        inner = np.unravel_index(int(costs.argmin()), costs.shape)
        # the last one pushed is the next one opened
        open_nodes += [(right, int(inner[1]), last), (left, first, int(inner[0]))]
    return np.array(order, dtype=np.intp)
