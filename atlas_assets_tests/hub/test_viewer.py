"""What the dataset viewer is told: configurations, their files, columns and rows."""

from __future__ import annotations

from atlas_assets.hub.manifest import manifest_of
from atlas_assets.hub.staging import Stage
from atlas_assets.hub.viewer import front_matter
from atlas_assets.stages.catalog import ARTIFACTS


def test_one_default_explicit_paths_and_parquet_alone(stage: Stage) -> None:
    matter = front_matter(stage.manifest)
    configs = matter["configs"]
    assert [c["config_name"] for c in configs if c.get("default")] == ["summary"]
    names = [config["config_name"] for config in configs]
    tables = {f.asset for f in stage.manifest.files if ARTIFACTS[f.asset].schema is not None}
    assert sorted(names) == sorted(tables)
    paths = [path for c in configs for data in c["data_files"] for path in data["path"]]
    assert all(path.endswith(".parquet") and "*" not in path for path in paths)
    assert set(paths) <= set(stage.manifest.paths)
    infos = {info["config_name"]: info for info in matter["dataset_info"]}
    assert sorted(infos) == sorted(names)
    (split,) = infos["summary"]["splits"]
    assert (split["name"], split["num_examples"]) == ("train", 4)
    assert {"name": "neurons", "list": "int32"} in infos["masks"]["features"]
    assert infos["target_checker"]["splits"][0]["num_examples"] == 4 * 3
    assert infos["target_checker"]["features"][:2] == [
        {"name": "epsilon", "dtype": "float64"},
        {"name": "consistency", "dtype": "float64"},
    ]


def test_the_default_is_another_table_where_there_is_no_summary(stage: Stage) -> None:
    files = [file for file in stage.manifest.files if file.asset != "summary"]
    configs = front_matter(manifest_of(files))["configs"]
    assert [c["config_name"] for c in configs if c.get("default")] == ["object_prompts"]
