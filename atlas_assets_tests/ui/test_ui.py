"""What a newcomer sees in the Dagster UI, in a real browser on a real `dagster dev`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium: pip install -e '.[dev]'")

from selenium import webdriver

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.orchestration.tiny_atlas import copy_of, environment
from atlas_assets_tests.ui.browser import (
    CHROMIUM,
    DRIVER,
    MISSING,
    chromium,
    dagster_dev,
    text_once,
)

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING),
    # selenium leaves its connection pool to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def home(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ui")
    copy_of(built, home / "data")
    return Path(shutil.copytree(built / "dagster", home, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def env(home: Path) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")},
        **environment(home / "data"),
        "DAGSTER_HOME": str(home),
    }


@pytest.fixture(scope="module")
def url(home: Path, env: dict[str, str]) -> Iterator[str]:
    """The UI after one run of the whole atlas."""
    with dagster_dev(env, home) as url:
        yield url


@pytest.fixture(scope="module")
def page(home: Path) -> Iterator[webdriver.Chrome]:
    with chromium(home / "profile") as driver:
        yield driver


def test_the_lineage_shows_every_group(url: str, page: webdriver.Chrome) -> None:
    page.get(f"{url}/asset-groups")
    text_once(page, *sorted({a.group.removeprefix("stage_") for a in ARTIFACTS.values()}))


def test_the_partition_page_shows_nine_filled_cells(url: str, page: webdriver.Chrome) -> None:
    page.get(f"{url}/assets/object_masks?view=partitions")
    text = text_once(page, "Materialized (9)", "Missing (0)", "Failed (0)")
    for value in ("0.001", "0.1", "0.2", "0.5", "0.8"):
        assert value in text


def test_an_asset_page_explains_the_asset(url: str, page: webdriver.Chrome) -> None:
    page.get(f"{url}/assets/summary?view=overview")
    text = text_once(page, "summary", "mean_concept_fraction", "ast_concept_fraction")
    assert "14_decomposition" in text


def test_a_check_page_shows_a_claim_with_expected_and_observed(
    url: str, page: webdriver.Chrome
) -> None:
    page.get(f"{url}/assets/summary?view=checks&checkDetail=claim_ratio_eps0_5_cons0_8")
    text = text_once(page, "Passed", "expected", "observed", "4 to 9")
    assert "observed, not claimed" in text
    assert "§7.2" in text
    assert "embedded" in text
