"""Imports go one way, deferred ones and those for types included (CONTRIBUTING.md, "The house")."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "atlas_assets"
#: room → the rooms whose modules it may import, besides its own
MAY_IMPORT = {
    "errors": set(),
    "progress": set(),
    "settings": {"errors", "stages"},
    "files": {"errors"},
    "hub_client": {"errors", "files"},
    "stages": {"errors", "settings"},
    "models": {"errors", "hub_client", "stages"},
    "extraction": {"errors", "files", "models", "progress", "stages"},
    "storage": {"errors", "files", "models", "settings", "stages"},
    "soundness": {"errors", "files", "models", "settings", "stages", "storage"},
}
BELOW_ATLAS = {*MAY_IMPORT, "soundness"}
MAY_IMPORT["atlas"] = BELOW_ATLAS
MAY_IMPORT["hub"] = BELOW_ATLAS | {"atlas"}
MAY_IMPORT["io"] = BELOW_ATLAS | {"atlas", "hub"}
MAY_IMPORT["orchestration"] = BELOW_ATLAS | {"atlas", "hub"}
MAY_IMPORT["cli"] = BELOW_ATLAS | {"atlas", "hub"}
MAY_IMPORT["definitions"] = BELOW_ATLAS | {"atlas", "hub", "orchestration"}
#: all that networks know of the stages: what a tokenizer is
OF_STAGES_IN_MODELS = {"atlas_assets.stages.prompts.tokens.CorpusTokenizer"}
#: modules that import what Dagster does not export; to become fewer, never more
PRIVATE_STILL = {
    "automation.conditions",
    "automation.follow",
}
#: room → libraries that none of its modules imports, wherever the import stands
NEVER = {
    "stages": {"torch", "transformers", "dagster", "h5py", "huggingface_hub"},
    "models": {"dagster", "h5py"},
    "extraction": {"dagster", "h5py"},
    "storage": {"dagster", "torch", "transformers", "huggingface_hub"},
    "soundness": {"dagster", "torch", "transformers", "huggingface_hub"},
    "atlas": {"dagster", "torch", "transformers"},
    "hub": {"dagster", "torch", "transformers"},
    "cli": {"dagster", "torch", "transformers"},
}


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> Iterator[str]:
    """The dotted name of everything that a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str:
    return name.split(".")[1] if name.count(".") else ""


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    upward = [
        f"{module} imports {target}"
        for module, path in modules()
        if room_of(module) == room
        for target in imported(path)
        if target.startswith("atlas_assets.") and room_of(target) not in {room, *MAY_IMPORT[room]}
    ]
    assert not upward


def test_networks_know_of_the_stages_only_what_a_tokenizer_is() -> None:
    found = {
        target
        for module, path in modules()
        if room_of(module) == "models"
        for target in imported(path)
        if target.startswith("atlas_assets.stages.")
    }
    assert found == OF_STAGES_IN_MODELS


@pytest.mark.parametrize("room", ["models", "extraction"])
def test_no_cycle_within_a_room_deferred_imports_included(room: str) -> None:
    names = {name for name, _ in modules() if room_of(name) == room}
    graph = {
        name: {found for target in imported(path) for found in _found(target, names)} - {name}
        for name, path in modules()
        if name in names
    }
    TopologicalSorter(graph).prepare()  # raises at a cycle and names it


def _found(target: str, names: set[str]) -> set[str]:
    """The module that an imported name is, or lies in."""
    return {target, target.rpartition(".")[0]} & names


@pytest.mark.parametrize("room", sorted(NEVER))
def test_a_room_does_without_the_libraries_of_others(room: str) -> None:
    found = [
        f"{module} imports {target}"
        for module, path in modules()
        if room_of(module) == room
        for target in imported(path)
        if target.split(".")[0] in NEVER[room]
    ]
    assert not found


def test_every_room_has_its_rule() -> None:
    assert {room_of(name) for name, _ in modules()} - {""} == {*MAY_IMPORT}


def test_no_two_modules_import_each_other_as_they_load() -> None:
    """No cycle among imports that run when a module is loaded."""
    graph = {name: set(_at_load(path)) for name, path in modules()}
    graph = {
        name: {
            found
            for target in targets
            if (found := target if target in graph else target.rpartition(".")[0]) in graph
            and found != name
        }
        for name, targets in graph.items()
    }
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join([*path[path.index(name) :], name])
        if name not in finished:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


def _at_load(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_private_of_dagster_is_imported_but_by_these() -> None:
    private = {
        module.removeprefix("atlas_assets.orchestration.")
        for module, path in modules()
        for target in imported(path)
        if target.startswith(("dagster._", "dagster_shared."))
    }
    assert private == PRIVATE_STILL
