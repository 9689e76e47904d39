"""What the dataset viewer is told: configurations, their files, columns and rows."""

from __future__ import annotations

from atlas_assets.hub.manifest import manifest_of
from atlas_assets.hub.staging import Stage
from atlas_assets.hub.viewer import front_matter


def test_paths_are_explicit_and_of_parquet_alone(stage: Stage) -> None:
    matter = front_matter(stage.manifest)
    paths = [path for c in matter["configs"] for data in c["data_files"] for path in data["path"]]
    assert all(path.endswith(".parquet") and "*" not in path for path in paths)
    infos = {info["config_name"]: info for info in matter["dataset_info"]}
    assert {"name": "neurons", "list": "int32"} in infos["masks"]["features"]
    assert infos["target_checker"]["splits"][0]["num_examples"] == 4 * 3


def test_the_default_is_another_table_where_there_is_no_summary(stage: Stage) -> None:
    files = [file for file in stage.manifest.files if file.asset != "summary"]
    configs = front_matter(manifest_of(files))["configs"]
    assert [c["config_name"] for c in configs if c.get("default")] == ["object_prompts"]
