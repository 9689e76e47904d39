"""The errors of the package: what they say, which may be retried, and the tree of them."""

import inspect
import re

from atlas_assets import errors
from atlas_assets.errors import AtlasError, BusyArtifactError, HubUnavailableError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__
]


def drawn() -> dict[str, str | None]:
    """Each class of the tree in the module's docstring, and the one it hangs from."""
    above: list[str] = []
    parents: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│ ├└─]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1] if depth else None
    return parents


def test_the_tree_in_the_docstring_is_the_hierarchy() -> None:
    bases = {
        kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not AtlasError
    }
    assert drawn() == {"AtlasError": None, **bases}


def test_only_a_silent_hub_and_a_busy_file_may_be_asked_again() -> None:
    assert [kind for kind in CLASSES if kind.retryable] == [BusyArtifactError, HubUnavailableError]
    assert HubUnavailableError("no answer", status=503).retryable
