"""Allocating and freeing: the lists of the buddy allocator.

Source: mm/page_alloc.c of Linux 6.12.117 (K511: of 6.1.192); each rule names its function there.
"""

import jax.numpy as jnp

from secretjax.mm.choose import CLAIM, REFUSE, STEAL
from secretjax.mm.layout import (
    COUNT,
    EDGE,
    FREE_SHIFT,
    LRU_SHIFT,
    NODE,
    ORDER_SHIFT,
    TAKEN,
    TYPE,
    WHERE_SHIFT,
    Use,
    Where,
    code,
)
from secretjax.mm.lists import account, count_blocks, list_kind, size_in_block, unhook
from secretjax.mm.percpu import still
from secretjax.mm.plan import Plan, counted
from secretjax.mm.state import Bit, Fault, Op, Phase, Run, Sub, Tick, Try
from secretjax.mm.words import (
    CLUSTER,
    MAX_PAGE_ORDER,
    PAGEBLOCK_ORDER,
    PAGEBLOCK_PAGES,
    Fallback,
    Migratetype,
    Secret,
)

NO_LIMIT = MAX_PAGE_ORDER + 1
NO_MORE = 1 << 20  # tries: as many as anybody has
COST_MOVED = 42  # time for one page, in hundredths of a page fault (measured on the captures)


def handed_out(plan: Plan, when, now, page, order, limits) -> None:
    """A block is in the requester's hands."""
    refill = now.refill > 0
    plan.set(when & refill, phase=int(Phase.APPEND), limit=NO_LIMIT)
    got = when & ~refill
    top = got & (now.sub == Sub.NONE)
    plan.finish(top, page)
    plan.set(got, phase=int(Phase.FETCH), limit=NO_LIMIT)
    plan.set(top, attempt=int(Try.FAST))
    plan.set(got & ~top, inner=int(Try.FAST))
    table = got & (now.sub == Sub.TABLE)
    plan.set(table, table=page + 1, sub=int(Sub.NONE), phase=now.after)
    moved = got & (now.sub == Sub.TARGET)
    secret = (now.sub_use & Use.SECRET) != 0
    move_on(plan, moved & ~secret, now)
    shown = (limits.secret & Secret.DIRECT_MAP) != 0
    begins = jnp.where(shown, int(Phase.SHOW), int(Phase.UNMAP_1G))
    plan.set(moved & secret, sub=int(Sub.NONE), target=page, phase=begins)
    left = got & (now.sub == Sub.SURPLUS)
    plan.set(left, sub=int(Sub.SPARE))
    plan.add((moved & (now.busy == 1)) | left, have=-(1 << order))


def move_on(plan: Plan, when, now) -> None:
    """A migrated page's content is at its target; compaction first moves the rest of its batch."""
    compacts = now.busy == 1
    plan.set(when & ~compacts, sub=int(Sub.SOURCE))
    plan.set(when & compacts, sub=int(Sub.NONE), phase=int(Phase.MARK))


def settled(plan: Plan, when, now) -> None:
    """The entry of what came back is as it is to be: on with the command, or with the move."""
    moved = now.target >= 0
    plan.set(when, phase=int(Phase.FETCH))
    plan.set(when & moved, target=-1)
    move_on(plan, when & moved, now)


def give_up(plan: Plan, when, limits) -> None:
    """The destination cannot be used: it goes back, and a source that was shown is hidden first."""
    shown = when & ((limits.secret & Secret.DIRECT_MAP) != 0)
    plan.set(when, sub=int(Sub.RETURN), phase=int(Phase.FETCH))
    plan.set(shown, sub=int(Sub.NONE), phase=int(Phase.HIDE))


