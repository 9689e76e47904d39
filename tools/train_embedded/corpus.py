"""What the embedded model learns from: the standard library and the packages of the environment.

Of the packages that ``constraints.txt`` pins, those whose every licence is permissive. Packages
under other or unclear licences are left out, as are tests, vendored code, generated code and
tables.
"""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

#: tests, third-party and generated code are no sample of how Python is written
EXCLUDED = frozenset(
    {
        "__pycache__",
        "_vendor",
        "_vendored",
        "dist-packages",
        "encodings",
        "ensurepip",
        "idle_test",
        "idlelib",
        "pydoc_data",
        "site-packages",
        "test",
        "testing",
        "tests",
        "turtledemo",
        "vendor",
        "vendored",
    }
)
#: a file with a longer line is a table
LONGEST_LINE = 1000
#: a longer line, met twice, is taken for copied
COPIED_LINE = 20
#: whole packages of the second held-out set
HELD_OUT_PACKAGES = frozenset(
    {"click", "fsspec", "jinja2", "markdown-it-py", "networkx", "requests", "rich"}
)
#: how licences are named in the metadata of packages, in lower case
PERMISSIVE = frozenset(
    {
        "0bsd",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "cc0-1.0",
        "cnri-python",
        "isc",
        "llvm-exception",
        "mit",
        "mit-cmu",
        "psf-2.0",
        "zlib",
    }
)
_ALIASES = {
    "apache": "apache-2.0",
    "apache 2.0": "apache-2.0",
    "apache 2.0 license": "apache-2.0",
    "apache software license": "apache-2.0",
    "3-clause bsd license": "bsd-3-clause",
    "bsd license": "bsd-3-clause",
    "bsd": "bsd-3-clause",
    "isc license (iscl)": "isc",
    "mit license": "mit",
    "python software foundation license": "psf-2.0",
}
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@dataclass(frozen=True)
class Source:
    """One module's source.

    Attributes:
        name: path below its package's folder or the standard library, with forward slashes.
        text: its text.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Package:
    """One package's sources, and where they are from.

    Attributes:
        name: of the distribution, or ``python`` for the standard library.
        version: its version.
        licence: as its metadata say.
        sources: sorted by name.
    """

    name: str
    version: str
    licence: str
    sources: list[Source]

    def as_json(self) -> dict[str, Any]:
        """Return name, version, licence, number of files and characters, and one digest."""
        return {
            "package": self.name,
            "version": self.version,
            "licence": self.licence,
            "files": len(self.sources),
            "characters": sum(len(source.text) for source in self.sources),
            "sha256": manifest_digest(self.sources),
        }


def read_corpus(folder: Path | None = None) -> list[Source]:
    """Read every Python file below ``folder`` that is UTF-8 and not in an excluded folder.

    Args:
        folder: default: the standard library of the running interpreter.

    Returns:
        Sources sorted by name.
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    return _read(folder, (path.relative_to(folder) for path in folder.rglob("*.py")))


def read_packages(constraints: Path = CONSTRAINTS) -> list[Package]:
    """Read the permissively licensed packages that a file of constraints pins, sorted by name.

    Those that are not installed are passed over; the record says which were read.
    """
    pins = re.findall(r"^([A-Za-z0-9._-]+)==", constraints.read_text(), flags=re.MULTILINE)
    packages = []
    for name in sorted({re.sub(r"[-_.]+", "-", pin).lower() for pin in pins}):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        licence = licence_of(found)
        if not is_permissive(licence):
            continue
        files = [Path(str(file)) for file in found.files or () if file.suffix == ".py"]
        sources = _read(Path(str(found.locate_file(""))), files)
        if sources:
            packages.append(Package(name, found.version, licence, sources))
    return packages


def licence_of(package: Distribution) -> str:
    """Return a distribution's licence as its metadata say: expression, classifiers or text."""
    told = package.metadata
    classifiers = [
        line.split(" :: ")[-1]
        for line in told.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    expression, text = (
        (told.get_all(field) or [""])[0] for field in ("License-Expression", "License")
    )
    return str(expression or " AND ".join(classifiers) or text)


def is_permissive(licence: str) -> bool:
    """Tell whether every licence named is one of `PERMISSIVE`; nothing named is unclear."""
    names = re.split(r"\s+(?:AND|OR|WITH)\s+", licence)
    plain = {name.strip().lower() for name in names}
    return {_ALIASES.get(name, name) for name in plain} <= PERMISSIVE


def without_copies(packages: Iterable[Package], first: Iterable[Source]) -> list[Package]:
    """Leave out files of which more than half of the long lines were met before.

    Args:
        packages: in their order, which decides which of two copies stays.
        first: sources met before all of them, held-out ones above all.
    """
    met: set[int] = set()
    for source in first:
        met.update(_long_lines(source))
    kept = []
    for package in packages:
        own = []
        for source in package.sources:
            lines = _long_lines(source)
            if lines and 2 * sum(line in met for line in lines) <= len(lines):
                own.append(source)
            met.update(lines)
        if own:
            kept.append(Package(package.name, package.version, package.licence, own))
    return kept


def manifest_digest(sources: Iterable[Source]) -> str:
    """Return the SHA-256 over the sources' names and digests: it is equal when the corpus is."""
    lines = "".join(f"{source.sha256}  {source.name}\n" for source in sources)
    return hashlib.sha256(lines.encode()).hexdigest()


def _read(folder: Path, files: Iterable[Path]) -> list[Source]:
    sources = []
    for file in sorted(files, key=lambda file: file.as_posix()):
        if EXCLUDED.isdisjoint(file.parts[:-1]) and (folder / file).is_file():
            try:
                sources.append(Source(file.as_posix(), (folder / file).read_text("utf-8")))
            except UnicodeDecodeError:
                continue  # the few files in other encodings are tests of those encodings
    return sources


def _long_lines(source: Source) -> list[int]:
    # hashes of Python's own would differ between processes
    lines = (line.strip() for line in source.text.splitlines())
    return [
        int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "little")
        for line in lines
        if len(line) >= COPIED_LINE
    ]


def is_table(source: Source) -> bool:
    """Tell whether a file is generated or a table: a very long line, or a protocol's messages."""
    longest = max(map(len, source.text.splitlines()), default=0)
    return longest > LONGEST_LINE or source.name.endswith(("_pb2.py", "_pb2_grpc.py"))
