"""``python -m atlas_assets.cli``, for where the package is importable but not installed."""

from atlas_assets.cli import main

main()