def refused(plan: Plan, when, choice, now, limits) -> None:
    """Nothing serves the request: data for the command, a setback for the kernel's own."""
    top = when & (now.sub == Sub.NONE)
    table = when & (now.sub == Sub.TABLE)
    plan.finish(top | (table & (now.target < 0)), -1)
    plan.write(top & (choice.owner >= 0), "handle", choice.owner, jnp.full_like(choice.owner, -1))
    plan.set(when, limit=NO_LIMIT, sub=int(Sub.NONE))
    plan.set(top, attempt=int(Try.FAST))
    plan.set(when & ~top, inner=int(Try.FAST))
    give_up(plan, table & (now.target >= 0), limits)
    failed = when & (now.sub == Sub.TARGET)
    compacts = now.busy == 1
    # -ENOMEM of alloc_contig_range(): cma_alloc() stops, it has no try left
    plan.set(failed & ~compacts, phase=int(Phase.UNDO), tries=NO_MORE)
    plan.tick(failed & ~compacts, int(Tick.MIGRATE_FAILED))
    tried = (now.flags & Bit.TRIED) != 0
    fills = failed & compacts & ~tried
    looks = jnp.where(now.run_order > 0, int(Phase.SEARCH), int(Phase.SINK))
    plan.set(fills, phase=looks, sub=int(Sub.TARGET), node=-1)
    plan.set(fills, stride=jnp.where(now.run == Run.ASYNC, CLUSTER, 1))
    plan.raise_flag(fills, Bit.TRIED)
    ends = failed & compacts & tried
    plan.set(ends, phase=int(Phase.EMPTIED), spot=now.source - 1)


def claimable(view, choice, limits):
    """try_to_steal_block() of a part of a pageblock: it gets the requester's type; its free parts
    go to the requester's lists (K511: always, if the zone ends behind it); from which page on.
    Where the zone begins within the pageblock, K511 begins at that page (mm/edge.py).
    """
    block, first = view.block, view.near0 & NODE
    label, edge = block & TYPE, (block & EDGE) != 0
    free, lru = (block >> FREE_SHIFT) & COUNT, (block >> LRU_SHIFT) & COUNT
    other = jnp.where(label == Migratetype.MOVABLE, PAGEBLOCK_PAGES - free - lru, 0)
    alike = jnp.where(choice.wants == Migratetype.MOVABLE, lru, other)
    good = free + alike >= PAGEBLOCK_PAGES // 2
    begin = first & -PAGEBLOCK_PAGES
    oldest = limits.fallback == Fallback.K511
    ends = begin + PAGEBLOCK_PAGES > limits.end
    moves = jnp.where(oldest, ~ends, good & ~edge) & (label != Migratetype.HIGHATOMIC)
    return good, moves, jnp.where(oldest & edge, first, begin)


def allocate(plan: Plan, view, choice, now, limits):
    """__rmqueue: one attempt; a claim that fails is tried again further down in the next step."""
    here = view.kind == Op.ALLOC
    whole = choice.order >= PAGEBLOCK_ORDER
    claim = plan.known(here & (choice.how == CLAIM))
    small = claim & ~whole
    none = here & (choice.how == REFUSE)
    plan.set(none & (now.refill > 0), refill=0)
    refused(plan, none & (now.refill == 0), choice, now, limits)

    # try_to_steal_block, below pageblock size
    block, first = view.block, view.near0 & NODE
    good, moves, cursor = claimable(view, choice, limits)
    moves = small & moves
    part = moves & ((cursor & (PAGEBLOCK_PAGES - 1)) != 0)
    plan.set(moves, phase=int(Phase.WALK), cursor=cursor, type=choice.wants)
    plan.set(moves, back=int(Phase.FETCH), limit=NO_LIMIT, mode=choice.mode)
    plan.set(part, back=int(Phase.RECOUNT), again=cursor)
    plan.write(moves & good & ~part, "block", view.block_at, (block & ~TYPE) | choice.wants)
    plan.tick(moves, int(Tick.CLAIMED_PART))
    plan.set(small & ~moves, limit=choice.order)
    older = limits.fallback != Fallback.K612y
    stolen = here & (choice.how == STEAL)
    boosts = small | (stolen & older & ~whole & (now.limit == NO_LIMIT))
    boost = jnp.minimum(now.boost + PAGEBLOCK_PAGES, jnp.maximum(limits.boost, now.boost))
    plan.set(boosts, boost=boost)
    plan.raise_flag(boosts & (limits.boost > 0), Bit.BOOSTED)  # boost_watermark() says so

    # a block is taken off its list
    take = here & (choice.how != REFUSE) & ~small
    list_row = view.near_row
    after = view.far0 & NODE
    plan.cell(0, take, list_row, 0, (view.near0 & ~NODE) | after)
    plan.cell(1, take, after, 1, list_row)
    plan.cell(2, take, first, 0, choice.use | (choice.want << ORDER_SHIFT))
    plan.cell(3, take, first, 1, choice.owner)
    plan.empty(take & (after == list_row), list_row)
    rest = claim | (stolen & (limits.fallback == Fallback.K511))
    type_ = jnp.where(rest, choice.wants, choice.type)
    relabels = claim & ((block & TYPE) != Migratetype.HIGHATOMIC)
    label = jnp.where(relabels, (block & ~TYPE) | choice.wants, block)
    size = size_in_block(choice.want)
    from_pool = choice.type >= Migratetype.POOL
    lru_gain = jnp.where((choice.use & Use.LRU) != 0, size, 0)
    word = counted(label, jnp.where(from_pool, 0, -size), lru_gain)
    plan.write(take, "block", view.block_at, word)
    account(plan, take, choice.type, -(1 << choice.want))
    count_blocks(plan, take & (choice.type < Migratetype.POOL), choice.order, -1)
    kind = jnp.where(claim, int(Tick.CLAIMED_WHOLE), int(Tick.OWN))
    plan.tick(take, jnp.where(choice.how == STEAL, int(Tick.STOLEN), kind))
    plan.write(take & (choice.owner >= 0), "handle", choice.owner, first)
    exact = choice.order == choice.want
    both = choice.want == MAX_PAGE_ORDER
    plan.set(take, page=first, order=choice.order, type=type_, mode=choice.mode)
    plan.set(take, claimed=relabels.astype(jnp.int32))
    plan.set(take, phase=int(Phase.SPLIT))
    plan.set(take & both, phase=int(Phase.SECOND))
    return take & exact & ~both


