"""What dense and packed products cost on this machine, measured once and then remembered.

Which layout a matrix runs in decides how its sums are rounded, so the choice must not change from
one run to the next. The measurement is taken once per machine, torch version, device and precision
and kept in a file; all later runs read the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atlas_assets.errors import ArtifactWriteError
from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.sparse_linear import SparseLinear

#: raise it when the packed layout or the measurement changes
VERSION = 1
#: what is measured: a square matrix, at two densities, on as many tokens
WIDTH, TOKENS = 512, 1024
DENSITIES = (0.01, 0.1)
REPEATS = 7

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KernelCosts:
    """Nanoseconds on one core, or on the accelerator.

    Attributes:
        dense: per token and entry of a dense matrix.
        packed: per token and stored entry of a packed one.
        moved: per token and feature, in or out, of a packed one.
    """

    dense: float
    packed: float
    moved: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(cost) and cost >= 0 for cost in asdict(self).values()):
            raise ValueError(f"no times: {self}")

    def of_dense(self, rows: int, columns: int) -> float:
        """Predicted time per token of a dense ``[rows, columns]`` product."""
        return self.dense * rows * columns

    def of_packed(self, rows: int, columns: int, stored: int) -> float:
        """Predicted time per token of a packed product with ``stored`` entries."""
        return self.packed * stored + self.moved * (rows + columns)


def kernel_costs(
    device: torch.device, dtype: torch.dtype, folder: Path | None = None
) -> KernelCosts:
    """The costs on this machine, from the file or measured now (under a second).

    Args:
        device: where the network runs.
        dtype: of its weights.
        folder: where the file is kept; None: `cache_folder`. A folder that cannot be written costs
            a measurement in every process.
    """
    file = (folder or cache_folder()) / f"kernel-costs-{_machine(device, dtype)}.json"
    known = _read(file)
    if known is None:
        known = measure(device, dtype)
        _log.info("measured on this machine: %s", known)
        known = _keep(file, known)
    return known


def cache_folder() -> Path:
    """The user's cache folder for this package (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "atlas_assets"


def measure(device: torch.device, dtype: torch.dtype) -> KernelCosts:
    """Time a matrix dense and packed, in turns; of every one the fastest counts."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(TOKENS, WIDTH, generator=generator).to(device, dtype)
    dense = nn.Linear(WIDTH, WIDTH, bias=False, device=device, dtype=dtype)
    layers: list[nn.Module] = [dense]
    for density in DENSITIES:
        kept = torch.rand(WIDTH, WIDTH, generator=generator) < density
        dense.weight.data = (torch.randn(WIDTH, WIDTH, generator=generator) * kept).to(
            device, dtype
        )
        layers.append(SparseLinear(dense))
    with _one_thread(), torch.inference_mode():
        times = [[_time(layer, x) for layer in layers] for _ in range(REPEATS)]
    whole, few, many = (min(column) / TOKENS for column in zip(*times[1:], strict=True))
    packed = max((many - few) / ((DENSITIES[1] - DENSITIES[0]) * WIDTH**2), 0.0)
    moved = max((few - packed * DENSITIES[0] * WIDTH**2) / (2 * WIDTH), 0.0)
    return KernelCosts(*(float(f"{cost:.3g}") for cost in (whole / WIDTH**2, packed, moved)))


def _time(layer: nn.Module, x: torch.Tensor) -> float:
    """Nanoseconds; on a CPU of this thread alone, whatever else the machine does."""
    if x.device.type == "cpu":
        started = time.thread_time_ns()
        layer(x)
        return float(time.thread_time_ns() - started)
    wait: Callable[[Any], None] = torch.get_device_module(x.device).synchronize
    wait(x.device)
    started = time.perf_counter_ns()
    layer(x)
    wait(x.device)
    return float(time.perf_counter_ns() - started)


@contextlib.contextmanager
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _machine(device: torch.device, dtype: torch.dtype) -> str:
    """A short digest of what the costs depend on."""
    where = _cpu() if device.type == "cpu" else torch.get_device_module(device).get_device_name()
    what = (VERSION, where, platform.machine(), torch.__version__, str(dtype))
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()


def _read(file: Path) -> KernelCosts | None:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return KernelCosts(**{key: float(value) for key, value in known.items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be used and will be measured anew: %s", file, error)
        return None


def _keep(file: Path, measured: KernelCosts) -> KernelCosts:
    """Keep what was measured, unless another process was first: then what that one kept."""
    meanwhile = _read(file)
    if meanwhile is not None:
        return meanwhile
    text = json.dumps(asdict(measured), indent=1, sort_keys=True) + "\n"
    try:
        write_bytes(file, text.encode(), what="kernel costs")
    except ArtifactWriteError as error:
        _log.warning("every process will measure anew: %s", error)
    return measured
