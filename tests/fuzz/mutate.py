"""Valid inputs made invalid, or valid in another way: bytes, texts, trees, npz files, tables."""

import io
import json
import random
import struct
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa

# What has broken readers: types and sizes that are not meant, and words of YAML that do things.
ODD_VALUES = (
    None, True, False, 0, -1, 1, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, "",
    "x", " ", "\n", "\x00", "é\u2028", "<script>alert(1)</script>", "../../x", "/dev/zero", "nan",
    "1e999", "a" * 300, [], {}, [[]], [None], {"": 0}, {"name": "x"}, [1, 2], ["a", "a"], "all",
    "*",
)  # fmt: skip
ODD_WORDS = (
    "!!python/object/apply:os.system ['true']", "!!binary aGk=", "!!set {a}", "!x", "&a [1]", "*a",
    "<<: {a: 1}", ".inf", ".nan", "1e999", "0x10", "0o17", "1_000", "2001-01-01", "12:30:45", "~",
    "yes", "null", "{", "}", "[", "]", "]]", "'", '"', "|", ">-", "? a", "- ", ": ", "#", "%YAML 9",
    "---", "...", "\t", "\x00", "\ufeff", "\ud7ff", "\x85", "99999999999999999999", "[" * 400,
    "{a: " * 100, "a" * 5000, "@", "`", "!", "=", "<<",
)  # fmt: skip
SHAPES = (
    (), (0,), (1,), (1 << 40,), (1 << 31, 1 << 31), (-1,), (1 << 62, 4), (2, 3), (0, 1 << 60),
)  # fmt: skip
DTYPES = (
    "<i8", ">i4", "|u1", "|i1", "<u8", "<f8", "<f2", "<c16", "|b1", "<U9", "<U99999999", "|S5",
    "|O", "<M8[s]", "|V7", "<i9", "[('a', '<i8')]", "<U0",
)  # fmt: skip


def data(rng: random.Random, found: bytes) -> bytes:
    """Some bytes other, more, fewer or elsewhere."""
    out = bytearray(found)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, what = rng.randrange(len(out) + 1), rng.randrange(6)
        if what == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif what == 1 and out:
            out[min(at, len(out) - 1)] = rng.choice((0, 255, 127, rng.randrange(256)))
        elif what == 2:
            del out[at : at + rng.choice((1, 4, 64, 1 << 20))]
        elif what == 3:
            out[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        elif what == 4:
            other = rng.randrange(len(out) + 1)
            out[at:at] = out[other : other + rng.randrange(200)]
        else:
            out[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1)))
    return bytes(out)


def tree(rng: random.Random, found: Any) -> Any:
    """A copy of plain values with one place, or a few, changed."""
    out = json.loads(json.dumps(found))
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = list(_places(out))
        if not places:
            return rng.choice(ODD_VALUES)
        holder, key = rng.choice(places)
        what = rng.randrange(7)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[rng.choice(("", "x", f"{key}s", key.upper(), "__class__"))] = holder.pop(key)
        elif what == 1:
            holder.insert(key, holder[key])
        elif what == 2:
            other_holder, other = rng.choice(places)
            holder[key] = json.loads(json.dumps(other_holder[other]))
        elif what == 3 and type(holder[key]) in (int, float):
            holder[key] += rng.choice((-1, 1, 0.5, 1 << 20, -(1 << 20)))
        elif what == 4 and isinstance(holder[key], str):
            holder[key] = text(rng, holder[key])
        else:
            holder[key] = rng.choice(ODD_VALUES)
    return out


def _places(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict | list) and depth < 12:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key], depth + 1)


def text(rng: random.Random, found: str) -> str:
    """Lines and words other, more, fewer or elsewhere."""
    lines = found.split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        words = lines[at].split(" ")
        what = rng.randrange(8)
        if what == 0:
            del lines[at]
        elif what == 1:
            lines.insert(at, rng.choice(lines))
        elif what == 2:
            lines[at] = rng.choice((" ", "  ", "\t", "- ", "    ")) + lines[at]
        elif what == 3:
            lines[at] = lines[at].strip()
        elif what == 4:
            words[rng.randrange(len(words))] = rng.choice(ODD_WORDS)
            lines[at] = " ".join(words)
        elif what == 5:
            words[rng.randrange(len(words))] = str(rng.choice(ODD_VALUES))
            lines[at] = " ".join(words)
        elif what == 6:
            lines[at] += rng.choice(ODD_WORDS)
        else:
            cut = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut]
        lines = lines or [""]
    return "\n".join(lines)


def as_json(rng: random.Random, found: Any) -> bytes:
    """JSON of a changed tree, or changed JSON."""
    if rng.random() < 0.7:
        return json.dumps(tree(rng, found)).encode()
    return data(rng, json.dumps(found).encode())