def second(plan: Plan, view, choice, now):
    """The second pageblock of an order-10 block that is handed out."""
    here = view.kind == Phase.SECOND
    gain = jnp.where((choice.use & Use.LRU) != 0, PAGEBLOCK_PAGES, 0)
    label = jnp.where(now.claimed == 1, now.type, view.block & TYPE)
    word = counted((view.block & ~TYPE) | label, -PAGEBLOCK_PAGES, gain)
    plan.write(here, "block", view.block_at, word)
    return here


def split(plan: Plan, view, choice, now):
    """expand: the upper half goes to the head of its list, the lower half stays in hand."""
    here = view.kind == Phase.SPLIT
    order = view.low
    # change_pageblock_range: matters after a claim of an order-10 block only
    relabels = here & (order == PAGEBLOCK_ORDER) & (now.claimed == 1)
    plan.write(relabels, "block", view.block_at, (view.block & ~TYPE) | now.type)
    plan.set(here, order=order)
    return here & (order == choice.want)


def given_back(plan: Plan, when, view, command, now) -> None:
    """The block in hand is on its list."""
    drain = still(view, now)
    more = when & (now.again >= 0)
    plan.set(more, page=now.again, again=-1, phase=int(Phase.AGAIN))
    last = when & (now.again < 0)
    drained = last & (now.drain_back >= 0)
    plan.set(drained, phase=jnp.where(drain > 0, int(Phase.FETCH), now.drain_back))
    plan.set(drained & (drain == 0), drain_back=-1)
    after_free(plan, last & (now.drain_back < 0), command, now)


def after_free(plan: Plan, when, command, now) -> None:
    """What follows after a block was given back, by who did."""
    plan.set(when, phase=int(Phase.FETCH), sub=int(Sub.NONE))
    top, compacts = now.sub == Sub.NONE, now.busy == 1
    source = when & (now.sub == Sub.SOURCE)
    useless = when & (now.sub == Sub.RETURN)
    isolated = when & top & (command.op == Op.TAKE)
    size = 1 << now.sub_order
    plan.add(source | (useless & compacts), spot=jnp.where(compacts, -1, size))
    plan.add(source & compacts, moved=-size)
    plan.add(useless & compacts, batch=-size)
    plan.set(source, phase=jnp.where(compacts, int(Phase.EMPTIED), int(Phase.EVACUATE)))
    plan.set(useless & compacts, phase=int(Phase.MOVE))
    plan.set(isolated, phase=now.back)
    plan.set(useless & ~compacts, phase=int(Phase.UNDO))
    plan.set(useless, target=-1)
    plan.set(when & (now.sub == Sub.SPARE), phase=int(Phase.RELEASE))
    settled(plan, when & (now.sub == Sub.UNTABLE), now)
    plan.finish(when & top & ((command.op == Op.FREE) | (command.op == Op.PUT)))


