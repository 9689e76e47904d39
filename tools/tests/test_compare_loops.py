from __future__ import annotations

from pathlib import Path

from tools import compare_loops
from tools.train_embedded.tests import samples


def test_a_step_of_the_present_loop_predicts_as_many_tokens_as_the_firsts(tmp_path: Path) -> None:
    compare_loops.write_corpus(tmp_path)
    options = {**samples.recipe().options, "vocab_size": 2048}
    for lengths, part_tokens in compare_loops.BATCHES.values():
        tokens, step = compare_loops.stepper(
            compare_loops.ROOT, lengths, part_tokens, options, tmp_path
        )
        assert tokens == sum(part_tokens // length * length for length in lengths)
    step()
