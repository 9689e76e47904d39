"""What the embedded model is made from, and how learning rate and density move."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas_assets.errors import SettingsError, expect
from tools.untrained import Scales


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, next to the corpus and the machine's arithmetic.

    What each value means is said where it is set, in ``recipe.toml``.
    """

    options: Mapping[str, Any]
    start: Scales
    seed: int
    steps: int
    warmup_steps: int
    learning_rate: float
    optimiser: str
    weight_decay: float
    betas: Sequence[float]
    clip: float
    density: float
    dense_steps: int
    annealed_step: int
    row_floor: int
    windows: Sequence[int]
    part_tokens: int
    shares: Mapping[str, float]
    held_out_one_in: int
    evaluate_every: int
    checkpoints: int

    def __post_init__(self) -> None:
        what = f"the recipe must take more than {self.annealed_step} steps, or be sparse sooner"
        expect(self.steps > self.annealed_step, SettingsError, what, found=f"{self.steps} steps")

    @property
    def batch_tokens(self) -> int:
        """Number of tokens that one optimiser step predicts."""
        return sum(self.part_tokens // window * (window - 1) for window in self.windows)

    @property
    def kept_steps(self) -> frozenset[int]:
        """Steps whose weights are kept, from 30 to the last, each a fixed factor later."""
        ratio = (self.steps / 30) ** (1 / (self.checkpoints - 1))
        return frozenset(round(30 * ratio**n) for n in range(self.checkpoints))

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step 1, 2, …, ``steps``: a rise, a plateau and a fall."""
        rise = min(step / self.warmup_steps, 1.0)
        fall = min((self.steps + 1 - step) / (self.steps - self.annealed_step), 1.0)
        return self.learning_rate * rise * fall

    def density_at(self, step: int) -> float:
        """Return the share of each matrix's entries that stay after step 1, 2, …, ``steps``."""
        done = (step - self.dense_steps) / (self.annealed_step - self.dense_steps)
        return 1.0 - (1.0 - self.density) * min(max(done, 0.0), 1.0)


def embedded_recipe(**changes: Any) -> Recipe:
    """Return the recipe in ``recipe.toml``, but for the values given."""
    told = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text("utf-8"))
    return Recipe(**{**told, "start": Scales(**told["start"]), **changes})
