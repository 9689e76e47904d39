"""Kills of fetch and publish, against the tests' Hub on 127.0.0.1, which a process of its own runs.

After a kill the repository is at the commit before or at the whole new one, and each fetched file
is there as it was published or not at all. The next call finishes what was begun.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from upath import UPath

from atlas_assets.hub_client.client import HubClient
from reliability import children
from reliability.children import Child, Ready
from reliability.rows import Row, Seen, draw

#: of fetch and publish each
CASES = 60
#: seconds that a Hub waits for its end at most
_PATIENCE = 3600.0


def run(seed: int, cases: int | None, until: float) -> list[Row]:
    """Kill fetch and publish; ``cases`` is the number of each."""
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    import atlas_assets_tests.hub.fetching
    import atlas_assets_tests.hub.publishing  # noqa: F401 - once, for all children

    return [_fetch(seed, cases or CASES, until), _publish(seed, cases or CASES, until)]


def _fetch(seed: int, cases: int, until: float) -> Row:
    row = Row("a killed fetch leaves whole files; the next one finishes", "kills of fetch")
    with children.folder() as place, _hub(place / "hub", release=True) as url:
        whole = children.run(partial(_fetch_into, place / "whole", url))
        whole.must()
        expected = _files(place / "whole")

        def case(number: int) -> Seen:
            seen, draws = Seen(), draw(seed, "hub/fetch", number)
            here, kill = place / f"case{number}", children.signal_of(draws)
            at = draws.random() * whole.ready
            ended = children.run(partial(_fetch_into, here, url), kill=(kill, at))
            if ended.status != -kill:
                ended.judge(seen, f"fetch, signal {kill} after {at:.2f} s")
            found = _files(here)
            for name in sorted(found.keys() & expected.keys()):
                if found[name] != expected[name]:
                    seen.note("torn", f"signal {kill} after {at:.2f} s: {name}")
            again = children.run(partial(_fetch_into, here, url))
            again.judge(seen, "the next fetch")
            if again.error and again.ours:
                seen.note("lost", f"the next fetch fails: {again.error}")
            _compare(seen, _files(here), expected)
            shutil.rmtree(here, ignore_errors=True)
            return seen

        return children.spread(row, cases, case, until=until)


def _publish(seed: int, cases: int, until: float) -> Row:
    row = Row("a repository is at the old or the new commit", "kills of publish")
    with children.folder() as place:
        children.run(partial(_make, place / "data")).must()
        with _hub(place / "first") as url:
            whole = children.run(partial(_publish_to, place / "data", url))
            whole.must()
            expected = children.run(lambda _: _published(url)).must()

        def case(number: int) -> Seen:
            seen, draws = Seen(), draw(seed, "hub/publish", number)
            kill, at = children.signal_of(draws), draws.random() * whole.ready
            said = f"signal {kill} after {at:.2f} s"
            temporary = place / f"temporary{number}"
            temporary.mkdir()

            def publish(ready: Ready) -> None:
                os.environ["TMPDIR"] = str(temporary)
                _publish_to(place / "data", url, ready)

            with _hub(place / f"hub{number}") as url:
                ended = children.run(publish, kill=(kill, at))
                if ended.status != -kill:
                    ended.judge(seen, f"publish, {said}")
                found = children.run(lambda _: _published(url)).must()
                if found not in ({}, expected):
                    seen.note("mixed", f"{said}: {len(found)} of {len(expected)} files")
                again = children.run(publish)
                again.judge(seen, "the next publish")
                if again.error and again.ours:
                    seen.note("lost", f"the next publish fails: {again.error}")
                if children.run(lambda _: _published(url)).must() != expected:
                    seen.note("silent", f"{said}: the next publish leaves other files")
            left = sorted(path.name for path in temporary.iterdir())
            if left:
                seen.note("left", f"{said}: {', '.join(left)}")
            shutil.rmtree(temporary, ignore_errors=True)
            return seen

        return children.spread(row, cases, case, until=until)


def _compare(seen: Seen, found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    more = sorted(found.keys() - expected.keys())
    if more:
        seen.note("left", ", ".join(more))
    differ = sorted(name for name in expected if found.get(name) != expected[name])
    if differ:
        seen.note("silent", f"the next call leaves other bytes in {', '.join(differ)}")


def _files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@contextmanager
def _hub(place: Path, *, release: bool = False) -> Iterator[str]:
    """A Hub in a process of its own, with the paper's files or empty; gives its address."""
    place.mkdir()

    def serve(ready: Ready) -> None:
        from atlas_assets_tests.hub import release_repo
        from atlas_assets_tests.hub.local_hub import LocalHub

        with LocalHub() as hub:
            if release:
                hub.push_folder(release_repo.REPO, release_repo.write(place / "release"))
            (place / "url").write_text(hub.url)
            ready()
            due = time.monotonic() + _PATIENCE
            while not (place / "end").exists() and time.monotonic() < due:
                time.sleep(0.02)

    server = Child(serve)
    server.wait_ready()
    try:
        yield (place / "url").read_text()
    finally:
        (place / "end").touch()
        server.end()


def _client(url: str, cache: Path | None = None) -> HubClient:
    from atlas_assets_tests.hub.local_hub import TOKEN

    return HubClient(
        endpoint=url,
        cache_dir=cache,
        token=TOKEN,
        timeout=20.0,
        attempts=3,
        backoff=0.01,
        longest_wait=2,
    )


def _fetch_into(place: Path, url: str, ready: Ready) -> None:
    from atlas_assets.hub.fetch import choose, fetch
    from atlas_assets.hub.source import open_source
    from atlas_assets.storage.provenance import Lineage
    from atlas_assets.storage.store import AtlasStore
    from atlas_assets_tests.hub import release_repo

    client = _client(url, place.with_suffix(".cache"))
    store = AtlasStore(UPath(place), Lineage, release_repo.SWEEP)
    ready()
    source = open_source(client, release_repo.REPO)
    for outcome in fetch(client, source, store, choose(source, ())):
        if outcome.error:
            raise outcome.error


def _make(data: Path, _: Ready) -> None:
    from atlas_assets_tests.soundness import sound_atlas

    sound_atlas.make(data)


def _publish_to(data: Path, url: str, ready: Ready) -> None:
    from atlas_assets.atlas.open import open_with_model
    from atlas_assets.hub.plan import Options
    from atlas_assets.hub.publish import publish
    from atlas_assets_tests.hub.publishing import REPO, Trusting
    from atlas_assets_tests.soundness import sound_atlas

    settings = sound_atlas.settings_in(data)
    store = open_with_model(settings)
    ready()
    publish(store, settings, REPO, _client(url), Options(), Trusting())


def _published(url: str) -> dict[str, str]:
    """The files at the head of the repository that is published to, by their git ids."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    from atlas_assets_tests.hub.local_hub import TOKEN
    from atlas_assets_tests.hub.publishing import REPO

    api = HfApi(endpoint=url, token=TOKEN)
    try:
        tree = list(api.list_repo_tree(REPO, repo_type="dataset", recursive=True))
    except RepositoryNotFoundError:
        return {}
    ids = {of.path: str(getattr(of, "blob_id", "")) for of in tree}
    ids.pop(".gitattributes", None)
    return ids
