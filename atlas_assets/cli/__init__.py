"""The ``atlas`` command."""


def main() -> None:
    """Entry point; imports the commands only when called."""
    from atlas_assets.cli.app import atlas

    atlas(prog_name="atlas")
