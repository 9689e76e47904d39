"""A corpus of Python: the standard library and permissively licensed packages of the environment.

``corpus.toml`` names the packages. Tests, vendored code, generated code, tables and copies are left
out. ``python -m tools.corpus`` prints the manifest of what is here; that of what the embedded model
has learnt from is in its ``training.json``.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from itertools import groupby
from pathlib import Path
from typing import Any

#: a file with a longer line is a table
LONGEST_LINE = 1000
#: a longer line, met twice, is taken for copied
COPIED_LINE = 20
#: a file of the standard library is held out when its digest is divisible by this
HELD_OUT_ONE_IN = 20


@dataclass(frozen=True)
class Source:
    """One module's source.

    Attributes:
        name: path below its package's folder or the standard library, with forward slashes.
        text: its text.
        package: name, version and licence of its distribution.
    """

    name: str
    text: str
    package: tuple[str, str, str] = ("python", "", "")

    @property
    def sha256(self) -> str:
        """SHA-256 of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Corpus:
    """What is trained on and what is held out, each by ``library`` and ``packages``."""

    train: Mapping[str, Sequence[Source]]
    held_out: Mapping[str, Sequence[Source]]

    def manifest(self) -> dict[str, Any]:
        """Tell Python's version, packages with versions and licences, files, and their digests."""
        return {
            "library": {
                "python": platform.python_version(),
                "files": len(self.train["library"]),
                "sha256": digest(self.train["library"]),
                "held_out": {source.name: source.sha256 for source in self.held_out["library"]},
            },
            "packages": _packages(self.train["packages"]),
            "held_out_packages": _packages(self.held_out["packages"]),
        }


@cache
def rules() -> dict[str, Any]:
    """Return what is in ``corpus.toml``."""
    return tomllib.loads(Path(__file__).with_name("corpus.toml").read_text("utf-8"))


def read_library(folder: Path | None = None) -> list[Source]:
    """Read the Python files below ``folder``; by default, of the standard library in use."""
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    return _read(folder, [path.relative_to(folder) for path in folder.rglob("*.py")])


def read_packages() -> list[Source]:
    """Read the packages of ``corpus.toml`` that are installed, but for tables, sorted by name."""
    sources: list[Source] = []
    for name, licence in sorted(rules()["packages"].items()):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # the manifest says which were read
        files = [Path(str(file)) for file in found.files or () if file.suffix == ".py"]
        own = _read(Path(str(found.locate_file(""))), files, (name, found.version, licence))
        sources += [source for source in own if not is_table(source)]
    return sources


def _read(folder: Path, files: list[Path], *package: tuple[str, str, str]) -> list[Source]:
    """Read the files that are UTF-8 and in no excluded folder, sorted by name."""
    excluded, sources = rules()["excluded_folders"], []
    for file in sorted(files, key=lambda file: file.as_posix()):
        if not set(excluded).intersection(file.parts[:-1]) and (folder / file).is_file():
            try:
                text = (folder / file).read_text("utf-8")
            except UnicodeDecodeError:
                continue  # the few files in other encodings are tests of those encodings
            sources.append(Source(file.as_posix(), text, *package))
    return sources


def is_table(source: Source) -> bool:
    """Tell whether a file is generated or a table: a very long line, or a protocol's messages."""
    longest = max(map(len, source.text.splitlines()), default=0)
    return longest > LONGEST_LINE or source.name.endswith(("_pb2.py", "_pb2_grpc.py"))


def divide(library: Iterable[Source], packages: Sequence[Source], one_in: int) -> Corpus:
    """Hold out files and whole packages, and leave out copies.

    Args:
        library: the standard library. Those files are held out whose SHA-256 is divisible by
            ``one_in``: the digest is the text's, so that copies of a file lie on the same side.
        packages: those that ``corpus.toml`` says are held out.
        one_in: see ``library``.
    """
    learnt: list[Source] = []
    apart: list[Source] = []
    for source in library:
        (learnt if int(source.sha256, 16) % one_in else apart).append(source)
    names = rules()["held_out_packages"]
    whole = [source for source in packages if source.package[0] in names]
    others = [source for source in packages if source.package[0] not in names]
    trained = without_copies(others, [*apart, *whole, *learnt])
    return Corpus({"library": learnt, "packages": trained}, {"library": apart, "packages": whole})


def without_copies(sources: Iterable[Source], first: Iterable[Source]) -> list[Source]:
    """Leave out files of which more than half of the long lines were met before.

    Args:
        sources: in their order, which decides which of two copies stays.
        first: sources met before all of them, held-out ones above all.
    """
    met = {line for source in first for line in _long_lines(source)}
    kept = []
    for source in sources:
        lines = _long_lines(source)
        if lines and 2 * sum(line in met for line in lines) <= len(lines):
            kept.append(source)
        met.update(lines)
    return kept


def _long_lines(source: Source) -> list[str]:
    lines = (line.strip() for line in source.text.splitlines())
    return [line for line in lines if len(line) >= COPIED_LINE]


def _packages(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Per package its name, version, licence, files and characters, and one digest."""
    packages = []
    for (name, version, licence), group in groupby(sources, lambda source: source.package):
        files = list(group)
        told: dict[str, Any] = {"package": name, "version": version, "licence": licence}
        told["files"], told["characters"] = len(files), sum(len(file.text) for file in files)
        packages.append({**told, "sha256": digest(files)})
    return packages


def digest(sources: Iterable[Source]) -> str:
    """Return the SHA-256 over the sources' names and digests: it is equal when the corpus is."""
    lines = "".join(f"{source.sha256}  {source.name}\n" for source in sources)
    return hashlib.sha256(lines.encode()).hexdigest()


if __name__ == "__main__":
    corpus = divide(read_library(), read_packages(), HELD_OUT_ONE_IN)
    sys.stdout.write(json.dumps(corpus.manifest(), indent=1) + "\n")
