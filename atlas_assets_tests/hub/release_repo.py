"""A repository as the paper's release: its file names, its formats, its quirks; tiny content."""

from __future__ import annotations

from pathlib import Path

import h5py

from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import CheckerMasks
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets_tests.storage import release_files, samples

REPO = "piotrwilam/CSP-Atlas"
OTHER_NAME = "piotrwilam/AtlasCSP"
SWEEP = (STANDALONE, REFERENCE)
GRID = {"ATLAS_EPSILONS": "0.001,0.5", "ATLAS_CONSISTENCIES": "0.8"}

#: what downstream assets are computed from
MASK_FILES = tuple(
    f"13_{kind}_masks_{setting.file_tag}.h5" for setting in SWEEP for kind in ("checker", "object")
)


def write(folder: Path) -> Path:
    """Everything that the release has, in folders by stage, with files that are none of an atlas.

    At ε = 0.001 the object masks lack counts and name lists, and the checker masks lie where those
    of objects do, with the other spelling of C.
    """
    for name in ("prompts", "masks", "tables"):
        (folder / name).mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# The atlas\n")
    (folder / "notes.csv").write_text("no,artifact\n")
    samples.object_prompts().write_parquet(folder / "prompts" / "11A_object_prompts.parquet")
    samples.checker_prompts().write_parquet(folder / "prompts" / "11B_checker_prompts.parquet")
    samples.checker_prompts().write_parquet(folder / "prompts" / "token_checker_prompts.parquet")
    objects, checkers = samples.activations(), samples.activations(samples.CONCEPTS, seed=1)
    release_files.write_activations(folder / "12_object_activations.h5", objects)
    release_files.write_activations(folder / "12_checker_activations.h5", checkers)
    _write_masks(folder / "masks")
    _write_tables(folder / "tables")
    return folder


def _write_masks(folder: Path) -> None:
    for setting in SWEEP:
        name = f"13_object_masks_{setting.file_tag}.h5"
        release_files.write_object_masks(
            folder / name, samples.objects(setting), sparse=setting == STANDALONE
        )
    for setting in SWEEP:
        path = folder / f"13_checker_masks_{setting.file_tag}.h5"
        release_files.write_checker_masks(path, samples.checkers(setting))
    _as_on_the_card(folder / f"13_checker_masks_{STANDALONE.file_tag}.h5")
    token_checkers: CheckerMasks = samples.checkers(REFERENCE, seed=2)
    release_files.write_checker_masks(folder / "token_checker_masks.h5", token_checkers)
    universal = folder / "universal_106x50.h5"
    release_files.write_object_masks(universal, samples.objects(STANDALONE), sparse=True)
    with h5py.File(universal, "a") as file:
        del file["pair_masks"]


def _as_on_the_card(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.move("token_checker_masks", "universal_masks")
        attributes = file["metadata"].attrs
        attributes["consistency_thresh"] = attributes.pop("consistency_threshold")


def _write_tables(folder: Path) -> None:
    tables = {setting: samples.target_checker(setting) for setting in SWEEP}
    for setting, table in tables.items():
        table.write_csv(folder / f"14_target_checker_{setting.file_tag}.csv")
    decomposition.summary(tables).write_csv(folder / "14_summary.csv")
    scores = samples.sample("modularity_scores").to_pandas()
    scores.set_index("index").rename_axis(None).to_csv(folder / "relaxed_modularity_scores.csv")
    for key, name in (
        ("modularity_detail", "relaxed_modularity_detail.csv"),
        ("token_independence_summary", "token_independence_summary.csv"),
        ("token_independence_detail", "token_independence_detail.csv"),
        ("token_independence_no_keyword", "token_independence_no_keyword.csv"),
    ):
        samples.sample(key).write_csv(folder / name)
