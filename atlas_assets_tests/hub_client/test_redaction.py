"""Secrets in messages, and in what the Hub's library logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub.utils import http_backoff

from atlas_assets.hub_client.redaction import redact
from atlas_assets.hub_client.repository import Repository
from atlas_assets.hub_client.transport import install
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub_client.conftest import REPO

TOKEN = "hf_" + "a" * 34


@contextmanager
def logged_by_the_library(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Catch its records, which its loggers do not pass on to the root's handlers."""
    logger = logging.getLogger("huggingface_hub")
    logger.addHandler(caplog.handler)
    try:
        yield
    finally:
        logger.removeHandler(caplog.handler)


def test_tokens_and_signatures_are_hidden() -> None:
    text = f"{TOKEN} at https://cdn/x?X-Amz-Signature=1&y=2 with Authorization: Bearer t"
    assert redact(text) == "[hidden] at https://cdn/x with Authorization: Bearer [hidden]"
    assert redact("hf_hub_download of secret", "secret", None, "") == "hf_hub_download of [hidden]"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://user:s3cret@proxy:3128/x", "http://[hidden]@proxy:3128/x"),
        ("ProxyError('socks5h://s3cret@proxy')", "ProxyError('socks5h://[hidden]@proxy')"),
        ("https://user:p@ss@host/a?s3cret", "https://[hidden]@host/a"),
        ("https://host/a@b and user@host", "https://host/a@b and user@host"),
    ],
)
def test_names_and_passwords_in_addresses_are_hidden(said: str, shown: str) -> None:
    assert redact(said) == shown


def test_addresses_in_the_librarys_log_are_cut(
    hub: LocalHub, sha: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = Repository(hub.client(tmp_path), REPO)
    file = repository.look_up().files["folder/masks.h5"]
    hub.fail("GET", "/_cdn/", truncate=0.5)
    with logged_by_the_library(caplog):
        repository.download(sha, file)
    assert "/_cdn/" in caplog.text
    assert "Signature" not in caplog.text


def test_tokens_in_the_log_of_its_requests_are_hidden(
    hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """A filter on the parent of the library's loggers would not see these records."""
    install()
    hub.fail("GET", "/api/x", status=503)
    host = hub.url.removeprefix("http://")
    with logged_by_the_library(caplog):
        http_backoff("GET", f"http://me:s3cret@{host}/api/x/{TOKEN}?{TOKEN}", base_wait_time=0)
    assert "503 thrown while requesting GET http://[hidden]@" in caplog.text
    assert "s3cret" not in caplog.text
    assert TOKEN not in caplog.text
