"""Nothing that a user can see has changed since it was recorded; see this package's docstring."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas_assets_tests.frozen.calls import CUT, Workplace
from atlas_assets_tests.frozen.digests import Items, atlas_items
from atlas_assets_tests.frozen.record import (
    COMMAND,
    cut_items,
    difference,
    differences,
    environment,
    of_machine,
    read,
)


@pytest.fixture(scope="module")
def cut(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Items]:
    folder = tmp_path_factory.mktemp("frozen") / "cut"
    return cut_items(Workplace(shutil.copytree(built, folder), CUT))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Items:
    return atlas_items(Workplace(tmp_path_factory.mktemp("frozen") / "full", {}).build())


def hold(name: str, found: Items, *, machine: bool = False) -> None:
    """Hold the items of a record, those of the machine or all others, to what was found."""
    recorded_on, expected = read(name)
    if machine and recorded_on != environment():
        pytest.skip(f"recorded on another machine or with other libraries: {recorded_on}")
    changed = [item for item in differences(expected, found) if of_machine(item) is machine]
    if changed:
        shown = "\n".join(difference(item, expected, found) for item in changed[:40])
        command = f"{COMMAND} --full" if name == "full_atlas" else COMMAND
        pytest.fail(
            f"{len(changed)} of {len(expected)} items of {name} changed:\n{shown}\n"
            f"If every change is meant, record them and review the diff: {command}",
            pytrace=False,
        )


@pytest.mark.parametrize("name", ["cut_atlas", "command_line", "dagster", "io"])
def test_what_a_user_sees_is_as_recorded(cut: dict[str, Items], name: str) -> None:
    hold(name, cut[name])


def test_bits_pixels_and_digests_of_the_cut_atlas_are_as_recorded(cut: dict[str, Items]) -> None:
    hold("cut_atlas", cut["cut_atlas"], machine=True)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [False, True])
def test_the_full_atlas_is_as_recorded(full: Items, machine: bool) -> None:
    hold("full_atlas", full, machine=machine)
