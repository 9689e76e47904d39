"""The job ``fetch``: materialisations with their source, and what is computed from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from atlas_assets.atlas.open import open_in_force
from atlas_assets.definitions import build_definitions
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.automation.follow import follow_sensor
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.analyses import modularity
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub import fetching, release_repo
from atlas_assets_tests.hub.fetching import MASKS
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO
from atlas_assets_tests.orchestration.tiny_atlas import failure_text, materialize
from atlas_assets_tests.storage import samples

DOWNSTREAM = [
    "masks",
    "modularity_scores",
    "modularity_detail",
    "universal_masks",
    "token_independence_detail",
    "token_independence_summary",
    "token_independence_no_keyword",
]


def run(
    settings: AtlasSettings,
    instance: dg.DagsterInstance,
    client: HubClient,
    **config: Any,
) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def("fetch")
    return job.execute_in_process(
        instance=instance,
        resources={**job.resource_defs, "hub": dg.ResourceDefinition.hardcoded_resource(client)},
        run_config={"ops": {"fetch_files": {"config": config}}},
        raise_on_error=False,
    )


def reported(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], dict[str, Any]]:
    """(asset, partition) → metadata as plain values."""
    return {
        (event.asset_key.to_user_string(), event.partition): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def test_every_file_is_a_materialisation_of_its_asset(
    hub: LocalHub, sha: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = fetching.settings(tmp_path)
    result = run(settings, instance, hub.client())
    assert result.success, failure_text(result)
    found = reported(result)
    assert ("object_masks", "0.8|0.5") in found
    assert ("target_checker", "0.8|0.001") in found
    assert ("summary", None) in found
    folder = tmp_path / fetching.FOLDER
    assert len(found) == len([path for path in folder.iterdir() if path.is_file()])
    told = found["object_masks", "0.8|0.5"]
    expected = {
        "source_repository": REPO,
        "source_revision": sha,
        "source_path": f"masks/{MASKS}",
        "path": str(folder / MASKS),
        "origin": "release",
        "concepts": 6,
    }
    assert {name: told[name] for name in expected} == expected
    key = dg.AssetKey("object_masks")
    assert instance.get_materialized_partitions(key) == {"0.8|0.5", "0.8|0.001"}
    assert instance.get_latest_materialization_event(dg.AssetKey("summary")) is not None
    # what keeps an atlas up to date does not make frozen files again
    with dg.build_sensor_context(instance=instance) as context:
        assert isinstance(follow_sensor(settings)(context), dg.SkipReason)


def test_what_follows_is_computed_with_no_model_at_all(
    hub: LocalHub, sha: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Only masks are fetched; the model is not on this machine, nor on the Hub."""
    settings = fetching.settings(tmp_path, model="openai/circuit-sparsity")
    wanted = ["object_masks", "checker_masks", "token_checker_masks"]
    assert run(settings, instance, hub.client(), files=wanted).success
    made = materialize(settings, instance, DOWNSTREAM)
    assert made.success, failure_text(made)
    for setting in release_repo.SWEEP:
        partition = f"{setting.consistency}|{setting.epsilon}"
        assert materialize(settings, instance, ["target_checker"], partition).success
    assert materialize(settings, instance, ["summary"]).success
    store: AtlasStore = open_in_force(settings)
    universal = samples.objects().universal
    assert store.read("modularity_scores").equals(modularity.scores(universal))
    assert store.read("target_checker", REFERENCE).equals(samples.target_checker())
    assert store.read("universal_masks").digest() == samples.universal().digest()
    assert store.read("summary")["epsilon"].to_list() == [STANDALONE.epsilon, REFERENCE.epsilon]
    for key in (*DOWNSTREAM, "summary"):
        stored = store.provenance(key)
        assert stored is not None
        assert stored.origin == "release"
    claims = {claim.id: claim for claim in evaluate_claims(store, settings)}
    assert claims["modular-top-concept"].holds is not None
    assert claims["modular-top-concept"].about_this_atlas


def test_chosen_files_and_again(
    hub: LocalHub, sha: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = fetching.settings(tmp_path)
    first = run(settings, instance, hub.client(), files=["summary", MASKS])
    assert set(reported(first)) == {("summary", None), ("object_masks", "0.8|0.5")}
    # what is there and known is neither downloaded nor reported once more
    again = run(settings, instance, hub.client(), files=["summary", MASKS])
    assert again.success
    assert reported(again) == {}
    # what the command has fetched is reported, so that Dagster knows of it
    with dg.DagsterInstance.ephemeral() as another:
        told = reported(run(settings, another, hub.client(), files=["summary"]))
        assert set(told) == {("summary", None)}


def test_one_bad_file_fails_the_run_and_leaves_the_others(
    hub: LocalHub, sha: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    hub.push(REPO, {f"masks/{MASKS}": b"no HDF5"})
    result = run(
        fetching.settings(tmp_path), instance, hub.client(), files=["object_masks", "summary"]
    )
    assert not result.success
    assert set(reported(result)) == {("object_masks", "0.8|0.001"), ("summary", None)}
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description is not None
    assert f"{MASKS}: the published file is not a sound object_masks" in failure.description


def test_without_a_source_the_atlas_of_a_model_is_left_alone(
    hub: LocalHub, sha: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    result = run(AtlasSettings.build(data_dir=str(tmp_path)), instance, hub.client())
    assert not result.success
    assert f"ATLAS_HUB_SOURCE={REPO}" in failure_text(result)
    assert hub.calls() == []
    named = AtlasSettings.build(data_dir=str(tmp_path), name="csp-atlas")
    assert run(named, instance, hub.client(), files=["summary"]).success
    assert (tmp_path / "csp-atlas" / "14_summary.csv").is_file()


def test_no_event_tells_a_secret(
    hub: LocalHub, sha: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    said = f"Bearer {hub.token} is not allowed"
    hub.fail("HEAD", "/resolve/", status=403, headers={"X-Error-Message": said}, times=99)
    result = run(fetching.settings(tmp_path), instance, hub.client(), files=["summary"])
    assert not result.success
    everything = "\n".join(
        record.to_json() if hasattr(record, "to_json") else str(record)
        for record in instance.all_logs(result.run_id)
    )
    assert "403" in everything
    assert hub.token not in everything
