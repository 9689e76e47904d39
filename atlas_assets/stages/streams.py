"""Seeded random streams: one per layer or concept, whatever else the atlas holds.

Each stream is a child of the seed (numpy's ``SeedSequence``), so a layer or a concept draws the
same numbers in a cut of the grid or in a deeper model as it does alone.
"""

from __future__ import annotations

import numpy as np

from atlas_assets.errors import SettingsError

_LARGEST_SEED = 2**63 - 1


def of_layer(seed: int, layer: int) -> np.random.Generator:
    """Return the random stream of one layer; a seed below 0 or above 2^63 − 1 is refused."""
    return _child(seed, (layer,))


def of_concept(seed: int, concept: str) -> np.random.Generator:
    """Return the random stream of one concept; the seed as for `of_layer`."""
    return _child(seed, tuple(concept.encode()))


def _child(seed: int, key: tuple[int, ...]) -> np.random.Generator:
    require_between(seed, 0, _LARGEST_SEED, "seed")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def require_between(value: int, least: int, largest: int, what: str) -> None:
    """Refuse (SettingsError) a number, called ``what``, that is outside its range."""
    if not least <= value <= largest:
        raise SettingsError(
            f"{what} is out of range",
            where=what,
            expected=f"a whole number from {least} to {largest}",
            found=repr(value),
            remedy="correct the value",
        )
