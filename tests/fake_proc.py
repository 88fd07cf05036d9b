"""A made-up /proc and /sys, in the words of a stock kernel."""

import re
from pathlib import Path

import numpy as np

from secretjax.cases import CLASSES, StartState

TYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")
# Flags of a page of each class, by the numbers of include/uapi/linux/kernel-page-flags.h.
FLAGS = {
    "kernel_other": [], "free_buddy": [10], "free_pcp": [], "reserved": [32], "nopage": [20],
    "slab": [7], "pgtable": [26, 11], "hugetlb": [15, 17, 11], "thp": [5, 11, 12, 15, 22],
    "unevictable": [5, 11, 18], "anon_lru": [5, 11, 12, 14], "file_lru": [3, 5],
    "compound_other": [16], "user_nolru": [11, 12], "outside_zone": [],
}  # fmt: skip


def flags(names) -> np.ndarray:
    """u64 a page."""
    table = {name: sum(1 << bit for bit in bits) for name, bits in FLAGS.items()}
    return np.array([table[name] for name in names], np.uint64)


def write(root: Path, starts: dict[tuple[int, str], StartState], **more: str) -> Path:
    """The files of a machine with these zones, by (node, zone), in the order of their pfns.

    more: files with their text, "/" as "__", instead of or beside the usual ones.
    """
    page_map = np.full(max(s.zone["end_pfn"] for s in starts.values()), 1 << 20, np.uint64)
    info, buddy, free, count = [], [], [], []
    total = np.zeros(11, np.int64)
    small = sum(int((s.dm_level == 1).sum()) for s in starts.values())
    whole = sum(int((s.dm_level == 2).sum()) for s in starts.values())
    for (node, name), start in starts.items():
        zone, where = start.zone, f"Node {node}, zone {name:>8}"
        classes = np.array(start.page_classes)[start.page_class[zone["start_pfn"] :]]
        page_map[zone["start_pfn"] : zone["end_pfn"]] = flags(classes.tolist())
        table = np.zeros((6, 11), np.int64)
        on = start.list_kind == 0
        np.add.at(table, (start.list_mt[on], start.list_order[on]), 1)
        total += table.sum(0)
        buddy.append(f"{where} " + " ".join(f"{n:6d}" for n in table.sum(0)) + " ")
        info.append(zone_text(where, zone, int((table.sum(0) << np.arange(11)).sum())))
        for k, kind in enumerate(TYPES):
            numbers = " ".join(f"{n if n < 100000 else '>100000':>6}" for n in table[k])
            free.append(f"Node {node:>4}, zone {name:>8}, type {kind:>12} {numbers} ")
        blocks = np.bincount(start.block_mt, minlength=6)
        count.append(f"{where} " + " ".join(f"{n:12d}" for n in blocks) + " ")
    pages = int((total << np.arange(11)).sum())
    head = " ".join(f"{k:6d}" for k in range(11))
    files = {
        "proc/zoneinfo": "".join(info),
        "proc/buddyinfo": "\n".join(buddy) + "\n",
        "proc/pagetypeinfo": "Page block order: 9\nPages per block:  512\n\n"
        f"Free pages count per migrate type at order {head} \n" + "\n".join(free)
        + "\n\nNumber of blocks type" + " ".join(f"{k:>12}" for k in TYPES) + " \n"
        + "\n".join(count) + "\n",
        "proc/vmstat": f"nr_free_pages {pages}\ndirect_map_level2_splits 0\n"
        "direct_map_level3_splits 0\n",
        "proc/meminfo": f"MemTotal:  99999 kB\nMemFree: {4 * pages} kB\nDirectMap4k: "
        f"{2048 * small} kB\nDirectMap2M: {2048 * whole} kB\nDirectMap1G: 0 kB\n",
        "proc/sys/kernel/osrelease": "6.12.117\n",
        "proc/stat": "cpu  1 2 3\ncpu0 1 2 3\nintr 5\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/module/secretmem/parameters/enable": "Y\n",
    }  # fmt: skip
    settings = next(iter(starts.values())).settings
    for key, value in settings["sysctl"].items():
        files[f"proc/sys/vm/{key}"] = value + "\n"
    files["proc/sys/vm/compact_unevictable_allowed"] = "1\n"
    files |= {re.sub("__", "/", key): text for key, text in more.items()}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "proc/kpageflags").write_bytes(page_map.tobytes())
    return root


def zone_text(where: str, zone: dict[str, int], free: int) -> str:
    """A zone of zoneinfo, with per-node numbers before and numbers of the same names after it."""
    return (
        f"{where}\n  per-node stats\n      nr_inactive_anon 939\n  pages free     {free}\n"
        f"        boost    {zone['boost']}\n        min      {zone['min']}\n"
        f"        low      {zone['low']}\n        high     {zone['high']}\n"
        f"        spanned  {zone['end_pfn'] - zone['start_pfn']}\n"
        f"        present  {zone['managed']}\n        managed  {zone['managed']}\n"
        f"        cma      0\n        protection: (0, 0, 0, 0, 0)\n      nr_free_pages {free}\n"
        f"  pagesets\n    cpu: 0\n              count:    {zone['pcp_count']}\n"
        f"              high:     {zone['pcp_high']}\n              batch:    {zone['pcp_batch']}\n"
        f"              high_min: {zone['pcp_high_min']}\n"
        f"              high_max: {zone['pcp_high_max']}\n  vm stats threshold: 24\n"
        f"  node_unreclaimable:  0\n  start_pfn:           {zone['start_pfn']}\n"
    )


def moved(start: StartState, blocks: int) -> StartState:
    """The start state so many pageblocks further up in memory, behind a hole."""
    from dataclasses import replace

    by = 512 * blocks
    hole = np.full(by, CLASSES.index("nopage"), np.uint8)
    zone = start.zone | {k: start.zone[k] + by for k in ("start_pfn", "end_pfn")}
    return replace(
        start, zone=zone, list_pfn=start.list_pfn + by, block_pfn=start.block_pfn + by,
        page_class=np.concatenate([hole, start.page_class]),
    )  # fmt: skip
