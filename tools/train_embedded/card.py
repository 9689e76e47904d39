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
_STREAMS = {
    "library": "standard library, files held out",
    "packages": "packages held out whole",
    "prompts": "object prompts of the domains held out",
}


def card(record: Record) -> str:
    """Write the model card as Markdown, from a training record alone.

    Args:
        record: see `tools.train_embedded.record.make_record`.
    """
    parts = (_head, _sizes, _losses, _made, _corpus, _curve, _limits)
    return "\n".join(part(record).strip("\n") + "\n" for part in parts)


def _head(record: Record) -> str:
    losses = record["losses"]
    return f"""
---
license: apache-2.0
library_name: transformers
tags: [circuitgpt, sparse, python]
---

# The embedded model

A weight-sparse circuitgpt, small enough to ship with the package, so that an atlas can be made on
a machine without a network. It is trained on the source of Python's standard library and of
permissively licensed packages, after the recipe of Gao et al. (2025,
[arXiv:2511.13653](https://arxiv.org/abs/2511.13653)) in small. On files of the standard library
that were held out it has a loss of {losses["held_out"]["library"]:.2f} nats per token; a bigram
model of the same tokens has {losses["bigram"]["loss"]:.2f}.
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
| matrix entries that are not zero | {matrices["nonzero"] / matrices["entries"]:.1%} of \
{matrices["entries"]:,}; norms, sinks and the logits' bias are dense |
| activations kept | {options["afrac"]:.0%} at {places} |
| position embedding | width {options["d_pos_emb"]}, concatenated |
| also | RMSNorm, attention sink, untied unembedding, no bigram table; linear layers without \
biases, as what an MLP's bias writes would be in every circuit |
| stored as | float16 |
"""


def _losses(record: Record) -> str:
    losses, prompts = record["losses"], record["object_prompts"]
    rows = "\n".join(
        f"| {told}, {losses['tokens'][name]:,} tokens | **{losses['held_out'][name]:.3f}** "
        f"| {losses['trained'][name]:.3f} |"
        for name, told in _STREAMS.items()
    )
    return f"""
## Losses

Mean cross-entropy per token, in nats, of the float16 weights computed in float32; beside it the
loss on text of the same kind that it was trained on:

| | held out | trained on |
|---|---|---|
{rows}

On the held-out standard library a bigram model has {losses["bigram"]["loss"]:.3f} (it counts the
standard library's other files and is smoothed by {losses["bigram"]["smoothing"]:g} observations of
the unigram model, the best of a few values on the held-out tokens themselves), a uniform guess
{losses["uniform"]:.3f}. A token there has {losses["bytes_per_token"]:.2f} bytes. Over all
{prompts["prompts"]:,} object prompts the loss is {prompts["mean"]:.3f}; of the pair with the
highest mean in one half of the domains {prompts["highest_pair"]:.3f}.

`loss_threshold` in `config.json` is {prompts["threshold"]}, so every pair of the grid survives: the
paper's 3.0 belongs to a model two hundred times the size and another vocabulary, and the grid's
completeness says more here than a choice of pairs.
"""


def _made(record: Record) -> str:
    recipe, run, made = record["recipe"], record["run"], record["made_on"]
    windows = " and ".join(map(str, sorted(set(recipe["windows"]))))
    inside = {
        "muon": "of Muon for the matrices inside the blocks and of AdamW for the rest",
        "adamw": "of AdamW",
    }[recipe["optimiser"]]
    return f"""
## How it was made

`make train-embedded`, which resumes when it was killed. `training.json` has everything below.

- Start: dense normal weights from seed {recipe["seed"]}, which also draws the batches.
- {run["steps"]:,} steps {inside} (β {recipe["betas"][0]}, {recipe["betas"][1]}, weight decay
  {recipe["weight_decay"]} of matrices, gradient clipped to norm {recipe["clip"]}), each on windows
  of {windows} tokens that begin where a line does: {run["tokens"] / 1e6:.1f} million tokens.
  Products are of numbers rounded to bfloat16, all else is float32.
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


def _corpus(record: Record) -> str:
    corpus, shares = record["corpus"], record["recipe"]["shares"]
    library, tokens = corpus["library"], corpus["tokens"]
    apart = ", ".join(
        f"{each['package']} {each['version']} ({each['licence']})"
        for each in corpus["held_out_packages"]
    )
    return f"""
## Corpus

- The standard library of Python {library["python"]}: {library["files"]} modules,
  {tokens["train"]["library"]:,} tokens, {shares["library"]:.0%} of the windows.
  {len(library["held_out"])} more ({tokens["held_out"]["library"]:,} tokens) are held out, those
  whose SHA-256 is divisible by {record["recipe"]["held_out_one_in"]}.
- {len(corpus["packages"])} packages of the pinned environment, each licence of which is permissive:
  {tokens["train"]["packages"]:,} tokens, {shares["packages"]:.0%} of the windows. `training.json`
  names version, licence, files and a digest of each. Tests, vendored and generated code, tables and
  files that are mostly copies of others are left out. Held out whole: {apart}.
- Object prompts of the grid whose domains are those that discover circuits: {shares["prompts"]:.0%}
  of the windows. Those of the domains that test are held out.
- Tokenizer: BPE trained on the standard library, held-out files included; no seed.

SHA-256 over the manifest: `{corpus["sha256"]}`.
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
part of the held-out standard library. The two are of different text.

| step | learning rate | density | training loss | held-out loss |
|---|---|---|---|---|
{rows}
"""


def _limits(record: Record) -> str:
    longest = max(record["recipe"]["windows"])
    return f"""
## What it is not

One small model on a small corpus: a subject for trying the atlas on, and no evidence on the paper's
model. It was trained on prompts like those it is read with, which the paper's was not, and on no
window of more than {longest} tokens: what it makes of later positions is left to chance. Another
model, in a folder of its own: `python -m tools.train_embedded FOLDER --states FOLDER --seed 1`; see
also `--steps` and `--density`.
"""
