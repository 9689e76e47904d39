"""The ``atlas`` command line; ``pyproject.toml`` names `main` as its entry point."""

import gc


def main() -> None:
    """Run the ``atlas`` command; the commands are imported only here, so that imports stay fast."""
    # what is imported stays: Python would look through it a dozen times, for a tenth of a command
    gc.set_threshold(20_000, 20, 20)
    from atlas_assets.cli.app import atlas

    atlas(prog_name="atlas")
