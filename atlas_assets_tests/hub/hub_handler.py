"""The requests of a `LocalHub`: faults, storage and downloads; the API is in `hub_api`."""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from atlas_assets_tests.hub import hub_api
from atlas_assets_tests.hub.hub_faults import Call, Fault, RefusedError
from atlas_assets_tests.hub.hub_repos import Commit, Repo

if TYPE_CHECKING:
    from atlas_assets_tests.hub.local_hub import LocalHub


_LFS = re.compile(r"/_lfs/([0-9a-f]{64})(?:/(verify))?")
_CDN = re.compile(r"/_cdn/([0-9a-f]{64})")
_BATCH = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_RESOLVE = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_API = re.compile(
    r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/([a-z-]+)(?:/([^/]+)(?:/(.+))?)?)?"
)
_WRITING = ("commit", "preupload", "tag", "xet-write-token")


class Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    # ---- one request

    def _handle(self) -> None:
        self.fault: Fault | None = None
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.closing.is_set():  # on a connection that was kept open
            return self._drop()
        fault = self.hub.fault_of(self.command, self.path)
        if fault is not None:
            self.hub.closing.wait(fault.delay)
            if fault.drop and not fault.after:
                return self._drop()
            self.fault = None if fault.passes else fault
            if not (fault.after or fault.passes or fault.truncate is not None):
                return self.send()
        try:
            self._route()
        except RefusedError as refusal:
            code = {"X-Error-Code": refusal.code} if refusal.code else {}
            headers = {"X-Error-Message": refusal.message, **code}
            self.send(refusal.status, js={"error": refusal.message}, headers=headers)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def _drop(self) -> None:
        self.close_connection = True
        self._note(0)

    def _note(self, status: int) -> None:
        if self.path == hub_api.DAILY:
            return
        said = self.headers.get("Authorization", "")
        range_ = self.headers.get("Range", "")
        call = Call(self.command, self.path, status, len(self.body), said, range_)
        with self.hub.lock:
            self.hub.log.append(call)

    def send(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        js: Any = None,
    ) -> None:
        """The answer, unless a fault replaces or cuts it."""
        if js is not None:
            body = json.dumps(js).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        fault, kept = self.fault, len(body)
        if fault is not None and fault.truncate is not None:
            kept = int(len(body) * fault.truncate)
            self.close_connection = True
        elif fault is not None and fault.drop:
            return self._drop()
        elif fault is not None:
            status, headers, body = fault.status, dict(fault.headers), fault.body.encode()
            kept = len(body)
        self._note(status)
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:kept])
        return None

    # ---- lookups

    def authorised(self, *, write: bool = True) -> bool:
        said = self.headers.get("Authorization", "")
        if said and said.removeprefix("Bearer ") not in self.hub.tokens:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        if not said and write:
            raise RefusedError(401, "Invalid username or password.")
        return bool(said)

    def repo(self, kind: str | None, repo_id: str, *, write: bool = False) -> Repo:
        known = self.authorised(write=write)
        found = self.hub.repos.get(((kind or "models")[:-1], repo_id))
        if found is None or (found.private and not known):
            raise RefusedError(404 if known else 401, "Repository not found", "RepoNotFound")
        return found

    def commit_at(self, repo: Repo, revision: str) -> Commit:
        found = repo.resolve(revision)
        if found is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def _route(self) -> None:
        url = urlsplit(self.path)
        if url.path in hub_api.PLAIN:
            return hub_api.PLAIN[url.path](self)
        if found := _LFS.fullmatch(url.path):  # "presigned": no credentials needed
            return self._lfs_store(found[1], found[2])
        if found := _CDN.fullmatch(url.path):
            return self._send_range(self.hub.storage.blobs[found[1]], {"ETag": f'"{found[1]}"'})
        if found := _BATCH.fullmatch(url.path):
            self.repo(found[1], found[2], write=True)
            objects = [self._lfs_action(one) for one in json.loads(self.body)["objects"]]
            return self.send(js={"transfer": "basic", "objects": objects})
        if found := _RESOLVE.fullmatch(url.path):
            return self._resolve(self.repo(found[1], found[2]), found[3], unquote(found[4]))
        if found := _API.fullmatch(url.path):
            verb, argument = found[3] or "info", unquote(found[4] or "main")
            if verb in hub_api.VERBS:
                repo = self.repo(found[1], found[2], write=verb in _WRITING)
                query = dict(parse_qsl(url.query))
                return hub_api.VERBS[verb](self, repo, argument, unquote(found[5] or ""), query)
        raise RefusedError(404, f"no route {self.command} {url.path}")

    # ---- storage

    def _lfs_action(self, wanted: dict[str, Any]) -> dict[str, Any]:
        base = f"{self.hub.cdn}/_lfs/{wanted['oid']}"
        if wanted["oid"] in self.hub.storage.blobs:
            return wanted  # no "actions": the client skips the upload
        actions = {"upload": {"href": base}, "verify": {"href": f"{base}/verify"}}
        return {**wanted, "actions": actions}

    def _lfs_store(self, sha: str, what: str | None) -> None:
        storage = self.hub.storage
        if what == "verify":
            return self.send(200 if sha in storage.blobs else 404, js={})
        if hashlib.sha256(self.body).hexdigest() != sha:
            raise RefusedError(400, "sha256 mismatch")
        storage.blobs[sha] = self.body
        return self.send(js={})

    def _send_range(self, data: bytes, headers: dict[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self.send(200, data, {"Accept-Ranges": "bytes", **headers})
        first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
        if first >= len(data):
            return self.send(416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return self.send(206, data[first : last + 1], headers)

    def _resolve(self, repo: Repo, revision: str, path: str) -> None:
        commit, hub = self.commit_at(repo, revision), self.hub
        headers = {"X-Repo-Commit": commit.sha}
        entry = commit.tree.get(path)
        if entry is None:
            absent = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return self.send(404, b"Entry not found", {**headers, **absent})
        headers["ETag"] = f'"{entry.lfs or entry.oid}"'
        if entry.lfs is None:
            return self._send_range(hub.storage.blobs[entry.oid], headers)
        headers |= {
            "X-Linked-Etag": f'"{entry.lfs}"',
            "X-Linked-Size": str(entry.size),
            "Location": f"{hub.cdn}/_cdn/{entry.lfs}?X-Amz-Signature=signed-for-one",
        }
        if xet_hash := hub.storage.xet.get(entry.lfs):
            token_url = f"{hub.url}/api/{repo.type}s/{repo.id}/xet-read-token/{commit.sha}"
            headers |= {"X-Xet-Hash": xet_hash, "Link": f'<{token_url}>; rel="xet-auth"'}
        return self.send(302, headers=headers)
