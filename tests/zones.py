"""Small made-up zones for tests."""

from dataclasses import replace

import numpy as np

from secretjax.cases import CLASSES, ZONE_FIELDS, StartState
from secretjax.mm.words import PAGEBLOCK_PAGES, Migratetype


def fresh(pages: int, level: int = 2, name: str = "fresh") -> StartState:
    """A zone from pfn 0: all free, order-10 blocks, MOVABLE pageblocks, one direct-map level."""
    blocks = np.arange(0, pages, PAGEBLOCK_PAGES)
    large = np.arange(0, pages, 1024)
    zeros = np.zeros_like(blocks)
    return StartState(
        name=name,
        zone={**dict.fromkeys(ZONE_FIELDS, 0), "end_pfn": pages, "managed": pages},
        list_pfn=large, list_order=np.full_like(large, 10), list_mt=np.ones_like(large),
        list_kind=np.zeros_like(large),
        block_pfn=blocks, block_mt=np.full_like(blocks, int(Migratetype.MOVABLE)),
        page_class=np.full(pages, CLASSES.index("free_buddy"), np.uint8), page_classes=CLASSES,
        dm_pfn=blocks, dm_level=np.full_like(blocks, level), dm_nonpresent=zeros,
        settings={"fallback": "K612y", "secret_pool": "none", "total_pages": pages},
    )  # fmt: skip


def scattered(pages: int, kind: str = "kernel_other", below: int | None = None) -> StartState:
    """As `fresh`, but below `below` the first of every four pages is in use: nothing above order 1
    is free there.
    """
    start = fresh(pages, name="scattered")
    below = pages if below is None else below
    first, large = np.arange(0, below, 4), np.arange(below, pages, 1024)
    pfn = np.concatenate([first + 1, first + 2, large])
    order = np.repeat([0, 1, 10], [len(first), len(first), len(large)])
    classes = start.page_class.copy()
    classes[first] = CLASSES.index(kind)
    return replace(
        start, list_pfn=pfn, list_order=order, list_mt=np.ones_like(pfn),
        list_kind=np.zeros_like(pfn), page_class=classes,
    )  # fmt: skip
