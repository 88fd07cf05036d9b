"""What runs beside the task on the same CPU: kswapd and kcompactd, and the request that must wait.

Source: mm/page_alloc.c (__alloc_pages_slowpath, wake_all_kswapds), mm/vmscan.c (wakeup_kswapd,
balance_pgdat, kswapd_try_to_sleep, compaction_ready), mm/compaction.c (kcompactd,
kcompactd_do_work, should_proactive_compact_node, compaction_deferred, compaction_suitable) of
Linux 6.12.117. When a thread gets the CPU is drawn; what it then does is not.

Left out: reclaim finds nothing to take (no swap, no clean page cache: true of the captured
machines), the OOM killer (a request is refused instead), more than one CPU.
"""

import jax.numpy as jnp
from jax import lax

from secretjax.mm.choose import highest, lists_of
from secretjax.mm.layout import Use
from secretjax.mm.percpu import drain_all, has
from secretjax.mm.plan import Plan
from secretjax.mm.state import Bit, Command, Limits, Op, Phase, Registers, Run, Sub, Tick, Try, Word
from secretjax.mm.words import (
    COSTLY_ORDER,
    LIGHT,
    NORETRY,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    THP,
    Migratetype,
)

# Time that the task's own work takes; a huge page for a pool (hugetlb) is not zeroed.
FAULT, HUGE_FAULT, HUGE_BLOCK = 100, 10_000, 10
SLICES = 83  # of 6 ms in half a second
HOPELESS = 16  # MAX_RECLAIM_RETRIES: kswapd gives up
MAX_DEFER_SHIFT = 6  # COMPACT_MAX_DEFER_SHIFT
EXTFRAG_THRESHOLD = 500  # vm.extfrag_threshold, whatever a capture says


def next_random(x: Word) -> Word:
    """xorshift32."""
    x = x ^ (x << 13)
    x = x ^ lax.shift_right_logical(x, jnp.full_like(x, 17))
    return x ^ (x << 5)


def drawn(x: Word, most: Word | int) -> Word:
    """0 to below `most`, from a random word; `most` below 2^15."""
    return ((x & 0xFFFF) * most) >> 16


def half_second(now: Registers, limits: Limits) -> tuple[Word, Word]:
    """How much the task does until kcompactd looks again, and the random word it was drawn from.

    The host's speed is not steady: 1 to 6.4 times the least, small factors as often as large ones.
    """
    random = next_random(now.random)
    x = drawn(lax.shift_right_logical(random, jnp.full_like(random, 16)), 666)
    return (limits.period * ((256 + (x & 255)) << (x >> 8))) >> 8, random


def score(now: Registers) -> Word:
    """extfrag_for_order(zone, COMPACTION_HPAGE_ORDER)."""
    free = jnp.maximum(now.free, 1)
    return jnp.maximum(free - (now.free_huge << PAGEBLOCK_ORDER), 0) * 100 // free


def suitable(now: Registers, limits: Limits, order: Word):
    """compaction_suitable(): enough free memory, and not too little fragmentation.

    With ALLOC_CMA: free memory but that of MIGRATE_HIGHATOMIC (__zone_watermark_unusable_free()).
    """
    costly = order > COSTLY_ORDER
    mark = jnp.where(costly, limits.low, limits.min) + now.boost + (2 << order)
    shift = jnp.maximum(order - 3, 0)
    blocks = jnp.maximum(now.free_blocks, 1)
    index = 1000 - (1000 + ((now.free * 125) >> shift)) // blocks
    vetoed = costly & (now.free_huge == 0) & (index >= 0) & (index <= EXTFRAG_THRESHOLD)
    return (now.free - now.free_atomic > mark) & ~vetoed


def spend(plan: Plan, when, now: Registers, time) -> None:
    """The task used the CPU for so long."""
    plan.set(when, poll=jnp.maximum(now.poll - time, 0), slice=jnp.maximum(now.slice - time, 0))
    runs = when & (now.kswapd > 0)
    plan.set(runs, kswapd=jnp.maximum(now.kswapd - time, 0))


def request_time(choice) -> Word:
    """What a request costs its task, the page fault and the zeroing included."""
    bare = choice.use == Use.USED
    huge = jnp.where(bare, HUGE_BLOCK, HUGE_FAULT)
    return jnp.where(choice.want > COSTLY_ORDER, huge, FAULT)


def wake_kswapd(plan: Plan, when, now: Registers, limits: Limits, order) -> None:
    """wakeup_kswapd(): nothing if it is awake already, or without hope."""
    asleep = when & (now.kswapd < 0) & (now.failures < HOPELESS)
    random = next_random(now.random)
    plan.set(asleep, kswapd=drawn(random, limits.kswapd), random=random)
    plan.set(when, kswapd_order=jnp.maximum(now.kswapd_order, order))


