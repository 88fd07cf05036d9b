"""What metrics are read from: sums over the pages and pageblocks of one zone."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32

from secretjax.ledger import Table
from secretjax.mm.layout import ORDER_SHIFT, SPLIT, TAKEN, TYPE, WHERE_SHIFT, Use, Where, giants
from secretjax.mm.state import Tick, Word, Zone
from secretjax.mm.words import (
    NR_PAGE_ORDERS,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    Event,
    Migratetype,
    Secret,
)

MEMORY_BLOCK = 64  # pageblocks; arch/x86/mm/init_64.c: MIN_MEMORY_BLOCK_SIZE, one section


class Reading(NamedTuple):
    """One zone in numbers. Pool counts and user events are the proposal's own."""

    free_blocks: Int32[Array, "6 11"]  # on the buddy lists, by migratetype and order
    pageblocks: Int32[Array, " 6"]  # by migratetype
    secret_pages: Word  # held by users
    secret_blocks: Word  # pageblocks that hold at least one
    polluted_blocks: (
        Word  # MOVABLE or CMA pageblocks, not taken whole, with a page in use that stays
    )
    unmovable_blocks: Word  # pageblocks of any type with such a page
    polluted_pages: Int32[Array, " 2"]  # such pages: in MOVABLE, in CMA pageblocks not taken whole
    secret_misplaced: Word  # of them held by users of secret memory
    offline: Int32[Array, " 2"]  # memory blocks (128 MiB) whose offlining is refused, never ends
    offline_pool: Int32[Array, " 2"]  # those that pools' pages alone keep; their pageblocks there
    huge_pages: Int32[Array, " 2"]  # of hugetlb, in use; memory blocks that hold one
    used_pages: Word
    pcp_pages: Word  # on per-CPU lists
    movable_pages: Word  # of them movable
    pool_pages: Word  # held by pools, with or without user
    pool_idle: Word  # of them without user
    entries: Int32[Array, " 3"]  # of the direct map: 4 KiB, 2 MiB, 1 GiB
    nonpresent: Word  # pages absent from the direct map
    huge_easy: Word  # huge pages that others got before the first one had to compact
    promised: Word  # pages that a pool owes and nobody has touched
    files_up: Word  # files open, until one is refused
    users: Table  # counts of each
    events: Int32[Array, " events"]  # by words.Event


def events_of(
    ticks: Int32[Array, " ticks"], own: dict, secret: Word | int = 0
) -> Int32[Array, " events"]:
    """The counters of the zone under the kernel's names, with those of the proposal (`own`).

    secret: `Limits.secret`. The source of a secret page's move goes back into the direct map, is
    zeroed and freed (mm/secretmem.c: secretmem_free_folio); through the direct map it is there.
    """
    t = {tick: ticks[tick] for tick in Tick}
    splits = t[Tick.UNMAPPED_SPLIT]
    calls = t[Tick.UNMAPPED] + splits + t[Tick.UNMAPPED_BLOCK]
    copied = t[Tick.MIGRATED_SECRET]
    mapped = jnp.where((secret & Secret.DIRECT_MAP) != 0, copied, 0)
    own = own | {
        Event.ZEROED: own.get(Event.ZEROED, 0) + copied,
        Event.WINDOW: own.get(Event.WINDOW, 0) + copied - mapped,
    }
    e = {
        Event.ALLOCATED: t[Tick.OWN] + t[Tick.STOLEN] + t[Tick.CLAIMED_WHOLE],
        Event.FREED: t[Tick.FREED],
        Event.CLAIMED: t[Tick.CLAIMED_WHOLE] + t[Tick.CLAIMED_PART],
        Event.STOLEN: t[Tick.STOLEN],
        Event.SPLIT_1G: t[Tick.SPLIT_1G],
        Event.SPLIT_2M: splits,
        Event.UNMAP_CALL: calls,
        Event.BLOCK_UNMAPPED: t[Tick.UNMAPPED_BLOCK],
        Event.MAP_CALL: t[Tick.MAPPED] + t[Tick.MAPPED_BLOCK] + copied - mapped,
        Event.BLOCK_MAPPED: t[Tick.MAPPED_BLOCK],
        Event.COLLAPSED_2M: t[Tick.COLLAPSED],
        Event.FLUSH: calls + splits + t[Tick.SPLIT_1G] + t[Tick.COLLAPSED],
        Event.MIGRATED: t[Tick.MIGRATED] + copied,
        Event.MIGRATE_FAILED: t[Tick.MIGRATE_FAILED],
        Event.SECRET_COPIED: copied,
        Event.COPIED_MAPPED: mapped,
        Event.TAKEN: t[Tick.TAKEN],
        Event.TAKE_FAILED: t[Tick.TAKE_FAILED],
        Event.COMPACT_STALL: t[Tick.STALLED],
        Event.KSWAPD_RUN: t[Tick.KSWAPD],
        Event.KCOMPACTD_RUN: t[Tick.KCOMPACTD],
    } | own
    return jnp.stack([e.get(event, jnp.zeros_like(splits)) for event in Event])


