"""What must hold of a zone between two commands. For tests and for whoever doubts, in NumPy."""

import numpy as np

from secretjax.mm.choose import ALL_ORDERS
from secretjax.mm.layout import (
    COUNT,
    FREE_SHIFT,
    LIST_TYPES,
    LRU_SHIFT,
    NODE,
    ORDER_SHIFT,
    SPLIT,
    TYPE,
    WHERE_SHIFT,
    Use,
    Where,
    absent_at,
    head,
    pcp_head,
    pcp_order,
    table_at,
)
from secretjax.mm.state import Zone
from secretjax.mm.words import (
    NR_PAGE_ORDERS,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    PCP_LISTS,
    Collapse,
    Fallback,
    Migratetype,
)


def validate(zone: Zone, pages: int) -> list[str]:
    """Every broken invariant in words; an empty list for a sound zone.

    zone: one state, its last writes in its arrays (two idle steps after the last command).
    """
    rows = np.asarray(zone.link, np.int64).reshape(-1, 2)
    block = np.asarray(zone.block, np.int64)[: pages // PAGEBLOCK_PAGES]
    handle = np.asarray(zone.handle, np.int64)
    word = rows[:pages, 0]
    where, order = word >> WHERE_SHIFT, (word >> ORDER_SHIFT) & 15
    heads = np.flatnonzero((where != Where.NONE) | ((word & Use.USED) != 0))
    wrong = _tiles(heads, order, word)
    wrong += _lists(
        rows, pages, zone, block & TYPE, set(heads[where[heads] != Where.NONE].tolist())
    )
    wrong += _counts(heads, where, order, word, block, zone)
    if int(zone.limits.collapse) != Collapse.NEVER:
        wrong += _tables(heads, where, order, word, np.asarray(zone.block, np.int64))
    used = heads[(where[heads] == Where.NONE) & (rows[heads, 1] >= 0)]
    lost = used[handle[rows[used, 1]] != used]
    if len(lost):
        wrong.append(
            f"handle {rows[lost[0], 1]} of the block at {lost[0]} points elsewhere, to "
            f"{handle[rows[lost[0], 1]]}"
        )
    return wrong


def _tiles(heads, order, word) -> list[str]:
    """Blocks, free or in use, cover what they cover once, aligned, and rows inside are 0."""
    size = 1 << order[heads]
    wrong = []
    if (heads % size).any():
        wrong.append(
            f"block at {heads[np.flatnonzero(heads % size)[0]]} is not aligned to its order"
        )
    overlap = np.flatnonzero(heads[:-1] + size[:-1] > heads[1:])
    if len(overlap):
        wrong.append(f"blocks at {heads[overlap[0]]} and {heads[overlap[0] + 1]} overlap")
    head_rows = np.zeros(len(word), bool)
    head_rows[heads] = True
    if word[~head_rows].any():
        wrong.append(f"row {np.flatnonzero(~head_rows & (word != 0))[0]} inside a block is not 0")
    return wrong


def every_list(now, pages: int):
    """(row of the head, migratetype or -1 for a per-CPU list, order, whether it has members)."""
    masks = [int(np.asarray(getattr(now, f"lists{k}"))) for k in ("01", "23", "45", "67")]
    for mt in range(LIST_TYPES):
        full = (masks[mt >> 1] >> (NR_PAGE_ORDERS * (mt & 1))) & ALL_ORDERS
        for order in range(NR_PAGE_ORDERS):
            yield head(pages, mt, order), mt, order, bool((full >> order) & 1)
    for k in range(PCP_LISTS):
        full = bool((int(now.pcp_full) >> k) & 1)
        yield int(pcp_head(pages, k)), -1, int(pcp_order(k)), full


def _lists(rows, pages, zone, label, free) -> list[str]:
    """Lists are rings both ways, of blocks of their order and type; masks say which are empty."""
    wrong, seen = [], set()
    typed = int(zone.limits.fallback) != Fallback.K511  # whose lists may be of another type
    for begin, mt, order, full in every_list(zone.now, pages):
        at = begin
        name = f"list (type {mt}, order {order})"
        length = 0
        while True:
            after = int(rows[at, 0] & NODE)
            if rows[after, 1] != at:
                wrong.append(f"{name}: row {after} does not point back to {at}")
                break
            if after == begin:
                break
            at, length = after, length + 1
            if at in seen or at >= pages:
                wrong.append(f"{name}: block {at} is on two lists, or none")
                break
            seen.add(at)
            if (rows[at, 0] >> ORDER_SHIFT) & 15 != order:
                wrong.append(f"{name}: block {at} has another order")
            if typed and 0 <= mt < Migratetype.POOL and label[at >> PAGEBLOCK_ORDER] != mt:
                wrong.append(
                    f"{name}: block {at} lies in a pageblock of type {label[at >> PAGEBLOCK_ORDER]}"
                )
            buddy = at ^ (1 << order)
            same = rows[buddy, 0] >> ORDER_SHIFT == rows[at, 0] >> ORDER_SHIFT
            listed = 0 <= mt < Migratetype.TARGET
            if listed and order < PAGEBLOCK_ORDER and same and buddy < pages:
                wrong.append(f"{name}: block {at} and its buddy are both free")
        if bool(length) != full:
            wrong.append(f"{name}: its bit says {full}, it has {length} blocks")
    if seen != free:
        wrong.append(f"{len(seen ^ free)} free blocks are on no list")
    return wrong


def _covered(heads, order, pages: int) -> np.ndarray:
    """1 for each page of the blocks at `heads`."""
    begins = np.bincount(heads, minlength=pages + 1)
    ends = np.bincount(np.minimum(heads + (1 << order[heads]), pages), minlength=pages + 1)
    return (np.cumsum(begins - ends)[:pages] > 0).astype(np.int64)


def _counts(heads, where, order, word, block, zone) -> list[str]:
    """Counters of pageblocks and of the zone are the sums over their pages."""
    pages = len(word)
    listed = heads[where[heads] == Where.BUDDY]
    in_use = heads[where[heads] == Where.NONE]
    free = _covered(listed, order, pages)
    lru = _covered(in_use[(word[in_use] & int(Use.LRU)) != 0], order, pages)
    wrong = []
    for name, counted, shift in (("free", free, FREE_SHIFT), ("LRU", lru, LRU_SHIFT)):
        per_block = counted.reshape(-1, PAGEBLOCK_PAGES).sum(1)
        bad = np.flatnonzero(((block >> shift) & COUNT) != per_block)
        if len(bad):
            at = bad[0]
            wrong.append(
                f"pageblock {at} counts {(block[at] >> shift) & COUNT} {name} pages, "
                f"has {per_block[at]}"
            )
    label = np.repeat(block & TYPE, PAGEBLOCK_PAGES)
    total = int(free[label != Migratetype.ISOLATE].sum())
    if int(zone.now.free) != total:
        wrong.append(f"the zone counts {int(zone.now.free)} free pages, has {total}")
    huge = int((1 << (order[listed][order[listed] >= PAGEBLOCK_ORDER] - PAGEBLOCK_ORDER)).sum())
    cached = heads[where[heads] == Where.PCP]
    counters = {
        "free_cma": int(free[label == Migratetype.CMA].sum()),
        "free_atomic": int(free[label == Migratetype.HIGHATOMIC].sum()),
        "free_blocks": len(listed),
        "free_huge": huge,
        "pcp_count": int((1 << order[cached]).sum()) - int(zone.now.have),
    }
    for name, found in counters.items():
        if int(getattr(zone.now, name)) != found:
            wrong.append(f"the zone says {name} {int(getattr(zone.now, name))}, found {found}")
    return wrong


def _tables(heads, where, order, word, block) -> list[str]:
    """Absent pages are counted, and a split entry's table is a page in use of its own."""
    pages = len(word)
    blocks = pages // PAGEBLOCK_PAGES
    hidden = (where[heads] == Where.POOL) | ((word[heads] & Use.UNMAPPED) != 0)
    hidden &= where[heads] != Where.BUDDY
    hidden &= where[heads] != Where.PCP
    absent = _covered(heads[hidden], order, pages).reshape(-1, PAGEBLOCK_PAGES).sum(1)
    said = block[absent_at(pages, 0) : table_at(pages, 0)]
    table = block[table_at(pages, 0) : table_at(pages, 0) + blocks]
    wrong = [
        f"pageblock {b} counts {said[b]} absent pages, has {absent[b]}"
        for b in np.flatnonzero(said != absent)
    ]
    kept = table[table != 0] - 1
    fits = (where[kept] == Where.NONE) & ((word[kept] & Use.TABLE) != 0) & (order[kept] == 0)
    wrong += [f"page {at} is said to hold a table, and does not" for at in kept[~fits]]
    if len(set(kept.tolist())) < len(kept):
        wrong.append("two entries have the same table")
    wrong += [
        f"pageblock {b} has a table, but its entry is not split"
        for b in np.flatnonzero((table != 0) & ((block[:blocks] & SPLIT) == 0))
    ]
    return wrong
