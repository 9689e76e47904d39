"""Makes the pictures of README and docs anew: ``make pictures``.

They show the atlas of the embedded model over the whole grid, which ``atlas build`` makes, and are
kept with the digests of the data that they show (``docs/images/pictures.json``), so that a test can
tell when they are out of date. Chromium and its driver draw what a browser shows.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from atlas_assets.atlas.findings import findings
from atlas_assets.atlas.open import open_in_force, require_file
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.ui.browser import CHROMIUM, MISSING, chromium, dagster_dev, text_once

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
RECORD = IMAGES / "pictures.json"
#: picture → (the artifact that it shows, the artifacts whose numbers are in it)
FIGURES = {"concept_fraction.png": ("figure_concept_fraction", ("target_checker", "summary"))}
#: seconds in which a page draws what it shows
DRAWN_S = 8
#: the artifacts that the findings of the README are read off
TOLD_OF = ("masks", "checker_masks", "circuit_leaderboard")


def main() -> None:
    """Make every picture, and record what is in it."""
    if CHROMIUM is None:
        sys.exit(MISSING)
    store = open_in_force(AtlasSettings.from_env())
    record: dict[str, Any] = {}
    for name, (figure, data) in FIGURES.items():
        require_file(store, figure)
        with Image.open(str(store.path(figure))) as image:
            image.reduce(2).save(IMAGES / name, optimize=True)
        record[name] = _digests(store, data)
    record["explorer.png"] = _explorer(store, IMAGES / "explorer.png")
    record["lineage.png"] = {"groups": _lineage(IMAGES / "lineage.png")}
    # what is shared, what the keyword does, and what identifies, of AST nodes and of builtins
    record["findings"] = {"sentences": findings(store)[:4], **_digests(store, TOLD_OF)}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _digests(store: AtlasStore, keys: Iterable[str]) -> dict[str, str]:
    """File → digest of its payload, of these artifacts; of one per setting, the reference's."""
    digests = {}
    for key in keys:
        setting = REFERENCE if ARTIFACTS[key].partitions else None
        require_file(store, key, setting)
        record = store.provenance(key, setting)
        assert record is not None
        digests[store.path(key, setting).name] = record.payload_sha256
    return digests


def _explorer(store: AtlasStore, picture: Path) -> dict[str, str]:
    """Draw the first screen of the atlas's page, and return the digests of what it is about."""
    require_file(store, "atlas_report")
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as page:
        page.set_window_size(1400, 1000)
        page.get(store.path("atlas_report").as_uri())
        text_once(page, "embedded")
        time.sleep(DRAWN_S)
        page.save_screenshot(str(picture))
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128).save(picture, optimize=True)
    return _digests(store, TOLD_OF)


def _lineage(picture: Path) -> list[str]:
    """Draw the groups of the asset graph as Dagster shows them, and return their names."""
    made = {artifact.group.removeprefix("stage_") for artifact in ARTIFACTS.values()}
    groups = sorted({"10_model", *made, "18_version"})
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
        env = {**os.environ, "DAGSTER_HOME": str(home)}
        with dagster_dev(env, home) as url, chromium(home / "profile") as page:
            page.set_window_size(2300, 1400)  # Dagster fits the graph to it
            page.get(f"{url}/asset-groups")
            text_once(page, *groups)
            time.sleep(DRAWN_S)
            page.save_screenshot(str(picture))
            quoted = " or ".join(f"text()='{group}'" for group in groups)
            drawn = f"//*[local-name()='foreignObject']//*[{quoted}]"
            boxes = [found.rect for found in page.find_elements("xpath", drawn)]
    left, top = (min(box[side] for box in boxes) - 40 for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) - 20  # a name's box is wider than it
    bottom = max(box["y"] + box["height"] for box in boxes) + 40
    with Image.open(picture) as image:
        part = (int(left), int(top), min(int(right), image.width), min(int(bottom), image.height))
        image.crop(part).quantize(32).save(picture, optimize=True)
    return groups


if __name__ == "__main__":
    main()
