"""Changes of sound files: of their bytes, their words, or well-formed ones by h5py and polars."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import polars as pl

Mutation = Callable[[bytes, random.Random], bytes]

#: a word, a number or a quoted text, of JSON, CSV, YAML or Markdown
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\w.+-]+')
_DEEP = 10_000
#: what may stand where something else is expected
_WORDS = (
    *(b'null true false 0 -1 1.5 1e999 -0.0 NaN Infinity "" {} [] [[]] "x"'.split()),
    *(b'"\\ud800" "\\udfff\\ud800" "\\u0000" "../../x" "nan" &a *a !!int !!python/none'.split()),
    *(b"2001-02-30 0x1f 1_000 .inf 0b1 12:30:45 <!--atlas:begin--> ``` ~~~ --- : ,".split()),
    b"9" * 400,
    b"9" * 5_000,
    b"1e" + b"9" * 400,
    b'{"a": 1, "a": 2}',
    b'"' + b"x" * 200_000 + b'"',
    b"[" * _DEEP + b"]" * _DEEP,
    b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    b"[" * _DEEP,
    b"a: " * 500,
    b"- " * _DEEP,
    b"a,b,,\n\n,",
    "é→\u2028\u0085٣".encode(),
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b"\x00",
)


def mutated(mutate: Mutation, data: bytes, draws: random.Random) -> bytes:
    """Return what a mutation makes of a content; other bytes where a library refuses that."""
    try:
        return mutate(data, draws)
    except (Exception, pl.exceptions.PanicException):
        return of_bytes(data, draws)


def of_bytes(data: bytes, draws: random.Random) -> bytes:
    """Return the bytes with one to three changes of any kind."""
    for _ in range(draws.choice((1, 1, 2, 3))):
        data = draws.choice(_BYTES)(data, draws)
    return data


def of_text(data: bytes, draws: random.Random) -> bytes:
    """Return a text with changes of its words, or of its bytes."""
    if draws.random() < 0.25:
        return of_bytes(data, draws)
    if draws.random() < 0.15:
        return draws.choice(_WHOLE_TEXTS)(data)
    for _ in range(draws.choice((1, 1, 1, 2, 4))):
        tokens = list(_TOKEN.finditer(data))
        if tokens:
            token = draws.choice(tokens)
            other = draws.choice(tokens)[0] if draws.random() < 0.3 else draws.choice(_WORDS)
            data = data[: token.start()] + other + data[token.end() :]
    return data


def of_json(data: bytes, draws: random.Random) -> bytes:
    """Return JSON with values of other types, or other keys; or changed as any text is."""
    if draws.random() < 0.4:
        return of_text(data, draws)
    document = json.loads(data)
    for _ in range(draws.choice((1, 1, 2, 3))):
        holders = list(_holders(document))
        holder = draws.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            continue
        key, other = draws.choice(keys), draws.choice(holders)
        what = draws.randrange(6)
        if what < 3:
            holder[key] = draws.choice((*_VALUES, str(holder[key]), [holder[key]]))
        elif what == 3:
            del holder[key]
        elif isinstance(holder, dict):
            holder[draws.choice(("x", "", "\ud800", *map(str, other)))] = holder[key]
        else:
            holder.append(copy.deepcopy(other))
    return json.dumps(document, ensure_ascii=True).encode()


def of_png(data: bytes, draws: random.Random) -> bytes:
    """Return a PNG with bytes changed, or with other chunks of right checksums."""
    if draws.random() < 0.3:
        return of_bytes(data, draws)
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    number = draws.randrange(len(chunks))
    kind, held = chunks[number]
    what = draws.randrange(6)
    if what == 0:
        chunks.insert(draws.randrange(len(chunks)), chunks.pop(number))
    elif what == 1:
        chunks.insert(number, (draws.choice((kind, *_CHUNKS)), draws.randbytes(9)))
    elif what == 2:
        sizes = [draws.choice((0, 1, 40, 1 << 16, (1 << 31) - 1, 1 << 31)) for _ in range(2)]
        chunks[0] = (b"IHDR", struct.pack(">II", *sizes) + chunks[0][1][8:])
    else:
        chunks[number] = (draws.choice((kind, kind, *_CHUNKS)), of_bytes(held, draws))
    parts = [
        len(held).to_bytes(4) + kind + held + zlib.crc32(kind + held).to_bytes(4)
        for kind, held in chunks
    ]
    return data[:8] + b"".join(parts)


def of_hdf5(data: bytes, draws: random.Random) -> bytes:
    """Return an HDF5 file with bytes changed, or edited by h5py so that it is well formed."""
    if draws.random() < 0.4:
        return of_bytes(data, draws)
    kept = io.BytesIO(data)
    with h5py.File(kept, "r+") as file:
        for _ in range(draws.choice((1, 1, 2))):
            names: list[str] = []
            file.visit(names.append)
            if names:
                draws.choice(_HDF5)(file, draws.choice(names), draws)
    return kept.getvalue()


def of_parquet(data: bytes, draws: random.Random) -> bytes:
    """Return a parquet file with bytes changed, or one that polars has written of a like table."""
    if draws.random() < 0.5:
        return of_bytes(data, draws)
    frame, told = pl.read_parquet(io.BytesIO(data)), pl.read_parquet_metadata(io.BytesIO(data))
    name = draws.choice(frame.columns)
    changed = draws.choice(_PARQUET)(frame, name, draws)
    record = {key: text for key, text in told.items() if key != "ARROW:schema"}
    if draws.random() < 0.2:
        key = draws.choice(list(record))
        record[key] = of_text(record[key].encode(), draws).decode("utf-8", "replace")
    kept = io.BytesIO()
    compression: Any = draws.choice(("zstd", "gzip", "snappy", "lz4", "uncompressed"))
    changed.write_parquet(kept, metadata=record, compression=compression)
    return kept.getvalue()


#: values that JSON can hold
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2, 1.5, 1e300, float("nan"), float("inf"), 10**400, 2**63),
    *("", "x", "\ud800", "\0", "../../x", "/", "0", "nan", "x\ny", "é→", "x" * 5000, "a" * 64),
    *([], {}, [None], [[]], {"": None}, {"x": {"y": []}}),
)
_CHUNKS = tuple(b"IDAT PLTE tRNS iTXt zTXt tEXt iCCP acTL fcTL eXIf pHYs".split())


def _holders(value: Any) -> Iterator[Any]:
    """Every list and object of a document."""
    if isinstance(value, list | dict):
        yield value
        for held in value.values() if isinstance(value, dict) else value:
            yield from _holders(held)


def _span(data: bytes, draws: random.Random, longest: int = 64) -> tuple[int, int]:
    start = draws.randrange(len(data) + 1)
    return start, min(len(data), start + draws.randint(1, longest))


def _flip(data: bytes, draws: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(draws.choice((1, 1, 8))):
        changed[draws.randrange(len(changed))] ^= 1 << draws.randrange(8)
    return bytes(changed)


def _run(data: bytes, draws: random.Random) -> bytes:
    start, end = _span(data, draws)
    return data[:start] + draws.randbytes(end - start) + data[end:]


def _fill(data: bytes, draws: random.Random) -> bytes:
    start, end = _span(data, draws, 4096)
    return data[:start] + draws.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def _cut(data: bytes, draws: random.Random) -> bytes:
    return data[: draws.randrange(len(data) + 1)]


def _leave_out(data: bytes, draws: random.Random) -> bytes:
    start, end = _span(data, draws, 512)
    return data[:start] + data[end:]


def _double(data: bytes, draws: random.Random) -> bytes:
    start, end = _span(data, draws, 512)
    return data[:end] + data[start:end] * draws.choice((1, 1, 30)) + data[end:]


def _insert(data: bytes, draws: random.Random) -> bytes:
    start, end = _span(data, draws)
    return data[:start] + draws.randbytes(end - start) + data[start:]


_BYTES: tuple[Mutation, ...] = (_flip, _flip, _run, _fill, _cut, _leave_out, _double, _insert)

_WHOLE_TEXTS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.replace(b"\n", b"\r"),
    lambda data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda data: b"[" * _DEEP + data + b"]" * _DEEP,
    lambda data: data + data,
    lambda data: b"\0" * len(data),
    lambda data: b"[" + data + b"]",
    lambda data: b"---\na: &a [1]\nb: *a\nc: {d: " + b"[" * 60 + b"]" * 60 + b"}\n---\n" + data,
    lambda data: b"---\n? [1, 2]\n: x\n1: y\nnull: z\n---\n" + data,
    lambda _: b"",
    lambda _: b"null",
)


def _odd(draws: random.Random) -> Any:
    """A value that h5py can keep, of a drawn type and shape."""
    return draws.choice(
        (
            0,
            -1,
            1.5,
            float("nan"),
            2**63 - 1,
            "",
            "x" * 1000,
            b"\xff\xfe",
            "1",
            np.zeros((3, 0)),
            np.arange(5, dtype=draws.choice((">i2", "<u8", "<f2", "<c8"))),
            np.array([b"a", b"bc"]),
            np.array([True, False]),
            np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]),
            np.array(["a", None], dtype=h5py.string_dtype()),
            np.array(1, dtype=h5py.enum_dtype({"a": 1, "b": 2}, basetype="i1")),
            h5py.Empty("f4"),
        )
    )


def _attribute(file: h5py.File, name: str, draws: random.Random) -> None:
    holders = [file[each] for each in ("metadata", name) if each in file]
    attributes = draws.choice(holders).attrs
    key = draws.choice([*attributes, "extra"])
    if draws.random() < 0.2:
        attributes.pop(key, None)
    else:
        attributes[key] = _odd(draws)


def _record(file: h5py.File, name: str, draws: random.Random) -> None:
    del name
    attributes = file["metadata"].attrs
    texts = [key for key in attributes if isinstance(attributes[key], str)]
    if texts:
        key = draws.choice(texts)
        text = of_text(attributes[key].encode(), draws).replace(b"\0", b"")
        attributes[key] = text.decode("utf-8", "replace")[:60_000]


def _values(file: h5py.File, name: str, draws: random.Random) -> None:
    """Other values of the same type and shape."""
    found = file[name]
    if isinstance(found, h5py.Dataset) and found.dtype.kind in "biuf" and found.size:
        values = np.atleast_1d(found[()])
        at = draws.randrange(values.size)
        if values.dtype.kind == "b":
            values.flat[at] = not values.flat[at]
        else:
            values.flat[at] = draws.choice((values.flat[at] + 1, 0, 100))
        found[...] = values.reshape(found.shape)


def _other(file: h5py.File, name: str, draws: random.Random) -> None:
    """Another dataset in its place: another type, shape, or way to keep it."""
    found = file[name]
    values = found[()] if isinstance(found, h5py.Dataset) else _odd(draws)
    options: dict[str, Any] = {}
    if getattr(values, "shape", ()) and values.size:
        kind = draws.choice(("<f8", ">f4", "<i8", "|i1", "|b1", "<u2"))
        plain = values.dtype.kind in "biuf"
        values = values.astype(kind) if plain and draws.random() < 0.6 else values
        values = draws.choice((values, values[:-1], values[None], np.tile(values, 3)))
        filters: Any = ({}, {"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True})
        options = draws.choice((*filters, {"chunks": True}, {"compression": "lzf"}))
        options = options if values.size and values.shape else {}
    elif draws.random() < 0.7:
        values = _odd(draws)
    del file[name]
    file.create_dataset(name, data=values, **options)


def _huge(file: h5py.File, name: str, draws: random.Random) -> None:
    """A declared shape for which there are no bytes."""
    shape = draws.choice(((1 << 40,), (1 << 31, 4), (1 << 20, 1 << 12, 8), (10**6,)))
    del file[name]
    file.create_dataset(
        name, shape, draws.choice(("f4", "?", "i8")), chunks=(1 << 10,) * len(shape)
    )


def _link(file: h5py.File, name: str, draws: random.Random) -> None:
    """A link in its place: to itself, to nothing, to another file, to its parent."""
    links = (
        h5py.SoftLink(f"/{name}"),
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink("/"),
        h5py.ExternalLink("/dev/zero", "/x"),
        h5py.ExternalLink("/nowhere.h5", "/x"),
        file[name].parent,
    )
    del file[name]
    file[name] = draws.choice(links)


def _elsewhere(file: h5py.File, name: str, draws: random.Random) -> None:
    """A dataset whose values lie in other files."""
    del file[name]
    if draws.random() < 0.5:
        layout = h5py.VirtualLayout(shape=(16,), dtype="f4")
        layout[:] = h5py.VirtualSource("/nowhere.h5", "x", shape=(16,))
        file.create_virtual_dataset(name, layout)
    else:
        file.create_dataset(name, (16,), "f4", external=[("/etc/hostname", 0, 64)])


def _rename(file: h5py.File, name: str, draws: random.Random) -> None:
    word = draws.choice(("x", "é→", "layer_99", "layer_01", "For__len", "a" * 5000, "b__", "."))
    place = f"{name.rpartition('/')[0]}/{word}"
    if place not in file:
        file.move(name, place)


def _add(file: h5py.File, name: str, draws: random.Random) -> None:
    place = draws.choice((f"{name.rpartition('/')[0]}/If__extra", "extra", "metadata/extra"))
    if place not in file:
        file[place] = draws.choice((file[name], _odd(draws)))


def _remove(file: h5py.File, name: str, draws: random.Random) -> None:
    del draws, file[name]


_HDF5: tuple[Callable[[h5py.File, str, random.Random], None], ...] = (
    *(_attribute, _attribute, _record, _values, _values, _other, _other),
    *(_huge, _link, _elsewhere, _rename, _add, _remove),
)

_PARQUET: tuple[Callable[[pl.DataFrame, str, random.Random], pl.DataFrame], ...] = (
    lambda table, _, draws: table.sample(fraction=1, shuffle=True, seed=draws.randrange(99)),
    lambda table, _, draws: table.slice(draws.randrange(3)),
    lambda table, _, __: table.clear(),
    lambda table, _, __: pl.concat([table, table.slice(0, 1)]),
    lambda table, name, _: table.drop(name),
    lambda table, name, _: table.rename({name: "x"}),
    lambda table, name, _: table.with_columns(pl.col(name).alias("x")),
    lambda table, _, draws: table.select(draws.sample(table.columns, len(table.columns))),
    lambda table, name, _: table.with_columns(pl.lit(None).cast(table.schema[name]).alias(name)),
    lambda table, name, _: table.with_columns(pl.lit(None).alias(name)),
    lambda table, name, _: table.with_columns(pl.col(name).cast(pl.String).alias(name)),
    lambda table, name, _: table.with_columns(pl.col(name).cast(pl.Categorical, strict=False)),
    lambda table, name, draws: table.with_columns(
        pl.col(name).cast(draws.choice((pl.Int8, pl.Float32, pl.UInt64, pl.Date)), strict=False)
    ),
    lambda table, name, _: table.with_columns(pl.concat_list(pl.col(name)).alias(name)),
    lambda table, name, _: table.with_columns(pl.struct(pl.all()).alias(name)),
    lambda table, name, draws: table.with_columns(
        pl.lit(draws.choice((0, -1, 2**40, 0.5, float("nan"), "", "x", True))).alias(name)
    ),
    lambda table, name, _: table.with_columns(pl.col(name).reverse()),
)
