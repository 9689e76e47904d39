from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from tools.train_embedded import bpe, corpus
from tools.train_embedded.bpe import train_bpe
from tools.train_embedded.corpus import manifest_digest, read_corpus

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
