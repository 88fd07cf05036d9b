"""`secretjax capture`: what is read of a machine, how it is kept, and what cannot be used."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from secretjax import cli
from secretjax.cases import CLASSES
from secretjax.errors import UserError
from secretjax.machine import capture, consistency, lab, pages, proc, seen, summary
from tests import expect, fake_proc

KERNEL = Path(__file__).parents[2] / "params" / "kernel"


@pytest.fixture(scope="module")
def start():
    return expect.start(KERNEL / "a_512_s3_frag2.predict.npz")


@pytest.fixture(scope="module")
def root(start, tmp_path_factory):
    return fake_proc.write(tmp_path_factory.mktemp("root"), {(0, "DMA32"): start})


def same_zone(a, b) -> None:
    assert (a.node, a.name, a.free, a.present) == (b.node, b.name, b.free, b.present)
    for name in ("cpus", "buddy_free", "buddy_after", "type_free", "type_blocks", "page_class"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def one_sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text
    return text


def test_a_machine_like_the_labs_is_seen_as_the_lab_case_is_shown(start, root):
    found, shown = capture.capture(root), lab.shown(start)
    same_zone(found.zones[0], shown.zones[0])
    theirs = {k: v for k, v in shown.zones[0].fields.items() if k != "highatomic"}
    assert {k: found.zones[0].fields[k] for k in theirs} == theirs
    assert found.direct_map["2M"] == shown.direct_map["2M"]
    assert found.direct_map["4k"] == shown.direct_map["4k"]
    assert found.settings == shown.settings | {"khugepaged": "on"}
    assert found.secretmem == "on" and found.missing == ()


def test_the_file_gives_back_what_was_seen_and_only_its_owner_may_read_it(root, tmp_path):
    found = capture.capture(root)
    file = tmp_path / "machine.npz"
    before = os.umask(0)
    try:
        seen.write(file, found)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    again = seen.read(file)
    same_zone(again.zones[0], found.zones[0])
    assert again.zones[0].fields == found.zones[0].fields
    for name in seen.ABOUT:
        assert getattr(again, name) == getattr(found, name)
    assert seen.is_capture(file) and not seen.is_capture(KERNEL / "b_512_s1.predict.npz")


def test_several_zones_and_nodes_are_kept_apart(start, tmp_path):
    other = expect.start(KERNEL / "b_512_s1.predict.npz")
    root = fake_proc.write(
        tmp_path, {(0, "DMA32"): start, (1, "Normal"): fake_proc.moved(other, 512)}
    )
    low, high = capture.capture(root).zones
    assert (low.node, low.name, high.node, high.name) == (0, "DMA32", 1, "Normal")
    same_zone(low, lab.shown(start).zones[0])
    np.testing.assert_array_equal(high.page_class, lab.shown(other).zones[0].page_class)
    assert high.fields["start_pfn"] == 512 * 512 + 1
    assert not consistency.disagreements(capture.capture(root))


def test_relative_pfns_say_nothing_of_where_a_zone_lies(start, tmp_path):
    gib = 512
    root = fake_proc.write(tmp_path, {(0, "Normal"): fake_proc.moved(start, 3 * gib)})
    zone = capture.capture(root, relative=True).zones[0]
    assert zone.fields["start_pfn"] == start.zone["start_pfn"]
    assert zone.fields["end_pfn"] == start.zone["end_pfn"]
    absolute = capture.capture(root).zones[0]
    assert absolute.fields["start_pfn"] == start.zone["start_pfn"] + (3 << 18)
    np.testing.assert_array_equal(zone.page_class, absolute.page_class)
    assert capture.base(0) == capture.base(1 << 18) == 0 and capture.base(1 << 20) == 3 << 18


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([10], "free_buddy"), ([], "kernel_other"), ([7, 11], "slab"), ([5], "file_lru"),
        ([5, 12], "anon_lru"), ([5, 12, 18], "unevictable"), ([12, 22, 16], "thp"),
        ([22, 24, 16], "compound_other"), ([17, 15, 32], "reserved"), ([20], "nopage"),
        ([11], "user_nolru"), ([16], "compound_other"), ([26], "pgtable"), ([23], "reserved"),
    ],
)  # fmt: skip
def test_the_class_of_a_page_follows_its_flags(names, expected):
    flags = np.array([sum(1 << bit for bit in names)], np.uint64)
    assert CLASSES[pages.classify(flags)[0]] == expected


def test_free_blocks_are_the_largest_aligned_ones():
    free = np.zeros(4096, bool)
    for pfn, order in ((8, 3), (16, 2), (1024, 10), (2047, 0), (2048, 9), (3 * 512 + 64, 6)):
        free[pfn - 5 : pfn - 5 + (1 << order)] = True
    pfn, order = pages.free_blocks(free, 5)
    found = list(zip(pfn.tolist(), order.tolist(), strict=True))
    # the one at 1600 lies within that at 1024
    assert found == [(8, 3), (16, 2), (1024, 10), (2048, 9)]


def test_long_lists_are_a_lower_bound(start, tmp_path):
    root = fake_proc.write(tmp_path, {(0, "DMA32"): start})
    file = root / "proc/pagetypeinfo"
    lines = file.read_text().splitlines()
    at = next(k for k, line in enumerate(lines) if "type      Movable" in line)
    words = lines[at].rsplit(maxsplit=11)
    lines[at] = " ".join([words[0], ">100000", *words[2:]])
    file.write_text("\n".join(lines) + "\n")
    free, _ = proc.pagetypeinfo(root)[0, "DMA32"]
    assert free[1, 0] == 100_000


def test_the_kernels_rules_follow_its_version():
    said = {
        "5.15.0-91-generic": "K511", "6.9.12": "K511", "6.10.0": "K610", "6.12.28": "K610",
        "6.12.29": "K612y", "6.12.117-amd64": "K612y", "6.14.5": "K610", "6.15.0": "K612y",
        "6.18.44-fc": "K612y", "next": "K612y",
    }  # fmt: skip
    assert {kernel: capture.fallback(kernel) for kernel in said} == said


TABLE = """---[ User Space ]---
0x0000000000000000-0xffff880000000000    16777096T                               pgd
---[ Low Kernel Mapping ]---
0xffff888000000000-0xffff888000200000           2M     RW                 GLB NX pte
0xffff888000200000-0xffff888000800000           6M     RW         PSE     GLB NX pmd
0xffff888000800000-0xffff888000a00000           2M                               pmd
0xffff888040000000-0xffff8880c0000000           2G     RW         PSE     GLB NX pud
---[ vmalloc() Area ]---
0xffffc90000000000-0xffffc90000001000           4K     RW                 GLB NX pte
"""


@pytest.mark.parametrize("base", ["0xffff888", "0xffff9e1", "0xffffa00"])  # by whole GiB, KASLR
def test_debugfs_shows_the_direct_map(tmp_path, base):
    file = tmp_path / "sys/kernel/debug/page_tables/kernel"
    file.parent.mkdir(parents=True)
    file.write_text(TABLE.replace("0xffff888", base))
    mapping = expect.there(proc.kernel_mapping(tmp_path))
    assert mapping == [(0, 512, "pte"), (512, 1536, "pmd"), (1 << 18, 1 << 19, "pud")]
    assert capture.levels(mapping, 0, 6).tolist() == [1, 2, 2, 2, 0, 0]
    assert capture.levels(mapping, 510, 4).tolist() == [0, 0, 3, 3]
    assert proc.kernel_mapping(tmp_path / "nowhere") is None


def test_mixed_blocks_of_page_owner_are_not_counted(start, tmp_path):
    root = fake_proc.write(tmp_path, {(0, "DMA32"): start})
    free, blocks = proc.pagetypeinfo(root)[0, "DMA32"]
    with open(root / "proc/pagetypeinfo", "a") as file:  # mm/vmstat.c: ..._showmixedcount()
        file.write("Number of mixed blocks    Unmovable      Movable  Reclaimable\n")
        file.write("Node 0, zone    DMA32            7            8            9\n")
    again = proc.pagetypeinfo(root)[0, "DMA32"]
    np.testing.assert_array_equal(again[0], free)
    np.testing.assert_array_equal(again[1], blocks)
    assert blocks.sum() > 24


def test_without_root_the_rest_is_kept_and_the_loss_named(start, tmp_path, monkeypatch):
    root = fake_proc.write(tmp_path, {(0, "DMA32"): start})
    hide(monkeypatch, "kpageflags", "pagetypeinfo")
    found = capture.capture(root)
    assert set(found.missing) == {"proc/pagetypeinfo", "proc/kpageflags"}
    assert found.zones[0].page_class is None and found.zones[0].type_free is None
    assert found.zones[0].buddy_free.sum() > 0
    said = summary.lines(found)
    (lost,) = [line for line in said if line.startswith("missing")]
    assert "run it as root" in lost and "/proc/kpageflags" in lost
    assert any("blocks of 2 MiB" in line for line in said)
    seen.write(tmp_path / "small.npz", found)
    assert seen.read(tmp_path / "small.npz").missing == found.missing


def hide(monkeypatch, *names: str) -> None:
    """As if these files were root's and we are not (tests may run as root)."""
    may, opens, reads = os.access, open, Path.read_text

    def deny(path):
        if str(path).rpartition("/")[2] in names:
            raise PermissionError(13, "Permission denied", str(path))

    def access(path, mode):
        return str(path).rpartition("/")[2] not in names and may(path, mode)

    def opened(path, *rest, **more):
        deny(path)
        return opens(path, *rest, **more)

    def read_text(self, *rest, **more):
        deny(self)
        return reads(self, *rest, **more)

    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr(Path, "read_text", read_text)


