"""The files of an atlas as items: a readable name, and a value that says what is in the file.

Values do not depend on the physical layout of HDF5 and Parquet, nor on the libraries' versions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from PIL import Image

from atlas_assets.files.json_text import SEAL
from atlas_assets_tests.stages.report.reading import data_of

Items = dict[str, Any]

#: aspects of a file that depend on the processor and the libraries' versions
MACHINE = ("bits", "payload", "pixels", "provenance", "sidecar")
#: formats whose bytes, and so whose sidecar's name, do not follow the libraries' versions
PLAIN = (".csv", ".md")
SIDECAR = re.compile(r"^(?P<file>.+)\.(?P<digest>[0-9a-f]{16})\.json$")
MEDIA_BOX = re.compile(rb"/MediaBox ?\[ ?([0-9. ]+?) ?\]")


def sha256(parts: Iterable[bytes]) -> str:
    """SHA-256 of the parts, each with its length, so that no two sequences coincide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def atlas_items(folder: Path) -> Items:
    """Every file of the atlas, hidden ones included, as ``name | aspect`` → value."""
    items: Items = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        sidecar = SIDECAR.match(name)
        if path.suffix == ".lock":
            continue  # whether a writer leaves it is the business of the locks alone
        if path.is_dir():
            items[f"{name}/ | is there"] = True
        elif sidecar:
            record = json.loads(path.read_text(encoding="utf-8"))
            items |= _provenance(sidecar["file"], record)
            file = sidecar["file"]
            if not file.endswith(".html"):
                aspect = "name" if file.endswith(PLAIN) else "sidecar"
                items[f"{file} | {aspect}"] = sidecar["digest"]
        else:
            read = READERS.get(path.suffix)
            aspects = read(path) if read else {"content": sha256([path.read_bytes()])}
            record = aspects.pop("record", None)
            items |= {f"{name} | {aspect}": value for aspect, value in aspects.items()}
            if record is not None:
                items |= _provenance(name, json.loads(record))
    return items


def _provenance(name: str, record: dict[str, Any]) -> Items:
    """A record less the versions in it, whose libraries stay named."""
    stable = {**record, "versions": sorted(record["versions"])}
    del stable[SEAL]  # of the versions too
    text = json.dumps(stable, sort_keys=True).encode()
    # what goes into the masks from the activations is another digest on another processor
    everywhere = {**stable, "inputs": sorted(record["inputs"]), "payload_sha256": None}
    found = {f"{name} | record": sha256([json.dumps(everywhere, sort_keys=True).encode()])}
    if name.endswith(".html"):  # its digests follow those of all files, and how it is drawn
        return found
    payload, provenance = record["payload_sha256"], sha256([text])
    return {**found, f"{name} | payload": payload, f"{name} | provenance": provenance}


def _hdf5(path: Path) -> Items:
    rest: list[bytes] = []
    bits: list[bytes] = []
    sums: dict[str, Any] = {}
    found: Items = {}
    with h5py.File(path) as file:
        names = ["/"]
        file.visit(names.append)
        for name in sorted(names):
            node = file[name]
            rest.append(name.encode())
            for key, value in sorted(node.attrs.items()):
                if key == "provenance":
                    found["record"] = value
                else:
                    rest.append(f"@{key} {type(value).__name__} {value!r}".encode())
            if isinstance(node, h5py.Group):
                continue
            rest.append(f"{node.dtype} {node.shape}".encode())
            values = np.asarray(node[()])
            if node.dtype == np.float32:  # activations
                bits.append(name.encode() + values.tobytes())
                wide = values.astype(np.float64)
                of_layer = sums.setdefault(name.rpartition("/")[0], np.zeros(2))
                of_layer += np.abs(wide).sum(), np.square(wide).sum()
            else:
                text = node.dtype == object
                rest.append(repr(values.tolist()).encode() if text else values.tobytes())
    found["content"] = sha256(rest)
    if bits:
        found["bits"] = sha256(bits)
    return found | {f"sums {layer}": [f"{s:.8g}" for s in both] for layer, both in sums.items()}


def _parquet(path: Path) -> Items:
    frame = pl.read_parquet(path)
    metadata = pl.read_parquet_metadata(path)
    found: Items = {"record": metadata["atlas_provenance"], "schema": str(dict(frame.schema))}
    found["metadata"] = sorted(metadata)
    if "sequence_loss" in frame.columns:
        losses = frame["sequence_loss"]
        found["bits"] = sha256([losses.to_numpy().tobytes()])
        found["sums sequence_loss"] = [f"{losses.sum():.8g}"]
        frame = frame.drop("sequence_loss")
    return {**found, "content": sha256(repr(row).encode() for row in frame.iter_rows())}


def _html(path: Path) -> Items:
    """The circuits and prompts of the page; its tables are those of other files, held there."""
    data = data_of(path.read_text(encoding="utf-8"))
    told = {key: data.get(key) for key in ("concepts", "definitions", "checkers", "prompts")}
    return {"content": sha256([json.dumps(told, sort_keys=True).encode()])}


def _png(path: Path) -> Items:
    with Image.open(path) as image:
        pixels = sha256([image.mode.encode(), str(image.size).encode(), image.tobytes()])
        return {"mode": image.mode, "pixels": pixels}


def _pdf(path: Path) -> Items:
    content = path.read_bytes()
    boxes = [box.decode() for box in MEDIA_BOX.findall(content)]
    return {"pages": content.count(b"/Type /Page "), "pixels": boxes}


#: by the ending of a file's name; of any other file, all bytes are held
READERS = {".h5": _hdf5, ".html": _html, ".parquet": _parquet, ".pdf": _pdf, ".png": _png}
