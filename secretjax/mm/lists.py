"""The lists of free blocks: putting one on, taking one off, and what is counted of them.

Source: mm/page_alloc.c (__add_to_free_list, del_page_from_free_list, account_freepages) of Linux
6.12.117.
"""

import jax.numpy as jnp

from secretjax.mm.layout import NODE, ORDER_SHIFT, WHERE_SHIFT, Where
from secretjax.mm.plan import Plan
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype


def list_kind(migratetype):
    """Pages of pools, and targets of compaction, never merge with the buddy's."""
    ours = jnp.where(migratetype == Migratetype.TARGET, int(Where.PCP), int(Where.POOL))
    return jnp.where(migratetype >= Migratetype.POOL, ours, int(Where.BUDDY))


def size_in_block(order):
    """Pages of a block that lie in its first pageblock."""
    return jnp.minimum(1 << order, PAGEBLOCK_PAGES)


def account(plan: Plan, when, migratetype, pages) -> None:
    """NR_FREE_PAGES and NR_FREE_CMA_PAGES (account_freepages): isolated pages do not count."""
    counts = when & (migratetype < Migratetype.ISOLATE)
    plan.add(counts, free=pages)
    plan.add(when & (migratetype == Migratetype.CMA), free_cma=pages)
    plan.add(when & (migratetype == Migratetype.HIGHATOMIC), free_atomic=pages)


def count_blocks(plan: Plan, when, order, sign: int) -> None:
    """zone->free_area[order].nr_free, summed over the orders."""
    huge = jnp.where(order >= PAGEBLOCK_ORDER, sign << (order - PAGEBLOCK_ORDER), 0)
    plan.add(when, free_blocks=sign, free_huge=huge)


def was_alone(row0, row1):
    """The block with this row is the only one on its list."""
    return (row0 & NODE) == row1


def unhook(plan: Plan, when, row0, row1) -> None:
    """Takes the block with this row off its list, of whichever type; cells 0 and 1."""
    plan.cell(0, when, row1, 0, row0)
    plan.cell(1, when, row0 & NODE, 1, row1)
    listed = when & ((row0 >> WHERE_SHIFT) == Where.BUDDY)
    count_blocks(plan, listed, (row0 >> ORDER_SHIFT) & 15, -1)
    plan.empty(when & was_alone(row0, row1), row1)


def insert(plan: Plan, when, view, at_tail) -> None:
    """Puts the block at `view.place` on its list; cells 0 to 3 (__add_to_free_list)."""
    mark = view.list0 & ~NODE
    row = view.list_row
    first, last = view.list0 & NODE, view.list1
    before, after = jnp.where(at_tail, last, row), jnp.where(at_tail, row, first)
    plan.cell(0, when, before, 0, mark | view.place)
    plan.cell(1, when, after, 1, view.place)
    plan.cell(2, when, view.place, 0, mark | after)
    plan.cell(3, when, view.place, 1, before)
    buddy = when & (view.listed == 1)
    plan.fill(buddy, view.type, view.low)
    count_blocks(plan, buddy & (view.type < Migratetype.POOL), view.low, 1)
