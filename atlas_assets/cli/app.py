"""The ``atlas`` command, with all its subcommands."""

from __future__ import annotations

import sys

import click

from atlas_assets.cli.browse import open_report, ui
from atlas_assets.cli.build import build
from atlas_assets.cli.claims import claims
from atlas_assets.cli.command import CommandGroup
from atlas_assets.cli.diff import diff
from atlas_assets.cli.export import export
from atlas_assets.cli.fetch import fetch
from atlas_assets.cli.follow import follow
from atlas_assets.cli.leaderboard import leaderboard
from atlas_assets.cli.neuron import neuron
from atlas_assets.cli.publish import publish
from atlas_assets.cli.quality import quality
from atlas_assets.cli.show import show
from atlas_assets.cli.stability import stability
from atlas_assets.cli.status import status
from atlas_assets.cli.sweep import sweep
from atlas_assets.cli.where import where
from atlas_assets.cli.wiring import wiring

_EPILOG = """\b
Every command takes --json. Exit codes: 0 done; 1 it found something (stale
or missing files, a broken claim, a difference, files left out); 2 wrong usage
or setting; 3 what it needs is missing or damaged, the Hub does not give or take
it, or the output takes nothing more; 70 a defect of this program (a traceback
says where); 141 the reader of its output has left, as in `atlas status | head`.

\b
Completion of commands, options and concepts, in the shell's start-up file:
  bash  eval "$(_ATLAS_COMPLETE=bash_source atlas)"
  zsh   eval "$(_ATLAS_COMPLETE=zsh_source atlas)"
  fish  _ATLAS_COMPLETE=fish_source atlas | source
"""


@click.group(
    cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG
)
@click.version_option(package_name="atlas-assets")
def atlas() -> None:
    """Build an atlas of concept circuits, and look at it.

    Which one: the ATLAS_* variables say, as they do for Dagster (ATLAS_DATA_DIR is the folder of
    the atlases, ATLAS_NAME the atlas in it).
    """
    # where the terminal's encoding lacks a character such as ε, print a question mark: by default
    # Python would end the command with an error
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


_LOOKING = (status, show, claims, leaderboard, quality, wiring, neuron, diff, stability)
for _command in (build, open_report, ui, *_LOOKING, sweep, fetch, follow, where, export, publish):
    atlas.add_command(_command)
