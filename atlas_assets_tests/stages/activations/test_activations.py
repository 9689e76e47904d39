"""The activations object refuses what is not sound, naming unit, layer and neuron."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.activations.activations import Activations


def sound(n_units: int = 3) -> Activations:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, size=(n_units, 2, 4), dtype=np.int32)
    return Activations(
        names=tuple(f"u{i}" for i in range(n_units)),
        n_prompts=np.full(n_units, 5, np.int32),
        sums=counts.astype(np.float32),
        counts=counts,
    )


@pytest.mark.parametrize(
    ("field", "at", "value", "message"),
    [
        ("sums", (1, 0, 3), np.nan, "sums of u1, layer 0, neuron 3"),
        ("sums", (2, 1, 0), np.inf, "sums of u2, layer 1, neuron 0"),
        ("sums", (0, 0, 0), -1.0, "sums of u0, layer 0, neuron 0"),
        ("counts", (1, 1, 1), 6, "counts of u1, layer 1, neuron 1"),
        ("counts", (1, 1, 1), -1, "counts of u1, layer 1, neuron 1"),
        ("n_prompts", (2,), 0, "n_prompts of u2"),
    ],
)
def test_a_bad_value_is_located(
    field: str, at: tuple[int, ...], value: float, message: str
) -> None:
    activations = sound()
    array = getattr(activations, field).copy()
    array[at] = value
    with pytest.raises(ArtifactError, match=message):
        replace(activations, **{field: array})


def test_names_dtypes_and_shapes_must_be_the_declared_ones() -> None:
    activations = sound()
    assert (activations.n_layers, activations.width) == (2, 4)
    changes: list[tuple[dict[str, object], str]] = [
        ({"names": ("b", "a", "c")}, "sorted and unique"),
        ({"names": ("a", "a", "b")}, "sorted and unique"),
        ({"sums": activations.sums.astype(np.float64)}, "float32"),
        ({"sums": activations.sums[:2]}, "three axes"),
        ({"counts": activations.counts[:, :, :2]}, "counts"),
    ]
    for change, message in changes:
        with pytest.raises(ArtifactError, match=message):
            replace(activations, **change)


def test_the_digest_changes_with_any_value_and_only_then() -> None:
    activations = sound()
    assert activations.digest() == sound().digest()
    counts = activations.counts.copy()
    counts[0, 0, 0] = (counts[0, 0, 0] + 1) % 5
    assert replace(activations, counts=counts).digest() != activations.digest()
    assert replace(activations, names=("u0", "u1", "u3")).digest() != activations.digest()
