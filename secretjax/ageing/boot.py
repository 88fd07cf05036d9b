"""A machine just booted: all memory free but the memory map, in blocks as large as they come.

Watermarks and per-CPU lists by the formulas of mm/page_alloc.c of Linux 6.12.117
(calculate_min_free_kbytes, __setup_per_zone_wmarks, zone_batchsize, zone_highsize) and of
mm/khugepaged.c (set_recommended_min_free_kbytes): one zone, one CPU, huge pages on.
"""

import numpy as np

from secretjax.cases import CLASSES, ZONE_FIELDS, StartState
from secretjax.errors import UserError
from secretjax.mm.layout import MAX_PAGES, PCP_TYPES
from secretjax.mm.words import MAX_PAGE_ORDER, PAGEBLOCK_PAGES, Migratetype

MEMMAP = 64  # sizeof(struct page) is 1/64 of a page
RECOMMENDED = 2 + PCP_TYPES * PCP_TYPES  # pageblocks that khugepaged wants free, a zone
LEAST = 1 << 14


def check_pages(pages: int) -> None:
    """`UserError` unless a zone of so many pages can be aged."""
    if not LEAST <= pages < MAX_PAGES or pages % (1 << MAX_PAGE_ORDER):
        raise UserError(
            f"a zone of {pages} pages: from {LEAST} to below {MAX_PAGES}, a multiple of 1024, can "
            "be aged; 131072 are 512 MiB"
        )


def watermarks(managed: int) -> dict[str, int]:
    """min, low and high in pages."""
    kbytes = int(np.clip(int((16 * 4 * managed) ** 0.5), 128, 262_144))
    first = kbytes // 4
    usable = managed - first - 2 * max(first // 4, managed // 1000)  # nr_free_buffer_pages()
    least = max(first, min(RECOMMENDED * PAGEBLOCK_PAGES, usable // 20))
    step = max(least // 4, managed // 1000)
    return {"min": least, "low": least + step, "high": least + 2 * step}


def percpu(managed: int, low: int) -> dict[str, int]:
    """Fields pcp_* of a zone with one CPU."""
    share = max(min(managed // 1024, 256) // 4, 1)
    batch = (1 << int(np.log2(share + share // 2))) - 1
    return {
        "pcp_count": 0,
        "pcp_high": max(low, 4 * batch),
        "pcp_high_min": max(low, 4 * batch),
        "pcp_high_max": max(managed // 8, 4 * batch),
        "pcp_batch": max(batch, 1),
        "pcp_alloc_factor": 0,
        "pcp_free_count": 0,
    }


def booted(pages: int, name: str = "booted") -> StartState:
    """A zone of pfn 1 to `pages`, MOVABLE as memmap_init() leaves it, 2 MiB direct-map entries.

    Lists in ascending order of pfn: __free_pages_core() puts each block at the tail. The memory
    map lies at the end, where memblock takes it from.
    """
    check_pages(pages)
    end = pages - pages // MEMMAP
    managed = end - 1
    free = np.array(list(blocks(1, end)), np.int64)
    listed = free[np.argsort(-free[:, 1], kind="stable")]
    place = np.arange(0, pages, PAGEBLOCK_PAGES)
    page_class = np.full(pages, CLASSES.index("reserved"), np.uint8)
    page_class[1:end] = CLASSES.index("free_buddy")
    page_class[0] = CLASSES.index("outside_zone")
    marks = watermarks(managed)
    zone = {"start_pfn": 1, "end_pfn": pages, "managed": managed, "boost": 0, "highatomic": 0}
    zone |= marks | percpu(managed, marks["low"])
    return StartState(
        name=name,
        zone={field: zone[field] for field in ZONE_FIELDS},
        list_pfn=listed[:, 0],
        list_order=listed[:, 1],
        list_mt=np.full(len(listed), int(Migratetype.MOVABLE)),
        list_kind=np.zeros(len(listed), np.int64),
        block_pfn=place,
        block_mt=np.full(len(place), int(Migratetype.MOVABLE)),
        page_class=page_class,
        page_classes=CLASSES,
        dm_pfn=place,
        dm_level=np.full(len(place), 2),
        dm_nonpresent=np.zeros(len(place), np.int64),
        settings={
            "kernel": "6.12.117", "fallback": "K612y", "cpus": 1, "thp": "madvise",
            "khugepaged": "off", "compact_unevictable_allowed": 1,
            "sysctl": {"min_free_kbytes": str(4 * marks["min"])},
            "secret_pool": "none", "cma": None, "total_pages": managed,
        },
    )  # fmt: skip


def blocks(first: int, end: int):
    """(pfn, order) of the largest aligned blocks that cover the pages."""
    while first < end:
        order = min((first & -first).bit_length() - 1, MAX_PAGE_ORDER)
        order = min(order, (end - first).bit_length() - 1)
        yield first, order
        first += 1 << order
