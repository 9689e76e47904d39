"""The ``atlas`` command line; ``pyproject.toml`` names `main` as its entry point."""

import gc
import sys


def main() -> None:
    """Run the ``atlas`` command; the commands are imported only here, so that imports stay fast."""
    # what is imported stays: Python would look through it a dozen times, for a tenth of a command
    gc.set_threshold(200_000, 20, 20)
    try:
        from atlas_assets.cli.app import atlas
    except KeyboardInterrupt:  # before there is a command that could end in a word
        sys.stderr.write("interrupted\n")
        sys.exit(130)

    try:
        atlas(prog_name="atlas")
    finally:
        # at the end Python would look through all of it once more, for a tenth of a build
        gc.freeze()
