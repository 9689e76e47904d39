"""The libraries that a file was made with, as its record names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata

from atlas_assets.stages.artifact import Kind

_LIBRARIES = ("atlas-assets", "h5py", "numpy", "polars")
_MODEL_LIBRARIES = ("tokenizers", "torch", "transformers")
_LIBRARIES_OF_KIND: Mapping[Kind, Sequence[str]] = {
    "png": ("matplotlib", "pillow", "scipy"),
    "html": ("jinja2",),
}


@cache
def library_versions(kind: Kind, runs_model: bool) -> dict[str, str]:
    """Return the versions of the libraries that a file of an artifact is made with.

    Args:
        kind: the format of the artifact's file.
        runs_model: whether the artifact is computed with the model.

    Returns:
        name of the distribution → version; one that is not installed is left out.
    """
    used = [*_LIBRARIES, *_LIBRARIES_OF_KIND.get(kind, ())]
    found = {}
    for library in [*used, *(_MODEL_LIBRARIES if runs_model else ())]:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found
