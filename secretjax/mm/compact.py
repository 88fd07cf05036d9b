"""compact_zone(): movable pages go from the lower pageblocks into the holes of the upper ones.

Two scanners: `source` goes up and collects up to 32 pages that can be moved, `sink` goes down and
collects free blocks for them; the run ends when they meet or when what was wanted is there.

Source: mm/compaction.c (compact_zone, __compact_finished, isolate_migratepages,
isolate_migratepages_block, isolate_freepages, isolate_freepages_block, compaction_alloc,
release_free_list, update_cached_migrate, update_pageblock_skip), mm/secretmem.c
(secretmem_migrate_folio) of Linux 6.12.117.
"""

import jax.numpy as jnp

from secretjax.mm.background import (
    MAX_DEFER_SHIFT,
    free_on_own_list,
    half_second,
    score,
    take_turn,
)
from secretjax.mm.choose import lists_of
from secretjax.mm.layout import (
    COUNT,
    FREE_SHIFT,
    LRU_SHIFT,
    NODE,
    ORDER_SHIFT,
    SKIP,
    SPLIT,
    TYPE,
    WHERE_SHIFT,
    Use,
    Where,
)
from secretjax.mm.lists import account
from secretjax.mm.percpu import drain_all, has
from secretjax.mm.plan import Plan, counted
from secretjax.mm.search import begin_find, was_found
from secretjax.mm.state import (
    Bit,
    Limits,
    Op,
    Phase,
    Registers,
    Run,
    Size,
    Sub,
    Tick,
    Try,
)
from secretjax.mm.words import (
    CLUSTER,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    Fallback,
    Migratetype,
    Secret,
)

COST_FAILED = 20  # time for a page that could not be migrated, in hundredths of a page fault
SUCCESS, PARTIAL, COMPLETE, CONTENDED = range(1, 5)


def blocks_end(pfn):
    """pageblock_end_pfn()"""
    return (pfn | (PAGEBLOCK_PAGES - 1)) + 1


def ignores_skips(now: Registers):
    """cc->ignore_skip_hint"""
    return (now.run == Run.PROACTIVE) | (now.run == Run.MANUAL)


def boundary(plan: Plan, view, now: Registers, limits: Limits, pages: Size) -> None:
    """Between two batches: is the run over, does the CPU change hands, which block is next."""
    here = view.kind == Phase.BOUNDARY
    met = (now.sink >> PAGEBLOCK_ORDER) <= (now.source >> PAGEBLOCK_ORDER)
    proactive = now.run == Run.PROACTIVE
    disturbed = proactive & (now.kswapd >= 0)
    enough = proactive & (score(now) <= limits.score_low)
    aligned = (now.source & (PAGEBLOCK_PAGES - 1)) == 0
    served = (now.run_order > 0) & aligned & free_on_own_list(now, now.run_order, now.run_type)
    result = jnp.where(served | enough, SUCCESS, 0)
    result = jnp.where(disturbed, PARTIAL, result)
    result = jnp.where(met, jnp.where(has(now, Bit.WHOLE), COMPLETE, PARTIAL), result)
    over = here & (result > 0)
    plan.set(over, result=result, phase=int(Phase.RELEASE))
    top = (limits.end - 1) & -PAGEBLOCK_PAGES
    plan.set(over & met, cached_async=limits.first, cached_sync=limits.first)
    plan.set(over & met, cached_free=top)
    task = (now.run == Run.ASYNC) | (now.run == Run.SYNC_LIGHT)
    plan.raise_flag(over & met & task, Bit.FLUSH_SKIPS)
    thread = proactive | (now.run == Run.ORDERED)
    yields = here & ~over & thread & (now.slice <= 0)
    plan.set(yields, busy=0, phase=int(Phase.FETCH))
    take_turn(plan, yields, now)
    on = here & ~over & ~yields
    # in the first pageblock too, as last_migrated_pfn is 0 while there is none
    same = (jnp.maximum(now.last, 0) >> PAGEBLOCK_ORDER) == (now.source >> PAGEBLOCK_ORDER)
    plan.clear_flags(on, Bit.FINISH | Bit.ERROR | Bit.FOUND | Bit.ISOLATED)
    plan.raise_flag(on & same, Bit.FINISH)
    plan.set(on, phase=int(Phase.SOURCE), spot=now.source, batch=0)
    begin_find(plan, on, now, limits, same, pages)


