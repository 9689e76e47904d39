"""A process that publishes a few files of the sound atlas in a folder; the tests kill it.

python -m atlas_assets_tests.hub.published_and_killed FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from atlas_assets.atlas.open import open_with_model
from atlas_assets.hub_client.client import HubClient
from atlas_assets_tests.hub.publishing import FEW, Atlas
from atlas_assets_tests.soundness import sound_atlas

if __name__ == "__main__":
    settings = sound_atlas.settings_in(Path(sys.argv[1]))
    Atlas(open_with_model(settings), settings).publish(HubClient(), cells=FEW)
