"""``python -m atlas_assets``: the command ``atlas``, for where it is not on the path."""

from atlas_assets.cli import main

main()
