"""Whether files of weights are as long as they say: a download that was cut off is not.

A safetensors file is eight bytes (the length of its header, little-endian), the header in JSON, and
the tensors, whose places the header names (huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from atlas_assets.errors import ModelError

_LENGTH = 8
#: the longest header that the safetensors library reads, bytes
_LONGEST_HEADER = 100_000_000


def require_whole(files: Sequence[Path]) -> None:
    """Raise ModelError where a safetensors file is shorter or longer than its header says."""
    for path in files:
        size, said = path.stat().st_size, _length_said(path)
        if size == said:
            continue
        if said is None:
            expected, found = "a safetensors file", f"{size:,} bytes without a whole header of one"
        else:
            expected, found = f"{said:,} bytes, as its header says", f"{size:,}"
        raise ModelError(
            "the model's weights are damaged, as by a download or a copy that was cut off",
            where=str(path),
            expected=expected,
            found=found,
            remedy="download or copy the file again, from where it is whole",
        )


def _length_said(path: Path) -> int | None:
    """The length in bytes that a file's header says; ``None`` where it has no sound one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        header = file.read(length) if length <= _LONGEST_HEADER else b""
    try:
        tensors = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name[:2] != "__"]
        return _LENGTH + length + int(max(ends, default=0))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