class Stays(NamedTuple):
    """What keeps pages where they are; by the first rows of blocks in use, or by lists."""

    pool: Bool[Array, " n"]  # a pool's: on no LRU list, whole pageblocks
    kernel: Bool[Array, " n"]  # on no LRU list, and no pool's
    listed: Bool[Array, " n"]  # on an LRU list, but pinned or secret and not to be migrated


def staying(zone: Zone, word, in_use) -> Stays:
    """Why rows stay. word: their first words; in_use: whether somebody holds the block."""
    on_list = (word & Use.LRU) != 0
    moves = (zone.limits.secret & Secret.MOVES) != 0
    fixed = ((word & Use.FIXED) != 0) | (((word & Use.SECRET) != 0) & ~moves)
    off_list = in_use & ~on_list
    mine = (word & (Use.POOL | Use.SECRET)) != 0
    idle = word >> WHERE_SHIFT == Where.POOL
    return Stays((off_list & mine) | idle, off_list & ~mine, in_use & on_list & fixed)


def offlining(stays: Stays, cma) -> tuple[Int32[Array, " 2"], Int32[Array, " 2"]]:
    """Memory blocks that cannot be offlined: refused at once, and those whose attempt never ends.

    stays, cma: of pageblocks, what they hold and whether they are CMA's.

    Refused (mm/page_isolation.c: has_unmovable_pages()) are CMA pageblocks and pages in use that
    are on no LRU list; what is on one but cannot be migrated, as pinned and secret pages,
    mm/memory_hotplug.c: offline_pages() tries again until a signal comes. Then those that nothing
    but pools' pages keep, and how many pageblocks of pools they hold: what moves of a whole
    pageblock would free (David Hildenbrand, February 2021: migration of PMDs is cleaner still).
    """
    pool, others = of_memory(stays.pool), of_memory(stays.kernel | cma)
    refused, endless = pool | others, of_memory(stays.listed)
    alone = pool & ~others & ~endless
    moves = jnp.where(alone, of_memory(stays.pool, jnp.sum), 0)
    return (
        jnp.stack([refused, endless & ~refused]).sum(1, dtype=jnp.int32),
        jnp.stack([alone.astype(jnp.int32), moves.astype(jnp.int32)]).sum(1, dtype=jnp.int32),
    )


def of_memory(blocks, summed=jnp.any):
    """Whether a memory block has such a pageblock, or how many."""
    return summed(jnp.pad(blocks, (0, -len(blocks) % MEMORY_BLOCK)).reshape(-1, MEMORY_BLOCK), 1)


def is_huge(word, in_use) -> Bool[Array, " pages"]:
    """Huge pages of hugetlb, on no LRU list and no pool's."""
    mine = Use.LRU | Use.POOL | Use.SECRET
    return in_use & ((word & mine) == 0) & ((word >> ORDER_SHIFT) & 15 == PAGEBLOCK_ORDER)


