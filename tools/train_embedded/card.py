"""The embedded model's card, written from its training record alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.progress import duration

Record = Mapping[str, Any]
#: rows of the loss curve shown, about
_CURVE_ROWS = 14
#: a bar would end the cell
_IN_A_CELL = END_OF_TEXT.replace("|", r"\|")
_KINDS = {
    "wte": "token embedding",
    "wpe": "position embedding",
    "attn.c_attn": "attention, query, key and value",
    "attn.c_proj": "attention, output",
    "mlp.c_fc": "MLP, in",
    "mlp.c_proj": "MLP, out",
    "lm_head": "unembedding",
    "all": "all",
}


def card(record: Record) -> str:
    """Write the model card as Markdown, from a training record alone.

    Args:
        record: see `tools.train_embedded.record.make_record`.
    """
    parts = (_head, _sizes, _losses, _made, _curve, _density, _limits)
    return "\n".join(part(record).strip("\n") + "\n" for part in parts)


def _head(record: Record) -> str:
    held_out = record["held_out"]
    return f"""
---
license: apache-2.0
library_name: transformers
tags: [circuitgpt, sparse, python]
---

# The embedded model

A weight-sparse circuitgpt, small enough to ship with the package, so that an atlas can be made on
a machine without a network. It is trained on the source of Python's standard library, after the
recipe of Gao et al. (2025, [arXiv:2511.13653](https://arxiv.org/abs/2511.13653)) in small. On files
held out it has a loss of {held_out["loss"]:.2f} nats per token; a bigram model of the same tokens
has {held_out["bigram"]["loss"]:.2f}.
"""


def _sizes(record: Record) -> str:
    options, matrices = record["recipe"]["options"], record["matrices"]["all"]
    places = options["afrac_loctypes"].replace(",", ", ")
    return f"""
| | |
|---|---|
| layers, heads | {options["n_layer"]}, {options["n_head"]} |
| d_model, d_mlp, d_head | {options["d_model"]}, {options["d_mlp"]}, {options["d_head"]} |
| block size | {options["block_size"]} tokens; the longest published prompt has \
{record["object_prompts"]["longest"]} |
| vocabulary | {options["vocab_size"]} byte-level BPE ids; the last is `{_IN_A_CELL}` |
| matrix entries that are not zero | {_share(matrices)} of {matrices["entries"]:,} |
| activations kept | {options["afrac"]:.0%} at {places} |
| position embedding | width {options["d_pos_emb"]}, concatenated |
| also | RMSNorm, attention sink, untied unembedding, no bigram table |
| stored as | float16 |
"""


def _losses(record: Record) -> str:
    held_out, prompts = record["held_out"], record["object_prompts"]
    bigram = held_out["bigram"]
    return f"""
## Losses

Mean cross-entropy per token, in nats, of the float16 weights computed in float32:

| | |
|---|---|
| held-out files, {held_out["tokens"]:,} tokens | **{held_out["loss"]:.3f}** |
| a bigram model on the same tokens | {bigram["loss"]:.3f} |
| a uniform guess over the vocabulary | {held_out["uniform"]:.3f} |
| {prompts["prompts"]:,} object prompts | {prompts["mean"]:.3f} |
| their pair with the highest mean | {prompts["highest_pair"]:.3f} |

The bigram model counts the training tokens and is smoothed by {bigram["smoothing"]:g} observations
of the unigram model, the best of a few values on the held-out tokens themselves.

`loss_threshold` in `config.json` is {prompts["threshold"]}, so every pair of the grid survives: the
paper's 3.0 belongs to a model two hundred times the size and another vocabulary, and the grid's
completeness says more here than a choice of pairs.
"""


def _made(record: Record) -> str:
    recipe, run, made, corpus = (
        record["recipe"],
        record["run"],
        record["made_on"],
        record["corpus"],
    )
    return f"""
## How it was made

`make train-embedded`, which resumes when it was killed. `training.json` has everything below and
the digest of each file of the corpus.

- Corpus: {corpus["train_files"]} modules ({corpus["train_tokens"]:,} tokens) of the standard
  library of Python {made["python"]}; {corpus["held_out_files"]} more
  ({corpus["held_out_tokens"]:,} tokens) are held out, those whose SHA-256 is divisible by
  {recipe["held_out_one_in"]}. SHA-256 over all names and digests: `{corpus["sha256"]}`.
- Tokenizer: BPE trained on all of them, held-out files included; no seed.
- Start: dense normal weights from seed {recipe["seed"]}, which also draws the batches.
- {run["steps"]:,} steps of AdamW (β {recipe["betas"][0]}, {recipe["betas"][1]}, weight decay
  {recipe["weight_decay"]} of matrices, gradient clipped to norm {recipe["clip"]}), each on
  {recipe["part_tokens"] * len(recipe["sequence_lengths"]):,} tokens in sequences of
  {" and ".join(map(str, sorted(set(recipe["sequence_lengths"]))))} that begin where a line does:
  {run["tokens"] / 1e6:.1f} million tokens, {run["epochs"]:.1f} times the corpus.
- Learning rate {recipe["learning_rate"]} after {recipe["warmup_steps"]} steps of warm-up and until
  the matrices are sparse; then it falls linearly to zero at the last step.
- After each step only the largest entries of each matrix stay, embeddings included. Their share
  falls linearly from all at step {recipe["dense_steps"]:,} to {recipe["density"]:.1%} at step
  {recipe["annealed_step"]:,}. Each row keeps at least {recipe["row_floor"]}.
- In the end all that is written to the residual stream is multiplied by {run["residual_factor"]:g}.
  The logits do not see it (every reader norms the stream first), and the readouts that are not zero
  get a root mean square of 1, to the nearest power of two. Without such a rule thresholds on
  readouts would compare with a scale that training leaves to chance.
- Time: {duration(run["cpu_seconds"])} of processor time; by the clock
  {duration(run["wall_seconds"])}, with pauses and whatever else the machine did, on
  {made["cores"]} cores ({made["machine"]}).
- torch {made["torch"]}, numpy {made["numpy"]}, tokenizers {made["tokenizers"]}.

The same recipe, corpus, versions and kind of processor give the same bytes, interrupted or not: the
tests hold that on a small model, and no run of this size was repeated as a whole.
Elsewhere sums round differently, and training amplifies that: expect other weights of the same
quality. SHA-256 of the weights: `{record["sha256"]["model.safetensors"]}`.
"""


def _curve(record: Record) -> str:
    points = record["curve"]
    every = max(len(points) // _CURVE_ROWS, 1)
    shown = points[::-every][::-1]
    rows = "\n".join(
        f"| {point['step']:,} | {point['learning_rate']:.2g} | {point['density']:.1%} "
        f"| {point['train_loss']:.3f} | {point['held_out_loss']:.3f} |"
        for point in shown
    )
    return f"""
## Loss curve

Training loss is the mean since the point before it in `training.json`; held-out loss is on a fixed
part of the held-out tokens.

| step | learning rate | density | training loss | held-out loss |
|---|---|---|---|---|
{rows}
"""


def _density(record: Record) -> str:
    rows = "\n".join(
        f"| {_KINDS.get(kind, kind)} | {sums['nonzero']:,} of {sums['entries']:,} "
        f"| {_share(sums)} |"
        for kind, sums in record["matrices"].items()
    )
    return f"""
## Weight sparsity

| matrices | not zero | share |
|---|---|---|
{rows}

Biases, norms and attention sinks are dense.
"""


def _limits(record: Record) -> str:
    del record
    return """
## What it is not

One small model on a small corpus: a subject for trying the atlas on, and no evidence on the paper's
model. Some of the concepts are rare in the standard library. What models from other seeds show is
in the project's README. Another model, in a folder of its own:
`python -m tools.train_embedded FOLDER --states FOLDER --seed 1`; see also `--steps` and
`--density`.
"""


def _share(sums: Mapping[str, int]) -> str:
    return f"{sums['nonzero'] / sums['entries']:.1%}"
