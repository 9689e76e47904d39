from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from atlas_assets.checkpoints.files import END_OF_TEXT
from atlas_assets.errors import ModelError
from atlas_assets.models import make_embedded
from atlas_assets.models.bpe import train_bpe
from atlas_assets.models.corpus import Source, manifest_digest, read_corpus
from atlas_assets.models.loading import load, resolve
from atlas_assets_tests.models import tiny

RECIPE = make_embedded.Recipe(seed=5, options={**tiny.OPTIONS, "vocab_size": 300})
TEXTS = [Path(path).read_text() for path in (__file__, tiny.__file__, make_embedded.__file__)]
SOURCES = [Source(f"{n}.py", text) for n, text in enumerate(TEXTS)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_twice_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_embedded.make(tmp_path / name, SOURCES, RECIPE)
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    assert sorted(first) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    other = make_embedded.Recipe(seed=6, options=RECIPE.options)
    make_embedded.make(tmp_path / "c", SOURCES, other)
    assert contents(tmp_path / "c")["model.safetensors"] != first["model.safetensors"]


def test_what_was_made_loads_and_is_described(tmp_path: Path) -> None:
    make_embedded.make(tmp_path, SOURCES, RECIPE)
    prompts = {
        "ast_node": ["For", "For", "If"],
        "builtin_obj": ["len", "len", "len"],
        "prompt_text": ["for x in y: pass", "len(x)", "if x: pass"],
    }
    measured = make_embedded.measure(tmp_path, pl.DataFrame(prompts))
    make_embedded.write_config(tmp_path, RECIPE, measured.threshold)
    model = load(resolve(str(tmp_path), None))
    assert model.default_loss_threshold == measured.threshold > measured.highest_pair
    assert model.tokenizer.pad_id == 299
    assert measured.prompts == 3
    text = make_embedded.card(tmp_path, RECIPE, SOURCES, measured)
    assert "untrained" in text
    assert manifest_digest(SOURCES) in text
    assert f"| 3 object prompts | {measured.mean:.2f} |" in text


def test_every_row_keeps_the_same_share(tmp_path: Path) -> None:
    make_embedded.make(tmp_path, SOURCES, RECIPE)
    network = load(resolve(str(tmp_path), None)).network
    c_fc = network.get_submodule("circuit_model.transformer.h.0.mlp.c_fc").weight
    assert c_fc.shape == (24, 20)
    assert set(c_fc.count_nonzero(dim=1).tolist()) == {1}


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