def deferred(now: Registers, order: Word):
    """compaction_deferred(), and compact_considered after it."""
    concerned = order >= now.failed_order
    limit = 1 << now.shift
    considered = jnp.where(concerned, jnp.minimum(now.considered + 1, limit), now.considered)
    return concerned & (considered < limit), considered


def begin_run(plan: Plan, when, now: Registers, limits: Limits, kind, order, migratetype) -> None:
    """compact_zone(): where both scanners begin."""
    whole = (kind == Run.PROACTIVE) | (kind == Run.MANUAL)
    top = (limits.end - 1) & -PAGEBLOCK_PAGES
    cached = jnp.where(kind == Run.ASYNC, now.cached_async, now.cached_sync)
    source = jnp.where(whole, limits.first, cached)
    sink = jnp.where(whole, top, now.cached_free)
    whole = whole | (source <= now.init_migrate)
    plan.set(when, run=kind, run_order=order, run_type=migratetype, source=source, sink=sink)
    plan.clear_flags(when, Bit.WHOLE | Bit.FINISH | Bit.ERROR | Bit.TRIED)
    plan.raise_flag(when & whole, Bit.WHOLE)
    plan.set(when, last=-1, busy=1, batch=0, phase=int(Phase.BOUNDARY))
    plan.set(when, fails=0, fast_start=-1, search_order=jnp.maximum(order, 0))


