"""What transformers reports after loading a checkpoint, turned into an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlas_assets.errors import ModelError

_SHOWN = 5


def check_loaded(info: Mapping[str, Any], *, where: str, extra_allowed: bool = False) -> None:
    """Refuse a checkpoint that does not fit its model.

    Args:
        info: ``missing_keys``, ``unexpected_keys``, ``mismatched_keys`` (name, shape in the file,
            shape in the model) and ``error_msgs``, as ``from_pretrained`` gives them.
        where: the checkpoint.
        extra_allowed: whether tensors that the model has no use for may be there.

    Raises:
        ModelError: names the tensors.
    """
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        name, found, expected = mismatched[0]
        raise _unfit(
            where,
            f"a tensor of another shape: {name}",
            f"shape {list(expected)}" + _others([key for key, *_ in mismatched]),
            f"shape {list(found)}",
        )
    for kind, keys, expected in (
        ("missing", sorted(info["missing_keys"]), "every tensor of the model"),
        ("extra", sorted(info["unexpected_keys"]), "only tensors of the model"),
    ):
        if keys and not (kind == "extra" and extra_allowed):
            raise _unfit(where, f"tensors are {kind}", expected, f"{kind}: {_named(keys)}")
    if info.get("error_msgs"):
        raise _unfit(where, "tensors cannot be read", "sound tensors", str(info["error_msgs"][0]))


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _others(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more tensors: {_named(keys[1:])})" if len(keys) > 1 else ""


def _unfit(where: str, what: str, expected: str, found: str) -> ModelError:
    return ModelError(
        f"the checkpoint does not fit its config.json: {what}",
        where=where,
        expected=expected,
        found=found,
        remedy="check config.json against the weights, or fetch the checkpoint again",
    )