def as_yaml(rng: random.Random, found: str, parsed: Any) -> bytes:
    """The same of YAML: JSON is YAML."""
    what = rng.random()
    if what < 0.45:
        return json.dumps(tree(rng, parsed)).encode()
    if what < 0.85:
        return text(rng, found).encode("utf-8", errors="replace")
    return data(rng, found.encode())


def npy(array: np.ndarray) -> bytes:
    """An array as a member of an npz file."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def npz(rng: random.Random, members: dict[str, bytes]) -> bytes:
    """An npz file: other bytes, or another array, or another text in one of its members."""
    members = dict(members)
    for _ in range(rng.choice((1, 1, 1, 2))):
        name = rng.choice(list(members))
        what = rng.randrange(8)
        if what == 0:
            del members[name]
        elif what == 1:
            other = rng.choice(("x", "req", "ops", "format", f"{name}.npy", "../x", "page_class_9"))
            members[other] = members[name]
        elif what == 2:
            members[name] = data(rng, members[name])
        elif what == 3:
            members[name] = _lie(rng, members[name])
        elif what == 4:
            members[name] = rng.choice(list(members.values()))
        else:
            members[name] = _array(rng, members[name])
        members = members or {"x": b""}
    out = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(out, "w", kind, compresslevel=1) as file:
        for name, raw in members.items():
            file.writestr(f"{name}.npy", raw)
    return data(rng, out.getvalue()) if rng.random() < 0.25 else out.getvalue()


def _lie(rng: random.Random, raw: bytes) -> bytes:
    """A header that claims another shape or type for the same bytes."""
    try:
        array = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except Exception:  # not whole any more
        return raw
    shape = rng.choice((*SHAPES, array.shape, array.shape[::-1]))
    described = rng.choice((*DTYPES, array.dtype.str, array.dtype.str))
    order = rng.choice((False, False, True))
    described = described if described[0] == "[" else repr(described)
    header = f"{{'descr': {described}, 'fortran_order': {order}, 'shape': {shape!r}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + version + size + header.encode() + array.tobytes()


def _array(rng: random.Random, raw: bytes) -> bytes:
    """Other values, another length, another type, or another text."""
    try:
        array = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False).copy()
    except Exception:
        return raw
    if array.dtype.kind == "U" and array.ndim == 0:
        try:
            return npy(np.array(as_json(rng, json.loads(array.item())).decode("utf-8", "replace")))
        except ValueError:
            return npy(np.array(text(rng, array.item())))
    what = rng.randrange(5)
    if what == 0 and array.ndim:
        return npy(array[: rng.randrange(len(array) + 1)])
    if what == 1 and array.dtype.kind != "U":
        kinds = ("<i8", "<i4", "<u2", "|i1", "<f8", "|b1", "<U5", ">i8")
        with np.errstate(all="ignore"):
            return npy(array.astype(rng.choice(kinds), casting="unsafe"))
    if what == 2 and array.ndim:
        return npy(np.concatenate([array, array[: rng.randrange(len(array) + 1)]]))
    if array.size and array.dtype.kind in "iu":
        flat, info = array.reshape(-1), np.iinfo(array.dtype)
        for _ in range(rng.choice((1, 1, 3))):
            near = int(flat[rng.randrange(len(flat))]) + rng.choice((-1, 1, 512, -512))
            value = rng.choice((0, 1, info.max, info.min, near))
            flat[rng.randrange(len(flat))] = min(max(value, info.min), info.max)
    return npy(array)


def table(rng: random.Random, found: pa.Table) -> pa.Table:
    """Rows or columns other, fewer, more, elsewhere, or without values."""
    at, what = rng.randrange(found.num_columns), rng.randrange(8)
    name, column = found.column_names[at], found.column(at)
    if what == 0:
        return found.drop_columns([name])
    if what == 1:
        return found.rename_columns([f"{n}s" if n == name else n for n in found.column_names])
    if what == 2:
        return found.slice(rng.randrange(found.num_rows + 1), rng.randrange(found.num_rows + 1))
    if what == 3:
        return pa.concat_tables([found, found.slice(0, rng.randrange(found.num_rows + 1))])
    if what == 4:
        order = list(range(found.num_rows))
        rng.shuffle(order)
        return found.take(order)
    values = column.to_pylist()
    some = rng.sample(range(len(values)), min(len(values), rng.choice((1, 3, 10**6))))
    odd = _odd(rng, column.type)
    for k in some:
        values[k] = odd
    return found.set_column(at, found.schema.field(at), pa.array(values, column.type))


def _odd(rng: random.Random, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return rng.choice((None, "", "x", "<b>", "growth", "start", "per_page"))
    if pa.types.is_list(kind):
        return rng.choice((None, [], [0], [-1] * 5))
    if pa.types.is_boolean(kind):
        return rng.choice((None, True))
    if pa.types.is_floating(kind):
        return rng.choice((None, float("nan"), float("inf"), -1.0))
    return rng.choice((None, 0, -1, 2**31 - 1, -(2**31)))
