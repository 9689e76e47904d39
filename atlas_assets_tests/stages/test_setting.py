"""The spellings of a setting lead back to it; values out of range are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.errors import SettingsError
from atlas_assets.stages.setting import Setting, grid
from atlas_assets_tests.stages.random_atlas import refused

settings = st.builds(Setting, st.floats(0, 1e300), st.floats(0, 1, exclude_min=True))


@given(setting=settings)
def test_partition_keys_and_file_tags_lead_back_to_their_setting(setting: Setting) -> None:
    assert Setting.of_partition_key(setting.partition_key) == setting
    assert Setting.of_file_tag(setting.file_tag) == setting


def test_a_grid_has_each_setting_once_epsilon_first() -> None:
    assert grid([0.5, 0.1, 0.5], [0.8, 0.2]) == (
        *(Setting(0.1, 0.2), Setting(0.1, 0.8)),
        *(Setting(0.5, 0.2), Setting(0.5, 0.8)),
    )


@pytest.mark.parametrize(
    ("epsilon", "consistency", "found"),
    [(-0.1, 0.5, "-0.1"), (float("nan"), 0.5, "nan"), (0.1, 0.0, "0.0"), (0.1, 1.5, "1.5")],
)
def test_values_out_of_range_are_refused(epsilon: float, consistency: float, found: str) -> None:
    with refused(SettingsError, found):
        Setting(epsilon, consistency)


@pytest.mark.parametrize("key", ["", "0.8", "0.8|0.5|1", "a|b"])
def test_what_is_no_partition_key_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="not a partition of the sweep"):
        Setting.of_partition_key(key)
