"""What every figure is titled with: the model, the setting and the readout it was computed on."""

from __future__ import annotations

from dataclasses import dataclass

from atlas_assets.stages.setting import Setting

#: between the parts of a caption; a line breaks here first
SEPARATOR = " · "


@dataclass(frozen=True)
class Caption:
    """What a figure is about, beyond what it shows.

    Attributes:
        model: the model's id.
        readout: which token position was read (``last_token`` or ``published``).
        setting: the (ε, C) of the masks; None for a figure of the whole sweep.
        note: a further line under the title, such as where the data come from.
    """

    model: str
    readout: str
    setting: Setting | None = None
    note: str | None = None

    def parts(self, settings: str = "all settings") -> tuple[str, ...]:
        """The parts of the line under the heading, in the order they are read.

        Args:
            settings: how to name the settings of a figure of the whole sweep.
        """
        setting = settings if self.setting is None else str(self.setting)
        return (f"model {self.model}", setting, f"readout {self.readout}")

    def line(self, settings: str = "all settings") -> str:
        """``model openai/circuit-sparsity · ε=0.5, C=0.8 · readout last_token``."""
        return SEPARATOR.join(self.parts(settings))
