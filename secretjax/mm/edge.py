"""K511: the claim test of a pageblock within which the zone begins.

move_freepages_block() of Linux 5.0 to 6.9 begins there at the block that was found, not at the
first page that the zone has of the pageblock, and steal_suitable_fallback() tests what it counted.
"""

import jax.numpy as jnp

from secretjax.mm.layout import LRU_SHIFT, ORDER_SHIFT, TYPE, WHERE_SHIFT, Use, Where
from secretjax.mm.plan import Plan
from secretjax.mm.state import Phase, Registers
from secretjax.mm.words import PAGEBLOCK_PAGES, Migratetype


def recount(plan: Plan, view, now: Registers) -> None:
    """From the block found (`again`) to the end of the pageblock; then its label is decided.

    The free blocks have been moved before; `page` holds what was counted: free, then LRU pages.
    """
    here = view.kind == Phase.RECOUNT
    begins = here & (now.again >= 0)
    plan.set(begins, cursor=now.again, again=-1, page=0)
    row = view.near0
    where, order = row >> WHERE_SHIFT, (row >> ORDER_SHIFT) & 15
    in_use = (where == Where.NONE) & ((row & Use.USED) != 0)
    size = jnp.where((where != Where.NONE) | in_use, 1 << order, 1)
    listed = in_use & ((row & Use.LRU) != 0)
    total = now.page + jnp.where(where == Where.BUDDY, size, 0)
    total = total + jnp.where(listed, size << LRU_SHIFT, 0)
    on = here & ~begins
    plan.set(on, cursor=now.cursor + size, page=total)
    over = on & (((now.cursor + size) & (PAGEBLOCK_PAGES - 1)) == 0)
    free, lru = total & ((1 << LRU_SHIFT) - 1), total >> LRU_SHIFT
    other = jnp.where((view.block & TYPE) == Migratetype.MOVABLE, PAGEBLOCK_PAGES - free - lru, 0)
    alike = jnp.where(now.type == Migratetype.MOVABLE, lru, other)
    good = free + alike >= PAGEBLOCK_PAGES // 2
    plan.write(over & good, "block", view.block_at, (view.block & ~TYPE) | now.type)
    plan.set(over, phase=int(Phase.FETCH))