def kswapd(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """balance_pgdat(): takes the boost back, reclaims nothing; then kcompactd and skip bits."""
    here = view.kind == Phase.KSWAPD
    boosted = now.boost > 0
    unbalanced = boosted | ((now.kswapd_order >= PAGEBLOCK_ORDER) & (now.free_huge == 0))
    plan.add(here & unbalanced, failures=1)
    plan.set(here, boost=0, kswapd=-1, kswapd_order=0)
    asks = here & boosted
    plan.set(asks, want=PAGEBLOCK_ORDER)
    calm = now._replace(boost=jnp.zeros_like(now.boost))
    fits = (now.free_huge == 0) & suitable(calm, limits, jnp.full_like(now.want, PAGEBLOCK_ORDER))
    plan.set(asks & (now.run == Run.NONE) & fits, poll=0)
    resets = here & has(now, Bit.FLUSH_SKIPS)
    plan.set(resets, phase=int(Phase.RESET), cursor=0, init_migrate=-1)
    plan.tick(here, int(Tick.KSWAPD))


def poll(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """kcompactd(): an order that was asked for, or the score; else it sleeps again."""
    here = view.kind == Phase.POLL
    late, considered = deferred(now, now.want)
    asked = here & (now.want > 0)
    plan.set(asked, considered=considered)
    needed = (now.free_huge == 0) | (now.want < PAGEBLOCK_ORDER)
    ordered = asked & ~late & needed & suitable(now, limits, now.want)
    found = score(now)
    # the zone is nearly all of its node: fragmentation_score_zone_weighted() loses one point
    weighted = found - (found > 0)
    proactive = here & ~asked & (weighted > limits.score_high) & (now.kswapd < 0)
    pace, random = half_second(now, limits)
    plan.set(here, poll=pace, pace=pace, random=random, want=0)
    starts = ordered | proactive
    kind = jnp.where(asked, int(Run.ORDERED), int(Run.PROACTIVE))
    order = jnp.where(asked, now.want, -1)
    begin_run(plan, starts, now, limits, kind, order, int(Migratetype.UNMOVABLE))
    plan.set(starts, score=weighted)
    take_turn(plan, starts, now)
    plan.tick(starts, int(Tick.KCOMPACTD))


def take_turn(plan: Plan, when, now: Registers) -> None:
    """The CPU changes hands for half to one and a half of the mean slice of 6 ms."""
    random = next_random(now.random)
    slice_ = now.pace // SLICES
    time = slice_ // 2 + drawn(random, slice_)
    plan.set(when, slice=time, random=random)


def resume(plan: Plan, view, now: Registers) -> None:
    """kcompactd gets the CPU again."""
    here = view.kind == Phase.RESUME
    plan.set(here, busy=1, phase=int(Phase.BOUNDARY))
    take_turn(plan, here, now)


def wait(plan: Plan, view, command: Command, now: Registers) -> None:
    """The task sleeps; kcompactd, if at work, has the CPU to itself."""
    here = view.kind == Op.WAIT
    left = command.page - now.waited
    runs = (now.run == Run.PROACTIVE) | (now.run == Run.ORDERED)
    step = jnp.where(runs, now.pace // SLICES, jnp.maximum(now.poll, 1))
    step = jnp.where(now.kswapd > 0, jnp.minimum(step, now.kswapd), step)
    step = jnp.minimum(step, left)
    over = here & (step >= left)
    plan.set(here, waited=now.waited + step)
    spend(plan, here, now, step)
    plan.set(here & runs & ~over, slice=0)
    plan.set(over, waited=0)
    plan.finish(over)


def slow(plan: Plan, view, choice, command: Command, now: Registers, limits: Limits, pops, dry):
    """get_page_from_freelist() said no: compact if the task may. Returns where it is refused."""
    here = (view.kind == Op.GET) & ~choice.passes
    first = (view.kind == Op.GET) & (now.attempt == Try.FAST)
    plan.raise_flag(first & ~choice.high, Bit.BELOW_HIGH)
    short = first & ~choice.low
    top = now.sub == Sub.NONE
    quiet = (command.compact == THP) | (command.compact == LIGHT)
    wakes = ~top | ~quiet  # ALLOC_KSWAPD
    boosted = pops & has(now, Bit.BOOSTED) & wakes  # rmqueue(): a claim raised the watermarks
    plan.clear_flags(boosted, Bit.BOOSTED)
    short = short & wakes
    wake_kswapd(plan, short | boosted, now, limits, jnp.where(short, choice.want, 0))
    reclaims = (command.compact != 0) & (command.compact != LIGHT)  # __GFP_DIRECT_RECLAIM
    may = top & reclaims & (choice.want > 0)
    compacts = here & may & (now.attempt == Try.FAST)
    plan.set(compacts, attempt=int(Try.ASYNC))
    return (here & ~compacts) | dry


def direct(plan: Plan, view, choice, command: Command, now: Registers, limits: Limits) -> None:
    """try_to_compact_pages(), or compact_memory."""
    manual = view.kind == Op.COMPACT
    here = view.kind == Phase.DIRECT
    served = here & choice.passes
    late, considered = deferred(now, choice.want)
    fits = suitable(now, limits, choice.want)
    go = here & ~served & ~late & fits
    plan.set(here & ~served, considered=considered)
    once = (command.compact == NORETRY) & (choice.want > COSTLY_ORDER)
    # COMPACT_SKIPPED or COMPACT_DEFERRED: nopage
    follows = jnp.where((now.attempt == Try.ASYNC) & ~once, int(Try.RECLAIM), int(Try.LAST))
    plan.set(served | (here & ~go), attempt=jnp.where(choice.passes, int(Try.LAST), follows))
    starts = go | manual
    plan.set(starts, kept_run=now.run, kept_order=now.run_order, kept_source=now.source)
    plan.set(starts, kept_sink=now.sink, kept_last=now.last, kept_whole=now.flags & Bit.WHOLE)
    keeps = (now.attempt == Try.ASYNC) | once  # compact_priority = INIT_COMPACT_PRIORITY
    kind = jnp.where(keeps, int(Run.ASYNC), int(Run.SYNC_LIGHT))
    kind = jnp.where(manual, int(Run.MANUAL), kind)
    order = jnp.where(manual, -1, choice.want)
    begin_run(plan, starts, now, limits, kind, order, jnp.where(manual, 0, choice.wants))
    plan.set(go, capture=-1)
    plan.add(here & ~served & (go | late), stalls=1)
    plan.tick(here & ~served & (go | late), int(Tick.STALLED))


def reclaim(plan: Plan, view, choice, now: Registers, limits: Limits) -> None:
    """__alloc_pages_direct_reclaim(): nothing to take, but the per-CPU lists are drained."""
    here = view.kind == Phase.RECLAIM
    usable = now.free - now.free_cma - now.free_atomic  # compaction_ready(): no flags
    enough = usable > limits.high + now.boost + (2 << choice.want)
    ready = suitable(now, limits, choice.want) & enough
    plan.set(here, attempt=jnp.where(choice.passes, int(Try.LAST), int(Try.SYNC_LIGHT)))
    drain_all(plan, here & ~choice.passes & ready, now, int(Phase.FETCH))


def free_on_own_list(now: Registers, order: Word, migratetype: Word):
    """Whether a free block of `order` serves the request (__compact_finished)."""
    U, M, R, C = (
        lists_of(now, t)
        for t in (
            Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE, Migratetype.CMA
        )
    )  # fmt: skip
    movable = migratetype == Migratetype.MOVABLE
    own = jnp.where(movable, M | C, jnp.where(migratetype == Migratetype.RECLAIMABLE, R, U))
    claimable = jnp.where(movable, (U | M | R) >> (PAGEBLOCK_ORDER // 2), U | M | R)
    claimable = jnp.where(movable, claimable << (PAGEBLOCK_ORDER // 2), claimable)
    return highest(own | claimable) >= order
