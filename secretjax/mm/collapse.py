"""What if split entries of the direct map became whole again? No kernel does it for secret memory.

Linux 6.15 can (arch/x86/mm/pat/set_memory.c: cpa_collapse_large_pages(), commit 41d88484c71c): when
all 512 entries of a table are present, alike and in a row, a 2 MiB entry takes the table's place,
every TLB is flushed, and the table's page is freed. Only set_memory_rox() asks for it.

FREE   the last page of a 2 MiB range that comes back asks for it, as in a series of Kirill
       Shutemov's, linux-kernel, 16 April 2020: any change of the map may restore a large page
SCAN   kcompactd's wake-ups, the only clock of the model, each begin a scan of all tables

An entry is made whole only if it was split in this run: why it was before, a capture does not say.

Left out: 1 GiB entries (collapse_pud_page()), one flush for several collapses of a scan, a page
that the direct map shows for the time of its move, which never makes an entry whole.
Unvalidated: no capture covers it.
"""

import jax.numpy as jnp

from secretjax.mm.buddy import settled
from secretjax.mm.directmap import returns
from secretjax.mm.layout import ORDER_SHIFT, SPLIT, Use
from secretjax.mm.plan import Plan
from secretjax.mm.state import Command, Limits, Phase, Registers, Sub, Tick
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Collapse


def count(plan: Plan, view, command: Command, now: Registers) -> None:
    """The pages just unmapped are counted, and the table of the split, if there was one, kept."""
    counts, tables = view.kind == Phase.COUNTED, view.kind == Phase.TABLED
    moved = now.target >= 0
    whole = (command.order >= PAGEBLOCK_ORDER) & ~moved
    size = jnp.where(whole, PAGEBLOCK_PAGES, 1)
    plan.write(counts, "block", view.block_at, view.block + size)
    more = counts & (now.table != 0)
    plan.set(more, phase=int(Phase.TABLED))
    plan.write(tables, "block", view.block_at, now.table)
    plan.set(tables, table=0)
    over = (counts & ~more) | tables
    plan.set(over, phase=jnp.where(moved, int(Phase.BACK), int(Phase.FETCH)))
    plan.finish(over & ~moved)


def back(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """A block comes back: the one of the command, or the page whose content has moved."""
    here = view.kind == Phase.BACK
    hidden = here & ((view.near0 & Use.UNMAPPED) != 0)
    moved = now.target >= 0
    size = 1 << ((view.near0 >> ORDER_SHIFT) & 15)
    plan.cell(0, hidden, view.p, 0, view.near0 & ~Use.UNMAPPED)
    returns(plan, hidden & ~moved, view)
    absent = jnp.where(hidden, view.block - size, view.block)
    plan.write(hidden, "block", view.block_at, absent)
    asks = here & (absent == 0) & (limits.collapse == Collapse.FREE)
    plan.set(asks, phase=int(Phase.WHOLE))
    settled(plan, here & ~asks, now)


def whole(plan: Plan, view, now: Registers) -> None:
    """cpa_collapse_large_pages(): the entry takes its table's place, and that page is freed."""
    asks, does = view.kind == Phase.WHOLE, view.kind == Phase.COLLAPSE
    split = asks & (view.block != 0)
    plan.write(split, "block", view.block_at, jnp.zeros_like(view.block))
    plan.set(split, page=view.block - 1, phase=int(Phase.COLLAPSE))
    settled(plan, asks & ~split, now)
    plan.write(does, "block", view.block_at, view.block & ~SPLIT)
    plan.tick(does, int(Tick.COLLAPSED))
    plan.set(does, sub=int(Sub.UNTABLE), phase=int(Phase.FETCH))


def begin_scan(plan: Plan, view, limits: Limits) -> None:
    """When kcompactd wakes."""
    begins = (view.kind == Phase.POLL) & (limits.collapse == Collapse.SCAN)
    plan.set(begins, scan=limits.first & -PAGEBLOCK_PAGES)


def scan(plan: Plan, view, now: Registers, limits: Limits) -> None:
    """One pageblock after the other: has its entry a table, and are all its pages there?"""
    looks, counts = view.kind == Phase.SCAN, view.kind == Phase.ABSENT
    plan.set(looks & (view.block != 0), phase=int(Phase.ABSENT))
    plan.set(counts, phase=jnp.where(view.block == 0, int(Phase.WHOLE), int(Phase.FETCH)))
    past = (looks & (view.block == 0)) | (counts & (view.block != 0))
    past = past | ((view.kind == Phase.COLLAPSE) & (now.scan >= 0))
    follows = now.scan + PAGEBLOCK_PAGES
    plan.set(past, scan=jnp.where(follows >= limits.end, -1, follows))
