from __future__ import annotations

import contextlib
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path

import pytest

from tools.corpus import (
    Source,
    digest,
    divide,
    is_table,
    read_library,
    read_packages,
    rules,
    without_copies,
)

MODULES = [Source(f"module_{n}.py", f"module_number_{n} = the_value_of_{n}\n") for n in range(60)]
#: how licences that are permissive are named in the metadata of packages
PERMISSIVE = frozenset(
    {
        "0bsd",
        "3-clause bsd license",
        "apache 2.0 license",
        "apache software license",
        "apache-2.0",
        "bsd",
        "bsd license",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "cc0-1.0",
        "cnri-python",
        "isc license (iscl)",
        "llvm-exception",
        "mit",
        "mit license",
        "mit-cmu",
        "psf-2.0",
        "python software foundation license",
        "zlib",
    }
)


def licence_of(package: Distribution) -> str:
    """What a distribution's metadata say: expression, classifiers or text."""
    told = package.metadata
    lines = [line for line in told.get_all("Classifier") or () if line.startswith("License ::")]
    expression, text = (
        (told.get_all(field) or [""])[0] for field in ("License-Expression", "License")
    )
    return str(expression or " AND ".join(line.split(" :: ")[-1] for line in lines) or text)


def test_a_corpus_is_sorted_and_leaves_out_what_is_no_sample(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "test/a.py", "site-packages/x/y.py", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    (tmp_path / "latin.py").write_bytes(b"# \xe9")
    found = read_library(tmp_path)
    assert [source.name for source in found] == ["a/z.py", "b.py"]
    assert digest(found) != digest(found[:1])


def test_the_licences_are_permissive_and_those_of_the_metadata() -> None:
    installed = 0
    for name, licence in rules()["packages"].items():
        named = re.split(r"\s+(?:AND|OR|WITH)\s+", licence)
        assert {each.lower() for each in named} <= PERMISSIVE, name
        with contextlib.suppress(PackageNotFoundError):
            assert licence_of(distribution(name)) == licence, name
            installed += 1
    assert installed > 50
    assert set(rules()["held_out_packages"]) < set(rules()["packages"])


def test_packages_are_those_named_and_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {"pluggy": "MIT License", "no-such-package": "MIT"}
    monkeypatch.setitem(rules(), "packages", packages)
    sources = read_packages()
    (package,) = {source.package for source in sources}
    assert package == ("pluggy", version("pluggy"), "MIT License")
    names = [source.name for source in sources]
    assert names == sorted(names)
    assert "pluggy/_manager.py" in names


def test_the_split_is_disjoint_complete_and_of_the_text_alone() -> None:
    corpus = divide(MODULES, [], 4)
    train, held_out = corpus.train["library"], corpus.held_out["library"]
    assert sorted([*train, *held_out], key=MODULES.index) == MODULES
    assert train
    assert held_out
    copies = [Source(f"copy_of_{source.name}", source.text) for source in held_out]
    again = divide(copies, [], 4)
    assert (again.train["library"], again.held_out["library"]) == ([], copies)


def test_whole_packages_are_held_out_and_the_manifest_names_them() -> None:
    sources = [
        Source(f"{name}/a.py", f"a_long_line_of_{name}_alone = 1\n", (name, "1.0", "MIT"))
        for name in ("click", "other")
    ]
    told = divide(MODULES, sources, 4).manifest()
    (apart,), (other,) = told["held_out_packages"], told["packages"]
    assert (apart["package"], other["package"]) == ("click", "other")
    assert (other["version"], other["licence"], other["files"]) == ("1.0", "MIT", 1)
    assert other["sha256"] == digest(sources[1:])


def test_files_that_are_mostly_copies_are_left_out() -> None:
    lines = [f"a_long_enough_line_{n} = {n}\n" for n in range(8)]
    whole = Source("a.py", "".join(lines))
    most = Source("b.py", "".join(lines[:5]) + "another_long_enough_line = 1\n")
    half = Source(
        "c.py", "".join(lines[:2]) + "".join(f"of_its_own_and_long_{n} = 1\n" for n in "ab")
    )
    assert without_copies([whole, most, half], []) == [whole, half]
    assert without_copies([whole, most, half], [whole, half]) == []


def test_tables_are_known_by_their_lines_and_names() -> None:
    assert is_table(Source("a.py", "x = [" + "1, " * 400 + "]"))
    assert is_table(Source("a_pb2.py", ""))
    assert not is_table(Source("a.py", "x = 1\n" * 400))
