"""Imports go one way, deferred ones and those for types included (CONTRIBUTING.md, "The house")."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "atlas_assets"
#: room → the rooms whose modules it may import, besides its own
MAY_IMPORT = {
    "__main__": {"cli"},
    "errors": set(),
    "interrupts": set(),
    "progress": {"interrupts"},
    "setting_values": {"errors", "files", "stages"},
    "settings": {"errors", "files", "setting_values", "stages"},
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
MAY_IMPORT["engines"] = BELOW_ATLAS | {"atlas"}
MAY_IMPORT["orchestration"] = BELOW_ATLAS | {"atlas", "engines", "hub"}
MAY_IMPORT["definitions"] = BELOW_ATLAS | {"atlas", "hub", "orchestration"}
MAY_IMPORT["api"] = BELOW_ATLAS | {"atlas", "definitions", "orchestration"}
MAY_IMPORT["cli"] = BELOW_ATLAS | {"atlas", "hub", "api"}
#: all that networks know of the stages: what a tokenizer is
OF_STAGES_IN_MODELS = {"atlas_assets.stages.prompts.tokens.CorpusTokenizer"}
#: room → libraries that none of its modules imports, wherever the import stands
NEVER = {
    "stages": {"torch", "transformers", "dagster", "h5py", "huggingface_hub"},
    "models": {"dagster", "h5py"},
    "extraction": {"dagster", "h5py"},
    "storage": {"dagster", "torch", "transformers", "huggingface_hub"},
    "soundness": {"dagster", "torch", "transformers", "huggingface_hub"},
    "atlas": {"dagster", "torch", "transformers"},
    "engines": {"dagster", "h5py"},
    "hub": {"dagster", "torch", "transformers"},
    "cli": {"dagster", "torch", "transformers"},
}


@cache
def modules() -> dict[str, ast.Module]:
    """The text of every module of the package, parsed, by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def names_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The dotted name of everything that the import statements among ``nodes`` import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imported(module: str) -> tuple[str, ...]:
    """The dotted name of everything that a module imports, wherever the import stands."""
    return tuple(names_in(ast.walk(modules()[module])))


def room_of(name: str) -> str:
    return name.split(".")[1] if name.count(".") else ""


def of_room(room: str) -> Iterator[tuple[str, str]]:
    """(module, what it imports) for every import in a room."""
    for module in modules():
        if room_of(module) == room:
            yield from ((module, target) for target in imported(module))


def require_no_cycle(imports: Mapping[str, Iterable[str]]) -> None:
    """No modules import each other in a circle; an import is of a module or of a name in one."""
    graph = {}
    for name, targets in imports.items():
        found = {part for target in targets for part in (target, target.rpartition(".")[0])}
        graph[name] = found & imports.keys() - {name}
    TopologicalSorter(graph).prepare()  # raises at a cycle and names it


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    upward = [
        f"{module} imports {target}"
        for module, target in of_room(room)
        if target.startswith("atlas_assets.") and room_of(target) not in {room, *MAY_IMPORT[room]}
    ]
    assert not upward


def test_who_asks_for_own_prompts_has_the_judge_of_their_file_too() -> None:
    """Stages cannot import `storage.trust`, which has parquet read by another process first."""
    wanted, judge = "atlas_assets.stages.prompts.inventory.", "atlas_assets.storage.trust"
    asking = [m for m in modules() if room_of(m) != "stages" and _imports(m, wanted)]
    assert len(asking) > 4
    for module in asking:
        reached, left = {module}, [module]
        while left:
            targets = {t for name in imported(left.pop()) for t in (name, name.rpartition(".")[0])}
            found = targets & modules().keys() - reached
            reached |= found
            left += found
        assert judge in reached, module


def _imports(module: str, prefix: str) -> bool:
    return any(target.startswith(prefix) for target in imported(module))


def test_networks_know_of_the_stages_only_what_a_tokenizer_is() -> None:
    found = {target for _, target in of_room("models") if room_of(target) == "stages"}
    assert found == OF_STAGES_IN_MODELS


@pytest.mark.parametrize("room", ["models", "extraction"])
def test_no_cycle_within_a_room_deferred_imports_included(room: str) -> None:
    require_no_cycle({name: imported(name) for name in modules() if room_of(name) == room})


def test_no_two_modules_import_each_other_as_they_load() -> None:
    require_no_cycle({name: names_in(tree.body) for name, tree in modules().items()})


@pytest.mark.parametrize("room", sorted(NEVER))
def test_a_room_does_without_the_libraries_of_others(room: str) -> None:
    found = [
        f"{module} imports {target}"
        for module, target in of_room(room)
        if target.split(".")[0] in NEVER[room]
    ]
    assert not found


def test_every_room_has_its_rule() -> None:
    assert set(map(room_of, modules())) - {""} == {*MAY_IMPORT}


def test_nothing_private_of_dagster_is_imported() -> None:
    ours = [path for room in ("*assets", "*_tests", "tools") for path in files_in(room)]
    private = [
        f"{path} imports {target}"
        for path in ours
        for target in names_in(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if target.startswith(("dagster._", "dagster_shared."))
    ]
    assert ours
    assert not private


def files_in(folders: str) -> Iterator[Path]:
    for folder in PACKAGE.parent.glob(folders):
        yield from folder.rglob("*.py")
