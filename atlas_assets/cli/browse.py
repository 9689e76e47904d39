"""``atlas open`` and ``atlas ui``: the explorer, and Dagster's interface, in a browser."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from atlas_assets.cli.command import UNREADABLE, Answer, AnsweringCommand

if TYPE_CHECKING:
    from atlas_assets.storage.store import AtlasStore


@click.command(
    name="open",
    cls=AnsweringCommand,
    exit_codes={UNREADABLE: "there is no explorer, or it is damaged"},
)
@click.option("--print", "only_print", is_flag=True, help="Print the link; open no browser.")
def open_report(only_print: bool) -> Answer:
    """Open the explorer of the atlas in force in the browser.

    Of an atlas in an object store, which a browser cannot read, a copy in the user's cache folder
    (or in ATLAS_WORK_DIR) is opened.
    """
    from atlas_assets.atlas.open import open_in_force, require_file, require_folder
    from atlas_assets.settings import AtlasSettings

    store = open_in_force(AtlasSettings.from_env())
    require_folder(store.root)
    require_file(store, "atlas_report")
    text: str = store.read("atlas_report")  # a damaged page is refused, and not shown
    page = _on_this_machine(store, text)
    url = f"file://{quote(str(page.absolute()))}" if page else str(store.path("atlas_report"))
    import webbrowser

    opened = not only_print and webbrowser.open(url)
    document = {"url": url, "opened": opened}
    lacking = "" if opened or only_print else " (no browser was found: open this link)"
    return Answer("atlas.open/1", document, lambda: [f"{url}{lacking}"])


def _on_this_machine(store: AtlasStore, text: str) -> Path | None:
    """The explorer, or a copy of what was read; ``None`` where there is no folder for a copy."""
    from atlas_assets.files import atomic
    from atlas_assets.files.locations import local_path

    path = store.path("atlas_report")
    here, folder = local_path(path), store.scratch("atlas_report")
    if here is not None or folder is None:
        return here
    copy = folder / path.name
    atomic.write_bytes(copy, text.encode(), what="a copy of the explorer")
    return copy


def _require_free(port: int) -> None:
    """Refuse a port that is taken: Dagster's server would only say so and go on without an end."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.BadParameter(
                f"{port} cannot be listened on ({error.strerror}); choose another one",
                param_hint="--port",
            ) from error


@click.command(cls=AnsweringCommand)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="TCP port."
)
def ui(port: int) -> Answer:
    """Open Dagster's interface on this atlas and on every run made so far; Ctrl-C ends it.

    It listens on 127.0.0.1 alone. The runs are those of the folder that DAGSTER_HOME names, else
    of .dagster_home in the folder where you are.
    """
    from atlas_assets.api.building import dagster_home
    from atlas_assets.settings import AtlasSettings

    AtlasSettings.from_env()  # its errors are better read here than in the log of a server
    _require_free(port)
    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home())}
    # with it set, the webserver that dagster dev starts does not come up
    environment.pop("DAGSTER_MODULE_NAME", None)
    click.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)", err=True)
    served = ("-w", str(Path(__file__).parents[1] / "orchestration" / "workspace.yaml"))
    command = (sys.executable, "-m", "dagster", "dev", *served, "-h", "127.0.0.1", "-p", str(port))
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - it takes this process over
