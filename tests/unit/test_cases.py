"""Every case is read; whatever is damaged gives one sentence, at once."""

import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secretjax.cases import (
    PredictCase,
    ReplayCase,
    StartState,
    read,
    start_of,
    write_predict,
    write_replay,
)
from secretjax.errors import UserError
from tests import expect

CASES = Path(__file__).parents[2] / "params" / "kernel"
REPLAY = CASES / "f_thp_s1.replay.npz"
PREDICT = CASES / "b_512_s1.predict.npz"
ALL = sorted(p for p in CASES.glob("*.npz") if ".expected." not in p.name)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as z:
        return {name: z[name] for name in z.files}


def changed(tmp_path: Path, path: Path, **changes) -> Path:
    """A copy of the case with arrays replaced; None takes one away."""
    arrays = {k: v for k, v in {**arrays_of(path), **changes}.items() if v is not None}
    out = tmp_path / path.name
    with open(out, "wb") as f:
        np.savez_compressed(f, **arrays)
    return out


def refused(path: Path) -> str:
    """The sentence that reading the file ends in."""
    begin = time.process_time()
    with pytest.raises(UserError) as error:
        read(path)
    assert time.process_time() - begin < 1
    sentence = str(error.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    assert len(sentence) < 1000
    return sentence


def test_the_same_memory_under_other_rules():
    start = expect.start(CASES / "a_512_s1.predict.npz")
    other = start.under("K511")
    assert other.settings["fallback"] == "K511" and start.settings["fallback"] == "K612y"
    assert other.list_pfn is start.list_pfn
    # 6.1 leaves free blocks on a list of another type than their pageblock's, 6.12 never does
    (apart,) = np.flatnonzero(start.list_order == 10)[:1]
    types = start.list_mt.copy()
    types[apart] = 2
    old = replace(other, list_mt=types)
    with pytest.raises(UserError, match=r"a_512_s1: cannot be run under the rules K612y: .*type 2"):
        old.under("K612y")


def test_all_cases_are_there():
    assert len(ALL) >= 70
    assert sum(".replay." in p.name for p in ALL) >= 30


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.name.removesuffix(".npz"))
def test_reads_what_the_file_holds(path):
    case = read(path)
    arrays = arrays_of(path)
    start = start_of(case)
    assert path.name.startswith(start.name + ".")
    for name in ("list_pfn", "list_order", "list_mt", "list_kind", "block_mt", "page_class"):
        np.testing.assert_array_equal(getattr(start, name), arrays[name])
    assert list(start.zone.values()) == arrays["zone_meta"].tolist()
    on_lists = start.list_order[start.list_kind == 0]
    assert int(start.free_pages().sum()) == int((1 << on_lists).sum())
    assert not (start.movable_pages() & start.free_pages()).any()
    if isinstance(case, ReplayCase):
        np.testing.assert_array_equal(case.requests, arrays["req"])
        assert case.requests.dtype == np.int32
        answer = arrays_of(path.with_name(path.name.replace(".npz", ".expected.npz")))
        assert len(answer["request_pfn"]) == int((case.requests[:, 0] == 0).sum())
        assert len(answer["list_off"]) == len(case.snapshots) + 1
    else:
        assert isinstance(case, PredictCase)
        assert list(case.ops) == json.loads(arrays["ops"].item())


def test_a_start_state_without_demands(tmp_path):
    start = read(changed(tmp_path, PREDICT, ops=None))
    assert isinstance(start, StartState)
    assert start.zone["end_pfn"] == 131072


def overlapping(arrays):
    pfn = arrays["list_pfn"].copy()
    order = arrays["list_order"]
    big = int(np.flatnonzero(order == 10)[0])
    small = int(np.flatnonzero(order == 0)[0])
    pfn[small] = pfn[big] + 5
    return {"list_pfn": pfn}


def value(name, at, new):
    def change(arrays):
        array = arrays[name].copy()
        array[at] = new
        return {name: array}

    return change


def text(name, change):
    def apply(arrays):
        found = json.loads(arrays[name].item())
        found = change(found) or found
        return {name: np.array(found if isinstance(found, str) else json.dumps(found))}

    return apply


def row(kind, at, new):
    """Change of the first request of a kind."""

    def change(arrays):
        req = arrays["req"].copy()
        req[np.flatnonzero(req[:, 0] == kind)[0], at] = new
        return {"req": req}

    return change


