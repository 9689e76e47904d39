"""Edits the YAML at the head of a card key by key; other keys stay byte for byte.

`huggingface_hub.DatasetCard` would write the whole block anew, without its comments and empty keys.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from atlas_assets.errors import ArtifactError

_BYTE_ORDER_MARK = "\ufeff"
#: as the Hub finds it: a line of three dashes first, another one after
_BLOCK = re.compile(r"\A(\s*---\r?\n)(.*?)^(---(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
#: a line that starts a top-level key, quoted or not
_KEY = re.compile(r"""(?:"([^"\n]+)"|'([^'\n]+)'|(\w[^:\n]*?))\s*:(?=\s|$)""")

#: with so few aliases, expanding them gives a few thousand values at most
_MOST_ALIASES = 20
_DEEPEST = 50
_SOUND = f"valid YAML of at most {_MOST_ALIASES} aliases and {_DEEPEST} levels of values"


def split(text: str) -> tuple[str, str]:
    """Return the front matter of a card with its two lines of dashes (or nothing), and the rest.

    A byte order mark before it is dropped: the Hub finds no front matter after one.
    """
    text = text.lstrip(_BYTE_ORDER_MARK)
    found = _BLOCK.match(text)
    end = found.end() if found else 0
    return text[:end], text[end:]


def edited(front: str, owned: Mapping[str, Any], defaults: Mapping[str, Any], *, where: str) -> str:
    """Return front matter, as `split` gives it, with our keys set and all others unchanged.

    Args:
        owned: keys that are replaced, or added at the end; a value of ``None`` removes the key.
        defaults: keys that are added if the front matter does not have them.

    Raises:
        ArtifactError: the front matter is not a mapping, or is written such that a key cannot be
            replaced without changing others.
    """
    found = _BLOCK.match(front)
    opening, matter, closing = found.groups() if found else ("---\n", "", "---\n")
    before = _parsed(matter, where)
    ours = {key: value for key, value in defaults.items() if key not in before}
    ours |= {key: value for key, value in owned.items() if value is not None}
    kept = _without(matter, owned)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    added = yaml.safe_dump(ours, sort_keys=False, allow_unicode=True, width=1000)
    after = kept + added if ours else kept
    expected = {key: value for key, value in before.items() if key not in owned} | ours
    if not owned.keys().isdisjoint(_parsed(kept, where)) or _parsed(after, where) != expected:
        found_there = "front matter in a form that is not edited safely"
        raise _not_editable(where, "keys that each start a line of their own", found_there)
    return opening + after + closing if found or after else ""


def _without(matter: str, keys: Collection[str]) -> str:
    """Return the lines of the other keys, and comments."""
    kept: list[str] = []
    inside = False
    # not splitlines, which knows line ends that YAML does not
    for line in re.split(r"(?<=\n)", matter):
        found = _KEY.match(line)
        if found is not None:
            inside = (found[1] or found[2] or found[3]) in keys
        elif line.startswith("#"):
            inside = False
        # our own lines are never blank
        if not inside or not line.strip():
            kept.append(line)
    return "".join(kept)


def _parsed(matter: str, where: str) -> dict[str, Any]:
    try:
        _require_modest(matter)
        found = yaml.safe_load(matter)
    # an impossible date or number gives one of the others
    except (yaml.YAMLError, ValueError, LookupError, OverflowError, RecursionError) as error:
        raise _not_editable(where, _SOUND, " ".join(str(error).split())) from error
    if not isinstance(found, dict | None):
        raise _not_editable(where, "keys and values", type(found).__name__)
    return found or {}


def _require_modest(matter: str) -> None:
    """Refuse many aliases and deep nesting, before any value is built."""
    aliases = 0
    inside: list[str | None] = []
    for event in yaml.parse(matter, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            inside.pop()
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if event.anchor in inside:
                raise ValueError("a value that contains itself")
        if aliases > _MOST_ALIASES:
            raise ValueError("more aliases")
        if len(inside) > _DEEPEST:
            raise ValueError("more levels of values")


def _not_editable(where: str, expected: str, found: str) -> ArtifactError:
    return ArtifactError(
        "the card's front matter cannot be edited without risk to what others wrote there",
        where=where,
        expected=expected,
        found=found,
        remedy="correct the YAML at the head of README.md on the Hub, then publish again",
    )
