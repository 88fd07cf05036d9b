"""cma_alloc() of a pageblock's worth of pages where no alignment is asked for.

After -EBUSY the search goes on one page further, so a range may lie in two pageblocks: both are
isolated, only the range is emptied, and what is free before and behind it stays free. A range
within two pageblocks is held in aligned pieces, of which the first has the owner's handle.

Where a page cannot be moved every start up to that page fails. Such tries are told apart only by
the page that each has at its end, which is moved too, and by the drain of the per-CPU lists: the
pageblocks stay isolated between them, as nothing looks at their lists meanwhile.

Source: mm/cma.c (__cma_alloc), mm/page_alloc.c (alloc_contig_range_noprof, find_large_buddy,
split_free_pages, free_contig_range), mm/page_isolation.c (start_isolate_page_range,
unset_migratetype_isolate) of Linux 6.12.117.

Not modelled: one block in use, larger than a page, that begins before the range (taken as one that
cannot be moved), batches of 32 pages, locked or dirty pages.
"""

import jax.numpy as jnp

from secretjax.mm.layout import (
    COUNT,
    EDGE,
    FREE_SHIFT,
    NODE,
    ORDER_SHIFT,
    TYPE,
    WHERE_SHIFT,
    Use,
    Where,
    code,
)
from secretjax.mm.lists import account, size_in_block
from secretjax.mm.plan import Plan, counted
from secretjax.mm.state import Op, Phase, Size, Sub, Tick
from secretjax.mm.words import MAX_PAGE_ORDER, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype

ONE_FURTHER = -2  # Command.page of a TAKE that searches the CMA area page by page
INSIDE = PAGEBLOCK_PAGES - 1
TOOK = -1  # Registers.area: the range is taken; beyond `start`: the first start that may do


def kind_of(row):
    """Of a row: where it is listed, its order, and whether it is that of a block in use."""
    where = row >> WHERE_SHIFT
    return where, (row >> ORDER_SHIFT) & 15, (where == Where.NONE) & ((row & Use.USED) != 0)


def hunt(plan: Plan, view, command, now, pages: Size) -> None:
    """bitmap_find_next_zero_area(): the next range of which no page is taken, from `area` on."""
    begins = (view.kind == Op.TAKE) & (command.page == ONE_FURTHER)
    plan.set(begins, phase=int(Phase.HUNT), spot=now.area)
    here = view.kind == Phase.HUNT
    over = here & ((now.area + PAGEBLOCK_PAGES > pages) | (now.tries >= command.order))
    plan.set(over, area=0, tries=0, phase=int(Phase.FETCH))
    plan.finish(over, -1)
    found = here & ~over & (now.spot >= now.area + PAGEBLOCK_PAGES)
    block = now.area & ~INSIDE
    plan.set(found, start=now.area, spot=now.area, cursor=block, phase=int(Phase.GRIP))

    look = here & ~over & ~found
    where, order, in_use = kind_of(view.near0)
    outside = look & (((view.block & TYPE) != Migratetype.CMA) | ((view.block & EDGE) != 0))
    held = look & ~outside & in_use & ((view.near0 & Use.RANGE) != 0)
    known = in_use | (where != Where.NONE)
    beyond = now.spot + jnp.where(known, 1 << order, 1)
    beyond = jnp.where(outside, (now.spot | INSIDE) + 1, beyond)
    plan.set(look, spot=beyond)
    plan.set(outside | held, area=beyond)


def grip(plan: Plan, view, now):
    """set_migratetype_isolate() of one or both pageblocks. Returns where a block leaves its list.

    A free block of order 10 that has the pageblock falls into two (move_freepages_block_isolate).
    """
    here = view.kind == Phase.GRIP
    lower = view.p & -(1 << MAX_PAGE_ORDER)
    straddles = here & ((view.near0 >> ORDER_SHIFT) == code(int(Where.BUDDY), MAX_PAGE_ORDER))
    more = (view.p <= now.start) & ((now.start & INSIDE) != 0)
    isolated = (view.block & ~TYPE) | int(Migratetype.ISOLATE)
    plan.write(here, "block", view.block_at, isolated)
    account(plan, here, int(Migratetype.CMA), -((view.block >> FREE_SHIFT) & COUNT))
    plan.set(here, back=jnp.where(more, int(Phase.GRIP), int(Phase.FLUSH)))
    plan.set(here, type=int(Migratetype.ISOLATE), phase=int(Phase.WALK), again=-1)
    plan.set(here, home=int(Migratetype.CMA))
    plan.cell(2, straddles, lower, 0, jnp.zeros_like(lower))
    plan.set(straddles, page=lower, again=lower + PAGEBLOCK_PAGES, phase=int(Phase.AGAIN))
    plan.set(straddles, cursor=view.p + PAGEBLOCK_PAGES)
    return straddles


