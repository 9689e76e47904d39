"""A Hub of our own on 127.0.0.1, for the real huggingface_hub to talk to; everything in memory.

    with LocalHub() as hub:
        sha = hub.push("someone/atlas", {"14_summary.csv": b"..."})   # server-side, no client
        client = hub.client()                                         # a HubClient for it, quick
        hub.fail("GET", r"/resolve/", status=503, times=2)            # the next two such requests
        ...
        assert hub.calls("POST", "/commit/") == []                    # every request was noted

It speaks what huggingface_hub 2.4 uses: creation, validate-yaml, preupload, LFS batch (basic,
verify), xet tokens (the store is a directory), commits with parent check, info, tree, tags,
resolve (HEAD, GET, ranges, redirects to another origin).

huggingface_hub reads HF_ENDPOINT, HF_HOME and HF_HUB_DISABLE_XET when it is imported: in this
process use `client` (endpoint and cache are arguments); subprocesses get `environment`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from atlas_assets.hub_client.client import HubClient
from atlas_assets_tests.hub.hub_faults import Call, Fault
from atlas_assets_tests.hub.hub_handler import Handler
from atlas_assets_tests.hub.hub_repos import GITATTRIBUTES, Repo, Storage

TOKEN = "hf_local" + "T0ken" * 5


class LocalHub:
    """A running Hub; ``cdn``, of large files, is another origin, as on the real Hub."""

    def __init__(self, *, xet_dir: Path | None = None) -> None:
        self.token = TOKEN
        self.tokens = {TOKEN}
        self.storage = Storage(xet_dir)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.faults: list[Fault] = []
        self.log: list[Call] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()
        # Two origins: the client follows a redirect that stays on the Hub's own, and then misses
        # the headers that say which commit the file is of; the real Hub redirects to a CDN.
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self._servers = [_Server(("127.0.0.1", 0), handler) for _ in range(2)]
        self.url, self.cdn = (f"http://127.0.0.1:{s.server_address[1]}" for s in self._servers)

    def __enter__(self) -> LocalHub:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """From now on nobody answers."""
        if self.closing.is_set():
            return
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    # ---- talking to it

    def client(self, cache_dir: Path | None = None, **fields: Any) -> HubClient:
        """A client that waits hundredths of seconds where a user's waits seconds."""
        quick: dict[str, Any] = {"timeout": 5.0, "attempts": 3, "backoff": 0.01, "longest_wait": 2}
        return HubClient(
            endpoint=self.url, cache_dir=cache_dir, **{"token": self.token, **quick, **fields}
        )

    def environment(self, home: Path, *, xet: bool = False, **more: str) -> dict[str, str]:
        """Of a subprocess that talks to this Hub, with a cache of its own."""
        dropped = ("ATLAS_", "HF_", "HUGGING")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        xet_off = {} if xet else {"HF_HUB_DISABLE_XET": "1"}
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_TOKEN": self.token}
        return {**kept, "NO_PROXY": "*", **own, **xet_off, **more}

    # ---- what is on it, without a client

    def create(self, repo_id: str, repo_type: str = "dataset", *, private: bool = False) -> Repo:
        """A repository with its first commit."""
        repo = Repo(repo_type, repo_id, private)
        entry = self.storage.put(GITATTRIBUTES.encode(), lfs=False)
        repo.commit("main", {".gitattributes": entry}, "initial commit")
        self.repos[repo_type, repo_id] = repo
        return repo

    def push(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        repo_type: str = "dataset",
        *,
        delete: Iterable[str] = (),
        branch: str = "main",
    ) -> str:
        """Commits files (by path); creates the repository if need be. Returns the new head."""
        repo = self.repos.get((repo_type, repo_id)) or self.create(repo_id, repo_type)
        with repo.lock:
            before = repo.resolve(branch) or repo.resolve("main")
            assert before is not None
            tree = {path: e for path, e in before.tree.items() if path not in set(delete)}
            for path, data in files.items():
                lfs = self.storage.is_lfs(tree, path, len(data))
                tree[path] = self.storage.put(data, lfs=lfs)
            return repo.commit(branch, tree, "pushed").sha

    def push_folder(self, repo_id: str, folder: Path, repo_type: str = "dataset") -> str:
        """Commits every file below a folder, hidden ones left out. Returns the new head."""
        paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
        files = {
            name: path.read_bytes()
            for name, path in paths.items()
            if path.is_file() and not re.search(r"(^|/)\.", name)
        }
        return self.push(repo_id, files, repo_type)

    def head(self, repo_id: str, repo_type: str = "dataset") -> str:
        return self.repos[repo_type, repo_id].refs["main"]

    def commits(self, repo_id: str, repo_type: str = "dataset") -> list[str]:
        """Shas of the main branch, newest first."""
        repo, shas = self.repos[repo_type, repo_id], []
        at: str | None = repo.refs["main"]
        while at is not None:
            shas.append(at)
            at = repo.commits[at].parent
        return shas

    def files(
        self, repo_id: str, repo_type: str = "dataset", revision: str = "main"
    ) -> dict[str, bytes]:
        """Path → content at a revision, .gitattributes left out."""
        commit = self.repos[repo_type, repo_id].resolve(revision)
        assert commit is not None
        found = {p: self.storage.content(entry) for p, entry in commit.tree.items()}
        found.pop(".gitattributes", None)
        return found

    # ---- faults and the log

    def fail(self, method: str, match: str, **fault: Any) -> Fault:
        """Adds a `Fault`."""
        added = Fault(method, match, **fault)
        with self.lock:
            self.faults.append(added)
        return added

    def calls(self, method: str | None = None, match: str = "") -> list[Call]:
        """Requests so far, of a method and with a regular expression in their path."""
        with self.lock:
            log = list(self.log)
        return [c for c in log if method in (None, c.method) and re.search(match, c.path)]

    def forget_calls(self) -> None:
        with self.lock:
            self.log.clear()

    def fault_of(self, method: str, path: str) -> Fault | None:
        """The pending fault that a request meets, counted down."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.match, path):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is part of the game."""
