"""Weights that were cut off are refused by that, with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from atlas_assets.errors import ModelError
from atlas_assets.models.loading import load, resolve
from atlas_assets.models.whole_weights import require_whole
from atlas_assets_tests.models import tiny


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tensors = {"a": torch.zeros(3, 4), "empty": torch.zeros(0), "b": torch.ones(5)}
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def header_of(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


def test_whole_files_are_let_through(whole: Path, tmp_path: Path) -> None:
    none = tmp_path / "none.safetensors"
    save_file({}, none)
    require_whole([whole, none])


@pytest.mark.parametrize("cut", [-1, -40, 200, 60, 8, 3, 0])
def test_a_file_that_was_cut_off_is_refused_with_both_lengths(whole: Path, cut: int) -> None:
    data = whole.read_bytes()
    whole.write_bytes(data[:cut])
    with pytest.raises(ModelError, match="cut off") as raised:
        require_whole([whole])
    size, length = whole.stat().st_size, int.from_bytes(data[:8], "little")
    wanted = f"{len(data):,} bytes" if size >= 8 + length else "a safetensors file"
    assert raised.value.said["where"] == str(whole)
    assert wanted in raised.value.said["expected"]
    assert f"{size:,}" in raised.value.said["found"]
    assert "download or copy the file again" in raised.value.said["what to do"]


@pytest.mark.parametrize(
    "data",
    [
        header_of("[]"),
        header_of('{"a": 1}'),
        header_of('{"a": {"data_offsets": []}}'),
        header_of('{"a": {"data_offsets": [0, "x"]}}'),
        header_of("[" * 10_000),
        b"\xff" * 100,
        b"<!DOCTYPE html><html>not found</html>",
        header_of(json.dumps({"a": {"data_offsets": [0, 4]}}), b"12345"),
    ],
)
def test_what_is_no_such_file_is_refused(whole: Path, data: bytes) -> None:
    whole.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        require_whole([whole])


def test_a_model_of_such_weights_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged") as raised:
        load(resolve(str(folder), None), device="cpu", dtype="float32")
    assert len(str(raised.value)) < 600
