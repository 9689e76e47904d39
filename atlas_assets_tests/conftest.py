"""Fixtures and options every test shares."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from atlas_assets_tests.built_atlas import built
from atlas_assets_tests.sample_atlas import made

__all__ = ["built", "made"]

TIERS = {
    "slow": "takes minutes; lift with --run-slow",
    "gpu": "needs a CUDA device; lift with --run-gpu on a machine that has one",
    "s3": "needs s3fs and an S3 server on loopback; lift with `make test-s3`",
}
#: the longest modules run first, so that no worker is left alone with one at the end; while one of
#: the workers builds the atlas for several of them, the other follows one of its own
LONGEST = ("test_frozen", "test_follow", "test_atlas_job", "test_command_line", "test_verify")


def pytest_addoption(parser: pytest.Parser) -> None:
    for tier, reason in TIERS.items():
        parser.addoption(f"--run-{tier}", action="store_true", help=f"run the tests that {reason}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(name) if (name := item.path.stem) in LONGEST else 99)
    for tier, reason in TIERS.items():
        if config.getoption(f"--run-{tier}"):
            continue
        skip = pytest.mark.skip(reason=reason)
        for item in items:
            if tier in item.keywords:
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Spare the collector what all modules have loaded, a million objects that stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """What other plugins load at the end looks for objects that refer to it."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir with a small atlas without a fault; nobody changes it."""
    # which imports Dagster
    from atlas_assets_tests.soundness import sound_atlas

    folder = tmp_path_factory.mktemp("sound")
    sound_atlas.make(folder)
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; a user's clone does not have it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("needs the golden files in ../shared (beside the checkout); place them there")
    return folder
