"""Training loops in turns of one run: ``python -m tools.compare_loops FOLDER …``.

Each folder is a checkout of an earlier commit (``git worktree add --detach FOLDER COMMIT``); the
present one is the last. All train the first embedded model's network, 8 × 128, with AdamW and
products of float32 on one thread: with the batches of the loop that trained it, and with those of
the present recipe. Turns are short and alternate, and processor time is counted, so that other work
on the machine meets all alike; the first turn, in which kernels are compiled, is not counted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
#: predicted tokens of each part's sequences, and about as many of a part: then and now
BATCHES = {
    "the first": ((128, 128, 128, 512), 512),
    "the recipe's": ((127,) * 6 + (255,) * 2, 1024),
}
FIRST = {"n_layer": 8, "n_head": 8, "d_head": 16, "d_model": 128, "d_mlp": 256, "bias": True}
#: matrices are sparse from the first steps on, as they are for most of a run
SCHEDULE = {"steps": 10**6, "warmup_steps": 1, "dense_steps": 0, "annealed_step": 1}


def stepper(
    root: Path, lengths: Sequence[int], part_tokens: int, options: Mapping[str, Any], corpus: Path
) -> tuple[int, Callable[[], None]]:
    """Return the tokens of a step of the loop under ``root``, whence ``tools`` is, and the step.

    ``corpus`` has token ids and the places at which a line begins.
    """
    part = "tools.train_embedded"
    ids, starts = (np.load(corpus / f"{name}.npy") for name in ("ids", "starts"))
    recipes = importlib.import_module(f"{part}.recipe")
    if (root / "tools" / "train_embedded" / "training.py").exists():
        training = importlib.import_module(f"{part}.training")
        material = importlib.import_module(f"{part}.material")
        windows = [length + 1 for length in lengths]
        room = max(part_tokens // length * (length + 1) for length in lengths)
        changes = {"windows": windows, "part_tokens": room, "shares": {"library": 1.0}}
        recipe = recipes.embedded_recipe(options=options, optimiser="adamw", **changes, **SCHEDULE)
        import torch

        state = training.fresh(recipe, torch.float32)
        given = types.SimpleNamespace(train={"library": material.TokenStream(ids, starts)})
        return recipe.batch_tokens, lambda: training.take_step(state, recipe, given)
    loop, data = (importlib.import_module(f"{part}.{name}") for name in ("loop", "data"))
    recipe = recipes.Recipe(
        options=options, sequence_lengths=tuple(lengths), part_tokens=part_tokens, **SCHEDULE
    )
    begun = importlib.import_module(f"{part}.state").fresh(recipe)
    stream, tokens = data.TokenStream(ids, starts), sum(part_tokens // n * n for n in lengths)
    return tokens, lambda: loop._step(begun, recipe, stream)


def serve(root: Path, told: Mapping[str, Any]) -> None:
    """Take as many steps as each line of standard input says; print tokens per second of them."""
    import torch

    torch.set_num_threads(1)
    corpus = Path(told["corpus"])
    tokens, step = stepper(root, *BATCHES[told["batches"]], told["options"], corpus)
    for line in sys.stdin:
        start, steps = time.process_time(), max(int(line) // tokens, 1)
        for _ in range(steps):
            step()
        sys.stdout.write(f"{steps * tokens / (time.process_time() - start)}\n")
        sys.stdout.flush()


def write_corpus(folder: Path) -> None:
    """Write the ids of some files of the standard library, and where their lines begin."""
    from tokenizers import Tokenizer

    shipped = ROOT / "atlas_assets" / "models" / "embedded" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(shipped))
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:100]
    ids = np.array(
        [id_ for file in files for id_ in tokenizer.encode(file.read_text("utf-8")).ids], np.int64
    )
    size = tokenizer.get_vocab_size()
    ends = np.array([tokenizer.decode([token]).endswith("\n") for token in range(size)])
    np.save(folder / "ids.npy", ids)
    np.save(folder / "starts.npy", np.flatnonzero(np.concatenate([[True], ends[ids[:-1]]])))


@contextmanager
def _serving(root: Path, told: Mapping[str, Any]) -> Iterator[Callable[[int], float]]:
    command = [sys.executable, __file__, "--serve", json.dumps(told), str(root)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, env=environment, **pipes) as process:  # noqa: S603
        asked, told_back = process.stdin, process.stdout
        assert asked
        assert told_back

        def turn(tokens: int) -> float:
            asked.write(f"{tokens}\n")
            asked.flush()
            return float(told_back.readline())

        yield turn
        asked.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m tools.compare_loops")
    parser.description = "Compare the tokens per second of training loops, in turns of one run."
    parser.add_argument("folders", nargs="*", type=Path, help="checkouts of earlier commits")
    parser.add_argument("--turns", type=int, default=5, help="default: %(default)s")
    said = "about as many tokens a turn; default: %(default)s"
    parser.add_argument("--tokens", type=int, default=16_000, help=said)
    said = "JSON of what differs from the first model's options"
    parser.add_argument("--options", type=json.loads, default={}, help=said)
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        serve(given.folders[0], given.serve)
        return
    from tools.train_embedded.recipe import embedded_recipe

    options = {**embedded_recipe().options, **FIRST, **given.options}
    with ExitStack() as stack:
        corpus = stack.enter_context(tempfile.TemporaryDirectory())
        write_corpus(Path(corpus))
        turns = {}
        for root in [*given.folders, ROOT]:
            for batches in BATCHES:
                told = {"batches": batches, "options": options, "corpus": corpus}
                turns[root.name, batches] = stack.enter_context(_serving(root.resolve(), told))
        rates: dict[tuple[str, str], list[float]] = {row: [] for row in turns}
        for _ in range(given.turns + 1):
            for row, turn in turns.items():
                rates[row].append(turn(given.tokens))
    sys.stdout.write(
        "| loop | batches | tokens per second, median (least to most) |\n|---|---|---|\n"
    )
    for (name, batches), found in rates.items():
        counted = sorted(found[1:])
        middle = statistics.median(counted)
        told_of = f"{middle:,.0f} ({counted[0]:,.0f} to {counted[-1]:,.0f})"
        sys.stdout.write(f"| {name} | {batches} | {told_of} |\n")


if __name__ == "__main__":
    main()
