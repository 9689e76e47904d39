"""A process that may take too little memory says so before torch ends it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.memory import give_back, require_memory, short_of_memory


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked; lift it there")
def test_memory_that_was_freed_between_what_is_in_use_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    taken = [bytes(1000) for _ in range(100_000)]
    in_use = taken[::100]
    del taken
    before = resident()
    give_back()
    assert before - resident() > 50 << 20
    assert all(map(len, in_use))
