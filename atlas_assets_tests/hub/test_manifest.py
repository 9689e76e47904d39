"""The manifest: deterministic, and merged with what was published before."""

from __future__ import annotations

import json
import re

import pytest

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.files.json_text import SEAL, sealed
from atlas_assets.hub.manifest import (
    ClaimRecord,
    FileRecord,
    Manifest,
    manifest_of,
    merged,
)
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.storage.provenance import Lineage
from atlas_assets_tests.storage import samples


def file(path: str, sha256: str = "a" * 64, **fields: object) -> FileRecord:
    given = {"size": 3, "blob_id": "b" * 40, "asset": "summary", **fields}
    return FileRecord(path=path, sha256=sha256, **given)  # type: ignore[arg-type]


def claim(observed: str, *sources: str) -> ClaimRecord:
    return ClaimRecord(
        id="inventory",
        section="§1",
        statement="so",
        setting="",
        expected="1",
        observed=observed,
        verdict="holds" if observed else "not evaluated",
        model="m",
        readout="last_token",
        sources=sources,
    )


def of_model(weights: str) -> object:
    model = ModelIdentity(model_id="m", weights_sha256=weights)
    return samples.provenance("summary", lineage=Lineage(model=model))


def everything_is_there(_: FileRecord) -> bool:
    return True


def test_bytes_do_not_depend_on_the_order_of_files() -> None:
    one, two = file("a.csv", provenance=samples.provenance("summary")), file("b.csv")
    first, second = manifest_of([one, two]), manifest_of([two, one])
    assert first.to_bytes() == second.to_bytes()
    assert Manifest.from_bytes(first.to_bytes(), where="x") == first
    document = json.loads(first.to_bytes())
    assert document["version"] == first.version
    assert document["version"].startswith("atlas-a1a1a1a1-")


def test_the_version_follows_content_and_model() -> None:
    versions = {
        manifest_of([file("a.csv")]).version,
        manifest_of([file("a.csv", "c" * 64)]).version,
        manifest_of([file("a.csv", provenance=of_model("c" * 64))]).version,
    }
    assert len(versions) == 3
    assert sum(version.startswith("atlas-frozen-") for version in versions) == 2
    assert sum(version.startswith("atlas-cccccccc-") for version in versions) == 1
    # a digest that is none does not get into the tag
    version = manifest_of([file("a.csv", provenance=of_model('x"\n# y'))]).version
    assert re.fullmatch("atlas-[0-9a-f]{8}-[0-9a-f]{8}", version)


def test_claims_are_kept_while_what_they_were_seen_in_is_the_same() -> None:
    seen = manifest_of([file("a.csv"), file("b.csv")], claims=[claim("106", "a.csv")])
    other, same = [file("b.csv", "c" * 64)], [file("b.csv")]
    kept = merged(manifest_of(other, claims=[claim("")]), seen, everything_is_there)
    assert [c.observed for c in kept.claims] == ["106"]
    news = manifest_of([file("a.csv", "c" * 64)], claims=[claim("")])
    assert [c.observed for c in merged(news, seen, everything_is_there).claims] == [""]
    newer = manifest_of(same, claims=[claim("7", "b.csv")])
    assert [c.observed for c in merged(newer, seen, everything_is_there).claims] == ["7"]


def test_files_of_another_model_are_not_kept() -> None:
    earlier = manifest_of([file("a.csv", provenance=of_model("a" * 64)), file("b.csv")])
    new = manifest_of([file("c.csv", provenance=of_model("c" * 64))])
    with pytest.raises(ProvenanceError, match="another atlas") as refused:
        merged(new, earlier, everything_is_there)
    assert refused.value.where == "a.csv"
    replacing = manifest_of([file("a.csv", provenance=of_model("c" * 64))])
    assert merged(replacing, earlier, everything_is_there).paths == ("a.csv", "b.csv")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": "atlas.manifest/2"}',
        b'{"format": "atlas.manifest/1", "x": 1}',
        b'{"format": "atlas.manifest/1", "files": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"format": "atlas.manifest/1", "facts": [["model", "\\ud800"]]}',
        manifest_of([], [("model", "mine")]).to_bytes().replace(b"mine", b"ours"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"manifest is (damaged|not one)") as refused:
        Manifest.from_bytes(data, where="someone/atlas@abc: atlas.json")
    assert "someone/atlas" in str(refused.value)


def with_file(**fields: object) -> bytes:
    document = json.loads(manifest_of([file("a.csv")]).to_bytes())
    document["files"][0].update(fields)
    del document[SEAL]
    return json.dumps(sealed(document)).encode()  # what is in it is judged all the same


def test_a_manifest_without_its_digest_must_fit_its_version() -> None:
    manifest = manifest_of([file("a.csv")], [("model", "mine")])
    document = json.loads(manifest.to_bytes())
    del document[SEAL]  # as earlier versions wrote it
    assert Manifest.from_bytes(json.dumps(document).encode(), where="x") == manifest
    edited = json.dumps(document).replace("mine", "ours").encode()
    with pytest.raises(ArtifactError, match="edited after it was written"):
        Manifest.from_bytes(edited, where="x")


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "../a.csv"},
        {"path": "/etc/passwd"},
        {"path": 'a.h5",\n    token="x'},
        {"made_from": "b.csv\n<!-- atlas:end -->"},
        {"sha256": "c" * 63 + "\n"},
        {"blob_id": "`x`"},
        {"asset": "summary\n# A headline"},
        {"partition": "0.8|x"},
        {"table": {"config": 'x", "y', "rows": 1, "num_bytes": 1, "columns": []}},
        {
            "table": {
                "config": "x",
                "rows": 1,
                "num_bytes": 1,
                "columns": [{"name": "<b>", "dtype": "int64"}],
            }
        },
    ],
)
def test_a_manifest_whose_names_could_steer_the_card_is_refused(fields: dict) -> None:
    with pytest.raises(ArtifactError, match="the manifest is damaged"):
        Manifest.from_bytes(with_file(**fields), where="atlas.json")
