"""Sweep and tables in loops over pairs, at the size of the paper's model, on a share of the work.

Twice: as the oracle of the tests writes them, neuron by neuron; and as the release does, with numpy
for the vector of a pair and layer and sets of neurons for the tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import Masks, ObjectMasks
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import Setting

#: pairs whose masks the oracle makes, and those numpy does
ORACLE_PAIRS, NUMPY_PAIRS = 4, 160
#: pairs that are written one dataset at a time
WRITTEN_PAIRS = 160


def oracle() -> Any:
    """The tests' module of that name; not part of the package."""
    return import_module("atlas_assets_tests.oracles.atlas_naive")


def masks_neuron_by_neuron(found: Activations, setting: Setting) -> float:
    """Seconds for all pairs at one setting, from `ORACLE_PAIRS` of them."""
    naive, chosen = oracle(), slice(0, ORACLE_PAIRS)
    names = found.names[chosen]

    def masks() -> None:
        naive.circuits(
            names,
            found.n_prompts[chosen],
            found.sums[chosen],
            found.counts[chosen],
            setting.epsilon,
            setting.consistency,
        )

    return _once(masks) * len(found.names) / len(names)


def masks_pair_by_pair(found: Activations, setting: Setting) -> float:
    """Seconds for all pairs at one setting, from `NUMPY_PAIRS` of them: vectors, then sets."""

    def masks() -> None:
        for unit in range(NUMPY_PAIRS):
            n = np.float32(found.n_prompts[unit])
            for layer in range(found.n_layers):
                mean = found.sums[unit, layer] / n
                rate = found.counts[unit, layer].astype(np.float32) / n
                bits = (mean > setting.epsilon) & (rate >= setting.consistency)
                set(np.flatnonzero(bits).tolist())

    return _once(masks) * len(found.names) / NUMPY_PAIRS


def universals(masks: Masks) -> float:
    """Seconds for the universal masks of one setting, from sets."""
    naive = oracle()
    pairs = _sets(masks)
    return _once(lambda: naive.universals(pairs))


def tables(settings: list[tuple[Setting, Masks, Masks]], reference: Masks, tokens: Masks) -> float:
    """Seconds for all published tables, from sets.

    Args:
        settings: of each setting, its universal masks and its checker masks.
        reference: universal masks at the setting of the modularity.
        tokens: token-checker masks.
    """
    naive, keywords = oracle(), keyword_of(load_stimuli())
    sets = [(setting, _sets(masks), _sets(checked)) for setting, masks, checked in settings]
    at_reference, by_tokens = _sets(reference), _sets(tokens)

    def work() -> None:
        for setting, masks, checked in sets:
            naive.target_checker(masks, checked)
            naive.summary_row(setting.epsilon, setting.consistency, masks, checked)
        # scores and detail come from one pass here, though the oracle makes two
        naive.modularity_scores(at_reference, reference.n_layers)
        naive.independence_summary(naive.independence_detail(at_reference, by_tokens, keywords))

    return _once(work)


def plain_write(path: Path, masks: ObjectMasks) -> float:
    """Seconds to write one mask file as the release does, from `WRITTEN_PAIRS` of its pairs."""
    pairs = masks.whole_pairs()
    chosen = Masks(pairs.names[:WRITTEN_PAIRS], pairs.bits[:WRITTEN_PAIRS])

    def write(of: Masks, group: str) -> Callable[[], None]:
        def datasets() -> None:
            with h5py.File(path, "w") as file:
                for name, unit in zip(of.names, of.bits, strict=True):
                    for layer, bits in enumerate(unit):
                        key = f"{group}/layer_{layer}/{name}"
                        file.create_dataset(key, data=bits, compression="gzip")

        return datasets

    of_pairs = _once(write(chosen, "pair_masks")) * len(pairs.names) / len(chosen.names)
    return of_pairs + _once(write(masks.universal, "universal_masks"))


def _sets(masks: Masks) -> dict[str, list[set[int]]]:
    return {
        name: [set(np.flatnonzero(bits).tolist()) for bits in unit]
        for name, unit in zip(masks.names, masks.bits, strict=True)
    }


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
