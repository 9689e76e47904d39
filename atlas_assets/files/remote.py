"""Folders that are not on this machine's disk, such as those in an object store.

Each question about a file there is a request. A command that only looks, such as ``atlas status``,
asks thousands; within `listed`, they are answered from one listing of a folder.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from upath import UPath

from atlas_assets.errors import AtlasError, SettingsError, shortened

_LOCAL = ("", "file", "local")
#: stores that put an object in its place whole or not at all
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
#: what a URL may hold that must not be printed: a password, or what follows a question mark
_SECRET = re.compile(r"(?<=://)[^/@]*:[^/@]*@|\?.*")
#: of a file: its bytes, and what changes whenever the file does
_About = tuple[int, str]
_listed: ContextVar[dict[str, dict[str, _About]] | None] = ContextVar("listed", default=None)


def is_remote(path: UPath | Path) -> bool:
    """Whether a path is of another filesystem than this machine's."""
    return isinstance(path, UPath) and path.protocol not in _LOCAL


def is_object_store(path: UPath) -> bool:
    """Whether a single request puts a file in its place, whole or not at all."""
    return path.protocol in _OBJECT_STORES


def without_secrets(url: str) -> str:
    """Return a URL, or any other text, without the password and the query that it may hold."""
    return _SECRET.sub("***", url) if "://" in url else url


def flaw_of(url: str) -> str | None:
    """Say why no atlas can be at a URL, quoting no secret in it; ``None``: one can."""
    if without_secrets(url) != url:
        return (
            "it holds a password or a query, which would be printed; name the store alone, and "
            "put its credentials where its own tools look for them (AWS_ACCESS_KEY_ID …)"
        )
    from fsspec import get_filesystem_class

    protocol = url.partition("://")[0]
    try:
        get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:  # it names the package to install
        hint = " (pip install 'atlas-assets[s3]')" if protocol in ("s3", "s3a") else ""
        return f"{error}{hint}"
    return None


def folder_at(place: str | Path | UPath) -> UPath:
    """Return the folder at a path or URL, absolute; of a remote one, no listing is kept.

    Others write to it, and a process that kept a listing would not see what they wrote.

    Raises:
        SettingsError: the URL cannot be used; no secret in it is quoted.
    """
    url = str(place)
    if "://" in url and not isinstance(place, Path):
        flaw = flaw_of(url)
        if flaw is not None:
            raise SettingsError(
                "the folder of an atlas cannot be there",
                where=without_secrets(url),
                expected="a path, or the URL of a folder on a filesystem that fsspec knows",
                found=flaw,
                remedy="correct the URL (ATLAS_DATA_DIR), or install what it says",
            )
    folder = UPath(place).absolute()
    if not is_remote(folder) or folder.protocol == "memory":
        return folder
    return UPath(folder, use_listings_cache=False)


@contextlib.contextmanager
def reaching(path: UPath) -> Iterator[None]:
    """Turn what a store says, other than that a file is not there, into our error.

    Raises:
        SettingsError: the store, or its bucket, cannot be reached or refuses.
    """
    try:
        yield
    except AtlasError:
        raise
    except Exception as error:  # each store has errors of its own
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if is_missing and not _lacks_bucket(error):
            raise
        raise SettingsError(
            "the store of the atlas cannot be reached, or refuses",
            where=without_secrets(str(path)),
            expected="a store that answers and a bucket that this process may use",
            found=said_by(error),
            remedy="check ATLAS_DATA_DIR and the network, and what the store's own tools read: "
            "its address and its credentials (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE …)",
        ) from error


def said_by(error: BaseException) -> str:
    """Return one line of what the package of a store says, without secrets."""
    return without_secrets(shortened(str(error))) or type(error).__name__


def _lacks_bucket(error: BaseException) -> bool:
    """Whether S3 says that the bucket is not there, and not only the file."""
    told = getattr(error.__cause__, "response", None)
    return isinstance(told, dict) and told.get("Error", {}).get("Code") == "NoSuchBucket"


@contextlib.contextmanager
def listed(*folders: UPath) -> Iterator[None]:
    """Answer what is asked within about files of these remote folders from one listing of each.

    What is changed meanwhile is not seen. Folders on this machine are looked at as ever.
    """
    with _answering({each.path: _files_of(each) for each in folders if is_remote(each)}):
        yield


@contextlib.contextmanager
def unlisted() -> Iterator[None]:
    """Ask the store anew about every file, within `listed` too."""
    with _answering(None):
        yield


@contextlib.contextmanager
def _answering(found: dict[str, dict[str, _About]] | None) -> Iterator[None]:
    token = _listed.set(found)
    try:
        yield
    finally:
        _listed.reset(token)


def is_listed(path: UPath | Path) -> bool:
    """Whether what is asked about a file is answered from a listing."""
    return isinstance(path, UPath) and is_remote(path) and _known(path.parent) is not None


def remote_names(folder: UPath) -> list[str]:
    """Return the sorted names of the files in a remote folder; none if there is no such folder."""
    known = _known(folder)
    return sorted(_files_of(folder) if known is None else known)


def remote_file(path: UPath) -> _About | None:
    """Return the size of a remote file, and what changes whenever it does; ``None``: no file."""
    known = _known(path.parent)
    if known is not None:
        return known.get(path.name)
    entry = _entry(path)
    return _about(entry) if entry and entry["type"] == "file" else None


def is_remote_folder(path: UPath) -> bool:
    """Whether there is a folder at a remote path: in an object store, whether it has any file."""
    entry = _entry(path)
    return bool(entry and entry["type"] == "directory")


def remote_content(path: UPath) -> bytes:
    """Return all bytes of a remote file by one request; a FileNotFoundError if there is none."""
    with reaching(path):
        data: bytes = path.fs.cat_file(path.path)
    return data


def _entry(path: UPath) -> Mapping[str, Any] | None:
    try:
        with reaching(path):
            found: Mapping[str, Any] = path.fs.info(path.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found


def _known(folder: UPath) -> dict[str, _About] | None:
    return (_listed.get() or {}).get(folder.path)


def _files_of(folder: UPath) -> dict[str, _About]:
    try:
        with reaching(folder):
            entries = folder.fs.ls(folder.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    files = (each for each in entries if each["type"] == "file")
    return {each["name"].rpartition("/")[2]: _about(each) for each in files}


def _about(entry: Mapping[str, Any]) -> _About:
    # an object store gives the digest or version of an object, others give times
    state = entry.get("ETag") or sorted((name, str(value)) for name, value in entry.items())
    return int(entry["size"] or 0), str(state)
