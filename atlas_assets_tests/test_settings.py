"""Settings come from the environment, are validated, and name a folder of their own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from atlas_assets.errors import SettingsError
from atlas_assets.settings import AtlasSettings, env_name
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.storage.defects import refusing

REPOSITORIES = ("ATLAS_HUB_SOURCE", "ATLAS_HUB_TARGET")

HERE = Path(__file__).parent


def test_an_empty_environment_is_the_published_experiment_with_the_embedded_model() -> None:
    settings = AtlasSettings.from_env({})
    assert (settings.model, settings.readout, settings.variations) == ("embedded", "last_token", 50)
    assert len(settings.sweep) == 9
    assert settings.sweep[0] == Setting(0.001, 0.2)
    assert settings.sweep[-1] == Setting(0.5, 0.8)
    assert settings.atlas_name == "embedded"


def test_lists_are_comma_separated_and_sorted_into_the_sweep() -> None:
    settings = AtlasSettings.from_env({"ATLAS_EPSILONS": "0.5, 0.2", "ATLAS_CONSISTENCIES": "1"})
    assert settings.sweep == (Setting(0.2, 1.0), Setting(0.5, 1.0))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("ATLAS_EPSILONS", value) for value in ("-0.1", "nan", "loud", ",", "-0", "1e-400")),
        *(("ATLAS_CONSISTENCIES", value) for value in ("0", "1.2")),
        ("ATLAS_READOUT", "first_token"),
        ("ATLAS_VARIATIONS", "0"),
        *(("ATLAS_NAME", value) for value in ("../elsewhere", "n" * 300)),
        *(
            ("ATLAS_DATA_DIR", value)
            for value in ("zz://b", "'data'", "data\r", "~/x", " ", "a\0b")
        ),
        *(("ATLAS_DATA_DIR", value) for value in (__file__, "a" * 300)),
        *(("ATLAS_MODEL", value) for value in ("m" * 300, "m\0", '"gpt2"', "~nobody-here/m")),
        *(
            ("ATLAS_CIRCUITS", value)
            for value in (
                "/nowhere/m.parquet",
                str(Path(__file__).parent),
                "~nobody-here/m",
                "/dev/null",
            )
        ),
        *(
            ("ATLAS_STIMULI", value)
            for value in ("mine.xlsx", "~nobody-here/m.csv", "m" * 300 + ".csv")
        ),
        *(("ATLAS_ENGINE", value) for value in ("dask", "tcp://host", "http://host:1", "no.json")),
        ("ATLAS_DEVICE", "cpu\r"),
        ("ATLAS_PERMUTATIONS", "9" * 400),
        ("ATLAS_DTYPE", "float8"),
        *(("ATLAS_LOSS_THRESHOLD", value) for value in ("-1", "nan", "inf")),
        ("ATLAS_TOKEN_CHECKER_SETTING", "0.5"),
        *((name, "https://huggingface.co/datasets/a/b") for name in REPOSITORIES),
    ],
)
def test_a_value_out_of_range_names_its_variable(variable: str, value: str) -> None:
    with refusing(SettingsError, variable, "what to do"):
        AtlasSettings.from_env({variable: value})


@pytest.mark.parametrize("variable", ["DATA_DIR", "MODEL", "STIMULI", "CIRCUITS", "ENGINE"])
def test_a_path_that_cannot_be_looked_at_is_refused(variable: str, tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with refusing(SettingsError, f"ATLAS_{variable}", "cannot be looked at", "what to do"):
        AtlasSettings.from_env({f"ATLAS_{variable}": str(loop)})


def test_a_file_of_circuits_that_is_too_large_is_refused_before_anybody_reads_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.parquet"
    with file.open("wb") as opened:
        opened.truncate(2**40)
    with refusing(SettingsError, "ATLAS_CIRCUITS", f"{2**40:,} bytes", "268,435,456"):
        AtlasSettings.from_env({"ATLAS_CIRCUITS": str(file)})


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[" * 9999, "[]", "{}", '{"address": 5}', '{"address": "a:b"}', "\xff"]
)
def test_a_file_that_no_scheduler_wrote_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scheduler.json"
    file.write_bytes(text.encode("latin-1"))
    with refusing(SettingsError, "ATLAS_ENGINE", "it is no scheduler file"):
        AtlasSettings.from_env({"ATLAS_ENGINE": str(file)})
    file.write_text('{"type": "Scheduler", "address": "tcp://127.0.0.1:8786"}')
    assert AtlasSettings.from_env({"ATLAS_ENGINE": str(file)}).engine == str(file)


def test_a_scheduler_file_may_still_be_written(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.touch()
    text = '{"type": "Scheduler", "address": "tcp://127.0.0.1:8786"}'
    writer = threading.Timer(0.2, file.write_text, [text])
    writer.start()
    try:
        assert AtlasSettings.from_env({"ATLAS_ENGINE": str(file)}).engine == str(file)
    finally:
        writer.join()


def test_a_data_dir_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/below", "file/below/more"):
        with refusing(SettingsError, "ATLAS_DATA_DIR", "there is a file"):
            AtlasSettings.from_env({"ATLAS_DATA_DIR": str(tmp_path / name)})


@pytest.mark.parametrize(
    ("value", "warned"),
    [("0,001", True), ("0,5", True), ("0.5,0.5", True), ("0,0.1", False), ("1,2", False)],
)
def test_decimal_commas_are_warned_of(
    value: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    AtlasSettings.from_env({"ATLAS_EPSILONS": value})
    assert ("for decimals write points" in caplog.text) == warned


def test_the_embedded_model_is_meant_in_a_folder_that_holds_its_atlas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "embedded").mkdir()
    monkeypatch.chdir(tmp_path)
    assert AtlasSettings.build(data_dir=".").atlas_name == "embedded"


def test_whatever_makes_another_atlas_makes_another_folder(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder / "model").mkdir(parents=True)
    variants = [
        {},
        {"model": "openai/circuit-sparsity"},
        {"model": "openai/circuit-sparsity", "model_revision": "0123abc"},
        {"model": str(tmp_path / "a" / "model")},
        {"model": str(tmp_path / "b" / "model")},
        {"readout": "published"},
        {"site": "attn_out"},
        {"dtype": "float16"},
        {"variations": 5},
        {"ast_nodes": "For"},
        {"builtins": "list"},
        {"loss_threshold": 3.0},
        {"token_checker_setting": "0.001,0.8"},
        {"hub_source": "piotrwilam/CSP-Atlas"},
        {"hub_source": "piotrwilam/CSP-Atlas", "hub_source_revision": "v1"},
        {"hub_source": "piotrwilam/CSP-Atlas", "model": "openai/circuit-sparsity"},
    ]
    names = [AtlasSettings.build(**variant).atlas_name for variant in variants]
    assert len(set(names)) == len(names)
    assert all("/" not in name for name in names)
    # the sweep makes no other atlas
    assert AtlasSettings.build(epsilons="0.2").atlas_name == "embedded"


def test_every_setting_is_described() -> None:
    for field, info in AtlasSettings.model_fields.items():
        assert info.description, env_name(field)


def test_a_repository_is_named_by_owner_and_name() -> None:
    source = AtlasSettings.from_env({"ATLAS_HUB_SOURCE": "piotrwilam/CSP-Atlas"})
    assert source.hub_source == "piotrwilam/CSP-Atlas"
    assert source.atlas_name == "piotrwilam--csp-atlas"
    assert AtlasSettings().hub_source is None
