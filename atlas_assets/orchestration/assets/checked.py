"""Checker masks of the concepts that have a circuit to be checked."""

from __future__ import annotations

import dagster as dg

from atlas_assets.stages.masks.masks import Masks


def with_universal(context: dg.AssetExecutionContext, checker: Masks, universal: Masks) -> Masks:
    """``checker`` without the concepts that have no universal mask, named in a warning.

    The loss filter drops a pair whole; a concept that lost all its pairs has keyword prompts still.
    The release leaves such a concept out of its tables, and so do we.
    """
    missing = sorted(set(checker.names) - set(universal.names))
    if not missing:
        return checker
    context.log.warning(
        f"{', '.join(missing)}: no universal mask (the loss filter dropped every pair), so left "
        "out; ATLAS_LOSS_THRESHOLD keeps more pairs"
    )
    return checker.select(tuple(name for name in checker.names if name in set(universal.names)))
