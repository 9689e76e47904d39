"""Secrets in messages, and in what the Hub's library logs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from atlas_assets.hub_client.redaction import redact
from atlas_assets.hub_client.repository import Repository
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub_client.conftest import REPO


def test_tokens_and_signatures_are_hidden() -> None:
    text = "hf_" + "a" * 34 + " at https://cdn/x?X-Amz-Signature=1&y=2 with Authorization: Bearer t"
    assert redact(text) == "[hidden] at https://cdn/x with Authorization: Bearer [hidden]"
    assert redact("hf_hub_download of secret", "secret", None, "") == "hf_hub_download of [hidden]"


def test_addresses_in_the_librarys_log_are_cut(
    hub: LocalHub, sha: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = Repository(hub.client(tmp_path), REPO)
    file = repository.look_up().files["folder/masks.h5"]
    hub.fail("GET", "/_cdn/", truncate=0.5)
    # huggingface_hub's loggers do not pass their records on
    logger = logging.getLogger("huggingface_hub")
    logger.addHandler(caplog.handler)
    try:
        repository.download(sha, file)
    finally:
        logger.removeHandler(caplog.handler)
    assert "/_cdn/" in caplog.text
    assert "Signature" not in caplog.text
