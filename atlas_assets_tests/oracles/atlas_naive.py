"""Stages 13 and 14 and the downstream tables, as slowly and plainly as they can be written.

Masks are ``{unit: [set of neurons, one per layer]}``, tables are lists of dicts. Written from the
published formulas, one unit and one neuron at a time; it shares no code with the package.
"""

from __future__ import annotations

import numpy as np

Circuit = list[set[int]]
Circuits = dict[str, Circuit]
Row = dict[str, object]

TRIMS = (0.0, 0.05, 0.1, 0.25)


def circuit(n_prompts: int, sums, counts, epsilon: float, consistency: float) -> Circuit:
    """One unit's mask: arrays ``[layers, width]``, every operation a float32 scalar's."""
    n = np.float32(n_prompts)
    layers = []
    for layer_sums, layer_counts in zip(sums, counts, strict=True):
        active = set()
        for neuron, (total, count) in enumerate(zip(layer_sums, layer_counts, strict=True)):
            strong = np.float32(total) / n > np.float32(epsilon)
            consistent = np.float32(count) / n >= np.float32(consistency)
            if strong and consistent:
                active.add(neuron)
        layers.append(active)
    return layers


def circuits(names, n_prompts, sums, counts, epsilon: float, consistency: float) -> Circuits:
    """All units' masks."""
    return {
        name: circuit(int(n_prompts[i]), sums[i], counts[i], epsilon, consistency)
        for i, name in enumerate(names)
    }


def universals(pairs: Circuits) -> Circuits:
    """Intersect, concept by concept, whatever pairs it is in."""
    found: Circuits = {}
    for pair, layers in pairs.items():
        ast_node, builtin = pair.split("__", 1)
        for concept in ("ast__" + ast_node, "builtin__" + builtin):
            shared = found.get(concept, layers)
            found[concept] = [a & b for a, b in zip(shared, layers, strict=True)]
    return dict(sorted(found.items()))


def jaccard(a: set[int], b: set[int]) -> float:
    union = a | b
    return len(a & b) / len(union) if union else 0.0


def kind(concept: str) -> str:
    return concept.split("__")[0]