def source(plan: Plan, view, now: Registers) -> None:
    """isolate_migratepages(): the next pageblock whose pages may be moved away."""
    here = view.kind == Phase.SOURCE
    end = blocks_end(now.spot)
    over = here & (end > now.sink)
    row = view.near0
    huge = ((row >> WHERE_SHIFT) == Where.NONE) & ((row >> ORDER_SHIFT) >= PAGEBLOCK_ORDER)
    aligned = (now.spot & (PAGEBLOCK_PAGES - 1)) == 0
    checks = aligned & ~ignores_skips(now) & ~has(now, Bit.FINISH) & ~was_found(now)
    skips = checks & ((view.block & SKIP) != 0)
    label = view.block & TYPE
    movable = (label == Migratetype.MOVABLE) | (label == Migratetype.CMA)
    like = jnp.where(now.run_type == Migratetype.MOVABLE, movable, label == now.run_type)
    foreign = (now.run == Run.ASYNC) & ~like
    passed = here & ~over & (skips | huge | foreign)
    plan.set(passed, spot=end, source=end)
    plan.clear_flags(passed, Bit.FOUND)
    cache(plan, passed & ~skips, now, end)
    plan.set(over, source=now.spot, phase=int(Phase.MOVE), spot=now.spot)
    plan.set(here & ~over & ~passed, phase=int(Phase.COLLECT), cursor=now.spot)


def cache(plan: Plan, when, now: Registers, pfn) -> None:
    """update_cached_migrate(): the end of the pageblock of `pfn`, itself the end of a pageblock."""
    end = blocks_end(pfn)
    plan.set(when, cached_async=jnp.maximum(now.cached_async, end))
    sync = when & (now.run != Run.ASYNC)
    plan.set(sync, cached_sync=jnp.maximum(now.cached_sync, end))


def movable_page(view, limits: Limits):
    """Whether the page in view can be isolated from its LRU list."""
    row = view.near0
    in_use = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    order = (row >> ORDER_SHIFT) & 15
    secret = (row & Use.SECRET) != 0
    evictable = ~secret | ((limits.unevictable == 1) & ((limits.secret & Secret.INACCESSIBLE) == 0))
    listed = ((row & Use.LRU) != 0) & ((row & Use.FIXED) == 0)
    return in_use & listed & evictable & (order < PAGEBLOCK_ORDER), order


