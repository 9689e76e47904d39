"""Creates the storage of Dagster's instance: ``python -m atlas_assets.orchestration.instance``.

Dagster creates it when an instance is first opened. Two processes that do so at once may leave two
versions of one database in it, after which nothing opens the instance any more.
"""

import os
import sys
from pathlib import Path

import dagster as dg

from atlas_assets.errors import ArtifactError, AtlasError
from atlas_assets.files.locks import exclusive
from atlas_assets.orchestration.databases import refusals_told

#: the folder of the instance where DAGSTER_HOME names none, in the folder of the process
DEFAULT_HOME = ".dagster_home"
#: what a new home is given: no telemetry, and a log without Dagster's engine events
_CONFIGURATION = """\
telemetry:
  enabled: false
nux:
  enabled: false
python_logs:
  python_log_level: INFO
"""


def home_of_instance() -> Path:
    """Return the folder that DAGSTER_HOME names, else ``.dagster_home`` beside the data."""
    return Path(os.environ.get("DAGSTER_HOME") or DEFAULT_HOME).expanduser().absolute()


def prepare_home() -> Path:
    """Return the folder of the instance, with its configuration and its storage.

    Raises ArtifactError where the folder cannot be made, or its storage is damaged.
    """
    home = home_of_instance()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(_CONFIGURATION, encoding="utf-8")
    except OSError as error:
        raise ArtifactError(
            "Dagster's instance has no place",
            where=str(home),
            expected="a folder that can be written to",
            found=str(error),
            remedy="name another folder in DAGSTER_HOME",
        ) from error
    create_instance(home)
    return home


def create_instance(home: Path) -> None:
    """Create the storage of the instance in ``home`` where there is none, one process at a time.

    Raises ArtifactError where two first processes have damaged the storage, or a database cannot be
    written to.
    """
    what = "the storage of Dagster's instance"
    with (
        exclusive(home / "storage", what=what, variable="DAGSTER_HOME"),
        refusals_told(home),
    ):
        try:
            with dg.DagsterInstance.from_config(str(home)):
                pass
        except Exception as error:
            # its class is of a library that Dagster uses
            if "more than one head" not in str(error):
                raise
            raise ArtifactError(
                "Dagster's instance cannot be opened",
                where=str(home),
                expected="databases of one version each",
                found=f"two first processes of Dagster have created them at once ({error})",
                remedy="end Dagster's processes and remove its history, `rm -r "
                f"'{home}/history' '{home}/schedules'`: the list of runs and what is switched on "
                "are lost, the files of the atlas stay; then run this command again",
            ) from error


def main() -> int:
    """Create the storage of the instance that DAGSTER_HOME names; without it, do nothing."""
    home = os.environ.get("DAGSTER_HOME")
    if home:
        try:
            create_instance(Path(home).expanduser().absolute())
        except AtlasError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
