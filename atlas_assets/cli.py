"""The ``atlas`` command."""

from __future__ import annotations

import click

from atlas_assets.errors import AtlasError
from atlas_assets.settings import AtlasSettings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atlas-assets")
def main() -> None:
    """Look at an atlas of concept circuits. Settings are ATLAS_* variables (see the README)."""


@main.command()
def where() -> None:
    """Say where the atlas in force lies and which files are there."""
    from upath import UPath

    try:
        settings = AtlasSettings.from_env()
    except AtlasError as error:
        raise click.ClickException(str(error)) from None
    folder = UPath(settings.data_dir).absolute() / settings.atlas_name
    files = sorted(path for path in folder.glob("*") if path.is_file()) if folder.exists() else []
    click.echo(f"atlas: {folder}")
    for path in files:
        click.echo(f"  {path.stat().st_size / 1e6:9.2f} MB  {path.name}")
    if not files:
        click.echo("  no files yet: run `make atlas`")
    click.echo("open the UI on these runs: make ui, then http://127.0.0.1:3000")


if __name__ == "__main__":
    main()
