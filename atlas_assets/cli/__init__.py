"""The ``atlas`` command line; ``pyproject.toml`` names `main` as its entry point."""


def main() -> None:
    """Run the ``atlas`` command; the commands are imported only here, so that imports stay fast."""
    from atlas_assets.cli.app import atlas

    atlas(prog_name="atlas")
