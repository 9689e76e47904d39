"""A process that may take too little memory says so before torch ends it."""

from __future__ import annotations

import resource

import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.memory import require_memory, short_of_memory


@pytest.mark.parametrize("which", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_too_little_memory_is_refused_before_it_is_taken(which: int) -> None:
    require_memory(1 << 40)  # there is no limit
    before = resource.getrlimit(which)
    resource.setrlimit(which, (1 << 40, before[1]))
    try:
        require_memory(1 << 20)
        with pytest.raises(ModelError, match="too little memory") as refused:
            require_memory(1 << 40)
    finally:
        resource.setrlimit(which, before)
    assert "ulimit" in str(refused.value)


def test_errors_that_speak_of_memory_are_told_apart() -> None:
    torch = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
    for error in (MemoryError(), torch, RuntimeError("CUDA out of memory. Tried 2 GiB")):
        assert "too little memory" in str(short_of_memory(error))
    assert short_of_memory(RuntimeError("shapes do not fit")) is None
