"""A small share of ``python -m reliability fuzz``, in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reliability import fuzz

SUBJECTS = {subject.name: subject for subject in fuzz.subjects()}
CASES = 8


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")  # about the chunks of a PNG
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_mutated_file_is_the_same_or_refused_in_words(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    sound = fuzz.Sound(SUBJECTS[name], tmp_path)
    found = {case: sound.mutated(1, case).faults for case in range(CASES)}
    assert not {case: faults for case, faults in found.items() if faults}
