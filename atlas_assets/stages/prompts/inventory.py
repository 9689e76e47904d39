"""What an atlas is about: the paper's inventory of concepts and prompts, or a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from atlas_assets.stages.artifact import Needs
from atlas_assets.stages.concepts import concept_name
from atlas_assets.stages.prompts import checker_prompts as checkers
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts import own_prompts
from atlas_assets.stages.prompts.own_prompts import OwnPrompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.prompts.tokens import Tokenizer

if TYPE_CHECKING:
    from atlas_assets.settings import AtlasSettings


class Inventory(Protocol):
    """The concepts of an atlas and their prompts."""

    @property
    def concepts(self) -> tuple[str, ...]:
        """All its concepts."""

    @property
    def sha256(self) -> str | None:
        """The digest of own prompts; ``None`` for the published inventory."""

    @property
    def lacks(self) -> frozenset[Needs]:
        """What it cannot give; the artifacts that need it are not made."""

    def object_candidates(self) -> pl.DataFrame:
        """Return the object prompts before the loss filter."""

    def checker_prompts(self, variant: checkers.Variant, tokenizer: Tokenizer) -> pl.DataFrame:
        """Return the checker prompts, or those of the token checker."""


@dataclass(frozen=True)
class Published:
    """The paper's inventory, cut to some AST nodes and builtins, with so many prompts per pair."""

    ast_nodes: tuple[str, ...] | None = None
    builtins: tuple[str, ...] | None = None
    variations: int = 50

    sha256 = None
    lacks = frozenset[Needs]()

    @property
    def concepts(self) -> tuple[str, ...]:
        """All concepts of the whole grid."""
        return load_stimuli().concepts

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds of the paper's draws."""
        stimuli = load_stimuli()
        return {
            "object_prompts": stimuli.object_prompts.seed,
            "checker_prompts": stimuli.checker_prompts.seed,
        }

    def object_candidates(self) -> pl.DataFrame:
        """Generate the object prompts on the cut grid, once per process."""
        return _generated(self)

    def checker_prompts(self, variant: checkers.Variant, tokenizer: Tokenizer) -> pl.DataFrame:
        """Generate the prompts of the concepts that occur in a pair of the cut grid."""
        stimuli = load_stimuli()
        pairs = objects.candidate_pairs(stimuli, self.ast_nodes, self.builtins)
        present = {concept_name("ast", ast_node) for ast_node, _ in pairs}
        present |= {concept_name("builtin", builtin) for _, builtin in pairs}
        return checkers.generate(stimuli, tokenizer, variant=variant, concepts=sorted(present))


def inventory_of(settings: AtlasSettings) -> Inventory:
    """Return the inventory that the settings name; own prompts are read again when they change.

    Raises:
        StimulusError: The file of own prompts cannot be used.
    """
    if settings.stimuli is None:
        return Published(settings.ast_nodes, settings.builtins, settings.variations)
    path = Path(settings.stimuli).expanduser()
    try:
        about = path.stat()
    except OSError:
        return own_prompts.read(path)  # it says what is wrong
    times = (
        about.st_mtime_ns,
        about.st_ctime_ns,
    )  # a copy may keep the first, nobody sets the second
    return _read(path, (about.st_dev, about.st_ino, about.st_size, *times))


def require_usable(settings: AtlasSettings) -> None:
    """Refuse misspelt names and a cut without a pair, or a file of own prompts as it is read."""
    if settings.stimuli is None:
        objects.candidate_pairs(load_stimuli(), settings.ast_nodes, settings.builtins)
    else:
        inventory_of(settings)


@lru_cache(maxsize=1)
def _generated(inventory: Published) -> pl.DataFrame:
    return objects.generate(
        load_stimuli(),
        ast_nodes=inventory.ast_nodes,
        builtins=inventory.builtins,
        variations=inventory.variations,
    )


@lru_cache(maxsize=2)
def _read(path: Path, state: tuple[int, ...]) -> OwnPrompts:  # noqa: ARG001
    return own_prompts.read(path)