def free_twice(arrays):
    req = arrays["req"]
    free = req[np.flatnonzero(req[:, 0] == 1)[-1:]]
    return {"req": np.concatenate([req, free])}


def free_of_free(arrays):
    at = np.flatnonzero(arrays["list_kind"] == 0)[0]
    free = np.array([[1, 0, -1, -1, arrays["list_pfn"][at]]], np.int32)
    return {"req": np.concatenate([arrays["req"], free])}


WRONG = {
    "no format": (PREDICT, lambda a: {"format": None}, "not a case"),
    "other format": (
        PREDICT,
        lambda a: {"format": np.array("secretjax-case/2")},
        "secretjax-case/1",
    ),
    "missing array": (PREDICT, lambda a: {"list_mt": None}, "'list_mt' is missing"),
    "extra array": (PREDICT, lambda a: {"opps": np.arange(3)}, "'opps'"),
    "unknown demand": (PREDICT, lambda a: {"ops": None, "reqs": np.arange(3)}, "mean 'req'"),
    "both demands": (REPLAY, lambda a: {"ops": np.array("[]")}, "'ops' beside 'req'"),
    "floats": (PREDICT, lambda a: {"list_pfn": a["list_pfn"] * 1.0}, "float64"),
    "texts": (PREDICT, lambda a: {"block_mt": a["block_mt"].astype("U1")}, "<U1"),
    "bytes": (PREDICT, lambda a: {"ops": np.array(b"[]")}, "|S2"),
    "objects": (PREDICT, lambda a: {"list_mt": a["list_mt"].astype(object)}, "object"),
    "short": (PREDICT, lambda a: {"list_mt": a["list_mt"][:-1]}, "shape"),
    "square": (PREDICT, lambda a: {"page_class": a["page_class"].reshape(256, -1)}, "shape"),
    "classes short": (PREDICT, lambda a: {"page_class": a["page_class"][:-1]}, "131072"),
    "zone meta": (PREDICT, lambda a: {"zone_meta": a["zone_meta"][:14]}, "15"),
    "zone backward": (PREDICT, value("zone_meta", 1, 0), "spans pfns"),
    "zone huge": (PREDICT, value("zone_meta", 1, 1 << 30), "spans pfns"),
    "zone from 0": (PREDICT, value("zone_meta", 0, 0), "after pfn 0"),
    "managed": (PREDICT, value("zone_meta", 2, 1 << 20), "managed"),
    "watermarks": (PREDICT, value("zone_meta", 3, 1 << 20), "ascending"),
    "order": (PREDICT, value("list_order", 17, 11), r"list_order[17] is 11, allowed are 0 to 10"),
    "type": (PREDICT, value("list_mt", 3, 6), "list_mt[3] is 6"),
    "kind": (PREDICT, value("list_kind", 3, 2), "list_kind[3] is 2"),
    "outside": (PREDICT, value("list_pfn", 3, 131072), "list_pfn[3] is 131072"),
    "pfn 0": (PREDICT, value("list_pfn", 3, 0), "list_pfn[3] is 0"),
    "unaligned": (PREDICT, value("list_pfn", -1, 4097), "multiple of its size"),
    "overlap": (PREDICT, overlapping, "in two free blocks"),
    "block type": (PREDICT, value("block_mt", 7, 9), "block_mt[7] is 9"),
    "list is not of block": (PREDICT, lambda a: {"block_mt": a["block_mt"] * 0 + 3}, "type 3"),
    "blocks": (PREDICT, value("block_pfn", 7, 1), "every pageblock"),
    "class": (PREDICT, value("page_class", 9, 200), "page_class[9] is 200"),
    "class name": (PREDICT, value("page_classes", 9, "unevictabl"), "mean 'unevictable'"),
    "class twice": (PREDICT, value("page_classes", 9, "thp"), "twice"),
    "free are used": (PREDICT, lambda a: {"page_class": a["page_class"] * 0}, "at most a tenth"),
    "level": (PREDICT, value("dm_level", 9, 4), "dm_level[9] is 4"),
    "nonpresent": (PREDICT, value("dm_nonpresent", 9, 513), "dm_nonpresent[9] is 513"),
    "regions": (PREDICT, value("dm_pfn", 9, 5), "every 2 MiB"),
    "settings no json": (PREDICT, lambda a: {"settings": np.array("{")}, "JSON"),
    "settings list": (PREDICT, lambda a: {"settings": np.array("[]")}, "no JSON object"),
    "settings deep": (PREDICT, lambda a: {"settings": np.array("[" * 100000)}, "JSON"),
    "settings key": (PREDICT, text("settings", lambda s: s.update(cpu=1)), "mean 'cpus'"),
    "settings lacks": (PREDICT, text("settings", lambda s: {"cpus": 1}), "lacks 'kernel'"),
    "settings twice": (PREDICT, lambda a: {"settings": np.array('{"thp":1,"thp":2}')}, "twice"),
    "fallback": (PREDICT, text("settings", lambda s: s.update(fallback="K7")), "K612y"),
    "cpus": (PREDICT, text("settings", lambda s: s.update(cpus=True)), "'cpus' is 'True'"),
    "sysctl": (PREDICT, text("settings", lambda s: s.update(sysctl={"a": "x"})), "'sysctl'"),
    "cma": (
        PREDICT,
        text("settings", lambda s: s.update(cma={"base_pfn": 7, "pages": 512})),
        "cma",
    ),
    "ops no list": (PREDICT, lambda a: {"ops": np.array("{}")}, "no JSON list"),
    "ops nan": (PREDICT, lambda a: {"ops": np.array("[NaN]")}, "NaN"),
    "op no object": (PREDICT, lambda a: {"ops": np.array("[3]")}, "ops[0]"),
    "op unknown": (PREDICT, text("ops", lambda o: o[1].update(op="secret_gorw")), "'secret_grow'?"),
    "op field": (PREDICT, text("ops", lambda o: o[1].update(pagse=1)), "mean 'pages'?"),
    "op lacks": (PREDICT, text("ops", lambda o: o[1].pop("pages") * 0 or o), "lacks 'pages'"),
    "op value": (PREDICT, text("ops", lambda o: o[1].update(pages=-1)), "'pages' is '-1'"),
    "op bool": (PREDICT, text("ops", lambda o: o[1].update(pages=True)), "'pages' is 'True'"),
    "op map": (PREDICT, lambda a: {"ops": np.array('[{"op":"munmap","map":"A"}]')}, "no mmap"),
    "request kind": (REPLAY, row(0, 0, 7), "column 0"),
    "request order": (REPLAY, row(0, 1, 11), "order"),
    "request type": (REPLAY, row(0, 2, -1), "type of an allocation[0] is -1"),
    "request handle": (REPLAY, row(0, 3, 5), "handles count from 0"),
    "request refill": (REPLAY, row(0, 4, 1 << 30), "earlier refill"),
    "free later": (REPLAY, row(1, 3, 1 << 20), "allocations precede it"),
    "free part": (REPLAY, row(1, 1, 10), "aligned part"),
    "free typed": (REPLAY, row(1, 2, 1), "type of a free"),
    "free twice": (REPLAY, free_twice, "an earlier one gave back"),
    "free of free": (REPLAY, free_of_free, "not in use at the start"),
    "snapshots": (REPLAY, lambda a: {"snapshot": a["snapshot"][:-1]}, "snapshots"),
    "snapshot number": (REPLAY, row(2, 3, 3), "snapshots"),
    "requests flat": (REPLAY, lambda a: {"req": a["req"].reshape(-1)}, "shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_contents_are_named(tmp_path, name):
    path, change, found = WRONG[name]
    assert found in refused(changed(tmp_path, path, **change(arrays_of(path))))


def test_other_integers_will_do(tmp_path):
    arrays = arrays_of(PREDICT)
    wider = {k: arrays[k].astype(">i8") for k in ("list_pfn", "page_class", "dm_level")}
    start = expect.start(changed(tmp_path, PREDICT, **wider))
    np.testing.assert_array_equal(start.list_pfn, arrays["list_pfn"])
    np.testing.assert_array_equal(start.page_class, arrays["page_class"])


def npy(path):
    with open(path, "wb") as f:
        np.save(f, np.arange(5))


def foreign_zip(path):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("readme.txt", "hello")


def empty_zip(path):
    zipfile.ZipFile(path, "w").close()


def pickled(path):
    with open(path, "wb") as f:
        np.savez(f, format=np.array({"a": print}, dtype=object))


def huge_header(path):
    """A few bytes that say they are 2^60 pages."""
    with zipfile.ZipFile(path, "w") as z:
        for name, array in arrays_of(PREDICT).items():
            with z.open(f"{name}.npy", "w") as f:
                if name == "page_class":
                    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 60,)}
                    np.lib.format.write_array_header_1_0(f, header)
                else:
                    np.lib.format.write_array(f, array)


