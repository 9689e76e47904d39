"""Names that a user picks from a fixed inventory: unknown ones are refused with near matches."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from atlas_assets.errors import SettingsError


def near_matches(name: str, known: Iterable[str]) -> list[str]:
    """Up to three of ``known`` that look like ``name``, best first, upper and lower case alike."""
    spelled: dict[str, list[str]] = {}
    for candidate in sorted(known):
        spelled.setdefault(candidate.casefold(), []).append(candidate)
    close = difflib.get_close_matches(name.casefold(), list(spelled), n=3, cutoff=0.5)
    return [candidate for folded in close for candidate in spelled[folded]][:3]


def require_known(names: Sequence[str], known: Sequence[str], *, what: str, where: str) -> None:
    """Refuse names that are not in the inventory.

    Args:
        names: what the user picked.
        known: the inventory.
        what: what one name is, in words (``"AST node"``).
        where: the setting or argument the names came from.

    Raises:
        SettingsError: a name is unknown; the message names it and what it may have meant.
    """
    inventory = frozenset(known)
    for name in names:
        if name in inventory:
            continue
        close = near_matches(name, inventory)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise SettingsError(
            f"unknown {what} {name!r}",
            where=where,
            expected=f"names of the published grid ({len(inventory)} of them)",
            found=repr(name),
            remedy=f"{meant}use names among: {', '.join(sorted(inventory))}",
        )
