"""The edges of a circuit from dense matrices, by loops over every node and every weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
#: source layer, kind, index; target layer, kind, index; weight
Edge = tuple[int, str, int, int, str, int, float]


def edges(circuit: npt.NDArray[np.bool_], layers: Sequence[Mapping[str, Matrix]]) -> set[Edge]:
    """All edges of a circuit.

    Args:
        circuit: bool ``[layers, width]``.
        layers: per layer ``c_fc`` ``[hidden, in]``, ``c_proj`` ``[width, hidden]``, ``values``
            ``[inner, in]`` and ``out`` ``[width, inner]``; the first ``width`` of what goes in are
            the channels of the residual stream.
    """
    found: set[Edge] = set()
    for layer, matrices in enumerate(layers):
        for kind, read, write in (("hidden", "c_fc", "c_proj"), ("value", "values", "out")):
            writes, reads = matrices[write], matrices[read]
            for unit in range(writes.shape[1]):
                targets = [c for c in range(len(writes)) if circuit[layer, c] and writes[c, unit]]
                for c in targets:
                    weight = float(writes[c, unit])
                    found.add((layer, kind, unit, layer, "readout", c, weight))
                for c in range(len(writes)) if targets else ():
                    earlier = [k for k in range(layer) if circuit[k, c]]
                    if earlier and reads[unit, c]:
                        weight = float(reads[unit, c])
                        found.add((earlier[-1], "readout", c, layer, kind, unit, weight))
    return found
