"""Fresh processes in an environment that is the same everywhere, and what they print, as items."""

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
#: of the cut atlas; {atlas} is its folder, {copy} another with one file less
CALLS = (
    "claims --json",
    "claims",
    "diff {atlas} {copy} --json",
    "fetch --list --json",
    "follow --json",
    "follow",
    "publish --dry-run --json",
    "show For --json",
    "show list -e 0.1 -c 0.5 -l 3 -n 2",
    "stability {atlas} {copy} --json",
    "status --json",
    "status --verify",
    "sweep -e 0.5 -e 0.2 -c 0.8 --json",
    "where --json",
)
#: what goes wrong, and what is set for it
MISTAKES: tuple[tuple[str, dict[str, str]], ...] = (
    ("--no-such-option", {}),
    ("no-such-command", {}),
    ("claims --json", {"ATLAS_DATA_DIR": "{data}/none"}),
    ("diff {atlas} {data}/none --json", {}),
    ("show For --json", {"ATLAS_NAME": "none"}),
    ("show Fro --json", {}),
    ("show For -l 99 --json", {}),
    ("status --json", {"ATLAS_CONSISTENCIES": "1.5"}),
    ("status --json", {"ATLAS_READOUT": "first"}),
    ("stability {atlas} --json", {}),
    ("sweep -e -1 -c 0.8 --json", {}),
    ("sweep -e 0.5 -c 0.8 --write --json", {}),
    ("where --json", {"ATLAS_DATADIR": "elsewhere"}),
)


class Workplace:
    """A folder for one atlas, and processes that see no other settings than its own."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        home = self.folder / "dagster"
        home.mkdir(parents=True)
        shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", home)
        ours = ("ATLAS_", "_ATLAS_", "DAGSTER_", "HF_", "HUGGING", "PYTEST_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **settings,
            "ATLAS_DATA_DIR": str(self.data),
            "ATLAS_DEVICE": "cpu",
            "COLUMNS": "80",
            "DAGSTER_HOME": str(home),
            "HF_HOME": str(self.folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": str(ROOT),
        }

    def python(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.environment | settings,
            capture_output=True,
            encoding="utf-8",
            timeout=900,
        )

    def succeed(self, *arguments: str) -> str:
        """What a module prints, which must end well."""
        done = self.python(*arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def build(self) -> Path:
        """Build the atlas as a user does, and give its folder."""
        job = ("job", "execute", "-m", "atlas_assets.definitions", "-j", "atlas")
        self.succeed("dagster", *job)
        (atlas,) = self.data.iterdir()
        return atlas

    def surface(self, *arguments: str) -> Items:
        """What `atlas_assets_tests.frozen.surface` prints."""
        items: Items = json.loads(self.succeed("atlas_assets_tests.frozen.surface", *arguments))
        return items

    def command_line(self, atlas: Path) -> Items:
        """Help of every command, every call and every mistake: exit code and what was printed."""
        copy = self.folder / "copy"
        shutil.copytree(atlas, copy)
        (copy / "layer_profile.csv").unlink()
        items: Items = {}
        commands = sorted({call.split()[0] for call in CALLS})
        helps = ["--help", *(f"{command} --help" for command in commands)]
        places = {"atlas": str(atlas), "copy": str(copy), "data": str(self.data)}
        for call, settings in [*((call, {}) for call in (*helps, *CALLS)), *MISTAKES]:
            done = self.python(
                "atlas_assets.cli",
                *(word.format(**places) for word in call.split()),
                **{name: value.format(**places) for name, value in settings.items()},
            )
            set_to = [f"{name}={value}" for name, value in settings.items()]
            items |= self._called(" ".join([*set_to, "atlas", call]), done)
        return items

    def _called(self, name: str, done: subprocess.CompletedProcess[str]) -> Items:
        done.stdout = done.stdout.replace(str(self.folder), "<folder>")
        done.stderr = done.stderr.replace(str(self.folder), "<folder>")
        if not (done.stdout and "--json" in name):
            return {name: _lines(done)}
        document = json.loads(done.stdout)
        indented = json.dumps(document, indent=1) + "\n" == done.stdout
        head = {"exit": done.returncode, "indented": indented, "errors": done.stderr.splitlines()}
        items: Items = {f"{name} |": head}
        for key, value in document.items():
            several = isinstance(value, list) and value
            for number, each in enumerate(value if several else [value]):
                place = f"{key}[{number:03}]" if several else key
                items[f"{name} | {place}"] = _without_versions(each)
        return items


def _lines(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {
        "exit": done.returncode,
        "output": done.stdout.splitlines(),
        "errors": done.stderr.splitlines(),
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
