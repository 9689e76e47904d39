"""What a Hub keeps: repositories, commits, blobs; in memory."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import struct
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

#: anything bigger is in large file storage, whatever its name
LFS_SIZE = 10 * 1024 * 1024
LFS_EXTENSIONS = ("parquet", "h5", "hdf5", "bin", "npz", "arrow", "zip", "safetensors")
GITATTRIBUTES = "".join(f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LFS_EXTENSIONS)


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Entry(NamedTuple):
    """A file in a tree: git id (of the pointer, for LFS), size, sha256 when LFS."""

    oid: str
    size: int
    lfs: str | None = None


class Commit(NamedTuple):
    sha: str
    parent: str | None
    date: str
    tree: Mapping[str, Entry]


@dataclass
class Repo:
    type: str
    id: str
    private: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> Commit | None:
        name = unquote(revision).removeprefix("refs/heads/")
        return self.commits.get(self.refs.get(name) or self.tags.get(name) or name)

    def commit(self, branch: str, tree: Mapping[str, Entry], title: str) -> Commit:
        parent, now = self.refs.get(branch), datetime.now(UTC)
        contents = sorted((path, entry.oid) for path, entry in tree.items())
        raw = json.dumps([parent, title, now.isoformat(), len(self.commits), contents])
        sha = hashlib.sha1(raw.encode()).hexdigest()
        date = now.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        made = Commit(sha, parent, date, dict(tree))
        self.commits[sha], self.refs[branch] = made, sha
        return made


@dataclass
class Storage:
    """Blobs by git id or sha256; with ``xet_dir``, also those that hf_xet put there."""

    xet_dir: Path | None = None
    blobs: dict[str, bytes] = field(default_factory=dict)
    #: sha256 → xet hash
    xet: dict[str, str] = field(default_factory=dict)

    def put(self, data: bytes, *, lfs: bool) -> Entry:
        if not lfs:
            oid = git_oid(data)
            self.blobs[oid] = data
            return Entry(oid, len(data))
        sha = hashlib.sha256(data).hexdigest()
        self.blobs[sha] = data
        return self.lfs_entry(sha)

    def lfs_entry(self, sha: str) -> Entry:
        size = len(self.blobs[sha])
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n"
        return Entry(git_oid(pointer.encode()), size, sha)

    def content(self, entry: Entry) -> bytes:
        return self.blobs[entry.lfs or entry.oid]

    def is_lfs(self, tree: Mapping[str, Entry], path: str, size: int) -> bool:
        lines = self.blobs[tree[".gitattributes"].oid].decode().splitlines()
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        name = path.split("/")[-1]
        return size > LFS_SIZE or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    def load_xet(self, sha: str, size: int) -> None:
        """A file that hf_xet uploaded: its hash is looked up in the shards, then it is read."""
        assert self.xet_dir is not None
        for shard in self.xet_dir.glob("**/shards/*.mdb"):
            found = _xet_hash(shard.read_bytes(), sha)
            if found is not None:
                self.blobs[sha], self.xet[sha] = self._read_xet(found, size), found
                return

    def _read_xet(self, file_hash: str, size: int) -> bytes:
        import hf_xet

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "file"
            with hf_xet.XetSession().new_file_download_group(
                endpoint=f"local://{self.xet_dir}", token="x", token_expiry_unix_secs=4102444800
            ) as group:
                group.start_download_file(hf_xet.XetFileInfo(file_hash, size), str(out))
            return out.read_bytes()


def _xet_hash(shard: bytes, sha: str) -> str | None:
    """The xet hash of the file of this sha256, in the file section of a shard."""
    at = 48
    while shard[at : at + 32] != b"\xff" * 32:
        # header, n segments, as many verifications (flag), metadata with the sha256 (flag)
        flags, n = struct.unpack("<II", shard[at + 32 : at + 40])
        file_hash = _hex(shard[at : at + 32])
        at += 48 * (1 + n + (n if flags >> 31 else 0))
        if flags & (1 << 30):
            at += 48
            if _hex(shard[at - 48 : at - 16]) == sha:
                return file_hash
    return None


def _hex(raw: bytes) -> str:
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))
