"""The further analyses, as slowly and plainly as they can be written.

Circuits are ``{unit: [set of neurons, one per layer]}`` as in ``atlas_naive``, with which this
shares nothing else; similarities are exact fractions. It shares no code with the package.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from fractions import Fraction

Circuits = dict[str, list[set[int]]]
#: the values of one row, in the order of the published columns
Row = tuple[object, ...]


def jaccard(a: set[int], b: set[int]) -> Fraction:
    return Fraction(len(a & b), len(a | b)) if a or b else Fraction(0)


def entanglement(pairs: Circuits, universal: Circuits) -> list[Row]:
    rows = []
    for pair, layers in pairs.items():
        ast_node, builtin = pair.split("__", 1)
        for layer, circuit in enumerate(layers):
            explained = set(universal[f"ast__{ast_node}"][layer])
            explained.update(universal[f"builtin__{builtin}"][layer])
            left_over = [neuron for neuron in circuit if neuron not in explained]
            index = len(left_over) / len(circuit) if circuit else 0.0
            rows.append((ast_node, builtin, layer, len(circuit), len(left_over), index))
    return sorted(rows)


def ockham_index(universal: Circuits, n_layers: int) -> list[Row]:
    rows = []
    for kind in ("ast", "builtin"):
        names = sorted(name for name in universal if name.startswith(kind + "__"))
        for layer in range(n_layers):
            for a, b in itertools.combinations(names, 2):
                similarity = float(jaccard(universal[a][layer], universal[b][layer]))
                rows.append((kind, layer, a, b, similarity, 1 - similarity))
    return rows


def profile(pairs: Circuits, universal: Circuits, n_layers: int) -> list[Row]:
    rows = []
    for layer in range(n_layers):
        sizes: dict[str, list[int]] = {"pair": [], "ast": [], "builtin": []}
        for layers in pairs.values():
            sizes["pair"].append(len(layers[layer]))
        for name, layers in universal.items():
            sizes[name.split("__")[0]].append(len(layers[layer]))
        for kind, found in sizes.items():
            if found:
                mean, median = sum(found) / len(found), float(statistics.median(found))
                rows.append((layer, kind, len(found), mean, median, min(found), max(found)))
    return rows


def partners(pairs: Circuits) -> dict[str, list[str]]:
    """Concept → its pairs, sorted."""
    found: dict[str, list[str]] = {}
    for pair in sorted(pairs):
        ast_node, builtin = pair.split("__", 1)
        found.setdefault(f"ast__{ast_node}", []).append(pair)
        found.setdefault(f"builtin__{builtin}", []).append(pair)
    return dict(sorted(found.items()))


def shrinking(circuits: Sequence[set[int]], order: Sequence[int]) -> list[int]:
    """Sizes as one intersects the circuits in that order."""
    common, sizes = set(circuits[order[0]]), []
    for position in order:
        common &= circuits[position]
        sizes.append(len(common))
    return sizes


def robustness(pairs: Circuits, n_layers: int, orders_of) -> list[Row]:
    """``orders_of(concept, number of pairs)`` gives the orders."""
    rows = []
    for concept, members in partners(pairs).items():
        kind, orders = concept.split("__")[0], orders_of(concept, len(members))
        for layer in range(n_layers):
            circuits = [pairs[pair][layer] for pair in members]
            runs = [shrinking(circuits, order) for order in orders]
            for n in range(len(members)):
                sizes = [run[n] for run in runs]
                mean = sum(sizes) / len(sizes)
                rows.append((concept, kind, layer, n + 1, mean, min(sizes), max(sizes)))
    return rows


def trimmed_mean(circuits: Sequence[set[int]], own: int, trim: float) -> Fraction:
    """Exact mean similarity to the others without the floor(trim · others) largest."""
    others = [jaccard(circuits[own], other) for i, other in enumerate(circuits) if i != own]
    if not others:
        return Fraction(0)
    kept = sorted(others)[: len(others) - math.floor(trim * len(others))]
    return sum(kept, Fraction(0)) / len(kept)


def with_the_same_margins(
    circuits: Sequence[set[int]], width: int
) -> Iterator[tuple[frozenset[int], ...]]:
    """Every matrix with these row and column sums, once."""
    columns = [sum(neuron in circuit for circuit in circuits) for neuron in range(width)]

    def complete(row: int, left: list[int]) -> Iterator[tuple[frozenset[int], ...]]:
        if row == len(circuits):
            if not any(left):
                yield ()
            return
        free = [neuron for neuron in range(width) if left[neuron]]
        for chosen in itertools.combinations(free, len(circuits[row])):
            rest = [n - (neuron in chosen) for neuron, n in enumerate(left)]
            for further in complete(row + 1, rest):
                yield (frozenset(chosen), *further)

    yield from complete(0, columns)


def null_distribution(
    circuits: Sequence[set[int]], width: int, own: int, trim: float
) -> list[Fraction]:
    """One circuit's trimmed mean in every matrix with the same margins."""
    return [trimmed_mean(matrix, own, trim) for matrix in with_the_same_margins(circuits, width)]


def ward(distances: Sequence[Sequence[float]]) -> list[tuple[float, frozenset[int]]]:
    """Ward's merges by the formula of Lance and Williams: (height, leaves of the new cluster)."""
    clusters = {i: frozenset([i]) for i in range(len(distances))}
    apart = {(i, j): distances[i][j] for i, j in itertools.combinations(clusters, 2)}
    merges, fresh = [], len(distances)
    while len(clusters) > 1:
        i, j = min(apart, key=lambda couple: apart[couple])
        height = apart[i, j]
        for k in set(clusters) - {i, j}:
            ni, nj, nk = (len(clusters[c]) for c in (i, j, k))
            ik, jk = (apart[min(c, k), max(c, k)] for c in (i, j))
            square = (ni + nk) * ik**2 + (nj + nk) * jk**2 - nk * height**2
            apart[k, fresh] = math.sqrt(square / (ni + nj + nk))
        clusters[fresh] = clusters.pop(i) | clusters.pop(j)
        apart = {couple: d for couple, d in apart.items() if not {i, j} & set(couple)}
        merges.append((height, clusters[fresh]))
        fresh += 1
    return merges


def ward_clusters(distances: Sequence[Sequence[float]], k: int) -> set[frozenset[int]]:
    """What is left after merging until there are k clusters."""
    found = {frozenset([i]) for i in range(len(distances))}
    for _, merged in ward(distances)[: max(0, len(distances) - k)]:
        found = {cluster for cluster in found if not cluster <= merged} | {merged}
    return found


def leaf_order_cost(distances: Sequence[Sequence[float]], order: Sequence[int]) -> float:
    """Sum of the distances between neighbouring leaves, which an optimal order minimises."""
    return sum(distances[a][b] for a, b in itertools.pairwise(order))


def leaf_orders(merges: Sequence[tuple[int, int]], n: int) -> list[tuple[int, ...]]:
    """Every order of the leaves that the tree permits (each node may be flipped)."""
    orders: dict[int, list[tuple[int, ...]]] = {i: [(i,)] for i in range(n)}
    for node, (left, right) in enumerate(merges, start=n):
        orders[node] = [
            order for a in orders[left] for b in orders[right] for order in ((*a, *b), (*b, *a))
        ]
    return orders[max(orders)]
