"""Processes in an environment that is the same everywhere, and what they print, as items."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from atlas_assets_tests.frozen.digests import PLAIN, Items

ROOT = Path(__file__).resolve().parents[2]
CUT = {
    "ATLAS_AST_NODES": "For,If,Import,Pass,Return",
    "ATLAS_BUILTINS": "list,int,len,_isolated_",
    "ATLAS_VARIATIONS": "4",
}
#: {atlas} is the folder of the cut atlas, {copy} another with one file less
CALLS = (
    "atlas claims --json",
    "atlas claims",
    "atlas diff {atlas} {copy} --json",
    "atlas fetch --list --json",
    "atlas follow --json",
    "atlas follow",
    "atlas publish --dry-run --json",
    "atlas show For --json",
    "atlas show list -e 0.1 -c 0.5 -l 3 -n 2",
    "atlas stability {atlas} {copy} --json",
    "atlas status --json",
    "atlas status --verify",
    "atlas sweep -e 0.5 -e 0.2 -c 0.8 --json",
    "atlas where --json",
)
MISTAKES = (
    "atlas --no-such-option",
    "atlas no-such-command",
    "ATLAS_DATA_DIR={data}/none atlas claims --json",
    "atlas diff {atlas} {data}/none --json",
    "ATLAS_NAME=none atlas show For --json",
    "atlas show Fro --json",
    "atlas show For -l 99 --json",
    "ATLAS_CONSISTENCIES=1.5 atlas status --json",
    "ATLAS_READOUT=first atlas status --json",
    "atlas stability {atlas} --json",
    "atlas sweep -e -1 -c 0.8 --json",
    "atlas sweep -e 0.5 -c 0.8 --write --json",
    "ATLAS_DATADIR=elsewhere atlas where --json",
)


SIZE = re.compile(r" *(?<![\w.])[\d.]+ [kMG]?B\b")


class Workplace:
    """A folder for one atlas, and processes that see no other settings than its own."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        home = self.folder / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", home)
        ours = ("ATLAS_", "_ATLAS_", "DAGSTER_", "HF_", "HUGGING", "PYTEST_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **settings,
            "ATLAS_DATA_DIR": str(self.data),
            "ATLAS_DEVICE": "cpu",
            "COLUMNS": "200",  # as wide as any table; help is never wider than 80
            "DAGSTER_HOME": str(home),
            "HF_HOME": str(self.folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": str(ROOT),
        }

    def succeed(self, *arguments: str, told: str | None = None) -> str:
        """What a module prints that is told something; it must end well."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=told,
            capture_output=True,
            encoding="utf-8",
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def build(self) -> Path:
        """Build the atlas as a user does, and give its folder."""
        job = ("job", "execute", "-m", "atlas_assets.definitions", "-j", "atlas")
        self.succeed("dagster", *job)
        return self.atlas

    @property
    def atlas(self) -> Path:
        """The folder of the atlas that was built."""
        (atlas,) = self.data.iterdir()
        return atlas

    def surfaces(self, atlas: Path) -> dict[str, Items]:
        """What `atlas_assets_tests.frozen.surface` prints, by the name of its record."""
        told = self.succeed("atlas_assets_tests.frozen.surface", str(atlas))
        items: dict[str, Items] = json.loads(told)
        return items

    def command_line(self, atlas: Path) -> Items:
        """Help of every command, every call and every mistake: exit code and what was printed."""
        copy = self.folder / "copy"
        shutil.copytree(atlas, copy)
        (copy / "layer_profile.csv").unlink()
        helps = {f"atlas {command} --help" for command in {call.split()[1] for call in CALLS}}
        places = {"atlas": str(atlas), "copy": str(copy), "data": str(self.data)}
        names = ("atlas --help", *sorted(helps), *CALLS, *MISTAKES)
        calls = []
        for name in names:
            words = [word.format(**places) for word in name.split()]
            start = words.index("atlas")
            settings = dict(word.split("=") for word in words[:start])
            calls.append((words[start + 1 :], settings))
        told = self.succeed("atlas_assets_tests.frozen.forks", told=json.dumps(calls))
        items: Items = {}
        for name, (code, output, errors) in zip(names, json.loads(told), strict=True):
            items |= self._called(name, code, output, errors)
        return items

    def _called(self, name: str, code: int, output: str, errors: str) -> Items:
        output = output.replace(str(self.folder), "<folder>")
        errors = errors.replace(str(self.folder), "<folder>")
        if not (output and "--json" in name):
            return {name: _lines(code, output, errors)}
        document = json.loads(output)
        indented = json.dumps(document, indent=1) + "\n" == output
        head = {"exit": code, "indented": indented, "errors": errors.splitlines()}
        items: Items = {f"{name} |": head}
        for key, value in document.items():
            several = isinstance(value, list) and value
            for number, each in enumerate(value if several else [value]):
                place = f"{key}[{number:03}]" if several else key
                items[f"{name} | {place}"] = _without_versions(each)
        return items


def _lines(code: int, output: str, errors: str) -> dict[str, Any]:
    """What was printed, less sizes of files, which follow from versions."""
    return {
        "exit": code,
        "output": [SIZE.sub(" *B", line) for line in output.splitlines()],
        "errors": errors.splitlines(),
    }


def _without_versions(value: Any, name: str = "") -> Any:
    """A document less libraries' versions, digests, and sizes that follow from versions."""
    if isinstance(value, dict) and name == "versions":
        return sorted(value)
    if isinstance(value, dict):
        plain = str(value.get("name") or value.get("path")).endswith(PLAIN)
        return {
            key: "*" if key == "size_bytes" and not plain else _without_versions(each, key)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_without_versions(each) for each in value]
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", value)
    return value