def fraction(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def mean(values, places: int = 4) -> float | None:
    """The mean of pandas' groups (Kahan's sum), rounded as numpy rounds."""
    total = carried = 0.0
    for value in values:
        corrected = value - carried
        bigger = total + corrected
        carried = (bigger - total) - corrected
        total = bigger
    return round_as_numpy(total / len(values), places) if values else None


def mean_of_series(values, places: int = 4) -> float | None:
    """The mean of a pandas series (numpy's pairwise sum), rounded as numpy rounds."""
    return round_as_numpy(pairwise_sum(values) / len(values), places) if values else None


def pairwise_sum(values) -> float:
    """Up to 128 values in eight strands; more in two parts, the first a multiple of eight."""
    if len(values) < 8:
        total = 0.0
        for value in values:
            total += value
        return total
    if len(values) > 128:
        half = len(values) // 2 // 8 * 8
        return pairwise_sum(values[:half]) + pairwise_sum(values[half:])
    strands = [0.0] * 8
    full = len(values) // 8 * 8
    for i, value in enumerate(values[:full]):
        strands[i % 8] += value
    while len(strands) > 1:
        strands = [a + b for a, b in zip(strands[::2], strands[1::2], strict=True)]
    for value in values[full:]:
        strands[0] += value
    return strands[0]


def round_as_numpy(value: float, places: int) -> float:
    """Scale, nearest even integer, scale back."""
    return round(value * 10**places) / 10**places


def target_checker(universal: Circuits, checker: Circuits) -> list[Row]:
    rows = []
    for target in sorted(checker):
        row: Row = {"target": target}
        for layer, (a, b) in enumerate(zip(universal[target], checker[target], strict=True)):
            row[f"L{layer}"] = f"{len(a - b)} / {len(a & b)} / {len(b - a)}"
        rows.append(row)
    return rows


def summary_row(epsilon, consistency, universal: Circuits, checker: Circuits) -> Row:
    cells = [
        (target, a, b)
        for target in sorted(checker)
        for a, b in zip(universal[target], checker[target], strict=True)
    ]

    def concept(prefix: str = ""):
        found = [fraction(len(a - b), len(a)) for at, a, b in cells if at.startswith(prefix)]
        return mean_of_series(found)

    def token(prefix: str = ""):
        found = [fraction(len(a & b), len(a)) for at, a, b in cells if at.startswith(prefix)]
        return mean_of_series(found)

    return {
        "epsilon": epsilon,
        "consistency": consistency,
        "n_testable": len(checker),
        "n_ast": sum(kind(target) == "ast" for target in checker),
        "n_builtin": sum(kind(target) == "builtin" for target in checker),
        "mean_concept_fraction": concept(),
        "mean_token_fraction": token(),
        "ast_concept_fraction": concept("ast"),
        "ast_token_fraction": token("ast"),
        "blt_concept_fraction": concept("builtin"),
        "blt_token_fraction": token("builtin"),
        "mean_A_size": mean_of_series([len(a) for _, a, _ in cells], 1),
        "mean_B_size": mean_of_series([len(b) for _, _, b in cells], 1),
    }


def trimmed_mean(similarities, trim: float) -> np.float32:
    """Mean of the others' similarities without the floor(trim · n) largest, in float32."""
    values = np.array(similarities, dtype=np.float32)
    dropped = int(np.floor(trim * len(values)))
    if dropped > 0:
        values = np.sort(values)[::-1][dropped:]
    return np.float32(values.mean()) if len(values) else np.float32(0)


def modularity_detail(universal: Circuits, n_layers: int) -> list[tuple]:
    """Rows in the order of the published columns."""
    names = sorted(universal)
    rows = []
    for layer in range(n_layers):
        trimmed = {}
        for name in names:
            others = [
                jaccard(universal[name][layer], universal[other][layer])
                for other in names
                if other != name
            ]
            for trim in TRIMS:
                trimmed[name, trim] = trimmed_mean(others, trim)
        for name in names:
            for trim in TRIMS:
                own = trimmed[name, trim]
                percentile = sum(trimmed[other, trim] <= own for other in names) / len(names)
                rounded = round(float(round(own, 4)), 4), round(float(percentile), 4)
                rows.append((name, kind(name), layer, trim, *rounded, bool(percentile < 0.05)))
    return rows


def modularity_scores(universal: Circuits, n_layers: int) -> list[tuple]:
    """Rows in the order of the published columns."""
    times = {(name, trim): 0 for name in universal for trim in TRIMS}
    for name, _, _, trim, _, _, significant in modularity_detail(universal, n_layers):
        times[name, trim] += significant
    rows = [(name, kind(name), *(times[name, trim] for trim in TRIMS)) for name in universal]
    return sorted(rows, key=lambda row: (-row[2], -row[5], row[0]))


def independence_detail(universal: Circuits, checker: Circuits, keywords) -> list[Row]:
    rows = []
    for name in sorted(checker):
        for layer, (a, b) in enumerate(zip(universal[name], checker[name], strict=True)):
            rows.append(
                {
                    "A_size": len(a),
                    "B_size": len(b),
                    "A_only": len(a - b),
                    "A_and_B": len(a & b),
                    "B_only": len(b - a),
                    "token_fraction": fraction(len(a & b), len(a)),
                    "concept_fraction": fraction(len(a - b), len(a)),
                    "object": name,
                    "type": kind(name),
                    "keyword": keywords[name],
                    "layer": layer,
                }
            )
    return rows


def independence_summary(detail: list[Row]) -> list[Row]:
    columns = ("concept_fraction", "token_fraction", "A_size", "A_and_B", "A_only", "B_only")
    rows = []
    for name in sorted({row["object"] for row in detail}):
        own = [row for row in detail if row["object"] == name]
        labels = {label: own[0][label] for label in ("object", "type", "keyword")}
        rows.append(labels | {column: mean([row[column] for row in own]) for column in columns})
    return sorted(rows, key=lambda row: (-row["concept_fraction"], row["object"]))


def to_bits(found: Circuits, width: int):
    """``{unit: [sets]}`` as bool ``[units, layers, width]``, units sorted."""
    bits = np.zeros((len(found), len(next(iter(found.values()))), width), dtype=bool)
    for i, name in enumerate(sorted(found)):
        for layer, neurons in enumerate(found[name]):
            bits[i, layer, sorted(neurons)] = True
    return bits


def from_bits(masks) -> Circuits:
    """What masks of ``names`` and ``bits`` hold; the inverse of ``to_bits``."""
    return {
        name: [{neuron for neuron, bit in enumerate(layer) if bit} for layer in unit]
        for name, unit in zip(masks.names, masks.bits, strict=True)
    }
