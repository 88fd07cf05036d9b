"""The searches of the free lists that spare compaction's scanners most of memory.

`find` looks for a pageblock to empty: one near the beginning with a large free block in it.
`search` looks for a free block to fill: one near the end.

Source: mm/compaction.c (fast_find_migrateblock, reinit_migrate_pfn, update_fast_start_pfn,
fast_isolate_freepages, next_search_order, freelist_scan_limit) of Linux 6.12.117.

Left out: the rest of a found pageblock is not isolated with it (fast_isolate_around).
"""

import jax.numpy as jnp

from secretjax.mm.choose import highest, lists_of
from secretjax.mm.layout import NODE, SKIP, TYPE, head
from secretjax.mm.lists import account
from secretjax.mm.percpu import has
from secretjax.mm.plan import Plan, counted
from secretjax.mm.state import Bit, Limits, Phase, Registers, Run, Size, Word
from secretjax.mm.words import CLUSTER, COSTLY_ORDER, PAGEBLOCK_PAGES, Migratetype

NONE, USED_UP = -1, -2  # of `Registers.fast_start`


def scan_limit(now: Registers) -> Word:
    """freelist_scan_limit()"""
    return (CLUSTER >> jnp.minimum(now.fails, 31)) + 1


def lists_below(now: Registers, order: Word) -> Word:
    """Highest order below `order` whose MOVABLE list is not empty, -1 none."""
    return highest(lists_of(now, Migratetype.MOVABLE) & ((1 << jnp.maximum(order, 0)) - 1))


def begin_find(plan: Plan, when, now: Registers, limits: Limits, finish, pages: Size) -> None:
    """fast_find_migrateblock(): where it looks at all."""
    direct = (now.run == Run.ASYNC) | (now.run == Run.SYNC_LIGHT)
    at_start = now.source == limits.first
    aligned = at_start | ((now.source & (PAGEBLOCK_PAGES - 1)) == 0)
    like = ~direct | (now.run_type == Migratetype.MOVABLE)
    go = when & ~finish & aligned & (now.run_order > COSTLY_ORDER) & like
    distance = (now.sink - now.source) >> jnp.where(at_start, 1, 3)
    order = lists_below(now, now.run_order)
    plan.set(go, goal=(now.source + distance) & -PAGEBLOCK_PAGES, scanned=0, scan_order=order)
    plan.set(go, node=head(pages, int(Migratetype.MOVABLE), jnp.maximum(order, 0)))
    plan.set(go, phase=int(Phase.FIND), limit_left=scan_limit(now))


def find(plan: Plan, view, now: Registers, pages: Size) -> None:
    """The next block of the list: is its pageblock one to empty?"""
    here = view.kind == Phase.FIND
    page = view.near0 & NODE
    end = page >= pages
    low = now.scan_order < COSTLY_ORDER
    tired = ~low & ~end & (now.scanned >= now.limit_left)
    over = low | (now.scanned >= now.limit_left)
    good = (page < now.goal) & ((view.block & SKIP) == 0)
    found = here & ~over & ~end & good
    plan.set(here & ~over & ~end & ~good, node=page, scanned=now.scanned + 1)
    order = lists_below(now, now.scan_order)
    turns = here & ~over & end
    plan.set(turns, scan_order=order)
    plan.set(turns, node=head(pages, int(Migratetype.MOVABLE), jnp.maximum(order, 0)))

    begin = page & -PAGEBLOCK_PAGES
    plan.raise_flag(found & (begin != now.source), Bit.FOUND)
    lowest = jnp.where(now.fast_start == NONE, page, jnp.minimum(now.fast_start, page))
    plan.set(found & (now.fast_start != USED_UP), fast_start=lowest)
    plan.set(found, fails=0, spot=begin, source=begin, phase=int(Phase.SOURCE))

    lost = here & over
    again = lost & (now.fast_start >= 0)
    plan.set(lost, fails=now.fails + 1, phase=int(Phase.SOURCE), spot=now.source)
    plan.set(again, spot=now.fast_start, source=now.fast_start, fast_start=USED_UP)
    begin_turn(plan, found | (lost & tired), now, page, int(Phase.SOURCE), pages)


def begin_turn(plan: Plan, when, now: Registers, page, follows, pages: Size) -> None:
    """The list is to be turned to `page`; `follows`: the phase after it."""
    at = movable_head(jnp.maximum(now.scan_order, 0), pages)
    plan.set(when, page=at, cursor=page, back=follows, phase=int(Phase.TURN))


def turn(plan: Plan, view, now: Registers) -> None:
    """The head of the list moves: behind the page (after `find`), before it (after `search`)."""
    here = view.kind == Phase.TURN
    mark = view.near0 & ~NODE
    first, last = view.near0 & NODE, view.near1
    plan.cell(0, here, last, 0, mark | first)
    plan.cell(1, here, first, 1, last)
    plan.set(here, phase=int(Phase.LINK))

    here = view.kind == Phase.LINK
    behind = now.back == Phase.SOURCE
    before = jnp.where(behind, now.cursor, view.near1)
    after = jnp.where(behind, view.near0 & NODE, now.cursor)
    plan.cell(0, here, before, 0, mark | now.page)
    plan.cell(1, here, after, 1, now.page)
    plan.cell(2, here, now.page, 0, mark | after)
    plan.cell(3, here, now.page, 1, before)
    plan.set(here, phase=now.back)


