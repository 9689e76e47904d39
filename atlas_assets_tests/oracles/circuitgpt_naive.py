"""circuitgpt spelt out with loops over tokens, heads and entries, straight from docs/science.md §7.

Works in float64 on one sequence; shares no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Vector = np.ndarray
EPSILON = float(np.finfo(np.float32).eps)


def keep_largest(x: Vector, k: int) -> Vector:
    """The k entries of largest magnitude, the earlier of equal ones first; the rest zero."""
    order = sorted(range(len(x)), key=lambda i: (-abs(x[i]), i))
    kept = np.zeros_like(x)
    for i in order[:k]:
        kept[i] = x[i]
    return kept


class Naive:
    """One model: its config as a plain dict, its tensors by name without prefix."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.c = config
        self.t = {name: np.asarray(value, dtype=np.float64) for name, value in tensors.items()}
        self.d_head = config.get("d_head") or config["d_model"] // config["n_head"]

    def run(self, ids: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
        """Readouts per layer ``[tokens, d_model]`` and logits ``[tokens, vocab]``."""
        places = [self.t["transformer.wpe.weight"][i] for i in range(len(ids))]
        stream = [self.t["transformer.wte.weight"][token] for token in ids]
        if self.c["d_pos_emb"] is None:
            stream = [x + p for x, p in zip(stream, places, strict=True)]
        readouts = []
        for layer in range(self.c["n_layer"]):
            stream, readout = self.block(f"transformer.h.{layer}", stream, places)
            readouts.append(np.array(readout))
        return readouts, np.array([self.logits(x, i) for x, i in zip(stream, ids, strict=True)])

    def block(self, name: str, stream: list[Vector], places: list[Vector]) -> Any:
        hidden = [self.beside(name, "1", x, p) for x, p in zip(stream, places, strict=True)]
        updates = self.attention(name + ".attn", hidden)
        stream = [
            self.sparse(self.residual(x + u), "resid_post_attn")
            for x, u in zip(stream, updates, strict=True)
        ]
        hidden = [self.beside(name, "2", x, p) for x, p in zip(stream, places, strict=True)]
        readout = [self.mlp(name + ".mlp", h) for h in hidden]
        stream = [
            self.sparse(self.residual(x + r), "resid_post_mlp")
            for x, r in zip(stream, readout, strict=True)
        ]
        return stream, readout

    def attention(self, name: str, hidden: list[Vector]) -> list[Vector]:
        heads, d = self.c["n_head"], self.d_head
        q, k, v = [], [], []
        for h in hidden:
            joint = self.linear(name + ".c_attn", self.sparse(h, "attn_in"))
            q.append(self.sparse(joint[: heads * d], "attn_q"))
            k.append(self.sparse(joint[heads * d : 2 * heads * d], "attn_k"))
            v.append(self.sparse(joint[2 * heads * d :], "attn_v"))
        updates = []
        for now in range(len(hidden)):
            mixed = np.zeros(heads * d)
            for head in range(heads):
                part = slice(head * d, (head + 1) * d)
                logits = [q[now][part] @ k[t][part] / math.sqrt(d) for t in range(now + 1)]
                weights = [math.exp(logit) for logit in logits]
                total = sum(weights)
                if self.c["sink"]:
                    total += math.exp(self.t[name + ".attn_imp.sink_logit"][head])
                for t, weight in enumerate(weights):
                    mixed[part] += weight / total * v[t][part]
            updates.append(self.sparse(self.linear(name + ".c_proj", mixed), "attn_out"))
        return updates

    def mlp(self, name: str, h: Vector) -> Vector:
        hidden = self.linear(name + ".c_fc", self.sparse(h, "mlp_in"))
        if self.c["activation_type"] == "relu":
            hidden = np.array([max(0.0, x) for x in hidden])
        else:
            hidden = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in hidden])
        return self.sparse(
            self.linear(name + ".c_proj", self.sparse(hidden, "mlp_neuron")), "mlp_out"
        )

    def logits(self, x: Vector, token: int) -> Vector:
        head = "transformer.wte.weight" if self.c["tied_unembed"] else "lm_head.weight"
        found = self.t[head] @ self.norm("transformer.ln_f", x) + self.t["final_logits_bias"]
        return found + self.t["bigram_table"][token] if self.c["enable_bigram_table"] else found

    def beside(self, name: str, which: str, x: Vector, place: Vector) -> Vector:
        normed = self.norm(f"{name}.ln_{which}", x)
        if self.c["d_pos_emb"] is None:
            return normed
        return np.concatenate([normed, self.norm(f"{name}.ln_p{which}", place)])

    def norm(self, name: str, x: Vector) -> Vector:
        weight = self.t[name + ".weight"]
        if self.c["rms_norm"]:
            return x / math.sqrt(np.mean(x**2) + EPSILON) * weight
        centred = (x - x.mean()) / math.sqrt(x.var() + 1e-5) * weight
        return centred + self.t[name + ".bias"] if self.c["ln_bias"] else centred

    def linear(self, name: str, x: Vector) -> Vector:
        out = self.t[name + ".weight"] @ x
        return out + self.t[name + ".bias"] if self.c["bias"] else out

    def residual(self, x: Vector) -> Vector:
        return np.maximum(x, 0) if self.c["residual_activation_type"] == "relu" else x

    def sparse(self, x: Vector, place: str) -> Vector:
        if self.c["afrac"] is None or place not in self.c["afrac_loctypes"].split(","):
            return x
        return keep_largest(x, int(self.c["afrac"] * len(x)))
