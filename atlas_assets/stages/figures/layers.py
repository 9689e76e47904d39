"""Which layers the figures show, of a model that may have fewer than the paper's."""

from __future__ import annotations

#: the paper's text speaks of layer 5, the release shows the cluster at layer 3 (docs/science.md §8)
DENDROGRAM_LAYERS = (3, 5)
#: the layer of the published mean entanglement (docs/science.md §6, ``report-ei``)
ENTANGLEMENT_LAYER = 4


def layers_to_show(n_layers: int, wanted: tuple[int, ...]) -> tuple[tuple[int, ...], list[str]]:
    """The wanted layers that the model has, else its last one; and a note where that differs."""
    last = max(n_layers - 1, 0)
    shown = tuple(layer for layer in wanted if layer <= last)
    if shown == wanted:
        return shown, []
    missing = [str(layer) for layer in wanted if layer > last]
    left_out = (
        f"layer {missing[0]} is" if len(missing) == 1 else f"layers {' and '.join(missing)} are"
    )
    note = f"The last layer of the model is {last}; {left_out} left out"
    return (shown, [f"{note}."]) if shown else ((last,), [f"{note} and layer {last} is shown."])