def search(plan: Plan, view, now: Registers, limits: Limits, pages: Size) -> None:
    """fast_isolate_freepages(): the next block of the list, from its tail."""
    here = view.kind == Phase.SEARCH
    begins = here & (now.node < 0)
    at_start = now.sink >= now.init_free
    order = jnp.minimum(now.run_order - 1, now.search_order)
    allowed = jnp.where(at_start, PAGEBLOCK_PAGES >> 1, jnp.maximum(scan_limit(now) >> 1, 1))
    plan.set(begins, limit_left=allowed, scanned=0, scan_order=order, search_order=order)
    plan.set(begins, high_pfn=-1, highest=0, node=movable_head(order, pages))

    quarter = (now.sink - now.source) >> 2
    low = (now.sink - quarter) & -PAGEBLOCK_PAGES
    least = (now.sink - 2 * quarter) & -PAGEBLOCK_PAGES
    goes = here & ~begins
    page = view.near1
    end = page >= pages
    reached = goes & ~end
    begin = page & -PAGEBLOCK_PAGES
    plan.set(reached & (page >= now.highest), highest=jnp.maximum(begin, limits.first))
    hit = reached & (page >= low)
    plan.set(hit, fails=0, search_order=now.scan_order, cursor=page, phase=int(Phase.SNATCH))
    fair = reached & ~hit & (page >= least) & (page > now.high_pfn)
    left = jnp.where(fair, now.limit_left >> 1, now.limit_left)
    plan.set(fair, high_pfn=page)
    scanned = now.scanned + reached
    plan.set(goes, limit_left=left, scanned=scanned, node=page)
    tired = scanned >= left
    closes = goes & ~hit & (end | tired)
    best = jnp.where(fair, page, now.high_pfn)
    plan.set(closes & (best >= 0), cursor=best, phase=int(Phase.SNATCH))
    on = closes & (best < 0)
    down = jnp.where(now.scan_order > 0, now.scan_order, now.run_order) - 1
    wrapped = down == now.search_order
    plan.set(on & tired, limit_left=jnp.maximum(left >> 1, 1))
    plan.set(on, scan_order=down, scanned=0, node=movable_head(down, pages))
    lost = on & wrapped
    shorter = jnp.where(now.search_order > 0, now.search_order, now.run_order) - 1
    plan.set(lost, fails=now.fails + 1, search_order=shorter, phase=int(Phase.SINK))
    direct = (now.run == Run.ASYNC) | (now.run == Run.SYNC_LIGHT)
    jump = jnp.where(now.highest >= least, now.highest, jnp.where(direct, least, now.sink))
    plan.set(lost & at_start, sink=jump)
    cached = (now.highest > 0) & (now.highest >= now.cached_free)
    plan.set((hit | closes) & cached, cached_free=now.highest - PAGEBLOCK_PAGES)
    # a block at the tail that is taken leaves the list as it would be after the turn
    at_tail = now.node == movable_head(jnp.maximum(now.scan_order, 0), pages)
    taken = hit | (closes & (best >= 0))
    where = jnp.where(hit, page, best)
    turns = (taken & ~(at_tail & (where == page))) | (on & tired & ~end)
    follows = jnp.where(lost, int(Phase.SINK), int(Phase.SEARCH))
    follows = jnp.where(taken, int(Phase.SNATCH), follows)
    begin_turn(plan, turns, now, jnp.where(taken, where, page), follows, pages)


def movable_head(order: Word, pages: Size) -> Word:
    """Head of the MOVABLE list of an order."""
    return head(pages, int(Migratetype.MOVABLE), order)


def snatch(plan: Plan, view, now: Registers, limits: Limits):
    """__isolate_free_page() of the block found. Returns where it leaves its list."""
    here = view.kind == Phase.SNATCH
    order = now.scan_order
    enough = now.free - now.free_atomic > limits.min + (1 << order)  # with ALLOC_CMA
    got = here & enough
    plan.set(here & ~enough, phase=int(Phase.SINK))
    plan.set(got, page=now.cursor, order=order, type=int(Migratetype.TARGET))
    plan.set(got, phase=int(Phase.HOOK))
    plan.raise_flag(got, Bit.SNATCHED)
    label = view.block & TYPE
    plan.write(got, "block", view.block_at, counted(view.block, -(1 << order), 0))
    account(plan, got, label, -(1 << order))
    return got


def was_found(now: Registers):
    """fast_find_block: the skip bit of this pageblock does not matter."""
    return has(now, Bit.FOUND)