def in_blocks(*rows) -> tuple[Int32[Array, " blocks"], ...]:
    """The sums of all these over each pageblock, in one pass: so XLA:CPU takes a fiftieth.

    rows: numbers or flags of the pages.
    """
    rows = tuple(x.reshape(-1, PAGEBLOCK_PAGES).astype(jnp.int32) for x in rows)
    zeros = (jnp.int32(0),) * len(rows)
    add = lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True))  # noqa: E731
    return tuple(lax.reduce(rows, zeros, add, (1,)))


def read(zone: Zone, pages: int, own: dict, *, easy: Word, held: Word, program: dict) -> Reading:
    """Sums over a zone whose last writes are in its arrays (run idle steps first).

    program: the fields of `Reading` that the program knows.
    """
    word = zone.link[: 2 * pages : 2]
    kind, order = word >> WHERE_SHIFT, (word >> ORDER_SHIFT) & 15
    blocks = pages >> PAGEBLOCK_ORDER
    block = zone.block[:blocks]
    label = block & TYPE
    in_use = (kind == Where.NONE) & ((word & Use.USED) != 0)
    size = jnp.where(in_use, 1 << order, 0)
    why = staying(zone, word, in_use)
    stays = why.pool | why.kernel | why.listed
    held_by_users = jnp.where((word & Use.SECRET) != 0, size, 0)
    gone = jnp.where((word & Use.UNMAPPED) != 0, size, 0)
    gone = jnp.where(kind == Where.POOL, 1 << order, gone)
    free = ((kind == Where.BUDDY) & (order == k) for k in range(NR_PAGE_ORDERS))
    rows = (size, jnp.where(stays, size, 0), held_by_users, gone, is_huge(word, in_use))
    used, stuck, secret, gone, huge, *found = in_blocks(*rows, *why, *free)
    stay, free = Stays(*(x > 0 for x in found[:3])), found[3:]
    free = jnp.stack(free)
    of_type = lambda t: jnp.where(label == t, free, 0).sum(1, dtype=jnp.int32)  # noqa: E731
    split = ((block & SPLIT) != 0).sum(dtype=jnp.int32)
    giant = zone.block[blocks : blocks + giants(blocks)].sum(dtype=jnp.int32)
    giant_blocks = jnp.minimum(giant * 512, blocks)
    apart = (block & TAKEN) != 0
    lent = [(label == t) & ~apart for t in (Migratetype.MOVABLE, Migratetype.CMA)]
    count = lambda x: x.sum(dtype=jnp.int32)  # noqa: E731
    offline, offline_pool = offlining(stay, label == Migratetype.CMA)
    return Reading(
        free_blocks=jnp.stack([of_type(t) for t in range(Migratetype.POOL)]),
        pageblocks=jnp.stack([count(label == t) for t in range(Migratetype.POOL)]),
        secret_pages=held,
        secret_blocks=count(secret > 0),
        polluted_blocks=count((stuck > 0) & (lent[0] | lent[1])),
        unmovable_blocks=count(stuck > 0),
        polluted_pages=jnp.stack([count(jnp.where(these, stuck, 0)) for these in lent]),
        secret_misplaced=count(jnp.where(lent[0] | lent[1], secret, 0)),
        offline=offline,
        offline_pool=offline_pool,
        # A memory block is 128 MiB, of which the vmemmap takes 2 MiB: one entry
        # (arch/x86/mm/init_64.c: vmemmap_populate()).
        huge_pages=jnp.stack([count(huge), count(of_memory(huge > 0))]),
        used_pages=count(used),
        pcp_pages=zone.now.pcp_count,
        movable_pages=count(used - stuck),
        entries=jnp.stack([split * PAGEBLOCK_PAGES, blocks - split - giant_blocks, giant]),
        nonpresent=count(gone),
        huge_easy=easy,
        events=events_of(zone.ticks, own, zone.limits.secret),
        **program,
    )
