"""Processes that are copies of one that has loaded what is slow to load, and runs nothing itself.

A process of its own, for what is killed or forks, then costs no second or two of imports.
"""

from __future__ import annotations

from multiprocessing import get_context

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["atlas_assets_tests.storage.samples", "atlas_assets_tests.extraction.tiny_models"]
)
