"""The job ``sweep`` without Dagster: the same functions, the same files, one after the other.

``python -m benchmarks.direct_sweep`` reads the activations of the atlas that the ``ATLAS_*``
variables describe and writes its masks and published tables.
"""

from __future__ import annotations

import sys
import time

from atlas_assets.atlas.open import open_in_force
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.analyses import modularity, token_independence
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks import masks as science
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting
from atlas_assets.storage.store import AtlasStore


def main() -> None:
    """Make every file of the job; says how long it took, without the start of the process."""
    started = time.perf_counter()
    settings = AtlasSettings.from_env()
    store = open_in_force(settings)
    universal = write_masks(store, settings.sweep)
    write_tables(store, universal)
    sys.stdout.write(f"{time.perf_counter() - started}\n")


def write_masks(store: AtlasStore, sweep: tuple[Setting, ...]) -> dict[Setting, Masks]:
    """Stages 13 and 14; gives the universal masks of each setting."""
    objects, checkers = store.read("object_activations"), store.read("checker_activations")
    universal, tables = {}, {}
    for setting, pairs in science.sweep_masks(objects, sweep):
        masks = science.with_universals(setting, pairs)
        store.write("object_masks", masks, setting)
        checked = science.checker_masks(checkers, setting)
        store.write("checker_masks", checked, setting)
        universal[setting] = masks.universal
        tables[setting] = decomposition.target_checker(masks.universal, checked.masks)
        store.write("target_checker", tables[setting], setting)
    store.write("masks", science.universal_table(universal))
    store.write("summary", decomposition.summary(tables))
    return universal


def write_tables(store: AtlasStore, universal: dict[Setting, Masks]) -> None:
    """What is read off the universal masks."""
    keywords = keyword_of(load_stimuli())
    at_reference = universal[REFERENCE]
    store.write("modularity_scores", modularity.scores(at_reference))
    store.write("modularity_detail", modularity.detail(at_reference))
    store.write("universal_masks", universal[STANDALONE])
    tokens = store.read("token_checker_masks")
    detail = token_independence.detail(universal[tokens.setting], tokens.masks, keywords)
    store.write("token_independence_detail", detail)
    store.write("token_independence_summary", token_independence.summary(detail))
    tokenless = token_independence.no_keyword(at_reference, keywords)
    store.write("token_independence_no_keyword", tokenless)


if __name__ == "__main__":
    main()