def evacuate(plan: Plan, view, command, now, pages: Size) -> None:
    """__alloc_contig_migrate_range(): all that can be moved is, beside what cannot.

    At the end: the range is taken, or fails; then it is the turn of the next start, which has one
    page more, if the same two pageblocks have it.
    """
    here = (view.kind == Phase.EVACUATE) & (command.page == ONE_FURTHER)
    end = now.start + PAGEBLOCK_PAGES
    inside = here & (now.spot < end)
    where, order, in_use = kind_of(view.near0)
    movable = ((view.near0 & Use.LRU) != 0) & ((view.near0 & (Use.FIXED | Use.SECRET)) == 0)
    move = inside & in_use & movable
    plan.set(move, sub=int(Sub.TARGET), sub_order=order, sub_owner=view.near1)
    plan.set(move, sub_use=view.near0 & NODE & ~Use.UNMAPPED, phase=int(Phase.FETCH))
    stuck = inside & ((in_use & ~movable) | (where == Where.PCP))
    size = jnp.where(in_use | (where != Where.NONE), 1 << order, 1)
    plan.add(inside & ~move, spot=size)
    plan.set(stuck, area=now.spot + size)

    over = here & ~inside
    empty = over & (now.area <= now.start)
    whole = (now.start & INSIDE) == 0
    plan.set(empty, order=0, type=int(Migratetype.ISOLATE), spot=now.start)
    plan.set(empty, phase=jnp.where(whole, int(Phase.UNHOOK), int(Phase.CARVE)))
    held = (now.spot == end) & in_use & ((view.near0 & Use.RANGE) != 0)
    other = whole | (((now.start + 1) & INSIDE) == 0) | held | (end >= pages)
    other = other | (now.tries + 1 >= command.order)
    on = over & ~empty & ~other
    plan.tick(on, int(Tick.TAKE_FAILED))
    plan.add(on, start=1, tries=1)
    plan.set(on, phase=int(Phase.FLUSH))
    plan.set(over & ~empty & other, phase=int(Phase.LOOSE), cursor=now.start & ~INSIDE)


def carve(plan: Plan, view, command, now):
    """The free blocks of the range are taken off their lists; what crosses its ends is halved.

    Returns where one leaves its list.
    """
    here = view.kind == Phase.CARVE
    end = now.start + PAGEBLOCK_PAGES
    over = here & (now.spot >= end)
    where, order, in_use = kind_of(view.near0)
    go = here & ~over
    free = go & (where == Where.BUDDY)
    fits = free & (view.p == now.spot) & (now.spot + (1 << order) <= end)
    halves = free & ~fits
    nothing = go & (where == Where.NONE) & ~in_use
    plan.add(nothing, order=1)
    plan.set(fits, spot=now.spot + (1 << order), order=0)
    first = fits & (now.spot == now.start)
    use = command.use | Use.RANGE | (order << ORDER_SHIFT)
    plan.cell(2, fits, view.p, 0, use)
    plan.cell(3, fits, view.p, 1, jnp.where(first, command.owner, -1))
    plan.write(first & (command.owner >= 0), "handle", command.owner, view.p)
    size = size_in_block(order)
    lru = jnp.where((command.use & Use.LRU) != 0, size, 0)
    plan.write(fits, "block", view.block_at, counted(view.block, -size, lru))

    half = jnp.maximum(order - 1, 0)
    plan.cell(2, halves, view.p, 0, jnp.zeros_like(view.p))
    plan.set(halves, page=view.p, order=half, again=view.p + (1 << half), phase=int(Phase.HALVE))
    plan.set(over, area=TOOK)
    failed = go & ~free & ~nothing
    plan.set(failed, area=now.start + 1)
    plan.set(over | failed, phase=int(Phase.LOOSE), cursor=now.start & ~INSIDE)
    return free


def halve(plan: Plan, view, now):
    """Both halves of a free block go to the list of isolated ones. Returns where one does."""
    here = view.kind == Phase.HALVE
    more = now.again >= 0
    plan.set(here & more, page=now.again, again=-1)
    plan.set(here & ~more, phase=int(Phase.CARVE), order=0)
    return here


def loose(plan: Plan, view, now):
    """undo_isolate_page_range(): free blocks go back to the tails of their lists.

    One that is the whole pageblock may merge (unset_migratetype_isolate, __putback_isolated_page).
    Returns where that leaves its list.
    """
    kind = view.kind == Phase.LOOSE
    done = kind & (now.cursor >= now.start + PAGEBLOCK_PAGES)
    here = kind & ~done
    cma = int(Migratetype.CMA)
    plan.write(here, "block", view.block_at, (view.block & ~TYPE) | cma)
    account(plan, here, cma, (view.block >> FREE_SHIFT) & COUNT)
    plan.set(here, type=cma, back=int(Phase.LOOSE), phase=int(Phase.WALK), again=-1)
    whole = here & ((view.near0 >> ORDER_SHIFT) == code(int(Where.BUDDY), PAGEBLOCK_ORDER))
    plan.cell(2, whole, view.p, 0, jnp.zeros_like(view.p))
    plan.set(whole, page=view.p, order=PAGEBLOCK_ORDER, phase=int(Phase.MERGE))
    plan.set(whole, cursor=view.p + PAGEBLOCK_PAGES)

    plan.set(done, back=int(Phase.FETCH))
    took, busy = done & (now.area == TOOK), done & (now.area > now.start)
    plan.tick(done, jnp.where(took, int(Tick.TAKEN), int(Tick.TAKE_FAILED)))
    plan.set(done, area=0, tries=0, phase=int(Phase.FETCH))
    plan.finish(done & ~busy, jnp.where(took, now.start, -1))  # -ENOMEM: no other is tried
    plan.set(busy, area=now.start + 1, tries=now.tries + 1, phase=int(Phase.HUNT))
    plan.set(busy, spot=now.start + PAGEBLOCK_PAGES)
    return whole


def undone(plan: Plan, view, command) -> None:
    """A destination was not to be had: the range is given up as it is."""
    here = (view.kind == Phase.UNDO) & (command.page == ONE_FURTHER)
    plan.set(here, area=0, phase=int(Phase.LOOSE), cursor=view.p & ~INSIDE)