def free(plan: Plan, view, command, now, limits):
    """A block is given back: free_unref_page(), free_one_page() and the checks of both.

    Returns where it goes to a per-CPU list, and where it is to be merged.
    """
    here = (view.kind == Op.FREE) | (view.kind == Op.PUT)
    row, order, p = view.near0, view.order, view.p
    known = here & (p >= 0)
    top = now.sub == Sub.NONE
    foreign = top & (command.handle >= 0) & (view.near1 != command.handle)
    in_use = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0) & ~foreign
    exact = known & in_use & ((row >> ORDER_SHIFT) == order)
    part = known & ((in_use & ((row >> ORDER_SHIFT) > order)) | (row == 0))
    bad = here & ~exact & ~part
    plan.fault(here & (p < 0) & (command.fresh == 0), Fault.BAD_HANDLE)
    plan.fault(bad & (p >= 0), Fault.BAD_FREE)
    plan.finish(bad, -1)
    plan.set(part, phase=int(Phase.CUT), cursor=p, order=order)

    to_pool = view.type == Migratetype.POOL
    to_list = plan.known(exact & (view.listed == 0))
    unmapped = (row & Use.UNMAPPED) != 0
    plan.fault(exact & unmapped & ~to_pool & top, Fault.FREED_UNMAPPED)
    size = size_in_block(order)
    gain = jnp.where(to_pool | to_list, 0, size)
    word = counted(view.block, gain, jnp.where((row & Use.LRU) != 0, -size, 0))
    whole = (order >= PAGEBLOCK_ORDER) & ~to_list
    word = jnp.where(to_pool, word, word & ~jnp.where(whole, TAKEN, 0))
    large = exact & whole
    huge = large & (order == MAX_PAGE_ORDER)
    plan.write(exact & ~huge, "block", view.block_at, word)
    account(plan, exact & ~to_list, view.type, 1 << order)
    freed(plan, exact, to_list, now, order)
    forget = exact & top & (command.handle >= 0) & (command.fresh == 1)
    plan.write(forget, "handle", command.handle, jnp.full_like(p, -1))
    restore = exact & (now.sub == Sub.RETURN) & (now.sub_owner >= 0)
    plan.write(restore, "handle", now.sub_owner, now.spot)
    plan.cell(3, large, p, 0, jnp.zeros_like(p))
    plan.set(large, page=p, order=PAGEBLOCK_ORDER, type=view.type, phase=int(Phase.MERGE))
    plan.set(huge, again=p + PAGEBLOCK_PAGES, phase=int(Phase.AGAIN))
    # K511 frees it as one: merged on the list of its first half
    at_once = huge & (limits.fallback == Fallback.K511)
    plan.set(at_once, page=p + PAGEBLOCK_PAGES, again=p)
    return to_list, exact & ~large & ~to_list


def freed(plan: Plan, exact, to_list, now, order) -> None:
    """Counts a block that was given back; one that only changed place counts as migrated."""
    secret = (now.sub_use & Use.SECRET) != 0
    moved = jnp.where(secret, int(Tick.MIGRATED_SECRET), int(Tick.MIGRATED))
    source = now.sub == Sub.SOURCE
    tick = jnp.where(to_list, int(Tick.PUT), int(Tick.FREED))
    plan.tick(exact, jnp.where(source, moved, tick), jnp.where(source, 1 << order, 1))
    plan.add(exact & source & (now.busy == 1), slice=-(COST_MOVED << order))


