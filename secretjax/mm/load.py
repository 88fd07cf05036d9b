"""A start state, as plain arrays, becomes a zone; and a zone's lists become arrays again."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from secretjax.errors import UserError
from secretjax.mm.layout import (
    CLASS_SHIFT,
    EDGE,
    FREE_SHIFT,
    HEADS,
    LIST_TYPES,
    LRU_SHIFT,
    MAX_PAGES,
    NODE,
    ORDER_SHIFT,
    PCP_TYPES,
    SPLIT,
    WHERE_SHIFT,
    Use,
    Where,
    code,
    giants,
    head,
    pcp_head,
)
from secretjax.mm.plan import NOWHERE
from secretjax.mm.state import Limits, Phase, Registers, Tick, Writes, Zone
from secretjax.mm.words import (
    COSTLY_ORDER,
    MAX_PAGE_ORDER,
    NR_PAGE_ORDERS,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    PCP_LISTS,
    Collapse,
    Fallback,
    Migratetype,
    Secret,
)

LRU_CLASSES = ("thp", "unevictable", "anon_lru", "file_lru")
APART: dict[int, Where] = {Migratetype.POOL: Where.POOL, Migratetype.TARGET: Where.PCP}


def zone_pages(end_pfn: int) -> int:
    """Rows that a zone ending at `end_pfn` needs: whole order-10 blocks."""
    size = 1 << MAX_PAGE_ORDER
    return -(-end_pfn // size) * size


def rows_in_use(start) -> np.ndarray:
    """Rows [pages, 2] of all pages in use, each on its own but whole huge pages.

    Pages on per-CPU lists are in use here, each block as one.
    """
    pages = zone_pages(start.zone["end_pfn"])
    used = np.zeros(pages, bool)
    used[start.zone["start_pfn"] : start.zone["end_pfn"]] = True
    classes = np.zeros(pages, np.int64)
    classes[: len(start.page_class)] = start.page_class[:pages]
    names = start.page_classes
    lru = np.isin(classes, [names.index(c) for c in LRU_CLASSES if c in names])
    on_list = start.list_kind == 1
    for pfn, order in zip(start.list_pfn[on_list], start.list_order[on_list], strict=True):
        lru[pfn : pfn + (1 << int(order))] = False
    rows = np.zeros((pages, 2), np.int64)
    rows[:, 0] = np.where(used, Use.USED | (lru * Use.LRU) | (classes << CLASS_SHIFT), 0)
    rows[:, 1] = -1
    for pfn, order in zip(
        start.list_pfn[on_list].tolist(), start.list_order[on_list].tolist(), strict=True
    ):
        join(rows, pfn, order)
    join_huge(rows, used & (classes == (names.index("thp") if "thp" in names else -1)))
    rows[~used] = 0
    return rows


def join(rows: np.ndarray, first: int, order: int) -> None:
    """Pages in use that are one block become one: the first row speaks for all."""
    rows[first, 0] |= order << ORDER_SHIFT
    rows[first + 1 : first + (1 << order)] = 0


def join_huge(rows: np.ndarray, huge: np.ndarray) -> None:
    """Aligned pageblocks that are one huge page become one block in use."""
    for block in np.nonzero(huge.reshape(-1, PAGEBLOCK_PAGES).all(1))[0].tolist():
        join(rows, block * PAGEBLOCK_PAGES, PAGEBLOCK_ORDER)


def listed(start, kind: int, key) -> dict[int, list[int]]:
    """{key(migratetype, order): pfns in list order} of the blocks on lists of this kind."""
    found: dict[int, list[int]] = {}
    chosen = start.list_kind == kind
    columns = (start.list_pfn, start.list_order, start.list_mt)
    for pfn, order, mt in zip(*(c[chosen].tolist() for c in columns), strict=True):
        found.setdefault(key(mt, order), []).append(pfn)
    return found


def pcp_number(mt: int, order: int) -> int:
    """order_to_pindex(), of a start state: order 9 says movable or not."""
    return 12 + (mt == Migratetype.MOVABLE) if order > COSTLY_ORDER else PCP_TYPES * order + mt


def link_lists(rows: np.ndarray, start, percpu: bool) -> np.ndarray:
    """Rows with the heads behind the pages, and the blocks of all lists linked in list order."""
    pages = len(rows)
    link = np.zeros((pages + HEADS, 2), np.int64)
    link[:pages] = rows
    buddy = listed(start, 0, lambda mt, order: mt * NR_PAGE_ORDERS + order)
    cached = listed(start, 1, pcp_number) if percpu else {}
    rings = []
    for mt in range(LIST_TYPES):
        where = APART.get(mt, Where.BUDDY)
        for order in range(NR_PAGE_ORDERS):
            key = mt * NR_PAGE_ORDERS + order
            rings.append((pages + key, int(where), order, buddy.get(key, [])))
    for k in range(PCP_LISTS):
        order = PAGEBLOCK_ORDER if k >= 12 else k // PCP_TYPES
        rings.append((int(pcp_head(pages, k)), int(Where.PCP), order, cached.get(k, [])))
    for at, where, order, members in rings:
        ring = [at, *members]
        mark = code(where, order) << ORDER_SHIFT
        for pfn in members:
            link[pfn : pfn + (1 << order)] = 0
        for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
            link[here, 0] = mark | after
            link[after, 1] = here
    return link


def block_words(link: np.ndarray, start, pages: int) -> tuple[np.ndarray, int]:
    """Pageblock words with the words of the GiBs behind them, and the number of 1 GiB entries."""
    blocks = pages // PAGEBLOCK_PAGES
    first = start.block_pfn.astype(np.int64) // PAGEBLOCK_PAGES
    mt = np.zeros(blocks, np.int64)
    mt[first] = start.block_mt
    word0 = link[:pages, 0]
    size = 1 << ((word0 >> ORDER_SHIFT) & 15)
    free = np.zeros(pages, np.int64)
    for pfn in np.nonzero((word0 >> WHERE_SHIFT) == Where.BUDDY)[0]:
        free[pfn : pfn + size[pfn]] = 1
    lru = np.where(((word0 >> WHERE_SHIFT) == 0) & ((word0 & Use.LRU) != 0), size, 0)
    count = (
        free.reshape(blocks, -1).sum(1) << FREE_SHIFT | lru.reshape(blocks, -1).sum(1) << LRU_SHIFT
    )
    begin = np.arange(blocks) * PAGEBLOCK_PAGES
    edge = (begin < start.zone["start_pfn"]) | (begin + PAGEBLOCK_PAGES > start.zone["end_pfn"])
    level = np.full(blocks, 2)
    level[start.dm_pfn.astype(np.int64) // PAGEBLOCK_PAGES] = start.dm_level
    giant = np.zeros(giants(blocks), np.int64)
    for g in range(len(giant)):
        giant[g] = (level[g * 512 : (g + 1) * 512] == 3).all()
    words = mt | count | edge * EDGE | (level == 1) * SPLIT
    return np.concatenate([words, giant]), int(giant.sum())


def load(
    start,
    handles: int = 1,
    owners: np.ndarray | None = None,
    whole=(),
    percpu: bool = True,
    **limits: int,
) -> Zone:
    """The zone of a start state (`cases.StartState` or anything with its fields).

    handles: how many blocks can be remembered. owners: Int32 [pages], the handle of each page in
    use, -1 for none; their pfns are put into the handle table. whole: (pfn, order) of blocks in
    use that were handed out as one (a start state tells pages only). percpu: False, pages on
    per-CPU lists are in use (a stream of requests to the buddy gives them back itself). limits:
    what is not to be as the start state says, see `state.Limits`.
    Raises `ValueError` when the zone is larger than a row can address.
    """
    rows = rows_in_use(start)
    for pfn, order in whole:
        join(rows, pfn, order)
    pages = len(rows)
    if pages > MAX_PAGES:
        raise ValueError(f"a zone of {pages} pages: at most {MAX_PAGES} fit the row layout")
    table = np.full(handles, -1, np.int64)
    if owners is not None:
        owned = np.nonzero(owners >= 0)[0]
        rows[owned, 1] = owners[owned]
        table[owners[owned]] = owned
    link = link_lists(rows, start, percpu)
    block, whole_gibs = block_words(link, start, pages)
    now = registers(start, link, pages, whole_gibs, percpu)
    fixed = limits_of(start) | limits
    now |= {"poll": fixed["period"], "pace": fixed["period"]}
    if fixed["collapse"] != Collapse.NEVER:
        block = np.concatenate([block, np.zeros(2 * (pages >> PAGEBLOCK_ORDER), np.int64)])
    writes = {f: 0 if "word" in f or f == "amount" else NOWHERE for f in Writes._fields}
    as32 = lambda x: jnp.asarray(np.asarray(x, np.int64).astype(np.int32))  # noqa: E731
    return Zone(
        link=as32(link.reshape(-1)),
        block=as32(block),
        handle=as32(table),
        ticks=jnp.zeros(len(Tick), jnp.int32),
        limits=Limits(**{k: as32(v) for k, v in fixed.items()}),
        now=Registers(**{k: as32(v) for k, v in now.items()}),
        writes=Writes(**{k: as32(v) for k, v in writes.items()}),
    )


def limits_of(start) -> dict[str, int]:
    """What a start state says of `state.Limits`, and the timing of the captured machines.

    Timing (of the captures' traces): see `engine.timed`; the CPU goes to kswapd within a few
    faults of its being woken.
    """
    zone, sysctl = start.zone, start.settings.get("sysctl", {})
    proactiveness = int(sysctl.get("compaction_proactiveness", 20))
    low = max(100 - proactiveness, 5)
    known = zone["min"] > 0 and proactiveness > 0
    factor = int(sysctl.get("watermark_boost_factor", 15000))
    boost = zone["high"] * factor // 10000
    tuned = zone["pcp_high_min"] >= 0  # since 6.7
    return {
        "fallback": Fallback[start.settings["fallback"]],
        "first": zone["start_pfn"],
        "end": zone["end_pfn"],
        "min": zone["min"],
        "low": zone["low"],
        "high": zone["high"],
        "boost": max(boost, PAGEBLOCK_PAGES) if boost else 0,
        "batch": max(zone["pcp_batch"], 0),
        "high_min": zone["pcp_high_min"] if tuned else max(zone["pcp_high"], 0),
        "high_max": zone["pcp_high_max"] if tuned else max(zone["pcp_high"], 0),
        "unevictable": start.settings.get("compact_unevictable_allowed", 1),
        "secret": Secret.INACCESSIBLE if start.settings.get("mapping") == "inaccessible" else 0,
        "score_high": min(low + 10, 100) if known else 1000,
        "score_low": low,
        "period": 193_000,
        "kswapd": 1_000,
        "collapse": Collapse[start.settings.get("collapse", "never").upper()],
    }


def registers(start, link: np.ndarray, pages: int, whole_gibs: int, percpu: bool) -> dict[str, int]:
    """All registers of a zone in which nothing has happened yet."""
    full = [0] * LIST_TYPES
    for mt in range(LIST_TYPES):
        for order in range(NR_PAGE_ORDERS):
            at = head(pages, mt, order)
            if (link[at, 0] & NODE) != at:
                full[mt] |= 1 << order
    pcp = [int(pcp_head(pages, k)) for k in range(PCP_LISTS)]
    buddy = start.list_kind == 0
    orders = start.list_order.astype(np.int64)
    size = 1 << orders
    cma = start.list_mt == Migratetype.CMA
    atomic = start.list_mt == Migratetype.HIGHATOMIC
    isolated = start.list_mt == Migratetype.ISOLATE
    zone = start.zone
    now = dict.fromkeys(Registers._fields, 0) | {
        "phase": Phase.FETCH,
        "limit": NR_PAGE_ORDERS,
        "again": -1,
        "target": -1,
        "drain_back": -1,
        "kswapd": -1,
        "capture": -2,
        "scan": -1,
        "last": -1,
        "free": size[buddy & ~isolated].sum(),
        "free_cma": size[buddy & cma].sum(),
        "free_atomic": size[buddy & atomic].sum(),
        "free_blocks": buddy.sum(),
        "free_huge": (size[buddy & (orders >= PAGEBLOCK_ORDER)] >> PAGEBLOCK_ORDER).sum(),
        "giants": whole_gibs,
        "boost": zone["boost"],
        "failed_order": 0,
        "cached_free": (zone["end_pfn"] - 1) & -PAGEBLOCK_PAGES,
        "cached_async": zone["start_pfn"],
        "cached_sync": zone["start_pfn"],
        "init_migrate": 0,
        "random": 1,
    }
    if percpu:
        now |= {
            "pcp_full": sum(1 << k for k, at in enumerate(pcp) if (link[at, 0] & NODE) != at),
            "pcp_count": size[start.list_kind == 1].sum(),
            "pcp_high": max(zone["pcp_high"], 0),
            "alloc_factor": max(zone["pcp_alloc_factor"], 0),
            "free_count": max(zone["pcp_free_count"], 0),
        }
    for k, name in enumerate(("lists01", "lists23", "lists45", "lists67")):
        now[name] = full[2 * k] | full[2 * k + 1] << NR_PAGE_ORDERS
    return now


def lists(link: np.ndarray, pages: int) -> dict[tuple[int, int], list[int]]:
    """{(order, migratetype): pfns in list order, head first} of the buddy lists."""
    rows = np.asarray(link).reshape(-1, 2)
    found = {}
    for mt in range(Migratetype.POOL):
        for order in range(NR_PAGE_ORDERS):
            begin = at = head(pages, mt, order)
            ring = []
            while (at := int(rows[at, 0] & NODE)) != begin:
                ring.append(at)
                if len(ring) > pages:
                    raise ValueError(f"free list (order {order}, type {mt}) is no ring")
            if ring:
                found[(order, mt)] = ring
    return found


def with_cma_area(start, pages: int, align: int = PAGEBLOCK_PAGES):
    """The start state with up to so many pages, in whole pageblocks, turned into a CMA area.

    Taken from the top of memory down: MOVABLE pageblocks in which every page in use is movable, of
    those ranges of `align` pages only that lie in the zone whole. A free order-10 block that only
    half belongs to it becomes two of order 9. Raises `UserError` if there is no such range.
    """
    rows = rows_in_use(start)
    blocks = len(rows) // PAGEBLOCK_PAGES
    label = np.full(blocks, -1)
    label[start.block_pfn >> PAGEBLOCK_ORDER] = start.block_mt
    buddy = start.list_kind == 0
    for pfn, order in zip(
        start.list_pfn[buddy].tolist(), start.list_order[buddy].tolist(), strict=True
    ):
        rows[pfn : pfn + (1 << order)] = 0
    stays = (rows[:, 0] != 0) & ((rows[:, 0] & Use.LRU) == 0)
    fit = (label == Migratetype.MOVABLE) & ~stays.reshape(blocks, -1).any(1)
    units = np.arange(blocks) // (align // PAGEBLOCK_PAGES)
    whole = np.bincount(units[label >= 0], minlength=units[-1] + 1) == align // PAGEBLOCK_PAGES
    if not whole.any():
        raise UserError(
            f"{start.name}: no range of {align >> 8} MiB lies in its {blocks * 2} MiB whole, so no "
            "CMA area can be aligned to that"
        )
    fit &= whole[units]
    area = np.zeros(blocks, bool)
    area[np.flatnonzero(fit)[::-1][: -(-pages // PAGEBLOCK_PAGES)]] = True
    listed = []
    for pfn, order, mt, kind in zip(
        start.list_pfn.tolist(),
        start.list_order.tolist(),
        start.list_mt.tolist(),
        start.list_kind.tolist(),
        strict=True,
    ):
        first = pfn >> PAGEBLOCK_ORDER
        if kind == 0 and order == MAX_PAGE_ORDER and area[first] != area[first + 1]:
            listed += [(pfn, 9, mt, 0), (pfn + PAGEBLOCK_PAGES, 9, mt, 0)]
        else:
            listed.append((pfn, order, mt, kind))
    pfn, order, mt, kind = np.array(listed).T
    mt = np.where(area[pfn >> PAGEBLOCK_ORDER] & (kind == 0), int(Migratetype.CMA), mt)
    block_mt = np.where(
        area[start.block_pfn >> PAGEBLOCK_ORDER], int(Migratetype.CMA), start.block_mt
    )
    return replace(
        start, list_pfn=pfn, list_order=order, list_mt=mt, list_kind=kind, block_mt=block_mt
    )
