"""A process that publishes a few files of the sound atlas in a folder; the tests kill it.

python -m atlas_assets_tests.hub.published_and_killed FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from atlas_assets.definitions import build_resources
from atlas_assets.hub.publish import publish
from atlas_assets.hub_client.client import HubClient
from atlas_assets_tests.hub.publishing import FEW, REPO, Trusting
from atlas_assets_tests.soundness import sound_atlas


def main() -> None:
    settings = sound_atlas.settings_in(Path(sys.argv[1]))
    store = build_resources(settings)["store"]
    publish(store, settings, REPO, HubClient(), cells=FEW, verifier=Trusting())


if __name__ == "__main__":
    main()
