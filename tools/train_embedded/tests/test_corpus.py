from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from tools.train_embedded import bpe, corpus
from tools.train_embedded.bpe import train_bpe
from tools.train_embedded.corpus import (
    Package,
    Source,
    is_permissive,
    is_table,
    manifest_digest,
    read_corpus,
    read_packages,
    without_copies,
)

TEXTS = [Path(path).read_text() for path in (__file__, bpe.__file__, corpus.__file__)]


def test_a_corpus_is_sorted_and_leaves_out_what_is_no_sample(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "test/a.py", "site-packages/x/y.py", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    (tmp_path / "latin.py").write_bytes(b"# \xe9")
    found = read_corpus(tmp_path)
    assert [source.name for source in found] == ["a/z.py", "b.py"]
    assert manifest_digest(found) != manifest_digest(found[:1])


def test_the_tokenizer_has_the_size_asked_for() -> None:
    tokenizer = train_bpe(TEXTS, 280)
    assert tokenizer.get_vocab_size() == 280
    assert tokenizer.token_to_id(END_OF_TEXT) == 279
    with pytest.raises(ModelError, match="280 ids"):
        train_bpe(["aa"], 280)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-3-Clause OR MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("BSD License", True),
        ("MPL-2.0 AND MIT", False),
        ("Mozilla Public License 2.0 (MPL 2.0)", False),
        ("GPL-3.0-only", False),
        ("", False),
    ],
)
def test_only_permissive_licences_are_taken(licence: str, allowed: bool) -> None:
    assert is_permissive(licence) is allowed


def test_packages_are_those_pinned_and_installed(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("pluggy==1\nhypothesis==1\nno-such-package==1\n")
    (found,) = read_packages(constraints)  # hypothesis is under the MPL
    assert (found.name, found.licence) == ("pluggy", "MIT License")
    assert [source.name for source in found.sources] == sorted(s.name for s in found.sources)
    assert "pluggy/_manager.py" in {source.name for source in found.sources}


def test_files_that_are_mostly_copies_are_left_out() -> None:
    lines = [f"a_long_enough_line_{n} = {n}\n" for n in range(8)]
    whole = Source("a.py", "".join(lines))
    most = Source("b.py", "".join(lines[:5]) + "another_long_enough_line = 1\n")
    half = Source(
        "c.py", "".join(lines[:2]) + "".join(f"of_its_own_and_long_{n} = 1\n" for n in "ab")
    )
    package = Package("p", "1", "MIT", [whole, most, half])
    (kept,) = without_copies([package], [])
    assert kept.sources == [whole, half]
    assert without_copies([package], [whole, half]) == []


def test_tables_are_known_by_their_lines_and_names() -> None:
    assert is_table(Source("a.py", "x = [" + "1, " * 400 + "]"))
    assert is_table(Source("a_pb2.py", ""))
    assert not is_table(Source("a.py", "x = 1\n" * 400))
