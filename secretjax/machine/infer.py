"""From what a stock kernel shows to a start state: what it does not show is drawn.

Parts that are drawn, each within the totals that are shown:

types     the type of each pageblock (`types.draw`)
lists     the list of each free block: that of its pageblock's type; before 6.10 it may be another,
          then as many as the totals say
order     the place of each block in its list. Those of order 10 are by address: memory is given to
          the buddy allocator in that order at boot and taken from the front (__free_pages_core:
          FPI_TO_TAIL, __rmqueue_smallest), and in every captured start state they are. Of smaller
          ones any place is as likely (where memory had been aged, neighbours had no order)
percpu    the pages on the per-CPU lists of one CPU, among the pages without a flag (`percpu`)
mapping   which 2 MiB entries of the direct map are split, unless debugfs says

A state draws from (seed, its number).
"""

from dataclasses import replace

import numpy as np

from secretjax.cases import CLASSES, ZONE_FIELDS, StartState
from secretjax.engine import generator
from secretjax.errors import UserError
from secretjax.machine import pages, percpu, types
from secretjax.machine.capture import base
from secretjax.machine.mapping import draw as draw_mapping
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import (
    MAX_PAGE_ORDER,
    NR_PAGE_ORDERS,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    Migratetype,
)

PARTS = ("types", "lists", "order", "percpu", "mapping")
# Pages of these classes, whatever the type of their pageblock, by `types.KINDS`.
KIND_CLASSES = (
    ("thp", "unevictable", "anon_lru", "file_lru", "user_nolru"),
    ("kernel_other", "pgtable", "compound_other"),
    ("slab",),
)


def start_state(
    seen: Capture,
    zone: ZoneSeen,
    seed: int,
    state: int = 0,
    known: StartState | None = None,
    parts: tuple[str, ...] = PARTS,
) -> StartState:
    """A start state that shows what `zone` shows; its pfns are relative (`capture.base`).

    known, parts: parts that are not named are as in this start state, whose pfns must be relative
    too: to see what the drawing of one part costs.
    Raises `UserError` when the zone was captured without root.
    """
    check(zone)
    rng = generator(seed, state)
    less = base(zone.fields["start_pfn"])
    start, end = zone.fields["start_pfn"] - less, zone.fields["end_pfn"] - less
    pfn, order = pages.free_blocks(zone.in_class("free_buddy"), start)
    if "types" in parts or known is None:
        pfn, order = divided(rng, pfn, order, zone)
        block_mt = draw_types(rng, seen, zone, pfn, order)
    else:
        block_mt = known.block_mt
    list_mt = block_mt[(pfn >> PAGEBLOCK_ORDER) - (start >> PAGEBLOCK_ORDER)]
    drawn = _start_state(seen, zone, start, end, block_mt)
    if "lists" in parts or known is None:
        list_mt = moved_lists(rng, order, list_mt, zone.type_free, drawn.settings["fallback"])
    elif "types" not in parts or drawn.settings["fallback"] == "K511":
        list_mt = as_known(known, pfn)
    place = rng.permutation(len(pfn))
    place = place[np.argsort(np.where(order == MAX_PAGE_ORDER, pfn, 0)[place], kind="stable")]
    if "order" not in parts and known is not None:
        place = np.argsort(place_in(known, pfn), kind="stable")
    by_list = place[np.lexsort((list_mt[place], order[place]))]
    drawn = replace(
        drawn, list_pfn=pfn[by_list], list_order=order[by_list], list_mt=list_mt[by_list],
        list_kind=np.zeros(len(pfn), np.int64),
    )  # fmt: skip
    drawn = percpu.added(rng, seen, zone, drawn, None if "percpu" in parts else known)
    level = known.dm_level if known is not None and "mapping" not in parts else None
    if level is None:
        level = draw_mapping(rng, seen, zone, start, drawn.block_mt)
    return replace(drawn, dm_level=level)


def check(zone: ZoneSeen) -> None:
    """`UserError` unless the zone was captured with root."""
    if zone.page_class is None or zone.type_blocks is None or zone.type_free is None:
        raise UserError(
            f"{zone.title}: without /proc/kpageflags and /proc/pagetypeinfo no start state can be "
            "drawn; capture as root"
        )


