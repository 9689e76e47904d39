"""What the values of settings may be: kinds of text, lists, files and folders.

Each kind is a type for a field of `AtlasSettings`; what does not fit is a ValueError that says why.
"""

from __future__ import annotations

import json
import os
import re
import time
from importlib.util import find_spec
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from atlas_assets.files.remote import flaw_of
from atlas_assets.stages.setting import number

#: how the name of a file of own prompts ends
STIMULI_ENDINGS = (".parquet", ".csv", ".jsonl", ".ndjson")
_LONGEST_PATH = 3000
#: bytes of a scheduler file, at most; one of dask.distributed has a few hundred
_LARGEST_SCHEDULER_FILE = 2**20
#: seconds in which a scheduler has written its file
_WRITING_SECONDS = 1.0
_SCHEDULER = re.compile(r"(tcp|tls)://[^\s/]+:[0-9]{1,5}")
_IN_SCHEDULER_FILE = re.compile(r"(tcp|tls|ucx|ws|wss)://[^\s/]+:[0-9]{1,5}")


def plain(value: Any) -> Any:
    """Refuse what a text has from the file or the shell that it was set in."""
    if not isinstance(value, str):
        return value
    if not value.isprintable():
        raise ValueError("it has a character that does not print, such as the end of a line")
    if value != value.strip() or (len(value) > 1 and value[0] == value[-1] in "'\""):
        raise ValueError("the blanks or quotes around it are part of it; leave them out")
    return value


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _numbers(value: Any) -> Any:
    return tuple(map(number, _split(value))) if isinstance(value, str) else value


def _readable(value: str) -> str:
    if len(value) > _LONGEST_PATH or max(len(part.encode()) for part in value.split("/")) > 255:
        raise ValueError("it is too long for the name of a folder or a file")
    try:
        path = Path(value).expanduser()
        is_folder = S_ISDIR(path.stat().st_mode)
    except RuntimeError:
        raise ValueError("there is no home folder that ~ stands for") from None
    except (FileNotFoundError, NotADirectoryError):
        return value  # it is a Hub id, or will be made
    except OSError as error:
        raise ValueError(f"it cannot be looked at: {error.strerror}") from None
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        raise ValueError("it may not be read")
    return value


def _file(value: str) -> str:
    path = Path(_readable(value)).expanduser()
    if not path.is_file():
        raise ValueError("it is no file" if path.exists() else "there is no such file")
    return value


def _circuits(value: str) -> str:
    """Refuse a file that nobody reads before every command takes its digest."""
    from atlas_assets.stages.prompts.own_file import MOST_BYTES  # imports polars

    size = Path(_file(value)).expanduser().stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size:,} bytes, and may have {MOST_BYTES:,}")
    return value


def _table(value: str) -> str:
    if Path(value).suffix.lower() not in STIMULI_ENDINGS:
        raise ValueError(f"its name ends in none of {', '.join(STIMULI_ENDINGS)}")
    return value


def _scheduler(value: str) -> str:
    if find_spec("distributed") is None:
        raise ValueError("it needs dask.distributed: pip install 'atlas-assets[dask]'")
    if _SCHEDULER.fullmatch(value):
        return value
    path = Path(_readable(value))
    if not path.is_file():
        raise ValueError("it is neither an address (tcp://host:port) nor a file")
    # a client of dask.distributed that is given another file ends in an assertion, minutes later
    until = time.monotonic() + _WRITING_SECONDS
    while not (is_one := _is_scheduler_file(path)) and time.monotonic() < until:
        time.sleep(0.1)  # a scheduler that has just begun may not have written all of it
    if not is_one:
        raise ValueError(
            "it is no scheduler file: JSON with an address, as `dask scheduler` writes"
        )
    return value


def _is_scheduler_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            address = json.loads(file.read(_LARGEST_SCHEDULER_FILE))["address"]
            return _IN_SCHEDULER_FILE.fullmatch(address) is not None
    except (ValueError, RecursionError, LookupError, TypeError):
        return False


def _folder_or_url(value: str) -> str:
    if "://" in value:
        flaw = flaw_of(value)
        if flaw is not None:
            raise ValueError(flaw)
        return value
    if value.startswith("~"):
        raise ValueError("the shell replaces ~ only where it is not in quotes; name the folder")
    there = (path for path in (Path(value), *Path(value).parents) if path.exists())
    if not next(there, Path("/")).is_dir():
        raise ValueError("there is a file of that name, or of that of a folder above")
    return value


def _on_this_machine(value: str) -> str:
    if "://" in value:
        raise ValueError("it must be a folder on this machine, and not a URL")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_numbers)]
Couple = Annotated[tuple[float, float], BeforeValidator(_numbers)]
ReadablePath = Annotated[str, AfterValidator(_readable)]
CircuitsFile = Annotated[str, AfterValidator(_circuits)]
PromptsFile = Annotated[ReadablePath, AfterValidator(_table)]
DataFolder = Annotated[ReadablePath, AfterValidator(_folder_or_url)]
LocalPath = Annotated[ReadablePath, AfterValidator(_on_this_machine)]
WorkFolder = Annotated[LocalPath, AfterValidator(_folder_or_url)]
Scheduler = Annotated[str, AfterValidator(_scheduler)]
