"""What stands around a figure, in words: its caption, which layers it shows, its description."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atlas_assets.stages.setting import Setting

#: between the parts of a caption; a line breaks here first
SEPARATOR = " · "


@dataclass(frozen=True)
class Caption:
    """What a figure is about, beyond what it shows.

    Attributes:
        model, readout: The id of the model, and the position that was read.
        setting: The (ε, C) of the masks; ``None`` for a figure of the whole sweep.
        note: A further line under the title, such as where the data come from.
    """

    model: str
    readout: str
    setting: Setting | None = None
    note: str | None = None

    def line(self, settings: str = "all settings") -> str:
        """Return ``model openai/circuit-sparsity · ε=0.5, C=0.8 · readout last_token``.

        A figure of the whole sweep names ``settings`` instead of one setting.
        """
        parts = (f"model {self.model}", str(self.setting or settings), f"readout {self.readout}")
        return SEPARATOR.join(parts)


def layers_to_show(n_layers: int, wanted: tuple[int, ...]) -> tuple[tuple[int, ...], list[str]]:
    """Return the wanted layers that the model has, else its last one, and a note on the others."""
    last = max(n_layers - 1, 0)
    shown = tuple(layer for layer in wanted if layer <= last)
    if shown == wanted:
        return shown, []
    missing = [str(layer) for layer in wanted if layer > last]
    layers, are = ("layer", "is") if len(missing) == 1 else ("layers", "are")
    left_out = f"{layers} {' and '.join(missing)} {are} left out"
    note = f"The last layer of the model is {last}; {left_out}"
    return (shown, [f"{note}."]) if shown else ((last,), [f"{note} and layer {last} is shown."])


def sentences(opening: str, lines: Iterable[str]) -> str:
    """Return a description: the opening, which ends in a stop, and each line as a sentence."""
    return " ".join([opening, *(f"{line}." for line in lines)])