@pytest.mark.parametrize("name", ["zoneinfo", "buddyinfo", "vmstat", "meminfo", "kpageflags"])
def test_a_file_that_is_not_there_is_one_sentence(start, tmp_path, name, capsys, monkeypatch):
    root = fake_proc.write(tmp_path / "root", {(0, "DMA32"): start})
    (root / "proc" / name).unlink()
    (root / "proc" / name).mkdir()  # so that even root cannot read it
    out = tmp_path / "out.npz"
    monkeypatch.setattr(sys, "argv", ["secretjax", "capture", "-o", str(out), "--root", str(root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and name in said
    assert list(tmp_path.glob("*.npz")) == list(tmp_path.glob(".*part")) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("zoneinfo", "managed", "manged", "has no 'managed'"),
        ("zoneinfo", "Node", "Nude", "names no zone"),
        ("buddyinfo", "DMA32", "DMA33", "no line for node 0"),
        ("buddyinfo", " \n", " 7 \n", "free blocks of 12 orders"),
        ("pagetypeinfo", "order: 9", "order: 13", "pageblocks of order 13"),
    ],
)
def test_a_file_of_another_form_is_named(start, tmp_path, name, old, new, said):
    root = fake_proc.write(tmp_path, {(0, "DMA32"): start})
    file = root / "proc" / name
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError, match=said) as error:
        capture.capture(root)
    assert name in one_sentence(error)


