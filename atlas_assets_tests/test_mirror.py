"""A module that does something has a test module of its name, at the same place among the tests."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "atlas_assets"
#: modules without a test module of their name, by the one that tests them through what uses them
TESTED_IN = {
    # an atlas opened in Python says what the command says
    "api/test_opened.py": ("atlas/circuit.py",),
    # the model that an atlas is about is looked up when the atlas is opened
    "atlas/test_open.py": ("atlas/model.py",),
    # what is told by a command is tried on it, and options on one that has them
    "cli/test_command.py": ("cli/text.py", "cli/colour.py"),
    "cli/test_show.py": ("atlas/concept_names.py", "cli/options.py"),
    "cli/test_stability.py": ("atlas/stability.py",),
    "cli/test_wiring.py": ("atlas/wiring.py",),
    "cli/test_status.py": ("atlas/status.py", "cli/where.py"),
    # how readouts are read and added up shows in padded batches, attention in the whole network
    "extraction/test_passes.py": ("extraction/engine.py", "extraction/tree_pass.py"),
    "extraction/test_plain_pass.py": (
        "extraction/batching.py",
        "extraction/readouts.py",
        "extraction/reduction.py",
    ),
    "engines/test_dask_engine.py": ("engines/likeness.py", "engines/on_worker.py"),
    "extraction/test_extraction.py": ("extraction/engine.py", "extraction/losses.py"),
    "extraction/test_positions.py": ("extraction/spots.py",),
    "extraction/test_tree_model.py": ("extraction/tree_probe.py",),
    "extraction/test_tree_network.py": (
        "extraction/prefix_tree.py",
        "extraction/tree_attention.py",
    ),
    "extraction/test_shards.py": ("files/scratch.py",),
    # values are tried on settings, and digests are in the names of folders
    "test_settings.py": ("files/digests.py", "setting_values.py"),
    # answers and failures of the Hub are seen through the client
    "hub_client/test_client.py": ("hub_client/failures.py", "hub_client/transport.py"),
    # layers and kernels are held to the whole network
    "models/test_circuitgpt.py": (
        "models/circuitgpt_layers.py",
        "models/circuitgpt_network.py",
        "models/cpu_kernels.py",
    ),
    "models/test_checkpoint_files.py": ("models/special_tokens.py",),
    "models/test_loading.py": (
        "models/loaded.py",
        "models/sources.py",
        "models/transformers_loading.py",
    ),
    # what is found is run, and read, in networks of every family
    "models/test_families.py": ("models/mlp_checks.py", "models/readout_points.py"),
    # files that a user names are refused before the first step of a run
    "orchestration/test_own_files.py": ("stages/own_files.py",),
    # what is built from Python is what the job makes
    # what wires Dagster shows in whole runs and in what a tick asks for
    "orchestration/automation/test_follow.py": (
        "definitions.py",
        "orchestration/automation/jobs.py",
        "orchestration/automation/plan.py",
        "orchestration/data_versions.py",
        "orchestration/making.py",
        "orchestration/partitions.py",
        "stages/figures/artifacts.py",
        "stages/report/artifacts.py",
    ),
    "orchestration/io_managers/test_round_trip.py": (
        "orchestration/io_managers/base.py",
        "orchestration/io_managers/metadata.py",
    ),
    # every text that is rendered is among the candidates, which are pinned
    "stages/masks/test_masks.py": ("stages/masks/thresholds.py",),
    "stages/prompts/test_object_prompts.py": ("stages/prompts/essences.py",),
    # checks and declarations are tried on the artifacts that they are of
    "soundness/test_inspection.py": (
        "stages/activations/artifacts.py",
        "stages/check.py",
        "stages/masks/artifacts.py",
        "stages/prompts/artifacts.py",
    ),
    "soundness/test_evidence.py": (
        "soundness/evaluate.py",
        "stages/making.py",
        "stages/report/claims.py",
    ),
    "stages/report/test_page.py": ("soundness/gather.py",),
    # what examines a file for others is seen through those who ask it to
    "storage/test_trust.py": ("storage/examine.py",),
    # circuits, ablation and yardsticks as artifacts show in a small atlas
    "orchestration/test_atlas_job.py": (
        "api/building.py",
        "stages/circuits/artifacts.py",
        "stages/circuits/yardsticks.py",
        "cli/leaderboard.py",
    ),
    # a run that is told of is one that a command begins
    "orchestration/test_command_line.py": ("cli/browse.py", "orchestration/telling.py"),
    # columns are declared with these functions, and tables held to them
    "stages/test_schema.py": ("stages/columns.py",),
}


def modules() -> set[str]:
    """The modules that define a function, by their paths in the package."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("[!_]*.py")
        if any(
            isinstance(node, ast.FunctionDef)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }


def has_its_own(module: str) -> bool:
    return (TESTS / module).with_name(f"test_{Path(module).name}").is_file()


def test_every_module_has_a_test_module_of_its_name_or_is_named_here() -> None:
    named = {module for tested in TESTED_IN.values() for module in tested}
    assert {module for module in modules() if not has_its_own(module)} - named == set()
    assert [test for test in TESTED_IN if not (TESTS / test).is_file()] == []
