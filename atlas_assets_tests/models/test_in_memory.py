"""Positions are read through tokenizers of transformers in memory, of every kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from atlas_assets.errors import StimulusError
from atlas_assets.extraction.positions import occurrences_at
from atlas_assets.models.in_memory import in_memory
from atlas_assets.stages.activations.positions import LEVELS
from atlas_assets_tests.extraction.tiny_models import LAYERS, POSITIONS, WIDTH, read
from atlas_assets_tests.models.tiny import END_OF_TEXT, byte_tokenizer
from atlas_assets_tests.oracles import extraction_naive as naive
from atlas_assets_tests.storage.defects import refusing

#: a prompt, and characters up to the end of what is read; marks reach the start and the end
MARKED = [
    ("for x in list(y):\r\n\tprint(x)", 3),
    ("for x in list(y):\r\n\tprint(x)", 28),
    ("\tdef f(): pass", 4),
    ("  lead = 1", 6),
    ("é = 'straße'", 1),
    ("é = 'straße'", 11),
    ("日本語 = 😀", 3),
    ("日本語 = 😀", 7),
    ("x", 1),
]


def of_bytes() -> Tokenizer:
    """Between an end of text at its start and one at its end, which is no part of a prompt."""
    tokenizer = byte_tokenizer()
    end = tokenizer.token_to_id(END_OF_TEXT)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A {END_OF_TEXT}", special_tokens=[(END_OF_TEXT, end)]
    )
    return tokenizer


def with_byte_fallback() -> Tokenizer:
    """Letters after a mark for the blank, and bytes of whatever else, as Llama's."""
    pieces = [
        "<unk>",
        END_OF_TEXT,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"▁abcdefilnoprsxy",
    ]
    words = {piece: number for number, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(words, [], byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.ByteFallback()
    made.add_special_tokens([END_OF_TEXT])
    return made


def of_words() -> Tokenizer:
    """Words without capitals and accents, in pieces, as BERT's."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[UNK]", END_OF_TEXT, "for", "list", *letters, *(f"##{each}" for each in letters)]
    words = {piece: number for number, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens([END_OF_TEXT])
    return made


def of_letters() -> Tokenizer:
    """Letters alone: what it does not know it leaves out."""
    made = Tokenizer(models.BPE({each: number for number, each in enumerate("abcx =1")}, []))
    made.add_special_tokens([END_OF_TEXT])
    return made


def network() -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": POSITIONS}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=300, **sizes, **ends)).eval()


def of_transformers(made: Tokenizer, **told: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END_OF_TEXT, **told)


@pytest.mark.parametrize("kind", [of_bytes, with_byte_fallback, of_words])
def test_a_tokenizer_in_memory_gives_the_tokens_that_prompts_are_read_at(
    kind: Callable[[], Tokenizer], tmp_path: Path
) -> None:
    told = {"bos_token": END_OF_TEXT} if kind is of_bytes else {}
    held, tokenizer = network(), of_transformers(kind(), **told)
    texts = [text for text, _ in MARKED]
    units = {"mine": texts}
    with in_memory(held, tokenizer) as model:
        before = model.tokenizer.prefix
        assert before == ((256,) if kind is of_bytes else ())
        (places,) = occurrences_at(
            model.tokenizer, texts, {"concept": [end for _, end in MARKED]}, [0] * len(texts), 1
        ).values()
        spans = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        wanted = [
            max(n for n, (start, stop) in enumerate(of_text) if start < end <= stop)
            for (_, end), of_text in zip(MARKED, spans["offset_mapping"], strict=True)
        ]
        assert places.tokens.tolist() == wanted
        for text in texts:
            assert places.ids[text].tolist() == model.tokenizer.encode(text)
        found = read(model, units, positions={"concept": places}).positions["concept"]
        begun = SimpleNamespace(encode=lambda text: [*before, *model.tokenizer.encode(text)])
        rows = [("mine", t, n + len(before)) for t, n in zip(texts, wanted, strict=True)]
        alone: Any = dataclasses.replace(model, tokenizer=begun)  # type: ignore[arg-type]
        scale, expected = naive.at_places(alone, rows, LEVELS)
        np.testing.assert_allclose(found.scale.values, scale, rtol=1e-5)
        np.testing.assert_allclose(found.sums[0], expected["mine"][0], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found.counts[:, 0], expected["mine"][1])
        of_memory = model.tokenizer.encode_with_spans(texts)
    from atlas_assets.models.loading import load, resolve

    held.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    of_folder = load(resolve(str(tmp_path), None), device="cpu", dtype="float32").tokenizer
    assert of_folder.prefix == before
    assert [(ids, [*map(tuple, of)]) for ids, of in of_folder.encode_with_spans(texts)] == of_memory


@pytest.mark.parametrize(
    ("text", "end"), [("é = 1", 1), ("é = 1", 5), ("x = é", 5), ("x = ab😀", 7), ("é", 1)]
)
def test_what_a_tokenizer_leaves_out_is_not_read_at_another_token(text: str, end: int) -> None:
    with (
        in_memory(network(), of_transformers(of_letters())) as model,
        refusing(StimulusError, repr(text), f"character {end}", "leaves out"),
    ):
        occurrences_at(model.tokenizer, [text], {"concept": [end]}, [0], 1)


def test_a_token_may_end_before_blanks_and_accents() -> None:
    texts, ends = ["e\u0301 = a", "x  = a"], [2, 3]
    with in_memory(network(), of_transformers(of_words())) as model:
        (found,) = occurrences_at(model.tokenizer, texts, {"concept": ends}, [0, 0], 1).values()
    assert found.tokens.tolist() == [0, 0]