def bomb(path):
    """256 MiB of zeros in 256 KiB, under a name that is read."""
    arrays: dict[str, Any] = arrays_of(PREDICT) | {"list_kind": np.zeros(1 << 28, np.uint8)}
    with open(path, "wb") as f:
        np.savez_compressed(f, **arrays)


def lying_size(path):
    """The zip directory tells another size than the array's header."""
    with zipfile.ZipFile(path, "w") as z:
        for name, array in arrays_of(PREDICT).items():
            with z.open(f"{name}.npy", "w") as f:
                np.lib.format.write_array(f, array)
                if name == "list_mt":
                    f.write(b"more")


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("pfn,order\n1,2\n"),
    "npy": npy,
    "folder": lambda path: path.mkdir(),
    "missing": lambda path: None,
    "foreign zip": foreign_zip,
    "empty zip": empty_zip,
    "pickled": pickled,
    "huge header": huge_header,
    "bomb": bomb,
    "lying size": lying_size,
    "answer": lambda path: path.write_bytes((CASES / "f_thp_s1.replay.expected.npz").read_bytes()),
    "json": lambda path: path.write_bytes((CASES / "b_512_s1.truth.json").read_bytes()),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(tmp_path, name):
    path = tmp_path / "case.npz"
    FOREIGN[name](path)
    refused(path)


