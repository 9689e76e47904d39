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

#: the keys of the embedded model's ``config.json``, without the loss threshold. Linear layers have
#: no bias: what an MLP's output bias writes is read on every prompt and would be in every circuit
OPTIONS: Mapping[str, Any] = {
    "block_size": 512,
    "vocab_size": 2048,
    "n_layer": 4,
    "n_head": 6,
    "d_head": 32,
    "d_model": 192,
    "d_mlp": 512,
    "bias": False,
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

#: of the batches' windows: the standard library, packages, and prompts of the discovery domains
SHARES: Mapping[str, float] = {"library": 0.25, "packages": 0.73, "prompts": 0.02}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, next to the corpus and the machine's arithmetic.

    Attributes:
        options: the keys of ``config.json``, without the loss threshold.
        start: scales of the weights to start from.
        seed: of the starting weights and of the batches.
        steps: optimiser steps.
        warmup_steps: steps in which the learning rate rises linearly.
        learning_rate: after them; from ``annealed_step`` it falls linearly, to nearly zero at the
            last step.
        optimiser: of the matrices inside the blocks, ``muon`` (Jordan et al. 2024, with updates of
            AdamW's size as in arXiv:2502.16982) or ``adamw``; AdamW serves the rest.
        weight_decay: of matrices only, per unit of learning rate.
        betas: AdamW's decay rates of the two moments.
        clip: largest Euclidean norm of the whole gradient.
        density: share of each matrix's entries that stay in the end; 1 for a dense model.
        dense_steps: first steps, without weight sparsity.
        annealed_step: step at which the linear fall of the density ends.
        row_floor: entries that every row keeps, however small (fewer neurons die).
        windows: tokens of a sequence, one entry per part of a batch; all but its first are
            predicted.
        part_tokens: tokens of each part.
        shares: of the corpus's streams in the windows drawn.
        held_out_one_in: a file of the standard library is held out when its digest is divisible by
            this.
        evaluate_every: steps between two points of the loss curve, and between two saved states.
        checkpoints: how many steps, evenly spaced in their logarithm, whose weights are kept.
    """

    options: Mapping[str, Any] = field(default_factory=lambda: dict(OPTIONS))
    start: Scales = START
    seed: int = 0
    steps: int = 5500
    warmup_steps: int = 100
    learning_rate: float = 0.016
    optimiser: str = "muon"
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    density: float = 0.2
    dense_steps: int = 200
    annealed_step: int = 2200
    row_floor: int = 2
    windows: tuple[int, ...] = (128,) * 6 + (256,) * 2
    part_tokens: int = 1024
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    held_out_one_in: int = 20
    evaluate_every: int = 100
    checkpoints: int = 12

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
        return sum(self.part_tokens // window * (window - 1) for window in self.windows)

    @property
    def kept_steps(self) -> frozenset[int]:
        """Steps whose weights are kept, from 30 to the last, each a fixed factor later."""
        ratio = (self.steps / 30) ** (1 / (self.checkpoints - 1))
        return frozenset(round(30 * ratio**n) for n in range(self.checkpoints))

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

    def digest(self) -> str:
        """Return the SHA-256 of all of it."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()
