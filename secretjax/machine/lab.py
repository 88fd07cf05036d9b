"""A start state captured in the lab, as a stock kernel would have shown it.

What is lost: the order of lists, the type of each pageblock and of each free block, which pages are
on per-CPU lists (they have no flag), which entries of the direct map are split. What stays are the
classes of pages and the totals. So the inference can be held against the truth.
"""

from collections.abc import Iterable

import numpy as np

from secretjax.cases import CLASSES, StartState
from secretjax.machine import pages
from secretjax.machine.proc import CPU_FIELDS
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_PAGES

TYPES = 6


def shown(start: StartState) -> Capture:
    """What `secretjax capture` would have seen of this start state."""
    zone, settings = start.zone, start.settings
    first, end = zone["start_pfn"], zone["end_pfn"]
    names = [CLASSES.index(name) for name in start.page_classes]
    classes = np.array(names, np.uint8)[start.page_class[first:end]]
    classes[classes == CLASSES.index("free_pcp")] = CLASSES.index("kernel_other")
    buddy = start.list_kind == 0
    type_free = np.zeros((TYPES, NR_PAGE_ORDERS), np.int64)
    np.add.at(type_free, (start.list_mt[buddy], start.list_order[buddy]), 1)
    cpu = [zone[f"pcp_{key}"] for key in CPU_FIELDS]
    small = int((start.dm_level == 1).sum())
    seen = ZoneSeen(
        node=0,
        name="DMA32",
        fields={key: -1 if key.startswith("pcp_") else value for key, value in zone.items()},
        cpus=np.array([cpu], np.int64),
        free=int((type_free.sum(0) << np.arange(NR_PAGE_ORDERS)).sum()),
        present=zone["managed"],
        buddy_free=type_free.sum(0),
        buddy_after=type_free.sum(0),
        type_free=type_free,
        type_blocks=np.bincount(start.block_mt, minlength=TYPES),
        page_class=classes,
        dm_level=None,
    )
    return Capture(
        kernel=settings["kernel"],
        settings={key: value for key, value in settings.items() if key != "total_pages"},
        zones=(seen,),
        direct_map={
            "4k": small * PAGEBLOCK_PAGES, "2M": int((start.dm_level == 2).sum()), "1G": 0,
        },
        counters={
            "nr_free_pages": seen.free,
            "direct_map_level2_splits": 0,  # nothing was split since boot at the lab's starts
        },
        secretmem="on",
    )  # fmt: skip


def blocks(start: StartState) -> set[tuple[int, int]]:
    """(pfn, order) of the free blocks on buddy lists."""
    buddy = start.list_kind == 0
    return set(zip(start.list_pfn[buddy].tolist(), start.list_order[buddy].tolist(), strict=True))


def rebuilt(zone: ZoneSeen) -> set[tuple[int, int]]:
    """The same from the classes of pages alone."""
    pfn, order = pages.free_blocks(zone.in_class("free_buddy"), zone.fields["start_pfn"])
    return set(zip(pfn.tolist(), order.tolist(), strict=True))


def named(parts: Iterable[str]) -> str:
    """Parts of the inference for people."""
    words = {
        "types": "types of pageblocks", "lists": "lists of free blocks", "order": "order of lists",
        "percpu": "per-CPU lists", "mapping": "direct map",
    }  # fmt: skip
    return ", ".join(words[part] for part in parts)
