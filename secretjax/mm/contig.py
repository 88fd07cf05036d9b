"""Contiguous ranges: a pageblock is isolated, emptied by migration and taken whole (see also cma).

Source: mm/page_isolation.c (start_isolate_page_range), mm/page_alloc.c (alloc_contig_range,
move_freepages_block_isolate, split_large_buddy), mm/cma.c (cma_alloc: first fit).

Not modelled: batches of 32 pages, retries, locked or dirty pages.
"""

import jax.numpy as jnp

from secretjax.mm.cma import ONE_FURTHER
from secretjax.mm.layout import (
    COUNT,
    EDGE,
    FREE_SHIFT,
    NODE,
    ORDER_SHIFT,
    TAKEN,
    TYPE,
    WHERE_SHIFT,
    Use,
    Where,
    code,
)
from secretjax.mm.lists import account
from secretjax.mm.plan import Plan, counted
from secretjax.mm.state import Fault, Op, Phase, Size, Sub, Tick
from secretjax.mm.words import MAX_PAGE_ORDER, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype

IN_AREA = -1  # Command.page of a TAKE that searches


def isolate(plan: Plan, view, command, now, pages: Size):
    """set_migratetype_isolate, of the next pageblock of the CMA area that is not taken (cma_alloc).

    Up to command.order tries.
    """
    here = (view.kind == Op.TAKE) & (command.page != ONE_FURTHER)
    over = here & ((now.area >= pages) | (now.tries >= command.order))
    label = view.block & TYPE
    fits = (label == Migratetype.CMA) & ((view.block & (TAKEN | EDGE)) == 0)
    good = here & ~over & fits
    plan.set(here & ~fits, area=now.area + PAGEBLOCK_PAGES)
    plan.set(over, area=0, tries=0)
    plan.finish(over, -1)

    plan.set(good, start=view.p, spot=view.p, home=label, again=-1, type=int(Migratetype.ISOLATE))
    plan.write(good, "block", view.block_at, (view.block & ~TYPE) | int(Migratetype.ISOLATE))
    account(plan, good, label, -((view.block >> FREE_SHIFT) & COUNT))
    plan.set(good, phase=int(Phase.WALK), cursor=view.p, back=int(Phase.FLUSH))
    row = view.near0
    straddles = good & ((row >> ORDER_SHIFT) == code(int(Where.BUDDY), MAX_PAGE_ORDER))
    lower = view.p & -(1 << MAX_PAGE_ORDER)
    plan.cell(2, straddles, lower, 0, jnp.zeros_like(row))
    plan.set(straddles, page=lower, again=lower + PAGEBLOCK_PAGES, phase=int(Phase.AGAIN))
    return straddles


def evacuate(plan: Plan, view, command, now) -> None:
    """__alloc_contig_migrate_range: the next block in use is migrated, or the range is given up."""
    here = (view.kind == Phase.EVACUATE) & (command.page != ONE_FURTHER)
    over = here & (now.spot == now.start + PAGEBLOCK_PAGES)
    row = view.near0
    free_block = (row >> WHERE_SHIFT) == Where.BUDDY
    in_use = ((row >> WHERE_SHIFT) == Where.NONE) & ((row & Use.USED) != 0)
    order = (row >> ORDER_SHIFT) & 15
    movable = ((row & Use.LRU) != 0) & ((row & (Use.FIXED | Use.SECRET)) == 0)
    plan.set(over, phase=int(Phase.UNHOOK))
    go = here & ~over
    held = (row >> WHERE_SHIFT) == Where.PCP  # by kcompactd, which does not have the CPU now
    plan.add(go & ~in_use & ~held, spot=jnp.where(free_block, 1 << order, 1))
    move = go & in_use & movable
    plan.set(
        move, sub=int(Sub.TARGET), sub_order=order, sub_owner=view.near1, phase=int(Phase.FETCH)
    )
    plan.set(move, sub_use=row & NODE & ~Use.UNMAPPED)
    stuck = go & ((in_use & ~movable) | held)
    plan.set(stuck, phase=int(Phase.UNDO))
    plan.tick(stuck, int(Tick.MIGRATE_FAILED))


def take(plan: Plan, view, command, now):
    """The emptied pageblock leaves its list and gets its type back (isolate_freepages_range)."""
    here = view.kind == Phase.UNHOOK
    row = view.near0
    plan.fault(
        here & ((row >> ORDER_SHIFT) != code(int(Where.BUDDY), PAGEBLOCK_ORDER)), Fault.BAD_HANDLE
    )
    apart = jnp.where(command.page == ONE_FURTHER, int(Use.RANGE), 0)
    plan.cell(2, here, view.p, 0, command.use | apart | (PAGEBLOCK_ORDER << ORDER_SHIFT))
    plan.cell(3, here, view.p, 1, command.owner)
    lru = jnp.where((command.use & Use.LRU) != 0, PAGEBLOCK_PAGES, 0)
    word = counted((view.block & ~TYPE) | now.home | TAKEN, -PAGEBLOCK_PAGES, lru)
    plan.write(here, "block", view.block_at, word)
    plan.write(here & (command.owner >= 0), "handle", command.owner, view.p)
    plan.tick(here, int(Tick.TAKEN))
    plan.set(here, area=0, tries=0, phase=int(Phase.FETCH))
    plan.finish(here, view.p)
    return here


def undo(plan: Plan, view, command, now) -> None:
    """undo_isolate_page_range: free blocks go back to the tails of their lists."""
    here = (view.kind == Phase.UNDO) & (command.page != ONE_FURTHER)
    plan.write(here, "block", view.block_at, (view.block & ~TYPE) | now.home)
    account(plan, here, now.home, (view.block >> FREE_SHIFT) & COUNT)
    plan.set(here, phase=int(Phase.WALK), cursor=now.start, type=now.home, back=int(Phase.FAILED))
    failed = view.kind == Phase.FAILED
    plan.tick(failed, int(Tick.TAKE_FAILED))
    plan.set(failed, phase=int(Phase.FETCH), area=now.start + PAGEBLOCK_PAGES)
    plan.add(failed, tries=1)
