"""A headless Chromium, and a `dagster dev` to point it at."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from atlas_assets_tests.ui.server import end, free_port, wait_for

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = (
    "needs Chromium and its driver; install them with "
    "`apt-get install chromium chromium-driver` (Debian)"
)
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1600,1000",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def dagster_dev(env: dict[str, str], cwd: Path) -> Iterator[str]:
    """The URL of a `dagster dev` of the package; it and its children end with the block."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "dagster"),
        "dev",
        "-m",
        "atlas_assets.definitions",
    ]
    with (cwd / "dagster-dev.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            # as `make ui` does: with the variable set, the webserver does not come up
            env={key: value for key, value in env.items() if key != "DAGSTER_MODULE_NAME"},
            cwd=cwd,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, process, cwd / "dagster-dev.log")
            yield url
        finally:
            end(process)


def text_once(driver: webdriver.Chrome, *wanted: str, timeout: float = 60) -> str:
    """The page's text, as soon as it holds all of ``wanted``."""

    def holds(_: webdriver.Chrome) -> str | None:
        text = driver.find_element("tag name", "body").text
        return text if all(part in text for part in wanted) else None

    return WebDriverWait(driver, timeout, ignored_exceptions=(Exception,)).until(
        holds, f"the page does not show {wanted}"
    )
