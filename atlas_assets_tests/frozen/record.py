"""Record what the tests hold the program to: ``python -m atlas_assets_tests.frozen.record``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from atlas_assets_tests.frozen.calls import CUT, Workplace
from atlas_assets_tests.frozen.digests import MACHINE, Items, atlas_items

RECORDED = Path(__file__).parent / "recorded"
COMMAND = "python -m atlas_assets_tests.frozen.record"
LIBRARIES = ("h5py", "matplotlib", "numpy", "pillow", "polars", "scipy", "torch")


def cut_items(workplace: Workplace) -> dict[str, Items]:
    """Everything that is recorded of the cut grid that was built, by the name of its record."""
    atlas = workplace.atlas
    files = atlas_items(atlas)  # before any command could leave something in the folder
    return {
        "cut_atlas": files,
        "command_line": workplace.command_line(atlas),
        **workplace.surfaces(atlas),
    }


def environment() -> dict[str, str]:
    """What the last bits of sums and the pixels of figures depend on."""
    return {
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        **{library: version(library) for library in LIBRARIES},
    }


def write(name: str, items: Items) -> None:
    """One line per item, sorted, so that a diff of the record names what changed."""
    entries = {"(environment)": environment(), **dict(sorted(items.items()))}
    lines = [f"{_text(key)}: {_text(value)}" for key, value in entries.items()]
    content = "{\n" + ",\n".join(lines) + "\n}\n"
    (RECORDED / f"{name}.json").write_text(content, encoding="utf-8")


def read(name: str) -> tuple[dict[str, str], Items]:
    """The environment of a recording, and its items."""
    items: Items = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return items.pop("(environment)"), items


def of_machine(item: str) -> bool:
    """Whether the item depends on processor and libraries."""
    return item.rpartition(" | ")[2] in MACHINE


def differences(expected: Items, found: Items) -> list[str]:
    """The items that differ."""
    items = sorted(expected.keys() | found.keys())
    return [item for item in items if not _same(item, expected.get(item), found.get(item))]


def difference(item: str, expected: Items, found: Items) -> str:
    """A paragraph about an item that differs."""
    return f"{item}\n  expected: {_shown(expected, item)}\n  found:    {_shown(found, item)}"


def _same(item: str, expected: Any, found: Any) -> bool:
    if " | sums " in item and expected and found:
        pairs = zip(map(float, expected), map(float, found), strict=True)
        return all(abs(a - b) <= 1e-5 * abs(a) for a, b in pairs)
    return bool(expected == found)


def _shown(items: Items, item: str) -> str:
    return _text(items[item]) if item in items else "no such item"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Record the cut grid, and with ``--full`` the whole one, of this checkout's code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--full", action="store_true", help="also the whole embedded grid")
    full = parser.parse_args().full
    with tempfile.TemporaryDirectory() as folder:
        cut = Workplace(Path(folder) / "cut", CUT)
        cut.build()
        records = cut_items(cut)
        if full:
            records["full_atlas"] = atlas_items(Workplace(Path(folder) / "full", {}).build())
    for name, items in records.items():
        write(name, items)
        sys.stdout.write(f"recorded {len(items)} items in {RECORDED / name}.json\n")


if __name__ == "__main__":
    main()