def _start_state(seen, zone, start, end, block_mt) -> StartState:
    """A start state with everything that is shown, and nothing on its lists yet."""
    first, regions = start >> PAGEBLOCK_ORDER, -(-end // PAGEBLOCK_PAGES)
    classes = np.full(end, CLASSES.index("outside_zone"), np.uint8)
    classes[start:] = zone.page_class
    blocks = np.arange(first, regions)
    none = np.zeros(0, np.int64)
    fields = {key: zone.fields[key] for key in ZONE_FIELDS} | {"start_pfn": start, "end_pfn": end}
    return StartState(
        name=zone.name,
        zone=fields,
        list_pfn=none, list_order=none, list_mt=none, list_kind=none,
        block_pfn=np.maximum(blocks * PAGEBLOCK_PAGES, start), block_mt=block_mt,
        page_class=classes, page_classes=CLASSES,
        dm_pfn=PAGEBLOCK_PAGES * np.arange(regions), dm_level=np.full(regions, 2),
        dm_nonpresent=np.zeros(regions, np.int64),
        settings=seen.settings | {"total_pages": fields["managed"]},
    )  # fmt: skip


def divided(rng, pfn, order, zone: ZoneSeen) -> tuple[np.ndarray, np.ndarray]:
    """Free blocks, some of order 10 as two of order 9, where the totals say so.

    Blocks of order 9 do not merge if one is of type HIGHATOMIC, CMA or ISOLATE and the other is
    not (mm/page_alloc.c: __free_one_page), so classes of pages alone can show one block too many.
    """
    large = np.flatnonzero(order == MAX_PAGE_ORDER)
    assert zone.type_blocks is not None and zone.type_free is not None
    apart = zone.type_blocks[Migratetype.HIGHATOMIC :].sum()
    surplus = min(len(large) - int(zone.type_free[:, MAX_PAGE_ORDER].sum()), int(apart))
    if surplus <= 0:
        return pfn, order
    cut = rng.choice(large, surplus, replace=False)
    order = order.copy()
    order[cut] = PAGEBLOCK_ORDER
    pfn = np.concatenate([pfn, pfn[cut] + PAGEBLOCK_PAGES])
    return pfn, np.concatenate([order, np.full(surplus, PAGEBLOCK_ORDER)])


def draw_types(rng, seen: Capture, zone: ZoneSeen, pfn, order) -> np.ndarray:
    """The type of each pageblock of the zone. Those that the kernel does not count: MOVABLE.

    pfn, order: the free blocks; pfns are relative.
    """
    first = (zone.fields["start_pfn"] - base(zone.fields["start_pfn"])) >> PAGEBLOCK_ORDER
    counts = np.stack([zone.per_region(*kind) for kind in KIND_CLASSES], 1)
    counts[percpu.huge(seen, zone)] = PAGEBLOCK_PAGES, 0, 0  # as if in use, see KIND_CLASSES
    free = np.zeros((zone.regions, NR_PAGE_ORDERS), np.int64)
    np.add.at(free, ((pfn >> PAGEBLOCK_ORDER) - first, order), 1)
    assert zone.type_blocks is not None and zone.type_free is not None
    there = zone.counted()
    found = np.full(zone.regions, int(Migratetype.MOVABLE))
    found[there] = types.draw(rng, counts[there], free[there], zone.type_blocks, zone.type_free)
    return found


def moved_lists(rng, order, list_mt, type_free, fallback: str) -> np.ndarray:
    """List types; before 6.10 some blocks are moved to other lists until the totals hold.

    A block was put on the list of the type that its pages had when they went to a per-CPU list.
    """
    if fallback != "K511":
        return list_mt
    list_mt = list_mt.copy()
    for o in range(PAGEBLOCK_ORDER):
        here = rng.permutation(np.flatnonzero(order == o))
        surplus = np.bincount(list_mt[here], minlength=types.TYPES) - type_free[:, o]
        for kind in np.flatnonzero(surplus > 0):
            short = np.repeat(np.arange(types.TYPES), np.maximum(-surplus, 0))
            moves = here[list_mt[here] == kind][: min(surplus[kind], len(short))]
            list_mt[moves] = short[: len(moves)]
            surplus += np.bincount(short[: len(moves)], minlength=types.TYPES)
    return list_mt


def as_known(known: StartState, pfn: np.ndarray) -> np.ndarray:
    """List types of these free blocks in a known start state."""
    return known.list_mt[known.list_kind == 0][place_in(known, pfn)]


def place_in(known: StartState, pfn: np.ndarray) -> np.ndarray:
    """Place of these free blocks among the lists of a known start state."""
    buddy = known.list_kind == 0
    by_pfn = np.argsort(known.list_pfn[buddy])
    return by_pfn[np.searchsorted(known.list_pfn[buddy][by_pfn], pfn)]
