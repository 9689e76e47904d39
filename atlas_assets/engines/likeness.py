"""What the bits of a result depend on besides the batch, as driver and workers compare it."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from weakref import WeakKeyDictionary

import torch

from atlas_assets.extraction.readouts import tapped
from atlas_assets.extraction.workers import one_thread
from atlas_assets.models.loaded import LoadedModel

#: rows and tokens of the trial
TRIAL = (4, 32)

_known: WeakKeyDictionary[LoadedModel, dict[str, str]] = WeakKeyDictionary()


def likeness(model: LoadedModel) -> dict[str, str]:
    """Return everything that the bits of a result depend on, besides the batch.

    Versions, weights and layouts are named, and so are the vector instructions that torch uses on
    this CPU. What no name tells, as which kernels a library picks on a processor of another make,
    shows in the readouts of a trial. Found out once for a model.
    """
    if model not in _known:
        _known[model] = _found(model)
    return _known[model]


def _found(model: LoadedModel) -> dict[str, str]:
    identity = model.identity
    on_cpu = model.device.type == "cpu"
    return {
        "atlas-assets": version("atlas-assets"),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "device": model.device.type,
        "dtype": str(model.dtype),
        "kernels": model.kernels,
        "weights": str(identity.weights_sha256),
        "tokenizer": str(identity.tokenizer_sha256),
        "vector instructions": torch.backends.cpu.get_cpu_capability() if on_cpu else "not used",
        "readouts of a trial": _trial(model),
    }


def _trial(model: LoadedModel) -> str:
    """Run some tokens that every model has and return a digest of the readouts of each row."""
    rows, tokens = TRIAL[0], min(TRIAL[1], model.max_positions)
    ids = torch.arange(rows * tokens).reshape(rows, tokens) % model.tokenizer.vocab_size
    places = torch.arange(rows), torch.full((rows,), tokens - 1)
    with one_thread(), tapped(model) as tap:
        at = tuple(place.to(model.device) for place in places)
        readouts, _ = tap.read(model.base, ids.to(model.device), (at[0], at[1]))
    return hashlib.sha256(readouts.cpu().numpy().tobytes()).hexdigest()[:12]