def mutations(data: bytes, rng: np.random.Generator):
    """Bit flips, truncations, overwritten stretches, pieces cut out and pieces doubled."""
    for _ in range(140):
        bad = bytearray(data)
        bad[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        yield bad
    for cut in np.unique(rng.integers(0, len(data), 60)).tolist():
        yield data[:cut]
    for _ in range(60):
        a, b = sorted(rng.integers(0, len(data), 2).tolist())
        b = min(b, a + 200)
        yield data[:a] + rng.bytes(b - a) + data[b:]
        yield data[:a] + data[b:]
        yield data[:b] + data[a:]
    for _ in range(60):  # in the zip directory, which says how to read the rest
        bad = bytearray(data)
        bad[len(data) - 1 - int(rng.integers(min(1200, len(data))))] = int(rng.integers(256))
        yield bad


def contents(case) -> list:
    rest = case.ops if isinstance(case, PredictCase) else case.requests.tolist()
    fields = {k: np.asarray(v).tolist() for k, v in vars(case.start).items() if k != "name"}
    return [fields, rest]


@pytest.mark.parametrize("path", [REPLAY, PREDICT], ids=lambda p: p.name)
def test_damage_is_one_sentence_or_no_damage_at_all(tmp_path, path):
    data = path.read_bytes()
    whole = contents(read(path))
    target = tmp_path / path.name
    sentences = 0
    for bad in mutations(data, np.random.default_rng(7)):
        target.write_bytes(bad)
        begin = time.process_time()
        try:
            case = read(target)
        except UserError as error:
            assert "\n" not in str(error)
            sentences += 1
        else:
            assert contents(case) == whole
        assert time.process_time() - begin < 1
    assert sentences > 300


def test_replay_answers_are_sorted_and_whole(tmp_path):
    out = tmp_path / "out.npz"
    shot = np.array([[8, 3, 1], [64, 0, 1], [2, 0, 0], [32, 0, 1]])
    write_replay(out, np.array([5, -1]), [shot, shot[:0]])
    with np.load(out) as z:
        assert z["request_pfn"].tolist() == [5, -1]
        assert z["list_off"].tolist() == [0, 4, 4]
        assert z["list_pfn"].tolist() == [2, 64, 32, 8]
        assert z["list_order"].tolist() == [0, 0, 0, 3]
        assert z["list_mt"].tolist() == [0, 1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["out.npz"]


def test_an_answer_that_cannot_be_written_leaves_the_old_one(tmp_path):
    def steps(values):
        return [{"step": "secret_5", "metrics": {"refused": values}}]

    out = tmp_path / "out.json"
    write_predict(out, steps(np.array([1, 2])))
    before = out.read_text()
    assert json.loads(before) == {"steps": steps([1, 2])}
    with pytest.raises(ValueError, match="JSON"):
        write_predict(out, steps([float("nan")]))
    assert out.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
