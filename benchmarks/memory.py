"""Peak memory of extraction at the width of the paper's model, 99% of its weights zero.

A fresh process plans the whole grid (its prompts, their tree, sums for all its pairs), runs some of
the tree's chunks through the package's own pass, and says what the kernel saw. If the peak does not
depend on how many chunks ran, it is that of all of them.

``python -m benchmarks.memory CHECKPOINT CHUNKS`` is one such process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Findings, Measurement, Table, own_peak_gb, run

ROOT = Path(__file__).resolve().parents[1]
D_MODEL = 2048
#: chunks of the tree that are run
CHUNKS = (8, 40, 120)


def measure() -> Findings:
    """The peak after each number of chunks."""
    from benchmarks.extraction import checkpoint

    with tempfile.TemporaryDirectory() as name:
        folder = checkpoint(Path(name) / "wide", d_model=D_MODEL)
        weights = (folder / "model.safetensors").stat().st_size / 1e9
        command = [sys.executable, "-m", "benchmarks.memory", str(folder)]
        found = [
            json.loads(run([*command, str(chunks)], cwd=ROOT).output.splitlines()[-1])
            for chunks in CHUNKS
        ]
    share = f"{found[-1]['nodes'] / found[-1]['all_nodes']:.1%} of the grid's prefixes run"
    rows = tuple(
        (
            one["chunks"],
            one["nodes"],
            one["nodes"] / one["all_nodes"] * 100,
            one["gb"],
            one["seconds"],
        )
        for one in found
    )
    columns = ("chunks", "prefixes run", "% of the grid", "peak memory (GB)", "time (s)")
    return Findings(
        [
            Measurement(
                f"peak memory of extraction, d_model {D_MODEL:,}, planned for the full grid",
                max(one["gb"] for one in found),
                "GB",
                6,
                note=share,
            ),
            Measurement("of which weights as they lie on the disk", weights, "GB"),
            Measurement(
                f"growth of the peak from {CHUNKS[0]} to {CHUNKS[-1]} chunks",
                1e3 * (found[-1]["gb"] - found[0]["gb"]),
                "MB",
            ),
            Measurement("after loading, before the first chunk", found[-1]["loaded_gb"], "GB"),
            Measurement("losses and readouts of the full grid, scaled", _whole(found) / 60, "min"),
        ],
        [Table("Peak memory as more of the grid is run", columns, rows)],
    )


def _whole(found: list[dict[str, float]]) -> float:
    """Seconds for all prefixes: the shortest run, and the rest at the pace of the longest."""
    least, most = found[0], found[-1]
    pace = (most["seconds"] - least["seconds"]) / (most["nodes"] - least["nodes"])
    return least["seconds"] + pace * (least["all_nodes"] - least["nodes"])


def run_chunks(folder: Path, chunks: int) -> dict[str, float]:
    """Extract, but for all chunks beyond the first so many."""
    from atlas_assets.extraction.extraction import read_prompts
    from atlas_assets.extraction.prefix_tree import PrefixTree
    from atlas_assets.extraction.shards import ShardStore
    from atlas_assets.models.loading import load, resolve
    from atlas_assets.progress import Progress
    from atlas_assets.stages.activations.activations import units_of_object_prompts
    from atlas_assets.stages.prompts import object_prompts as objects
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    model = load(resolve(str(folder), None))
    loaded = own_peak_gb()
    seen: dict[str, float] = {}
    all_cuts = PrefixTree.cuts

    def first_cuts(tree: PrefixTree, limit: int) -> list[tuple[int, int]]:
        cuts = all_cuts(tree, limit)[:chunks]
        new = tree.lengths - tree.shared
        seen.update(nodes=int(new[: cuts[-1][1]].sum()), all_nodes=int(tree.n_nodes))
        return cuts

    PrefixTree.cuts = first_cuts  # type: ignore[method-assign, assignment]
    started = time.perf_counter()
    read_prompts(
        model,
        units_of_object_prompts(objects.generate(load_stimuli())),
        shards=ShardStore(None, "0" * 8),
        progress=Progress("memory"),
    )
    spent = time.perf_counter() - started
    return {"chunks": chunks, "gb": own_peak_gb(), "loaded_gb": loaded, "seconds": spent, **seen}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run_chunks(Path(sys.argv[1]), int(sys.argv[2]))) + "\n")
