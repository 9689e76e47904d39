"""What a worker of an engine does: it loads the model once and runs batches on it.

The weights never travel: a worker resolves the model itself, in a folder that it shares with the
driver or in its own cache of the Hub, and says what it found. Numbers are the driver's to the bit
only if both have the same weights, versions and kernels (`likeness`), so a worker that has others
runs nothing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.engines.likeness import likeness
from atlas_assets.extraction.engine import Work
from atlas_assets.extraction.workers import one_thread
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.settings import AtlasSettings

#: with this in a worker's environment, large temporaries are given back to the system each time
MALLOC_TRIM = "MALLOC_TRIM_THRESHOLD_"

_log = logging.getLogger(__name__)
#: a worker of several threads runs one task at a time: a network is read by one pass alone
_at_work = threading.Lock()


class Unlike(NamedTuple):
    """The answer of a worker that is not like the driver, instead of results."""

    worker: str
    found: dict[str, str]


class _Tensor(NamedTuple):
    """A tensor on its way between processes."""

    values: npt.NDArray[Any]


def run(
    recipe: str, expected: Mapping[str, str], work: Work[Any, Any], batches: Sequence[Any]
) -> list[Any] | Unlike:
    """Run some batches on this worker's model.

    Args:
        recipe: the settings that name the model, as JSON.
        expected: what `likeness` gives of the driver's model.
        work: what is done with each batch.
        batches: the batches.

    Returns:
        The results, to be opened with `unpacked`; or what this worker has, where it is `Unlike`.
    """
    # one thread, as a batch has in the driver, where whole batches run side by side
    with _at_work, one_thread():
        model = _model_of(recipe)
        found = likeness(model)
        if found != expected:
            return Unlike(f"process {os.getpid()} on {os.uname().nodename}", found)
        with work.on(model) as run_batch:
            return [_packed(run_batch(batch)) for batch in batches]


def unpacked(result: Any, device: torch.device) -> Any:
    """Return a result as the driver's network would have given it."""
    if isinstance(result, _Tensor):
        # what comes out of a message may be read-only, which torch does not know
        return torch.from_numpy(np.require(result.values, requirements="W")).to(device)
    return tuple(unpacked(part, device) for part in result) if type(result) is tuple else result


def _packed(result: Any) -> Any:
    if isinstance(result, torch.Tensor):
        return _Tensor(result.cpu().numpy())
    return tuple(map(_packed, result)) if type(result) is tuple else result


@lru_cache(maxsize=1)
def _model_of(recipe: str) -> LoadedModel:
    logging.getLogger("atlas_assets").setLevel(logging.INFO)
    settings = AtlasSettings.model_validate_json(recipe)
    model = AtlasModel(settings, sha=settings.model_revision).loaded
    _log.info("loaded %s on %s", model.identity.model_id, model.device)
    if os.environ.get(MALLOC_TRIM):
        _log.warning(
            "%s is set for this worker, as Dask's nanny does, and costs about half as much time "
            "again; see docs/cluster.md",
            MALLOC_TRIM,
        )
    return model