def damaged(file: Path, change) -> None:
    with np.load(file) as old:
        arrays = dict(old)
    change(arrays)
    np.savez_compressed(file, **arrays)


def rewrite(name: str, **changes):
    def change(arrays):
        value = json.loads(arrays[name].item())
        target = value if isinstance(value, dict) else value[0]
        target.update(changes)
        arrays[name] = np.array(json.dumps(value))

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("zones"),
        lambda a: a.update(format=np.array("secretjax-capture/9")),
        lambda a: a.update(page_class_0=a["page_class_0"][:-1]),
        lambda a: a.update(page_class_0=a["page_class_0"] + np.uint8(200)),
        lambda a: a.update(about=np.array("{")),
        rewrite("about", kernel=7),
        rewrite("about", direct_map={"4k": "many"}),
        rewrite("about", settings={}),
        rewrite("zones", fields={}),
        rewrite("zones", buddy_free=[1, 2]),
        rewrite("zones", type_free=[["x"]]),
        rewrite("zones", zone="../../etc"),
        lambda a: a.update(zones=np.array("[]")),
    ],
)
def test_a_damaged_capture_is_one_sentence(root, tmp_path, change):
    file = tmp_path / "machine.npz"
    seen.write(file, capture.capture(root))
    damaged(file, change)
    with pytest.raises(UserError) as error:
        seen.read(file)
    text = one_sentence(error)
    assert text.startswith(str(file)) and "make the case again" not in text