def join(plan: Plan, when, view, now, limits):
    """One round of __free_one_page's loop. Returns where it ended: the block goes to its list."""
    order, p, type_ = view.order, view.p, view.type
    buddy = p ^ (1 << order)
    at_top = order >= jnp.where(type_ == Migratetype.POOL, PAGEBLOCK_ORDER, MAX_PAGE_ORDER)
    same = (view.far0 >> ORDER_SHIFT) == code(list_kind(type_), order)
    across = order == PAGEBLOCK_ORDER
    other = jnp.where(across, view.block & TYPE, type_)
    mergeable = (other < Migratetype.HIGHATOMIC) & (type_ < Migratetype.HIGHATOMIC)
    wanted = (now.capture == -1) & (order == now.run_order) & (type_ < Migratetype.HIGHATOMIC)
    foreign = (order < PAGEBLOCK_ORDER) & (type_ == Migratetype.MOVABLE)
    caught = when & wanted & ~(foreign & (now.run_type != Migratetype.MOVABLE))
    plan.set(caught, phase=int(Phase.CAPTURE), page=p, order=order, type=type_)
    when = when & ~caught
    merge = when & ~at_top & same & ((other == type_) | mergeable)
    unhook(plan, merge, view.far0, view.far1)
    plan.cell(2, merge, buddy, 0, jnp.zeros_like(p))
    plan.cell(3, merge, p, 0, jnp.zeros_like(p))
    retype = (view.block & ~TYPE) | type_
    relabels = merge & across & (other != type_) & (limits.fallback != Fallback.K511)
    plan.write(relabels, "block", view.block_at, retype)
    plan.set(merge, page=p & ~(1 << order), order=order + 1, type=type_, phase=int(Phase.MERGE))
    return when & ~merge


def capture(plan: Plan, view, now, command) -> None:
    """compaction_capture(): the block in hand is kept for the task that compacts."""
    here = view.kind == Phase.CAPTURE
    size = size_in_block(view.order)
    plan.cell(0, here, view.p, 0, Use.USED | (view.order << ORDER_SHIFT))
    plan.cell(1, here, view.p, 1, jnp.full_like(view.p, -1))
    plan.write(here, "block", view.block_at, counted(view.block, -size, 0))
    account(plan, here, view.type, -size)
    plan.set(here, capture=view.p)
    given_back(plan, here, view, command, now)


def again(plan: Plan, view) -> None:
    """A pageblock-sized part of a larger block: on its own from here on (split_large_buddy)."""
    here = view.kind == Phase.AGAIN
    word = (view.block & ~((COUNT << FREE_SHIFT) | (COUNT << LRU_SHIFT))) | (
        PAGEBLOCK_PAGES << FREE_SHIFT
    )
    plan.write(here, "block", view.block_at, word)
    plan.set(here, type=view.type, order=PAGEBLOCK_ORDER, phase=int(Phase.MERGE))


def walk(plan: Plan, view, now):
    """__move_freepages_block: free blocks of a pageblock go to the tails of other lists."""
    here, back_in = view.kind == Phase.WALK, view.kind == Phase.RELINK
    row = view.near0
    free_block = here & ((row >> WHERE_SHIFT) == Where.BUDDY)
    order = (row >> ORDER_SHIFT) & 15
    plan.set(free_block, page=now.cursor, order=order, phase=int(Phase.RELINK))
    in_use = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    size = jnp.where(back_in, 1 << now.order, jnp.where(in_use, 1 << order, 1))
    cursor = now.cursor + size
    over = (cursor & (PAGEBLOCK_PAGES - 1)) == 0
    on = (here & ~free_block) | back_in
    plan.set(on, cursor=cursor, phase=jnp.where(over, now.back, int(Phase.WALK)))
    plan.set(on & over & (now.back == Phase.ISOLATE), cursor=now.start)
    return free_block


def cut(plan: Plan, view, choice, now) -> None:
    """split_page: the block around a part that is given back falls into halves."""
    here = view.kind == Phase.CUT
    row, q = view.near0, view.p
    order = row >> ORDER_SHIFT
    in_use = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    done = here & in_use & (order == choice.want)
    halve = here & in_use & (order > choice.want)
    inside = here & (row == 0) & (now.order < MAX_PAGE_ORDER)
    bad = here & ~done & ~halve & ~inside
    plan.set(done, phase=int(Phase.FETCH))
    plan.set(inside, order=now.order + 1)
    plan.fault(bad, Fault.BAD_FREE)
    plan.set(bad, phase=int(Phase.FETCH))
    plan.finish(bad)
    half = jnp.maximum(order - 1, 0)
    word = (row & NODE) | (half << ORDER_SHIFT)
    upper = q + (1 << half)
    plan.cell(0, halve, q, 0, word)
    plan.cell(1, halve, upper, 0, word)
    plan.cell(2, halve, upper, 1, view.near1)
    plan.set(halve, order=half)