def collect(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """isolate_migratepages_block(): up to 32 pages, from `spot` to `cursor`."""
    here = view.kind == Phase.COLLECT
    end = blocks_end(now.spot)
    over = here & (now.cursor >= end)
    movable, order = movable_page(view, limits)
    row = view.near0
    where = row >> WHERE_SHIFT
    in_use = (where == Where.NONE) & ((row & Use.USED) != 0)
    size = jnp.where((where == Where.BUDDY) | in_use, 1 << order, 1)
    got = here & ~over & movable
    stuck = here & ~over & ~movable & (where != Where.BUDDY)
    drops = stuck & (now.run == Run.ASYNC)
    plan.set(here & ~over, cursor=now.cursor + size)
    plan.set(drops, cursor=end, batch=0)
    plan.add(got, batch=size)
    finish = has(now, Bit.FINISH)
    full = got & (now.batch + size >= CLUSTER) & ~finish
    ends = over | full
    stop = jnp.where(over, end, now.cursor + size)
    plan.set(ends, source=stop, spot=stop - 1, phase=int(Phase.MOVE))
    some = full | (over & (now.batch > 0))
    plan.set(some, last=(stop - 1) & -PAGEBLOCK_PAGES)
    plan.raise_flag(some, Bit.ISOLATED)
    # the skip bit: with the first page of a block that is scanned from its start, or if none came
    begins = got & (now.batch == 0) & ((now.spot & (PAGEBLOCK_PAGES - 1)) == 0)
    nothing = over & (now.batch == 0)
    marks = (begins & ~ignores_skips(now)) | nothing
    plan.write(marks, "block", view.block_at, view.block | SKIP)
    cache(plan, nothing | (over & finish), now, end)


def move(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """migrate_pages(): each page of the batch gets a target, the last page first.

    Then all that they have left is given back, and it is on to the next batch.
    """
    here = view.kind == Phase.MOVE
    moved = here & (now.batch <= 0)
    plan.set(moved & (now.moved > 0), phase=int(Phase.EMPTIED), spot=now.source - 1)
    over = moved & (now.moved <= 0)
    movable, order = movable_page(view, limits)
    row = view.near0
    secret = (row & Use.SECRET) != 0
    stays = here & ~moved & movable & secret & (limits.secret == 0)
    goes = here & ~moved & movable & ~stays
    size = 1 << order
    plan.add(here & ~moved & ~goes, spot=-1)
    plan.add(stays, batch=-size, slice=-COST_FAILED)
    plan.raise_flag(stays, Bit.ERROR)
    plan.tick(stays, int(Tick.MIGRATE_FAILED))
    plan.set(goes, sub=int(Sub.TARGET), sub_order=order, sub_owner=view.near1)
    plan.set(goes, sub_use=row & NODE & ~Use.UNMAPPED, phase=int(Phase.FETCH))
    plan.clear_flags(goes, Bit.TRIED)

    aligned = (now.source & (PAGEBLOCK_PAGES - 1)) == 0
    again = over & has(now, Bit.ERROR) & ~aligned & ~ignores_skips(now)
    again = again & ~has(now, Bit.FINISH) & (now.run != Run.MANUAL)
    plan.raise_flag(again, Bit.FINISH)
    plan.clear_flags(again, Bit.ERROR | Bit.ISOLATED)
    plan.set(again, phase=int(Phase.SOURCE), spot=now.source, batch=0)
    plan.set(again & (now.run_order == PAGEBLOCK_ORDER), last=-1)
    done = over & ~again
    # after a batch only: what a drain captures is seen when the next one is migrated
    caught = done & (now.capture >= 0) & has(now, Bit.ISOLATED)
    at = now.source & -(1 << jnp.maximum(now.run_order, 0))
    crossed = done & ~caught & (now.run_order > 0) & (now.last >= 0) & (now.last < at)
    plan.set(done, phase=int(Phase.BOUNDARY))
    plan.set(caught, result=SUCCESS, phase=int(Phase.RELEASE))
    plan.set(crossed, last=-1)
    drain_all(plan, crossed, now, int(Phase.BOUNDARY))


def empty(plan: Plan, view, now: Registers) -> None:
    """migrate_folio_done(): the pages left behind are given back, in the order of their moves."""
    marks = view.kind == Phase.MARK
    size = 1 << now.sub_order
    plan.cell(0, marks, view.p, 0, view.near0 | Use.MOVED)
    plan.add(marks, spot=-1, batch=-size, moved=size)
    plan.set(marks, phase=int(Phase.MOVE))

    here = view.kind == Phase.EMPTIED
    over = here & (now.moved <= 0)
    row = view.near0
    gives = here & ~over & ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.MOVED) != 0)
    plan.add(here & ~over & ~gives, spot=-1)
    plan.set(gives, sub=int(Sub.SOURCE), sub_order=(row >> ORDER_SHIFT) & 15)
    plan.set(gives, sub_use=row & NODE & ~Use.UNMAPPED, phase=int(Phase.FETCH))
    plan.set(over, phase=int(Phase.MOVE))
    short = over & (now.batch > 0)  # -ENOMEM
    met = (now.sink >> PAGEBLOCK_ORDER) <= (now.source >> PAGEBLOCK_ORDER)
    plan.set(short, phase=jnp.where(met, int(Phase.BOUNDARY), int(Phase.RELEASE)), result=CONTENDED)


