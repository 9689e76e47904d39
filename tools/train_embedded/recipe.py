"""What the embedded model is made from, and how learning rate and density move."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atlas_assets.errors import SettingsError, expect
from tools.train_embedded.untrained import Scales

#: the keys of the embedded model's ``config.json``, without the loss threshold
OPTIONS: Mapping[str, Any] = {
    "block_size": 512,
    "vocab_size": 2048,
    "n_layer": 8,
    "n_head": 8,
    "d_head": 16,
    "d_model": 128,
    "d_mlp": 256,
    "bias": True,
    "ln_bias": True,
    "rms_norm": True,
    "residual_activation_type": "identity",
    "activation_type": "gelu",
    "afrac": 0.25,
    "afrac_loctypes": "attn_in,attn_out,mlp_in,mlp_out,mlp_neuron,attn_v,attn_k,attn_q",
    "tied_unembed": False,
    "enable_bigram_table": False,
    "learnable_bigram_table": False,
    "d_pos_emb": 16,
    "sinusoidal_cat_pos_emb": False,
    "sink": True,
}

#: dense weights to start from: a residual stream of root mean square 1, small updates to it
START = Scales(density=1.0, gain=1.0, readout=0.3, readout_spread=0.0, readout_bias=0.0, logits=0.3)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, next to the corpus and the machine's arithmetic.

    Learning rate and density are functions of the step alone until the matrices are sparse, so runs
    that differ in ``steps`` are the same run up to there.

    Attributes:
        options: the keys of ``config.json``, without the loss threshold.
        start: scales of the weights to start from.
        seed: of the starting weights and of the batches.
        steps: optimiser steps.
        warmup_steps: steps in which the learning rate rises linearly.
        learning_rate: after them, until the matrices are sparse; from there it falls linearly, to
            nearly zero at the last step.
        weight_decay: AdamW's, of matrices only.
        betas: AdamW's decay rates of the two moments.
        clip: largest Euclidean norm of the whole gradient.
        density: share of each matrix's entries that stay in the end.
        dense_steps: first steps, without weight sparsity.
        annealed_step: step at which the linear fall of the density ends.
        row_floor: entries that every row keeps, however small (fewer neurons die).
        sequence_lengths: tokens predicted per sequence, one entry per part of a batch.
        part_tokens: tokens predicted in each part.
        held_out_one_in: a file is held out when its digest is divisible by this.
        evaluate_every: steps between two points of the loss curve.
    """

    options: Mapping[str, Any] = field(default_factory=lambda: dict(OPTIONS))
    start: Scales = START
    seed: int = 0
    steps: int = 5000
    warmup_steps: int = 100
    learning_rate: float = 8e-3
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    density: float = 0.2
    dense_steps: int = 200
    annealed_step: int = 2000
    row_floor: int = 2
    sequence_lengths: tuple[int, ...] = (128, 128, 128, 512)
    part_tokens: int = 512
    held_out_one_in: int = 20
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        expect(
            self.steps > self.annealed_step,
            SettingsError,
            "the recipe ends before the learning rate can fall",
            where="training recipe",
            expected=f"more than {self.annealed_step} steps, after which the model is sparse",
            found=f"{self.steps} steps",
            remedy="train for more steps, or anneal sooner",
        )

    @property
    def batch_tokens(self) -> int:
        """Number of tokens that one optimiser step predicts."""
        return self.part_tokens * len(self.sequence_lengths)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step 1, 2, …, ``steps``: a rise, a plateau and a fall."""
        rise = min(step / self.warmup_steps, 1.0)
        fall = min((self.steps + 1 - step) / (self.steps - self.annealed_step), 1.0)
        return self.learning_rate * rise * fall

    def density_at(self, step: int) -> float:
        """Return the share of each matrix's entries that stay after step 1, 2, …, ``steps``."""
        done = (step - self.dense_steps) / (self.annealed_step - self.dense_steps)
        return 1.0 - (1.0 - self.density) * min(max(done, 0.0), 1.0)

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as plain data, as ``training.json`` holds it."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    def trunk_digest(self) -> str:
        """Return the SHA-256 of all that decides the steps until the matrices are sparse."""
        trunk = {name: value for name, value in self.as_json().items() if name != "steps"}
        return hashlib.sha256(json.dumps(trunk, sort_keys=True).encode()).hexdigest()