def test_half_a_capture_is_one_sentence(root, tmp_path):
    file = tmp_path / "machine.npz"
    seen.write(file, capture.capture(root))
    whole = file.read_bytes()
    for size in (0, 30, len(whole) // 2, len(whole) - 3):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError) as error:
            seen.read(file)
        one_sentence(error)


def test_nothing_is_kept_of_pages_contents_or_processes(root, tmp_path):
    file = tmp_path / "machine.npz"
    seen.write(file, capture.capture(root))
    with np.load(file) as arrays:
        assert set(arrays) == {"format", "about", "zones", "page_classes", "page_class_0"}
        about = json.loads(arrays["about"].item())
    assert set(about) == set(seen.ABOUT)
    assert set(about["counters"]) <= set(capture.COUNTERS)


def test_what_agrees_is_said_to(root):
    found = capture.capture(root)
    assert consistency.disagreements(found) == []
    assert summary.lines(found)[-1].startswith("what the kernel said twice agrees")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("vmstat", lambda t: t.replace("nr_free_pages ", "nr_free_pages 9"), "vmstat"),
        ("meminfo", lambda t: t.replace("MemFree: ", "MemFree: 9"), "MemFree"),
        ("meminfo", lambda t: t.replace("DirectMap2M: ", "DirectMap2M: 1 #"), "DirectMap"),
        ("zoneinfo", lambda t: t.replace("pages free     ", "pages free     9"), "zoneinfo"),
        ("kpageflags", lambda b: bytes(len(b)), "rebuilt from the page map"),
    ],
)
def test_what_does_not_agree_is_said(start, tmp_path, name, change, said):
    root = fake_proc.write(tmp_path, {(0, "DMA32"): start})
    file = root / "proc" / name
    if name == "kpageflags":
        file.write_bytes(change(file.read_bytes()))
    else:
        file.write_text(change(file.read_text()))
    wrong = consistency.disagreements(capture.capture(root))
    assert wrong and any(said in sentence for sentence in wrong)


def test_a_difference_within_the_drift_is_none(root):
    zone = capture.capture(root).zones[0]
    assert consistency.compared("x", "a", 1000, "b", 1010, 10).agrees
    assert not consistency.compared("x", "a", 1000, "b", 1011, 10).agrees
    assert all(finding.agrees for finding in consistency.of_zone(zone))


def test_this_machine_can_be_captured_where_that_is_allowed(tmp_path):
    if not os.access("/proc/zoneinfo", os.R_OK):
        pytest.skip("no /proc/zoneinfo here")
    if os.uname().machine != "x86_64":
        pytest.skip(f"a machine of {os.uname().machine}, x86_64 is modelled")
    try:
        found = capture.capture("/", relative=True)
    except UserError as error:
        if "not permitted" in str(error) or "names no zone" in str(error):
            pytest.skip(f"this system hides its memory: {error}")
        raise
    seen.write(tmp_path / "here.npz", found)
    assert seen.read(tmp_path / "here.npz").kernel == os.uname().release
    assert summary.lines(found)