def sink(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """isolate_freepages(): the next pageblock, downwards, whose holes may be filled."""
    here = view.kind == Phase.SINK
    begin = now.sink & -PAGEBLOCK_PAGES
    over = here & (begin < blocks_end(now.source))
    row = view.near0
    wanted = jnp.where(now.run_order > 0, now.run_order, PAGEBLOCK_ORDER)
    free = ((row >> WHERE_SHIFT) == Where.BUDDY) & (((row >> ORDER_SHIFT) & 15) >= wanted)
    label = view.block & TYPE
    movable = (label == Migratetype.MOVABLE) | (label == Migratetype.CMA)
    skips = ((view.block & SKIP) != 0) & ~ignores_skips(now)
    grouped = ((limits.secret & Secret.GROUPED) != 0) & ((now.sub_use & Use.SECRET) != 0)
    whole = grouped & ((view.block & SPLIT) == 0)
    passed = here & ~over & (free | ~movable | skips | whole)
    plan.set(passed, sink=begin - PAGEBLOCK_PAGES)
    plan.set(over, phase=int(Phase.FETCH))
    plan.set(here & ~over & ~passed, phase=int(Phase.ISOLATE), cursor=now.sink)


def isolate(plan: Plan, view, now: Registers, limits: Limits):
    """isolate_freepages_block(): free blocks become targets until there are enough."""
    here = view.kind == Phase.ISOLATE
    begin = now.sink & -PAGEBLOCK_PAGES
    end = begin + PAGEBLOCK_PAGES
    over = here & (now.cursor >= end)
    row = view.near0
    where, order = row >> WHERE_SHIFT, (row >> ORDER_SHIFT) & 15
    free = where == Where.BUDDY
    enough = now.free - now.free_atomic > limits.min + (1 << order)  # with ALLOC_CMA
    got = here & ~over & free & enough
    stops = here & ~over & free & ~enough
    used = (where == Where.NONE) & ((row & Use.USED) != 0)
    step = jnp.where(used & (order > 0), (1 << order) - 1, 0) + now.stride
    plan.set(here & ~over & ~free, cursor=now.cursor + step)
    plan.set(stops, sink=now.cursor, phase=int(Phase.FETCH))
    plan.set(got, page=now.cursor, order=order, type=int(Migratetype.TARGET))
    plan.set(got, phase=int(Phase.HOOK))
    label = view.block & TYPE
    plan.write(got, "block", view.block_at, counted(view.block, -(1 << order), 0))
    account(plan, got, label, -(1 << order))

    plan.write(over, "block", view.block_at, view.block | SKIP)
    below = begin - PAGEBLOCK_PAGES
    plan.set(over, cached_free=jnp.minimum(now.cached_free, below), sink=below)
    filled = now.have >= now.batch
    plan.set(over, phase=jnp.where(filled, int(Phase.FETCH), int(Phase.SINK)))
    wider = jnp.minimum(now.stride << 1, CLUSTER)
    plan.set(over, stride=jnp.where(now.have > 0, 1, wider))
    return got


def hook(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """The free block just isolated goes to the tail of its target list."""
    here = view.kind == Phase.HOOK
    size = 1 << now.order
    have = now.have + size
    cursor = now.page + size - 1 + now.stride
    end = blocks_end(now.page)
    filled = have >= now.batch
    at_end = cursor >= end
    plan.set(here, have=have, cursor=cursor, phase=int(Phase.ISOLATE))
    snatched = has(now, Bit.SNATCHED)
    plan.set(here & snatched, phase=int(Phase.FETCH))
    plan.clear_flags(here, Bit.SNATCHED)
    stops = here & filled & ~at_end & ~snatched
    plan.set(stops, sink=now.page + size, phase=int(Phase.FETCH))
    # __isolate_free_page(): half a pageblock; the rest of it goes to the tails of its lists (6.1
    # writes the label only, which is MOVABLE already; of K610 nothing is known here)
    half = here & (now.order >= PAGEBLOCK_ORDER - 1) & (limits.fallback == Fallback.K612y)
    half = half & ((view.block & TYPE) == Migratetype.MOVABLE)
    follows = jnp.where(snatched | stops, int(Phase.FETCH), int(Phase.ISOLATE))
    plan.set(half, start=cursor, cursor=now.page & -PAGEBLOCK_PAGES, type=int(Migratetype.MOVABLE))
    plan.set(half, phase=int(Phase.WALK), back=follows)


def reset(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """__reset_isolation_suitable(): pageblocks with something to move or to fill count again."""
    here = view.kind == Phase.RESET
    lru, free = (view.block >> LRU_SHIFT) & COUNT, (view.block >> FREE_SHIFT) & COUNT
    plan.write(here & ((lru > 0) | (free > 0)), "block", view.block_at, view.block & ~SKIP)
    first = here & (lru > 0) & (now.init_migrate < 0)
    plan.set(first, init_migrate=now.cursor, cached_async=now.cursor, cached_sync=now.cursor)
    cursor = now.cursor + PAGEBLOCK_PAGES
    over = here & (cursor >= limits.end)
    plan.set(here, cursor=cursor)
    top = (limits.end - 1) & -PAGEBLOCK_PAGES
    plan.set(over, phase=int(Phase.FETCH), cached_free=top, init_free=top)
    plan.clear_flags(over, Bit.FLUSH_SKIPS)


def release(plan: Plan, view, now: Registers) -> None:
    """release_free_list(): the targets left over are given back, smallest first."""
    here = view.kind == Phase.RELEASE
    left = lists_of(now, Migratetype.TARGET) != 0
    plan.set(here & left, sub=int(Sub.SURPLUS), phase=int(Phase.FETCH))
    plan.set(here & ~left, phase=int(Phase.COMPACTED), have=0)
    spare = (view.kind == Op.PUT) & (now.sub == Sub.SPARE)
    begin = now.page & -PAGEBLOCK_PAGES
    plan.set(spare, cached_free=jnp.maximum(now.cached_free, begin))


def compacted(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """The run is over: deferral, and who goes on."""
    here = view.kind == Phase.COMPACTED
    success = now.result == SUCCESS
    order = now.run_order
    reset = here & success & (order > 0) & (order >= now.failed_order)
    plan.set(reset, failed_order=order + 1)
    gave_up = (now.result == COMPLETE) | (now.result == PARTIAL)
    sync = (now.run == Run.ORDERED) | (now.run == Run.SYNC_LIGHT)
    defers = here & sync & gave_up & (now.capture < 0)
    plan.set(defers, considered=0, shift=jnp.minimum(now.shift + 1, MAX_DEFER_SHIFT))
    plan.set(defers, failed_order=jnp.minimum(now.failed_order, order))

    thread = (now.run == Run.PROACTIVE) | (now.run == Run.ORDERED)
    ends = here & thread
    found = score(now)
    found = found - (found > 0)
    in_vain = (now.run == Run.PROACTIVE) & (found >= now.score)
    pace, random = half_second(now, limits)
    wait = jnp.where(in_vain, pace << MAX_DEFER_SHIFT, pace)
    plan.set(ends, run=int(Run.NONE), busy=0, phase=int(Phase.FETCH))
    plan.set(ends, poll=jnp.where(now.want > 0, 0, wait), pace=pace, random=random, slice=0)
    drain_all(plan, here & (now.run == Run.ORDERED) & gave_up, now, int(Phase.FETCH))

    task = here & ~thread
    plan.set(task, run=now.kept_run, run_order=now.kept_order, source=now.kept_source)
    plan.set(task, sink=now.kept_sink, last=now.kept_last, busy=0, capture=-2)
    plan.clear_flags(task, Bit.WHOLE)
    plan.set(task, phase=int(Phase.FETCH))
    plan.raise_flag(task & (now.kept_whole != 0), Bit.WHOLE)
    caught = task & (now.capture >= 0)
    succeeds(plan, caught, now)
    plan.set(caught, attempt=int(Try.FAST))
    follows = jnp.where(now.attempt == Try.ASYNC, int(Try.RECLAIM), int(Try.LAST))
    plan.set(task & ~caught & (now.run != Run.MANUAL), attempt=follows)
    plan.finish(task & (now.run == Run.MANUAL))


def succeeds(plan: Plan, when, now: Registers) -> None:
    """A request was served after compaction: compaction_defer_reset(), and the skip bits stay."""
    plan.set(when, considered=0, shift=0)
    plan.clear_flags(when, Bit.FLUSH_SKIPS)
    plan.set(when & (now.run_order >= now.failed_order), failed_order=now.run_order + 1)


def keep_captured(plan: Plan, view, choice, now: Registers):
    """The block that was captured is the answer to the request. Returns where."""
    here = (view.kind == Phase.COMPACTED) & (now.capture >= 0)
    page = now.capture
    plan.cell(0, here, page, 0, choice.use | (choice.want << ORDER_SHIFT))
    plan.cell(1, here, page, 1, choice.owner)
    gain = jnp.where((choice.use & Use.LRU) != 0, 1 << choice.want, 0)
    plan.write(here, "block", view.block_at, counted(view.block, 0, gain))
    plan.write(here & (choice.owner >= 0), "handle", choice.owner, page)
    return here
