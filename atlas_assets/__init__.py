"""CSP-Atlas on Dagster: concept circuits of a code transformer as software-defined assets.

Wilam (2026), arXiv:2605.24603. In Python::

    import atlas_assets as aa

    readings = aa.read("embedded", prompts={"mine": ["for x in y:\\n    pass"]})
    masks = aa.masks(readings, epsilon=0.5, consistency=0.8)
    atlas = aa.build(model="embedded", ast_nodes=["For", "If"], variations=4)
    atlas.summary(), atlas.show("For")

Importing this package imports nothing else: each of these names brings what it needs when it is
first used. What the rooms hold, and in which order they import each other, is in CONTRIBUTING.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlas_assets.api.building import build, build_series
    from atlas_assets.api.opened import Atlas, open_atlas
    from atlas_assets.api.reading import masks, read

__version__ = "0.1.0"
__all__ = ["Atlas", "build", "build_series", "masks", "open_atlas", "read"]

_MODULES = {
    "Atlas": "opened",
    "build": "building",
    "build_series": "building",
    "masks": "reading",
    "open_atlas": "opened",
    "read": "reading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.api.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
