"""The API of a `LocalHub`: what answers below ``/api/``."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from atlas_assets_tests.hub.hub_faults import RefusedError
from atlas_assets_tests.hub.hub_repos import Entry, Repo

if TYPE_CHECKING:
    from atlas_assets_tests.hub.hub_handler import Handler

Query = Mapping[str, str]
_FRONT_MATTER = re.compile(r"^---[ \t]*\n(.*?)\n---", re.S)
_POINTER_SIZE = 130
#: huggingface_hub asks for this once a day of its own accord; it is not noted
DAILY = "/api/agent-harnesses"


def validate_yaml(request: Handler) -> None:
    front = _FRONT_MATTER.match(json.loads(request.body)["content"])
    errors = []
    if front is not None:
        try:
            if not isinstance(yaml.safe_load(front[1]), dict):
                errors.append({"message": "metadata is not a mapping"})
        except yaml.YAMLError as error:
            errors.append({"message": f"bad YAML: {str(error).splitlines()[0]}"})
    warnings = [] if front else [{"message": "empty or missing yaml metadata in repo card"}]
    request.send(400 if errors else 200, js={"errors": errors, "warnings": warnings})


def create_repo(request: Handler) -> None:
    request.authorised()
    wanted = json.loads(request.body)
    kind = wanted.get("type", "model")
    repo_id = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
    prefix = "" if kind == "model" else f"{kind}s/"
    said = {"url": f"{request.hub.url}/{prefix}{repo_id}", "name": repo_id}
    if (kind, repo_id) in request.hub.repos:
        return request.send(409, js={"error": "You already created this repo", **said})
    private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    request.hub.create(repo_id, kind, private=private)
    return request.send(js=said)


def info(request: Handler, repo: Repo, revision: str, _: str, query: Query) -> None:
    commit = request.commit_at(repo, revision)
    siblings = [
        {"rfilename": path, **(_blob_info(entry) if query.get("blobs") == "true" else {})}
        for path, entry in sorted(commit.tree.items())
    ]
    counts = {"tags": [], "downloads": 0, "likes": 0}
    flags = {"private": repo.private, "gated": False, "disabled": False}
    dates = {"lastModified": commit.date, "createdAt": commit.date}
    named = {"id": repo.id, "author": repo.id.split("/")[0], "sha": commit.sha}
    request.send(js={**named, **dates, **flags, **counts, "siblings": siblings})


def _blob_info(entry: Entry) -> dict[str, Any]:
    pointer = {"size": entry.size, "pointerSize": _POINTER_SIZE}
    lfs = {"sha256": entry.lfs, **pointer} if entry.lfs else None
    return {"size": entry.size, "blobId": entry.oid, "lfs": lfs}


def commits(request: Handler, repo: Repo, revision: str, _: str, _query: Query) -> None:
    found, at = [], request.commit_at(repo, revision).sha
    while at is not None:
        made = repo.commits[at]
        found.append({"id": at, "authors": [], "date": made.date, "title": "", "message": ""})
        at = made.parent
    request.send(js=found)


def preupload(request: Handler, repo: Repo, revision: str, _: str, _query: Query) -> None:
    commit, modes = request.commit_at(repo, revision), []
    for file in json.loads(request.body)["files"]:
        lfs = request.hub.storage.is_lfs(commit.tree, file["path"], file["size"])
        before = commit.tree.get(file["path"])
        oid = {"oid": before.lfs or before.oid} if before else {}
        mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        modes.append({"path": file["path"], **mode, **oid})
    request.send(js={"files": modes, "commitOid": commit.sha})


def commit(request: Handler, repo: Repo, branch: str, _: str, _query: Query) -> None:
    with repo.lock:
        before, head = request.commit_at(repo, branch), {}
        tree = dict(before.tree)
        for line in map(json.loads, request.body.splitlines()):
            if line["key"] == "header":
                head = line["value"]
                if not before.sha.startswith(head.get("parentCommit", "")):
                    raise RefusedError(
                        412, "A commit has happened since. Please refresh and try again."
                    )
            else:
                tree = _changed(request, tree, line["key"], line["value"])
        made = repo.commit(branch, tree, head["summary"])
    address = f"{request.hub.url}/{repo.type}s/{repo.id}/commit/{made.sha}"
    said = {"commitUrl": address, "commitOid": made.sha, "hookOutput": ""}
    request.send(js={"success": True, **said})


def _changed(
    request: Handler, tree: dict[str, Entry], key: str, value: dict[str, Any]
) -> dict[str, Entry]:
    storage, path = request.hub.storage, value["path"]
    if key == "file":
        return {**tree, path: storage.put(base64.b64decode(value["content"]), lfs=False)}
    if key == "lfsFile":
        if value["oid"] not in storage.blobs and storage.xet_dir is not None:
            storage.load_xet(value["oid"], value["size"])
        if value["oid"] not in storage.blobs:
            raise RefusedError(400, f"LFS object {value['oid']} is missing")
        return {**tree, path: storage.lfs_entry(value["oid"])}
    if key == "deletedFile":
        if path not in tree:
            raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
        return {other: entry for other, entry in tree.items() if other != path}
    raise RefusedError(400, f"unknown operation {key}")


def _item(request: Handler, path: str, entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
    if entry.lfs is not None:
        item["lfs"] = {"oid": entry.lfs, "size": entry.size, "pointerSize": _POINTER_SIZE}
        if entry.lfs in request.hub.storage.xet:
            item["xetHash"] = request.hub.storage.xet[entry.lfs]
    return item


def _folder(path: str) -> dict[str, Any]:
    oid = hashlib.sha1(path.encode()).hexdigest()
    return {"type": "directory", "path": path, "oid": oid, "size": 0}


def tree(request: Handler, repo: Repo, revision: str, below: str, query: Query) -> None:
    commit = request.commit_at(repo, revision)
    found: dict[str, dict[str, Any]] = {}
    prefix, deep = f"{below.strip('/')}/" if below else "", query.get("recursive") == "true"
    for path, entry in sorted(commit.tree.items()):
        parts = path[len(prefix) :].split("/") if path.startswith(prefix) else []
        for depth in range(1, len(parts) if deep else min(2, len(parts))):
            folder = prefix + "/".join(parts[:depth])
            found.setdefault(folder, _folder(folder))
        if len(parts) == 1 or (parts and deep):
            found[path] = _item(request, path, entry)
    if below and not found:
        raise RefusedError(404, f"{below} does not exist on {revision}", "EntryNotFound")
    request.send(js=list(found.values()))


def tag(request: Handler, repo: Repo, argument: str, _: str, _query: Query) -> None:
    name = json.loads(request.body)["tag"]
    if name in repo.tags:
        raise RefusedError(409, "Tag reference exists already")
    repo.tags[name] = request.commit_at(repo, argument).sha
    request.send(js={})


def xet_token(request: Handler, _repo: Repo, _argument: str, _: str, _query: Query) -> None:
    xet_dir = request.hub.storage.xet_dir
    if xet_dir is None:
        raise RefusedError(501, "no xet here: HF_HUB_DISABLE_XET=1, or LocalHub(xet_dir=...)")
    url, expires = f"local://{xet_dir}", 4102444800
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": "x",
        "X-Xet-Token-Expiration": str(expires),
    }
    request.send(js={"casUrl": url, "accessToken": "x", "exp": expires}, headers=headers)


PLAIN: Mapping[str, Callable[[Any], None]] = {
    "/api/validate-yaml": validate_yaml,
    "/api/repos/create": create_repo,
}
VERBS: Mapping[str, Callable[..., None]] = {
    "info": info,
    "revision": info,
    "preupload": preupload,
    "commit": commit,
    "commits": commits,
    "tree": tree,
    "tag": tag,
    "xet-write-token": xet_token,
    "xet-read-token": xet_token,
}
